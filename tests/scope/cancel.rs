//! A scope that is cancelled from inside, by a child, or together with what encloses it.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use foster::future::catch_panic;
use foster::{Reason, Task, Token, scope, shield, sleep, timeout, try_scope, yield_now};
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::harness::{self, T, bare, ok};
use crate::probes::{Gate, Log, Probe, reason, turns};

matrix! {
    // S5
    async fn children_that_wait_for_their_first_poll_when_a_sibling_cancels_are_not_polled() {
        let (probe, polled) = (Probe::new(), Arc::new(AtomicUsize::new(0)));
        let cancelled = scope(async |s| {
            let (canceller, inside, before) = (s.clone(), probe.clone(), polled.clone());
            s.spawn(async move {
                canceller.cancel("enough");
                before.store(inside.polls(), Ordering::SeqCst);
                pending::<()>().await
            });
            (0..10).for_each(|_| drop(s.spawn(probe.endless())));
            pending::<()>().await
        });
        assert!(cancelled.outcome().await.is_err());
        assert_eq!(probe.polls(), polled.load(Ordering::SeqCst));
    }

    // C323
    async fn a_scope_may_be_cancelled_from_another_task() {
        let probe = Probe::new();
        let body = probe.endless();
        let cancelled = scope(async |s| {
            let canceller = s.clone();
            s.spawn_parallel(async move {
                turns().await;
                canceller.cancel("from another task");
            });
            body.await;
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("from another task"));
        probe.assert_all_gone();
    }

    // C080
    async fn a_value_given_in_answer_to_the_cancellation_is_delivered() {
        let answered = timeout(T, async {
            let token = Token::current().expect("a region");
            shield(async {
                assert_eq!(token.cancelled().await, Reason::Deadline);
                sleep(T).await;
                42
            }).await
        });
        assert_eq!(answered.await, Ok(42));
    }

    // C205
    async fn a_cancellation_reaches_the_innermost_await() {
        let log = &Log::new();
        scope(async |s| {
            let child = s.spawn(async move {
                let _outer = log.on_drop("outer");
                async {
                    let _inner = log.on_drop("inner");
                    yield_now().await;
                    sleep(100_000 * T).await;
                    log.note("not reached");
                }.await;
                log.note("not reached");
            });
            yield_now().await;
            child.cancel();
            assert!(child.outcome().await.is_err());
        }).await;
        assert_eq!(log.entries(), ["inner", "outer"]);
    }

    // C205
    async fn a_cancellation_at_a_yield_ends_the_child_there() {
        let log = &Log::new();
        scope(async |s| {
            let child = s.spawn(async move {
                loop {
                    yield_now().await;
                }
            });
            yield_now().await;
            child.cancel();
            let outcome: Result<(), _> = child.outcome().await;
            assert!(outcome.is_err());
            log.note("over");
        }).await;
        assert_eq!(log.entries(), ["over"]);
    }

    // C207
    async fn a_child_that_cancels_itself_ends_at_its_next_await() {
        let log = &Log::new();
        let own = Arc::new(Mutex::new(None::<Task<()>>));
        scope(async |s| {
            let mine = Arc::clone(&own);
            let child = s.spawn(async move {
                mine.lock().unwrap().as_ref().unwrap().cancel();
                log.note("still here");
                pending::<()>().await;
                log.note("not reached");
            });
            *own.lock().unwrap() = Some(child);
            sleep(T).await;
            let child = own.lock().unwrap().take().unwrap();
            assert!(child.outcome().await.is_err());
        }).await;
        assert_eq!(log.entries(), ["still here"]);
    }

    // C207
    async fn a_child_that_cancels_its_scope_ends_at_its_next_await() {
        let log = &Log::new();
        let outcome = scope(async |s| {
            let scope = s.clone();
            s.spawn(async move {
                scope.cancel("by a child");
                log.note("still here");
                pending::<()>().await;
                log.note("not reached");
            });
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("by a child"));
        assert_eq!(log.entries(), ["still here"]);
    }

    // C208
    async fn a_child_cancelled_with_no_await_left_completes() {
        let own = Arc::new(Mutex::new(None::<Task<u8>>));
        scope(async |s| {
            let mine = Arc::clone(&own);
            let child = s.spawn(async move {
                mine.lock().unwrap().as_ref().unwrap().cancel();
                7
            });
            *own.lock().unwrap() = Some(child);
            sleep(T).await;
            let child = own.lock().unwrap().take().unwrap();
            assert_eq!(child.outcome().await, Ok(7));
        }).await;
    }

    // C208
    async fn a_scope_cancelled_with_no_await_left_completes() {
        assert_eq!(scope(async |s| { s.cancel("too late"); 7 }).await, 7);
    }

    // C228
    async fn a_cancelled_body_ends_at_its_next_suspension() {
        let log = Log::new();
        let noting = log.clone();
        let cancelled = scope(async |s| {
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
    async fn a_cancel_ends_what_would_sleep_for_ever() {
        let cancelled = scope(async |s| {
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

    // C233
    async fn a_cancel_reaches_all_grandchildren_at_once() {
        let probe = Probe::new();
        let grandchildren: Vec<_> = (0..3).map(|_| [probe.endless(), probe.endless()]).collect();
        let gone = probe.clone();
        scope(async |s| {
            let child = s.spawn(scope(|parent| async move {
                for pair in grandchildren {
                    parent.spawn(scope(async |inner| {
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
    async fn what_was_cancelled_never_becomes_uncancelled() {
        let token = Token::new();
        let child = token.child();
        token.cancel("once");
        token.cancel("twice");
        assert!(token.is_cancelled() && child.is_cancelled() && token.child().is_cancelled());
        assert_eq!(child.reason(), Some(Reason::from("once")));
    }

    // C245
    async fn a_cancel_does_not_take_a_value_or_an_error_that_is_there() {
        let value = scope(async |s| {
            s.cancel("too late");
            1
        })
        .await;
        assert_eq!(value, 1);
        let error = try_scope(async |s| {
            s.cancel("too late");
            Err::<(), _>("failed")
        })
        .await;
        assert_eq!(error, Err("failed"));
    }

    // C037: asyncio's and Trio's groups end quietly when they are cancelled from inside.
    async fn a_scope_that_cancels_itself_ends_quietly_where_there_is_nothing_to_return() {
        scope(async |s| {
            s.cancel("enough");
            pending::<()>().await
        })
        .await;
        let failing = try_scope(async |s| {
            let canceller = s.clone();
            s.spawn(async move { canceller.cancel("enough"); Ok::<_, ()>(()) });
            pending::<Result<(), ()>>().await
        });
        assert_eq!(failing.await, Ok(()));
        let told = scope(async |s| {
            s.cancel("enough");
            pending::<()>().await
        });
        assert_eq!(told.outcome().await.unwrap_err().reason(), &"enough".into());
    }

    async fn a_scope_that_cancels_itself_says_so_where_its_value_is_missing() {
        let cancelled = catch_panic(scope(async |s| {
            s.cancel("enough");
            pending::<u32>().await
        }));
        let told = cancelled.await.unwrap_err().to_string();
        assert!(told.contains("`.outcome()`") && told.contains("enough"), "{told}");
    }

    // S4, S12. The outer scope's token is made, and tripped, while the inner one is being polled.
    async fn a_scope_that_cancels_the_enclosing_one_is_polled_again() {
        let log = &Log::new();
        let cancelled = scope(async |outer| {
            let inner = scope(async |s| {
                s.defer(async { log.note("finalized") });
                // The finalizer is taken in, and with it the scope has a token, before it goes on.
                yield_now().await;
                outer.cancel("enough");
                pending::<()>().await
            });
            let members: [BoxFuture<'_, ()>; 2] = [inner.boxed(), pending().boxed()];
            FuturesUnordered::from_iter(members).collect::<()>().await
        });
        assert_eq!(reason(cancelled.outcome().await), "enough".into());
        assert_eq!(log.entries(), ["finalized"]);
    }

    // S4, S12. The inner scope's token is made after the outer one was tripped, and so is raised
    // before anybody listens to it. Between the two lies a combinator that polls only what is
    // woken.
    async fn a_scope_that_cancels_the_enclosing_one_in_its_first_poll_is_polled_again() {
        for is_linked in [false, true] {
            let log = &Log::new();
            let cancelled = scope(async |outer| {
                if is_linked {
                    // The token of this region is below that of the scope from the end of this poll
                    // on.
                    let _region = Token::current();
                    yield_now().await;
                }
                let inner = scope(async |s| {
                    s.defer(async { log.note("finalized") });
                    outer.cancel("enough");
                    pending::<()>().await
                });
                let members: [BoxFuture<'_, ()>; 2] = [inner.boxed(), pending().boxed()];
                FuturesUnordered::from_iter(members).collect::<()>().await
            });
            assert_eq!(reason(cancelled.outcome().await), "enough".into());
            assert_eq!(log.entries(), ["finalized"], "is_linked: {is_linked}");
        }
    }

    // C017
    async fn a_blocked_body_without_children_is_dropped_once_by_a_cancel_from_around() {
        let (token, probe) = (Token::new(), Probe::new());
        let body = probe.endless();
        let canceller = token.clone();
        let cancelled = scope(async |s| {
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
        let result = try_scope(async |s| {
            let token = s.stop_token();
            let canceller = s.clone();
            s.spawn(ok(async move { canceller.cancel("enough") }));
            let reason = shield(token.cancelled()).await;
            Err::<(), _>(reason.to_string())
        })
        .await;
        assert_eq!(result, Err("requested: enough".to_string()));
    }

    // C023
    async fn a_cancel_from_around_reaches_a_scope_that_only_waits_for_its_children() {
        let (token, probe, joining) = (Token::new(), Probe::new(), Gate::new());
        let children = [probe.endless(), probe.endless()];
        let (canceller, opening) = (token.clone(), joining.clone());
        let cancelled = scope(async |s| {
            s.spawn(async move {
                joining.wait().await;
                turns().await;
                canceller.cancel("enough");
            });
            let inner = scope(async |inner| {
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
        let value = scope(async |s| {
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

    // C033
    async fn whoever_handles_a_scopes_error_is_not_left_cancelled() {
        let after = scope(async |outer| {
            let failed = try_scope(async |s| {
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
                let failed = try_scope(async |s| {
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
        let cancelled = scope(async |s| {
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
        let (value, handle) = scope(async |s| {
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

        let finished = scope(async |s| { s }).await;
        finished.cancel("after the end");
        assert!(finished.is_empty());
    }
}

// C323; sim, which knows nothing of threads, would call the wait for one a deadlock.
#[test]
fn a_scope_may_be_cancelled_from_another_thread() {
    harness::each(&harness::REAL, |runtime| {
        let probe = Probe::new();
        let body = probe.endless();
        let cancelled = scope(async |s| {
            thread::spawn(move || s.cancel("from another thread"));
            body.await;
        });
        let cancelled = runtime.run(cancelled.outcome()).unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("from another thread"));
        probe.assert_all_gone();
    });
}

#[test]
fn an_inner_scope_that_cancels_the_outer_one_in_its_first_poll_runs_its_finalizer() {
    bare(|| async {
        let done = AtomicBool::new(false);
        let d = &done;
        let out = scope(async |s| {
            let s2 = s.clone();
            s.spawn(async move {
                let _t = Token::current();
                yield_now().await;
                scope(async |inner| {
                    inner.defer(async move {
                        yield_now().await;
                        d.store(true, Ordering::SeqCst)
                    });
                    s2.cancel("x");
                    pending::<()>().await
                })
                .await;
            });
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
        assert!(done.load(Ordering::SeqCst));
    });
}
