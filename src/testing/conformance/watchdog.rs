//! What checks are run with.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::runtime::Handle;
use crate::testing::Drops;
use crate::testing::cancel::message;

/// The unit of time of the checks. They check order and lower bounds, and never that something was
/// fast.
pub(super) const TICK: Duration = Duration::from_millis(5);

thread_local! {
    /// How long the check on this thread may take.
    static PATIENCE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Runs `check` on a thread of its own, for at most `patience`.
pub(super) fn run(patience: Duration, check: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let (done, result) = mpsc::channel();
    let guarded = move || {
        PATIENCE.set(patience);
        let result = catch_unwind(AssertUnwindSafe(check)).map_err(|payload| message(&*payload).to_string());
        // If this was too slow, nobody listens any more.
        drop(done.send(result));
    };
    if let Err(error) = thread::Builder::new().name("foster-conformance".into()).spawn(guarded) {
        return Err(format!("there is no thread to run it on: {error}"));
    }
    result.recv_timeout(patience).unwrap_or_else(|_| Err(format!("it hangs: it did not end within {patience:?}")))
}

/// Runs `future` on the runtime itself, without foster's context around it.
pub(super) fn block_on<T>(handle: &Handle, future: impl Future<Output = T>) -> T {
    let mut output = None;
    {
        let root = pin!(async { output = Some(future.await) });
        if let Err(error) = handle.runtime().block_on(root) {
            panic!("`block_on` gave an error: {error}");
        }
    }
    match output {
        Some(output) => output,
        None => panic!("`block_on` returned before its root future was ready"),
    }
}

/// Runs `future` on this thread, without a runtime.
pub(in crate::testing) fn park_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits until all that `drops` counts has been dropped, by whichever thread. A quarter of the time
/// of the check is for that, so that `what` is reported before the check counts as one that hangs.
pub(super) fn await_drops(drops: &Drops, what: &str) {
    let patience = PATIENCE.get() / 4;
    assert!(drops.await_all(patience), "still not so after {patience:?}: {what}");
}

/// Panics without calling the panic hook.
pub(super) fn panic_quietly(text: &'static str) {
    std::panic::resume_unwind(Box::new(text));
}
