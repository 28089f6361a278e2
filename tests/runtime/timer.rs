//! Timers fire also beside what uses up a runtime's budget.

use std::future::pending;

use foster::runtime::Timer;
use foster::time::{Sleep, Timeout};
use foster::{Interval, interval, race, scope, sleep, timeout};
use futures::future::poll_immediate;

use crate::harness::T;

/// Is always ready to go on, and pending only when tokio's cooperative budget is used up.
async fn busy() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    tx.send(0).unwrap();
    while let Some(n) = rx.recv().await {
        tx.send(n).unwrap();
    }
}

/// Tests for tokio alone, whose budget they use up.
macro_rules! budgets {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        #[foster::test(runtimes(tokio, tokio_multi), timeout = "10s")]
        $(#[$meta])*
        async fn $name() $body
    )*};
}

// tokio's sleep looked pending for as long as the future beside it used up the task's budget.
budgets! {
    async fn a_timeout_ends_what_uses_up_the_budget() {
        assert!(timeout(T, busy()).await.is_err());
    }

    async fn a_stop_ends_what_uses_up_the_budget() {
        let stopped = scope(async |s: foster::Scope<'_>| {
            s.stop("enough", T);
            busy().await
        });
        assert!(stopped.outcome().await.is_err());
    }

    async fn a_scopes_grace_ends_what_uses_up_the_budget() {
        let overdue = scope(async |s: foster::Scope<'_>| {
            s.defer(busy());
            s.cancel("now");
            pending::<()>().await
        });
        assert!(overdue.grace(T).outcome().await.is_err());
    }

    async fn a_timeouts_grace_ends_what_uses_up_the_budget() {
        assert!(timeout(T, foster::shield(busy())).grace(T).await.is_err());
    }

    async fn a_sleep_wins_a_race_against_what_uses_up_the_budget() {
        race((busy(), sleep(T))).await;
    }

    async fn an_interval_ticks_beside_what_uses_up_the_budget() {
        let ticks = async {
            let mut ticks = interval(T);
            ticks.tick().await;
            ticks.tick().await;
        };
        race((busy(), ticks)).await;
    }
}

#[test]
fn a_roots_grace_ends_what_uses_up_the_budget() {
    crate::harness::each(&[crate::harness::tokio, crate::harness::tokio_multi], |rt| {
        rt.with_grace(T).run(async {
            assert!(poll_immediate(Box::pin(foster::adopt(busy()))).await.is_none());
        });
    });
}

#[test]
fn timers_are_sync_where_what_they_hold_is() {
    fn is<T: Send + Sync>() {}
    is::<Timer>();
    is::<Sleep>();
    is::<Interval>();
    is::<Timeout<std::future::Ready<u8>>>();
}
