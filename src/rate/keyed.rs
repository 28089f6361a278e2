//! A rate limiter for each key.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Rate;
use super::limiter::RateLimiter;
use crate::keys::{Keys, Table};
use crate::runtime::Instant;
use crate::time::now;

/// A [`RateLimiter`] for each key: each host, each user, each address.
///
/// The limiter of a key is made when it is first asked for. It is forgotten when it is as good as a
/// new one: its tokens are all there again, nobody waits, it is not paused, and nobody has a clone.
/// So the memory is that of the keys in use, and nobody gets more tokens by that.
///
/// # Cost
///
/// A look-up is a short lock. When there are twice as many keys as the last search has left, the
/// next new key searches for those that can go. So a new key costs a constant time on average.
/// `K`'s `Eq` runs under the lock, and must not use this value.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{now, rate::KeyedRateLimiter};
///     use std::time::Duration;
///
///     let (start, limits) = (now(), KeyedRateLimiter::new(1, Duration::from_secs(1)));
///     for host in ["a.example", "b.example", "a.example"] {
///         limits.of(host).acquire(1).await.unwrap();
///     }
///     assert_eq!(now() - start, Duration::from_secs(1));
/// });
/// ```
pub struct KeyedRateLimiter<K> {
    rate: Rate,
    keys: Keys<K, Arc<RateLimiter>>,
}

impl<K> KeyedRateLimiter<K> {
    /// Creates one that lets `count` pass in each period of `per` for each key, and so many at
    /// once.
    ///
    /// # Panics
    ///
    /// As [`RateLimiter::new`].
    #[track_caller]
    pub fn new(count: u32, per: Duration) -> Self {
        Self::with_burst(count, per, count)
    }

    /// Creates one that lets `count` pass in each period of `per` for each key, and `burst` at
    /// once.
    ///
    /// # Panics
    ///
    /// As [`RateLimiter::with_burst`].
    #[track_caller]
    pub fn with_burst(count: u32, per: Duration, burst: u32) -> Self {
        let rate = RateLimiter::with_burst(count, per, burst).rate();
        KeyedRateLimiter { rate, keys: Keys::new() }
    }

    /// Returns how many keys are kept.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether no key is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq> KeyedRateLimiter<K> {
    /// Returns the limiter of `key`.
    ///
    /// It may be kept, and is the same one for all as long as somebody has it.
    pub fn of(&self, key: K) -> Arc<RateLimiter> {
        let (now, hash) = (now(), self.keys.hash(&key));
        let mut table = self.keys.lock();
        if let Some(limiter) = table.get(hash, &key) {
            let limiter = limiter.clone();
            // Before `key`, whose destructor is the user's.
            drop(table);
            return limiter;
        }
        let forgotten = table.is_crowded().then(|| forget(&mut table, now));
        let limiter = Arc::new(RateLimiter::of(self.rate));
        table.insert(hash, key, limiter.clone());
        drop(table);
        drop(forgotten);
        limiter
    }

    /// Forgets all keys whose limiters are as good as new ones.
    ///
    /// [`of`](Self::of) does so now and then.
    pub fn shrink(&self) {
        let now = now();
        let forgotten = forget(&mut self.keys.lock(), now);
        drop(forgotten);
    }
}

/// Takes out the keys whose limiters are as good as new ones. They are to be dropped without the
/// lock.
fn forget<K>(table: &mut Table<K, Arc<RateLimiter>>, now: Instant) -> Vec<(K, Arc<RateLimiter>)> {
    // Who has no clone cannot get one, but under this lock.
    table.forget(|limiter| Arc::strong_count(limiter) == 1 && limiter.is_fresh(now))
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter").field("rate", &self.rate).field("len", &self.len()).finish_non_exhaustive()
    }
}
