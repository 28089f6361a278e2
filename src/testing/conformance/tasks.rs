//! Spawning, and blocking on a root future.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use futures_task::Spawn;
use futures_util::task::SpawnExt;

use super::watchdog::{TICK, await_drops, block_on, panic_quietly};
use crate::runtime::{Clock, Handle};
use crate::testing::cancel::message;
use crate::testing::{Drops, Gate};
use crate::time::yield_now;

table! {
    Handle a_root_runs_to_its_end_and_may_borrow:
        "Runtime: `block_on` returns when its root is ready, and not before",
    Handle tasks_run_to_their_end_and_are_dropped:
        "S1: a spawned future is run to its end and then dropped, although nobody holds a handle to it",
    Handle tasks_spawn_tasks_and_may_end_before_them:
        "S1: a spawned future is run to its end, whoever spawned it",
    Handle tasks_spawned_on_other_threads_run:
        "Runtime: tasks may be spawned on any thread, even before anybody blocks",
    Handle a_task_that_is_always_ready_starves_nobody:
        "S11: a task that is always ready starves neither the others nor the root",
    Handle a_waker_kept_too_long_does_nothing:
        "S12: a future is never polled after its end, whoever wakes it",
    Handle a_task_that_panics_takes_none_with_it:
        "S3: a spawned future that panics takes no other task with it",
    Handle a_root_that_panics_leaves_the_runtime_usable:
        "S3: a root that panics does so in its caller, and takes no task with it",
}

/// Spawns `future`, which the runtime must not refuse.
pub(super) fn spawn(handle: &Handle, future: impl Future<Output = ()> + Send + 'static) {
    assert!(handle.spawn(future).is_ok(), "a task was refused while the runtime goes on");
}

fn a_root_runs_to_its_end_and_may_borrow(handle: &Handle) {
    let text = String::from("borrowed");
    let length = block_on(handle, async {
        yield_now().await;
        text.len()
    });
    assert_eq!(length, 8);
}

fn tasks_run_to_their_end_and_are_dropped(handle: &Handle) {
    const TASKS: usize = 1000;
    let (drops, ended, all) = (Drops::new(), Arc::new(AtomicUsize::new(0)), Gate::new());
    for _ in 0..TASKS {
        let (guard, ended, all) = (drops.guard(), ended.clone(), all.clone());
        let mut end = Box::pin(async move {
            yield_now().await;
            if ended.fetch_add(1, Ordering::SeqCst) + 1 == TASKS {
                all.open();
            }
        });
        // The guard is dropped with the whole future, and not with a block that has completed.
        let task = poll_fn(move |cx| {
            let _whole = &guard;
            end.as_mut().poll(cx)
        });
        assert!(handle.spawn_obj(Box::new(task).into()).is_ok(), "a task was refused while the runtime goes on");
    }
    block_on(handle, all.wait());
    await_drops(&drops, "every future that is over was dropped");
}

fn tasks_spawn_tasks_and_may_end_before_them(handle: &Handle) {
    let (done, inner, clock) = (Gate::new(), handle.clone(), handle.clone());
    let opened = done.clone();
    spawn(handle, async move {
        spawn(&inner, async move {
            clock.timer(clock.now() + TICK).await;
            opened.open();
        });
    });
    block_on(handle, done.wait());
}

fn tasks_spawned_on_other_threads_run(handle: &Handle) {
    let gates: Vec<_> = (0..100).map(|_| Gate::new()).collect();
    thread::scope(|scope| {
        for gates in gates.chunks(25) {
            scope.spawn(move || {
                for gate in gates {
                    let gate = gate.clone();
                    spawn(handle, async move { gate.open() });
                }
            });
        }
    });
    block_on(handle, async {
        for gate in &gates {
            gate.wait().await;
        }
    });
}

fn a_task_that_is_always_ready_starves_nobody(handle: &Handle) {
    let (enough, other) = (Arc::new(AtomicBool::new(false)), Gate::new());
    let (seen, opened) = (enough.clone(), other.clone());
    spawn(handle, async move {
        while !seen.load(Ordering::SeqCst) {
            yield_now().await;
        }
    });
    spawn(handle, async move {
        yield_now().await;
        opened.open();
    });
    block_on(handle, async {
        other.wait().await;
        for _ in 0..10 {
            yield_now().await;
        }
    });
    enough.store(true, Ordering::SeqCst);
}

fn a_waker_kept_too_long_does_nothing(handle: &Handle) {
    let (polls, done) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let kept = Arc::new(Mutex::new(None::<Waker>));
    let (counted, keeper, opened) = (polls.clone(), kept.clone(), done.clone());
    let task = poll_fn(move |cx| {
        counted.fetch_add(1, Ordering::SeqCst);
        if let Ok(mut kept) = keeper.lock() {
            *kept = Some(cx.waker().clone());
        }
        opened.open();
        Poll::Ready(())
    });
    // `spawn` is not used here, because it would wrap the future in one that is fused.
    assert!(handle.spawn_obj(Box::new(task).into()).is_ok(), "a task was refused while the runtime goes on");
    block_on(handle, async {
        done.wait().await;
        handle.timer(handle.now() + TICK).await;
        let waker = kept.lock().ok().and_then(|mut kept| kept.take());
        if let Some(waker) = waker {
            waker.wake_by_ref();
            waker.wake();
        }
        handle.timer(handle.now() + TICK).await;
    });
    assert_eq!(polls.load(Ordering::SeqCst), 1, "polls of a future that is ready at the first");
}

fn a_task_that_panics_takes_none_with_it(handle: &Handle) {
    let (drops, done, clock) = (Drops::new(), Gate::new(), handle.clone());
    for _ in 0..8 {
        let guard = drops.guard();
        spawn(handle, async move {
            let _guard = guard;
            yield_now().await;
            panic_quietly("a task that panics");
        });
    }
    let opened = done.clone();
    spawn(handle, async move {
        clock.timer(clock.now() + TICK).await;
        opened.open();
    });
    block_on(handle, done.wait());
    await_drops(&drops, "every task that panicked was dropped");
}

fn a_root_that_panics_leaves_the_runtime_usable(handle: &Handle) {
    let (go, done) = (Gate::new(), Gate::new());
    let (wait, opened) = (go.clone(), done.clone());
    spawn(handle, async move {
        wait.wait().await;
        opened.open();
    });
    let root = || {
        block_on(handle, async {
            yield_now().await;
            panic_quietly("a root that panics");
        });
    };
    let payload = catch_unwind(AssertUnwindSafe(root));
    assert_eq!(payload.as_ref().map_err(|payload| message(&**payload)), Err("a root that panics"));
    go.open();
    block_on(handle, done.wait());
}
