//! Nurseries and cancel scopes: the rows that users of Trio rely on.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use foster::{
    Deadline, Inherited, Reason, Token, now, scope, shield, sleep, timeout, timeout_at, try_scope, yield_now,
};

use crate::harness::{T, ok};
use crate::probes::{Gate, Log, Probe, turns, until};

static USER: Inherited<&'static str> = Inherited::new();

/// Scopes, each the body of the one before.
fn bodies_deep(levels: usize, innermost: Gate) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(scope(move |_| async move {
        match levels {
            0 => {
                innermost.open();
                pending().await
            }
            _ => bodies_deep(levels - 1, innermost).await,
        }
    }))
}

matrix! {
    // C222
    async fn two_children_take_turns() {
        let log = Log::new();
        let child = |name: &'static str| {
            let log = log.clone();
            async move {
                for _ in 0..10 {
                    log.note(name);
                    yield_now().await;
                }
            }
        };
        let (one, two) = (child("one"), child("two"));
        scope(|s| async move {
            s.spawn(one);
            s.spawn(two);
        })
        .await;
        let entries = log.entries();
        assert_eq!(entries.len(), 20);
        assert!(entries.chunks(2).all(|round| round[0] != round[1]), "{entries:?}");
    }

    // C223
    async fn a_failure_drops_a_sibling_that_loops_for_ever() {
        let (probe, rounds) = (Probe::new(), AtomicUsize::new(0));
        let looping = probe.watch(async {
            loop {
                rounds.fetch_add(1, Ordering::Relaxed);
                yield_now().await;
            }
        });
        let result: Result<(), _> = try_scope(|s| async move {
            s.spawn(ok(looping));
            s.spawn(async {
                turns().await;
                Err::<(), _>("crashed")
            });
            pending().await
        })
        .await;
        assert_eq!(result, Err("crashed"));
        assert!(rounds.into_inner() > 1);
        probe.assert_all_gone();
    }

    // C225
    async fn two_crashes_are_two_errors() {
        let crashes = try_scope(|s| async move {
            s.named("one").spawn(async { Err::<(), _>(1) });
            s.named("two").spawn(async {
                yield_now().await;
                Err::<(), _>(2)
            });
            Ok(())
        })
        .keep_going()
        .await
        .unwrap_err();
        let crashes: Vec<_> = crashes.iter().map(|(name, &error)| (name.to_string(), error)).collect();
        assert_eq!(crashes, [("one".to_string(), 1), ("two".to_string(), 2)]);
    }

    // C228
    async fn a_cancelled_body_ends_at_its_next_suspension() {
        let log = Log::new();
        let noting = log.clone();
        let cancelled = scope(|s| async move {
            s.cancel("enough");
            noting.note("still here");
            yield_now().await;
            noting.note("too far");
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("enough"));
        assert_eq!(log.entries(), ["still here"]);
    }

    // C228
    async fn a_cancelled_body_goes_on_through_suspensions_under_a_shield() {
        let log = Log::new();
        let noting = log.clone();
        let cancelled = scope(|s| async move {
            shield(async {
                s.cancel("enough");
                turns().await;
                noting.note("in the shield");
            })
            .await;
            noting.note("up to here");
            yield_now().await;
            noting.note("too far");
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(log.entries(), ["in the shield", "up to here"]);
    }

    // C228
    async fn a_cancel_ends_what_would_sleep_for_ever() {
        let cancelled = scope(|s| async move {
            let canceller = s.clone();
            s.spawn(async move {
                turns().await;
                canceller.cancel("enough");
            });
            sleep(std::time::Duration::MAX).await;
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
    }

    // C230
    async fn cancelled_children_are_not_among_the_errors() {
        let errors = try_scope(|s| async move {
            let cancelled = s.spawn(pending::<Result<(), _>>());
            s.spawn(async { Err::<(), _>("the only one") });
            yield_now().await;
            cancelled.cancel();
            assert!(cancelled.outcome().await.is_err());
            Ok(())
        })
        .keep_going()
        .await
        .unwrap_err();
        assert_eq!(errors.into_vec(), ["the only one"]);
    }

    // C232
    async fn a_shield_keeps_a_cancel_from_around_out_but_not_one_from_within() {
        let log = Log::new();
        let noting = log.clone();
        let cancelled = scope(|outer| async move {
            shield(async {
                outer.cancel("from around");
                let inner = scope(|inner| async move {
                    turns().await;
                    assert!(!inner.stop_token().is_cancelled());
                    noting.note("shielded");
                    inner.cancel("from within");
                    yield_now().await;
                    noting.note("too far");
                });
                let reason = inner.outcome().await.unwrap_err();
                assert_eq!(reason.reason(), &Reason::from("from within"));
            })
            .await;
            pending::<()>().await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("from around"));
        assert_eq!(log.entries(), ["shielded"]);
    }

    // C233
    async fn a_cancel_reaches_all_grandchildren_at_once() {
        let probe = Probe::new();
        let grandchildren: Vec<_> = (0..3).map(|_| [probe.endless(), probe.endless()]).collect();
        let gone = probe.clone();
        scope(|s| async move {
            let child = s.spawn(scope(|parent| async move {
                for pair in grandchildren {
                    parent.spawn(scope(|inner| async move {
                        for grandchild in pair {
                            inner.spawn(grandchild);
                        }
                    }));
                }
            }));
            turns().await;
            assert_eq!(gone.polls(), 6);
            child.cancel();
            yield_now().await;
            assert_eq!(gone.dropped(), 6);
        })
        .await;
        probe.assert_all_gone();
    }

    // C237
    async fn a_shield_that_is_put_up_after_the_cancel_does_not_hold_it() {
        let (log, probe) = (Log::new(), Probe::new());
        let (noting, late) = (log.clone(), probe.endless());
        let cancelled = scope(|s| async move {
            shield(async { s.cancel("enough") }).await;
            noting.note("between");
            shield(late).await;
            noting.note("too far");
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(log.entries(), ["between"]);
        assert_eq!(probe.polls(), 0);
        probe.assert_all_gone();
    }

    // C238
    async fn a_cancel_before_the_entry_keeps_the_inside_from_running() {
        let probe = Probe::new();
        let token = Token::new();
        token.cancel("before");
        assert!(token.run_until_cancelled(probe.endless()).await.is_err());

        let body = probe.endless();
        let cancelled = scope(|s| {
            s.cancel("before");
            body
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("before"));
        assert_eq!(probe.polls(), 0);
        probe.assert_all_gone();
    }

    // C238
    async fn a_deadline_that_has_passed_counts_as_cancelled() {
        let probe = Probe::new();
        assert!(timeout_at(now(), probe.endless()).await.is_err());
        probe.assert_all_gone();
    }

    // C238
    async fn what_was_cancelled_never_becomes_uncancelled() {
        let token = Token::new();
        let child = token.child();
        token.cancel("once");
        token.cancel("twice");
        assert!(token.is_cancelled() && child.is_cancelled() && token.child().is_cancelled());
        assert_eq!(child.reason(), Some(Reason::from("once")));
    }

    // C242
    async fn spawning_is_allowed_while_children_run_and_refused_after_the_end() {
        let (task, handle) = scope(|s| async move {
            let spawner = s.clone();
            let task = s.spawn(async move {
                turns().await;
                spawner.spawn(async { 1 })
            });
            (task, s)
        })
        .await;
        assert_eq!(task.await.await, 1);
        let refused = handle.spawn(async { 2 });
        assert_eq!(refused.outcome().await.unwrap_err().reason(), &Reason::Parent);
    }

    // C243
    async fn the_default_name_is_the_place_of_the_spawn() {
        scope(|s| async move {
            let line = line!() + 1;
            let tasks = [s.spawn(async {}), s.spawn_parallel(async {}), s.spawn_blocking(|| ())];
            for task in tasks {
                assert_eq!(task.name().to_string(), format!("{}:{line}", file!()));
            }
        })
        .await;
    }

    // C245
    async fn a_cancel_does_not_take_a_value_or_an_error_that_is_there() {
        let value = scope(|s| async move {
            s.cancel("too late");
            1
        })
        .await;
        assert_eq!(value, 1);
        let error = try_scope(|s| async move {
            s.cancel("too late");
            Err::<(), _>("failed")
        })
        .await;
        assert_eq!(error, Err("failed"));
    }

    // C257
    async fn thousands_of_nested_scopes_are_cancelled_without_a_stack_overflow() {
        let innermost = Gate::new();
        let token = Token::new();
        let (canceller, entered) = (token.clone(), innermost.clone());
        scope(|s| async move {
            s.spawn(async move {
                entered.wait().await;
                canceller.cancel("enough");
            });
            assert!(token.run_until_cancelled(bodies_deep(2_000, innermost)).await.is_err());
        })
        .await;
    }

    // C263
    async fn inherited_values_are_those_at_the_spawn_and_are_not_shared_back() {
        USER.provide("outer", scope(|s| async move {
            let gate = Gate::new();
            let waiting = gate.wait();
            let child = s.spawn(async move {
                waiting.await;
                let own = USER.provide("the child's", async {
                    yield_now().await;
                    *USER.get().unwrap()
                });
                assert_eq!(own.await, "the child's");
                *USER.get().unwrap()
            });
            let parallel = s.spawn_parallel(async { *USER.get().unwrap() });
            let inner = USER.provide("inner", async {
                gate.open();
                turns().await;
                *USER.get().unwrap()
            });
            assert_eq!(inner.await, "inner");
            assert_eq!(child.await, "outer");
            assert_eq!(parallel.await, "outer");
            assert_eq!(*USER.get().unwrap(), "outer");
        }))
        .await;
        assert!(USER.get().is_none());
    }
}

// C240; under sim a job is a task, and would hold up the whole simulation.
#[test]
fn a_cancel_waits_for_a_job_that_cannot_be_dropped_and_runs_it_once() {
    crate::harness::each(&crate::harness::REAL, |runtime| {
        let runs = Arc::new(AtomicUsize::new(0));
        let (started, counting) = (Gate::new(), runs.clone());
        let (release, blocked) = mpsc::channel();
        let over = Gate::new();
        let (in_job, in_scope) = (started.clone(), over.clone());
        runtime.run(scope(|outer| async move {
            let ended = in_scope.clone();
            outer.spawn(async move {
                let cancelled = scope(|s| async move {
                    s.spawn_blocking(move || {
                        counting.fetch_add(1, Ordering::SeqCst);
                        in_job.open();
                        blocked.recv().unwrap();
                    });
                    started.wait().await;
                    s.cancel("once");
                    s.cancel("twice");
                    pending::<()>().await
                });
                assert!(cancelled.outcome().await.is_err());
                ended.open();
            });
            sleep(2 * T).await;
            assert!(!in_scope.is_open());
            release.send(()).unwrap();
            until(|| in_scope.is_open()).await;
        }));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

sim! {
    // C227
    async fn the_clock_is_that_of_the_runtime() {
        let start = now();
        sleep(1_000_000 * T).await;
        assert_eq!(now() - start, 1_000_000 * T);
        let elapsed = scope(|s| async move {
            s.spawn_parallel(async {
                let start = now();
                sleep(1_000 * T).await;
                now() - start
            })
            .await
        })
        .await;
        assert_eq!(elapsed, 1_000 * T);
    }

    // C235
    async fn a_deadline_that_is_set_late_and_moved_earlier_fires_when_it_is_due() {
        let start = now();
        let deadline = Deadline::never();
        let moved = deadline.clone();
        let elapsed = scope(|s| async move {
            s.spawn(async move {
                sleep(T).await;
                moved.set(now() + 10 * T).unwrap();
                sleep(T).await;
                moved.set(now() + T).unwrap();
            });
            deadline.timeout(pending::<()>()).await
        })
        .await;
        assert!(elapsed.is_err());
        assert_eq!(now() - start, 3 * T);
    }

    // C235
    async fn a_deadline_never_fires_once_what_it_guards_is_over() {
        let deadline = Deadline::after(T);
        assert!(deadline.timeout(yield_now()).await.is_ok());
        sleep(2 * T).await;
        assert!(!deadline.is_expired());
        assert!(!deadline.set(now()).unwrap_err().is_expired());
    }

    // C258
    async fn of_thousands_of_deadline_changes_the_last_one_counts() {
        let start = now();
        let deadline = Deadline::after(T);
        let moved = deadline.clone();
        let elapsed = scope(|s| async move {
            s.spawn(async move {
                for n in 1..=5_000 {
                    moved.set(start + n * T).unwrap();
                    yield_now().await;
                }
            });
            deadline.timeout(pending::<()>()).await
        })
        .await;
        assert!(elapsed.is_err());
        assert_eq!(now() - start, 5_000 * T);
    }

    // C235
    async fn a_timeout_ends_at_its_instant() {
        let start = now();
        assert!(timeout(7 * T, pending::<()>()).await.is_err());
        assert_eq!(now() - start, 7 * T);
    }
}

matrix! {
    // C222; `yield_now` gives the other children one turn, those spawned right before it included.
    async fn a_child_has_its_first_turn_before_the_body_that_yields_goes_on() {
        let probe = Probe::new();
        let (child, seen) = (probe.endless(), probe.clone());
        scope(|s| async move {
            s.spawn(child);
            yield_now().await;
            assert_eq!(seen.polls(), 1);
            s.cancel("enough");
        })
        .await;
        probe.assert_all_gone();
    }
}
