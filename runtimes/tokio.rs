use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::time::Instant;

use ::tokio::runtime::{Builder, Handle as TokioHandle, Runtime as TokioRuntime};
use ::tokio::task::{JoinHandle, unconstrained};
use futures_task::{FutureObj, Spawn, SpawnError};
use futures_util::FutureExt;

use crate::runtime::{Blocking, Clock, Handle, Job, RunError, Runtime, Timer};

/// tokio: the runtime that the application runs on, or one of its own.
///
/// Time is tokio's, so that a paused clock (`tokio::time::pause`) holds for foster too, in whatever runs on that runtime. A
/// runtime that was built without `enable_time` panics when a timer is made.
///
/// # Running a future
///
/// Code that is async already belongs to [`enter`](Handle::enter). To block is for threads that run no async code of tokio's.
/// On one that does, `try_run` has an error and `run` panics with it, and a complaint of tokio's own precedes it on stderr,
/// or stands for it where panics abort. A thread that blocks on [`Tokio::current`] only waits, and leaves the driving of a
/// current-thread runtime to whoever owns that; a runtime made by [`Tokio::current_thread`] is driven by those who block on
/// it.
///
/// # When the runtime ends
///
/// One made here ends with its last handle. That never blocks, be it inside of async code; tasks are dropped at their
/// suspension points, and blocking jobs that already run are left to end by themselves. After the end of the runtime
/// behind [`Tokio::current`] tasks and jobs are refused, and polling a timer panics, as it does with tokio.
///
/// ```
/// use foster::runtimes::Tokio;
/// use futures::channel::oneshot;
/// use futures::task::SpawnExt;
///
/// let tokio = Tokio::multi_thread(2)?;
/// let (done, wait) = oneshot::channel();
/// tokio.spawn(async { done.send(42).unwrap() }).unwrap();
/// assert_eq!(futures::executor::block_on(wait), Ok(42));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokio(Handle);

stands_for_handle!(Tokio);

impl Tokio {
    /// The tokio runtime that the caller is in: for programs under `#[tokio::main]` or `#[tokio::test]`.
    ///
    /// Without [`enter`](Handle::enter), foster works there too; what that adds is tokio's clock and timers, its pool for blocking jobs, and
    /// its threads for parallel children.
    ///
    /// ```
    /// use foster::runtimes::Tokio;
    ///
    /// #[tokio::main]
    /// async fn main() {
    ///     let sum = foster::scope(|s| async move { s.spawn_parallel(async { 3 + 4 }).await });
    ///     assert_eq!(Tokio::current().enter(sum).await, 7);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// When the caller is in none; [`try_current`](Tokio::try_current) says so instead.
    #[track_caller]
    pub fn current() -> Self {
        let Some(tokio) = Self::try_current() else {
            panic!("Tokio::current() outside of a tokio runtime: call it in async code, or make a runtime of your own")
        };
        tokio
    }

    /// The tokio runtime that the caller is in, or `None`.
    pub fn try_current() -> Option<Self> {
        let handle = TokioHandle::try_current().ok()?;
        Some(Self::new(Adapter { handle, owned: None }))
    }

    /// A runtime whose tasks run on whichever thread blocks on it, and wait while none does. I/O and time are enabled.
    ///
    /// ```
    /// use foster::runtimes::Tokio;
    ///
    /// let here = std::thread::current().id();
    /// let there = Tokio::current_thread()?.run(foster::scope(|s| async move {
    ///     s.spawn_parallel(async { std::thread::current().id() }).await
    /// }));
    /// assert_eq!(here, there);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the system refuses what it needs, such as a selector for I/O.
    pub fn current_thread() -> io::Result<Self> {
        Self::build(&mut Builder::new_current_thread())
    }

    /// A runtime with `workers` threads of its own; whoever blocks on it only waits. I/O and time are enabled.
    ///
    /// For a `runtime` that you build otherwise: `let _entered = runtime.enter();`, and then [`Tokio::current`].
    ///
    /// # Errors
    ///
    /// When `workers` is 0, or the system refuses what it needs.
    pub fn multi_thread(workers: usize) -> io::Result<Self> {
        if workers == 0 {
            return Err(super::no_threads("a tokio runtime"));
        }
        Self::build(Builder::new_multi_thread().worker_threads(workers))
    }

