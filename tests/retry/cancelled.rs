//! Retries that are dropped, and operations that panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use foster::retry::RetryBudget;
use foster::testing::{CountingWaker, Drops, cancel_at_every_await};
use foster::{Elapsed, retry, yield_now};
use futures::FutureExt as _;
use futures::executor::block_on;

use crate::Flaky;
use crate::harness::T;

#[test]
fn a_retry_that_is_dropped_anywhere_drops_its_attempt() {
    let (drops, budget, made) = (Drops::new(), RetryBudget::new(1_000_000), Cell::new(0));
    let make = || {
        made.set(0);
        let (drops, made) = (&drops, &made);
        retry([T, T / 2, T], async move || {
            let attempt = drops.guard();
            made.set(made.get() + 1);
            yield_now().await;
            drop(attempt);
            if made.get() == 4 { Ok(()) } else { Err(elapsed()) }
        })
        .attempt_timeout(9 * T)
        .jitter()
        .budget(&budget)
        .notify(|_, _| assert_eq!(drops.alive(), 0))
    };
    let report = cancel_at_every_await(make, || assert_eq!(drops.alive(), 0));
    assert!(report.suspensions().len() >= 7, "{report:?}");
}

fn elapsed() -> Elapsed {
    block_on(foster::timeout(std::time::Duration::ZERO, std::future::pending::<()>())).unwrap_err()
}

#[test]
fn a_panic_of_an_attempt_or_of_a_closure_is_the_callers() {
    let attempt = retry([T], async || -> Result<(), ()> { panic!("attempt") });
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(attempt))).is_err());
    let made = Flaky::broken();
    let closure = retry([T], async || made.attempt()).when(|_| panic!("closure"));
    assert!(catch_unwind(AssertUnwindSafe(|| block_on(closure))).is_err());
    assert_eq!(made.made(), 1);
}

#[test]
fn a_retry_is_not_polled_after_it_has_completed() {
    let mut call = Box::pin(retry([], async || Ok::<_, ()>(())));
    let waker = CountingWaker::new();
    assert!(waker.poll(call.as_mut()).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| waker.poll(call.as_mut()))).is_err());
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let made = Flaky::new(0);
    let call = retry([T], async || made.attempt());
    assert_eq!(made.made(), 0);
    assert_eq!(call.now_or_never(), Some(Ok(1)));
}
