//! Defines the handles to scopes whose children are `Send`.
//!
//! There are four handles, so that each verb stands once on each of them, with the bounds that it
//! has there. [`Scope`] and [`TryScope`] are here, and their twins in [`local`](super::local). What
//! all four have in common is in [`any`](super::any). Each verb has its one body in
//! [`inner`](super::inner).

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use super::adapters::{Job, Plain};
use super::any::{AnyScope, Label, Sealed, every_scope};
use super::inner::Inner;
use super::kind::AnyThread;
use super::spawner::Spawner;
use super::task::Task;
use crate::cancel::reason::Reason;
use crate::cancel::token::Token;
use crate::name::Name;
use crate::resource::managed::{Managed, lend, release_returned};
use crate::runtime::Handle;

/// Spawns children into a scope, and cancels it.
///
/// The body of [`scope`](fn@crate::scope) gets this handle. Clones are handles to the same scope.
/// They may be sent anywhere, also into children, and may outlive the scope. A scope that has
/// completed refuses what is spawned. `'env` is the lifetime of what children may borrow.
///
/// A helper function takes the handle by reference:
///
/// ```
/// use foster::{Scope, Task};
///
/// fn double<'env>(s: &Scope<'env>, n: &'env u32) -> Task<u32> {
///     s.spawn(async move { 2 * n })
/// }
///
/// # futures::executor::block_on(async {
/// let four = 4;
/// assert_eq!(foster::scope(async |s| double(&s, &four).await).await, 8);
/// # });
/// ```
///
/// A child starts siblings with a clone, also when the body has completed. The scope waits for
/// them, too:
///
/// ```
/// # futures::executor::block_on(async {
/// let mut served = 0;
/// let counter = &mut served;
/// foster::scope(async |s| {
///     let siblings = s.clone();
///     s.spawn(async move { siblings.spawn(async move { *counter += 1 }) });
/// }).await;
/// assert_eq!(served, 1);
/// # });
/// ```
pub struct Scope<'env, N = ()> {
    pub(super) inner: Inner<'env, Infallible, AnyThread, N>,
}

impl<'env, N: Label> Scope<'env, N> {
    /// Starts a child on this task.
    ///
    /// The scope polls the child whether or not its [`Task`] is awaited. The child's name is the
    /// file and line of this call, unless [`named`](Scope::named) gives another. If the scope is
    /// cancelled or completed, `future` is dropped unpolled, and the task has the reason.
    ///
    /// An `Err` that the child yields is a value like others. It cancels nothing, and is lost if
    /// nobody awaits the task. In a [`try_scope`](crate::try_scope), it fails the scope.
    ///
    /// The counterpart of asyncio's `TaskGroup.create_task` and of Trio's `nursery.start_soon`.
    /// Unlike tokio's `spawn`, it keeps the child on this task. To use other threads, there is
    /// [`spawn_parallel`](Scope::spawn_parallel).
    ///
    /// A child borrows what it uses, unless it is an `async move` block. A channel's sender that is
    /// only borrowed lives as long as the variable does, and keeps the channel open. Give the
    /// sender to the child with `async move`, and the channel closes when the child ends.
    ///
    /// # Cancellation
    ///
    /// When the scope is cancelled, the child is dropped where it is suspended, unless something in
    /// it needs time to end. See [`cancel`](crate::cancel).
    ///
    /// # Cost
    ///
    /// One allocation, for the future and its value.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut greeting = String::new();
    /// foster::scope(async |s| {
    ///     s.spawn(async { greeting.push_str("hello") }); // nobody awaits it but the scope
    /// }).await;
    /// assert_eq!(greeting, "hello");
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'env,
        F::Output: Send + 'env,
    {
        self.inner.launch(Plain::new(future), Location::caller())
    }

