//! A rate limiter for each key, and which keys are forgotten.

use std::sync::Arc;
use std::time::Duration;

use foster::rate::KeyedRateLimiter;
use foster::{gather, now, sleep};

use crate::harness::T;

matrix! {
    async fn each_key_has_tokens_of_its_own() {
        let limits = KeyedRateLimiter::new(1, Duration::from_secs(3600));
        for key in 0..100 {
            assert!(limits.of(key).try_acquire(1).is_ok());
            assert!(limits.of(key).try_acquire(1).is_err());
        }
    }

    async fn what_is_in_use_is_the_same_for_all_and_is_not_forgotten() {
        let limits = KeyedRateLimiter::new(1, T);
        let kept = limits.of("kept");
        limits.shrink();
        assert!(Arc::ptr_eq(&kept, &limits.of("kept")));
        drop(kept);
        limits.shrink();
        assert!(limits.is_empty());
    }
}

sim! {
    async fn keys_are_forgotten_when_all_their_tokens_are_there_again() {
        let limits = KeyedRateLimiter::new(2, 2 * T);
        limits.of('a').acquire(1).await.unwrap();
        limits.of('b').acquire(2).await.unwrap();
        limits.of('c').pause(3 * T);
        for left in [3, 2, 1, 0] {
            limits.shrink();
            assert_eq!(limits.len(), left);
            sleep(T).await;
        }
    }

    async fn who_waits_keeps_its_key() {
        let (limits, start) = (KeyedRateLimiter::new(1, T), now());
        let wait = async || limits.of('a').acquire(1).await;
        let (one, two, three, ()) = gather((wait(), wait(), wait(), async { limits.shrink() })).await;
        assert!(one.is_ok() && two.is_ok() && three.is_ok());
        assert_eq!(now() - start, 2 * T);
    }

    async fn as_many_keys_are_kept_as_are_in_use() {
        let (limits, mut most) = (KeyedRateLimiter::with_burst(1, T, 3), 0);
        for key in 0..20_000_u32 {
            limits.of(key).acquire(1).await.unwrap();
            most = most.max(limits.len());
            // About a hundred have tokens missing at any time.
            sleep(T / 100).await;
        }
        assert!((100..=500).contains(&most), "{most} keys");
    }
}
