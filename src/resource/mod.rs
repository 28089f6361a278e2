//! Resources: what is acquired with `.await`, and must be released with `.await`.
//!
//! A destructor cannot await. So a connection that says goodbye, a lock on another machine, or a
//! temporary account needs code that runs at its end, however that end comes about.
//!
//! | to release | use | Python |
//! |---|---|---|
//! | one resource, after the code that uses it | [`bracket`] | `async with` |
//! | resources that functions and loops acquire, at the end of a scope | [`Scope::manage`] | `AsyncExitStack.enter_async_context` |
//! | what is no value | [`Scope::defer`] | `AsyncExitStack.push_async_callback` |
//! | all of them, unless all could be acquired | [`Managed::into_inner`] | `AsyncExitStack.pop_all` |
//! | a few that many share | [`Pool`], [`KeyedPool`] | `asyncpg.create_pool` |
//!
//! The first four release after a value, an error, a panic, a timeout and a cancellation, and are
//! waited for. They differ in what they may hold, and in what is left when *other code* drops the
//! future, as `tokio::select!` does, or a web server whose client has hung up:
//!
//! | | the resource | dropped by other code |
//! |---|---|---|
//! | [`bracket`] | is `'static + Send` | is released, by the enclosing scope, the root, or tokio |
//! | [`Scope::manage`] | may borrow, and in [`local`](crate::local) need not be `Send` | is dropped, and not released |
//!
//! # Acquired in a function
//!
//! A function that acquires a resource for its caller takes the scope by reference, and returns a
//! [`Managed`]. The scope releases such resources in the reverse of the order in which they came:
//!
//! ```
//! use foster::resource::Managed;
//! use foster::{TryScope, try_scope};
//! # #[derive(Debug, PartialEq)] struct Error;
//! # use std::sync::Mutex;
//! # static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
//! # struct Session(&'static str);
//! # impl Session {
//! #     async fn login(user: &'static str) -> Result<Session, Error> { Ok(Session(user)) }
//! #     async fn logout(self) -> Result<(), Error> {
//! #         LOG.lock().unwrap().push(self.0.into());
//! #         Ok(())
//! #     }
//! # }
//!
//! async fn session(
//!     s: &TryScope<'_, Error>,
//!     user: &'static str,
//! ) -> Result<Managed<Session>, Error> {
//!     Ok(s.manage(Session::login(user).await?, Session::logout))
//! }
//!
//! # futures::executor::block_on(async {
//! try_scope(async |s| {
//!     let ada = session(&s, "ada").await?;
//!     let grace = session(&s, "grace").await?;
//!     Ok(()) // logs out grace, then ada
//! }).await?;
//! # assert_eq!(*LOG.lock().unwrap(), ["grace", "ada"]);
//! # Ok::<(), Error>(())
//! # }).unwrap();
//! ```
//!
//! # Acquired in a loop
//!
//! A loop that fails at its third resource releases the two that it has. With
//! [`keep_going`](crate::scope::TryScopeFuture::keep_going) the scope returns the errors of the
//! releases with that of the loop. [`Managed::into_inner`] has the program that acquires all of
//! them or none.
//!
//! Where the loop may be dropped by other code, the resource of a [`bracket`] can be a collection,
//! which its body fills:
//!
//! ```
//! use foster::bracket;
//! # struct Connection(u32);
//! # impl Connection {
//! #     async fn open(n: u32) -> Result<Connection, String> {
//! #         if n < 2 { Ok(Connection(n)) } else { Err(format!("no server {n}")) }
//! #     }
//! #     async fn close(self) -> Result<(), String> { Err(format!("cannot close {}", self.0)) }
//! # }
//!
//! # futures::executor::block_on(async {
//! let errors = bracket(
//!     async { Ok(Vec::new()) },
//!     async |open| {
//!         for n in 0..3 {
//!             open.push(Connection::open(n).await?);
//!         }
//!         Ok(())
//!     },
//!     async |open| {
//!         let mut closed = Ok(());
//!         for connection in open.into_iter().rev() {
//!             closed = closed.and(connection.close().await);
//!         }
//!         closed
//!     },
//! ).await.unwrap_err();
//! assert_eq!(errors.into_vec(), ["no server 2", "cannot close 1"]);
//! # });
//! ```
//!
//! [`Scope::manage`]: crate::Scope::manage
//! [`Scope::defer`]: crate::Scope::defer

mod bracket;
pub(crate) mod managed;
mod pool;

pub use bracket::bracket;
pub use managed::Managed;
pub use pool::{
    Busy, Close, Fill, Get, GetError, KeyedPool, Manager, Pool, PoolOptions, PoolStatistics, Pooled, TryGetError,
};
