//! tokio as a [`Runtime`]. The public adapter is in `runtimes/`. This part lies here because the
//! context [finds](super::found) tokio by itself.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;

use futures_task::{FutureObj, Spawn, SpawnError};
use futures_util::FutureExt;
use tokio::runtime::{Handle as TokioHandle, Runtime as TokioRuntime};
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;

use super::{Blocking, Clock, Guest, Handle, Instant, Job, RunError, Runtime, Timer};

/// A tokio runtime, which belongs to this adapter or to somebody else.
pub(crate) struct TokioAdapter {
    handle: TokioHandle,
    owned: Option<TokioRuntime>,
}

impl TokioAdapter {
    /// Returns a handle to a runtime that belongs to somebody else.
    pub(crate) fn guest(handle: TokioHandle) -> Handle {
        let guest = Guest::Tokio(handle.id());
        Handle::guest(TokioAdapter { handle, owned: None }, guest)
    }

    /// Wraps a runtime that ends when this adapter is dropped.
    pub(crate) fn owner(runtime: TokioRuntime) -> Self {
        TokioAdapter { handle: runtime.handle().clone(), owned: Some(runtime) }
    }

    #[cfg(feature = "net")]
    pub(super) fn handle(&self) -> &TokioHandle {
        &self.handle
    }
}

impl Drop for TokioAdapter {
    fn drop(&mut self) {
        if let Some(runtime) = self.owned.take() {
            // `shutdown_background` does not block, so the last handle may be dropped in async
            // code.
            runtime.shutdown_background();
        }
    }
}

/// Detaches a task that has just been spawned. Returns an error if the runtime has ended, in which
/// case it has dropped the task already.
///
/// Only tokio can cancel a task whose only `JoinHandle` is here. The handle is polled
/// unconstrained, because it would look pending if the caller's budget were used up.
fn detach(task: JoinHandle<()>) -> Result<(), SpawnError> {
    if !task.is_finished() {
        return Ok(());
    }
    match unconstrained(task).now_or_never() {
        Some(Err(error)) if error.is_cancelled() => Err(SpawnError::shutdown()),
        _ => Ok(()),
    }
}

impl Spawn for TokioAdapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        detach(self.handle.spawn(future))
    }
}

impl Clock for TokioAdapter {
    fn now(&self) -> Instant {
        // This does not enter the runtime, which makes it twice as fast. tokio knows which runtime
        // polls the caller.
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self, at: Instant) -> Timer {
        let _entered = self.handle.enter();
        Timer::tokio(at, &self.handle)
    }

    fn reset(&self, mut timer: Pin<&mut Timer>, at: Instant) {
        if !timer.as_mut().reset_tokio(at, &self.handle) {
            timer.set(self.timer(at));
        }
    }
}

impl Blocking for TokioAdapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        detach(self.handle.spawn_blocking(job))
    }
}

impl Runtime for TokioAdapter {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn block_on(&self, mut root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        // tokio cannot be asked whether it runs this thread. Its panic is the only way to learn
        // that.
        let mut polled = false;
        let root = poll_fn(|cx| {
            polled = true;
            root.as_mut().poll(cx)
        });
        let run = catch_unwind(AssertUnwindSafe(|| match &self.owned {
            Some(runtime) => runtime.block_on(root),
            None => self.handle.block_on(root),
        }));
        match run {
            Err(payload) if polled => resume_unwind(payload),
            Err(_) => Err(RunError::new(
                "this thread runs async code of tokio's and must not block: await the future, in `enter`",
            )),
            Ok(()) => Ok(()),
        }
    }
    #[cfg(feature = "net")]
    fn network(&self) -> Option<&dyn super::network::Network> {
        Some(self)
    }
}
