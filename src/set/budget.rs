//! How many members may be polled before the executor gets its turn.
//!
//! A pass of the outermost set on a thread has a budget of [`FULL`] polls, and the sets inside its members spend from the
//! same one. It keeps members that are always ready from holding the thread for ever, and it keeps below the number of
//! operations after which a runtime makes its own leaf futures answer `Pending` (128 in tokio), without knowing any runtime.

use std::cell::Cell;

/// Polls in one pass of an outermost set.
pub(super) const FULL: u32 = 61;

/// No set is being polled on this thread.
const NONE: u32 = u32::MAX;

thread_local! {
    /// What is left for the pass under way on this thread, or `NONE`.
    static LEFT: Cell<u32> = const { Cell::new(NONE) };
}

/// A stretch of polling, during which this thread has a budget. Its end, also by a panic, ends the outermost budget.
pub(super) struct Turn {
    outermost: bool,
}

impl Turn {
    /// Begins a turn with `left` polls, or with what the set around this one has left.
    #[inline]
    pub(super) fn begin(left: u32) -> Self {
        let outermost = LEFT.get() == NONE;
        if outermost {
            LEFT.set(left);
        }
        Self { outermost }
    }

    /// Polls left.
    #[inline]
    pub(super) fn left(&self) -> u32 {
        LEFT.get()
    }

    /// Takes one poll from the budget. False if there is none to take.
    #[inline]
    pub(super) fn spend(&self) -> bool {
        let left = LEFT.get();
        if left > 0 {
            LEFT.set(left - 1);
        }
        left > 0
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        if self.outermost {
            LEFT.set(NONE);
        }
    }
}
