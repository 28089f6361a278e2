//! A rate limiter for each key.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Rate;
use super::limiter::RateLimiter;
use crate::context;
use crate::engine::atomics::ShortLock;
use crate::runtime::Instant;

/// So many keys are kept before the first search for those that can go.
const FEW: usize = 64;

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
/// `K`'s `Hash` and `Eq` run under the lock, and must not use this value.
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
    keys: ShortLock<Keys<K>>,
}

struct Keys<K> {
    limiters: HashMap<K, Arc<RateLimiter>>,
    /// When there are so many, the next new key searches for those that can go.
    search_at: usize,
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
        KeyedRateLimiter { rate, keys: ShortLock::new(Keys { limiters: HashMap::new(), search_at: FEW }) }
    }

    /// Returns how many keys are kept.
    pub fn len(&self) -> usize {
        self.keys.lock().limiters.len()
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
        let now = context::with(|ambient| ambient.now());
        let mut keys = self.keys.lock();
        if let Some(limiter) = keys.limiters.get(&key) {
            let limiter = limiter.clone();
            // Before `key`, whose destructor is the user's.
            drop(keys);
            return limiter;
        }
        let forgotten = (keys.limiters.len() >= keys.search_at).then(|| keys.forget(now));
        let limiter = Arc::new(RateLimiter::of(self.rate));
        keys.limiters.insert(key, limiter.clone());
        drop(keys);
        drop(forgotten);
        limiter
    }

    /// Forgets all keys whose limiters are as good as new ones.
    ///
    /// [`of`](Self::of) does so now and then.
    pub fn shrink(&self) {
        let now = context::with(|ambient| ambient.now());
        let forgotten = self.keys.lock().forget(now);
        drop(forgotten);
    }
}

impl<K: Hash + Eq> Keys<K> {
    /// Takes out those that are as good as new ones. They are to be dropped without the lock.
    fn forget(&mut self, now: Instant) -> HashMap<K, Arc<RateLimiter>> {
        // Who has no clone cannot get one, but under this lock.
        let is_fresh = |limiter: &Arc<RateLimiter>| Arc::strong_count(limiter) == 1 && limiter.is_fresh(now);
        let (forgotten, kept) = mem::take(&mut self.limiters).into_iter().partition(|(_, limiter)| is_fresh(limiter));
        self.limiters = kept;
        self.search_at = FEW.max(2 * self.limiters.len());
        forgotten
    }
}

impl<K> fmt::Debug for KeyedRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedRateLimiter").field("rate", &self.rate).field("len", &self.len()).finish_non_exhaustive()
    }
}
