//! `stop`: asks first, and cancels what is left when its grace ends.

use std::future::pending;
use std::time::Duration;

use foster::{Reason, Token, now, scope, sleep, yield_now};

use crate::harness::T;
use crate::probes::{Log, dropping};

matrix! {
    // S8
    async fn a_stop_trips_tokens_first_so_that_those_who_listen_finish_by_themselves() {
        let log = &Log::new();
        let value = scope(async |s| {
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
        let outcome = scope(async |s| {
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
        let outcome = scope(async |s| {
            s.stop("now", Duration::ZERO);
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("now"));
        let outcome = scope(async |s| {
            s.stop("first", Duration::MAX);
            yield_now().await;
            s.stop("second", Duration::ZERO);
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("first"));
    }
}

sim! {
    // S8
    async fn a_stop_asks_first_and_cancels_what_is_left_when_the_grace_ends() {
        let log = Log::new();
        let inside = log.clone();
        let start = now();
        scope(async |s| {
            let (token, polite) = (s.stop_token(), inside.clone());
            s.spawn(async move {
                token.cancelled().await;
                sleep(T).await;
                polite.note("ended by itself");
            });
            s.spawn(dropping(inside.on_drop("dropped")));
            s.stop("enough", 3 * T);
        })
        .await;
        assert_eq!(log.entries(), ["ended by itself", "dropped"]);
        assert_eq!(now() - start, 3 * T);
    }
}
