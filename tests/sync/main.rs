//! Locks and limits.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says more.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;

mod barrier;
mod by_hand;
mod cancelled;
mod condition;
mod event;
mod meddling;
mod mutex;
mod once_cell;
mod oneshot;
mod rows;
mod rwlock;
mod semaphore;
mod sqlx;
mod watch;
