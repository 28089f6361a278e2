//! The handle to a scope.
//!
//! Documentation shows what is here before what is in the rooms that follow by name: what any thread may do comes before
//! its twins in `local`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::child::{Fallible, Label, Plain};
use super::kind::{AnyThread, ChildRunner, Kind};
use super::machine::{Core, Machine};
use super::named::Named;
use super::parallel;
use super::spawner::Spawner;
use super::task::Task;
use crate::context;
use crate::control::News;
use crate::name::Name;
use crate::runtime::Handle;
use crate::set::node::{Extra, Failed, Reader, Runner};
use crate::token::{Level, Reason, Token};
use crate::values::Provide;

/// The handle to a scope: spawns children into it, and cancels it.
///
/// Clones are the same scope. They may be sent anywhere, also into children, and may outlive the scope: then whatever is
/// spawned is refused. `'env` is what children may borrow; `E` is how they may fail; `K` says whether they are `Send`.
///
/// With a clone a child starts siblings, also when the body is over; the scope waits for them, too:
///
/// ```
/// # futures::executor::block_on(async {
/// let mut served = 0;
/// let counter = &mut served;
/// foster::scope(|s| async move {
///     let siblings = s.clone();
///     s.spawn(async move { siblings.spawn(async move { *counter += 1 }) });
/// }).await;
/// assert_eq!(served, 1);
/// # });
/// ```
pub struct Scope<'env, E = Infallible, K: Kind = AnyThread> {
    pub(super) core: Arc<Core<'env, E, K>>,
}

