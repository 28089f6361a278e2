//! Parallel children, blocking jobs, and what happens at the root of a run.

use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use foster::{Reason, Token, adopt, scope, shield, sleep, timeout, timeout_detach, try_scope, yield_now};
use futures::FutureExt;
use futures::task::{Spawn, SpawnExt};

use crate::harness::{self, ALL, REAL, T, ok};
use crate::probes::{Gate, Log, Probe, boom, caught, turns, until, what};

matrix! {
    // C213
    async fn a_job_gives_its_value_its_error_or_its_panic_and_runs_once() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&runs);
        let (value, error) = scope(|s| async move {
            let value = s.spawn_blocking(move || {
                counting.fetch_add(1, Ordering::SeqCst);
                1
            });
            (value.await, s.spawn_blocking(|| Err::<(), _>("failed")).await)
        })
        .await;
        assert_eq!((value, error), (1, Err("failed")));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let panicked = caught(scope(|s| async move { s.spawn_blocking(|| boom("job")).await }));
        assert_eq!(panicked.await, Err::<(), _>("job"));
    }

    // C213
    async fn many_jobs_and_parallel_children_all_end_and_are_counted() {
        let sum = scope(|s| async move {
            let jobs: Vec<_> = (0..20).map(|n| s.spawn_blocking(move || n)).collect();
            let children: Vec<_> = (0..20)
                .map(|n| {
                    s.spawn_parallel(async move {
                        turns().await;
                        n
                    })
                })
                .collect();
            assert!(s.len() <= 40);
            let mut sum = 0;
            for task in jobs.into_iter().chain(children) {
                sum += task.await;
            }
            until(|| s.is_empty()).await;
            sum
        })
        .await;
        assert_eq!(sum, 2 * 190);
    }

    // S1
    async fn the_scope_waits_for_parallel_children_that_nobody_awaits() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(|s| async move {
            for _ in 0..50 {
                s.spawn_parallel(inside.watch(turns()));
            }
        })
        .await;
        assert_eq!(probe.ended(), 50);
        probe.assert_all_gone();
    }

    // S4
    async fn a_timeout_waits_for_the_end_of_the_parallel_children_that_it_cancels() {
        let probe = Probe::new();
        let inside = probe.clone();
        let elapsed = timeout(T, scope(|s| async move {
            for _ in 0..10 {
                s.spawn_parallel(inside.endless());
                s.spawn_parallel(shielded(inside.watch(sleep(2 * T))));
            }
            yield_now().await;
            inside.endless().await
        }))
        .await;
        assert!(elapsed.is_err());
        probe.assert_all_gone();
    }

    // S4
    async fn parallel_children_may_have_scopes_with_finalizers_of_their_own() {
        let log = Log::new();
        let inside = log.clone();
        let elapsed = timeout(2 * T, scope(|s| async move {
            let noting = inside.clone();
            s.defer(async move { inside.note("outer") });
            s.spawn_parallel(scope(|inner| async move {
                inner.defer(async move {
                    sleep(T / 2).await;
                    noting.note("inner");
                });
                pending::<()>().await
            }));
            pending::<()>().await
        }))
        .await;
        assert!(elapsed.is_err());
        assert_eq!(log.entries(), ["inner", "outer"]);
    }

    // S6
    async fn a_parallel_child_may_be_cancelled_alone() {
        let probe = Probe::new();
        let (child, cancelled_first) = (probe.endless(), probe.watch(turns()));
        scope(|s| async move {
            let task = s.spawn_parallel(child);
            yield_now().await;
            task.cancel();
            assert!(matches!(task.outcome().await.unwrap_err().reason(), Reason::Requested(_)));
            let task = s.spawn_parallel(cancelled_first);
            task.cancel();
            drop(task.outcome().await);
            assert!(!s.stop_token().is_cancelled());
            assert_eq!(s.spawn_parallel(async { 1 }).await, 1);
        })
        .await;
        probe.assert_all_gone();
    }

    // S5
    async fn a_parallel_child_may_spawn_into_its_scope_while_that_joins() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(|s| async move {
            let spawner = s.clone();
            s.spawn_parallel(async move {
                turns().await;
                spawner.spawn(inside.watch(turns()));
                spawner.spawn_parallel(inside.watch(turns()));
                spawner.defer(inside.watch(turns()));
            });
        })
        .await;
        assert_eq!(probe.ended(), 3);
        probe.assert_all_gone();
    }

    // S3
    async fn the_first_of_several_panics_is_resumed_once_and_the_runtime_lives_on() {
        let probe = Probe::new();
        let inside = probe.clone();
        let panicked = caught(scope(|s| async move {
            for _ in 0..10 {
                s.spawn_parallel(inside.watch(async { boom("child") }));
                s.spawn_blocking(|| boom("child"));
            }
        }))
        .await;
        assert_eq!(panicked, Err("child"));
        probe.assert_all_gone();
        assert_eq!(scope(|s| async move { s.spawn_parallel(async { 1 }).await }).await, 1);
    }

    // S2
    async fn an_error_of_a_parallel_child_is_told_to_the_others() {
        let probe = Probe::new();
        let inside = probe.clone();
        let result: Result<(), _> = try_scope(|s| async move {
            for _ in 0..10 {
                s.spawn_parallel(ok(inside.endless()));
            }
            s.spawn_parallel(async {
                turns().await;
                Err::<(), _>("failed")
            });
            pending().await
        })
        .await;
        assert_eq!(result, Err("failed"));
        probe.assert_all_gone();
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

    // S1
    async fn a_spawner_gives_what_it_spawns_to_the_scope() {
        let probe = Probe::new();
        let inside = probe.clone();
        let spawner = scope(|s| async move {
            let spawner = s.spawner();
            for _ in 0..5 {
                spawner.spawn(inside.watch(turns())).unwrap();
            }
            spawner
        })
        .await;
        assert_eq!(probe.ended(), 5);
        probe.assert_all_gone();
        assert!(spawner.status().is_err());
        assert!(spawner.spawn(probe.endless()).is_err());
        probe.assert_all_gone();
    }

    // S7
    async fn what_a_spawner_spawned_is_named_after_the_line_that_asked_for_it() {
        let mut reason = None;
        let seen = &mut reason;
        let failed = caught(scope(|s| async move {
            let token = s.stop_token();
            s.defer(async move { *seen = token.reason() });
            s.spawner().spawn(async { boom("spawned") }).unwrap();
            pending::<()>().await
        }));
        assert_eq!(failed.await, Err("spawned"));
        assert!(matches!(&reason, Some(Reason::Failed(name)) if name.to_string().contains(file!())), "{reason:?}");
    }

    // S7
    async fn the_reason_reaches_parallel_children() {
        let seen = Arc::new(std::sync::Mutex::new(None));
        let out = Arc::clone(&seen);
        let cancelled = scope(|s| async move {
            let begun = Gate::new();
            let began = begun.clone();
            s.spawn_parallel(async move {
                let token = Token::current().unwrap();
                shield(async {
                    began.open();
                    *out.lock().unwrap() = Some(token.cancelled().await);
                })
                .await;
            });
            begun.wait().await;
            s.cancel("enough");
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(*seen.lock().unwrap(), Some(Reason::from("enough")));
    }
}

async fn shielded<F: Future>(future: F) -> F::Output {
    shield(future).await
}

// C213; under sim a job is a task, and would hold up the whole simulation.
#[test]
fn ten_jobs_run_in_parallel() {
    harness::each(&REAL, |runtime| {
        let all = Arc::new(Barrier::new(10));
        runtime.run(scope(|s| async move {
            for _ in 0..10 {
                let all = Arc::clone(&all);
                s.spawn_blocking(move || all.wait().is_leader());
            }
        }));
    });
}

// C215
#[test]
fn a_run_returns_the_value_or_the_error_and_resumes_a_panic() {
    harness::each(&ALL, |runtime| {
        assert_eq!(runtime.run(async { 1 }), 1);
        assert_eq!(runtime.run(async { Err::<(), _>("failed") }), Err("failed"));
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.run(async { boom("root") })));
        assert_eq!(what(&*panicked.map(|(): ()| ()).unwrap_err()), "root");
        assert_eq!(runtime.run(async { 2 }), 2);
    });
}

