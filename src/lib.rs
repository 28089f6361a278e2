//! Structured concurrency for every Rust runtime: no task is orphaned.

mod blocking;
mod contain;
pub mod runtime;
#[path = "../runtimes/mod.rs"]
pub mod runtimes;
#[allow(unsafe_code, dead_code)]
mod set;