/// A scope as [`scope`](crate::scope()) and [`try_scope`](crate::try_scope) make it: children are `Send`, and so is the scope's future.
impl<'env, E> Scope<'env, E> {
    /// Starts a child on this task.
    ///
    /// It is polled when the scope is, whether or not its [`Task`] is awaited. Its name is the file and line of this call;
    /// [`named`](Scope::named) gives another. In a scope that is cancelled or over, `future` is dropped unpolled, and the task
    /// says why. The counterpart of asyncio's `TaskGroup.create_task` and Trio's `nursery.start_soon`. Unlike with tokio's
    /// `spawn`, it stays on this thread: to use others, there is [`spawn_parallel`](Scope#method.spawn_parallel-1).
    ///
    /// # Cost
    ///
    /// One allocation, for the future and its value.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut greeting = String::new();
    /// let borrowed = &mut greeting;
    /// foster::scope(|s| async move {
    ///     s.spawn(async move { borrowed.push_str("hello") });   // nobody awaits it, but the scope
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
        self.launch(Plain::new(future), Location::caller(), ())
    }

    /// Starts a child on this task whose `Err` fails the scope. Otherwise as [`spawn`](Scope::spawn).
    ///
    /// Its task resolves to the `T` of its `Ok`, so that there is nothing to unwrap: after an `Err`, whoever waits for it is
    /// cancelled with the rest.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let address = foster::try_scope(|s| async move {
    ///     let port = s.try_spawn(async { "80".parse::<u16>() });
    ///     let host = s.spawn(async { "localhost" });
    ///     Ok((host.await, port.await))
    /// }).await;
    /// assert_eq!(address, Ok(("localhost", 80)));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'env,
        T: Send + 'env,
        E: Send + 'env,
    {
        let at = Location::caller();
        self.launch(Fallible::new(future, Label::At(at), Arc::clone(self.core.errors())), at, ())
    }

    /// Starts a child on the [runtime in force](Handle::try_current), or on this task where there is none.
    ///
    /// That runtime is the one of the enclosing [`Handle::run`] or [`Handle::enter`], or the one that runs this code as a
    /// child. Without them, with the feature `tokio`, it is the tokio runtime whose thread calls this. Under another executor
    /// that foster was not told of there is none: then children take turns on this task, and one that computes for long
    /// delays the others. Otherwise as [`spawn_on`](Scope::spawn_on).
    ///
    /// ```
    /// # #[cfg(feature = "basic")]
    /// foster::runtimes::Basic::thread_pool(2)?.run(async {
    ///     let sums = foster::scope(|s| async move {
    ///         let halves = [0..500, 500..1000].map(|half| s.spawn_parallel(async move { half.sum::<u32>() }));
    ///         foster::gather(halves).await
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
        match context::with(|ambient| ambient.runtime()) {
            Some(runtime) => self.spawn_on(&runtime, future),
            None => self.spawn(future),
        }
    }

    /// Starts a child on the runtime in force, or on this task where there is none, whose `Err` fails the scope.
    ///
    /// As [`spawn_parallel`](Scope::spawn_parallel).
    #[track_caller]
    pub fn try_spawn_parallel<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        match context::with(|ambient| ambient.runtime()) {
            Some(runtime) => self.try_spawn_on(&runtime, future),
            None => self.try_spawn(future),
        }
    }

    /// Has `finalizer` run at the end of the scope, however it ends: the last one first.
    ///
    /// It runs when the body and all children are over, also when they failed or were cancelled; in a region of its own, so
    /// that its timeouts and shields work; and it may borrow what the children may. The counterpart of asyncio's
    /// `AsyncExitStack`, and of async destructors.
    ///
    /// # Cancellation
    ///
    /// A cancellation of foster's waits for it, within the grace. When the scope's future is dropped by other code
    /// (`tokio::select!`), it is dropped unrun: [`adopt`](crate::adopt) survives that, and borrows nothing.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{scope, sleep, timeout};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let mut closed = false;
    ///     let closing = &mut closed;
    ///     let late = timeout(second, scope(|s| async move {
    ///         s.defer(async move { sleep(second).await; *closing = true });
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
        self.finalize(Runner::<_>::finalizer(Plain::new(finalizer), Location::caller(), ()).shared());
    }

    /// Like [`defer`](Scope::defer), for a finalizer whose `Err` fails the scope, or joins the errors that it has.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let saved = foster::try_scope(|s| async move {
    ///     s.try_defer(async { Err("the disk is full") });
    ///     Ok(7)
    /// }).await;
    /// assert_eq!(saved, Err("the disk is full"));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_defer<F>(&self, finalizer: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'env,
        E: Send + 'env,
    {
        let at = Location::caller();
        let finalizer = Fallible::new(finalizer, Label::At(at), Arc::clone(self.core.errors()));
        self.finalize(Runner::<_>::finalizer(finalizer, at, ()).shared());
    }

    pub(super) fn launch<F, T, X>(&self, future: F, at: &'static Location<'static>, extra: X) -> Task<T>
    where
        F: Future<Output = Result<T, Failed>> + Send + 'env,
        T: Send + 'env,
        X: Extra + Send + Sync + 'env,
    {
        match context::with(|ambient| ambient.values()) {
            None => {
                let (runner, reader) = Runner::new(future, at, extra);
                self.add(runner.shared(), reader)
            }
            Some(values) => {
                let (runner, reader) = Runner::new(Provide::with(Some(values), future), at, extra);
                self.add(runner.shared(), reader)
            }
        }
    }
}

/// Every scope.
impl<'env, E, K: Kind> Scope<'env, E, K> {
    #[allow(clippy::type_complexity)]
    pub(super) fn new<T>(at: &'static Location<'static>) -> (Self, Machine<'env, T, E, K>) {
        let core = Core::new();
        (Scope { core: Arc::clone(&core) }, Machine::new(core, Name::from(at)))
    }

