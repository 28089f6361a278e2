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
//!   not being dropped. So no bit from `N` on is set.
//! - *[turns]* The bits of [`Turns`] are among those of `occupied`. While members are polled, only
//!   the slot that has its turn is vacated, whose bit has been taken.

use std::fmt;
use std::hint::assert_unchecked;
use std::mem::{self, MaybeUninit};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::room::Store;
use crate::panic::take_all;

/// Up to `N` members. See the [module](self).
pub struct Inline<F, const N: usize> {
    slots: [Slot<F>; N],
    round: Round,
}

/// A place for a member, which is dropped only as a part of an [`Inline`].
pub(crate) struct Slot<F>(MaybeUninit<F>);

impl<F> Slot<F> {
    /// Makes a place that holds a member. So a dozen of them can be made where they are going to
    /// be, and none is copied.
    #[inline]
    pub(crate) fn with(member: F) -> Self {
        Slot(MaybeUninit::new(member))
    }

    #[inline]
    fn of(member: Option<F>) -> Self {
        Slot(member.map_or(MaybeUninit::uninit(), MaybeUninit::new))
    }
}

/// Which slots hold a member, and which of them have their turn.
struct Round {
    occupied: usize,
    /// Of a pass under way that was left: the slots that had not had their turn, vacant ones, too.
    /// All slots are among them when the next poll begins a pass.
    left: usize,
    /// The slot at which a pass begins.
    first: u32,
}

/// The slots that have not had their turn in a pass, as bits. Bit 0 is for the slot at which the
/// pass begins, and the slots before that one come last.
struct Turns {
    left: usize,
    first: u32,
}

impl Turns {
    /// Takes the slot whose turn it is.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        #[cfg(feature = "sim")]
        if let Some(slot) = std::num::NonZero::new(self.slots()).and_then(crate::trace::shuffle::pick) {
            self.left &= !(1_usize << slot).rotate_right(self.first);
            return Some(slot);
        }
        if self.left == 0 {
            return None;
        }
        let slot = (self.left.trailing_zeros() + self.first) % usize::BITS;
        self.left &= self.left - 1;
        Some(slot as usize)
    }

    /// The slots that have not had their turn.
    #[inline]
    fn slots(&self) -> usize {
        self.left.rotate_left(self.first)
    }
}

impl Round {
    /// Begins a pass, or goes on with the one under way. If a member panics, the pass is over.
    #[inline]
    fn begin(&mut self) -> Turns {
        let slots = self.occupied & mem::replace(&mut self.left, usize::MAX);
        Turns { left: slots.rotate_right(self.first), first: self.first }
    }

    /// Leaves a pass that is not over.
    #[inline]
    fn leave(&mut self, turns: &Turns) {
        self.left = turns.slots();
    }

    /// Ends a pass, and lets the next one of `n` slots begin one further.
    #[inline]
    fn end(&mut self, n: u32) {
        self.first = if self.first + 1 < n { self.first + 1 } else { 0 };
    }
}

impl<F, const N: usize> Inline<F, N> {
    /// All slots hold a member, as [`Slot::with`] makes them. The first pass begins at slot 0.
    #[inline]
    pub(crate) fn full(slots: [Slot<F>; N]) -> Self {
        Self::new(slots, (1 << N) - 1, 0)
    }

    /// The members that there are, each in its slot. The first pass begins at slot `first`.
    #[inline]
    pub(crate) fn some(members: [Option<F>; N], first: usize) -> Self {
        let mut occupied = 0;
        for (slot, member) in members.iter().enumerate() {
            occupied |= usize::from(member.is_some()) << slot;
        }
        Self::new(members.map(Slot::of), occupied, first)
    }

    #[inline]
    fn new(slots: [Slot<F>; N], occupied: usize, first: usize) -> Self {
        const { assert!(N < usize::BITS as usize, "there are more members than a word has bits") };
        Inline { slots, round: Round { occupied, left: usize::MAX, first: first as u32 } }
    }

