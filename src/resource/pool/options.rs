//! How large a pool is, and how long its resources live.

use std::time::Duration;

use super::{KeyedPool, Manager, Pool};
use crate::scope::Spawner;

/// Sets how many resources a [`Pool`] has, and how long they live.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(foster::scope(async |s| {
///     use foster::resource::{Manager, PoolOptions};
///     use std::convert::Infallible;
///     use std::time::Duration;
///
///     struct Buffers;
///
///     impl Manager for Buffers {
///         type Resource = Vec<u8>;
///         type Error = Infallible;
///
///         async fn create(&self) -> Result<Vec<u8>, Infallible> {
///             Ok(Vec::with_capacity(65_536))
///         }
///     }
///
///     let options = PoolOptions::new().max_size(4).idle_timeout(Duration::from_secs(60));
///     let buffers = options.build(Buffers, s.spawner());
///     buffers.get().await.unwrap().push(7);
///     assert_eq!(buffers.statistics().size(), 1);
/// }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    pub(super) max_size: usize,
    pub(super) max_per_key: usize,
    pub(super) min_idle: usize,
    pub(super) idle_timeout: Duration,
    pub(super) max_lifetime: Duration,
    pub(super) check_after: Duration,
    pub(super) create_timeout: Duration,
    pub(super) grace: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);

impl PoolOptions {
    /// Returns the defaults: up to 10 resources, none of which are created in advance.
    pub const fn new() -> Self {
        PoolOptions {
            max_size: 10,
            max_per_key: usize::MAX,
            min_idle: 0,
            idle_timeout: MINUTE.saturating_mul(10),
            max_lifetime: MINUTE.saturating_mul(30),
            check_after: Duration::from_millis(500),
            create_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }

    /// Sets how many resources there are at most. The default is 10.
    ///
    /// Those that are being created, reset or closed count as well.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[track_caller]
    pub const fn max_size(self, max_size: usize) -> Self {
        assert!(max_size > 0, "a pool with a maximum of 0 resources would never have one");
        PoolOptions { max_size, ..self }
    }

    /// Sets how many resources of each key there are at most, in a [`KeyedPool`]. The default is no
    /// limit but that of [all](PoolOptions::max_size).
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[track_caller]
    pub const fn max_per_key(self, max_per_key: usize) -> Self {
        assert!(max_per_key > 0, "a key with a maximum of 0 resources would never have one");
        PoolOptions { max_per_key, ..self }
    }

    /// Sets how many idle resources the pool tries to have. The default is 0.
    ///
    /// They are created when the pool is first used, or by [`fill`](Pool::fill). As long as
    /// resources cannot be created, the pool tries only for those who wait. The counterpart of
    /// `min_idle` of bb8, and of `minimumIdle` of HikariCP.
    pub const fn min_idle(self, min_idle: usize) -> Self {
        PoolOptions { min_idle, ..self }
    }

    /// Sets how long a resource may be idle before it is closed, unless there are too few idle ones
    /// by [`min_idle`](PoolOptions::min_idle). The default is 10 minutes. [`Duration::MAX`] closes
    /// none.
    ///
    /// # Panics
    ///
    /// Panics if it is zero. To use each resource once, [discard](super::Pooled::discard) it.
    #[track_caller]
    pub const fn idle_timeout(self, idle_timeout: Duration) -> Self {
        assert!(!idle_timeout.is_zero(), "a pool whose resources may not be idle would never keep one");
        PoolOptions { idle_timeout, ..self }
    }

    /// Sets how old a resource may become. The default is 30 minutes. [`Duration::MAX`] is no
    /// limit.
    ///
    /// It is closed when it is idle or comes back, never while it is in use. Each one lives up to
    /// 10 % less than that, by chance, so that those that were created together are not replaced
    /// together.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[track_caller]
    pub const fn max_lifetime(self, max_lifetime: Duration) -> Self {
        assert!(!max_lifetime.is_zero(), "a resource with a lifetime of 0 would be too old when it is created");
        PoolOptions { max_lifetime, ..self }
    }

    /// Sets how long a resource may be idle before it is [checked](Manager::check) when somebody
    /// wants it. The default is 500 milliseconds. [`Duration::MAX`] checks none.
    pub const fn check_after(self, check_after: Duration) -> Self {
        PoolOptions { check_after, ..self }
    }

    /// Sets how long the [creation](Manager::create) of a resource may take. The default is 30
    /// seconds. [`Duration::MAX`] is no limit: what hangs then keeps its place until the pool is
    /// closed.
    pub const fn create_timeout(self, create_timeout: Duration) -> Self {
        PoolOptions { create_timeout, ..self }
    }

    /// Sets how long each [check](Manager::check), [reset](Manager::reset) and
    /// [close](Manager::close) may take. The default is 5 seconds.
    ///
    /// After that the resource is dropped, and its place is free.
    pub const fn grace(self, grace: Duration) -> Self {
        PoolOptions { grace, ..self }
    }

    /// Creates a pool whose tasks are spawned by `spawner`.
    ///
    /// See [`Pool::new`].
    ///
    /// # Panics
    ///
    /// Panics if [`min_idle`](PoolOptions::min_idle) is more than
    /// [`max_size`](PoolOptions::max_size).
    #[track_caller]
    pub fn build<M: Manager>(self, manager: M, spawner: Spawner) -> Pool<M> {
        assert!(self.min_idle <= self.max_size, "a pool cannot have more idle resources than it has at most");
        // It has no keys.
        Pool::of(manager, self.max_per_key(usize::MAX), spawner)
    }

    /// Creates a pool whose resources differ by a key, and whose tasks are spawned by `spawner`.
    ///
    /// `manager` is called for each key that is new, and makes its manager. See [`KeyedPool`].
    ///
    /// # Panics
    ///
    /// Panics if [`min_idle`](PoolOptions::min_idle) is not 0, since the pool does not know for
    /// which keys it should keep idle resources.
    #[track_caller]
    pub fn build_keyed<K, M: Manager>(
        self,
        manager: impl Fn(&K) -> M + Send + Sync + 'static,
        spawner: Spawner,
    ) -> KeyedPool<K, M> {
        assert!(self.min_idle == 0, "a keyed pool keeps no idle resources in advance; set no `min_idle`");
        KeyedPool::of(manager, self, spawner)
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        PoolOptions::new()
    }
}
