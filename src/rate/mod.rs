//! Limits on how often something is done.
//!
//! | to limit | use | Python |
//! |---|---|---|
//! | how often something is done | [`RateLimiter`] | `aiolimiter.AsyncLimiter` |
//! | the same for each host, user or address | [`KeyedRateLimiter`] | – |
//! | how much is done at the same time | [`Semaphore`](crate::sync::Semaphore) | `asyncio.Semaphore` |
//! | how often a failure is tried again | [`RetryBudget`](crate::retry::RetryBudget) | – |
//!
//! Inside a [`retry`](crate::retry()), put the limiter into the operation, so that each attempt
//! takes its tokens. When a server answers that there were too many requests, tell the limiter to
//! [`pause`](RateLimiter::pause), so that all callers hear of it and not the one alone.

mod bucket;
mod error;
mod keyed;
mod limiter;

pub use error::RateLimited;
pub use keyed::KeyedRateLimiter;
pub use limiter::{AcquireRate, RateLimiter};