    /// Starts a child on the [runtime in force](Handle::try_current), or on this task if there is
    /// none.
    ///
    /// The runtime is the one of the enclosing [`Handle::run`] or [`Handle::enter`], or the one
    /// that runs the calling code as a child. Without them, with the feature `tokio`, it is the
    /// tokio runtime whose thread calls this.
    ///
    /// Under an executor that foster was not told of, and on tokio without that feature, there is
    /// none. Then children take turns on this task, and one that computes for long delays the
    /// others. Otherwise as [`spawn_on`](Scope::spawn_on).
    ///
    /// ```
    /// # #[cfg(feature = "basic")]
    /// foster::runtimes::Basic::thread_pool(2)?.run(async {
    ///     let sums = foster::scope(async |s| {
    ///         let sum = |half: std::ops::Range<u32>| s.spawn_parallel(async { half.sum::<u32>() });
    ///         foster::gather([0..500, 500..1000].map(sum)).await
    ///     });
    ///     assert_eq!(sums.await, [124_750, 374_750]);
    /// });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn_parallel<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.launch_parallel(Plain::new(future), Location::caller())
    }

    /// Starts a child on `runtime`, in parallel.
    ///
    /// The child runs on that runtime's threads, with its clock and timers. It still belongs to
    /// this scope, which waits for it, cancels it, and resumes its panic. As in any child, the
    /// deadline of the scope holds in it, and the [inherited values](crate::Inherited) that are in
    /// force here. The counterpart of
    /// `tokio::task::JoinSet::spawn_on`.
    ///
    /// The child does not keep the runtime alive. A runtime made by foster ends with its last
    /// handle, and ends the child. If the runtime refuses the child or ends first, the child is
    /// cancelled, with the reason [`Shutdown`](Reason::Shutdown).
    ///
    /// # Cancellation
    ///
    /// When the scope is cancelled, the child is dropped at its next suspension, and the scope
    /// waits for that. A child that the runtime has not begun to poll is dropped at once. A child
    /// that never awaits cannot be stopped. When other code drops the scope's future, the enclosing
    /// scope waits for the child instead.
    ///
    /// # Cost
    ///
    /// One allocation besides those of the runtime, and one more where the child inherits a
    /// deadline or [values](crate::Inherited).
    ///
    /// ```
    /// # #[cfg(feature = "basic")]
    /// # futures::executor::block_on(async {
    /// let pool = foster::runtimes::Basic::thread_pool(2).unwrap();
    /// let (there, here) = foster::scope(async |s| {
    ///     let there = s.spawn_on(async { std::thread::current().id() }, &pool);
    ///     (there.await, std::thread::current().id())
    /// }).await;
    /// assert_ne!(there, here);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_on<F>(&self, future: F, runtime: &Handle) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.launch_on(Plain::new(future), runtime, Location::caller())
    }

    /// Runs `job`, which may block its thread, as a child.
    ///
    /// The job runs in the blocking pool of the [runtime in force](Handle::try_current), or in a
    /// pool of foster's if there is none. The counterpart of `asyncio.to_thread` and
    /// `tokio::task::spawn_blocking`.
    ///
    /// # Cancellation
    ///
    /// A job that has not begun is dropped at once, also where it waits for a thread of a busy
    /// pool. A job that has begun cannot be interrupted, and the scope waits for it. To end sooner,
    /// it can look at a [`stop_token`](Scope::stop_token) that it captures. What the job itself
    /// waits for works although its scope is being cancelled.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let sum = foster::scope(async |s| s.spawn_blocking(|| (1..=100).sum::<u32>()).await).await;
    /// assert_eq!(sum, 5050);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_blocking<J, T>(&self, job: J) -> Task<T>
    where
        J: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.inner.launch_blocking(Plain::new(Job::new(job)), Location::caller())
    }

    /// Runs `finalizer` at the end of the scope, however it ends.
    ///
    /// Finalizers run when the body and all children have completed or been dropped, also after a
    /// failure or a cancellation. They run one after the other, the newest first, and may borrow
    /// what the children may. Each runs in a region of its own, so that its timeouts and shields
    /// work. The counterpart of asyncio's `AsyncExitStack`, and of async destructors.
    ///
    /// # Cancellation
    ///
    /// When foster cancels the scope, it waits for the finalizer, within the
    /// [grace](crate::scope::ScopeFuture::grace). When other code (`tokio::select!`) drops the
    /// scope's future, the finalizer is dropped unpolled. A future given to [`adopt`](crate::adopt)
    /// survives that, but borrows nothing. A scope that has completed runs none any more: a
    /// finalizer that it gets by a handle that was kept is dropped unpolled, too.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{scope, sleep, timeout};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let mut closed = false;
    ///     let late = timeout(second, scope(async |s| {
    ///         s.defer(async { sleep(second).await; closed = true });
    ///         std::future::pending::<()>().await
    ///     }));
    ///     assert!(late.await.is_err());
    ///     assert!(closed);
    /// });
    /// ```
    #[track_caller]
    pub fn defer<F>(&self, finalizer: F)
    where
        F: Future<Output = ()> + Send + 'env,
    {
        self.inner.defer(Plain::new(finalizer), Location::caller());
    }

    /// Releases `resource` at the end of the scope, however it ends.
    ///
    /// Returns the resource as a [`Managed`], which dereferences to it. At the end of the scope,
    /// when everything that has used the resource is gone, `release` gets it back by value. It runs
    /// as a [finalizer](Scope::defer), so several resources are released in the reverse of the
    /// order in which they came. The counterpart of `enter_async_context` of Python's
    /// `AsyncExitStack`.
    ///
    /// # Cancellation
    ///
    /// As for [`defer`](Scope::defer): when other code drops the scope's future, and in a scope
    /// that has completed, the resource is dropped, and not released. [`bracket`](crate::bracket)
    /// survives that, but its resource borrows nothing.
    ///
    /// # Cost
    ///
    /// That of `defer`, and one allocation.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{Scope, resource::Managed, scope};
    /// use std::sync::Mutex;
    ///
    /// type Log = Mutex<Vec<&'static str>>;
    /// struct Session<'a>(&'a Log);
    ///
    /// async fn login<'env>(s: &Scope<'env>, log: &'env Log) -> Managed<Session<'env>> {
    ///     log.lock().unwrap().push("login");
    ///     s.manage(Session(log), async |session| session.0.lock().unwrap().push("logout"))
    /// }
    ///
    /// let log = Mutex::new(Vec::new());
    /// scope(async |s| {
    ///     let session = login(&s, &log).await;
    ///     session.0.lock().unwrap().push("fetch");
    /// }).await;
    /// assert_eq!(*log.lock().unwrap(), ["login", "fetch", "logout"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn manage<R, G, Fut>(&self, resource: R, release: G) -> Managed<R>
    where
        R: Send + 'env,
        G: FnOnce(R) -> Fut + Send + 'env,
        Fut: Future<Output = ()> + Send + 'env,
    {
        let (managed, returned) = lend(resource);
        self.defer(async move { release_returned(returned, release).await.unwrap_or_default() });
        managed
    }
}

