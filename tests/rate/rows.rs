//! Rows of the contract, as far as they are about limits on a rate.

use std::time::Duration;

use foster::rate::RateLimiter;
use foster::testing::CountingWaker;
use foster::timeout;
use futures::FutureExt as _;

use crate::harness::T;

matrix! {
    // C338
    async fn a_newcomer_takes_no_token_that_others_wait_for() {
        let (limiter, waker) = (RateLimiter::with_burst(1, Duration::from_secs(3600), 2), CountingWaker::new());
        limiter.acquire(1).await.unwrap();
        let mut first = Box::pin(limiter.acquire(2));
        let mut second = Box::pin(limiter.acquire(1));
        assert!(waker.poll(first.as_mut()).is_pending() && waker.poll(second.as_mut()).is_pending());
        assert!(limiter.try_acquire(0).unwrap_err().is_not_yet());
        assert_eq!(limiter.try_acquire(1).unwrap_err().wait(), None, "others come first");
        assert_eq!((limiter.available(), limiter.waiting()), (1, 2));
        drop(first);
        second.await.unwrap();
    }

    // C280
    async fn who_has_no_token_waits_until_there_is_one() {
        let limiter = RateLimiter::new(1, 2 * T);
        limiter.acquire(1).await.unwrap();
        assert!(limiter.acquire(1).now_or_never().is_none());
        assert!(timeout(100_000 * T, limiter.acquire(1)).await.unwrap().is_ok());
    }
}
