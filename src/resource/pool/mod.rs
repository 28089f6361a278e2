//! A few resources for many who use one for a while.
//!
//! Each file knows one thing:
//!
//! - [`state`] knows what is there, who waits, and what is to be done. It runs under the lock of a
//!   [`WaitList`](crate::sync::wait_list), does nothing that takes time, and leaves that as
//!   errands.
//! - [`tasks`] does the errands, in children of the pool's scope. Each has a place of the pool,
//!   which is free when the task has ended, however it ends.
//! - [`shared`] takes the errands out of the state, and starts the tasks.
//! - [`get`] and [`onlooker`] wait, and [`pooled`] returns what was given out.

mod error;
mod get;
mod manager;
mod onlooker;
mod options;
#[expect(clippy::module_inception, reason = "it is the handle to what this module is about")]
mod pool;
mod pooled;
mod shared;
mod state;
mod statistics;
mod tasks;

pub use error::{GetError, TryGetError};
pub use get::Get;
pub use manager::Manager;
pub use onlooker::{Close, Fill};
pub use options::PoolOptions;
pub use pool::Pool;
pub use pooled::{Busy, Pooled};
pub use statistics::PoolStatistics;