    /// The member of a slot.
    ///
    /// # Safety
    ///
    /// The slot is occupied.
    #[inline]
    unsafe fn member(self: Pin<&mut Self>, slot: usize) -> Pin<&mut F> {
        // SAFETY: this moves nothing.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: by [occupied] the slot is below `N`, and holds a member. By [pinned] that is
        // pinned when the whole is.
        unsafe { Pin::new_unchecked(this.slots.get_unchecked_mut(slot).0.assume_init_mut()) }
    }

    #[inline]
    fn round(self: Pin<&mut Self>) -> &mut Round {
        // SAFETY: this moves nothing, and a round is pinned by nobody.
        unsafe { &mut self.get_unchecked_mut().round }
    }

    /// Drops a member in place. Its slot counts as vacant from here on, whether the drop panics or
    /// not.
    ///
    /// # Safety
    ///
    /// The slot is occupied.
    #[inline]
    unsafe fn vacate(self: Pin<&mut Self>, slot: usize) {
        // SAFETY: this moves nothing.
        let this = unsafe { self.get_unchecked_mut() };
        this.round.occupied &= !(1 << slot);
        // SAFETY: by [occupied] the slot is below `N` and held a member, and nobody reaches that
        // any more.
        unsafe { this.slots.get_unchecked_mut(slot).0.assume_init_drop() };
    }
}

impl<F, const N: usize> Store<F> for Inline<F, N> {
    #[inline]
    fn len(&self) -> usize {
        self.round.occupied.count_ones() as usize
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.round.occupied == 0
    }

    #[inline]
    fn poll_until<B>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut each: impl FnMut(usize, Pin<&mut F>, &mut Context<'_>) -> Poll<Option<B>>,
    ) -> Poll<Option<B>> {
        let mut turns = self.as_mut().round().begin();
        while let Some(slot) = turns.next() {
            // SAFETY: by [turns] the slot is occupied, and by [occupied] it is below `N`.
            let member = unsafe {
                assert_unchecked(slot < N);
                self.as_mut().member(slot)
            };
            if let Poll::Ready(value) = each(slot, member, cx) {
                // SAFETY: as above. `each` reaches the member alone.
                unsafe { self.as_mut().vacate(slot) };
                if value.is_some() {
                    self.round().leave(&turns);
                    return Poll::Ready(value);
                }
            }
        }
        self.as_mut().round().end(N as u32);
        if self.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    }

    #[inline]
    fn retain(mut self: Pin<&mut Self>, mut keep: impl FnMut(Pin<&mut F>) -> bool) {
        let mut left = self.round.occupied;
        // What is captured has to be kept on the stack, because it lives across calls that may
        // unwind. So this captures as little as it can.
        take_all(&mut move || {
            let Some(slot) = left.checked_ilog2() else { return false };
            let slot = slot as usize;
            left &= !(1 << slot);
            // SAFETY: the slot was occupied, and each slot has one turn here, so it still is. By
            // [occupied] it is below `N`.
            unsafe {
                assert_unchecked(slot < N);
                if !keep(self.as_mut().member(slot)) {
                    self.as_mut().vacate(slot);
                }
            }
            true
        });
    }
}

impl<F, const N: usize> Drop for Inline<F, N> {
    /// Drops the members, the newest first, come what may.
    #[inline]
    fn drop(&mut self) {
        // Apart from the rest, so that the end of one that is empty, as most are, costs no call.
        #[cold]
        #[inline(never)]
        fn drop_all<F, const N: usize>(this: &mut Inline<F, N>) {
            // SAFETY: it is moved no more, and by [pinned] nothing in here moves a member.
            unsafe { Pin::new_unchecked(this) }.retain(|_| false);
        }
        if !self.is_empty() {
            drop_all(self);
        }
    }
}

impl<F, const N: usize> fmt::Debug for Inline<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inline").field("len", &self.len()).finish_non_exhaustive()
    }
}
