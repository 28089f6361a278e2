//! Owns tasks: a scope ends when everything that was spawned in it has ended.
//!
//! The functions [`scope`](fn@crate::scope) and [`try_scope`], and what a first program needs with
//! them, are at the root of the crate. This module has the types that they return and report with.
//! Scopes for futures that are not `Send` are in [`local`].

// # The walk of a child
//
// Four types make a scope:
//
// - `Machine` (state/) is the scope's state and its one poll loop. It lies in the scope's future,
//   beside the body.
// - `Control` (control.rs) is what the machine shares, in one allocation: the token, the bell that
//   wakes the scope, the lane for news from elsewhere, the counts, and the lists of new children
//   and of errors. Tasks, spawners and parallel children have it. It may outlive the scope, and so
//   its lists do not know their types.
// - `Core` (state/mod.rs) is a reference to the control that knows them. The machine and the
//   handles have it. It lives no longer than what the children borrow.
// - `Node` (../task/cell.rs) is one child: first its future, then its value, in one allocation. Its
//   two owners are the `Runner`, which the scope polls, and the `Reader`, which is in the `Task`.
//
// ## It is spawned
//
// 1. `Scope::spawn` (handle.rs) wraps the future as a `Plain` (adapters.rs). `TryScope::spawn`
//    wraps it as a `Fallible`, which adds an error to the scope's. Both call `Inner::launch`
//    (inner.rs), the one body of the verb for all four handles.
// 2. `launch` makes the node. The runner forgets the future's type there, so that all children of a
//    scope have one type.
// 3. `Inner::add` pushes the runner into the inbox, a `Lane` (../mailbox.rs), and rings the `Bell`.
//    A scope that is being polled is awake, so the ring wakes nobody. In a scope that is cancelled
//    or has completed the runner is refused: the future is dropped, and the task has the reason.
//
// ## It is polled
//
// 4. `ScopeFuture::poll` (future.rs) calls `Machine::poll`, which puts the scope into the context
//    (../context/mod.rs) and calls `turn`.
// 5. `turn` first empties the lanes for which the bell was rung (`take_in`, state/take_in.rs).
//    `arrive` gives the child its age, and puts it into the `Set` (../engine/mod.rs) as a `Member`
//    (kind.rs). The body is a member, too.
// 6. `poll_members` has the set poll the members that were woken. The waker of each is its slot in
//    the set. `Visit` (state/poll_member.rs) puts the member's token into the context and
//    polls the runner, which polls the future in its node.
// 7. A member that is pending is `suspended`. If something in it has made its token, that is put
//    below the scope's token, before anything else can look at it.
//
// ## It completes
//
// 8. The node drops the future and keeps the value. `Visit` drops the runner, which hands the
//    value over to the reader and wakes whoever awaits the task. `Task::poll` (task.rs) takes it.
// 9. An `Err` and a panic leave no value. `Visit` returns them as `Exit::Failed`, and `fail`
//    (state/failure.rs) notes the panic (the error is among the scope's already) and cancels the
//    scope. A scope that keeps going is cancelled by a panic alone.
// 10. When no member, no adopted future and no parallel child is left, `next` runs the finalizers,
//     one after the other. After the last one `finish` closes the lanes, so that later children are
//     refused, unless nobody is left who could send one (`is_sole`). It resumes a panic or returns
//     the `End`. Of that the scope's future makes its output.
//
// ## A timeout cancels the scope
//
// What needs time to end takes a hold on the token of its region: a shield, and a scope that has
// finalizers, parallel children, adopted futures or a failure to return (`update_hold`). A hold
// counts for all enclosing regions. `Timeout::expire` (../time/timeout.rs) calls `Region::trip`
// (../cancel/region.rs), and whether there are holds decides what happens.
//
// - Without a hold the region drops the scope's future at once. `abandon` drops the children,
//   newest first, then the body. Their tasks have the timeout's reason, which is in the context
//   (`Ending`).
// - With a hold the region raises its token, and with it the scope's, which is below it. The
//   timeout polls the scope again. `check` sees the token and calls `wind_down`
//   (state/wind_down.rs): it sets the alarm for the grace, drops the members without holds,
//   newest first, and tells the parallel children to end. The others are polled until they are
//   suspended without a hold. Then the finalizers have their turn. The scope lets go of its
//   hold, and `finish` leaves it pending, in the phase `Detached`, because the timeout has the
//   result. The region finds no hold left, and drops the future. `abandon` finds nothing to do.
// - When the timeout's grace is over, it raises the tokens once more. `check` calls `overrun`,
//   which drops the members without holds and reports their names. The others see their own tokens,
//   and let go of their holds in a few polls. When the scope's own grace is over, `overrun` raises
//   the tokens of these members itself. `Idle` (../cancel/idle.rs) ends the wait for those that do
//   not.
//
// `Scope::cancel`, and `Scope::stop` after its grace, raise the scope's own token and ring the
// bell. From there on it is the same `wind_down`, but `finish` returns the `End`.
//
// ## Other code drops the scope
//
// `tokio::select!` knows nothing of holds. The drop of the future calls `abandon`. New children are
// refused from here on, because a destructor may spawn some. The members are dropped, newest first,
// and the finalizers after them, unpolled. Then `transfer` tells the parallel children to end. It
// transfers adopted futures, and the wait for parallel children (`Orphans`, transfer.rs), to the
// enclosing scope, which can run them because they are `'static`. They arrive there as news. The
// enclosing scope is the one in which this one was last polled.
//
// ## Children that run in parallel
//
// `spawn_parallel` enters at `remote_child::spawn` (remote_child.rs). The runtime polls such a
// child, and the set never has it. It is counted in the control as long as it runs, so that `next`
// waits for it. Its end rings the bell, and its failure comes as news.

