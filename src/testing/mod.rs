//! The test kit: probes, cancellation at every await, and conformance for adapters.

mod cancel;
pub mod conformance;
#[doc(hidden)]
pub mod harness;
mod probes;
mod watch;

pub use cancel::{CancelFailure, EveryAwait, Report, cancel_at_every_await};
pub use probes::{
    CountingWaker, DropGuard, Drops, Gate, GateWait, PollOnce, Polled, Polls, WaitingFor, poll_once, waiting_for,
};
