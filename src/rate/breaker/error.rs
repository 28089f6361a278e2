//! Why a call was not let through.

use std::fmt;
use std::time::Duration;

/// The error of a [`CircuitBreaker`](super::CircuitBreaker): the circuit is open, and the call was
/// not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitOpen {
    is_probing: bool,
    wait: Option<Duration>,
}

impl CircuitOpen {
    pub(super) fn until(wait: Option<Duration>) -> Self {
        CircuitOpen { is_probing: false, wait }
    }

    pub(super) fn probing() -> Self {
        CircuitOpen { is_probing: true, wait: None }
    }

    /// Returns true if the circuit is half open, and all the probes that there may be are under
    /// way.
    pub fn is_probing(&self) -> bool {
        self.is_probing
    }

    /// Returns how long it is until a call is let through again, such as for
    /// [`Retry::after`](crate::retry::Retry::after).
    ///
    /// Returns `None` if nobody knows: probes are under way, or the circuit is open for ever.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.wait {
            _ if self.is_probing => f.write_str("the circuit is half open; try again when its probes have ended"),
            Some(wait) => write!(f, "the circuit is open; try again in {wait:?}"),
            None => f.write_str("the circuit is open until it is closed by hand"),
        }
    }
}

impl std::error::Error for CircuitOpen {}
