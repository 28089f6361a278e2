//! The combinators on streams.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what some tests are about.
#![allow(unsafe_code)] // A waker with a will of its own.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

#[allow(dead_code, reason = "another program has this file for what waits")]
#[path = "../support/faulty_wakers.rs"]
mod faulty;

mod adapters;
mod ext;
mod generator;
mod in_scope;
mod map;
mod merge;
mod time;
mod try_map;
