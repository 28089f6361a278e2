//! Lets a simulation choose the order in which ready members are polled.
//!
//! A simulation installs a chooser on its thread while it polls. Every set asks it, also the sets
//! inside combinators. Without a simulation the order is that of the slots.

use std::cell::RefCell;
use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

/// Chooses among what may come in any order.
pub(crate) trait Choose {
    /// Returns a number below `n`, which is at least 2.
    fn choose(&self, n: usize) -> usize;
}

thread_local! {
    static CHOOSER: RefCell<Option<Arc<dyn Choose>>> = const { RefCell::new(None) };
}

/// Guard that installs a chooser on this thread until it is dropped.
pub(crate) struct Shuffled {
    before: Option<Arc<dyn Choose>>,
}

/// Lets `chooser` choose the order on this thread, or nobody if it is `None`, until the guard is
/// dropped.
pub(crate) fn shuffled(chooser: Option<Arc<dyn Choose>>) -> Shuffled {
    Shuffled { before: CHOOSER.replace(chooser) }
}

impl Drop for Shuffled {
    fn drop(&mut self) {
        // At the end of a thread the cell may be gone. Nothing is polled there any more.
        let chooser = CHOOSER.try_with(|cell| cell.replace(self.before.take()));
        drop(chooser);
    }
}

impl fmt::Debug for Shuffled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shuffled").finish_non_exhaustive()
    }
}

/// Returns whether a chooser is installed on this thread.
#[inline]
pub(crate) fn is_on() -> bool {
    CHOOSER.try_with(|cell| cell.borrow().is_some()).unwrap_or(false)
}

/// Returns the place of one of the bits, if there are several and a chooser is installed.
#[inline]
pub(crate) fn pick(bits: NonZero<usize>) -> Option<usize> {
    if bits.is_power_of_two() || !is_on() { None } else { choose(bits) }
}

/// Returns a number below `n`, which is at least 2, if a chooser is installed.
pub(crate) fn among(n: usize) -> Option<usize> {
    if is_on() { Some(chooser()?.choose(n)) } else { None }
}

/// Returns the chooser. It is cloned, because nothing may be borrowed while foreign code runs.
fn chooser() -> Option<Arc<dyn Choose>> {
    CHOOSER.with_borrow(Clone::clone)
}

fn choose(bits: NonZero<usize>) -> Option<usize> {
    let chooser = chooser()?;
    let mut left = bits.get();
    for _ in 0..chooser.choose(bits.get().count_ones() as usize) {
        left &= left.wrapping_sub(1);
    }
    // This is `None` if the choice was out of range.
    NonZero::new(left).map(|left| left.trailing_zeros() as usize)
}
