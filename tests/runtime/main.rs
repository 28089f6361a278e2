//! Runtimes: those that are found, several at a time, the simulator, blocking jobs and timers.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what some tests are about.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

mod blocking;
mod blocking_pool;
mod found;
mod hang_up;
mod nested;
mod predictions;
mod several;
mod sim;
mod timer;
