//! What the state leaves to be done without the lock.

use std::sync::Arc;

use super::Manager;
use super::error::GetCause;
use super::group::Stored;
use crate::runtime::Instant;

/// What is to be done without the lock, in a task of the pool. Those with a group have a place.
pub(super) enum Errand<M: Manager> {
    /// Creates a resource, but not before `at`, and after `evicted` is closed, whose place it has.
    Create {
        group: usize,
        manager: Arc<M>,
        at: Option<Instant>,
        evicted: Option<Evicted<M>>,
    },
    Check {
        group: usize,
        stored: Box<Stored<M>>,
    },
    Reset {
        group: usize,
        stored: Box<Stored<M>>,
    },
    Close {
        group: usize,
        stored: Box<Stored<M>>,
    },
    /// Closes what is idle for too long, as long as there are resources.
    Reap {
        number: u64,
    },
    /// Drops an error.
    Drop {
        cause: GetCause<M::Error>,
    },
}

/// A resource whose place is another group's. Its own group counts it until it is closed.
pub(super) struct Evicted<M: Manager> {
    pub(super) group: usize,
    pub(super) stored: Box<Stored<M>>,
}

/// As what a place is counted that a task has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceUse {
    Creating,
    Checking,
    /// Being reset or closed.
    Leaving,
}