    fn build(builder: &mut Builder) -> io::Result<Self> {
        let runtime = builder.enable_all().build()?;
        Ok(Self::new(Adapter { handle: runtime.handle().clone(), owned: Some(runtime) }))
    }

    fn new(adapter: Adapter) -> Self {
        Tokio(Handle::new(adapter))
    }
}

struct Adapter {
    handle: TokioHandle,
    owned: Option<TokioRuntime>,
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
        ::tokio::time::Instant::now().into_std()
    }

    fn timer(&self, at: Instant) -> Timer {
        let _entered = self.handle.enter();
        Timer::tokio(::tokio::time::sleep_until(at.into()))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::task::SpawnExt;

    use super::super::tests::{Drops, block_on};
    use super::*;

    #[test]
    fn an_owned_runtime_may_be_dropped_inside_of_async_code() {
        let outer = Tokio::current_thread().unwrap();
        block_on(&outer, async {
            leftovers_are_dropped_without_blocking(Tokio::multi_thread(1).unwrap());
            leftovers_are_dropped_without_blocking(Tokio::current_thread().unwrap());
        })
        .unwrap();
    }

    fn leftovers_are_dropped_without_blocking(tokio: Tokio) {
        let drops = Drops::default();
        let guard = drops.guard();
        tokio
            .spawn(async move {
                std::future::pending::<()>().await;
                drop(guard)
            })
            .unwrap();
        drop(tokio);
        drops.await_count(1);
    }

    #[test]
    fn a_runtime_may_end_by_a_task_of_its_own() {
        let tokio = Tokio::multi_thread(1).unwrap();
        let drops = Drops::default();
        let (guard, handle) = (drops.guard(), tokio.clone());
        let (go, wait) = futures::channel::oneshot::channel::<()>();
        tokio
            .spawn(async move {
                _ = wait.await;
                drop(handle);
                drop(guard)
            })
            .unwrap();
        drop(tokio);
        go.send(()).unwrap();
        drops.await_count(1);
    }

    #[test]
    fn a_runtime_that_is_gone_refuses_tasks_and_jobs() {
        for builder in [&mut Builder::new_current_thread(), &mut Builder::new_multi_thread()] {
            let runtime = builder.build().unwrap();
            let entered = runtime.enter();
            let tokio = Tokio::current();
            drop(entered);
            drop(runtime);
            let drops = Drops::default();
            let (task, job) = (drops.guard(), drops.guard());
            assert!(tokio.spawn(async move { drop(task) }).is_err());
            assert!(tokio.spawn_blocking(Box::new(move || drop(job))).is_err());
            assert_eq!(drops.count(), 2);
        }
    }

    #[test]
    fn blocking_in_async_code_is_refused_and_other_panics_pass() {
        let outer = Tokio::current_thread().unwrap();
        let run = |tokio: Tokio| tokio.try_run(async { 7 });
        assert_eq!(outer.run(async { run(Tokio::current()) }).unwrap_err().to_string().matches("enter").count(), 1);
        assert!(outer.run(async { run(Tokio::multi_thread(1).unwrap()) }).is_err());
        assert_eq!(outer.run(async { Tokio::current().enter(async { 7 }).await }), 7);
        let job = outer.run(async { ::tokio::task::spawn_blocking(move || run(Tokio::current())).await.unwrap() });
        assert_eq!(job, Ok(7), "a blocking job may block");
        let panic = catch_unwind(AssertUnwindSafe(|| outer.run(async { panic!("its own") }))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"its own"));
    }

    #[test]
    fn a_paused_clock_is_seen_by_what_runs_on_it() {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let entered = runtime.enter();
        let tokio = Tokio::current();
        drop(entered);
        let passed = runtime.block_on(async {
            let start = tokio.now();
            tokio.timer(start + Duration::from_secs(3600)).await;
            tokio.now() - start
        });
        assert!((3600..3601).contains(&passed.as_secs()), "{passed:?}");
    }

    #[test]
    fn no_runtime_and_no_workers_are_said_clearly() {
        assert!(Tokio::try_current().is_none());
        assert!(std::panic::catch_unwind(Tokio::current).is_err());
        assert_eq!(Tokio::multi_thread(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
