//! Scopes: what owns tasks.

mod child;
mod futures;
mod handle;
mod job;
mod kind;
pub mod local;
mod machine;
mod named;
mod orphans;
mod parallel;
mod policy;
mod root;
mod spawner;
mod task;

use std::future::Future;
use std::panic::Location;

pub use self::futures::{Errors, KeepGoing, ScopeFuture, ScopeOutcome, TryScopeFuture};
pub use self::handle::Scope;
pub use self::job::blocking;
pub use self::kind::{AnyThread, Kind, OneThread};
pub use self::named::Named;
pub use self::policy::Event;
pub use self::root::Enter;
pub use self::spawner::Spawner;
pub use self::task::{Outcome, Task};

/// Runs `body`, and everything that is spawned in it, and resolves to the body's value when all of it is over.
///
/// The closure gets the [`Scope`], through which it spawns children. They run concurrently, on this task unless they are
/// sent to a runtime; they may borrow what outlives the scope; and none of them outlives it, also when a child panics,
/// when the scope is cancelled, or when its future is dropped.
///
/// The counterpart of asyncio's `TaskGroup`, Trio's nursery and Kotlin's `coroutineScope`. For children that fail, see
/// [`try_scope`]; for futures that are not `Send`, [`local`].
///
/// # Cancellation
///
/// Within a [`timeout`](crate::timeout) or another region that is cancelled, the body and the children are dropped, newest
/// first; those that need time to end, parallel children and [finalizers](Scope::defer) are waited for. Dropped by code that
/// is not foster's, it drops the body and the children at once; parallel children and adopted futures pass to the
/// scope around. See [`cancel`](crate::cancel).
///
/// # Panics
///
/// With the first panic of the body or of a child, when all others are over. When the scope was
/// [cancelled](Scope::cancel), or [stopped](Scope::stop) and overran, before its body had a value:
/// [`outcome`](ScopeFuture::outcome) tells that instead.
///
/// # Cost
///
/// Three allocations for a scope, one for a child.
///
/// ```
/// # futures::executor::block_on(async {
/// let names = vec!["Ada".to_string(), "Grace".to_string()];
/// let total = foster::scope(|s| {
///     let names = &names;
///     async move {
///         let tasks: Vec<_> = names.iter().map(|name| s.spawn(async move { name.len() })).collect();
///         let mut total = 0;
///         for task in tasks {
///             total += task.await;
///         }
///         total
///     }
/// }).await;
/// assert_eq!(total, 8);
/// # });
/// ```
///
/// The body is `async move`, since it owns `s`; so what children are to borrow is borrowed before it, as `names` is here.
///
/// A child cannot borrow what lives inside the scope, nor a task's value escape what it borrows:
///
/// ```compile_fail,E0373
/// # futures::executor::block_on(async {
/// foster::scope(|s| async move {
///     let local = 1;
///     s.spawn(async { local + 1 }).await
/// }).await;
/// # });
/// ```
#[track_caller]
pub fn scope<'env, F, Fut>(body: F) -> ScopeFuture<'env, Fut>
where
    F: FnOnce(Scope<'env>) -> Fut,
    Fut: Future,
{
    let (scope, machine) = Scope::new(Location::caller());
    ScopeFuture::new(body(scope), machine)
}

/// Like [`scope`], for a body and children that may fail: the first error cancels the rest, and is the scope's.
///
/// Children spawned with [`try_spawn`](Scope::try_spawn) resolve to `Result<T, E>`, and their tasks to `T`: an `Err` is the
/// scope's affair. Errors after the first go to the [observer](TryScopeFuture::observe), if there is one; with
/// [`keep_going`](TryScopeFuture::keep_going) an error cancels nothing, and the scope resolves to all of them.
///
/// # Errors
///
/// The first error of the body or of a child, when everything else is over.
///
/// # Cancellation
///
/// As for [`scope`]; an error that the cleanup brings up is returned even then.
///
/// # Panics
///
/// As for [`scope`]. A panic wins over an error.
///
/// ```
/// # futures::executor::block_on(async {
/// async fn fetch(id: u32) -> Result<u32, String> {
///     if id < 10 { Ok(id) } else { Err(format!("no such id: {id}")) }
/// }
///
/// let sum = foster::try_scope(|s| async move {
///     let (a, b) = (s.try_spawn(fetch(1)), s.try_spawn(fetch(2)));
///     Ok(a.await + b.await)
/// }).await;
/// assert_eq!(sum, Ok(3));
///
/// let failed = foster::try_scope(|s| async move {
///     s.spawn(std::future::pending::<()>());
///     let a = s.try_spawn(fetch(11));
///     Ok(a.await)
/// }).await;
/// assert_eq!(failed, Err("no such id: 11".to_string()));
/// # });
/// ```
///
/// Where neither a child nor the caller says how the scope may fail, the compiler asks for type annotations for
/// `Scope<'_, _>` (E0282). Then end the body with the error's type, as in `Ok::<_, MyError>(value)`.
#[track_caller]
pub fn try_scope<'env, F, Fut, T, E>(body: F) -> TryScopeFuture<'env, Fut, T, E>
where
    F: FnOnce(Scope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let (scope, machine) = Scope::new(Location::caller());
    TryScopeFuture::new(body(scope), machine)
}
