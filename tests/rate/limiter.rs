//! A rate limiter: whose turn it is, and when there are tokens.

use std::cell::RefCell;
use std::time::Duration;

use foster::rate::RateLimiter;
use foster::runtimes::Sim;
use foster::testing::{CountingWaker, cancel_at_every_await, explore_all};
use foster::{local, now, race, scope, shield, sleep, timeout, yield_now};
use futures::FutureExt as _;

use crate::harness::T;

matrix! {
    async fn a_burst_passes_at_once_and_then_tokens_are_waited_for() {
        let limiter = RateLimiter::new(3, 30 * T);
        let start = now();
        for _ in 0..3 {
            limiter.acquire(1).now_or_never().expect("there are tokens").unwrap();
        }
        limiter.acquire(1).await.unwrap();
        // The token came no earlier than it should. It may have been taken later.
        assert!(now() - start >= 10 * T && limiter.waiting() == 0);
    }

    async fn those_who_wait_are_served_in_order_and_nobody_overtakes() {
        let (limiter, served) = (RateLimiter::with_burst(1, T, 3), RefCell::new(Vec::new()));
        let (limiter, served) = (&limiter, &served);
        limiter.acquire(3).await.unwrap();
        local::scope(async |s| {
            for (who, count) in [3, 1, 2, 0, 1].into_iter().enumerate() {
                s.spawn(async move {
                    limiter.acquire(count).await.unwrap();
                    served.borrow_mut().push(who);
                });
                // Each joins the line before the next one comes.
                while limiter.waiting() + served.borrow().len() <= who {
                    yield_now().await;
                }
            }
            assert!(limiter.try_acquire(0).unwrap_err().is_not_yet());
        }).await;
        assert_eq!(served.take(), [0, 1, 2, 3, 4]);
    }

    async fn more_than_the_burst_is_an_error_at_once() {
        let limiter = RateLimiter::with_burst(1_000, T, 5);
        assert!(limiter.acquire(6).now_or_never().unwrap().unwrap_err().is_too_many());
        assert!(limiter.try_acquire(u32::MAX).unwrap_err().is_too_many());
        assert_eq!(limiter.try_acquire(6).unwrap_err().wait(), None);
        assert!(limiter.try_acquire(5).is_ok());
    }

    async fn tasks_on_other_threads_share_the_rate() {
        let limiter = std::sync::Arc::new(RateLimiter::with_burst(1, T / 10, 1));
        let (start, mine) = (now(), limiter.clone());
        scope(async |s| {
            for _ in 0..20 {
                let limiter = mine.clone();
                s.spawn_parallel(async move { limiter.acquire(1).await.unwrap() });
            }
        }).await;
        assert!(now() - start >= 19 * T / 10);
    }

    async fn tokens_that_come_after_the_deadline_are_not_waited_for() {
        let limiter = RateLimiter::new(1, Duration::from_secs(3600));
        limiter.acquire(1).await.unwrap();
        let limited = timeout(Duration::from_secs(60), limiter.acquire(1)).await.expect("there was no wait");
        assert!(limited.unwrap_err().is_deadline());
        assert_eq!(limiter.waiting(), 0);
    }

    async fn the_futures_are_send() {
        fn is_send<F: Send>(future: F) -> F {
            future
        }
        let limiter = RateLimiter::new(1, T);
        is_send(limiter.acquire(1)).await.unwrap();
    }
}

