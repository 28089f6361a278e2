//! An adaptive limit: when it grows, when it is cut, and whom it lets in.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use foster::rate::{AdaptiveLimit, AdaptivePermit};
use foster::sync::Semaphore;
use foster::testing::{CountingWaker, cancel_at_every_await};
use foster::{local, now, scope, sleep, yield_now};
use futures::FutureExt as _;

use crate::harness::{T, watched};

/// Takes all permits that there are.
fn fill(limit: &AdaptiveLimit) -> Vec<AdaptivePermit<'_>> {
    let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
    assert_eq!(permits.len(), limit.limit());
    permits
}

/// Grows the limit up to `to`, while it is in use.
fn grow(limit: &AdaptiveLimit, to: usize) {
    while limit.limit() < to {
        let permits = fill(limit);
        permits.into_iter().take(1).for_each(AdaptivePermit::success);
    }
}

matrix! {
    async fn those_who_wait_are_let_in_as_the_limit_grows() {
        let (limit, most) = (AdaptiveLimit::new(1, 6), Cell::new(0));
        local::scope(async |s| {
            for _ in 0..60 {
                s.spawn(async {
                    let permit = limit.acquire().await;
                    let in_use = limit.statistics().in_use();
                    assert!(in_use <= limit.limit());
                    most.set(in_use.max(most.get()));
                    yield_now().await;
                    permit.success();
                });
            }
        }).await;
        assert_eq!((most.get(), limit.limit(), limit.statistics().in_use()), (6, 6, 0));
    }

    async fn tasks_on_other_threads_leave_all_permits_free() {
        let limit = Arc::new(AdaptiveLimit::new(2, 20));
        let shared = limit.clone();
        scope(async |s| {
            for call in 0..200 {
                let limit = shared.clone();
                s.spawn_parallel(async move {
                    let permit = limit.acquire().await;
                    yield_now().await;
                    if call % 7 == 0 { permit.overload() } else { permit.success() }
                });
            }
        }).await;
        assert_eq!(limit.statistics().in_use(), 0);
        // The semaphore has the limit that was decided last.
        let free = fill(&limit);
        assert!((2..=20).contains(&free.len()));
    }

    async fn the_future_is_send() {
        fn is_send<F: Send>(future: F) -> F {
            future
        }
        is_send(AdaptiveLimit::new(1, 2).acquire()).await.success();
    }
}

