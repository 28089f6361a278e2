//! A few members inside whoever polls them: the counterpart of a [`Set`](super::Set) for a dozen or
//! fewer.
//!
//! Nothing is allocated, and members have no wakers of their own: they are polled with the
//! caller's. So a wake-up polls all that are pending, which for so few costs less than to find out
//! which one it was for.
//!
//! A pass polls each member once. Passes begin at different members in turn, since a member that
//! uses up what the executor allows for one poll must not always do so before the same siblings.
//!
//! # Invariants
//!
//! - *[pinned]* While an `Inline` is pinned, a member is moved by nobody: methods that reach one
//!   take `Pin<&mut Self>`, and it is dropped in place. `Inline` is `Unpin` only if its members
//!   are.
//! - *[occupied]* Bit `i` of `occupied` is set if, and only if, `slots[i]` holds a member that is
//!   not being dropped.

use std::num::NonZero;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Pass;
use super::room::Store;
use crate::panic::take_all;

/// Up to `N` members. See the [module](self).
#[derive(Debug)]
pub struct Inline<F, const N: usize> {
    slots: [Option<F>; N],
    round: Round,
}

/// Which slots hold a member, and which of them have their turn.
#[derive(Debug)]
struct Round {
    occupied: usize,
    /// Of the pass under way: the slots that have not had their turn.
    bits: usize,
    pass: Pass,
    /// The slot at which a pass begins.
    first: usize,
}

impl Round {
    #[inline]
    fn begin_pass(&mut self) {
        if self.pass == Pass::Over {
            self.pass = Pass::UnderWay;
            self.bits = self.occupied;
        }
    }

    /// The next slot of this pass. It stays among those to be polled until it has [had its
    /// turn](Self::pass_by).
    #[inline]
    fn next(&self) -> Option<usize> {
        let bits = NonZero::new(self.bits)?;
        #[cfg(feature = "sim")]
        if let Some(slot) = crate::trace::shuffle::pick(bits) {
            return Some(slot);
        }
        let ahead = NonZero::new(bits.get() >> self.first << self.first).unwrap_or(bits);
        Some(ahead.trailing_zeros() as usize)
    }

    #[inline]
    fn pass_by(&mut self, slot: usize) {
        self.bits &= !(1 << slot);
    }

    #[inline]
    fn vacate(&mut self, slot: usize) {
        self.occupied &= !(1 << slot);
        self.pass_by(slot);
    }

    /// Ends a pass, and lets the next one of `n` slots begin one further.
    #[inline]
    fn end_pass(&mut self, n: usize) {
        self.pass = Pass::Over;
        self.first = if self.first + 1 < n { self.first + 1 } else { 0 };
    }
}

impl<F, const N: usize> Inline<F, N> {
    /// The members that there are, each in its slot. The first pass begins at slot `first`.
    #[inline]
    pub(crate) fn new(slots: [Option<F>; N], first: usize) -> Self {
        const { assert!(N < usize::BITS as usize, "there are more members than a word has bits") };
        let mut occupied = 0;
        for (slot, member) in slots.iter().enumerate() {
            occupied |= usize::from(member.is_some()) << slot;
        }
        Inline { slots, round: Round { occupied, bits: 0, pass: Pass::Over, first } }
    }

    /// A slot, and the state of the round.
    #[inline]
    fn project(self: Pin<&mut Self>, slot: usize) -> (Pin<&mut Option<F>>, &mut Round) {
        // SAFETY: this moves nothing.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: by [pinned], a slot is pinned when the whole is.
        (unsafe { Pin::new_unchecked(&mut this.slots[slot]) }, &mut this.round)
    }

    #[inline]
    fn round(self: Pin<&mut Self>) -> &mut Round {
        // SAFETY: this moves nothing, and a round is pinned by nobody.
        unsafe { &mut self.get_unchecked_mut().round }
    }

    /// Drops a member in place. Its slot counts as vacant from here on, whether the drop panics or
    /// not.
    #[inline]
    fn vacate(self: Pin<&mut Self>, slot: usize) {
        let (mut member, round) = self.project(slot);
        round.vacate(slot);
        member.set(None);
    }
}

impl<F, const N: usize> Store<F> for Inline<F, N> {
    #[inline]
    fn len(&self) -> usize {
        self.round.occupied.count_ones() as usize
    }

    #[inline]
    fn poll_until<B>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut each: impl FnMut(usize, Pin<&mut F>, &mut Context<'_>) -> Poll<Option<B>>,
    ) -> Poll<Option<B>> {
        self.as_mut().round().begin_pass();
        while let Some(slot) = self.round.next() {
            let (member, round) = self.as_mut().project(slot);
            let Some(member) = member.as_pin_mut() else { break };
            match each(slot, member, cx) {
                Poll::Pending => round.pass_by(slot),
                Poll::Ready(value) => {
                    self.as_mut().vacate(slot);
                    if value.is_some() {
                        return Poll::Ready(value);
                    }
                }
            }
        }
        self.as_mut().round().end_pass(N);
        if self.round.occupied == 0 { Poll::Ready(None) } else { Poll::Pending }
    }

    #[inline]
    fn retain(mut self: Pin<&mut Self>, mut keep: impl FnMut(Pin<&mut F>) -> bool) {
        let mut left = self.round.occupied;
        take_all(&mut || {
            let Some(slot) = left.checked_ilog2() else { return false };
            left &= !(1 << slot);
            let (member, _) = self.as_mut().project(slot as usize);
            if !member.as_pin_mut().is_none_or(&mut keep) {
                self.as_mut().vacate(slot as usize);
            }
            true
        });
    }
}

impl<F, const N: usize> Drop for Inline<F, N> {
    /// Drops the members, the newest first, come what may.
    #[inline]
    fn drop(&mut self) {
        if self.round.occupied != 0 {
            // SAFETY: it is moved no more, and by [pinned] nothing in here moves a member.
            unsafe { Pin::new_unchecked(self) }.retain(|_| false);
        }
    }
}
