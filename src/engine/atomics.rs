//! The atomics, the locks, the cell and the allocator of the engine, and of what calls a scope
//! from other threads (bells, lanes, tokens, the counts of a scope): std's, or loom's under `--cfg
//! foster_loom`.

#[cfg(not(foster_loom))]
pub(crate) use {
    futures_util::task::AtomicWaker,
    real::UnsafeCell,
    std::alloc::{alloc, dealloc},
    std::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, fence},
};

#[cfg(foster_loom)]
pub(crate) use {
    loom::alloc::{alloc, dealloc},
    loom::cell::UnsafeCell,
    loom::sync::atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, fence},
    model::AtomicWaker,
};

pub(crate) use std::sync::atomic::Ordering;

#[cfg(foster_loom)]
pub(crate) use loom::thread;
#[cfg(not(foster_loom))]
pub(crate) use std::thread;

#[cfg(foster_loom)]
use loom::sync as locks;
#[cfg(not(foster_loom))]
use std::sync as locks;

/// Makes a function `const`. Under loom it is not, because loom's atomics and locks are made at run
/// time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $visibility:vis const fn $name:ident($($arguments:tt)*) -> $result:ty $body:block) => {
        #[cfg(not(foster_loom))]
        $(#[$meta])*
        $visibility const fn $name($($arguments)*) -> $result $body

        #[cfg(foster_loom)]
        $(#[$meta])*
        $visibility fn $name($($arguments)*) -> $result $body
    };
}
pub(crate) use const_unless_loom;

/// A mutex that is held for a moment, and that a panic does not poison.
#[derive(Debug)]
pub(crate) struct ShortLock<T>(locks::Mutex<T>);

impl<T> ShortLock<T> {
    const_unless_loom! {
        pub(crate) const fn new(value: T) -> Self {
            ShortLock(locks::Mutex::new(value))
        }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn lock(&self) -> locks::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// std's cell, with the accesses of loom's, which are seen to begin and to end.
#[cfg(not(foster_loom))]
mod real {
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline]
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Gives `access` the content to read. It is on the caller that nobody writes it meanwhile.
        #[inline]
        pub(crate) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
            access(self.0.get())
        }

        /// Gives `access` the content, as `UnsafeCell::get` would: it is on the caller that nobody
        /// else has it.
        #[inline]
        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

/// A stand-in for `futures_util`'s `AtomicWaker` that loom can look into.
#[cfg(foster_loom)]
mod model {
    use loom::sync::Mutex;
    use std::task::Waker;

    pub(crate) struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub(crate) fn register(&self, waker: &Waker) {
            let old = self.0.lock().unwrap().replace(waker.clone());
            drop(old);
        }

        pub(crate) fn take(&self) -> Option<Waker> {
            self.0.lock().unwrap().take()
        }

        pub(crate) fn wake(&self) {
            if let Some(waker) = self.take() {
                waker.wake();
            }
        }
    }
}
