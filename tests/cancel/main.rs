//! Cancellation: tokens, reasons, regions, shields and adopted futures.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what some tests are about.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

mod adopt;
mod first_cause;
mod foreign;
mod from_elsewhere;
mod one_poll;
mod reason;
mod region;
mod shield;
mod spawned;
mod token;
mod until;
