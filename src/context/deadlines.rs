//! The deadlines in force at one place.

use std::sync::Arc;
use std::time::Duration;

use super::list::List;
use crate::runtime::Instant;

/// How long one that would begin something after the deadline leaves the turn to whoever set that.
/// Time has to pass, because the timer of the deadline may be late, too.
pub(crate) const LATE: Duration = Duration::from_millis(1);

/// A number of nanoseconds, about 584 years, that counts as no deadline.
pub(crate) const NO_DEADLINE: u64 = u64::MAX;

/// A deadline that may be moved while the future that it guards is running.
pub(crate) trait MovableDeadline: Send + Sync {
    /// Returns the instant at which it is due, or `None` while it is switched off.
    fn due(&self) -> Option<Instant>;
}

/// The movable deadlines in force, up to the nearest shield.
pub(crate) type MovableDeadlines = List<Arc<dyn MovableDeadline>>;

/// The deadlines in force at one place.
#[derive(Clone)]
pub(crate) struct Deadlines {
    /// The earliest of the fixed ones.
    pub(super) due: Option<Instant>,
    pub(super) movable: MovableDeadlines,
}

impl Deadlines {
    pub(crate) const fn none() -> Self {
        Deadlines { due: None, movable: None }
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.due.is_none() && self.movable.is_none()
    }

    /// Returns the fixed one, and the address of the first movable one. As long as these are kept,
    /// no others have the same.
    pub(crate) fn summary(&self) -> (Option<Instant>, usize) {
        (self.due, self.movable.as_ref().map_or(0, |first| Arc::as_ptr(first).addr()))
    }
}
