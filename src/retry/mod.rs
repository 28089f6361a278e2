//! Tries again what has failed.
//!
//! [`retry`] calls an operation until it succeeds, on any schedule of waits. It knows the deadline
//! that encloses it, and starts no wait that the deadline forbids. A [`RetryBudget`] that all calls
//! share keeps retries from bringing a server down that is ill already.
//!
//! | tenacity | here |
//! |---|---|
//! | `retry`, `AsyncRetrying` | [`retry`] |
//! | `wait_fixed`, `wait_exponential` | any iterator over durations, such as `backon`'s |
//! | `wait_random_exponential` | [`Retry::jitter`] |
//! | `stop_after_attempt` | [`Retry::max_attempts`], or the end of the schedule |
//! | `stop_before_delay` | [`Retry::max_elapsed`] |
//! | `retry_if_exception` | [`Retry::when`] |
//! | `before_sleep` | [`Retry::notify`] |
//! | `reraise=True` | await it |
//! | `RetryError` | [`Retry::outcome`], which says why |
//! | – | [`Retry::after`], [`Retry::attempt_timeout`], [`RetryBudget`] |

mod attempts;
pub(crate) mod budget;
mod error;
mod hooks;
pub(crate) mod jitter;

pub use attempts::{Retry, RetryOutcome, TimedAttempt, retry};
pub use budget::RetryBudget;
pub use error::RetryError;
