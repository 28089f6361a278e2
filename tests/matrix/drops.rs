//! Drops by code that is not foster's: they cannot wait, so what is `'static` passes to the enclosing scope.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use foster::{Task, adopt, deadline, gather, scope, shield, sleep, timeout, timeout_detach, try_scope, yield_now};
use futures::FutureExt;
use futures::future::{poll_immediate, select};

use crate::harness::{T, ok};
use crate::probes::{Log, message, poll_by_hand};

/// A scope with two children, a finalizer, and a parallel child that takes its time to end. It never ends by itself.
async fn busy(log: &Log) {
    scope(|s| async move {
        s.defer(async move { log.note("finalizer ran") });
        let noting = log.clone();
        s.spawn_parallel(async move {
            let _over = noting.on_drop("parallel over");
            shield(async {
                noting.note("parallel started");
                sleep(2 * T).await;
                noting.note("parallel saved");
            })
            .await;
            pending::<()>().await
        });
        for n in 0..2 {
            s.spawn(async move {
                let _over = log.on_drop(format!("child {n} over"));
                pending::<()>().await
            });
        }
        let _over = log.on_drop("body over");
        pending::<()>().await
    })
    .await;
}

/// What must have happened once the scope around the drop is over.
fn assert_over(log: &Log) {
    // Dropped at once, newest first.
    assert!(log.place("child 1 over") < log.place("child 0 over"));
    assert!(log.place("child 0 over") < log.place("body over"));
    assert!(log.place("body over") < log.place("dropped"));
    // A borrowed finalizer cannot run.
    assert!(!log.has("finalizer ran"));
    // Adopted, and waited for.
    assert!(log.place("parallel saved") < log.place("parallel over"));
    assert!(log.place("parallel over") < log.place("outer over"));
}

/// Waits until the parallel child has started.
async fn started(log: &Log) {
    while !log.has("parallel started") {
        sleep(T / 10).await;
    }
}

