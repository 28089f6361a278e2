//! What threads do at the same time to the engine, to tasks, tokens, locks, signals, queues and
//! limits.
//!
//! Under loom each of these tests tries every interleaving, watches for accesses that nothing
//! orders, and for blocks that leak: `RUSTFLAGS="--cfg foster_loom" cargo test --lib --release
//! races::`. Elsewhere it runs a number of times on real threads, which is something for
//! ThreadSanitizer and AddressSanitizer to look at.
//!
//! There is `unsafe` here although this is only a test: what threads leave for each other lies in
//! cells that nothing else orders, so that a missing order is seen.

#![allow(unsafe_code)]

#[cfg(foster_loom)]
use loom::{
    future::block_on,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
#[cfg(not(foster_loom))]
use {
    real::block_on,
    std::sync::Arc,
    std::sync::atomic::{AtomicUsize, Ordering},
    std::thread,
};

use std::task::Poll;

use crate::engine::atomics::UnsafeCell;

mod bells;
mod cells;
mod chains;
mod crews;
mod limits;
mod mutexes;
mod nodes;
mod owners;
mod queues;
mod remotes;
mod rwlocks;
mod semaphores;
mod signals;
mod tokens;
mod transfer;
mod wakers;

/// Explores all interleavings with at most two preemptions, or as many as `LOOM_MAX_PREEMPTIONS`
/// says.
#[cfg(foster_loom)]
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(f);
}

/// Runs it some times.
#[cfg(not(foster_loom))]
fn model(f: impl Fn() + Sync + Send + 'static) {
    for _ in 0..300 {
        f();
    }
}

/// What a thread leaves for another without any synchronisation of its own.
struct Letter(UnsafeCell<bool>);

// SAFETY: what these tests are about: something else orders the accesses.
unsafe impl Sync for Letter {}

impl Letter {
    fn new() -> Self {
        Letter(UnsafeCell::new(false))
    }

    fn write(&self) {
        // SAFETY: as for `Sync`.
        self.0.with_mut(|it| unsafe { *it = true });
    }

    fn arrived(&self) -> Poll<()> {
        // SAFETY: as for `Sync`.
        if self.0.with_mut(|it| unsafe { *it }) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(not(foster_loom))]
mod real {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::thread;
    use std::time::{Duration, Instant};

    /// Relaxed: its wake-up publishes nothing, so what arrives has been published by what is
    /// tested.
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Lets other threads be first now and then.
    fn dawdle() {
        static TURN: AtomicU64 = AtomicU64::new(0);
        (0..TURN.fetch_add(1, Ordering::Relaxed) % 4).for_each(|_| thread::yield_now());
    }

    pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
        dawdle();
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut future = pin!(future);
        let begun = Instant::now();
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            while !woken.0.swap(false, Ordering::Relaxed) {
                assert!(begun.elapsed() < Duration::from_secs(20), "a wake-up was lost");
                thread::yield_now();
            }
        }
    }
}
