//! Locks and limits.
//!
//! Like the matrix, with which this shares its harness; in a binary of its own, which is built
//! sooner.

#[macro_use]
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../matrix/harness.rs"]
mod harness;

mod by_hand;
mod rows;
mod semaphore;
