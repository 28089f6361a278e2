//! `run_until_cancelled`.

use std::future::pending;

use foster::testing::Polls;
use foster::{Reason, Token, scope, shield, sleep, yield_now};

use crate::harness::T;
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
