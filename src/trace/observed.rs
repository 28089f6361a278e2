//! Whether somebody observes what runs.
//!
//! What is held notes its holder only then, where that costs too much otherwise. Today only a
//! simulation observes. Without one, to ask is a relaxed load.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many observe.
static OBSERVERS: AtomicUsize = AtomicUsize::new(0);

/// Returns whether somebody observes, perhaps on another thread.
#[inline]
pub(crate) fn is_observed() -> bool {
    OBSERVERS.load(Ordering::Relaxed) > 0
}

/// Counts as an observer until it is dropped.
#[cfg(feature = "sim")]
pub(crate) struct Observing(());

#[cfg(feature = "sim")]
impl Observing {
    pub(crate) fn start() -> Self {
        OBSERVERS.fetch_add(1, Ordering::Relaxed);
        Observing(())
    }
}

#[cfg(feature = "sim")]
impl Drop for Observing {
    fn drop(&mut self) {
        OBSERVERS.fetch_sub(1, Ordering::Relaxed);
    }
}
