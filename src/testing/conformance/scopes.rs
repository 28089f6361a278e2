//! What scopes promise, with children on the runtime.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tasks::spawn;
use super::watchdog::{TICK, block_on, panic_quietly};
use crate::cancel::token::Token;
use crate::cancel::{adopt, shield};
use crate::runtime::Handle;
use crate::scope::{scope, try_scope};
use crate::testing::cancel::message;
use crate::testing::{Drops, Gate, poll_once};
use crate::time::{deadline, now, sleep, timeout, yield_now};

table! {
    Handle nested_scopes_join_their_parallel_children:
        "S1: a scope resolves once every child has ended, wherever it ran",
    Handle the_first_error_ends_parallel_siblings:
        "S2: the first error ends the siblings, and is the error of the scope",
    Handle a_panic_of_a_parallel_child_reaches_the_scope:
        "S3: a child's panic is resumed in the scope once everything else has ended",
    Handle a_cancelled_child_is_told_and_waited_for:
        "S4: cancelled children get the time that their cleanup takes",
    Handle what_is_adopted_outlives_a_drop:
        "S4: adopted futures are finished before `Handle::run` returns",
    Handle children_of_a_dropped_scope_are_waited_for:
        "S4: parallel children of a dropped scope are transferred to the enclosing one",
    Handle what_is_spawned_too_late_is_dropped_unpolled:
        "S5: a cancelled scope drops new children unpolled",
    Handle a_task_cancels_its_child_alone:
        "S6: `Task::cancel` ends one child, and its siblings run on",
    Handle a_dropped_task_does_not_stop_its_child:
        "S6: the scope owns a child, and its task does not",
    Handle a_stopped_scope_lets_children_finish:
        "S8: `stop` asks children first, through their token",
    Handle a_shielded_child_outlasts_a_cancellation:
        "S9: a shield is not dropped by a cancellation",
    Handle deadlines_and_the_clock_reach_parallel_children:
        "S10: children see the enclosing deadline, on the runtime's clock",
    Handle blocking_children_are_joined:
        "S1: a scope waits for its blocking jobs, and resumes their panics",
    Handle entering_gives_a_task_its_runtime:
        "Runtime: inside `Handle::enter`, time, parallel children and jobs are the runtime's",
}

type Flag = Arc<AtomicBool>;

fn is_set(flag: &Flag) -> bool {
    flag.load(Ordering::SeqCst)
}

fn set(flag: &Flag) {
    flag.store(true, Ordering::SeqCst);
}

/// Returns the sum of eight numbers, each of which comes from a parallel child.
async fn sum_from(first: usize, drops: &Drops) -> usize {
    scope(async |s| {
        let child = |n| {
            let guard = drops.guard();
            s.spawn_parallel(async move {
                let _guard = guard;
                yield_now().await;
                n
            })
        };
        let tasks: Vec<_> = (first..first + 8).map(child).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    })
    .await
}

fn nested_scopes_join_their_parallel_children(handle: &Handle) {
    let drops = Drops::new();
    let sum = handle.run(scope(async |s| {
        let (one, other) = (s.spawn(sum_from(0, &drops)), s.spawn(sum_from(8, &drops)));
        one.await + other.await
    }));
    assert_eq!(sum, (0..16).sum());
    assert_eq!(drops.alive(), 0, "children that are there after their scope");
}

/// Returns the future of a child that never completes by itself.
fn endless<T: Send + 'static>(drops: &Drops) -> impl Future<Output = T> + Send + 'static {
    let guard = drops.guard();
    async move {
        let _guard = guard;
        loop {
            sleep(TICK).await;
        }
    }
}

fn the_first_error_ends_parallel_siblings(handle: &Handle) {
    let drops = Drops::new();
    let result: Result<(), &str> = handle.run(try_scope(async |s| {
        s.spawn_parallel(endless::<Result<(), _>>(&drops));
        s.spawn_parallel(endless::<Result<(), _>>(&drops));
        let failing = s.spawn_parallel(async {
            sleep(TICK).await;
            Err("failed")
        });
        failing.await
    }));
    assert_eq!(result, Err("failed"));
    assert_eq!(drops.alive(), 0, "siblings that are there after their scope");
}

fn a_panic_of_a_parallel_child_reaches_the_scope(handle: &Handle) {
    let drops = Drops::new();
    let scope = scope(async |s| {
        s.spawn_parallel(endless::<()>(&drops));
        drop(s.spawn_parallel(async { panic_quietly("of a child") }));
        pending::<()>().await;
    });
    let payload = catch_unwind(AssertUnwindSafe(|| handle.run(scope)));
    assert_eq!(payload.as_ref().map_err(|payload| message(&**payload)), Err("of a child"));
    assert_eq!(drops.alive(), 0, "siblings that are there after the panic");
    assert_eq!(handle.run(async { 1 }), 1);
}

/// Runs a scope with `child`, and cancels it once `started` is open.
fn run_and_cancel(handle: &Handle, started: &Gate, child: impl Future<Output = ()> + Send + 'static) {
    let body = scope(async |s| {
        drop(s.spawn_parallel(child));
        started.wait().await;
        s.cancel("enough");
        pending::<()>().await;
    });
    let outcome = handle.run(body.outcome());
    assert!(outcome.is_err(), "a scope that was cancelled has a value");
}

fn a_cancelled_child_is_told_and_waited_for(handle: &Handle) {
    let (cleaned, started) = (Flag::default(), Gate::new());
    let (flag, opened) = (cleaned.clone(), started.clone());
    let child = scope(async move |s| {
        s.defer(async move {
            sleep(4 * TICK).await;
            set(&flag);
        });
        yield_now().await;
        opened.open();
        pending::<()>().await;
    });
    run_and_cancel(handle, &started, child);
    assert!(is_set(&cleaned), "the scope did not wait for its child's finalizer");
}

