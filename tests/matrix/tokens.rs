//! Tokens: the tree, the current one, and what ends with them.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::testing::Polls;
use foster::{Deadline, Reason, Token, adopt, gather, now, scope, shield, sleep, timeout, try_scope, yield_now};
use futures::FutureExt;
use futures::future::{join_all, poll_immediate};

use crate::harness::{T, ok};
use crate::probes::{Count, Log, poll_by_hand, until};

matrix! {
    async fn a_token_cancels_those_below_it_and_none_above() {
        let root = Token::new();
        let (left, right) = (root.child(), root.child());
        let leaf = left.child();
        left.cancel("left");
        assert!(left.is_cancelled() && leaf.is_cancelled());
        assert!(!root.is_cancelled() && !right.is_cancelled());
        assert_eq!(leaf.reason(), Some(Reason::from("left")));
        root.cancel("root");
        assert_eq!(right.reason(), Some(Reason::from("root")));
        // C327: the first reason stays.
        assert_eq!(leaf.reason(), Some(Reason::from("left")));
        assert_eq!(left.reason(), Some(Reason::from("left")));
        assert_eq!(left.child().reason(), Some(Reason::from("left")));
    }

    async fn whoever_waits_for_a_token_is_woken_with_the_reason() {
        let token = Token::new();
        let below = token.child().child();
        scope(|s| async move {
            let waiting: Vec<_> = (0..3).map(|_| s.spawn(below.cancelled())).collect();
            let parallel = s.spawn_parallel(below.cancelled());
            sleep(T).await;
            token.cancel(String::from("now"));
            for task in waiting {
                assert_eq!(task.await, Reason::from("now"));
            }
            assert_eq!(parallel.await, Reason::from("now"));
            assert_eq!(below.cancelled().await, Reason::from("now"));
        }).await;
    }

    // C323
    async fn a_token_works_from_another_thread() {
        let token = Token::new();
        let elsewhere = token.clone();
        let cancelled = std::thread::spawn(move || elsewhere.cancel("from a thread"));
        // Waking a simulation from outside is no part of it, so it must not be found idle.
        while !token.is_cancelled() {
            yield_now().await;
        }
        assert_eq!(token.cancelled().await, Reason::from("from a thread"));
        cancelled.join().unwrap();
    }

    async fn run_until_cancelled_is_the_value_or_the_reason() {
        let token = Token::new();
        assert_eq!(token.run_until_cancelled(async { sleep(T).await; 7 }).await, Ok(7));
        scope(|s| {
            let token = token.clone();
            async move {
                s.spawn({
                    let token = token.clone();
                    async move { sleep(T).await; token.cancel("enough") }
                });
                let cancelled = token.run_until_cancelled(pending::<()>()).await.unwrap_err();
                assert_eq!(cancelled.reason(), &Reason::from("enough"));
            }
        }).await;
        let polls = Polls::new();
        assert!(token.run_until_cancelled(polls.of(async {})).await.is_err());
        assert_eq!(polls.count(), 0, "the token was cancelled before");
    }

    async fn a_value_wins_against_a_token_that_is_cancelled_in_the_same_poll() {
        let token = Token::new();
        let value = token.run_until_cancelled(async { token.cancel("now"); 7 });
        assert_eq!(value.await, Ok(7));
    }

    // S4
    async fn run_until_cancelled_waits_for_a_scopes_finalizers() {
        let log = &Log::new();
        let token = &Token::new();
        scope(|s| async move {
            s.spawn(async move { sleep(T).await; token.cancel("enough") });
            let cancelled = token.run_until_cancelled(scope(|s| async move {
                s.defer(async move { sleep(T).await; log.note("finalized") });
                s.spawn(scope(|s| async move {
                    s.defer(async move { sleep(T).await; log.note("finalized inside") });
                    pending::<()>().await
                }));
                pending::<()>().await
            }));
            assert!(cancelled.await.is_err());
            log.note("returned");
        }).await;
        assert_eq!(log.entries(), ["finalized inside", "finalized", "returned"]);
    }

    async fn run_until_cancelled_delivers_a_value_that_is_given_in_answer() {
        let token = Token::new();
        scope(|s| async move {
            let listening = token.clone();
            let task = s.spawn({
                let token = token.clone();
                async move {
                    token.run_until_cancelled(shield(async move {
                        listening.cancelled().await;
                        yield_now().await;
                        42
                    })).await
                }
            });
            sleep(T).await;
            token.cancel("answer");
            assert_eq!(task.await, Ok(42));
        }).await;
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

    async fn the_current_token_is_that_of_the_innermost_region() {
        let outer = timeout(1000 * T, async {
            let outer = Token::current().expect("a region");
            let inner = timeout(T, async {
                let inner = Token::current().expect("a region");
                shield(async {
                    let fresh = Token::current().expect("a region");
                    inner.cancelled().await;
                    assert!(!fresh.is_cancelled(), "a shield is a fresh region");
                }).await;
                pending::<()>().await
            });
            assert!(inner.await.is_err());
            assert!(!outer.is_cancelled());
            scope(|s| async move {
                let mine = s.spawn(async { Token::current().expect("a region") }).await;
                let parallel = s.spawn_parallel(async { Token::current().expect("a region") }).await;
                assert!(!mine.is_cancelled() && !parallel.is_cancelled());
            }).await;
        });
        assert!(outer.await.is_ok());
    }

    // S8
    async fn a_stop_trips_tokens_first_so_that_those_who_listen_finish_by_themselves() {
        let log = &Log::new();
        let value = scope(|s| async move {
            let token = s.stop_token();
            let listener = s.spawn(async move {
                let reason = token.cancelled().await;
                sleep(T).await;
                log.note("listener finished");
                reason
            });
            s.spawn(async move {
                Token::current().expect("a region").cancelled().await;
                log.note("current finished");
            });
            let parallel = s.spawn_parallel(async { Token::current().expect("a region").cancelled().await });
            sleep(T).await;
            s.stop("closing", 1000 * T);
            (listener.await, parallel.await)
        });
        assert_eq!(value.await, (Reason::from("closing"), Reason::from("closing")));
        assert_eq!(log.entries(), ["current finished", "listener finished"]);
    }

    // S8
    async fn a_stop_cancels_what_is_left_when_its_grace_ends() {
        let log = &Log::new();
        let outcome = scope(|s| async move {
            s.defer(async move { sleep(T).await; log.note("finalized") });
            s.spawn(async move {
                let _over = log.on_drop("deaf child over");
                pending::<()>().await
            });
            s.stop("closing", T);
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("closing"));
        assert_eq!(log.entries(), ["deaf child over", "finalized"]);
    }

    // S8
    async fn a_stop_without_a_grace_is_a_cancel_and_a_second_one_replaces_the_grace() {
        let outcome = scope(|s| async move {
            s.stop("now", Duration::ZERO);
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("now"));
        let outcome = scope(|s| async move {
            s.stop("first", Duration::MAX);
            yield_now().await;
            s.stop("second", Duration::ZERO);
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("first"));
    }

    // S7
    async fn a_scope_that_fails_says_to_its_children_who_it_was() {
        let seen = Arc::new(Mutex::new(None));
        let noting = Arc::clone(&seen);
        let failed = try_scope(|s| async move {
            let token = s.stop_token();
            s.spawn(ok(shield(async move { *noting.lock().unwrap() = Some(token.cancelled().await) })));
            s.named("culprit").spawn(async { sleep(T).await; Err::<(), _>("failed") });
            pending::<Result<(), &str>>().await
        });
        assert_eq!(failed.await, Err("failed"));
        assert_eq!(*seen.lock().unwrap(), Some(Reason::Failed("culprit".into())));
    }

    async fn a_scopes_token_does_not_wind_it_down() {
        let value = scope(|s| async move {
            s.stop_token().cancel("asked");
            let child = s.spawn(async { sleep(T).await; 7 });
            child.await
        });
        assert_eq!(value.await, 7);
    }

    // S9
    async fn an_adopted_future_has_a_region_of_its_own_before_and_after_it_is_handed_over() {
        let log = Log::new();
        let noting = log.clone();
        let late = timeout(T, scope(|_| async move {
            let mut saved = Box::pin(adopt(async move {
                sleep(2 * T).await;
                assert!(Token::current().is_none_or(|token| !token.is_cancelled()));
                noting.note("saved");
            }));
            assert!(poll_immediate(&mut saved).await.is_none());
            drop(saved);
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["saved"]);
    }

    async fn many_listeners_come_and_go() {
        let token = Token::new();
        for _ in 0..1_000 {
            assert!(poll_immediate(token.cancelled()).await.is_none());
        }
        let all = join_all((0..1_000).map(|_| token.child().cancelled()).collect::<Vec<_>>());
        let cancelling = async { yield_now().await; token.cancel("all") };
        let (reasons, ()) = futures::join!(all, cancelling);
        assert!(reasons.iter().all(|reason| *reason == Reason::from("all")) || reasons.len() == 1_000);
    }

    async fn tokens_of_a_gather_are_those_around_it() {
        let around = timeout(1000 * T, async {
            let around = Token::current().expect("a region");
            let inside = gather((0..3).map(|_| async { Token::current().expect("a region") })).await;
            around.cancel("asked");
            assert!(inside.iter().all(Token::is_cancelled));
        });
        around.await.unwrap();
    }
}

#[test]
fn outside_any_region_there_is_no_current_token() {
    assert!(Token::current().is_none());
    assert!(futures::executor::block_on(async { Token::current().is_none() }));
}

#[test]
fn a_chain_of_a_hundred_thousand_tokens_is_cancelled_and_dropped() {
    let root = Token::new();
    let mut last = root.child();
    for _ in 0..100_000 {
        last = last.child();
    }
    root.cancel("all");
    assert_eq!(last.reason(), Some(Reason::from("all")));
    drop(root);
    drop(last);
}

#[test]
fn a_token_with_a_hundred_thousand_children_forgets_those_that_are_gone() {
    let root = Token::new();
    for _ in 0..100_000 {
        let child = root.child();
        assert!(poll_by_hand(child.cancelled()).is_pending());
    }
    let last = root.child();
    root.cancel("all");
    assert!(last.cancelled().now_or_never().is_some());
}
