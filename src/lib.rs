//! Structured concurrency for every Rust runtime: no task is orphaned.
//!
//! foster gives async code scopes that own their tasks, deadlines, cancellation with a reason,
//! cleanup that awaits, and concurrency with a limit. It is written against the `futures` traits
//! alone. A library that uses it does not choose a runtime, and works under each that the
//! application chooses.
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
//! let both = timeout(Duration::from_secs(2), try_scope(async |s| {
//!     let user = s.spawn(fetch("/user")); // children run concurrently,
//!     let orders = s.spawn(fetch(&path)); // and can borrow
//!     Ok((user.await, orders.await)) // an `Err` of one child cancels the rest, and is returned
//! }));
//! assert_eq!(both.await, Ok(Ok((5, 7))));
//! # });
//! ```
//!
//! # Where to begin
//!
//! Read [`scope`](fn@scope) first, then [`cancel`](mod@cancel), which explains what happens when
//! something is cancelled. The [`guide`] has pages for readers who come from
//! [asyncio](guide::asyncio), [tokio](guide::tokio) or [Trio](guide::trio), for
//! [authors of libraries](guide::library) and of [web handlers](guide::web), on testing a networked
//! program, and on [running other crates on foster](guide::seams). It has
//! [recipes](guide::recipes), and explains [what the compiler's messages mean](guide::errors). To
//! change foster, begin with [its layers](guide::architecture).
//!
//! | to do | use | asyncio | tokio |
//! |---|---|---|---|
//! | run children, wait for all | [`scope`](fn@scope), [`try_scope`] | `TaskGroup` | `JoinSet` |
//! | run children on other threads | [`Scope::spawn_parallel`] | – | `spawn` |
//! | block | [`blocking()`], [`Scope::spawn_blocking`] | `to_thread` | `spawn_blocking` |
//! | clean up at the end, with `.await` | [`Scope::defer`], [`Scope::manage`] | `AsyncExitStack` | – |
//! | use what must be released | [`bracket`] | `async with` | – |
//! | limit the time | [`timeout`] | `timeout`, `wait_for` | `timeout` |
//! | ask for the end | [`Scope::stop`], [`Token`] | `Event` | `CancellationToken` |
//! | cancel | [`Scope::cancel`], [`Task::cancel`] | `Task.cancel` | `abort` |
//! | finish what was begun | [`shield`], [`adopt`] | `shield` | – |
//! | wait for several futures | [`gather`], [`try_gather`] | `gather` | `join!` |
//! | take the first of several | [`race`], [`race_ok`], [`select!`] | `wait` | `select!` |
//! | take the first few, or hedge | [`future::quorum`], [`future::hedge`] | – | – |
//! | try again what has failed | [`retry()`] | tenacity | `backon` |
//! | write a stream as code | [`stream::generator`] | `async def`, `yield` | – |
//! | run a stream beside its consumer | [`StreamExt::in_scope`] | `Queue` | `mpsc` |
//! | do many items, a few at a time | [`ConcurrentIterator`], [`ConcurrentStream`] | `Semaphore` | `Semaphore` |
//! | change a value across `.await` | [`sync::Mutex`] | `Lock` | `Mutex` |
//! | limit what is done at once | [`sync::Semaphore`] | `Semaphore` | `Semaphore` |
//! | share a few connections | [`resource::Pool`], [`resource::KeyedPool`] | `create_pool` | `deadpool` |
//! | limit how often something is done | [`rate::RateLimiter`] | `aiolimiter` | `governor` |
//! | keep calls away from a service that fails | [`rate::CircuitBreaker`] | `aiobreaker` | `failsafe` |
//! | give work to consumers, and wait until it is done | [`queue`] | `Queue` | `mpsc` |
//! | wait for what others do | [`sync::Event`], [`sync::Condition`] | `Event`, `Condition` | `Notify` |
//! | wait for each other | [`sync::Barrier`] | `Barrier` | `Barrier` |
//! | tell one a value, or many the latest | [`sync::oneshot`], [`sync::watch`] | `Future` | `oneshot`, `watch` |
//! | compute a value once, when it is needed | [`sync::OnceCell`] | – | `OnceCell` |
//! | do the same work once for all who ask | [`future::Singleflight`] | – | – |
//! | gather single items into batches | [`future::Batcher`] | `DataLoader` | – |
//! | give a value to all children | [`Inherited`] | `ContextVar` | `task_local!` |
//! | connect, and listen | `foster::net`, with the feature `net` | `open_connection` | `net` |
//! | run a program | [`Handle::run`], [`Handle::enter`] | `run` | `#[tokio::main]` |
//! | test in virtual time | [`runtimes::Sim`](runtimes) | – | `pause` |
//!
//! # Runtimes
//!
//! Scopes need no runtime. They run their children on the task that polls them, under any executor.
//! What needs a runtime are timers, parallel children and blocking jobs. They use the one in force:
//!
//! 1. that of the nearest [`Handle::run`], [`Handle::enter`] or parallel child;
//! 2. otherwise tokio, with the feature `tokio`, on a thread of tokio's;
//! 3. otherwise none. Then timers are those of `futures-timer`, blocking jobs run in [foster's own
//!    pool](runtime::blocking_pool), and [`Scope::spawn_parallel`] runs its child on the task of
//!    its scope.
//!
//! Each adapter in [`runtimes`] has a feature of its name: `tokio`, `smol`, `async-std`, `basic`
//! and `sim`. Features only add, and all adapters work side by side. To support another runtime,
//! implement [`Runtime`](runtime::Runtime).
//!
//! The other features:
//!
//! | feature | adds | turns on |
//! |---|---|---|
//! | `macros` | `#[foster::main]` | |
//! | `testing` | `foster::testing`, `#[foster::test]` | `macros`, `sim` |
//! | `net` | sockets, in `foster::net` | |
//! | `async-io` | with `net`, a network for `Basic`, and where no runtime is in force | |
//! | `hyper` | `foster::net::hyper_io` | `net` |
//! | `async-lock`, `async-channel`, `async-broadcast` | modules of these names in [`sync`] | |
//!
//! `smol` and `async-std` turn on `async-io`. By default no feature is on.