mod adapters;
mod any;
pub(crate) mod control;
mod errors;
mod future;
mod handle;
mod inner;
mod job;
mod kind;
pub mod local;
mod options;
mod remote_child;
mod root;
mod spawner;
mod state;
mod task;
pub(crate) mod transfer;

use std::future::Future;
use std::panic::Location;

pub use self::any::{AnyScope, Label};
pub use self::errors::{Errors, ErrorsIter};
pub use self::future::{KeepGoing, ScopeFuture, ScopeOutcome, TryScopeFuture};
pub use self::handle::{Scope, TryScope};
use self::inner::Inner;
pub use self::job::blocking;
pub use self::kind::{AnyThread, Kind, OneThread};
pub use self::options::Notice;
pub use self::root::Enter;
pub use self::spawner::Spawner;
pub use self::task::{Outcome, Task, TaskError};

/// Runs `body` and the children that are spawned in it, and waits until all of them have ended.
///
/// Returns the body's value. The closure gets the [`Scope`], which spawns children. They run
/// concurrently, and may borrow what outlives the scope. They share this task, unless they are sent
/// to a runtime. No child outlives the scope, also when a child panics, when the scope is
/// cancelled, or when its future is dropped.
///
/// For children that may fail, use [`try_scope`]. For futures that are not `Send`, use
/// [`local::scope`]. The counterpart of asyncio's `TaskGroup`, Trio's nursery, Kotlin's
/// `coroutineScope` and tokio's `JoinSet`.
///
/// # Cancellation
///
/// When a [`timeout`](crate::timeout) or another region cancels the scope, the body and the
/// children are dropped, newest first. The scope waits for those that need time to end, such as
/// parallel children, and for its [finalizers](Scope::defer).
///
/// When code other than foster's drops the scope's future, the body and the children are dropped at
/// once. Parallel children and adopted futures are transferred to the enclosing scope. See
/// [`cancel`](crate::cancel).
///
/// # Panics
///
/// If the body or a child panics, the others are cancelled, and the scope resumes the first panic
/// when all of them have ended.
///
/// Panics if the scope was [cancelled](Scope::cancel) before its body had a value, unless that
/// value is `()`. [`outcome`](ScopeFuture::outcome) returns an error instead. A body that loops for
/// ever has no value either: its type is `!`. Where such a scope may cancel itself, ask for the
/// outcome, or let the loop end. Panics if it is polled after it completed.
///
/// # Examples
///
/// Write the body as `async |s| { … }`. It may borrow what is declared outside of it, and so
/// may its children.
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
    let at = Location::caller();
    let (core, body) = Inner::make_body(at, |inner| body(Scope { inner }));
    ScopeFuture::new(body, core, at.into())
}

/// Runs `body` and its children as [`scope`] does, and cancels the rest when one of them fails.
///
/// Returns the body's `Result`, or the first error. The closure gets a [`TryScope`], whose children
/// yield `Result<T, E>`. Their tasks resolve to the `T`.
///
/// Errors after the first go to the [observer](TryScopeFuture::observe), if there is one. With
/// [`keep_going`](TryScopeFuture::keep_going) an error cancels nothing, and the scope returns all
/// errors. The counterpart of Python's `TaskGroup`, but with one error instead of an
/// `ExceptionGroup`.
///
/// # Errors
///
/// Returns the first error of the body or of a child, when everything else has ended.
///
/// # Cancellation
///
/// As for [`scope`]. An error, for instance that of a finalizer, is returned even when an enclosing
/// region cancels the scope.
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
/// The compiler asks for type annotations (E0282, E0283) if neither a child nor the caller says
/// what the error is. Then name it: write `async |s: TryScope<'_, MyError>| { … }`, or end the body
/// with `Ok::<_, MyError>(value)`.
#[track_caller]
pub fn try_scope<'env, F, Fut, T, E>(body: F) -> TryScopeFuture<'env, Fut, T, E>
where
    F: FnOnce(TryScope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let at = Location::caller();
    let (core, body) = Inner::make_body(at, |inner| body(TryScope { inner }));
    TryScopeFuture::new(body, core, at.into())
}
