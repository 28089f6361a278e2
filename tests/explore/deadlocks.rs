//! What is said of a run that cannot go on, and of what a run leaves behind.

use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::task::Poll;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::{adopt, scope, sleep, yield_now};
use futures::FutureExt;
use futures::task::SpawnExt;

use crate::{SECOND, watched};

/// Is pending once without a wake-up, and then ready.
async fn lost() {
    let mut polled = false;
    poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn deadlock(program: impl Future<Output = ()>) -> String {
    Sim::new(1).try_run(program).unwrap_err().to_string()
}

#[test]
fn a_child_that_loses_its_wake_up_is_named_beside_one_that_is_stuck() {
    watched(|| {
        let message = deadlock(scope(async |s| {
            s.named("loses").spawn(lost());
            s.named("stuck").spawn(pending::<()>());
        }));
        let (stuck, over) = message.split_once("a wake-up was lost").unwrap_or((&message, ""));
        assert!(stuck.contains("`stuck`") && over.contains("`loses`") && !over.contains("`stuck`"), "{message}");
        let message = deadlock(scope(async |s| {
            s.named("stuck").spawn(pending::<()>());
            lost().await;
        }));
        let (_, over) = message.split_once("a wake-up was lost").unwrap_or((&message, ""));
        assert!(over.contains("\n  the body of a scope"), "{message}");
        let message = deadlock(lost());
        assert!(message.contains("a wake-up was lost:") && message.ends_with("\n  main"), "{message}");
    });
}

#[test]
fn a_panic_while_a_deadlock_is_drawn_leaves_the_depth_as_it_was() {
    watched(|| {
        let message = deadlock(async {
            Sim::current().spawn(pending()).unwrap();
            let panics = foster::shield(async {
                lost().await;
                panic!("polled for nothing");
            });
            assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
            pending().await
        });
        assert!(message.ends_with("\n  task 1"), "{message}");
    });
}

#[test]
fn a_deadlock_says_who_waits_for_what() {
    watched(|| {
        let error = Sim::new(1).try_run(scope(async |s| {
            let (_keep, never) = futures::channel::oneshot::channel::<()>();
            let stuck = s.named("stuck").spawn(never);
            s.named("waiter").spawn(async move { stuck.await.unwrap_or_default() });
            foster::shield(s.named("shielded").spawn(sleep(Duration::MAX))).await;
        }));
        let message = error.unwrap_err().to_string();
        for line in
            ["`stuck`", "`waiter`", "  task `stuck`", "shield `tests/explore/deadlocks.rs:", "  sleep without end"]
        {
            assert!(message.contains(line), "no {line} in {message}");
        }
    });
}

#[test]
fn what_a_run_leaves_behind_is_named() {
    watched(|| {
        let leaks = |sim: &Sim, test: fn(Sim) -> futures::future::BoxFuture<'static, ()>| {
            sim.try_run(test(sim.clone())).unwrap_err().to_string()
        };
        let strict = || Sim::builder().seed(1).strict().build();
        let task = leaks(&strict(), |sim| Box::pin(async move { sim.spawn(std::future::pending()).unwrap() }));
        assert!(task.ends_with("has left behind:\n  task 1"), "{task}");
        let child = leaks(&strict(), |_| {
            Box::pin(async {
                let mut forgotten =
                    Box::pin(scope(async |s| s.named("forgotten").spawn(std::future::pending::<()>()).await));
                assert!(futures::poll!(&mut forgotten).is_pending());
                std::mem::forget(forgotten);
            })
        });
        assert!(child.contains("`forgotten`, whose scope was forgotten"), "{child}");
        let adopted = leaks(&strict(), |_| {
            Box::pin(async { assert!(futures::poll!(Box::pin(adopt(sleep(1_000 * SECOND)))).is_pending()) })
        });
        assert!(adopted.contains("adopted `tests/explore/deadlocks.rs:"), "{adopted}");
        // What is about to end is no leak, nor what the root has waited for.
        strict().run(async {
            assert!(futures::poll!(Box::pin(adopt(sleep(SECOND)))).is_pending());
        });
        let sim = strict();
        let tasks = sim.clone();
        sim.run(async move { tasks.spawn(async { yield_now().await }).unwrap() });
    });
}
