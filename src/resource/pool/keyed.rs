//! A pool with a key for each resource.

use std::fmt;
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;

use super::get::GroupVisit;
use super::group::Group;
use super::pool::PoolHandle;
use super::shared::SharedPool;
use super::{Close, Get, Manager, PoolOptions, PoolStatistics, Pooled, TryGetError};
use crate::keys::{Keys, Table};
use crate::name::Name;
use crate::runtime::Instant;
use crate::scope::Spawner;
use crate::time::now;

/// A [`Pool`](super::Pool) whose resources differ by a key, such as connections by their host.
///
/// There is a limit for [each key](PoolOptions::max_per_key), and one for
/// [all of them](PoolOptions::max_size). Each key has a [`Manager`] of its own, which is made when
/// the key is first asked for. [`PoolOptions::build_keyed`] creates such a pool. Otherwise it is as
/// a `Pool` is. The counterpart of aiohttp's `TCPConnector`, with its `limit_per_host` and `limit`.
///
/// # Turns
///
/// Those who wait have their turn in the order in which they came, whatever their key. Only those
/// whose key has reached its own limit are passed over by those of other keys.
///
/// A resource that is idle is no reason to let others wait: if the limit for all is reached, the
/// one that has been idle longest is closed in favour of the new key. A resource that comes back is
/// also closed, if who has waited longest wants one of another key. So keys that are in use all the
/// time take turns at the price of new connections. A larger `max_size` avoids that.
///
/// An attempt goes on when those who waited for it have left, and keeps its place. For a key whose
/// server is down that is for a pause and for the [time](PoolOptions::create_timeout) of the
/// attempt. If the limit for all is reached, other keys wait for it.
///
/// # Cost
///
/// As for a `Pool`, and a look-up under a short lock. While the limit for all is reached, whoever
/// waits or returns a resource looks at each key that is in use. A key without resources and
/// without waiters is forgotten, so the memory is that of the keys in use. `K`'s `Eq` runs
/// under the lock, and must not use the pool.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(foster::scope(async |s| {
///     use foster::resource::{Manager, PoolOptions};
///     use foster::{now, sleep};
///     use std::convert::Infallible;
///     use std::time::Duration;
///
///     struct Host(String);
///
///     impl Manager for Host {
///         type Resource = String;
///         type Error = Infallible;
///
///         async fn create(&self) -> Result<String, Infallible> {
///             Ok(format!("a connection to {}", self.0))
///         }
///     }
///
///     let options = PoolOptions::new().max_size(100).max_per_key(2);
///     let hosts = &options.build_keyed(|host: &&str| Host(host.to_string()), s.spawner());
///     let start = now();
///     foster::scope(async |s| {
///         for host in ["a.example", "a.example", "a.example", "b.example"] {
///             s.spawn(async move {
///                 let connection = hosts.get(host).await.unwrap();
///                 assert!(connection.ends_with(host));
///                 sleep(Duration::from_secs(1)).await;
///             });
///         }
///     }).await;
///     assert_eq!(now() - start, Duration::from_secs(2), "two at a time to each host");
/// }));
/// ```
pub struct KeyedPool<K, M: Manager> {
    inner: Arc<KeyedHandle<K, M>>,
}

struct KeyedHandle<K, M: Manager> {
    handle: PoolHandle<M>,
    make: Box<dyn Fn(&K) -> M + Send + Sync>,
    /// The group of each key. Whoever has this lock may take that of the state, and not the other
    /// way round.
    keys: Keys<K, usize>,
}

impl<K, M: Manager> KeyedPool<K, M> {
    pub(super) fn of(make: impl Fn(&K) -> M + Send + Sync + 'static, options: PoolOptions, spawner: Spawner) -> Self {
        let handle = PoolHandle { shared: SharedPool::new(options, spawner) };
        KeyedPool { inner: Arc::new(KeyedHandle { handle, make: Box::new(make), keys: Keys::new() }) }
    }

    fn shared(&self) -> &Arc<SharedPool<M>> {
        &self.inner.handle.shared
    }

    /// Closes the pool, as [`Pool::close`](super::Pool::close) does.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops nothing, and the pool stays closed.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn close(&self) -> Close<'_, M> {
        self.inner.handle.close()
    }

    /// Returns whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        self.shared().list.with(|state| state.is_closed())
    }

    /// Returns how many resources of all keys there are, and how many futures wait.
    pub fn statistics(&self) -> PoolStatistics {
        self.shared().list.with(|state| state.statistics())
    }

    /// Returns who has a resource, as [`Pool::holders`](super::Pool::holders) does.
    pub fn holders(&self) -> Vec<Name> {
        self.shared().list.with(|state| state.holders())
    }

    /// Returns how many keys are known.
    pub fn len(&self) -> usize {
        self.inner.keys.len()
    }

    /// Returns whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Hash + Eq, M: Manager> KeyedPool<K, M> {
    /// Returns a resource of `key`, and waits until it is the caller's turn and there is one.
    ///
    /// # Errors
    ///
    /// As for [`Pool::get`](super::Pool::get).
    ///
    /// # Cancellation
    ///
    /// As for [`Pool::get`](super::Pool::get).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed. This panics if the closure that
    /// makes the manager of a new key does.
    #[track_caller]
    pub fn get(&self, key: K) -> Get<'_, M> {
        Get::visiting(self.visit(key), Location::caller())
    }

    /// Returns a resource of `key` that is idle, if nobody waits.
    ///
    /// # Errors
    ///
    /// As for [`Pool::try_get`](super::Pool::try_get).
    #[track_caller]
    pub fn try_get(&self, key: K) -> Result<Pooled<M>, TryGetError> {
        self.shared().try_get(self.visit(key).group, Location::caller())
    }

    /// Returns a visit to the group of `key`.
    fn visit(&self, key: K) -> GroupVisit<'_, M> {
        let KeyedHandle { handle: PoolHandle { shared }, make, keys } = &*self.inner;
        let hash = keys.hash(&key);
        let visit = |table: &Table<K, usize>, key: &K| {
            let group = *table.get(hash, key)?;
            shared.list.with(|state| state.begin_visit(group));
            Some(GroupVisit { shared, group })
        };
        if let Some(visit) = visit(&keys.lock(), &key) {
            return visit;
        }
        let (manager, now) = (Arc::new(make(&key)), now());
        let mut table = keys.lock();
        if let Some(visit) = visit(&table, &key) {
            drop(table);
            return visit;
        }
        let forgotten = table.is_crowded().then(|| forget(&mut table, shared, now));
        let group = shared.list.with(|state| state.open_group(Group::new(manager)));
        table.insert(hash, key, group);
        drop(table);
        drop(forgotten);
        GroupVisit { shared, group }
    }
}

/// Takes out the keys that nobody uses. They are to be dropped without the locks.
fn forget<K, M: Manager>(
    table: &mut Table<K, usize>,
    shared: &Arc<SharedPool<M>>,
    now: Instant,
) -> (Vec<(K, usize)>, Vec<Group<M>>) {
    let mut closed = Vec::new();
    let forgotten = shared.list.with(|state| {
        table.forget(|group| {
            let unused = state.close_group(*group, now);
            let is_unused = unused.is_some();
            closed.extend(unused);
            is_unused
        })
    });
    (forgotten, closed)
}

impl<K, M: Manager> Clone for KeyedPool<K, M> {
    /// Returns another handle to the same pool.
    fn clone(&self) -> Self {
        KeyedPool { inner: self.inner.clone() }
    }
}

impl<K, M: Manager> fmt::Debug for KeyedPool<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedPool")
            .field("len", &self.len())
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}
