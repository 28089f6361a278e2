//! What is `'static` passes to the enclosing scope when foreign code drops its own.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use foster::{Deadline, Token, adopt, now, scope, shield, sleep, timeout, timeout_detach};
use futures::FutureExt;
use futures::future::{poll_immediate, select};
use futures::task::SpawnExt;

use crate::harness::T;
use crate::probes::{Gate, Log, Probe, message, poll_by_hand, secs, turns};

/// A scope with two children, a finalizer, and a parallel child that takes its time to end. It
/// never ends by itself.
async fn busy(log: &Log) {
    scope(async |s| {
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
        scope(async |_| {
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
        scope(async |_| {
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
        scope(async |_| {
            drop(select(Box::pin(busy(log)), Box::pin(started(log))).await);
            log.note("dropped");
        }).await;
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn an_orphan_passes_through_scopes_that_are_dropped_themselves() {
        let log = &Log::new();
        scope(async |_| {
            tokio::select! {
                () = scope(async |s| {
                    s.spawn(scope(async |s| {
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
        scope(async |_| {
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
        let (log, end) = (&Log::new(), &Deadline::never());
        let late = end.timeout(scope(|_| async move {
            let mut inner = Box::pin(busy(log));
            assert!(poll_immediate(&mut inner).await.is_none());
            started(log).await;
            drop(inner);
            log.note("dropped");
            // Not before, as the inner scope is not polled until it is dropped, and would be waited
            // for.
            end.set(now()).unwrap();
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("outer over");
        assert_over(log);
    }

    // S4
    async fn a_panic_of_an_orphan_is_resumed_by_the_scope_that_was_handed_it() {
        let (begun, gate) = (Gate::new(), Gate::new());
        let panicking = scope(|_| async {
            let (beginning, shut) = (begun.clone(), gate.clone());
            let mut inner = Box::pin(scope(|s| async move {
                s.spawn_parallel(async move {
                    // Inside of the shield, because one that has not begun is dropped.
                    let held = async {
                        beginning.open();
                        shut.wait().await;
                    };
                    shield(held).await;
                    panic!("in an orphan");
                });
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
            begun.wait().await;
            drop(inner);
            gate.open();
        });
        let panicked = AssertUnwindSafe(panicking).catch_unwind().await;
        assert_eq!(message(panicked.unwrap_err()), "in an orphan");
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
    async fn a_detached_timeout_returns_at_once_and_the_scope_around_waits() {
        let (probe, released) = (Probe::new(), Gate::new());
        let (inside, seen, waiting) = (probe.clone(), probe.clone(), released.wait());
        scope(|_| async move {
            let elapsed = timeout_detach(T, scope(|s| async move {
                s.defer(inside.watch(waiting));
                s.spawn_parallel(inside.endless());
                pending::<()>().await
            }))
            .await;
            assert!(elapsed.is_err());
            assert_eq!(seen.ended(), 0);
            released.open();
        })
        .await;
        assert_eq!(probe.ended(), 1);
        probe.assert_all_gone();
    }

    // S4
    async fn a_lost_race_of_foreign_code_leaves_its_parallel_children_to_the_scope_around() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(async |_| {
            let loser = scope(async |s| {
                s.spawn_parallel(inside.endless());
                s.spawn_blocking(|| ());
                inside.endless().await
            });
            let turns = pin!(turns());
            drop(futures::future::select(Box::pin(loser), turns).await);
        })
        .await;
        probe.assert_all_gone();
    }

    // S1, S4. It kept to the scope in which it was first polled, which was over by then.
    async fn a_scope_that_has_moved_leaves_its_parallel_children_to_the_scope_it_is_in() {
        for polled_again in [false, true] {
            let log = Log::new();
            let over = log.on_drop("child over");
            let moving = scope(async |s| {
                s.spawn_parallel(async move {
                    let _over = over;
                    shield(sleep(T)).await;
                });
                turns().await;
                pending::<()>().await
            });
            let mut moving = Box::pin(moving);
            scope(async |_| assert!(poll_immediate(&mut moving).await.is_none())).await;
            scope(async |_| {
                if polled_again {
                    assert!(poll_immediate(&mut moving).await.is_none());
                }
                turns().await;
                drop(moving);
            })
            .await;
            log.note("scope over");
            let entries = log.entries();
            // A child that had not begun has nothing to finish, and is over earlier.
            assert_eq!(entries, ["child over", "scope over"], "polled again: {polled_again}");
        }
    }
}

sim! {
    // S8. There were two waits for the same children, and one of them was never woken.
    async fn parallel_children_that_overrun_are_handed_on_once() {
        let start = now();
        scope(async |_| {
            let overrunning = scope(async |s| {
                s.spawn_parallel(shield(sleep(secs(10))));
                s.defer(sleep(secs(100)));
                turns().await;
                s.cancel("enough");
                pending::<()>().await
            });
            assert!(overrunning.grace(secs(1)).outcome().await.is_err());
            assert_eq!(now() - start, secs(2));
        })
        .await;
        assert_eq!(now() - start, secs(10));
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

/// Notes when it is dropped in a region, where nothing new would start if that was cancelled.
struct Outside(Log);

impl Drop for Outside {
    fn drop(&mut self) {
        self.0.note(if Token::current().is_some() { "in a region" } else { "outside" });
    }
}

// Its destructors found the region of the caller.
#[test]
fn what_a_detached_timeout_leaves_to_nobody_is_dropped_outside_of_regions() {
    let log = Log::new();
    let held = Outside(log.clone());
    let detached = timeout_detach(
        Duration::ZERO,
        shield(async move {
            let _held = held;
            pending::<()>().await
        }),
    );
    let around = timeout(Duration::MAX, async { assert!(detached.await.is_err()) });
    futures::executor::block_on(around).unwrap();
    assert_eq!(log.entries(), ["outside"]);
}

// Its destructors found the region of whoever dropped the scope.
#[test]
fn a_child_that_a_dropped_scope_has_not_taken_in_is_dropped_outside_of_regions() {
    let log = Log::new();
    let held = Outside(log.clone());
    let around = timeout(Duration::MAX, async {
        let kept = Mutex::new(None);
        let mut dropped = Box::pin(scope(async |s| {
            *kept.lock().unwrap() = Some(s.spawner());
            pending::<()>().await
        }));
        assert!(poll_immediate(&mut dropped).await.is_none());
        let spawner = kept.lock().unwrap().take().unwrap();
        spawner.spawn(async move { drop(held) }).unwrap();
        drop(dropped);
    });
    futures::executor::block_on(around).unwrap();
    assert_eq!(log.entries(), ["outside"]);
}

// S4
#[test]
fn a_scope_dropped_outside_any_runtime_drops_all_it_has() {
    let log = &Log::new();
    let mut dropped = Box::pin(scope(async |s| {
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