#[cfg(feature = "macros")]
mod attributes;
pub mod cancel;
mod context;
mod engine;
pub mod future;
pub mod guide;
mod keys;
mod mailbox;
mod name;
#[cfg(feature = "net")]
pub mod net;
mod panic;
pub mod queue;
#[cfg(test)]
mod races;
pub mod rate;
pub mod resource;
pub mod retry;
pub mod runtime;
#[path = "../runtimes/mod.rs"]
pub mod runtimes;
pub mod scope;
pub mod stream;
pub mod sync;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
mod trace;

#[cfg(feature = "macros")]
pub use attributes::main;
#[cfg(feature = "testing")]
pub use attributes::test;
pub use cancel::{Cancelled, Reason, Token, adopt, shield};
pub use context::inherited::{Inherited, Provide};
pub use future::{FutureExt, as_completed, gather, race, race_ok, try_gather};
pub use name::Name;
pub use resource::bracket;
pub use retry::retry;
pub use runtime::{Handle, Instant};
pub use scope::{Scope, Task, TaskError, TryScope, blocking, local, scope, try_scope};
pub use stream::{ConcurrentIterator, ConcurrentStream, StreamExt};
pub use time::{
    Deadline, Elapsed, Interval, MissedTick, deadline, interval, interval_at, now, remaining, sleep, sleep_until,
    timeout, timeout_at, timeout_detach, yield_now,
};

/// Holds what [`select!`] expands to.
#[doc(hidden)]
pub mod __private {
    pub use crate::future::select::{member, select};
    pub use crate::future::tuples::{Any1, Any2, Any3, Any4, Any5, Any6, Any7, Any8, Any9, Any10, Any11, Any12};
}

/// Runs the programs of the README as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
