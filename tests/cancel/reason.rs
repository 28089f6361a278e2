//! One reason for everybody: that of the first cause.

use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use foster::future::{hedge, quorum};
use foster::runtimes::Basic;
use foster::{
    Deadline, Reason, Scope, Task, Token, local, now, race, race_ok, scope, select, shield, sleep, timeout, try_gather,
    try_scope, yield_now,
};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{OptionFuture, poll_immediate};

use crate::harness::{T, ok};
use crate::probes::{Count, Gate, Log, boxed, turns, until, why};

/// Cancels a child twice, by its task and by its scope, and returns the reason that its task has.
macro_rules! first_cause {
    ($scope:path, $spawn:ident, $held:ident, $first:ident) => {{
        let (begun, gate) = (Gate::new(), Gate::new());
        let (beginning, waiting) = (begun.clone(), gate.clone());
        let kept = $scope(async |s| {
            let task = s.$spawn(async move {
                beginning.open();
                if $held {
                    shield(waiting.wait()).await;
                }
                pending::<()>().await
            });
            begun.wait().await;
            turns().await;
            if $first == "task" {
                task.cancel();
                s.cancel("first");
            } else {
                s.cancel("first");
                task.cancel();
            }
            gate.open();
            task
        });
        kept.await.outcome().await.unwrap_err().reason().clone()
    }};
}

#[derive(Clone, Copy, Debug)]
enum Cancels {
    ItsTask,
    ItsScope,
    TheOuterScope,
    ItsToken,
}

/// Runs a child that cancels itself, or what encloses it, in the poll in which the deadline of a
/// timeout inside it passes. What comes after the timeout is noted.
async fn cancelled_before_its_deadline(cancels: Cancels, parallel: bool, held: bool, log: Log) {
    scope(async |outer| {
        let around = outer.clone();
        outer.spawn(scope(async move |s| {
            let (token, scope, (give, given)) = (Token::new(), s.clone(), oneshot::channel::<Task<()>>());
            let ends = token.clone();
            let child = async move {
                let own: Task<()> = given.await.unwrap();
                let late = timeout(Duration::ZERO, async {
                    match cancels {
                        Cancels::ItsTask => own.cancel(),
                        Cancels::ItsScope => scope.cancel("first"),
                        Cancels::TheOuterScope => around.cancel("first"),
                        Cancels::ItsToken => token.cancel("first"),
                    }
                    log.note("cancelled");
                    yield_now().await;
                    pending::<()>().await
                });
                let _ = ends
                    .run_until_cancelled(async {
                        let held = OptionFuture::from(held.then(|| shield(turns())));
                        let noted = late.map(|_| log.note("went on"));
                        futures::join!(held, noted);
                        pending::<()>().await
                    })
                    .await;
            };
            let task = if parallel { s.spawn_parallel(child) } else { s.spawn(child) };
            // What the first polls make is linked after them.
            turns().await;
            drop(give.send(task));
        }));
    })
    .await
}

