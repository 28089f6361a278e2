//! Scopes: what owns tasks.

mod any;
mod child;
mod futures;
mod handle;
mod inner;
mod job;
mod kind;
pub mod local;
mod machine;
mod orphans;
mod parallel;
mod policy;
mod root;
mod spawner;
mod task;

use std::future::Future;
use std::panic::Location;

pub use self::any::{AnyScope, Label};
pub use self::futures::{Errors, ErrorsIter, KeepGoing, ScopeFuture, ScopeOutcome, TryScopeFuture};
pub use self::handle::{Scope, TryScope};
use self::inner::Inner;
pub use self::job::blocking;
pub use self::kind::{AnyThread, Kind, OneThread};
pub use self::policy::Notice;
pub use self::root::Enter;
pub use self::spawner::Spawner;
pub use self::task::{Outcome, Task, TaskError};

/// Runs `body` and everything that is spawned in it, and resolves to the body's value when all of it has
/// ended.
///
/// The closure gets the [`Scope`], through which it spawns children. They run concurrently, on this task
/// unless they are sent to a runtime, and may borrow what outlives the scope. None of them outlives it,
/// also when a child panics, when the scope is cancelled, or when its future is dropped.
///
/// The counterpart of asyncio's `TaskGroup`, Trio's nursery and Kotlin's `coroutineScope`. For children
/// that fail, see [`try_scope`]; for futures that are not `Send`, [`local`].
///
/// # Cancellation
///
/// Within a [`timeout`](crate::timeout) or another region that is cancelled, the body and the children
/// are dropped, newest first. Those that need time to end, parallel children and
/// [finalizers](Scope::defer) are waited for. If the future is dropped by code that is not foster's, the
/// body and the children are dropped at once; parallel children and adopted futures pass to the
/// enclosing scope. See [`cancel`](crate::cancel).
///
/// # Panics
///
/// With the first panic of the body or of a child, when all others have ended. When polled after it
/// completed.
///
/// A scope that was [cancelled](Scope::cancel), or [stopped](Scope::stop) and overran, before its body
/// had a value ends quietly if that value is `()`. Where it would have been any other there is none to
/// give, and the scope panics: [`outcome`](ScopeFuture::outcome) returns an error instead.
///
/// # Examples
///
/// The form to write is `async |s| { … }`: it borrows what is around it, and so may its children.
///
/// ```
/// # futures::executor::block_on(async {
/// let names = vec!["Ada".to_string(), "Grace".to_string()];
/// let total = foster::scope(async |s| {
///     let tasks: Vec<_> = names.iter().map(|name| s.spawn(async { name.len() })).collect();
///     let mut total = 0;
///     for task in tasks {
///         total += task.await;
///     }
///     total
/// }).await;
/// assert_eq!(total, 8);
/// # });
/// ```
///
/// A body that must own what it uses is a closure that returns an `async move` block.
///
/// A child cannot borrow a variable that is declared inside the scope's body. Declare it before the
/// scope, or move it into the child:
///
/// ```compile_fail,E0373
/// # futures::executor::block_on(async {
/// foster::scope(async |s| {
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
    let (inner, machine) = Inner::new(Location::caller());
    ScopeFuture::new(body(Scope { inner }), machine)
}

/// Runs `body` and everything that is spawned in it like [`scope`], where they may fail: the first error
/// cancels the rest, and is the scope's.
///
/// The closure gets a [`TryScope`], whose children yield `Result<T, E>`, and whose tasks resolve to the
/// `T`. Errors after the first go to the [observer](TryScopeFuture::observe), if there is one. With
/// [`keep_going`](TryScopeFuture::keep_going) an error cancels nothing, and the scope resolves to all of
/// them.
///
/// # Errors
///
/// The first error of the body or of a child, when everything else has ended.
///
/// # Cancellation
///
/// As for [`scope`]. An error of the cleanup is returned even then.
///
/// # Panics
///
/// As for [`scope`]. A panic wins over an error.
///
/// # Examples
///
/// ```
/// # futures::executor::block_on(async {
/// async fn fetch(id: u32) -> Result<u32, String> {
///     if id < 10 { Ok(id) } else { Err(format!("no such id: {id}")) }
/// }
///
/// let sum = foster::try_scope(async |s| {
///     let (a, b) = (s.spawn(fetch(1)), s.spawn(fetch(2)));
///     Ok(a.await + b.await)
/// }).await;
/// assert_eq!(sum, Ok(3));
///
/// let failed = foster::try_scope(async |s| {
///     s.spawn(std::future::pending::<Result<(), _>>());
///     let a = s.spawn(fetch(11));
///     Ok(a.await)
/// }).await;
/// assert_eq!(failed, Err("no such id: 11".to_string()));
/// # });
/// ```
///
/// Where neither a child nor the caller says how the scope may fail, the compiler asks for type
/// annotations (E0282, E0283). Then name the error: `async |s: TryScope<'_, MyError>| { … }`, or end the
/// body with `Ok::<_, MyError>(value)`.
#[track_caller]
pub fn try_scope<'env, F, Fut, T, E>(body: F) -> TryScopeFuture<'env, Fut, T, E>
where
    F: FnOnce(TryScope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let (inner, machine) = Inner::new(Location::caller());
    TryScopeFuture::new(body(TryScope { inner }), machine)
}
