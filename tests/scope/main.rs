//! Scopes: their children, how they fail, end and are dropped.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what some tests are about.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

mod cancel;
mod defer;
mod drops;
mod every_point;
mod failure;
mod fuzz;
mod grace;
mod job;
mod local;
mod nested;
mod options;
mod own_grace;
mod panics;
mod parallel;
mod poll;
mod races;
mod remote_child;
mod remote_child_races;
mod remote_wakers;
mod root;
mod spawn;
mod spawner;
mod stop;
mod task;
mod transfer;
mod wind_down;
