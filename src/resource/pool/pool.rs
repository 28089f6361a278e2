//! The handle to a pool.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::error::GetCause;
use super::group::Group;
use super::shared::SharedPool;
use super::state::ALL;
use super::{Close, Fill, Get, Manager, PoolOptions, PoolStatistics, Pooled, TryGetError};
use crate::name::Name;
use crate::scope::Spawner;

/// Shares a few resources, such as connections, among many who use one for a while.
///
/// [`get`](Pool::get) returns a resource that is idle, or a new one, or waits for one that comes
/// back. Dropping the [`Pooled`] returns it. A [`Manager`] says how resources are created, checked,
/// reset and closed, and [`PoolOptions`] how many there are. Clones are handles to the same pool.
///
/// The counterpart of the pools of sqlx, deadpool and bb8, and of asyncpg's `create_pool`.
///
/// # The pool belongs to a scope
///
/// What takes time is done by tasks of the pool, which are children of the scope that its
/// [`Spawner`] spawns into. So:
///
/// - A caller that is dropped while it waits stops nothing and loses nothing. The connection that
///   was begun for it goes to the next one, or is idle. A thousand callers that all give up have
///   cost no more connections than the pool has places.
/// - A scope that completes has no connection that is still being created, reset or closed.
/// - A pool does not keep its scope from completing. A task exists only while it has something to
///   do. The one that closes what is idle for too long ends when the scope's body has completed, or
///   the scope is stopped.
/// - When the scope is cancelled or has completed, the pool is closed as soon as it is used.
///
/// The pool is closed with its last handle. So let the handles live in the body of the scope, and
/// in its children, and the idle resources are [closed](Manager::close) before the scope completes.
///
/// # Turns
///
/// Those who wait have their turn in the order in which their futures were first polled, and nobody
/// overtakes them. A resource that comes back is given to the first one at once, also if another
/// one is being created for it: the first that is there is taken. Among the idle ones, the last to
/// come back is the first to be given out, so that those that are not needed grow old.
///
/// # Failures
///
/// If a resource cannot be created, everyone who waits gets the [error](super::GetError) at once,
/// unless others have resources or are creating some: then they wait for those. After a failure
/// there is one attempt at a time for all, and a pause before each, from 10 milliseconds to one
/// second. A caller that comes during the pause waits for that attempt, or gets the last error at
/// once if its [deadline](crate::deadline) comes first. To try again, use
/// [`retry`](crate::retry()).
///
/// # Cost
///
/// To get an idle resource, and to return it, takes a short lock and a look at the clock each. It
/// allocates nothing and spawns nothing. A waiter takes a place in the line. Creating, checking,
/// resetting and closing each are one task.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(foster::scope(async |s| {
///     use foster::resource::{Manager, PoolOptions};
///     use foster::sleep;
///     use std::convert::Infallible;
///     use std::time::Duration;
///
///     struct Server;
///
///     struct Connection;
///
///     impl Manager for Server {
///         type Resource = Connection;
///         type Error = Infallible;
///
///         async fn create(&self) -> Result<Connection, Infallible> {
///             sleep(Duration::from_millis(50)).await;
///             Ok(Connection)
///         }
///     }
///
///     let pool = PoolOptions::new().max_size(2).build(Server, s.spawner());
///     foster::scope(async |s| {
///         for _ in 0..10 {
///             s.spawn(async {
///                 let _connection = pool.get().await.unwrap();
///                 sleep(Duration::from_millis(100)).await;
///             });
///         }
///     }).await;
///     let statistics = pool.statistics();
///     assert_eq!((statistics.peak(), statistics.idle(), statistics.in_use()), (2, 2, 0));
/// }));
/// ```
pub struct Pool<M: Manager> {
    handle: Arc<PoolHandle<M>>,
}

/// Closes the pool when the last of the handles is dropped.
pub(super) struct PoolHandle<M: Manager> {
    pub(super) shared: Arc<SharedPool<M>>,
}

impl<M: Manager> PoolHandle<M> {
    pub(super) fn close(&self) -> Close<'_, M> {
        self.shared.close(GetCause::Closed);
        Close::new(&self.shared)
    }
}

impl<M: Manager> Drop for PoolHandle<M> {
    fn drop(&mut self) {
        self.shared.close(GetCause::Closed);
    }
}

impl<M: Manager> Pool<M> {
    /// Creates a pool with the [default options](PoolOptions::new), whose tasks are spawned by
    /// `spawner`.
    ///
    /// Nothing is created before the first [`get`](Pool::get) or [`fill`](Pool::fill). If the scope
    /// of the spawner has ended, both return an error.
    pub fn new(manager: M, spawner: Spawner) -> Self {
        PoolOptions::new().build(manager, spawner)
    }

