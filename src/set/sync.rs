//! The atomics, the cell and the allocator of the engine: std's, or loom's under `--cfg foster_loom`.

#[cfg(not(foster_loom))]
pub(super) use {
    futures_util::task::AtomicWaker,
    real::UnsafeCell,
    std::alloc::{alloc, dealloc},
    std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize},
};

#[cfg(foster_loom)]
pub(super) use {
    loom::alloc::{alloc, dealloc},
    loom::cell::UnsafeCell,
    loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize},
    model::AtomicWaker,
};

pub(super) use std::sync::atomic::Ordering;

/// std's cell, with the accesses of loom's, which are seen to begin and to end.
#[cfg(not(foster_loom))]
mod real {
    #[repr(transparent)]
    pub(in crate::set) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline]
        pub(in crate::set) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Gives `access` the content, as `UnsafeCell::get` would: it is on the caller that nobody else has it.
        #[inline]
        pub(in crate::set) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

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