sim! {
    async fn who_finds_no_token_is_pending() {
        let limiter = RateLimiter::new(3, 30 * T);
        limiter.acquire(3).await.unwrap();
        assert!(limiter.acquire(1).now_or_never().is_none());
        assert_eq!(limiter.waiting(), 0);
    }

    async fn one_who_leaves_gives_nothing_back_and_delays_nobody() {
        // golang#56924: a reservation that was cancelled kept tokens from those behind it.
        let (start, limiter) = (now(), RateLimiter::with_burst(1, T, 10));
        limiter.acquire(10).await.unwrap();
        let mut first = Box::pin(limiter.acquire(10));
        let mut second = Box::pin(limiter.acquire(2));
        let (one, two) = (CountingWaker::new(), CountingWaker::new());
        assert!(one.poll(first.as_mut()).is_pending() && two.poll(second.as_mut()).is_pending());
        sleep(T).await;
        drop(first);
        assert_eq!(two.count(), 1);
        second.await.unwrap();
        assert_eq!(now() - start, 2 * T, "the token of the first tick is still there");
        limiter.acquire(1).await.unwrap();
        assert_eq!(now() - start, 3 * T);
    }

    async fn a_pause_holds_up_those_who_wait_and_those_who_come() {
        let (start, limiter) = (now(), RateLimiter::with_burst(1, T, 2));
        limiter.acquire(2).await.unwrap();
        local::scope(async |s| {
            let waits = s.spawn(async {
                limiter.acquire(1).await.unwrap();
                now() - start
            });
            sleep(T / 2).await;
            limiter.pause(5 * T);
            limiter.pause(2 * T);
            assert_eq!(waits.await, 5 * T + T / 2, "the longest pause counts");
        }).await;
        assert_eq!(limiter.available(), 1, "tokens came meanwhile");
        limiter.pause(3 * T);
        assert_eq!(limiter.try_acquire(1).unwrap_err().wait(), Some(3 * T));
        limiter.acquire(1).await.unwrap();
        assert_eq!(now() - start, 8 * T + T / 2);
        limiter.pause(Duration::MAX);
        assert!(timeout(1_000_000 * T, limiter.acquire(1)).await.unwrap().unwrap_err().is_deadline());
    }

    async fn a_first_one_whose_deadline_is_too_near_lets_in_the_next() {
        let (start, limiter) = (now(), RateLimiter::with_burst(1, T, 5));
        limiter.acquire(5).await.unwrap();
        let hasty = timeout(5 * T, limiter.acquire(5));
        let patient = async {
            limiter.acquire(2).await.unwrap();
            now() - start
        };
        let (hasty, patient) = foster::gather((hasty, patient)).await;
        assert!(hasty.unwrap().unwrap_err().is_deadline());
        assert_eq!(patient, 2 * T);
        let shielded = timeout(T / 2, shield(limiter.acquire(1))).await;
        assert!(shielded.is_ok_and(|tokens| tokens.is_ok()), "the deadline does not reach it");
    }

    async fn a_token_at_the_deadline_is_too_late() {
        let (start, limiter) = (now(), RateLimiter::with_burst(1, T, 5));
        limiter.acquire(5).await.unwrap();
        assert!(timeout(5 * T, limiter.acquire(5)).await.unwrap().unwrap_err().is_deadline());
        assert_eq!(now(), start);
        assert!(timeout(6 * T, limiter.acquire(5)).await.unwrap().is_ok());
    }

    async fn who_is_cancelled_takes_what_is_there_and_does_not_begin_to_wait() {
        let limiter = RateLimiter::new(2, 10 * T);
        let taken = RefCell::new(Vec::new());
        let ends = async {
            shield(sleep(2 * T)).await;
            for _ in 0..3 {
                limiter.acquire(1).await.unwrap();
                taken.borrow_mut().push(());
            }
        };
        // A shield beside it keeps the region alive for a while, but not until there is a token.
        let keeps = shield(sleep(6 * T));
        assert!(timeout(T, foster::gather((ends, keeps))).await.is_err());
        assert_eq!((taken.borrow().len(), limiter.waiting()), (2, 0));
    }

    // It had the turn, and kept it until the region was dropped.
    async fn who_is_cancelled_and_does_not_wait_keeps_nobody_waiting() {
        let limiter = RateLimiter::with_burst(1, 10 * T, 1);
        limiter.acquire(1).await.unwrap();
        scope(async |s| {
            s.spawn(async {
                let late = async {
                    shield(sleep(2 * T)).await;
                    drop(limiter.acquire(1).await);
                };
                let keeps = shield(sleep(15 * T));
                assert!(timeout(T, foster::gather((late, keeps))).await.is_err());
            });
            sleep(3 * T).await;
            assert_eq!(limiter.waiting(), 0);
            let start = now();
            limiter.acquire(1).await.unwrap();
            assert_eq!(now() - start, 7 * T);
            assert_eq!(limiter.try_acquire(1).unwrap_err().wait(), Some(10 * T));
        })
        .await;
    }

    async fn of_a_thousand_who_wait_the_first_alone_has_a_timer() {
        let (start, limiter) = (now(), RateLimiter::with_burst(1_000, Duration::from_secs(1), 1));
        let polls = foster::testing::Polls::new();
        local::scope(async |s| {
            for _ in 0..1_000 {
                s.spawn(polls.of(async { limiter.acquire(1).await.unwrap() }));
            }
        }).await;
        assert_eq!(now() - start, Duration::from_millis(999));
        // One to come, one to become the first, and one when the timer fires.
        assert!(polls.count() <= 3_000, "{} polls", polls.count());
    }

    async fn a_race_of_waits_takes_the_tokens_of_one() {
        let limiter = RateLimiter::with_burst(1, T, 4);
        limiter.acquire(4).await.unwrap();
        race([limiter.acquire(1), limiter.acquire(1), limiter.acquire(1)]).await.unwrap();
        assert_eq!(limiter.available(), 0);
        sleep(4 * T).await;
        assert_eq!((limiter.available(), limiter.waiting()), (4, 0));
    }
}