    pub(super) fn of(manager: M, options: PoolOptions, spawner: Spawner) -> Self {
        let shared = SharedPool::new(options, spawner);
        shared.list.with(|state| state.open_group(Group::new(Arc::new(manager))));
        Pool { handle: Arc::new(PoolHandle { shared }) }
    }

    fn shared(&self) -> &Arc<SharedPool<M>> {
        &self.handle.shared
    }

    /// Returns a resource, and waits until it is the caller's turn and there is one.
    ///
    /// To limit the wait, use [`timeout`](crate::timeout).
    ///
    /// # Errors
    ///
    /// Returns an error if the pool is closed, or its scope has ended, also while this waits.
    /// Returns one if a resource could not be created, and none can come from elsewhere. See
    /// [Failures](Pool#failures).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped gives up its place in the line, and the resource that it may have
    /// been given already. In a [cancelled region](crate::cancel#regions) the future takes what is
    /// idle, and does not begin to wait.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    #[track_caller]
    pub fn get(&self) -> Get<'_, M> {
        Get::new(self.shared(), ALL, Location::caller())
    }

    /// Returns a resource that is idle, if nobody waits.
    ///
    /// One that has been idle for so long that it has to be [checked](PoolOptions::check_after) is
    /// left to [`get`](Pool::get).
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, or the pool is closed.
    #[track_caller]
    pub fn try_get(&self) -> Result<Pooled<M>, TryGetError> {
        self.shared().try_get(ALL, Location::caller())
    }

    /// Creates as many resources as are [to be idle](PoolOptions::min_idle), as far as places are
    /// free, and waits until they are there.
    ///
    /// For a program that wants to know at its start that the server is there. A pause after an
    /// earlier failure is skipped, unless an attempt has begun to wait for its end already.
    ///
    /// # Errors
    ///
    /// Returns the error of the last attempt if one has failed, or an error if the pool is closed.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops nothing.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn fill(&self) -> Fill<'_, M> {
        Fill::new(self.shared())
    }

    /// Closes the pool, and returns a future that waits until it has no resources left.
    ///
    /// The pool is closed when this returns. Callers that wait get an error, and what is being
    /// created is dropped. What is idle is closed now, and what is in use when it comes back. To
    /// limit the wait, use [`timeout`](crate::timeout). Then [`holders`](Pool::holders) says by
    /// name who still has some.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops nothing, and the pool stays closed.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(foster::scope(async |s| {
    ///     use foster::resource::{Manager, Pool};
    ///     use foster::{sleep, timeout};
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
    ///             Ok(Vec::new())
    ///         }
    ///     }
    ///
    ///     let (pool, second) = (&Pool::new(Buffers, s.spawner()), Duration::from_secs(1));
    ///     foster::scope(async |s| {
    ///         s.named("report").spawn(async move {
    ///             let _buffer = pool.get().await.unwrap();
    ///             sleep(10 * second).await;
    ///         });
    ///         sleep(second).await;
    ///         assert!(timeout(second, pool.close()).await.is_err());
    ///         assert_eq!(pool.holders(), ["report"]);
    ///         pool.close().await;
    ///         assert_eq!(pool.statistics().size(), 0);
    ///     }).await;
    /// }));
    /// ```
    pub fn close(&self) -> Close<'_, M> {
        self.handle.close()
    }

    /// Returns whether the pool is closed.
    pub fn is_closed(&self) -> bool {
        self.shared().list.with(|state| state.is_closed())
    }

    /// Returns how many resources there are, and how many futures wait.
    pub fn statistics(&self) -> PoolStatistics {
        self.shared().list.with(|state| state.statistics())
    }

    /// Returns who has a resource: the [name](crate::Scope::named) of the child that got it, or the
    /// file and line of the call to [`get`](Pool::get) where it has no name.
    ///
    /// Of nested children, the innermost one that has a name counts. In a simulation
    /// ([`Sim`](crate::runtimes)) each child has one, if only its file and line, and the report on
    /// a deadlock tells the holders, too.
    pub fn holders(&self) -> Vec<Name> {
        self.shared().list.with(|state| state.holders())
    }
}

impl<M: Manager> Clone for Pool<M> {
    /// Returns another handle to the same pool.
    fn clone(&self) -> Self {
        Pool { handle: self.handle.clone() }
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("statistics", &self.statistics()).finish_non_exhaustive()
    }
}
