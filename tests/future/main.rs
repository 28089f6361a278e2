//! The combinators on futures.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what some tests are about.
#![allow(unsafe_code)] // An allocator that counts.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

mod as_completed;
mod batcher;
mod ext;
mod few;
mod gather;
mod hedge;
mod members;
mod race;
mod select;
mod shuffle;
mod singleflight;
