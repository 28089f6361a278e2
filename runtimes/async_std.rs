use std::future::Future;
use std::pin::Pin;

use ::async_std::task;
use futures_task::{FutureObj, Spawn, SpawnError};

use super::turn::{self, Turn};
use crate::contain::contain;
use crate::runtime::{Blocking, Clock, Handle, Instant, Job, RunError, Runtime, Timer};

/// async-std: its global executor, for programs that still run on it.
///
/// async-std is **discontinued** upstream ([RUSTSEC-2025-0052]), and recommends smol in its stead: [`Smol`], with the same
/// reactor and the same blocking pool underneath. A timer costs one allocation here, as async-std names none that could be
/// kept inline.
///
/// # Running a future
///
/// To block is for threads that do not run async-std's tasks: one that does would wait for what only
/// it can run. There `try_run` returns an error, `run` panics with it, and code that is async already
/// uses [`enter`](Handle::enter).
///
/// # When the runtime ends
///
/// It never does: its executor is global. Threads start with the first task.
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
    /// async-std's global executor.
    pub fn global() -> Self {
        AsyncStd(Handle::guest(Adapter))
    }
}

const NAME: &str = "async-std";

struct Adapter;

impl Spawn for Adapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        // A `JoinHandle` of async-std that is dropped detaches its task.
        drop(task::spawn(Turn::new(NAME, future)));
        Ok(())
    }
}

impl Clock for Adapter {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        // The duration is taken at the first poll, which is when async-std's sleep begins to count.
        Timer::boxed(Box::pin(async move { task::sleep(at.saturating_duration_since(Instant::now())).await }))
    }
}

impl Blocking for Adapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        drop(task::spawn_blocking(|| contain(job)));
        Ok(())
    }
}

impl Runtime for Adapter {
    fn name(&self) -> &'static str {
        NAME
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        turn::may_block(NAME)?;
        task::block_on(root);
        Ok(())
    }
}
