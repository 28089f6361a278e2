//! Locks, limits and signals.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;

#[path = "../support/faulty_wakers.rs"]
mod faulty;

#[path = "../support/everywhere.rs"]
mod everywhere;

#[cfg(feature = "async-broadcast")]
mod async_broadcast;
#[cfg(feature = "async-channel")]
mod async_channel;
#[cfg(feature = "async-lock")]
mod async_lock;
mod barrier;
mod by_hand;
mod cancelled;
mod condition;
mod condition_model;
mod event;
mod every_await;
mod faulty_wakers;
mod holders;
mod meddling;
mod mutex;
mod once_cell;
mod once_cell_send;
mod oneshot;
mod replacement;
mod rows;
mod rwlock;
mod semaphore;
mod sqlx;
mod watch;
