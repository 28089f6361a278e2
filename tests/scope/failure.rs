//! The first error cancels the scope, and later ones are reported.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::scope::Notice;
use foster::{Reason, Token, TryScope, shield, try_scope, yield_now};
use futures::future::poll_immediate;

use crate::harness::ok;
use crate::probes::{Gate, Late, Log, Probe, boom, caught, dropping, turns};

matrix! {
    // C322
    async fn a_failing_child_cancels_its_host() {
        let probe = Probe::new();
        let host = probe.endless();
        let result = try_scope(async |s| {
            s.spawn_parallel(async {
                yield_now().await;
                Err::<(), _>("failed")
            });
            host.await;
            Ok(())
        })
        .await;
        assert_eq!(result, Err("failed"));
        probe.assert_all_gone();
    }

    // C322
    async fn a_failing_host_cancels_its_children() {
        let probe = Probe::new();
        let (child, parallel) = (probe.endless(), probe.endless());
        let result = try_scope(async |s| {
            s.spawn(ok(child));
            s.spawn_parallel(ok(parallel));
            turns().await;
            Err::<(), _>("failed")
        })
        .await;
        assert_eq!(result, Err("failed"));
        probe.assert_all_gone();
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
        let result: Result<(), _> = try_scope(async |s| {
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
        let crashes = try_scope(async |s| {
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

    // C230
    async fn cancelled_children_are_not_among_the_errors() {
        let errors = try_scope(async |s| {
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

    // S2
    async fn a_failure_drops_children_newest_first_then_runs_finalizers_last_in_first_out() {
        let log = Log::new();
        let inside = log.clone();
        let result: Result<(), _> = try_scope(async |s| {
            for what in ["finalized last", "finalized first"] {
                let log = inside.clone();
                s.defer(ok(async move {
                    yield_now().await;
                    log.note(what);
                }));
            }
            for what in ["first", "second", "third"] {
                s.spawn(ok(dropping(inside.on_drop(what))));
            }
            s.spawn(async {
                turns().await;
                Err::<(), _>("failed")
            });
            pending().await
        })
        .await;
        assert_eq!(result, Err("failed"));
        assert_eq!(log.entries(), ["third", "second", "first", "finalized first", "finalized last"]);
    }

    // S2. The enclosing scope was cancelled in the poll in which the finalizer failed, and dropped
    // the error.
    async fn an_error_of_a_cleanup_is_returned_whoever_cancels_in_the_same_poll() {
        let result = try_scope(async |outer| {
            let inner = try_scope(async |inner: TryScope<'_, &str>| {
                inner.defer(async { Err("not closed") });
                outer.cancel("enough");
                Ok(())
            });
            inner.await
        });
        assert_eq!(result.outcome().await.unwrap(), Err("not closed"));
    }

    // S2
    async fn the_errors_of_a_scope_can_be_iterated_over() {
        let errors = try_scope(async |s| {
            s.named("left").spawn(async { Err::<(), _>(1) });
            s.named("right").spawn(async { Err::<(), _>(2) });
            Ok(())
        });
        let errors = errors.keep_going().await.unwrap_err();
        let mut sum = 0;
        for (name, error) in &errors {
            assert!(*name == "left" || *name == "right");
            sum += error;
        }
        assert_eq!(sum, 3);
        let mut owned: Vec<(String, i32)> = errors.into_iter().map(|(name, error)| (name.to_string(), error)).collect();
        owned.sort();
        assert_eq!(owned, [("left".to_string(), 1), ("right".to_string(), 2)]);
    }

    // C005
    async fn every_error_that_happened_at_one_instant_is_reported() {
        let (happened, late) = (Log::new(), Late::default());
        let (probe, gate) = (Probe::new(), Gate::new());
        let (sleeper, body) = (probe.endless(), probe.endless());
        let failing = || {
            let (happened, gate) = (happened.clone(), gate.clone());
            async move {
                gate.wait().await;
                happened.note("an error");
                Err::<(), _>("an error")
            }
        };
        let children = [failing(), failing(), failing()];
        let parallel = [failing(), failing(), failing()];
        let result = try_scope(|s| async move {
            s.spawn(ok(sleeper));
            for child in children {
                s.spawn(child);
            }
            for child in parallel {
                s.spawn_parallel(child);
            }
            s.spawn(ok(async move {
                yield_now().await;
                gate.open();
            }));
            body.await;
            Ok(())
        })
        .observe(late.observer())
        .await;
        assert_eq!(result, Err("an error"));
        assert_eq!(1 + late.errors().len(), happened.entries().len());
        probe.assert_all_gone();
    }

    // C007
    async fn an_error_drops_the_other_children_and_the_blocked_body() {
        let probe = Probe::new();
        let children: Vec<_> = (0..5).map(|_| probe.endless()).collect();
        let body = probe.endless();
        let result = try_scope(|s| async move {
            for child in children {
                s.spawn(ok(child));
            }
            s.spawn(async {
                yield_now().await;
                Err::<(), _>("failed")
            });
            body.await;
            Ok(())
        })
        .await;
        assert_eq!(result, Err("failed"));
        assert_eq!(probe.polls(), 6);
        probe.assert_all_gone();
    }

    // C008
    async fn errors_of_cleanup_after_a_cancel_from_around_are_reported() {
        let (token, late) = (Token::new(), Late::default());
        let canceller = token.clone();
        let result = token
            .run_until_cancelled(
                try_scope(|s| async move {
                    for error in ["first", "second", "third"] {
                        s.spawn(try_scope(|inner| async move {
                            inner.defer(async move {
                                yield_now().await;
                                Err(error)
                            });
                            pending::<Result<(), _>>().await
                        }));
                    }
                    turns().await;
                    canceller.cancel("enough");
                    pending::<Result<(), _>>().await
                })
                .observe(late.observer()),
            )
            .await;
        let mut errors = late.errors();
        errors.push(result.unwrap().unwrap_err());
        errors.sort_unstable();
        assert_eq!(errors, ["first", "second", "third"]);
    }

    // C010
    async fn an_error_of_the_body_before_its_first_await_drops_its_children_unpolled() {
        let probe = Probe::new();
        let (one, two) = (probe.endless(), probe.endless());
        let mut tasks = Vec::new();
        let out = &mut tasks;
        let result = try_scope(async |s| {
            out.push(s.spawn(ok(one)));
            out.push(s.spawn(ok(two)));
            Err::<(), _>("at once")
        })
        .await;
        assert_eq!(result, Err("at once"));
        assert_eq!(probe.polls(), 0);
        probe.assert_all_gone();
        for task in tasks {
            assert!(matches!(task.outcome().await.unwrap_err().reason(), Reason::Failed(_)));
        }
    }

    // C012
    async fn errors_of_cleanup_in_an_inner_scope_are_reported_while_the_outer_one_drops_its_child() {
        let (token, probe, late) = (Token::new(), Probe::new(), Late::default());
        let (canceller, sleeper) = (token.clone(), probe.endless());
        let inner_late = late.observer();
        let outer = try_scope(async |outer| {
            outer.spawn(ok(sleeper));
            try_scope(async |inner| {
                for error in ["one", "two"] {
                    inner.defer(async move { Err(error) });
                }
                turns().await;
                canceller.cancel("enough");
                pending::<Result<(), _>>().await
            })
            .observe(inner_late)
            .await
        });
        let result = token.run_until_cancelled(outer).await;
        assert_eq!(result.unwrap(), Err("two"));
        assert_eq!(late.errors(), ["one"]);
        probe.assert_all_gone();
    }

    // C013
    async fn an_error_in_the_outer_scope_ends_the_inner_one_and_is_the_only_error() {
        let (probe, late) = (Probe::new(), Late::default());
        let sleeper = probe.endless();
        let result = try_scope(async |outer| {
            outer.spawn(async {
                turns().await;
                Err::<(), _>("outer")
            });
            try_scope(async |inner| {
                inner.spawn(ok(sleeper));
                pending::<Result<(), &str>>().await
            })
            .await
        })
        .observe(late.observer())
        .await;
        assert_eq!(result, Err("outer"));
        assert!(late.errors().is_empty());
        assert_eq!(probe.polls(), 1);
        probe.assert_all_gone();
    }

    // C015
    async fn an_error_during_a_wind_down_is_reported() {
        let (token, failed, log) = (Token::new(), Gate::new(), Log::new());
        let (canceller, body_log) = (token.clone(), log.clone());
        let result = token
            .run_until_cancelled(try_scope(async |s| {
                let failing = failed.clone();
                s.spawn(async move {
                    shield(async {
                        turns().await;
                        failing.open();
                    })
                    .await;
                    Err::<(), _>("late")
                });
                yield_now().await;
                shield(async {
                    canceller.cancel("enough");
                    failed.wait().await;
                    turns().await;
                    body_log.note("cleaned up");
                })
                .await;
                pending::<Result<(), _>>().await
            }))
            .await;
        assert_eq!(result.unwrap(), Err("late"));
        assert_eq!(log.entries(), ["cleaned up"]);
    }

    async fn the_error_of_a_scope_that_is_dropped_before_it_returns_it_is_reported() {
        let late = Late::default();
        let dropped = try_scope(async |s| {
            s.defer(pending::<Result<(), _>>());
            Err::<(), _>("failed")
        });
        assert!(poll_immediate(dropped.observe(late.observer())).await.is_none());
        assert_eq!(late.errors(), ["failed"]);
    }

    // C030
    async fn a_childs_error_and_a_failing_close_are_exactly_two_errors() {
        async fn body(s: foster::TryScope<'static, &'static str>) -> Result<(), &'static str> {
            s.defer(async { Err("close") });
            s.spawn(async { Err::<(), _>("child") });
            turns().await;
            Ok(())
        }
        let late = Late::default();
        assert_eq!(try_scope(body).observe(late.observer()).await, Err("child"));
        assert_eq!(late.errors(), ["close"]);

        let both = try_scope(body).keep_going().await.unwrap_err();
        assert_eq!(both.into_vec(), ["child", "close"]);
    }

    // S2, S3. The observer's panic left the poll at once, and the errors that it had not been told
    // of were lost, the first one among them.
    async fn an_observer_that_panics_is_told_of_the_other_errors_too() {
        async fn body(s: foster::TryScope<'static, &'static str>) -> Result<(), &'static str> {
            for error in ["third", "second"] {
                s.defer(async move { Err(error) });
            }
            Err("first")
        }
        let late = Late::default();
        let mut note = late.observer();
        let observed = try_scope(body).observe(move |notice| {
            let panics = matches!(notice, Notice::LateError { error: "second", .. });
            note(notice);
            if panics {
                boom("the observer");
            }
        });
        assert_eq!(caught(observed).await, Err("the observer"));
        assert_eq!(late.errors(), ["second", "third", "first"]);
    }

    // C040
    async fn an_error_after_a_cancel_is_reported() {
        let result = try_scope(async |s| {
            s.defer(async {
                yield_now().await;
                Err("in cleanup")
            });
            s.cancel("enough");
            pending::<Result<(), _>>().await
        })
        .outcome()
        .await;
        assert_eq!(result.unwrap(), Err("in cleanup"));
    }
}
