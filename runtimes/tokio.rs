//! The adapter for tokio. What implements the traits is in `src/runtime/tokio.rs`.

use std::io;

use ::tokio::runtime::Builder;

use crate::runtime::Handle;
use crate::runtime::found;
use crate::runtime::tokio::TokioAdapter;

/// Runs on tokio: on the runtime that the application runs on, or on one of its own.
///
/// Time is tokio's, so foster follows a paused clock (`tokio::time::pause`) in everything that runs
/// on the runtime.
///
/// A runtime that was built without `enable_time` panics when a timer is made. If nobody called
/// [`enter`](Handle::enter) there, foster catches that panic, which tokio has reported on stderr,
/// and the thread of `futures-timer` serves instead. A program whose panics abort ends. So build
/// the runtime with `enable_time`.
///
/// # Without `enter`
///
/// With the feature `tokio`, code that is polled on a thread of tokio, and in no context of another
/// runtime, uses tokio. That covers `#[tokio::main]`, handlers of a web framework and
/// `tokio::spawn`. [`Handle::try_current`] returns what is in force.
///
/// A thread that has entered a tokio runtime (`tokio::runtime::Handle::enter`) belongs to it. If
/// such a thread blocks by another executor's `block_on`, it waits for timers of a runtime that
/// somebody else has to drive.
///
/// # Running a future
///
/// Code that is already async uses [`enter`](Handle::enter), because a thread that runs async code
/// of tokio must not block. On such a thread `try_run` returns an error, and `run` panics with it.
/// tokio reports a panic of its own on stderr first, which ends a program whose panics abort.
///
/// A thread that blocks on [`Tokio::current`] only waits. Whoever owns that runtime drives it, if
/// it is a current-thread one. A runtime of [`Tokio::current_thread`] is driven by the threads that
/// block on it.
///
/// # When the runtime ends
///
/// A runtime made here ends with its last handle. That never blocks, not even in async code. Its
/// tasks are dropped where they are pending, and blocking jobs that already run end by themselves.
///
/// Once the runtime behind [`Tokio::current`] has ended, tasks and jobs are refused, and polling a
/// timer panics, as it does with tokio.
///
/// # Examples
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
    /// Returns the tokio runtime that the caller runs on.
    ///
    /// Use it in programs under `#[tokio::main]` or `#[tokio::test]`. Code that runs there uses
    /// tokio's timers, its pool for blocking jobs and its threads for parallel children even
    /// without this. [`enter`](Handle::enter) adds a root, which waits for what is adopted.
    ///
    /// ```
    /// use foster::runtimes::Tokio;
    ///
    /// #[tokio::main]
    /// async fn main() {
    ///     let sum = foster::scope(async |s| { s.spawn_parallel(async { 3 + 4 }).await });
    ///     assert_eq!(Tokio::current().enter(sum).await, 7);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the caller runs on no tokio runtime. [`try_current`](Tokio::try_current) returns
    /// `None` instead.
    #[track_caller]
    pub fn current() -> Self {
        let Some(tokio) = Self::try_current() else {
            panic!("Tokio::current() outside of a tokio runtime: call it in async code, or make a runtime of your own")
        };
        tokio
    }

    /// Returns the tokio runtime that the caller runs on, or `None`.
    pub fn try_current() -> Option<Self> {
        found::handle().map(Tokio)
    }

    /// Creates a runtime whose tasks run on whichever thread blocks on it.
    ///
    /// The tasks wait while no thread does. I/O and time are enabled.
    ///
    /// ```
    /// use foster::runtimes::Tokio;
    ///
    /// let here = std::thread::current().id();
    /// let there = Tokio::current_thread()?.run(foster::scope(async |s| {
    ///     s.spawn_parallel(async { std::thread::current().id() }).await
    /// }));
    /// assert_eq!(here, there);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses what the runtime needs, such as a selector for I/O.
    pub fn current_thread() -> io::Result<Self> {
        Self::build(&mut Builder::new_current_thread())
    }

    /// Creates a runtime with `workers` threads of its own. A thread that blocks on it only waits.
    ///
    /// I/O and time are enabled. If you build a `runtime` with other settings, call
    /// `let _entered = runtime.enter();` and then [`Tokio::current`].
    ///
    /// # Errors
    ///
    /// Returns an error if `workers` is 0, or if the system refuses what the runtime needs.
    pub fn multi_thread(workers: usize) -> io::Result<Self> {
        if workers == 0 {
            return Err(super::no_threads("a tokio runtime"));
        }
        Self::build(Builder::new_multi_thread().worker_threads(workers))
    }

    fn build(builder: &mut Builder) -> io::Result<Self> {
        Ok(Tokio(Handle::new(TokioAdapter::owner(builder.enable_all().build()?))))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use futures::task::SpawnExt;

    use super::super::tests::{Drops, block_on};
    use super::*;
    use crate::runtime::{Blocking, Clock};

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
    fn a_refusal_is_noticed_when_the_budget_is_used_up() {
        use ::tokio::task::coop::{consume_budget, has_budget_remaining};
        use futures::FutureExt;

        let gone = {
            let runtime = Builder::new_current_thread().build().unwrap();
            let _entered = runtime.enter();
            Tokio::current()
        };
        Tokio::current_thread().unwrap().run(async {
            for _ in 0..1000 {
                _ = consume_budget().now_or_never();
            }
            assert!(!has_budget_remaining());
            assert!(gone.spawn(async {}).is_err());
        });
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
