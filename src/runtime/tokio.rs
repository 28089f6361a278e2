//! tokio as a [`Runtime`]. The adapter's public face is in `runtimes/`; this part lies here because the
//! context [finds](super::found) tokio by itself.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;

use futures_task::{FutureObj, Spawn, SpawnError};
use futures_util::FutureExt;
use tokio::runtime::{Handle as TokioHandle, Runtime as TokioRuntime};
use tokio::task::JoinHandle;
use tokio::task::coop::unconstrained;

use super::{Blocking, Clock, Instant, Job, RunError, Runtime, Timer};

pub(crate) struct Adapter {
    handle: TokioHandle,
    owned: Option<TokioRuntime>,
}

impl Adapter {
    /// For a runtime that belongs to somebody else.
    pub(crate) fn guest(handle: TokioHandle) -> Self {
        Adapter { handle, owned: None }
    }

    /// For a runtime that ends with this.
    pub(crate) fn owner(runtime: TokioRuntime) -> Self {
        Adapter { handle: runtime.handle().clone(), owned: Some(runtime) }
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        if let Some(runtime) = self.owned.take() {
            runtime.shutdown_background();
        }
    }
}

/// Detaches a task just spawned, or tells that the runtime is gone: it has then dropped the task already.
///
/// Nobody but tokio can cancel a task whose only `JoinHandle` is here. It is polled unconstrained because the caller's
/// budget, if used up, would make it look pending.
fn detach(task: JoinHandle<()>) -> Result<(), SpawnError> {
    if !task.is_finished() {
        return Ok(());
    }
    match unconstrained(task).now_or_never() {
        Some(Err(error)) if error.is_cancelled() => Err(SpawnError::shutdown()),
        _ => Ok(()),
    }
}

impl Spawn for Adapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        detach(self.handle.spawn(future))
    }
}

impl Clock for Adapter {
    fn now(&self) -> Instant {
        // Not entering the runtime makes this twice as fast; tokio knows which one polls the caller.
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self, at: Instant) -> Timer {
        let _entered = self.handle.enter();
        Timer::tokio(tokio::time::sleep_until(at.into()))
    }

    fn reset(&self, mut timer: Pin<&mut Timer>, at: Instant) {
        if !timer.as_mut().reset_tokio(at) {
            timer.set(self.timer(at));
        }
    }
}

impl Blocking for Adapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        detach(self.handle.spawn_blocking(job))
    }
}

impl Runtime for Adapter {
    fn name(&self) -> &'static str {
        "tokio"
    }

    fn block_on(&self, mut root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        // There is nothing to ask beforehand: it takes tokio's panic to learn that tokio runs this very thread.
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
}
