//! Pools of resources.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more. `server.rs` is what the pools connect to.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;

#[path = "../sync/cancelled.rs"]
mod cancelled;

#[path = "../support/faulty_wakers.rs"]
mod faulty_wakers;

mod ages;
mod basics;
mod busy;
mod elsewhere;
mod ends;
mod failures;
mod inside;
mod keyed;
mod server;
mod turns;
