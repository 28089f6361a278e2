//! What every adapter must do, run on each of them in each of its flavours.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures::channel::{mpsc, oneshot};
use futures::future::{join, join_all};
use futures::stream::StreamExt;
use futures::task::{FutureObj, Spawn, SpawnExt};

use crate::runtime::{Blocking, Clock, Handle, RunError};

const TICK: Duration = Duration::from_millis(5);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Counts its drops.
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

/// A future that is pending once.
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

/// Everything that holds for all runtimes, on one that `block_on` can run.
pub(super) fn contract(handle: impl Into<Handle>) {
    let handle = &handle.into();
    root_may_borrow(handle);
    many_tasks_run_to_their_end(handle);
    tasks_spawn_tasks_and_outlive_those_who_spawned_them(handle);
    tasks_are_spawned_and_woken_from_other_threads(handle);
    a_task_that_panics_takes_none_with_it(handle);
    timers_never_fire_early(handle);
    far_and_past_timers_do_not_panic(handle);
    jobs_run_off_the_callers_stack(handle);
    a_job_that_panics_takes_none_with_it(handle);
    a_root_that_panics_leaves_the_runtime_usable(handle);
}

fn root_may_borrow(handle: &Handle) {
    let text = String::from("borrowed");
    let length = block_on(handle, async {
        yield_once().await;
        text.len()
    });
    assert_eq!(length, Ok(8));
}

fn many_tasks_run_to_their_end(handle: &Handle) {
    let drops = Drops::default();
    let waits = (0..1000).map(|i| {
        let (done, wait) = oneshot::channel();
        let guard = drops.guard();
        let task = async move {
            let _guard = guard;
            yield_once().await;
            done.send(i).unwrap();
        };
        handle.spawn(task).unwrap();
        wait
    });
    let waits: Vec<_> = waits.collect();
    let sum: usize = block_on(handle, join_all(waits)).unwrap().into_iter().map(Result::unwrap).sum();
    assert_eq!(sum, 999 * 1000 / 2);
    drops.await_count(1000);
}

fn tasks_spawn_tasks_and_outlive_those_who_spawned_them(handle: &Handle) {
    let (done, wait) = oneshot::channel();
    let (inner, clock) = (handle.clone(), handle.clone());
    let task = async move {
        let grandchild = async move {
            clock.timer(clock.now() + TICK).await;
            done.send("late").unwrap();
        };
        inner.spawn(grandchild).unwrap();
    };
    handle.spawn(task).unwrap();
    assert_eq!(block_on(handle, wait), Ok(Ok("late")));
}

