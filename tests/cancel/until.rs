//! `run_until_cancelled`.

use std::future::pending;
use std::pin::pin;

use foster::runtimes::Basic;
use foster::testing::Polls;
use foster::{Reason, Scope, Token, scope, shield, sleep, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::block_on;

use crate::harness::{T, watched};
use crate::probes::Log;

matrix! {
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
        scope(async |s| {
            s.spawn(async move { sleep(T).await; token.cancel("enough") });
            let cancelled = token.run_until_cancelled(scope(async |s| {
                s.defer(async move { sleep(T).await; log.note("finalized") });
                s.spawn(scope(async |s| {
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
        scope(async |s| {
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
}

// S4, S5. The child heard of it when what runs until then was polled.
#[test]
fn a_parallel_child_begins_nothing_once_the_token_is_cancelled() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.note("dropped");
        }
    }
    watched(|| {
        let (pool, log, token) = (Basic::thread_pool(1).unwrap(), &Log::new(), Token::new());
        let (give, given) = oneshot::channel::<()>();
        let dropped = Dropped(log.clone());
        let inside = scope(async |s: Scope<'_>| {
            s.spawn_on(
                async move {
                    _ = given.await;
                    shield(async { dropped.0.note("started") }).await;
                },
                &pool,
            );
            pending::<()>().await
        });
        let mut run = pin!(token.run_until_cancelled(inside));
        assert!(run.as_mut().now_or_never().is_none());
        token.cancel("enough");
        drop(give);
        while !log.has("dropped") {
            std::thread::yield_now();
        }
        assert!(block_on(run).is_err());
        assert_eq!(log.entries(), ["dropped"]);
    });
}

// The token of a region is not that of what has run in it, which may be elsewhere by now.
#[test]
fn a_token_that_is_cancelled_after_the_value_cancels_nothing() {
    let token = Token::new();
    let mut run = pin!(token.run_until_cancelled(async {
        let inside = Token::current().unwrap();
        yield_now().await;
        inside
    }));
    assert!(run.as_mut().now_or_never().is_none());
    let inside = run.as_mut().now_or_never().expect("it has a value").unwrap();
    token.cancel("late");
    assert!(!inside.is_cancelled());
}
