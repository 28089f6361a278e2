//! Defines what the four handles have in common.

use std::future::Future;

use super::task::Task;
use crate::name::Name;
use crate::task::cell::Extra;

/// Lets a function be generic over scopes.
///
/// All four handles implement it. A function that takes only one of them names that type instead.
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
    /// Starts a child on the scope's task. The child cannot fail, also where other children of the
    /// scope can.
    ///
    /// Otherwise as [`Scope::spawn`](crate::Scope::spawn).
    #[track_caller]
    fn start<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'env,
        F::Output: Send + 'env;
}

/// Keeps other crates from implementing [`AnyScope`].
pub(super) trait Sealed {}

/// Names the children that a handle spawns: `()` by their file and line, or a [`Name`].
#[allow(private_bounds)]
pub trait Label: Extra + Clone + Send + Sync + 'static {}

impl Label for () {}
impl Label for Name {}

/// Implements what every handle can do, whatever its children are.
macro_rules! every_scope {
    ($Scope:ident<'env $(, $E:ident)?>) => {
        impl<'env $(, $E)?, N: Label> $Scope<'env $(, $E)?, N> {
            /// Returns a handle to the same scope that names the children it spawns.
            ///
            /// Reports of failures, overruns and deadlocks use the name. The counterpart of
            /// `create_task(.., name=..)` and of `tokio::task::Builder`.
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

            /// Returns a handle to the same scope that sends children to `runtime`.
            ///
            /// Its `spawn_parallel` and `spawn_blocking` use `runtime` instead of the one of the
            /// context.
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

            /// Returns a `futures::task::Spawn` that borrows nothing, for libraries that want to
            /// spawn.
            ///
            /// What it spawns are children of this scope. They run on the runtime of the context,
            /// or on this task if there is none. Their name is the file and line of this call.
            #[track_caller]
            pub fn spawner(&self) -> Spawner {
                self.inner.spawner(Location::caller())
            }

            /// Cancels the scope: winds down everything in it, the body included.
            ///
            /// What needs no time to end is dropped, newest first, when the caller is next
            /// suspended. The scope completes when the rest has ended and the finalizers have run.
            /// Calls after the first change nothing. The counterpart of `TaskGroup.cancel()` and of
            /// Trio's `nursery.cancel_scope.cancel()`.
            ///
            /// If the body has a value by then, the scope returns it. If it has none, the scope
            /// ends quietly where the body returns `()`, and panics where it returns anything else.
            /// [`outcome`](crate::scope::ScopeFuture::outcome) returns an error instead.
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

            /// Asks everything in the scope to end by itself, and cancels the scope after `grace`.
            ///
            /// First the scope's [`stop_token`](Self::stop_token) is cancelled, which code that
            /// listens to it can heed. After `grace` the rest is [cancelled](Self::cancel). If
            /// everything ends in time, the scope ends as if it had not been stopped.
            ///
            /// [`Duration::MAX`] waits for as long as it takes, and zero cancels at once. A second
            /// call replaces the grace, but not the reason.
            ///
            /// ```
            /// # #[cfg(feature = "sim")]
            /// foster::runtimes::Sim::default().run(async {
            ///     use foster::{scope, sleep};
            ///     use std::time::Duration;
            ///
            ///     let second = Duration::from_secs(1);
            ///     let rounds = scope(async |s| {
            ///         let token = s.stop_token();
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

            /// Returns the token that asks the code in the scope to end by itself.
            ///
            /// [`stop`](Self::stop) and [`cancel`](Self::cancel) cancel it, and so does the
            /// cancellation of an enclosing region. It is for children that end between two steps
            /// of their work, and for code that is no child of the scope: a thread, a callback, a
            /// service. Cancelling the token is to stop the scope with no end to the grace: it
            /// asks, and drops nothing. The counterpart of C++'s `std::stop_token`.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// let token = foster::scope(async |s| {
            ///     let token = s.stop_token();
            ///     s.stop("closing time", std::time::Duration::MAX);
            ///     token.cancelled().await;
            ///     token
            /// }).await;
            /// assert_eq!(token.reason(), Some("closing time".into()));
            /// # });
            /// ```
            pub fn stop_token(&self) -> Token {
                self.inner.token()
            }

            /// Returns how many children have not ended, on this task and elsewhere.
            ///
            /// The body and the finalizers are not counted.
            ///
            /// ```
            /// # futures::executor::block_on(async {
            /// foster::scope(async |s| {
            ///     let quick = s.spawn(async {});
            ///     s.spawn(std::future::pending::<()>());
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
