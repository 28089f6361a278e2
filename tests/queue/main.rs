//! Queues.
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

#[allow(dead_code)]
#[path = "../sync/by_hand.rs"]
mod by_hand;
#[path = "../sync/cancelled.rs"]
mod cancelled;

mod batches;
mod ends;
mod every_await;
mod faulty_wakers;
mod items;
mod rendezvous;
mod rows;
mod steps;
mod turns;
