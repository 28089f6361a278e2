//! The deadlines in force at one place.

use std::sync::Arc;

use super::list::List;
use crate::runtime::Instant;

/// A number of nanoseconds, about 584 years, that counts as no deadline.
pub(crate) const NO_DEADLINE: u64 = u64::MAX;

/// A deadline that may be moved while the future that it guards is running.
pub(crate) trait MovableDeadline: Send + Sync {
    /// Returns the instant at which it is due, or `None` while it is switched off.
    fn due(&self) -> Option<Instant>;
}

/// The movable deadlines in force, up to the nearest shield.
pub(crate) type MovableDeadlines = List<Arc<dyn MovableDeadline>>;

/// The deadlines in force at one place. The [context](super::Ambient) describes the parts.
#[derive(Clone)]
pub(crate) struct Deadlines {
    pub(super) due: Option<Instant>,
    pub(super) due_after: u64,
    pub(super) movable: MovableDeadlines,
}

impl Deadlines {
    pub(crate) const fn none() -> Self {
        Deadlines { due: None, due_after: NO_DEADLINE, movable: None }
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.due.is_none() && self.due_after == NO_DEADLINE && self.movable.is_none()
    }
}