sim! {
    async fn before_the_first_overload_each_success_adds_one_and_afterwards_each_round() {
        let limit = AdaptiveLimit::new(2, 100);
        grow(&limit, 8);
        limit.acquire().await.overload();
        assert_eq!(limit.limit(), 6);
        for more in 0..6 {
            assert_eq!(limit.limit(), 6, "{more} of 6 successes have come");
            fill(&limit).into_iter().take(1).for_each(AdaptivePermit::success);
        }
        assert_eq!(limit.limit(), 7);
        for _ in 0..6 {
            fill(&limit).into_iter().take(1).for_each(AdaptivePermit::success);
        }
        assert_eq!(limit.limit(), 7);
    }

    async fn a_limit_that_is_not_in_use_does_not_grow() {
        let limit = AdaptiveLimit::new(4, 100);
        for _ in 0..1_000 {
            limit.acquire().await.success();
            let (one, other) = (limit.acquire().await, limit.acquire().await);
            one.success();
            other.success();
        }
        assert_eq!(limit.limit(), 4, "two of four are no more than half");
        let permits = [limit.acquire().await, limit.acquire().await, limit.acquire().await];
        permits.into_iter().for_each(AdaptivePermit::success);
        assert_eq!(limit.limit(), 5);
    }

    async fn calls_that_were_under_way_together_cut_the_limit_once() {
        let limit = AdaptiveLimit::new(1, 100).cut_to(50);
        grow(&limit, 40);
        fill(&limit).into_iter().for_each(AdaptivePermit::overload);
        assert_eq!(limit.limit(), 20);
        let late = limit.acquire().await;
        limit.acquire().await.overload();
        assert_eq!(limit.limit(), 10);
        late.overload();
        assert_eq!(limit.limit(), 10, "it began before the limit was cut");
    }

    async fn a_cut_lets_nobody_in_before_there_are_fewer_than_the_new_limit() {
        let (limit, waker) = (AdaptiveLimit::new(1, 4).cut_to(25), CountingWaker::new());
        grow(&limit, 4);
        let mut permits = fill(&limit);
        let mut next = Box::pin(limit.acquire());
        assert!(waker.poll(next.as_mut()).is_pending());
        permits.pop().unwrap().overload();
        assert_eq!((limit.limit(), limit.statistics().in_use()), (1, 3));
        permits.truncate(1);
        assert_eq!(waker.count(), 0);
        permits.clear();
        assert_eq!(waker.count(), 1);
        next.await.success();
    }

    async fn a_permit_that_is_dropped_says_nothing() {
        let limit = AdaptiveLimit::new(1, 100);
        grow(&limit, 5);
        for _ in 0..100 {
            drop(fill(&limit));
        }
        assert_eq!((limit.limit(), limit.statistics().in_use()), (5, 0));
    }

    async fn a_success_that_is_slow_is_an_overload() {
        let limit = AdaptiveLimit::new(1, 100).slow_after(T);
        grow(&limit, 4);
        let [in_time, late] = [limit.acquire().await, limit.acquire().await];
        sleep(T).await;
        in_time.success();
        assert_eq!(limit.limit(), 4, "exactly the latency is in time");
        sleep(Duration::from_nanos(1)).await;
        late.success();
        assert_eq!(limit.limit(), 3);
    }

    async fn the_limit_follows_a_server_that_takes_ten_calls_at_once() {
        // Ten calls take one unit. More than that at once are refused.
        let (limit, under_way, refused) = (AdaptiveLimit::new(1, 1_000), Cell::new(0), Cell::new(0));
        let start = now();
        local::scope(async |s| {
            for _ in 0..2_000 {
                s.spawn(async {
                    let permit = limit.acquire().await;
                    under_way.set(under_way.get() + 1);
                    let is_refused = under_way.get() > 10;
                    sleep(T).await;
                    under_way.set(under_way.get() - 1);
                    if is_refused {
                        refused.set(refused.get() + 1);
                        permit.overload();
                    } else {
                        permit.success();
                    }
                });
            }
        }).await;
        assert!((6..=12).contains(&limit.limit()), "{limit:?}");
        assert!(refused.get() < 200, "{refused:?}");
        assert!(now() - start < 300 * T, "{:?}", now() - start);
    }
}

#[test]
fn a_call_that_is_cancelled_anywhere_gives_its_permit_back() {
    let limit = AdaptiveLimit::new(1, 2);
    let make = || async {
        let held = limit.acquire().await;
        let waits = async {
            let permit = limit.acquire().await;
            yield_now().await;
            permit.success();
        };
        let holds = async {
            yield_now().await;
            drop(held);
        };
        foster::gather((waits, holds)).await;
    };
    let report = cancel_at_every_await(make, || {
        let statistics = limit.statistics();
        assert_eq!((statistics.in_use(), statistics.waiting()), (0, 0));
        assert!(limit.try_acquire().is_ok());
    });
    assert!(report.suspensions().len() >= 2, "{report:?}");
}

#[test]
fn limits_that_could_let_nobody_in_are_refused() {
    watched(|| {
        assert!(catch_unwind(|| AdaptiveLimit::new(0, 1)).is_err());
        assert!(catch_unwind(|| AdaptiveLimit::new(2, 1)).is_err());
        assert!(catch_unwind(|| AdaptiveLimit::new(1, usize::MAX)).is_err());
        assert!(catch_unwind(|| AdaptiveLimit::new(1, 1).cut_to(100)).is_err());
        let largest = AdaptiveLimit::new(1, Semaphore::MAX_PERMITS).cut_to(0).slow_after(Duration::MAX);
        grow(&largest, 3);
        largest.acquire().now_or_never().unwrap().overload();
        assert_eq!(largest.limit(), 1);
        let fixed = AdaptiveLimit::new(Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS).cut_to(99);
        fixed.try_acquire().unwrap().overload();
        fixed.try_acquire().unwrap().success();
        assert_eq!(fixed.limit(), Semaphore::MAX_PERMITS);
    });
}
