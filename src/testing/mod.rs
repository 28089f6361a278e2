//! The test kit: probes for tests.

mod probes;

pub use probes::{CountingWaker, DropGuard, Drops, Gate, GateWait, PollOnce, Polled, Polls, poll_once};
