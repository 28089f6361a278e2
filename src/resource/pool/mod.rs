//! A few resources for many who use one for a while.
//!
//! Each file knows one thing:
//!
//! - [`group`] is what there is of one key: the idle resources, their holders, and those who wait.
//! - [`state`] knows all groups, and what is to be done. It runs under the lock of a
//!   [`WaitList`](crate::sync::wait_list), does nothing that takes time, and leaves that as
//!   [errands](errand).
//! - [`tasks`] does the errands, in children of the pool's scope. Each has a place of the pool,
//!   which is free when the task has ended, however it ends.
//! - [`shared`] takes the errands out of the state, and starts the tasks.
//! - [`pool`] and [`keyed`] are the handles. They share all of this: a pool without keys has one
//!   group of resources, the other one for each key.
//! - [`get`] and [`onlooker`] wait, and [`pooled`] returns what was given out.

mod errand;
mod error;
mod get;
mod group;
mod keyed;
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
pub use keyed::KeyedPool;
pub use manager::Manager;
pub use onlooker::{Close, Fill};
pub use options::PoolOptions;
pub use pool::Pool;
pub use pooled::{Busy, Pooled};
pub use statistics::PoolStatistics;
