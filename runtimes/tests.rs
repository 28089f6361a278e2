//! What the adapters' own tests share. What all adapters must do is in `testing::conformance`, and
//! `tests/conformance` runs it on each of them.
// Which of these are used depends on the features.
#![allow(dead_code)]

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::runtime::{Handle, RunError};

/// Counts how many of its guards have been dropped.
#[derive(Clone, Default)]
pub(super) struct Drops(Arc<AtomicUsize>);

pub(super) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drops {
    pub(super) fn guard(&self) -> Counted {
        Counted(self.0.clone())
    }

    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Waits for drops that happen on another thread.
    pub(super) fn await_count(&self, count: usize) {
        let patience = Instant::now() + Duration::from_secs(10);
        while self.count() != count {
            assert!(Instant::now() < patience, "{} drops instead of {count}", self.count());
            thread::yield_now();
        }
    }
}

pub(super) fn block_on<T>(handle: &Handle, future: impl Future<Output = T>) -> Result<T, RunError> {
    let mut output = None;
    let mut root = Box::pin(async { output = Some(future.await) });
    handle.runtime().block_on(root.as_mut())?;
    drop(root);
    Ok(output.expect("a root future that was run to its end"))
}

/// Is pending once.
pub(super) async fn yield_once() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
