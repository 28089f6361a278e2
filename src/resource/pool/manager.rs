//! What the user says about a resource.

use std::future::{Future, Ready, ready};

/// Creates, checks, resets and closes the resources of a [`Pool`](super::Pool).
///
/// Only [`create`](Manager::create) must be written. The pool calls these methods in tasks of its
/// own, which belong to its scope. Each has a time limit, and sees neither the deadline nor the
/// [inherited values](crate::Inherited) of any caller. Errors of `check`, `reset` and `close` go
/// nowhere, since the pool deals with them: to log them, log them here.
///
/// A method that panics does no harm to the pool, and neither does a destructor of its future or of
/// its error. The resource that it had is gone, and its place is free.
///
/// ```
/// use foster::resource::Manager;
/// use std::future::Future;
/// # struct Connection { in_transaction: bool }
/// # #[derive(Debug)] struct DbError;
/// # impl Connection {
/// #     async fn open(_: &str) -> Result<Self, DbError> {
/// #         Ok(Connection { in_transaction: false })
/// #     }
/// #     async fn execute(&mut self, _: &str) -> Result<(), DbError> { Ok(()) }
/// #     async fn terminate(self) {}
/// #     fn is_closed(&self) -> bool { false }
/// # }
///
/// struct Postgres {
///     url: String,
/// }
///
/// impl Manager for Postgres {
///     type Resource = Connection;
///     type Error = DbError;
///
///     async fn create(&self) -> Result<Connection, DbError> {
///         Connection::open(&self.url).await
///     }
///
///     async fn check(&self, connection: &mut Connection) -> Result<(), DbError> {
///         connection.execute("SELECT 1").await
///     }
///
///     fn is_broken(&self, connection: &Connection) -> bool {
///         connection.is_closed()
///     }
///
///     fn reset(
///         &self,
///         connection: &mut Connection,
///     ) -> Option<impl Future<Output = Result<(), DbError>> + Send> {
///         connection.in_transaction.then(|| connection.execute("ROLLBACK"))
///     }
///
///     async fn close(&self, connection: Connection) {
///         connection.terminate().await
///     }
/// }
/// ```
pub trait Manager: Send + Sync + 'static {
    /// What the pool contains: a connection, a process, a buffer.
    type Resource: Send + 'static;

    /// Why a resource could not be created, or is not fit for use. Everyone who waited for it is
    /// told.
    type Error: Send + Sync + 'static;

    /// Creates a resource.
    ///
    /// It may take as long as [`create_timeout`](super::PoolOptions::create_timeout) says. If it
    /// takes longer, or the pool is closed meanwhile, the future is dropped.
    ///
    /// A driver, which moves the bytes of a connection for as long as that is open, can be a child
    /// of the pool's scope: the manager has the [`Spawner`](crate::scope::Spawner), too. It ends
    /// when the connection is closed, and the idle connections are closed with the last handle to
    /// the pool. So the scope waits for the drivers as long as a handle lives outside its body and
    /// its children. Let the handles live in them, or [close](super::Pool::close) the pool.
    fn create(&self) -> impl Future<Output = Result<Self::Resource, Self::Error>> + Send;

    /// Finds out whether a resource that was idle for a while is still fit for use.
    ///
    /// If it returns an error, or takes longer than the [grace](super::PoolOptions::grace), the
    /// resource is replaced. The default finds all of them fit. What can be known without waiting
    /// is for [`is_broken`](Manager::is_broken), which is asked each time.
    fn check(&self, resource: &mut Self::Resource) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = resource;
        ready(Ok(()))
    }

    /// Returns whether a resource can be seen to be broken, such as a connection that has been
    /// closed by the other side.
    ///
    /// The pool asks when a resource has come back, has been [checked](Manager::check) or
    /// [reset](Manager::reset), and before it gives out one that was idle. A resource that is
    /// broken is closed and replaced. This runs in the task of the caller, and must be quick. The
    /// default is `false`. The counterpart of `has_broken` of bb8.
    fn is_broken(&self, resource: &Self::Resource) -> bool {
        let _ = resource;
        false
    }

    /// Returns what makes a resource that comes back fit for the next one who gets it, or `None` if
    /// nothing has to be done. Then it is available at once.
    ///
    /// The pool calls this when a [`Pooled`](super::Pooled) is dropped, and decides by the answer
    /// whether a task is needed. If so, it drops the future, and calls this again in that task. So
    /// this must be quick, and do its work in the future. If the future returns an error, or takes
    /// longer than the [grace](super::PoolOptions::grace), the resource is closed. The default
    /// returns `None`.
    fn reset(&self, resource: &mut Self::Resource) -> Option<impl Future<Output = Result<(), Self::Error>> + Send> {
        let _ = resource;
        None::<Ready<Result<(), Self::Error>>>
    }

    /// Closes a resource, which may be broken. The default drops it.
    ///
    /// If it takes longer than the [grace](super::PoolOptions::grace), the future is dropped.
    fn close(&self, resource: Self::Resource) -> impl Future<Output = ()> + Send {
        drop(resource);
        ready(())
    }
}
