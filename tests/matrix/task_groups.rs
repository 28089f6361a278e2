//! Task groups: the rows that users of asyncio's `TaskGroup` rely on.

use std::future::pending;
use std::sync::Mutex;

use crate::harness::ok;
use foster::{Inherited, Reason, Token, scope, shield, try_scope, yield_now};

use crate::probes::{Gate, Late, Log, Probe, boom, caught, turns};

static SHARED: Inherited<Mutex<Vec<u32>>> = Inherited::new();

matrix! {
    // C002
    async fn a_child_spawned_late_is_joined_with_the_others() {
        let (early, late) = scope(|s| async move {
            let early = s.spawn(async { 1 });
            yield_now().await;
            let late = s.spawn(async { 2 });
            (early.await, late.await)
        })
        .await;
        assert_eq!((early, late), (1, 2));
    }

    // C003
    async fn a_child_that_is_cancelled_alone_leaves_its_scope_and_its_siblings_as_they_are() {
        let probe = Probe::new();
        let endless = probe.endless();
        let (one, two) = scope(|s| async move {
            let one = s.named("one").spawn(endless);
            let two = s.spawn(async {
                turns().await;
                2
            });
            yield_now().await;
            one.cancel();
            (one.outcome().await, two.await)
        })
        .await;
        let cancelled = one.unwrap_err();
        assert!(matches!(cancelled.reason(), Reason::Requested(_)), "{cancelled:?}");
        assert_eq!(cancelled.task(), &"one");
        assert_eq!(two, 2);
        probe.assert_all_gone();
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
        let result = try_scope(|s| async move {
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
        let outer = try_scope(|outer| async move {
            outer.spawn(ok(sleeper));
            try_scope(|inner| async move {
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
        let result = try_scope(|outer| async move {
            outer.spawn(async {
                turns().await;
                Err::<(), _>("outer")
            });
            try_scope(|inner| async move {
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
            .run_until_cancelled(try_scope(|s| async move {
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

    // C017
    async fn a_blocked_body_without_children_is_dropped_once_by_a_cancel_from_around() {
        let (token, probe) = (Token::new(), Probe::new());
        let body = probe.endless();
        let canceller = token.clone();
        let cancelled = scope(|s| async move {
            s.spawn(async move {
                turns().await;
                canceller.cancel("enough");
            });
            token.run_until_cancelled(scope(|_| body)).await
        })
        .await
        .unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("enough"));
        assert_eq!(probe.polls(), 1);
        probe.assert_all_gone();
    }

    // C018
    async fn a_body_may_turn_a_cancellation_into_its_own_error() {
        let result = try_scope(|s| async move {
            let token = s.stop_token();
            let canceller = s.clone();
            s.spawn(ok(async move { canceller.cancel("enough") }));
            let reason = shield(token.cancelled()).await;
            Err::<(), _>(reason.to_string())
        })
        .await;
        assert_eq!(result, Err("requested: enough".to_string()));
    }

    // C020
    async fn a_panic_of_the_bodys_cleanup_wins_and_the_childs_error_is_not_lost() {
        struct Cleanup;
        impl Drop for Cleanup {
            fn drop(&mut self) {
                boom("cleanup");
            }
        }
        let late = Late::default();
        let panicked = caught(
            try_scope(|s| async move {
                s.spawn(async {
                    yield_now().await;
                    Err::<(), _>("failed")
                });
                let _cleanup = Cleanup;
                pending::<Result<(), _>>().await
            })
            .observe(late.observer()),
        )
        .await;
        assert_eq!(panicked, Err("cleanup"));
        assert_eq!(late.errors(), ["failed"]);
    }

    // C022
    async fn a_childs_panic_wins_and_the_finalizers_error_is_not_lost() {
        let late = Late::default();
        let panicked = caught(
            try_scope(|s| async move {
                s.defer(async {
                    yield_now().await;
                    Err("failed")
                });
                s.spawn(ok(async { boom("child") }));
                pending::<Result<(), _>>().await
            })
            .observe(late.observer()),
        )
        .await;
        assert_eq!(panicked, Err("child"));
        assert_eq!(late.errors(), ["failed"]);
    }

    // C023
    async fn a_cancel_from_around_reaches_a_scope_that_only_waits_for_its_children() {
        let (token, probe, joining) = (Token::new(), Probe::new(), Gate::new());
        let children = [probe.endless(), probe.endless()];
        let (canceller, opening) = (token.clone(), joining.clone());
        let cancelled = scope(|s| async move {
            s.spawn(async move {
                joining.wait().await;
                turns().await;
                canceller.cancel("enough");
            });
            let inner = scope(|inner| async move {
                for child in children {
                    inner.spawn(child);
                }
                opening.open();
                1
            });
            token.run_until_cancelled(inner).await
        })
        .await
        .unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("enough"));
        probe.assert_all_gone();
    }

    // C023
    async fn a_cancel_by_a_child_while_the_scope_joins_leaves_the_bodys_value() {
        let probe = Probe::new();
        let child = probe.endless();
        let value = scope(|s| async move {
            s.spawn(child);
            let canceller = s.clone();
            s.spawn(async move {
                turns().await;
                canceller.cancel("enough");
            });
            1
        })
        .await;
        assert_eq!(value, 1);
        probe.assert_all_gone();
    }

    // C025
    async fn a_child_may_spawn_into_its_scope_while_that_joins() {
        let log = Log::new();
        let noting = log.clone();
        scope(|s| async move {
            let spawner = s.clone();
            s.spawn(async move {
                turns().await;
                for _ in 0..2 {
                    let log = noting.clone();
                    spawner.spawn(async move {
                        turns().await;
                        log.note("grandchild");
                    });
                }
            });
        })
        .await;
        assert_eq!(log.entries(), ["grandchild", "grandchild"]);
    }

    // C027
    async fn a_name_shows_in_the_handle_its_debug_form_and_the_error() {
        scope(|s| async move {
            let task = s.named("fetch").spawn(pending::<()>());
            assert_eq!(task.name(), "fetch");
            assert!(format!("{task:?}").contains("fetch"));
            task.cancel();
            let cancelled = task.outcome().await.unwrap_err();
            assert!(cancelled.to_string().contains("fetch"), "{cancelled}");
        })
        .await;
    }

    // C028
    async fn children_that_inherit_one_value_see_each_others_writes() {
        let written = SHARED.provide(Mutex::new(Vec::new()), scope(|s| async move {
            let write = |n: u32| async move { SHARED.get().unwrap().lock().unwrap().push(n) };
            s.spawn(write(1)).await;
            s.spawn_parallel(write(2)).await;
            SHARED.get().unwrap().lock().unwrap().clone()
        }))
        .await;
        assert_eq!(written, [1, 2]);
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

    // C032
    async fn what_is_spawned_into_a_finished_scope_is_dropped_unpolled() {
        let probe = Probe::new();
        let finished = scope(|s| async move { s }).await;
        let refused = [
            finished.spawn(probe.endless()),
            finished.spawn_parallel(probe.endless()),
            finished.spawn_blocking(|| ()),
        ];
        probe.assert_all_gone();
        assert_eq!(probe.polls(), 0);
        for task in refused {
            assert!(task.is_finished());
            assert_eq!(task.outcome().await.unwrap_err().reason(), &Reason::Parent);
        }
    }

    // C033
    async fn whoever_handles_a_scopes_error_is_not_left_cancelled() {
        let after = scope(|outer| async move {
            let failed = try_scope(|s| async move {
                s.spawn(async { Err::<(), _>("failed") });
                pending::<Result<(), _>>().await
            })
            .await;
            assert_eq!(failed, Err("failed"));
            turns().await;
            assert!(!outer.stop_token().is_cancelled());
            outer.spawn(async { 1 }).await
        })
        .await;
        assert_eq!(after, 1);
    }

    // C035
    async fn a_cancel_in_the_same_tick_as_a_handled_error_is_not_lost() {
        let (token, log) = (Token::new(), Log::new());
        let (canceller, noting) = (token.clone(), log.clone());
        let cancelled = token
            .run_until_cancelled(async move {
                let failed = try_scope(|s| async move {
                    s.spawn(async move {
                        canceller.cancel("enough");
                        Err::<(), _>("failed")
                    });
                    pending::<Result<(), _>>().await
                })
                .await;
                assert_eq!(failed, Err("failed"));
                noting.note("handled");
                yield_now().await;
                noting.note("went on");
            })
            .await
            .unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("enough"));
        assert_eq!(log.entries(), ["handled"]);
    }

    // C037
    async fn a_child_may_cancel_its_scope() {
        let probe = Probe::new();
        let (sibling, body) = (probe.endless(), probe.endless());
        let cancelled = scope(|s| async move {
            s.spawn(sibling);
            let canceller = s.clone();
            s.spawn(async move { canceller.cancel("by a child") });
            body.await
        })
        .outcome()
        .await
        .unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("by a child"));
        probe.assert_all_gone();
    }

    // C038
    async fn a_second_cancel_and_one_after_the_end_change_nothing() {
        let (value, handle) = scope(|s| async move {
            s.cancel("first");
            s.cancel("second");
            (1, s)
        })
        .await;
        assert_eq!(value, 1);
        handle.cancel("third");
        handle.stop("fourth", crate::harness::T);
        assert_eq!(handle.stop_token().reason(), Some(Reason::from("first")));
        assert!(handle.is_empty());

        let finished = scope(|s| async move { s }).await;
        finished.cancel("after the end");
        assert!(finished.is_empty());
    }

    // C040
    async fn an_error_after_a_cancel_is_reported() {
        let result = try_scope(|s| async move {
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
