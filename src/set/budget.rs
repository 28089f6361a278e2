//! How many members may be polled before the executor gets its turn.
//!
//! A pass of the outermost set on a thread has a budget of [`FULL`] polls, and the sets inside its members spend from the
//! same one. It keeps members that are always ready from holding the thread for ever, and it keeps below the number of
//! operations after which a runtime makes its own leaf futures answer `Pending` (128 in tokio), without knowing any runtime.

use std::cell::Cell;

/// Polls in one pass of an outermost set.
pub(super) const FULL: u32 = 61;

thread_local! {
    /// What is left for the pass under way on this thread. `None`: no set is being polled here.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// One call of `poll_next`, during which this thread has a budget. Its end, also by a panic, ends the outermost budget.
pub(super) struct Turn {
    outermost: bool,
}

impl Turn {
    /// Begins a turn with `left` polls, or with what the set around this one has left.
    #[inline]
    pub(super) fn begin(left: u32) -> Self {
        let outermost = LEFT.get().is_none();
        if outermost {
            LEFT.set(Some(left));
        }
        Self { outermost }
    }

    /// Polls left.
    #[inline]
    pub(super) fn left(&self) -> u32 {
        LEFT.get().unwrap_or(0)
    }

    /// Takes one poll from the budget, if there is one to take.
    #[inline]
    pub(super) fn spend(&self) -> bool {
        let left = self.left();
        LEFT.set(Some(left.saturating_sub(1)));
        left > 0
    }
}

impl Drop for Turn {
    #[inline]
    fn drop(&mut self) {
        if self.outermost {
            LEFT.set(None);
        }
    }
}
