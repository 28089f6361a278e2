//! Structured concurrency for every Rust runtime: no task is orphaned.
//!
//! foster gives `async` code scopes that own their tasks, deadlines, cancellation with a reason, cleanup that really runs,
//! and concurrency with a limit. It is written against the `futures` traits alone: a library that uses it does not choose a
//! runtime, and the application that uses the library does not notice.
//!
//! ```
//! use foster::{sleep, timeout, try_scope};
//! use std::time::Duration;
//!
//! # #[derive(Debug, PartialEq)] struct Error;
//! async fn fetch(path: &str) -> Result<usize, Error> {
//!     sleep(Duration::from_millis(1)).await;
//!     Ok(path.len())
//! }
//!
//! # futures::executor::block_on(async {
//! let path = String::from("/orders");
//! let both = timeout(Duration::from_secs(2), try_scope(|s| {
//!     let path = &path;
//!     async move {
//!         let user = s.spawn(fetch("/user"));      // children run concurrently
//!         let orders = s.spawn(fetch(path));       // and may borrow
//!         Ok((user.await, orders.await))               // an `Err` in either ends both, and is the scope's
//!     }
//! }));
//! assert_eq!(both.await, Ok(Ok((5, 7))));
//! # });
//! ```
//!
//! # Where to begin
//!
//! | to do | use | asyncio | tokio |
//! |---|---|---|---|
//! | run children and wait for all | [`scope`](fn@scope), [`try_scope`] | `TaskGroup` | `JoinSet` |
//! | run some of them on threads | [`Scope::spawn_parallel`], [`Scope::spawn_on`] | – | `spawn` |
//! | call what blocks | [`blocking()`], [`Scope::spawn_blocking`] | `to_thread` | `spawn_blocking` |
//! | clean up at the end, awaiting | [`Scope::defer`] | `AsyncExitStack` | – |
//! | end what takes too long | [`timeout`] | `timeout`, `wait_for` | `timeout` |
//! | ask for the end | [`Scope::stop`], [`Token`] | `Event` | `CancellationToken` |
//! | cancel | [`Scope::cancel`], [`Task::cancel`] | `Task.cancel` | `abort` |
//! | not be cancelled | [`shield`], [`adopt`] | `shield` | – |
//! | wait for several futures | [`gather`], [`try_gather`] | `gather` | `join!` |
//! | take the first of several | [`race`], [`select!`], [`race_ok`], [`quorum`](future::quorum), [`hedge`](future::hedge) | `wait` | `select!` |
//! | write a stream as code | [`stream::generator`] | `async def` with `yield` | – |
//! | drive a stream beside its consumer | [`StreamExt::in_scope`] | `Queue` | `mpsc` |
//! | work off many items, a few at a time | [`ConcurrentIterator`], [`ConcurrentStream`] | `Semaphore` | `Semaphore` |
//! | pass on a value to all children | [`Inherited`] | `ContextVar` | `task_local!` |
//! | run a program | [`Handle::run`], [`Handle::enter`] | `run` | `#[tokio::main]` |
//! | test with virtual time | [`runtimes::Sim`](runtimes) | – | `pause` |
//!
//! [`cancel`] explains what happens when something is cancelled; it is the page to read. The [`guide`] has pages for those
//! who come from asyncio, tokio or Trio, for authors of libraries, recipes, and what the compiler's messages mean.
//!
//! # Runtimes
//!
//! By default there is none, and no thread until a timer or a blocking job needs one: scopes run their children on the task that polls them, under any
//! executor. What needs a runtime takes it from the context, which [`Handle::run`] and [`Handle::enter`] set; where nobody
//! set one, code that tokio runs finds tokio, with the feature of that name. Without any, [`sleep`] uses `futures-timer`,
//! blocking jobs a pool that starts with the first of them, and `spawn_parallel` this
//! task. The adapters in [`runtimes`] are features (`tokio`, `smol`, `async-std`, `basic`, `sim`): features add, they never
//! choose, and all of them work side by side. Others are [brought along](runtime).
//!
//! Two more features: `macros`, for `#[foster::main]`, and `testing`, for `foster::testing` and `#[foster::test]`.

#[cfg(feature = "macros")]
mod attributes;
pub mod blocking;
pub mod cancel;
mod contain;
mod context;
mod control;
pub mod future;
pub mod guide;
mod lane;
mod name;
mod panic;
pub mod runtime;
#[path = "../runtimes/mod.rs"]
pub mod runtimes;
pub mod scope;
mod set;
pub mod stream;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
mod token;
mod tree;
mod values;

#[cfg(feature = "macros")]
pub use attributes::main;
#[cfg(feature = "testing")]
pub use attributes::test;
pub use cancel::{Cancelled, Reason, Token, adopt, shield};
pub use future::{FutureExt, as_completed, gather, race, race_ok, try_gather};
pub use name::Name;
pub use runtime::{Handle, Instant};
pub use scope::{Scope, Task, TaskError, TryScope, blocking, local, scope, try_scope};
pub use stream::{ConcurrentIterator, ConcurrentStream, StreamExt};
pub use time::{
    Deadline, Elapsed, Interval, MissedTick, deadline, interval, interval_at, now, remaining, sleep, sleep_until,
    timeout, timeout_at, timeout_detach, yield_now,
};
pub use values::{Inherited, Provide};

/// What [`select!`] expands to.
#[doc(hidden)]
pub mod __private {
    pub use crate::future::select::{member, select};
    pub use crate::future::tuples::{Any1, Any2, Any3, Any4, Any5, Any6, Any7, Any8, Any9, Any10, Any11, Any12};
}

/// The README's programs are tests, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