    /// Starts a child on `runtime`, in parallel.
    ///
    /// It runs on that runtime's threads, with its clock and timers, and belongs to this scope all the same: the scope waits
    /// for it, cancels it, and resumes its panic. A runtime that refuses it, throws it away or ends makes it
    /// [`Cancelled`](crate::Cancelled) by [`Shutdown`](Reason::Shutdown). The deadline and the
    /// [inherited values](crate::Inherited) in force here hold in it, too. The counterpart of `tokio::task::JoinSet::spawn_on`.
    ///
    /// The child does not keep the runtime: one of foster's own ends with its last handle, and the child with it.
    ///
    /// # Cancellation
    ///
    /// It is told, dropped at its next suspension, and waited for. One that never awaits cannot be stopped, and one that
    /// the runtime has not begun to poll is dropped at once. Where the scope's future is dropped by code that is not
    /// foster's, the enclosing scope waits for it instead.
    ///
    /// # Cost
    ///
    /// One allocation besides those of the runtime.
    ///
    /// ```
    /// # #[cfg(feature = "basic")]
    /// # futures::executor::block_on(async {
    /// let pool = foster::runtimes::Basic::thread_pool(2).unwrap();
    /// let (there, here) = foster::scope(|s| async move {
    ///     let there = s.spawn_on(&pool, async { std::thread::current().id() });
    ///     (there.await, std::thread::current().id())
    /// }).await;
    /// assert_ne!(there, here);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_on<F>(&self, runtime: &Handle, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        parallel::spawn(&self.core.control, runtime, None, Location::caller(), Plain::new(future))
    }

    /// Starts a child on `runtime`, in parallel, whose `Err` fails the scope. As [`spawn_on`](Scope::spawn_on).
    #[track_caller]
    pub fn try_spawn_on<F, T>(&self, runtime: &Handle, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        let future = Fallible::new(future, Label::At(at), Arc::clone(self.core.errors()));
        parallel::spawn(&self.core.control, runtime, None, at, future)
    }

    /// Runs `job`, which may block its thread, as a child: in the pool of the [runtime in force](Handle::try_current), or in a
    /// pool of foster's where there is none.
    ///
    /// The counterpart of `asyncio.to_thread` and `tokio::task::spawn_blocking`.
    ///
    /// # Cancellation
    ///
    /// A job that has begun cannot be interrupted: the scope waits for it. One that has not is dropped at once, also where it
    /// waits for a thread of a busy pool. The job runs in no region, so what it blocks on works although its scope is being
    /// cancelled. To end sooner it looks at a [`token`](Scope::token) that it captures.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let sum = foster::scope(|s| async move { s.spawn_blocking(|| (1..=100).sum::<u32>()).await }).await;
    /// assert_eq!(sum, 5050);
    /// # });
    /// ```
    #[track_caller]
    pub fn spawn_blocking<J, T>(&self, job: J) -> Task<T>
    where
        J: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        parallel::spawn_blocking(&self.core.control, Location::caller(), job)
    }

    /// Gives the next child a name: `s.named("fetch").spawn(..)`.
    ///
    /// It is what reports of failures, overruns and deadlocks call the child. The counterpart of `create_task(.., name=..)`.
    pub fn named(&self, name: impl Into<Name>) -> Named<'_, 'env, E, K> {
        Named::new(self, name.into())
    }

    /// Returns something that implements `futures::task::Spawn` and borrows nothing, for code that wants to spawn.
    ///
    /// What it spawns are children of this scope, on the runtime of the context, or on this task where there is none. They
    /// have the file and line of this call for a name.
    #[track_caller]
    pub fn spawner(&self) -> Spawner {
        Spawner::new(Arc::clone(&self.core.control), Location::caller())
    }

    /// Cancels the scope: everything in it, the body included, is wound down.
    ///
    /// What needs no time to end is dropped, newest first, when the caller is suspended next; the scope resolves when the
    /// rest has ended and the finalizers have run. The body's value is returned if it has one by then; without one, the
    /// scope's future panics, unless it is asked for its [outcome](crate::ScopeFuture::outcome). Calls after the first
    /// change nothing. The counterpart of `TaskGroup.cancel()` and of Trio's `nursery.cancel_scope.cancel()`.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let value = foster::scope(|s| async move {
    ///     s.spawn(std::future::pending::<()>());
    ///     s.cancel("the answer is known");
    ///     42
    /// }).await;
    /// assert_eq!(value, 42);
    /// # });
    /// ```
    pub fn cancel(&self, reason: impl Into<Reason>) {
        self.core.control.cancel(&Arc::new(reason.into()));
    }

    /// Asks everything in the scope to end by itself, and cancels what has not within `grace`.
    ///
    /// First the scope's [`token`](Scope::token) is cancelled, which whoever listens can heed; after `grace` the rest is
    /// [cancelled](Scope::cancel). [`Duration::MAX`] waits for as long as it takes, zero cancels at once. A second call replaces
    /// the grace, and not the reason. Where everything ends in time, the scope ends as if it had not been stopped.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{scope, sleep};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let rounds = scope(|s| async move {
    ///         let token = s.token();
    ///         let worker = s.spawn(async move {
    ///             let mut rounds = 0;
    ///             while !token.is_cancelled() {
    ///                 sleep(2 * second).await;
    ///                 rounds += 1;
    ///             }
    ///             rounds
    ///         });
    ///         sleep(3 * second).await;
    ///         s.stop("closing time", 10 * second);
    ///         worker.await
    ///     });
    ///     assert_eq!(rounds.await, 2, "the second round was not cut short");
    /// });
    /// ```
    pub fn stop(&self, reason: impl Into<Reason>, grace: Duration) {
        let reason = Arc::new(reason.into());
        self.core.control.token().raise(Level::Asked, &reason);
        drop(self.core.control.send(News::Stop(reason, grace)));
    }

    /// The scope's token: cancelled when the scope is stopped or cancelled, by itself or from around.
    ///
    /// For what is to end by itself, or is no child of the scope: a thread, a callback, a service. Cancelling it is asking, as
    /// [`stop`](Scope::stop) does, and cancels nothing by itself.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let token = foster::scope(|s| async move {
    ///     let token = s.token();
    ///     s.stop("closing time", std::time::Duration::MAX);
    ///     token.cancelled().await;
    ///     token
    /// }).await;
    /// assert_eq!(token.reason(), Some("closing time".into()));
    /// # });
    /// ```
    pub fn token(&self) -> Token {
        let known = self.core.control.known_token().is_some();
        let token = self.core.control.token().clone();
        if !known {
            // The scope's next poll puts it in its place below the region around.
            self.core.control.bell.ring();
        }
        token
    }

    /// How many children have not ended, on this task and elsewhere. The body and finalizers are not counted.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// foster::scope(|s| async move {
    ///     let (quick, _endless) = (s.spawn(async {}), s.spawn(std::future::pending::<()>()));
    ///     assert_eq!(s.len(), 2);
    ///     quick.await;
    ///     assert_eq!(s.len(), 1);
    ///     s.cancel("seen enough");
    /// }).await;
    /// # });
    /// ```
    pub fn len(&self) -> usize {
        let control = &self.core.control;
        let started = self.core.inbox.pushed().saturating_add_signed(control.uncounted.load(Ordering::Relaxed));
        started.saturating_sub(control.ended.load(Ordering::Relaxed)) + control.parallel_unfinished()
    }

    /// Whether all children have ended.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn add<T>(&self, mut runner: ChildRunner<'env, K>, reader: Reader<T, Arc<Reason>>) -> Task<T> {
        let control = &self.core.control;
        let task = Task::new(reader, Some(Arc::clone(control)));
        let refused = match control.is_cancelled() {
            true => Err(runner),
            false => self.core.inbox.push(runner, &self.core.control.bell),
        };
        if let Err(refused) = refused {
            runner = refused;
            if let Err(payload) = runner.refuse(Some(control.refusal())) {
                resume_unwind(payload);
            }
        }
        task
    }

    pub(super) fn finalize(&self, runner: ChildRunner<'env, K>) {
        if self.core.inbox.push(runner, &self.core.control.bell).is_ok() {
            self.core.control.uncounted.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<E, K: Kind> Clone for Scope<'_, E, K> {
    fn clone(&self) -> Self {
        Scope { core: Arc::clone(&self.core) }
    }
}

impl<E, K: Kind> fmt::Debug for Scope<'_, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("len", &self.len()).finish_non_exhaustive()
    }
}
