//! The adapter for smol.

use std::future::Future;
use std::pin::Pin;

use futures_task::{FutureObj, Spawn, SpawnError};

use super::noted_task::{self, NotedTask};
use crate::panic::contain;
use crate::runtime::{Blocking, Clock, Guest, Handle, Instant, Job, RunError, Runtime, Timer};

/// Runs on smol: on its global executor, or on an executor of yours.
///
/// In both cases, timers and blocking jobs are those of the process (`async-io` and `blocking`).
///
/// # Running a future
///
/// Only a thread that does not run smol's tasks may block. One that does would wait for what only
/// it can run. In a task that foster has spawned, `try_run` returns an error, and `run` panics with
/// it. In one of `smol::spawn`, of which foster does not know, it may wait for ever. Code that is
/// already async uses [`enter`](Handle::enter).
///
/// # When the runtime ends
///
/// smol's global executor never ends. An executor of yours drops its tasks when you drop it.
#[derive(Debug, Clone)]
pub struct Smol(Handle);

stands_for_handle!(Smol);

impl Smol {
    /// Returns smol's global executor.
    ///
    /// It has as many threads as `SMOL_THREADS` says, or else one. They start with the first task.
    ///
    /// ```
    /// use foster::runtimes::Smol;
    ///
    /// let sum = foster::scope(async |s| { s.spawn_parallel(async { 3 + 4 }).await });
    /// assert_eq!(Smol::global().run(sum), 7);
    /// ```
    pub fn global() -> Self {
        let spawn = |future| ::smol::spawn(NotedTask::new(NAME, future)).detach();
        Smol(Handle::guest(SmolAdapter { spawn }, Guest::Smol))
    }

    /// Creates a runtime from a function that spawns a task on an executor of yours.
    ///
    /// The executor must keep a task that is detached, as a [`smol::Executor`] does. You run the
    /// executor, too: a thread that blocks on this handle only waits. So let other threads run the
    /// executor, or run your code inside of it:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use foster::runtimes::Smol;
    /// use futures::task::SpawnExt;
    ///
    /// let executor = Arc::new(smol::Executor::new());
    /// let smol = Smol::executor({
    ///     let executor = executor.clone();
    ///     move |task| executor.spawn(task).detach()
    /// });
    ///
    /// let (done, wait) = futures::channel::oneshot::channel();
    /// smol.spawn(async { done.send("hello").unwrap() }).unwrap();
    /// assert_eq!(smol::block_on(executor.run(wait)), Ok("hello"));
    /// ```
    ///
    /// A closure that keeps an `Arc` of the executor, as above, keeps the executor and its tasks
    /// alive for as long as there are handles.
    ///
    /// [`smol::Executor`]: ::smol::Executor
    pub fn executor(spawn: impl Fn(FutureObj<'static, ()>) + Send + Sync + 'static) -> Self {
        let spawn = move |future| spawn(FutureObj::new(Box::new(NotedTask::new(NAME, future))));
        Smol(Handle::new(SmolAdapter { spawn }))
    }
}

const NAME: &str = "smol";

/// Spawns by a function.
struct SmolAdapter<S> {
    spawn: S,
}

impl<S: Fn(FutureObj<'static, ()>)> Spawn for SmolAdapter<S> {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        (self.spawn)(future);
        Ok(())
    }
}

impl<S> Clock for SmolAdapter<S> {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        Timer::smol(::smol::Timer::at(at))
    }

    fn reset(&self, mut timer: Pin<&mut Timer>, at: Instant) {
        if !timer.as_mut().reset_smol(at) {
            timer.set(self.timer(at));
        }
    }
}

impl<S> Blocking for SmolAdapter<S> {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        ::smol::unblock(|| contain(job)).detach();
        Ok(())
    }
}

impl<S: Fn(FutureObj<'static, ()>) + Send + Sync + 'static> Runtime for SmolAdapter<S> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        noted_task::may_block(NAME)?;
        ::smol::block_on(root);
        Ok(())
    }

    #[cfg(feature = "net")]
    fn network(&self) -> Option<&dyn crate::runtime::network::Network> {
        Some(crate::runtime::network::async_io())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::smol::Executor;

    use super::super::tests::Drops;
    use super::*;

    fn of(executor: &Arc<Executor<'static>>) -> Smol {
        let executor = executor.clone();
        Smol::executor(move |task| executor.spawn(task).detach())
    }

    #[test]
    fn leftovers_are_dropped_with_the_executor() {
        let executor = Arc::new(Executor::new());
        let smol = of(&executor);
        let drops = Drops::default();
        for _ in 0..3 {
            let guard = drops.guard();
            let task = async move {
                std::future::pending::<()>().await;
                drop(guard)
            };
            smol.spawn_obj(FutureObj::new(Box::new(task))).unwrap();
        }
        executor.try_tick();
        drop(executor);
        assert_eq!(drops.count(), 0);
        drop(smol);
        assert_eq!(drops.count(), 3);
    }

    #[test]
    fn a_thread_that_has_run_a_task_may_block_afterwards() {
        let executor = Arc::new(Executor::new());
        let smol = of(&executor);
        smol.spawn_obj(FutureObj::new(Box::new(async {}))).unwrap();
        assert!(executor.try_tick());
        assert_eq!(smol.run(async { 7 }), 7);
    }

    #[cfg(feature = "async-std")]
    #[test]
    fn a_task_may_block_on_another_executor() {
        let executor = Arc::new(Executor::new());
        let (answer, answers) = std::sync::mpsc::channel();
        let task = async move { answer.send(crate::runtimes::AsyncStd::global().try_run(async { 7 })).unwrap() };
        of(&executor).spawn_obj(FutureObj::new(Box::new(task))).unwrap();
        assert!(executor.try_tick());
        assert_eq!(answers.try_recv().unwrap(), Ok(7));
    }
}