fn tasks_are_spawned_and_woken_from_other_threads(handle: &Handle) {
    let (sender, receiver) = mpsc::unbounded();
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let (handle, sender) = (handle.clone(), sender.clone());
            thread::spawn(move || {
                for j in 0..25 {
                    let sender = sender.clone();
                    let task = async move {
                        yield_once().await;
                        sender.unbounded_send(i * 25 + j).unwrap();
                    };
                    handle.spawn(task).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    if handle.name() == "sim" {
        // It waits for nothing outside of it, so everything has to be spawned before.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
    let mut all = block_on(handle, receiver.collect::<Vec<_>>()).unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

fn a_task_that_panics_takes_none_with_it(handle: &Handle) {
    let drops = Drops::default();
    for _ in 0..8 {
        let guard = drops.guard();
        let task = async move {
            let _guard = guard;
            yield_once().await;
            std::panic::resume_unwind(Box::new("a task that panics"));
        };
        handle.spawn(task).unwrap();
    }
    let (done, wait) = oneshot::channel();
    let clock = handle.clone();
    let task = async move {
        clock.timer(clock.now() + TICK).await;
        done.send(()).unwrap();
    };
    handle.spawn(task).unwrap();
    assert_eq!(block_on(handle, wait), Ok(Ok(())));
    drops.await_count(8);
}

fn timers_never_fire_early(handle: &Handle) {
    let start = handle.now();
    let fired = async |after: Duration| {
        handle.timer(start + after).await;
        handle.now()
    };
    let (late, early) = block_on(handle, join(fired(TICK * 4), fired(TICK))).unwrap();
    assert!(early >= start + TICK);
    assert!(late >= start + TICK * 4);
    if handle.name() == "sim" {
        // Elsewhere both may be due by the time the thread gets its turn.
        assert_eq!((early, late), (start + TICK, start + TICK * 4));
    }
}

fn far_and_past_timers_do_not_panic(handle: &Handle) {
    let now = handle.now();
    let far = block_on(handle, async {
        handle.timer(now).await;
        handle.timer(now.checked_sub(TICK).unwrap_or(now)).await;
        let far = [YEAR * 100, YEAR * 100_000].into_iter().filter_map(|after| now.checked_add(after));
        let mut far: Vec<_> = far.map(|at| Box::pin(handle.timer(at))).collect();
        for timer in &mut far {
            assert!(futures::poll!(timer).is_pending());
        }
        handle.timer(handle.now() + TICK).await;
    });
    assert_eq!(far, Ok(()));
}

fn jobs_run_off_the_callers_stack(handle: &Handle) {
    thread_local!(static INSIDE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) });
    let (done, wait) = oneshot::channel();
    INSIDE.set(true);
    handle.spawn_blocking(Box::new(move || done.send(INSIDE.get()).unwrap())).unwrap();
    INSIDE.set(false);
    assert_eq!(block_on(handle, wait), Ok(Ok(false)));
}

fn a_job_that_panics_takes_none_with_it(handle: &Handle) {
    for _ in 0..8 {
        let job = || std::panic::resume_unwind(Box::new("a job that panics"));
        handle.spawn_blocking(Box::new(job)).unwrap();
    }
    let (done, wait) = oneshot::channel();
    handle.spawn_blocking(Box::new(move || done.send(()).unwrap())).unwrap();
    assert_eq!(block_on(handle, wait), Ok(Ok(())));
}

fn a_root_that_panics_leaves_the_runtime_usable(handle: &Handle) {
    let root = std::panic::AssertUnwindSafe(|| {
        block_on(handle, async {
            yield_once().await;
            std::panic::resume_unwind(Box::new("a root that panics"));
        })
    });
    assert!(std::panic::catch_unwind(root).is_err());
    assert_eq!(block_on(handle, async { 1 }), Ok(1));
}

/// For a runtime that can be ended: what is left over is dropped then, whoever holds its wakers.
#[cfg_attr(not(any(feature = "tokio", feature = "basic", feature = "sim")), allow(dead_code))]
pub(super) fn leftovers_are_dropped(handle: impl Into<Handle>) {
    let handle = handle.into();
    let drops = Drops::default();
    let (keep, wait) = oneshot::channel::<()>();
    let spawn = |future: FutureObj<'static, ()>| handle.spawn_obj(future).unwrap();
    let guard = drops.guard();
    spawn(
        Box::new(async move {
            pending::<()>().await;
            drop(guard)
        })
        .into(),
    );
    let guard = drops.guard();
    spawn(
        Box::new(async move {
            _ = wait.await;
            drop(guard)
        })
        .into(),
    );
    let guard = drops.guard();
    let timer = handle.timer(handle.now() + YEAR);
    spawn(
        Box::new(async move {
            timer.await;
            drop(guard)
        })
        .into(),
    );
    block_on(&handle, async {
        yield_once().await;
        yield_once().await
    })
    .unwrap();
    // Never polled where tasks need somebody to block.
    let guard = drops.guard();
    spawn(
        Box::new(async move {
            pending::<()>().await;
            drop(guard)
        })
        .into(),
    );
    assert_eq!(drops.count(), 0);
    drop(handle);
    drops.await_count(4);
    assert!(keep.is_canceled());
}
