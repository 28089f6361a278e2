//! Limits how often something is done, and keeps calls away from services that fail.
//!
//! | to limit | use | Python |
//! |---|---|---|
//! | how often something is done | [`RateLimiter`] | `aiolimiter.AsyncLimiter` |
//! | the same for each host, user or address | [`KeyedRateLimiter`] | – |
//! | how much is done at the same time | [`Semaphore`](crate::sync::Semaphore) | `asyncio.Semaphore` |
//! | the same, by a limit that finds itself | [`AdaptiveLimit`] | – |
//! | calls of a service that fails | [`CircuitBreaker`] | `aiobreaker` |
//! | how often a failure is tried again | [`RetryBudget`](crate::retry::RetryBudget) | – |
//!
//! When a server answers that there were too many requests, tell the limiter to
//! [`pause`](RateLimiter::pause), so that all callers hear of it and not the one alone.
//!
//! # Together
//!
//! They are plain functions and guards, so any order can be written. This one is recommended, from
//! the outside to the inside:
//!
//! | place | what | why there |
//! |---|---|---|
//! | 1 | [`timeout`](crate::timeout) | All that is inside knows the deadline, and begins no wait that would end after it. |
//! | 2 | [`retry`](crate::retry()), with a [`RetryBudget`](crate::retry::RetryBudget) | Each attempt takes tokens and a slot of its own, and holds none while it waits for the next one. |
//! | 3 | [`hedge`](crate::future::hedge), with the same budget | Each of its attempts is a call like any other. |
//! | 4 | [`Semaphore`](crate::sync::Semaphore) or [`AdaptiveLimit`] | A bulkhead: what is slow holds up no more than its slots. |
//! | 5 | [`RateLimiter`] | Whoever has tokens calls at once. Were there another line behind it, those who come out of that would call faster than the rate. |
//! | 6 | [`CircuitBreaker`] | It is asked last, when nothing is left to wait for. |
//! | 7 | [`timeout`](crate::timeout) | For one attempt. A call that hangs is a failure, and the breaker counts it. |
//! | 8 | the call, which takes a connection of a [`Pool`](crate::resource::Pool) | To connect is a part of the call: it can fail, and must not be tried while the circuit is open. With as many connections as slots, nobody waits for one. |
//!
//! The breaker is inside of the limits, for three reasons. When the circuit opens, those who wait
//! for a slot are refused one after the other, where otherwise all of them would still call. A
//! probe takes up its place while it calls, and not while it waits in a line. And what the breaker
//! counts is what the server did, not what the limits did. The price is that a call which is
//! refused has taken a token.
//!
//! An [`AdaptiveLimit`] that counts [slow](AdaptiveLimit::slow_after) calls comes after the rate
//! limiter, because it must not count the wait for tokens.
//!
//! ```
//! # #[cfg(feature = "sim")]
//! foster::runtimes::Sim::default().run(async {
//!     use foster::{Elapsed, rate::*, retry, retry::RetryBudget, sleep, sync::Semaphore, timeout};
//!     use std::time::Duration;
//!
//!     #[derive(Debug)]
//!     enum Error { Late, Limited, Open(CircuitOpen) }
//!
//!     impl From<Elapsed> for Error {
//!         fn from(_: Elapsed) -> Self { Error::Late }
//!     }
//!     impl From<RateLimited> for Error {
//!         fn from(_: RateLimited) -> Self { Error::Limited }
//!     }
//!     impl From<CircuitOpen> for Error {
//!         fn from(open: CircuitOpen) -> Self { Error::Open(open) }
//!     }
//!
//!     struct Client {
//!         budget: RetryBudget,
//!         limiter: RateLimiter,
//!         slots: Semaphore,
//!         breaker: CircuitBreaker,
//!     }
//!
//!     impl Client {
//!         async fn fetch(&self, path: &str) -> Result<usize, Error> {
//!             let attempt = async || {
//!                 let _slot = self.slots.acquire(1).await.expect("nobody closes it");
//!                 self.limiter.acquire(1).await?;
//!                 let call = async || timeout(Duration::from_secs(1), send(path)).await?;
//!                 self.breaker.call(call).await
//!             };
//!             let waits = [100, 200, 400].map(Duration::from_millis);
//!             let retries = retry(waits, attempt)
//!                 .budget(&self.budget)
//!                 .after(|error| if let Error::Open(open) = error { open.wait() } else { None });
//!             timeout(Duration::from_secs(10), retries).await?
//!         }
//!     }
//!
//!     /// Does not answer the first two requests.
//!     async fn send(path: &str) -> Result<usize, Error> {
//!         # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!         static REQUESTS: AtomicU32 = AtomicU32::new(0);
//!         let seconds = if REQUESTS.fetch_add(1, Relaxed) < 2 { 3600 } else { 0 };
//!         sleep(Duration::from_secs(seconds)).await;
//!         Ok(path.len())
//!     }
//!
//!     let client = Client {
//!         budget: RetryBudget::new(10),
//!         limiter: RateLimiter::new(10, Duration::from_secs(1)),
//!         slots: Semaphore::new(5),
//!         breaker: CircuitBreaker::new(2, Duration::from_secs(3)),
//!     };
//!     // The third attempt has waited for the circuit.
//!     assert_eq!(client.fetch("/user").await.unwrap(), 5);
//!     assert_eq!(client.breaker.state(), CircuitState::Closed);
//! });
//! ```

mod adaptive;
mod breaker;
mod bucket;
mod error;
mod keyed;
mod limiter;

pub use adaptive::{AcquireAdaptive, AdaptiveLimit, AdaptivePermit};
pub use breaker::{CircuitBreaker, CircuitCall, CircuitOpen, CircuitPermit, CircuitState, CircuitStatistics};
pub use error::RateLimited;
pub use keyed::KeyedRateLimiter;
pub use limiter::{AcquireRate, RateLimiter};
