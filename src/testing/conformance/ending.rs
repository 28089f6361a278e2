//! The end of a runtime.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_task::Spawn;

use super::End;
use super::tasks::spawn;
use super::watchdog::{await_drops, block_on, park_on};
use crate::cancel::reason::Reason;
use crate::runtime::{Blocking, Clock, Handle};
use crate::scope::{TaskError, scope};
use crate::testing::{DropGuard, Drops, Gate, poll_once};
use crate::time::yield_now;

table! {
    LastHandle leftovers_are_dropped_with_the_last_handle:
        "S13: what is left over when the runtime ends is dropped",
    LastHandle a_scope_hears_that_the_last_handle_is_gone:
        "S13: children hold no runtime, and are cancelled by `Shutdown` when its last handle goes",
    Ended leftovers_are_dropped_at_the_end:
        "S13: what is left over when the runtime ends is dropped, although there are handles to it",
    Ended what_comes_after_the_end_is_dropped_unrun:
        "S13: a runtime that has ended drops tasks and jobs unrun",
    Ended a_scope_hears_that_the_runtime_has_ended:
        "S13: children of a runtime that ends are cancelled by `Shutdown`, and nobody hangs",
}

/// Leaves tasks behind in every state: waiting for nothing, for a gate or for a timer, and never
/// polled.
fn leave_over(handle: &Handle, drops: &Drops, gate: &Gate) {
    async fn keep(_guard: DropGuard, wait: impl Future<Output = ()>) {
        wait.await;
    }
    spawn(handle, keep(drops.guard(), pending()));
    spawn(handle, keep(drops.guard(), gate.wait()));
    spawn(handle, keep(drops.guard(), handle.timer(handle.now() + Duration::from_secs(3600))));
    block_on(handle, async {
        for _ in 0..10 {
            yield_now().await;
        }
    });
    spawn(handle, keep(drops.guard(), pending()));
    assert_eq!(drops.count(), 0, "a task was dropped before the end");
}

fn leftovers_are_dropped_with_the_last_handle(handle: Handle) {
    let (drops, gate) = (Drops::new(), Gate::new());
    leave_over(&handle, &drops, &gate);
    drop(handle);
    await_drops(&drops, "every task that was left over has been dropped");
    gate.open();
}

fn a_scope_hears_that_the_last_handle_is_gone(handle: Handle) {
    let (drops, begun) = (Drops::new(), Gate::new());
    let (guard, opened, inner) = (drops.guard(), begun.clone(), handle.clone());
    // The scope does not belong to the runtime, and keeps no handle to it.
    let mut elsewhere = Box::pin(scope(async |s| {
        let child = async move {
            let _guard = guard;
            opened.open();
            pending::<()>().await;
        };
        let task = s.spawn_on(child, &inner);
        drop(inner);
        task.outcome().await
    }));
    assert!(park_on(poll_once(&mut elsewhere)).is_pending());
    block_on(&handle, begun.wait());
    drop(handle);
    assert_shutdown(park_on(elsewhere), "how the child ended");
    assert_eq!(drops.alive(), 0, "the child's future is there after its scope");
}

fn assert_shutdown<T>(outcome: Result<T, TaskError>, what: &str) {
    let reason = outcome.err().map(|error| error.reason().clone());
    assert_eq!(reason, Some(Reason::Shutdown), "{what}");
}

fn leftovers_are_dropped_at_the_end(handle: Handle, end: End) {
    let (drops, gate) = (Drops::new(), Gate::new());
    leave_over(&handle, &drops, &gate);
    end();
    await_drops(&drops, "every task that was left over has been dropped");
    gate.open();
    drop(handle);
}

fn what_comes_after_the_end_is_dropped_unrun(handle: Handle, end: End) {
    end();
    let (drops, run) = (Drops::new(), Arc::new(AtomicBool::new(false)));
    let (in_task, task_run, in_job, job_run) = (drops.guard(), run.clone(), drops.guard(), run.clone());
    let task = async move {
        let _guard = in_task;
        task_run.store(true, Ordering::SeqCst);
    };
    let job = move || {
        let _guard = in_job;
        job_run.store(true, Ordering::SeqCst);
    };
    // This holds whether the runtime reports the refusal or not.
    drop(handle.spawn_obj(Box::new(task).into()));
    drop(handle.spawn_blocking(Box::new(job)));
    await_drops(&drops, "a task and a job that came too late have been dropped");
    assert!(!run.load(Ordering::SeqCst), "something was run after the end");
}

fn a_scope_hears_that_the_runtime_has_ended(handle: Handle, end: End) {
    let drops = Drops::new();
    let ready = Gate::new();
    let (guard, opened, inner) = (drops.guard(), ready.clone(), handle.clone());
    // The scope does not belong to the runtime, so it learns of the end from elsewhere.
    let waiting = thread::spawn(move || {
        park_on(scope(async |s| {
            let task = s.spawn_on(
                async move {
                    let _guard = guard;
                    pending::<()>().await;
                },
                &inner,
            );
            opened.open();
            task.outcome().await
        }))
    });
    block_on(&handle, async {
        while !ready.is_open() {
            yield_now().await;
        }
    });
    end();
    match waiting.join() {
        Ok(outcome) => assert_shutdown(outcome, "how the child ended"),
        Err(_) => panic!("the scope panicked when its child's runtime ended"),
    }
    assert_eq!(drops.alive(), 0, "the child's future is there after its scope");
    let late = park_on(scope(async |s| s.spawn_on(async {}, &handle).outcome().await));
    assert_shutdown(late, "a child that came too late");
}