#[test]
fn whoever_is_dropped_anywhere_leaves_the_line_whole() {
    let make = || async {
        let limiter = RateLimiter::with_burst(1, T, 2);
        limiter.acquire(2).await.unwrap();
        let one = timeout(9 * T, async { limiter.acquire(2).await });
        let both = foster::gather((one, limiter.acquire(1))).await;
        assert!(both.0.unwrap().is_ok() && both.1.is_ok());
    };
    assert!(cancel_at_every_await(make, || ()).suspensions().len() >= 2);
    let limiter = RateLimiter::with_burst(1, T, 1);
    let shared = || async {
        limiter.acquire(1).await.unwrap();
        limiter.acquire(1).await.unwrap();
    };
    cancel_at_every_await(shared, || assert_eq!(limiter.waiting(), 0));
}

#[test]
fn in_every_order_the_tokens_are_handed_out_when_they_are_there() {
    explore_all(|| async {
        let (start, limiter) = (now(), RateLimiter::with_burst(1, T, 1));
        local::scope(async |s| {
            for _ in 0..3 {
                s.spawn(async { limiter.acquire(1).await.unwrap() });
            }
        })
        .await;
        assert_eq!(now() - start, 2 * T);
    });
}

#[test]
fn an_acquire_is_not_polled_after_it_has_completed() {
    let limiter = RateLimiter::new(1, T);
    for count in [1, 2] {
        let (waker, mut acquire) = (CountingWaker::new(), Box::pin(limiter.acquire(count)));
        assert!(waker.poll(acquire.as_mut()).is_ready());
        let again = std::panic::AssertUnwindSafe(|| waker.poll(acquire.as_mut()));
        assert!(std::panic::catch_unwind(again).is_err());
    }
}

#[test]
fn a_pause_whose_end_the_clock_never_reaches_lasts_for_ever() {
    Sim::default().run(async {
        let mut far = Duration::from_secs(i64::MAX as u64);
        while now().checked_add(far).is_none() {
            far -= Duration::from_secs(1_000_000);
        }
        sleep(far).await;
        let limiter = RateLimiter::new(10, T);
        limiter.pause(Duration::MAX);
        assert!(limiter.try_acquire(1).is_err());
        limiter.pause(T);
        assert!(limiter.try_acquire(1).is_err(), "the longer pause stays");
    });
}