matrix! {
    // C327
    async fn the_first_reason_wins_and_the_child_sees_it() {
        let seen = Log::new();
        let (noting, begun) = (seen.clone(), Gate::new());
        let cancelled = scope(async |s| {
            let began = begun.clone();
            s.spawn(async move {
                let token = Token::current().unwrap();
                shield(async {
                    began.open();
                    assert_eq!(token.cancelled().await, Reason::from("first"));
                })
                .await;
                noting.note("seen");
            });
            begun.wait().await;
            s.cancel("first");
            s.cancel("second");
            pending::<()>().await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("first"));
        assert_eq!(seen.entries(), ["seen"]);
    }

    // C327
    async fn what_a_timeout_ends_sees_that_it_was_the_deadline() {
        let mut seen = None;
        let out = &mut seen;
        let elapsed = timeout(T, async {
            let token = Token::current().unwrap();
            *out = Some(shield(token.cancelled()).await);
            pending::<()>().await
        })
        .await;
        assert!(elapsed.is_err());
        assert_eq!(seen, Some(Reason::Deadline));
    }

    // C328
    async fn the_cause_is_that_of_the_outermost_cancelled_scope() {
        let mut seen = None;
        let out = &mut seen;
        let cancelled = scope(async |outer| {
            scope(async |inner| {
                let token = inner.stop_token();
                shield(async {
                    outer.cancel("outer");
                    yield_now().await;
                    *out = Some(token.cancelled().await);
                    inner.cancel("inner");
                })
                .await;
                pending::<()>().await
            })
            .await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("outer"));
        assert_eq!(seen, Some(Reason::from("outer")));
    }

    // C328
    async fn under_a_shield_the_cause_is_that_of_the_scope_within() {
        let cancelled = scope(async |outer| {
            shield(async {
                outer.cancel("outer");
                let inner = scope(|inner| async move {
                    turns().await;
                    inner.cancel("inner");
                    pending::<()>().await
                });
                assert_eq!(inner.outcome().await.unwrap_err().reason(), &Reason::from("inner"));
            })
            .await;
            pending::<()>().await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("outer"));
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

    // S7. The task's own cancellation came second, and was given as the reason where the child
    // needed time to end, or ran in parallel.
    async fn the_reason_of_a_child_is_the_first_cause_whichever_it_is() {
        for held in [false, true] {
            for first in ["scope", "task"] {
                let reasons = [
                    first_cause!(scope, spawn, held, first),
                    first_cause!(scope, spawn_parallel, held, first),
                    first_cause!(local::scope, spawn, held, first),
                ];
                let expected = if first == "task" { "its task was cancelled" } else { "first" };
                assert_eq!(reasons, [(); 3].map(|()| expected.into()), "held: {held}");
            }
        }
    }

    // S7. The timeout reported `Elapsed` into code that had been cancelled before, in the same
    // poll.
    async fn a_deadline_that_passes_in_the_poll_of_a_cancellation_comes_second() {
        for cancels in [Cancels::ItsTask, Cancels::ItsScope, Cancels::TheOuterScope, Cancels::ItsToken] {
            for parallel in [false, true] {
                for held in [false, true] {
                    let log = Log::new();
                    cancelled_before_its_deadline(cancels, parallel, held, log.clone()).await;
                    assert_eq!(log.entries(), ["cancelled"], "{cancels:?}, parallel: {parallel}, held: {held}");
                }
            }
        }
    }

    // S7. Without a finalizer the scope had no token, and its tasks said `Dropped`.
    async fn the_reason_of_a_kept_task_does_not_depend_on_what_else_the_scope_contains() {
        for finalizer in [false, true] {
            let kept = Mutex::new(None);
            let keep = |s: &Scope<'_>| {
                if finalizer {
                    s.defer(async {});
                }
                *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
            };

            let inside = scope(async |s| { keep(&s); pending::<()>().await });
            assert!(timeout(T, inside).await.is_err());
            assert_eq!(why(&kept).await, Reason::Deadline, "finalizer: {finalizer}");

            let outer = scope(async |outer| {
                outer.spawn(async { scope(async |s| { keep(&s); pending::<()>().await }).await });
                yield_now().await;
                outer.cancel("enough");
            });
            outer.await;
            assert_eq!(why(&kept).await, "enough".into(), "finalizer: {finalizer}");

            // In the body it is dropped by another hand than in a child.
            scope(async |outer| {
                let inside = scope(async |s| { keep(&s); pending::<()>().await });
                let cancelling = async { yield_now().await; outer.cancel("enough") };
                futures::join!(inside, cancelling);
            })
            .await;
            assert_eq!(why(&kept).await, "enough".into(), "finalizer: {finalizer}");

            let failing = async { yield_now().await; Err::<(), _>(()) };
            let inside = async { scope(async |s| { keep(&s); pending::<()>().await }).await; Ok(()) };
            assert!(try_gather((inside, failing)).await.is_err());
            assert!(matches!(why(&kept).await, Reason::Failed(_)), "finalizer: {finalizer}");

            // In a region that is polled once more, beside what needs time to end.
            scope(async |outer| {
                let inside = timeout(10_000 * T, scope(async |s| { keep(&s); pending::<()>().await }));
                let cancelling = shield(async {
                    yield_now().await;
                    outer.cancel("enough");
                    turns().await;
                });
                drop(futures::join!(inside, cancelling));
            })
            .await;
            assert_eq!(why(&kept).await, "enough".into(), "finalizer: {finalizer}");

            assert!(poll_immediate(scope(async |s| { keep(&s); pending::<()>().await })).await.is_none());
            assert_eq!(why(&kept).await, Reason::Dropped, "finalizer: {finalizer}");
        }
    }

    // S7. Without a token the late child's task said `Parent`.
    async fn the_reason_of_a_late_child_does_not_depend_on_who_asked_for_the_token() {
        /// Spawns into the scope that `kept` is a handle of, and returns why that was refused.
        async fn refusal(kept: &Mutex<Option<Scope<'static>>>) -> Reason {
            let scope = kept.lock().unwrap().take().unwrap();
            scope.spawn(async {}).outcome().await.unwrap_err().reason().clone()
        }
        /// Spawns into its scope when it is dropped.
        struct SpawnsLate<'a>(Scope<'static>, &'a Mutex<Option<Task<()>>>);
        impl Drop for SpawnsLate<'_> {
            fn drop(&mut self) {
                *self.1.lock().unwrap() = Some(self.0.spawn(async {}));
            }
        }
        for asked in [false, true] {
            let (kept, spawned) = (&Mutex::new(None), &Mutex::new(None));
            let endless = || scope(move |s: Scope<'static>| async move {
                if asked {
                    s.stop_token();
                }
                *kept.lock().unwrap() = Some(s.clone());
                let _late = SpawnsLate(s, spawned);
                pending::<()>().await
            });
            assert!(poll_immediate(endless()).await.is_none());
            assert_eq!(refusal(kept).await, Reason::Dropped, "asked: {asked}");
            assert_eq!(why(spawned).await, Reason::Dropped, "by a destructor, asked: {asked}");

            assert!(timeout(T, endless()).await.is_err());
            assert_eq!(refusal(kept).await, Reason::Deadline, "asked: {asked}");
            assert_eq!(why(spawned).await, Reason::Deadline, "by a destructor, asked: {asked}");

            scope(async |s| { *kept.lock().unwrap() = Some(s) }).await;
            assert_eq!(refusal(kept).await, Reason::Parent);
        }
    }

    // S7. The winner was told of as a sibling that had failed.
    async fn what_loses_a_race_was_not_needed_and_what_a_failure_ends_has_failed() {
        for asked in [false, true] {
            let kept = &Mutex::new(None);
            let loser = || async move {
                scope(async |s| {
                    if asked {
                        s.stop_token();
                    }
                    *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
                    pending::<()>().await
                })
                .await
            };
            let fallible = || async move { loser().await; Ok::<_, &str>(()) };
            race((loser(), yield_now())).await;
            assert_eq!(why(kept).await, Reason::Lost, "race, asked: {asked}");
            race([boxed(loser()), boxed(yield_now())]).await;
            assert_eq!(why(kept).await, Reason::Lost, "race of an array, asked: {asked}");
            select! { () = loser() => unreachable!(), () = yield_now() => {} }
            assert_eq!(why(kept).await, Reason::Lost, "select, asked: {asked}");
            let attempt = |n| boxed(async move { if n == 0 { loser().await } });
            hedge(T, 2, attempt).await;
            assert_eq!(why(kept).await, Reason::Lost, "hedge, asked: {asked}");
            assert!(race_ok((fallible(), async { yield_now().await; Ok(()) })).await.is_ok());
            assert_eq!(why(kept).await, Reason::Lost, "race_ok, asked: {asked}");
            let votes = |last| [boxed(fallible()), boxed(async move { yield_now().await; last })];
            assert!(quorum(1, votes(Ok(()))).await.is_ok());
            assert_eq!(why(kept).await, Reason::Lost, "quorum, asked: {asked}");

            let failed = |reason| matches!(reason, Reason::Failed(_));
            assert!(quorum(2, votes(Err("down"))).await.is_err());
            assert!(failed(why(kept).await), "quorum that is missed, asked: {asked}");
            assert!(try_gather((fallible(), async { yield_now().await; Err::<(), _>("down") })).await.is_err());
            assert!(failed(why(kept).await), "try_gather, asked: {asked}");
        }
    }

    async fn the_token_of_a_scope_that_is_cancelled_from_around_has_the_reason_from_around() {
        let seen = Arc::new(Mutex::new(None));
        let noting = Arc::clone(&seen);
        let late = timeout(T, scope(|s| async move {
            let token = s.stop_token();
            s.defer(async move { *noting.lock().unwrap() = token.reason() });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(*seen.lock().unwrap(), Some(Reason::Deadline));
    }

    // S7: the reason is inherited down the tree
    async fn everything_below_an_expired_timeout_has_the_deadline_for_its_reason() {
        let seen = Arc::new((Mutex::new(Vec::new()), Count::new()));
        let note = |seen: &Arc<(Mutex<Vec<Option<Reason>>>, Count)>| {
            let seen = Arc::clone(seen);
            let token = Token::current().expect("a region");
            shield(async move {
                seen.1.up();
                let reason = token.cancelled().await;
                seen.0.lock().unwrap().push(Some(reason));
            })
        };
        let deadline = Deadline::never();
        let late = deadline.timeout({
            let (seen, due) = (Arc::clone(&seen), deadline.clone());
            async move {
                scope(|s| {
                    let here = Arc::clone(&seen);
                    async move {
                        let listening = Arc::clone(&here);
                        s.spawn(async move {
                            until(|| listening.1.get() == 4).await;
                            due.set(now()).unwrap();
                        });
                        let child = Arc::clone(&here);
                        s.spawn(async move { note(&child).await });
                        let parallel = Arc::clone(&here);
                        s.spawn_parallel(async move { note(&parallel).await });
                        let inner = Arc::clone(&here);
                        s.spawn(scope(|_| async move { timeout(1000 * T, async move { note(&inner).await }).await }));
                        note(&here).await;
                        pending::<()>().await
                    }
                }).await
            }
        });
        assert!(late.await.is_err());
        assert_eq!(*seen.0.lock().unwrap(), vec![Some(Reason::Deadline); 4]);
    }

    // S7
    async fn a_scope_that_fails_says_to_its_children_who_it_was() {
        let seen = Arc::new(Mutex::new(None));
        let noting = Arc::clone(&seen);
        let failed = try_scope(async |s| {
            let token = s.stop_token();
            s.spawn(ok(shield(async move { *noting.lock().unwrap() = Some(token.cancelled().await) })));
            s.named("culprit").spawn(async { sleep(T).await; Err::<(), _>("failed") });
            pending::<Result<(), &str>>().await
        });
        assert_eq!(failed.await, Err("failed"));
        assert_eq!(*seen.lock().unwrap(), Some(Reason::Failed("culprit".into())));
    }

    // S7
    async fn a_second_cancellation_during_the_wind_down_keeps_the_first_reason() {
        let log = &Log::new();
        let outcome = scope(async |s| {
            let again = s.clone();
            s.defer(async move {
                again.cancel("second");
                sleep(T).await;
                again.cancel("third");
                again.stop("fourth", Duration::ZERO);
                log.note("finalized");
            });
            s.cancel("first");
            s.cancel("also first");
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("first"));
        assert_eq!(log.entries(), ["finalized"]);
    }

    // S7
    async fn a_deadline_that_passes_during_the_wind_down_changes_no_reason() {
        let outcome = timeout(2 * T, scope(async |s| {
            let token = s.stop_token();
            s.defer(async move {
                sleep(4 * T).await;
                assert_eq!(token.reason(), Some(Reason::from("first")));
            });
            s.cancel("first");
            pending::<()>().await
        }).outcome()).await;
        // Wound down by itself, and then from around: whoever was first fixed the reason.
        if let Ok(outcome) = outcome {
            assert_eq!(outcome.unwrap_err().reason(), &Reason::from("first"));
        }
    }
}

matrix! {
    // S7
    async fn a_token_that_is_cancelled_after_the_region_ends_nothing_in_it() {
        let (log, token) = (&Log::new(), &Token::new());
        scope(async |s: Scope<'_>| {
            s.spawn(async move {
                let until = async {
                    drop(token.run_until_cancelled(pending::<()>()).await);
                    log.note("went on");
                };
                let held = shield(async {
                    turns().await;
                    token.cancel("second");
                    turns().await;
                    log.note("held");
                });
                _ = futures::join!(until, held);
            });
            yield_now().await;
            s.cancel("first");
        })
        .await;
        assert_eq!(log.entries(), ["held"]);
    }
}

// S7. A scope that nobody has asked for its token has its reason from what drops it.
#[test]
fn the_tasks_of_a_scope_in_a_parallel_child_have_the_reason_for_which_the_child_ended() {
    for by_task in [false, true] {
        crate::harness::watched(move || {
            let (tell, told) = mpsc::channel();
            let pool = Basic::thread_pool(1).unwrap();
            let ended = futures::executor::block_on(
                scope(async |s| {
                    let begun = Gate::new();
                    let waiting = begun.wait();
                    let child = async move {
                        scope(async |inner| {
                            tell.send(inner.spawn(pending::<()>())).unwrap();
                            begun.open();
                            pending::<()>().await
                        })
                        .await
                    };
                    let task = s.spawn_on(child, &pool);
                    waiting.await;
                    if by_task {
                        task.cancel();
                    } else {
                        s.cancel("enough");
                    }
                })
                .outcome(),
            );
            assert!(ended.is_ok(), "its body has a value");
            let kept = futures::executor::block_on(told.recv().unwrap().outcome()).unwrap_err();
            let reason = if by_task { "its task was cancelled" } else { "enough" };
            assert_eq!(kept.reason(), &Reason::from(reason));
        });
    }
}
