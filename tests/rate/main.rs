//! Limits on how often something is done.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;

mod adaptive;
mod breaker;
mod keyed;
mod limiter;
mod limits;
mod rows;