fn a_shielded_child_outlasts_a_cancellation(handle: &Handle) {
    let (done, started) = (Flag::default(), Gate::new());
    let (flag, opened) = (done.clone(), started.clone());
    let shielded = shield(async move {
        opened.open();
        sleep(4 * TICK).await;
        set(&flag);
    });
    run_and_cancel(handle, &started, shielded);
    assert!(is_set(&done), "the scope did not wait for a shield");
}

fn what_is_adopted_outlives_a_drop(handle: &Handle) {
    let done = Flag::default();
    let flag = done.clone();
    handle.run(async move {
        let mut adopted = Box::pin(adopt(async move {
            sleep(2 * TICK).await;
            set(&flag);
        }));
        assert!(poll_once(&mut adopted).await.is_pending());
    });
    assert!(is_set(&done), "`Handle::run` returned before an adopted future was over");
}

fn children_of_a_dropped_scope_are_waited_for(handle: &Handle) {
    let drops = Drops::new();
    handle.run(scope(async |_| {
        let started = Gate::new();
        let (guard, opened) = (drops.guard(), started.clone());
        let mut inner = Box::pin(scope(async |s| {
            drop(s.spawn_parallel(async move {
                let _guard = guard;
                opened.open();
                shield(sleep(3 * TICK)).await;
            }));
            pending::<()>().await;
        }));
        assert!(poll_once(&mut inner).await.is_pending());
        started.wait().await;
    }));
    assert_eq!(drops.alive(), 0, "a child of a dropped scope that nobody waited for");
}

fn what_is_spawned_too_late_is_dropped_unpolled(handle: &Handle) {
    let (drops, polled) = (Drops::new(), Flag::default());
    let (guard, flag) = (drops.guard(), polled.clone());
    let alive = handle.run(scope(async |s| {
        s.cancel("over");
        let task = s.spawn_parallel(async move {
            let _guard = guard;
            set(&flag);
        });
        (drops.alive(), task.is_finished())
    }));
    assert_eq!((alive, is_set(&polled)), ((0, true), false));
}

fn a_task_cancels_its_child_alone(handle: &Handle) {
    let drops = Drops::new();
    let outcomes = handle.run(scope(async |s| {
        let cancelled = s.spawn_parallel(endless::<()>(&drops));
        let sibling = s.spawn_parallel(async {
            sleep(3 * TICK).await;
            3
        });
        sleep(TICK).await;
        cancelled.cancel();
        (cancelled.outcome().await.is_err(), sibling.await)
    }));
    assert_eq!(outcomes, (true, 3));
    assert_eq!(drops.alive(), 0);
}

fn a_dropped_task_does_not_stop_its_child(handle: &Handle) {
    let done = Flag::default();
    let flag = done.clone();
    handle.run(scope(async |s| {
        drop(s.spawn_parallel(async move {
            sleep(TICK).await;
            set(&flag);
        }));
        yield_now().await;
    }));
    assert!(is_set(&done), "the child did not run to its end");
}

fn a_stopped_scope_lets_children_finish(handle: &Handle) {
    let value = handle.run(scope(async |s| {
        let listening = Gate::new();
        let opened = listening.clone();
        let task = s.spawn_parallel(async move {
            let Some(token) = Token::current() else { return 0 };
            opened.open();
            drop(token.cancelled().await);
            sleep(TICK).await;
            7
        });
        listening.wait().await;
        s.stop("enough", std::time::Duration::MAX);
        task.await
    }));
    assert_eq!(value, 7, "the child was not asked, or was not given the time to end");
}

fn deadlines_and_the_clock_reach_parallel_children(handle: &Handle) {
    let (due, slept) = handle.run(async {
        let inside = scope(async |s| {
            let due = s.spawn_parallel(async { deadline() });
            let slept = s.spawn_parallel(async {
                let start = now();
                sleep(2 * TICK).await;
                now() - start
            });
            (due.await, slept.await)
        });
        match timeout(1_000_000 * TICK, inside).await {
            Ok(seen) => seen,
            Err(elapsed) => panic!("a long timeout ended at once: {elapsed}"),
        }
    });
    assert!(due.is_some(), "a parallel child knows of no deadline");
    assert!(slept >= 2 * TICK, "a child slept for {slept:?} instead of {:?}", 2 * TICK);
}

fn blocking_children_are_joined(handle: &Handle) {
    let sum = handle.run(scope(async |s| s.spawn_blocking(|| (1..=100).sum::<u32>()).await));
    assert_eq!(sum, 5050);
    let failing = scope(async |s| s.spawn_blocking(|| panic_quietly("of a job")).await);
    let payload = catch_unwind(AssertUnwindSafe(|| handle.run(failing)));
    assert_eq!(payload.as_ref().map_err(|payload| message(&**payload)), Err("of a job"));
}

fn entering_gives_a_task_its_runtime(handle: &Handle) {
    let (done, held) = (Gate::new(), Flag::default());
    let (opened, flag) = (done.clone(), held.clone());
    spawn(
        handle,
        handle.enter(async move {
            let start = now();
            let sum = scope(async |s| {
                let (parallel, job) = (s.spawn_parallel(async { 1 }), s.spawn_blocking(|| 2));
                parallel.await + job.await
            });
            sleep(TICK).await;
            if sum.await == 3 && now() - start >= TICK {
                set(&flag);
            }
            opened.open();
        }),
    );
    block_on(handle, done.wait());
    assert!(is_set(&held), "wrong values, or a sleep that was too short");
}
