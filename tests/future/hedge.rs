//! `hedge`.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::future::hedge;
use foster::runtimes::Sim;
use foster::testing::poll_once;
use foster::{FutureExt as _, sleep};
use futures::FutureExt as _;

use crate::harness::T;
use crate::probes::after;

matrix! {
    async fn hedge_makes_another_attempt_when_the_first_is_slow() {
        let made = AtomicUsize::new(0);
        let answer = hedge(T, 3, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            async move { if attempt < 2 { pending().await } else { attempt } }
        });
        assert_eq!(answer.await, 2);
        assert_eq!(made.load(Ordering::SeqCst), 3);
        let quick = hedge(100 * T, 3, |attempt| after(3, attempt));
        assert_eq!(quick.await, 0);
    }
}

sim! {
    async fn a_hedge_that_has_its_value_makes_no_other_attempt() {
        let made = AtomicUsize::new(0);
        let answer = hedge(2 * T, 3, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            // The first one is waited for.
            sleep(if attempt == 0 { 9 * T } else { T }).shield().map(move |()| attempt)
        });
        assert_eq!((answer.await, made.load(Ordering::SeqCst)), (1, 2));
    }

    async fn a_value_that_comes_with_the_next_attempt_wins() {
        let made = AtomicUsize::new(0);
        let answer = hedge(T, 2, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            sleep(T * (attempt == 0).into()).map(move |()| attempt)
        });
        assert_eq!((answer.await, made.load(Ordering::SeqCst)), (0, 1));
    }

    async fn a_hedge_that_is_wound_down_makes_no_other_attempt() {
        let made = AtomicUsize::new(0);
        let slow = hedge(2 * T, 3, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            sleep(9 * T).shield().map(move |()| attempt)
        });
        assert_eq!((slow.timeout(T).await, made.load(Ordering::SeqCst)), (Ok(0), 1));
    }
}

/// The task was not polled in time.
#[test]
fn no_attempt_begins_after_a_wait_that_has_ended_later_than_the_deadline() {
    Sim::default().run(async {
        let made = AtomicUsize::new(0);
        let hedged = hedge(T, 5, |_| {
            made.fetch_add(1, Ordering::SeqCst);
            pending::<()>()
        });
        let mut call = Box::pin(hedged.timeout(3 * T));
        assert!(poll_once(call.as_mut()).await.is_pending());
        sleep(10 * T).await;
        assert!(call.await.is_err());
        assert_eq!(made.load(Ordering::SeqCst), 1);
    });
}