// C215
#[test]
fn a_run_waits_for_what_was_adopted_and_drops_it_past_its_grace() {
    harness::each(&ALL, |runtime| {
        let probe = Probe::new();
        let left = probe.clone();
        runtime.run(async move {
            assert!(adopt(left.watch(turns())).now_or_never().is_none());
        });
        assert_eq!(probe.ended(), 1);
        probe.assert_all_gone();

        let probe = Probe::new();
        let endless = probe.clone();
        runtime.clone().with_grace(2 * T).run(async move {
            assert!(adopt(endless.endless()).now_or_never().is_none());
        });
        assert_eq!(probe.ended(), 0);
        probe.assert_all_gone();
    });
}

// C215
#[test]
fn a_panic_of_what_was_adopted_is_reported_by_the_run() {
    harness::each(&ALL, |runtime| {
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.run(async {
                let adopted = adopt(async {
                    turns().await;
                    boom("adopted")
                });
                assert!(adopted.map(|(): ()| ()).now_or_never().is_none());
            })
        }));
        assert_eq!(what(&*panicked.unwrap_err()), "adopted");
    });
}

// S4
#[test]
fn parallel_children_of_a_scope_that_is_dropped_at_the_root_end_before_the_run_returns() {
    harness::each(&ALL, |runtime| {
        let probe = Probe::new();
        let inside = probe.clone();
        runtime.run(async move {
            let left = scope(|s| async move {
                for _ in 0..10 {
                    s.spawn_parallel(inside.endless());
                    s.spawn_parallel(inside.watch(turns()));
                }
                turns().await;
                pending::<()>().await
            });
            drop(futures::future::select(Box::pin(left), Box::pin(turns())).await);
        });
        probe.assert_all_gone();
    });
}

// C210
#[test]
fn a_child_that_awaits_itself_is_named_and_refused() {
    let run = scope(|s| async move {
        let (give, take) = futures::channel::oneshot::channel::<foster::Task<u32>>();
        let task = s.named("narcissus").spawn(async move { take.await.unwrap().await });
        drop(give.send(task));
    });
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| harness::sim().run(run)));
    let message = refused.unwrap_err().downcast::<String>().expect("a message");
    assert!(message.contains("narcissus"), "{message}");
}

// C260
#[test]
fn a_deadlock_names_the_tree_of_what_is_stuck() {
    let stuck = scope(|s| async move {
        s.named("waiting").spawn(scope(|inner| async move {
            inner.named("deeper").spawn(pending::<()>());
        }));
    })
    .named("outer");
    let error = harness::sim().try_run(stuck).unwrap_err().to_string();
    let place = |what: &str| error.find(what).unwrap_or_else(|| panic!("`{what}` is not in: {error}"));
    assert!(place("outer") < place("waiting") && place("waiting") < place("deeper"), "{error}");
}
