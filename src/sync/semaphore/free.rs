//! The free permits of a semaphore: a number that is changed without the lock while nobody waits.

use crate::engine::atomics::{AtomicUsize, Ordering, const_unless_loom};

/// Set while the lock is needed to change the number.
const SHUT: usize = 1;

/// A number of permits.
///
/// While it is *shut*, only who holds the lock of the wait list changes it. Only who holds that
/// lock shuts it or opens it. So there is one truth at any time, and who holds the lock can rely on
/// it.
///
/// Who gives permits back releases, and who takes some acquires. So what one did with them has
/// happened before what the next does.
pub(super) struct Free(AtomicUsize);

impl Free {
    pub(super) const MAX: usize = usize::MAX >> 1;

    const_unless_loom! {
        pub(super) const fn new(count: usize) -> Self {
            Free(AtomicUsize::new(count << 1))
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed) >> 1
    }

    /// Takes `count`, unless there are too few or it is shut.
    #[inline]
    pub(super) fn take(&self, count: usize) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & SHUT == 0 && word >> 1 >= count {
            match self.0.compare_exchange_weak(word, word - (count << 1), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Puts `count` back, unless it is shut.
    #[inline]
    pub(super) fn give(&self, count: usize) -> bool {
        let mut word = self.0.load(Ordering::Relaxed);
        while word & SHUT == 0 {
            match self.0.compare_exchange_weak(word, word + (count << 1), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Shuts it, and returns how many there are. For the one who holds the lock.
    pub(super) fn shut(&self) -> usize {
        self.0.fetch_or(SHUT, Ordering::Acquire) >> 1
    }

    /// Sets the number, and opens it unless it is to stay shut. For the one who holds the lock and
    /// has shut it.
    pub(super) fn set(&self, count: usize, stays_shut: bool) {
        self.0.store(count << 1 | usize::from(stays_shut), Ordering::Release);
    }
}
