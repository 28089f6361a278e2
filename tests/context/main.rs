//! Time, and what a future finds around it: timers, deadlines, regions, and the runtime in force.
//!
//! Like the matrix, with which this shares its harness; in a binary of its own, which is built sooner.

#![allow(clippy::async_yields_async)] // A task that leaves its scope is what some tests are about.

#[macro_use]
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../support/harness.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../support/probes.rs"]
mod probes;

mod bare;
mod deadlines;
mod hang_up;
mod inheritance;
mod predictions;
mod regions;
mod spawners;
mod timers;
