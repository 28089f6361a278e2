//! The test kit: probes, cancellation at every await, and conformance for adapters.

mod cancel;
mod clock;
pub mod conformance;
mod explore;
mod failure;
#[doc(hidden)]
pub mod harness;
mod probes;
mod watch;

pub use cancel::{CancelFailure, EveryAwait, Report, cancel_at_every_await};
pub use clock::{Settle, advance, settle};
pub use explore::{Explore, Explored, explore, explore_all};
pub use failure::Failure;
pub use probes::{
    CountingWaker, DropGuard, Drops, Gate, GateWait, PollOnce, Polled, Polls, WaitingFor, poll_once, waiting_for,
};

pub use crate::runtimes::sim::{Fault, Faults, Moment, Trace};
