//! What the timers of a simulation hold, and what is left to be done between two steps.

use std::task::Waker;
#[cfg(feature = "net")]
use std::time::Duration;

#[cfg(feature = "net")]
use super::network::{Datagram, Packet};
use crate::panic::Payload;

/// What happens at a certain time.
pub(super) enum Due {
    Wake(Waker),
    #[cfg(feature = "net")]
    Packet(Packet),
    #[cfg(feature = "net")]
    Datagram(Box<Datagram>),
    /// A packet that was lost is sent again.
    #[cfg(feature = "net")]
    Resend(Packet),
    /// The link from one host to another is repaired, if it has changed so often.
    #[cfg(feature = "net")]
    Repair(usize, usize, u64),
    /// A host restarts, if it has changed so often.
    #[cfg(feature = "net")]
    Restart(usize, u64),
}

/// What is to be done between two steps.
pub(super) enum Chore {
    /// A program has panicked that nobody waits for, and so does the run.
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    Panic(Payload),
    /// A host crashes, and restarts after this time.
    #[cfg(feature = "net")]
    Crash(usize, Duration),
    #[cfg(feature = "net")]
    Restart(usize, u64),
}
