//! The contract, on every runtime.
//!
//! A test is written once, inside `matrix!`, which gives it the attribute `#[foster::test]`: it becomes `name::tokio`,
//! `name::tokio_multi`, `name::smol`, `name::async_std`, `name::basic` and `name::sim`; inside `sim!` it becomes `name::sim`
//! alone, for what needs exact instants. Its name is a sentence; the rows of the contract that it stands for are named in a
//! comment (`C002`).

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what many tests are about.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/probes.rs"]
mod probes;

mod anyio;
mod blocking;
mod bounded_waits;
mod concurrency;
mod deadlines;
mod drops;
mod elsewhere;
mod elsewhere_races;
mod every_point;
mod futures;
mod fuzz;
mod gather_wait;
mod generators;
mod graces;
mod hostile;
mod intervals;
mod members;
mod nurseries;
mod own_ends;
mod parallel;
mod parallel_children;
mod roots;
mod rust_only;
mod scopes;
mod streams;
mod task_groups;
mod timeouts;
mod tokens;
mod trio_timeouts;
mod two_runtimes;
mod virtual_clock;
mod wind_down;