/// Spawns children that may fail into a scope, and cancels it.
///
/// The body of [`try_scope`](crate::try_scope) gets this handle. Children yield `Result<T, E>`. An
/// `Err` fails the scope. The child's task resolves to the `T` of an `Ok`, so there is nothing to
/// unwrap. After an `Err`, whoever waits for the task is cancelled with the rest of the scope.
///
/// A future that cannot fail ends in `Ok`, as in `s.spawn(async { Ok(ping().await) })`. So does a
/// child whose error is for whoever awaits its task: `Ok(result)`.
///
/// Everything else is as with [`Scope`].
///
/// ```
/// use foster::{Task, TryScope};
///
/// fn parse<'env>(s: &TryScope<'env, std::num::ParseIntError>, text: &'env str) -> Task<u32> {
///     s.spawn(async move { text.parse() })
/// }
///
/// # futures::executor::block_on(async {
/// let sum = foster::try_scope(async |s| Ok(parse(&s, "3").await + parse(&s, "4").await)).await;
/// assert_eq!(sum, Ok(7));
/// assert!(foster::try_scope(async |s| Ok(parse(&s, "x").await)).await.is_err());
/// # });
/// ```
pub struct TryScope<'env, E, N = ()> {
    pub(super) inner: Inner<'env, E, AnyThread, N>,
}

