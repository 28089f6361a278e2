//! Who settles the order in which ready members are polled, where it is not to be that of their slots.
//!
//! A simulation installs itself on its thread while it polls, and a scope asks it for its children; elsewhere nothing of
//! this is there.

use std::cell::RefCell;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use super::turn;

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

/// Has the chooser, if there is one, settle the order in which the set that is polled next polls its members.
pub(crate) fn next() {
    if CHOOSER.with_borrow(Option::is_some) {
        turn::shuffle_next();
    }
}

/// The place of one of the bits.
pub(super) fn pick(bits: NonZero<usize>) -> usize {
    let n = bits.get().count_ones() as usize;
    // Cloned, since nothing may be borrowed while somebody else's code runs.
    let chooser = if n > 1 { CHOOSER.with_borrow(Clone::clone) } else { None };
    let mut left = bits.get();
    for _ in 0..chooser.map_or(0, |chooser| chooser.choose(n)) {
        left &= left.wrapping_sub(1);
    }
    // Were the choice out of range, this would be no slot's.
    if left == 0 { bits.trailing_zeros() as usize } else { left.trailing_zeros() as usize }
}
