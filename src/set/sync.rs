//! The atomics and the allocator of the engine: std's, or loom's under `--cfg foster_loom`.

#[cfg(not(foster_loom))]
pub(super) use {
    futures_util::task::AtomicWaker,
    std::alloc::{alloc, dealloc},
    std::sync::atomic::{AtomicPtr, AtomicUsize},
};

#[cfg(foster_loom)]
pub(super) use {
    loom::alloc::{alloc, dealloc},
    loom::sync::atomic::{AtomicPtr, AtomicUsize},
    model::AtomicWaker,
};

pub(super) use std::sync::atomic::Ordering;

/// A stand-in for `futures_util`'s `AtomicWaker` that loom can look into.
#[cfg(foster_loom)]
mod model {
    use loom::sync::Mutex;
    use std::task::Waker;

    pub(in crate::set) struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub(in crate::set) fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub(in crate::set) fn register(&self, waker: &Waker) {
            let old = self.0.lock().unwrap().replace(waker.clone());
            drop(old);
        }

        pub(in crate::set) fn take(&self) -> Option<Waker> {
            self.0.lock().unwrap().take()
        }

        pub(in crate::set) fn wake(&self) {
            if let Some(waker) = self.take() {
                waker.wake();
            }
        }
    }
}