impl<'env, E, N: Label> TryScope<'env, E, N> {
    /// Starts a child on this task. Its `Err` fails the scope. Otherwise as [`Scope::spawn`].
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let address = foster::try_scope(async |s| {
    ///     let port = s.spawn(async { "80".parse::<u16>() });
    ///     let host = s.spawn(async { Ok("localhost") });
    ///     Ok((host.await, port.await))
    /// }).await;
    /// assert_eq!(address, Ok(("localhost", 80)));
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'env,
        T: Send + 'env,
        E: Send + 'env,
    {
        let at = Location::caller();
        self.inner.launch(self.inner.fallible(future, at), at)
    }

    /// Starts a child on the [runtime in force](Handle::try_current), or on this task if there is
    /// none.
    ///
    /// Its `Err` fails the scope. Otherwise as [`Scope::spawn_parallel`].
    #[track_caller]
    pub fn spawn_parallel<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        self.inner.launch_parallel(self.inner.fallible(future, at), at)
    }

    /// Starts a child on `runtime`, in parallel. Its `Err` fails the scope.
    ///
    /// Otherwise as [`Scope::spawn_on`].
    #[track_caller]
    pub fn spawn_on<F, T>(&self, future: F, runtime: &Handle) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        self.inner.launch_on(self.inner.fallible(future, at), runtime, at)
    }

    /// Runs `job`, which may block its thread, as a child. Its `Err` fails the scope.
    ///
    /// Otherwise as [`Scope::spawn_blocking`].
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let lines = foster::try_scope(async |s| {
    ///     Ok(s.spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await.lines().count())
    /// }).await;
    /// assert!(lines.is_ok_and(|lines| lines > 0));
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_blocking<J, T>(&self, job: J) -> Task<T>
    where
        J: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        self.inner.launch_blocking(self.inner.fallible(Job::new(job), at), at)
    }

    /// Runs `finalizer` at the end of the scope, however it ends.
    ///
    /// Its `Err` fails the scope, or is added to the errors that the scope has. Otherwise as
    /// [`Scope::defer`].
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let saved = foster::try_scope(async |s| {
    ///     s.defer(async { Err("the disk is full") });
    ///     Ok(7)
    /// }).await;
    /// assert_eq!(saved, Err("the disk is full"));
    /// # });
    /// ```
    #[track_caller]
    pub fn defer<F>(&self, finalizer: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'env,
        E: Send + 'env,
    {
        let at = Location::caller();
        self.inner.defer(self.inner.fallible(finalizer, at), at);
    }

    /// Releases `resource` at the end of the scope, however it ends.
    ///
    /// An `Err` of `release` fails the scope, or is added to the errors that the scope has.
    /// Otherwise as [`Scope::manage`].
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let errors = foster::try_scope(async |s| {
    ///     for n in 0..5 {
    ///         if n == 2 {
    ///             return Err(format!("cannot open {n}"));
    ///         }
    ///         let file = s.manage(n, async |n| Err(format!("cannot close {n}")));
    ///         assert_eq!(*file, n);
    ///     }
    ///     Ok(())
    /// }).keep_going().await.unwrap_err();
    /// assert_eq!(errors.into_vec(), ["cannot open 2", "cannot close 1", "cannot close 0"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn manage<R, G, Fut>(&self, resource: R, release: G) -> Managed<R>
    where
        R: Send + 'env,
        G: FnOnce(R) -> Fut + Send + 'env,
        Fut: Future<Output = Result<(), E>> + Send + 'env,
        E: Send + 'env,
    {
        let (managed, returned) = lend(resource);
        self.defer(async move { release_returned(returned, release).await.unwrap_or(Ok(())) });
        managed
    }
}

every_scope!(Scope<'env>);
every_scope!(TryScope<'env, E>);