matrix! {
    // S4
    async fn what_tokio_select_drops_is_over_when_the_enclosing_scope_is() {
        let log = &Log::new();
        scope(|_| async move {
            tokio::select! {
                () = busy(log) => unreachable!(),
                () = started(log) => log.note("select returns"),
            }
            log.note("dropped");
        }).await;
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn what_futures_select_drops_is_over_when_the_enclosing_scope_is() {
        let log = &Log::new();
        scope(|_| async move {
            futures::select! {
                () = Box::pin(busy(log).fuse()) => unreachable!(),
                () = Box::pin(started(log).fuse()) => log.note("select returns"),
            }
            log.note("dropped");
        }).await;
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn what_select_drops_is_over_when_the_enclosing_scope_is() {
        let log = &Log::new();
        scope(|_| async move {
            drop(select(Box::pin(busy(log)), Box::pin(started(log))).await);
            log.note("dropped");
        }).await;
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn an_orphan_passes_through_scopes_that_are_dropped_themselves() {
        let log = &Log::new();
        scope(|_| async move {
            tokio::select! {
                () = scope(|s| async move {
                    s.spawn(scope(|s| async move {
                        s.spawn(busy(log));
                        pending::<()>().await
                    }));
                    pending::<()>().await
                }) => unreachable!(),
                () = started(log) => {}
            }
            log.note("dropped");
        }).await;
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn a_scope_that_was_handed_an_orphan_and_is_dropped_hands_it_on() {
        let log = &Log::new();
        scope(|_| async move {
            let middle = scope(|s| async move {
                let mut inner = Box::pin(busy(log));
                assert!(poll_immediate(&mut inner).await.is_none());
                started(log).await;
                drop(inner);
                log.note("dropped");
                s.spawn(pending::<()>());
                pending::<()>().await
            });
            drop(select(Box::pin(middle), Box::pin(async {
                while !log.has("dropped") {
                    sleep(T / 10).await;
                }
            })).await);
        }).await;
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn a_cancelled_scope_waits_for_the_orphans_that_it_was_handed() {
        let log = &Log::new();
        let late = timeout(T, scope(|_| async move {
            let mut inner = Box::pin(busy(log));
            assert!(poll_immediate(&mut inner).await.is_none());
            started(log).await;
            drop(inner);
            log.note("dropped");
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("outer over");
        // The parallel child may not have been polled when it was cancelled, if starting it took longer than `T`.
        if log.has("dropped") {
            assert_over(log);
        }
    }

    // S4
    async fn a_panic_of_an_orphan_is_resumed_by_the_scope_that_was_handed_it() {
        let panicking = scope(|_| async {
            let mut inner = Box::pin(scope(|s| async move {
                s.spawn_parallel(async {
                    shield(sleep(T)).await;
                    panic!("in an orphan");
                });
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
            // Under way, or else it would never be polled.
            sleep(T / 2).await;
            drop(inner);
        });
        let panicked = AssertUnwindSafe(panicking).catch_unwind().await;
        if let Err(payload) = panicked {
            assert_eq!(message(payload), "in an orphan");
        }
    }

    // S9
    async fn an_adopted_future_survives_a_drop() {
        let log = Log::new();
        scope(|_| async {
            let noting = log.clone();
            let saved = adopt(async move {
                sleep(2 * T).await;
                noting.note("saved");
                7
            });
            tokio::select! {
                // First, since both are due where the thread was held up.
                biased;
                () = sleep(T) => {}
                _ = saved => unreachable!(),
            }
            log.note("dropped");
        }).await;
        log.note("over");
        assert_eq!(log.entries(), ["dropped", "saved", "over"]);
    }

    // S9
    async fn an_adopted_future_that_is_not_dropped_is_its_value() {
        assert_eq!(adopt(async { sleep(T).await; 7 }).await, 7);
        assert_eq!(scope(|_| async { adopt(async { 8 }).await }).await, 8);
    }

    // S9
    async fn an_adopted_future_that_was_never_polled_is_dropped() {
        let log = Log::new();
        scope(|_| async {
            let noting = log.clone();
            let held = log.on_drop("dropped");
            drop(adopt(async move {
                let _held = held;
                noting.note("ran");
            }));
        }).await;
        assert_eq!(log.entries(), ["dropped"]);
    }

    // S9
    async fn an_adopted_future_survives_a_panic_next_to_it() {
        let log = Log::new();
        let noting = log.clone();
        let panicking = AssertUnwindSafe(scope(|s| async move {
            s.spawn(async {
                let saved = adopt(async move { sleep(2 * T).await; noting.note("saved") });
                let panics = async { yield_now().await; panic!("next to it") };
                futures::join!(saved, panics)
            });
            pending::<()>().await
        }));
        assert_eq!(message(panicking.catch_unwind().await.unwrap_err()), "next to it");
        assert_eq!(log.entries(), ["saved"]);
    }

    // S9
    async fn an_adopted_future_survives_an_error_of_its_scope() {
        let log = Log::new();
        let noting = log.clone();
        let failed = try_scope(|s| async move {
            s.spawn(ok(async {
                adopt(async move { sleep(2 * T).await; noting.note("saved") }).await;
                pending::<()>().await
            }));
            sleep(T / 2).await;
            Err::<(), _>("failed")
        });
        assert_eq!(failed.await, Err("failed"));
        assert_eq!(log.entries(), ["saved"]);
    }

    // S9
    async fn an_adopted_future_is_finished_under_every_cancellation_of_ours() {
        let log = Log::new();
        let saving = |what: &'static str| {
            let log = log.clone();
            adopt(async move { sleep(2 * T).await; log.note(what) })
        };
        assert!(timeout(T, async { saving("timeout").await; pending::<()>().await }).await.is_err());
        log.place("timeout");
        let outcome = scope(|s| {
            let saved = saving("scope");
            async move {
                s.spawn(async { saved.await; pending::<()>().await });
                sleep(T / 2).await;
                s.cancel("enough");
                pending::<()>().await
            }
        }).outcome().await;
        assert!(outcome.is_err());
        log.place("scope");
        scope(|s| {
            let saved = saving("task");
            async move {
                let child = s.spawn(async { saved.await; pending::<()>().await });
                sleep(T / 2).await;
                child.cancel();
                assert!(child.outcome().await.is_err());
            }
        }).await;
        log.place("task");
    }

    // S9, S10: an adopted future is under no deadline of those around it
    async fn an_adopted_future_sees_no_deadline_before_or_after_it_was_handed_over() {
        let log = Log::new();
        let noting = log.clone();
        let late = timeout(T, scope(|_| async move {
            let mut saved = Box::pin(adopt(async move {
                assert_eq!(deadline(), None);
                assert!(timeout(T, pending::<()>()).await.is_err());
                assert_eq!(deadline(), None);
                sleep(2 * T).await;
                noting.note("saved");
            }));
            assert!(poll_immediate(&mut saved).await.is_none());
            drop(saved);
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["saved"]);
    }

    // S9
    async fn a_panic_in_an_adopted_future_is_resumed_by_the_scope_that_finishes_it() {
        let panicking = AssertUnwindSafe(scope(|_| async {
            let mut broken = Box::pin(adopt(async { yield_now().await; panic!("adopted") }));
            assert!(poll_immediate(&mut broken).await.is_none());
            drop(broken);
        }));
        assert_eq!(message(panicking.catch_unwind().await.unwrap_err()), "adopted");
    }

    // S4
    async fn a_detached_timeout_returns_at_once_and_its_scope_waits() {
        let log = Log::new();
        scope(|_| async {
            let noting = log.clone();
            let detached = timeout_detach(T, scope(|s| async move {
                let finalizing = noting.clone();
                s.defer(async move { sleep(T).await; finalizing.note("finalized") });
                let over = noting.on_drop("parallel over");
                s.spawn_parallel(async move {
                    let _over = over;
                    pending::<()>().await
                });
                pending::<()>().await
            }));
            assert!(detached.await.is_err());
            log.note("elapsed");
            assert!(!log.has("finalized"));
        }).await;
        log.note("over");
        assert!(log.place("elapsed") < log.place("finalized"));
        assert!(log.place("parallel over") < log.place("finalized"));
        assert_eq!(log.place("over"), 3);
    }

    // S4
    async fn a_detached_timeout_that_is_kept_is_the_value() {
        assert_eq!(timeout_detach(1000 * T, async { sleep(T).await; 7 }).await, Ok(7));
        assert_eq!(timeout_detach(Duration::ZERO, async { 8 }).await, Ok(8));
        assert_eq!(timeout_detach(Duration::MAX, async { sleep(T).await; 9 }).await, Ok(9));
        assert!(timeout_detach(T, pending::<()>()).await.is_err());
    }

    // S6: a task outlives its scope, and says what became of its child
    async fn tasks_of_a_dropped_scope_say_that_it_was_dropped() {
        let mut tasks: Vec<Task<()>> = Vec::new();
        {
            let tasks = &mut tasks;
            let mut inner = Box::pin(scope(|s| async move {
                tasks.push(s.spawn(pending()));
                tasks.push(s.spawn_parallel(pending()));
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
        }
        for outcome in gather(tasks.into_iter().map(Task::outcome)).await {
            assert_eq!(outcome.unwrap_err().reason(), &foster::Reason::Dropped);
        }
    }

    // C340
    async fn a_scope_dropped_before_its_first_poll_runs_nothing() {
        let log = &Log::new();
        let held = log.on_drop("dropped");
        drop(scope(|s| {
            s.spawn(async move { log.note("child ran") });
            s.defer(async move { log.note("finalizer ran") });
            async move {
                let _held = held;
                log.note("body ran");
            }
        }));
        assert_eq!(log.entries(), ["dropped"]);
    }
}

// S4: documented where it matters
#[test]
fn without_any_enclosing_scope_what_is_dropped_is_gone() {
    let log = Log::new();
    let noting = log.clone();
    let held = log.on_drop("dropped");
    let mut saved = Box::pin(adopt(async move {
        let _held = held;
        pending::<()>().await;
        noting.note("saved");
    }));
    assert!(poll_by_hand(&mut saved).is_pending());
    drop(saved);
    assert_eq!(log.entries(), ["dropped"]);

    let held = log.on_drop("detached");
    let expired = futures::executor::block_on(timeout_detach(
        Duration::ZERO,
        shield(async move {
            let _held = held;
            pending::<()>().await
        }),
    ));
    assert!(expired.is_err());
    log.place("detached");
}

// S4
#[test]
fn a_scope_dropped_outside_any_runtime_drops_all_it_has() {
    let log = &Log::new();
    let mut dropped = Box::pin(scope(|s| async move {
        s.defer(async move { log.note("finalizer ran") });
        let over = log.on_drop("child over");
        // There is no runtime around: on this task.
        s.spawn_parallel(async move {
            let _over = over;
            pending::<()>().await
        });
        let mut adopted = Box::pin(adopt({
            let over = log.on_drop("adopted over");
            async move {
                let _over = over;
                pending::<()>().await
            }
        }));
        assert!(poll_immediate(&mut adopted).await.is_none());
        drop(adopted);
        pending::<()>().await
    }));
    assert!(poll_by_hand(&mut dropped).is_pending());
    assert!(!log.has("adopted over"));
    drop(dropped);
    assert_eq!(log.entries().len(), 2, "{:?}", log.entries());
    log.place("child over");
    log.place("adopted over");
}
