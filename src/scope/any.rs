//! What the four handles have in common.

use std::future::Future;

use super::task::Task;
use crate::name::Name;
use crate::set::node::Extra;

/// A scope of any kind, for functions that are generic over scopes.
///
/// ```
/// use foster::scope::AnyScope;
/// use std::sync::Mutex;
///
/// fn announce<'env>(s: &impl AnyScope<'env>, heard: &'env Mutex<Vec<u32>>, n: u32) {
///     s.start(async move { heard.lock().unwrap().push(n) });
/// }
///
/// # futures::executor::block_on(async {
/// let heard = Mutex::default();
/// foster::scope(async |s| announce(&s, &heard, 1)).await;
/// foster::try_scope(async |s| { announce(&s, &heard, 2); Ok::<_, ()>(()) }).await.unwrap();
/// foster::local::scope(async |s| announce(&s, &heard, 3)).await;
/// assert_eq!(heard.into_inner().unwrap(), [1, 2, 3]);
/// # });
/// ```
#[allow(private_bounds)]
pub trait AnyScope<'env>: Sealed + Clone {
    /// Starts a child on the scope's own task that cannot fail, also in a scope whose other children can.
    #[track_caller]
    fn start<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'env,
        F::Output: Send + 'env;
}

/// Only the scopes of this crate are scopes.
pub(super) trait Sealed {}

/// What the children of a handle are called by: `()`, their file and line, or a [`Name`].
#[allow(private_bounds)]
pub trait Label: Extra + Clone + Send + Sync + 'static {}

impl Label for () {}
impl Label for Name {}

/// What every handle can do, whatever its children are.
macro_rules! every_scope {
    ($Scope:ident<'env $(, $E:ident)?>) => {
        impl<'env $(, $E)?, N: Label> $Scope<'env $(, $E)?, N> {
            /// Returns the same scope with a name for the children that are spawned by it, which reports of
            /// failures, overruns and deadlocks call them by.
            ///
            /// The counterpart of `create_task(.., name=..)` and of `tokio::task::Builder`.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// foster::scope(async |s| {
            ///     let fetching = s.named("fetch").spawn(async { 7 });
            ///     assert_eq!(fetching.name(), "fetch");
            ///     s.named("close").defer(async {});
            /// }).await;
            /// # });
            /// ```
            pub fn named(&self, name: impl Into<Name>) -> $Scope<'env $(, $E)?, Name> {
                $Scope { inner: self.inner.named(name.into()) }
            }

            /// Returns the same scope with a runtime for what is sent elsewhere by it: `spawn_parallel` and
            /// `spawn_blocking` use `runtime`, not the one of the context.
            ///
            /// ```
            /// # #[cfg(feature = "basic")]
            /// # futures::executor::block_on(async {
            /// let pool = foster::runtimes::Basic::thread_pool(2).unwrap();
            /// foster::scope(async |s| {
            ///     let task = s.named("hash").on(&pool).spawn_parallel(async { 7 });
            ///     assert_eq!(task.await, 7);
            /// }).await;
            /// # });
            /// ```
            pub fn on(&self, runtime: &Handle) -> Self {
                $Scope { inner: self.inner.on(runtime) }
            }

            /// Returns something that implements `futures::task::Spawn` and borrows nothing, for code that
            /// wants to spawn.
            ///
            /// What it spawns are children of this scope, on the runtime of the context, or on this task
            /// where there is none. They have the file and line of this call for a name.
            #[track_caller]
            pub fn spawner(&self) -> Spawner {
                self.inner.spawner(Location::caller())
            }

            /// Cancels the scope: everything in it, the body included, is wound down.
            ///
            /// What needs no time to end is dropped, newest first, when the caller is suspended next; the
            /// scope completes when the rest has ended and the finalizers have run. The body's value is
            /// returned if it has one by then. Without one the scope ends quietly where the body's value is
            /// `()`, and panics where it is another, unless it is asked for its
            /// [outcome](crate::scope::ScopeFuture::outcome). Calls after the first change nothing. The
            /// counterpart of `TaskGroup.cancel()` and of Trio's `nursery.cancel_scope.cancel()`.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// let value = foster::scope(async |s| {
            ///     s.spawn(std::future::pending::<()>());
            ///     s.cancel("the answer is known");
            ///     42
            /// }).await;
            /// assert_eq!(value, 42);
            /// # });
            /// ```
            pub fn cancel(&self, reason: impl Into<Reason>) {
                self.inner.cancel(reason.into());
            }

            /// Asks everything in the scope to end by itself, and cancels what has not within `grace`.
            ///
            /// First the scope's [`token`](Self::token) is cancelled, which whoever listens can heed; after
            /// `grace` the rest is [cancelled](Self::cancel). [`Duration::MAX`] waits for as long as it
            /// takes, zero cancels at once. A second call replaces the grace, and not the reason. Where
            /// everything ends in time, the scope ends as if it had not been stopped.
            ///
            /// ```
            /// # #[cfg(feature = "sim")]
            /// foster::runtimes::Sim::default().run(async {
            ///     use foster::{scope, sleep};
            ///     use std::time::Duration;
            ///
            ///     let second = Duration::from_secs(1);
            ///     let rounds = scope(async |s| {
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
                self.inner.stop(reason.into(), grace);
            }

            /// Returns the scope's token, which is cancelled when the scope is stopped or cancelled, by
            /// itself or by what encloses it.
            ///
            /// It is for what is to end by itself, or is no child of the scope: a thread, a callback, a
            /// service. Cancelling it asks for the end, as [`stop`](Self::stop) does, and cancels nothing
            /// by itself.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// let token = foster::scope(async |s| {
            ///     let token = s.token();
            ///     s.stop("closing time", std::time::Duration::MAX);
            ///     token.cancelled().await;
            ///     token
            /// }).await;
            /// assert_eq!(token.reason(), Some("closing time".into()));
            /// # });
            /// ```
            pub fn token(&self) -> Token {
                self.inner.token()
            }

            /// Returns how many children have not ended, on this task and elsewhere. The body and
            /// finalizers are not counted.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// foster::scope(async |s| {
            ///     let (quick, _endless) = (s.spawn(async {}), s.spawn(std::future::pending::<()>()));
            ///     assert_eq!(s.len(), 2);
            ///     quick.await;
            ///     assert_eq!(s.len(), 1);
            ///     s.cancel("seen enough");
            /// }).await;
            /// # });
            /// ```
            pub fn len(&self) -> usize {
                self.inner.len()
            }

            /// Returns whether all children have ended.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }
        }

        impl<$($E,)? N: Clone> Clone for $Scope<'_ $(, $E)?, N> {
            fn clone(&self) -> Self {
                $Scope { inner: self.inner.clone() }
            }
        }

        impl<$($E,)? N: Label> fmt::Debug for $Scope<'_ $(, $E)?, N> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Scope)).field("len", &self.len()).finish_non_exhaustive()
            }
        }

        impl<$($E,)? N> Sealed for $Scope<'_ $(, $E)?, N> {}

        impl<'env $(, $E)?, N: Label> AnyScope<'env> for $Scope<'env $(, $E)?, N> {
            #[track_caller]
            fn start<F>(&self, future: F) -> Task<F::Output>
            where
                F: Future + Send + 'env,
                F::Output: Send + 'env,
            {
                self.inner.launch(Plain::new(future), Location::caller())
            }
        }
    };
}

pub(super) use every_scope;
