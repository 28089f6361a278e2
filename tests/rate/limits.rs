//! Rates from one a day to the fastest there is, and rates that make no sense.

use std::panic::catch_unwind;
use std::time::Duration;

use foster::rate::{KeyedRateLimiter, RateLimiter};
use foster::{now, sleep};

use crate::harness::T;

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
const NANO: Duration = Duration::from_nanos(1);

sim! {
    async fn one_a_day_is_exact_to_the_nanosecond() {
        let (start, limiter) = (now(), RateLimiter::new(1, DAY));
        for day in 0..400 {
            limiter.acquire(1).await.unwrap();
            assert_eq!(now() - start, day * DAY);
        }
        sleep(DAY - NANO).await;
        assert_eq!(limiter.try_acquire(1).unwrap_err().wait(), Some(NANO));
        sleep(NANO).await;
        assert!(limiter.try_acquire(1).is_ok());
    }

    async fn a_billion_a_second_are_exact_to_the_nanosecond() {
        let (start, limiter) = (now(), RateLimiter::with_burst(1_000_000_000, SECOND, 1));
        for nano in 0..1_000 {
            limiter.acquire(1).await.unwrap();
            assert_eq!((now() - start).as_nanos(), nano);
        }
        let limiter = RateLimiter::new(1_000_000_000, SECOND);
        limiter.acquire(1_000_000_000).await.unwrap();
        sleep(7 * NANO).await;
        assert_eq!(limiter.available(), 7);
    }

    async fn a_rate_that_is_no_whole_number_of_nanoseconds_does_not_drift() {
        // Three a second: each is rounded up to a nanosecond, and what that adds is not added up.
        let (start, limiter) = (now(), RateLimiter::with_burst(3, SECOND, 2));
        limiter.acquire(2).await.unwrap();
        for count in 1..3_000_u64 {
            limiter.acquire(1).await.unwrap();
            assert_eq!((now() - start).as_nanos() as u64, (count * 1_000_000_000).div_ceil(3));
        }
        let (start, limiter) = (now(), RateLimiter::with_burst(u32::MAX, SECOND, 10));
        limiter.acquire(10).await.unwrap();
        for count in 1..1_000_u64 {
            limiter.acquire(1).await.unwrap();
            assert_eq!((now() - start).as_nanos() as u64, (count * 1_000_000_000).div_ceil(u64::from(u32::MAX)));
        }
    }

    async fn distances_of_a_burst_of_one_are_rounded_up() {
        let (start, limiter) = (now(), RateLimiter::with_burst(3, SECOND, 1));
        for count in 0..10 {
            limiter.acquire(1).await.unwrap();
            assert_eq!(now() - start, count * Duration::from_nanos(333_333_334));
        }
    }

    async fn extreme_limiters_neither_overflow_nor_let_too_many_pass() {
        let longest = Duration::from_nanos(u64::MAX);
        let limiter = RateLimiter::with_burst(1, longest, u32::MAX);
        assert!(limiter.acquire(u32::MAX).await.is_ok());
        assert_eq!(limiter.try_acquire(1).unwrap_err().wait(), Some(longest));
        assert_eq!(limiter.try_acquire(u32::MAX).unwrap_err().wait(), Some(Duration::MAX), "longer than can be said");
        let fast = RateLimiter::with_burst(u32::MAX, NANO, u32::MAX);
        assert!(fast.acquire(u32::MAX).await.is_ok());
        assert!(fast.try_acquire(1).is_err());
        sleep(NANO).await;
        assert_eq!(fast.available(), u32::MAX);
        sleep(Duration::from_secs(1 << 33)).await;
        assert_eq!((fast.available(), limiter.available()), (u32::MAX, 0));
    }
}

#[test]
fn limits_that_let_nobody_pass_or_everybody_are_refused() {
    let refused: [(u32, Duration, u32); 5] =
        [(0, T, 1), (1, T, 0), (1, Duration::ZERO, 1), (1, Duration::MAX, 1), (0, Duration::ZERO, 0)];
    for (count, per, burst) in refused {
        assert!(catch_unwind(|| RateLimiter::with_burst(count, per, burst)).is_err());
        assert!(catch_unwind(|| KeyedRateLimiter::<u8>::with_burst(count, per, burst)).is_err());
    }
}
