//! Whether somebody observes what runs, and the name of what is being polled then.
//!
//! What is held notes its holder by this, while it is observed. Today only a simulation observes.
//! Without one, to ask is a relaxed load.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::name::Name;

/// How many observe.
static OBSERVERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The name of the innermost child that is being polled on this thread, while it is observed.
    static NAME: RefCell<Option<Name>> = const { RefCell::new(None) };
}

/// Returns whether somebody observes, perhaps on another thread.
#[inline]
pub(crate) fn is_observed() -> bool {
    OBSERVERS.load(Ordering::Relaxed) > 0
}

/// Returns the name of what is being polled here, if this thread is observed.
pub(crate) fn polled() -> Option<Name> {
    NAME.try_with(|cell| cell.borrow().clone()).ok().flatten()
}

/// Calls `poll`, which polls the one of this name.
pub(crate) fn polling<R>(name: Name, poll: impl FnOnce() -> R) -> R {
    /// Puts the name back, also after a panic.
    struct Back(Option<Name>);
    impl Drop for Back {
        fn drop(&mut self) {
            NAME.set(self.0.take());
        }
    }
    let _back = Back(NAME.replace(Some(name)));
    poll()
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
