//! Who settles the order in which ready members are polled, where it is not to be that of their slots.
//!
//! A simulation installs itself on its thread while it polls, and every set asks it, those inside combinators too.
//! Elsewhere nothing of this is there.

use std::cell::RefCell;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

/// Settles what is left open.
pub(crate) trait Choose {
    /// A number below `n`, which is at least 2.
    fn choose(&self, n: usize) -> usize;
}

thread_local! {
    static CHOOSER: RefCell<Option<Arc<dyn Choose>>> = const { RefCell::new(None) };
}

/// As long as it lives, a chooser settles the order on this thread.
pub(crate) struct Shuffled {
    before: Option<Arc<dyn Choose>>,
}

/// Has `chooser` settle the order on this thread; or nobody.
pub(crate) fn shuffled(chooser: Option<Arc<dyn Choose>>) -> Shuffled {
    Shuffled { before: CHOOSER.replace(chooser) }
}

impl Drop for Shuffled {
    fn drop(&mut self) {
        // At the end of a thread the cell may be gone, and nobody polls there any more.
        let chooser = CHOOSER.try_with(|cell| cell.replace(self.before.take()));
        drop(chooser);
    }
}

impl fmt::Debug for Shuffled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shuffled").finish_non_exhaustive()
    }
}

/// Whether somebody settles the order on this thread.
#[inline]
pub(super) fn is_on() -> bool {
    CHOOSER.try_with(|cell| cell.borrow().is_some()).unwrap_or(false)
}

/// The place of one of the bits, where there is a choice and somebody to make it.
#[inline]
pub(super) fn pick(bits: NonZero<usize>) -> Option<usize> {
    if bits.is_power_of_two() || !is_on() { None } else { choose(bits) }
}

fn choose(bits: NonZero<usize>) -> Option<usize> {
    // Cloned, since nothing may be borrowed while somebody else's code runs.
    let chooser = CHOOSER.with_borrow(Clone::clone)?;
    let mut left = bits.get();
    for _ in 0..chooser.choose(bits.get().count_ones() as usize) {
        left &= left.wrapping_sub(1);
    }
    // `None` if the choice was out of range.
    NonZero::new(left).map(|left| left.trailing_zeros() as usize)
}
