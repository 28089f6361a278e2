//! The adapter for async-std.

use std::future::Future;
use std::pin::Pin;

use ::async_std::task;
use futures_task::{FutureObj, Spawn, SpawnError};

use super::noted_task::{self, NotedTask};
use crate::panic::contain;
use crate::runtime::{Blocking, Clock, Guest, Handle, Instant, Job, RunError, Runtime, Timer};

/// Runs on async-std's global executor, for programs that still use it.
///
/// async-std is **discontinued** upstream ([RUSTSEC-2025-0052]), which recommends smol instead.
/// [`Smol`] has the same reactor and the same blocking pool underneath. A timer costs one
/// allocation here, because async-std has no named timer type that could be stored inline.
///
/// # Running a future
///
/// Only a thread that does not run async-std's tasks may block. One that does would wait for what
/// only it can run. In a task that foster has spawned, `try_run` returns an error, and `run` panics
/// with it. In one of async-std's own `spawn`, of which foster does not know, it may wait for ever.
/// Code that is already async uses [`enter`](Handle::enter).
///
/// # When the runtime ends
///
/// It never ends, because its executor is global. Its threads start with the first task.
///
/// # Examples
///
/// ```
/// use foster::runtimes::AsyncStd;
/// use futures::channel::oneshot;
/// use futures::task::SpawnExt;
///
/// let (done, wait) = oneshot::channel();
/// AsyncStd::global().spawn(async { done.send(42).unwrap() }).unwrap();
/// assert_eq!(futures::executor::block_on(wait), Ok(42));
/// ```
///
/// [RUSTSEC-2025-0052]: https://rustsec.org/advisories/RUSTSEC-2025-0052
/// [`Smol`]: crate::runtimes
#[derive(Debug, Clone)]
pub struct AsyncStd(Handle);

stands_for_handle!(AsyncStd);

impl AsyncStd {
    /// Returns async-std's global executor.
    pub fn global() -> Self {
        AsyncStd(Handle::guest(AsyncStdAdapter, Guest::AsyncStd))
    }
}

const NAME: &str = "async-std";

/// The global executor, which needs no state here.
struct AsyncStdAdapter;

impl Spawn for AsyncStdAdapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        // Dropping a `JoinHandle` of async-std detaches its task.
        drop(task::spawn(NotedTask::new(NAME, future)));
        Ok(())
    }
}

impl Clock for AsyncStdAdapter {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        // The duration is computed at the first poll, because async-std's sleep begins to count
        // there.
        Timer::boxed(Box::pin(async move { task::sleep(at.saturating_duration_since(Instant::now())).await }))
    }
}

impl Blocking for AsyncStdAdapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        drop(task::spawn_blocking(|| contain(job)));
        Ok(())
    }
}

impl Runtime for AsyncStdAdapter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        noted_task::may_block(NAME)?;
        task::block_on(root);
        Ok(())
    }

    #[cfg(feature = "net")]
    fn network(&self) -> Option<&dyn crate::runtime::network::Network> {
        Some(crate::runtime::network::async_io())
    }
}
