//! Wakers that run code of the test, as those of a strange executor might.

use std::sync::Arc;
use std::task::{Wake, Waker};

/// Runs `meddle` whenever it is woken, and when it is dropped.
struct Meddling<F: Fn()> {
    meddle: F,
}

impl<F: Fn() + Send + Sync> Wake for Meddling<F> {
    fn wake(self: Arc<Self>) {
        (self.meddle)();
    }
}

impl<F: Fn()> Drop for Meddling<F> {
    fn drop(&mut self) {
        (self.meddle)();
    }
}

/// A waker that runs `meddle` whenever it is woken, and when its last clone is dropped.
pub(crate) fn meddling(meddle: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Meddling { meddle }))
}

/// A waker that runs `call` whenever it is woken.
pub(crate) fn calling(call: impl Fn() + Send + Sync + 'static) -> Waker {
    struct Calling<F>(F);
    impl<F: Fn() + Send + Sync> Wake for Calling<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }
    Waker::from(Arc::new(Calling(call)))
}

/// A waker that panics when it is woken.
pub(crate) fn panicking() -> Waker {
    calling(|| panic!("a waker that panics"))
}
