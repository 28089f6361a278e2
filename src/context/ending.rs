//! Says why things are being dropped, so that the tasks of scopes among them can report it.

use std::sync::Arc;

use super::with;
use crate::cancel::reason::{Cause, Moment, Siblings};

/// Why things are being dropped.
pub(super) enum Why {
    /// Their siblings have won, or one has failed. Nothing is counted for this, since it is the end
    /// of each race.
    Siblings(Siblings, Moment),
    Other(Cause),
}

impl Why {
    pub(super) fn cause(&self) -> Cause {
        match self {
            Why::Siblings(siblings, at) => Cause { at: *at, reason: Arc::clone(siblings.reason()) },
            Why::Other(cause) => cause.clone(),
        }
    }
}

/// Guard that sets why things are being dropped, until it is dropped itself.
pub(crate) struct Ending {
    before: Option<Why>,
}

impl Ending {
    pub(crate) fn new(cause: Cause) -> Self {
        Self::of(Why::Other(cause))
    }

    /// Sets the cause that [`Siblings`] are now.
    #[inline]
    pub(crate) fn of_siblings(siblings: Siblings) -> Self {
        Self::of(Why::Siblings(siblings, Moment::now()))
    }

    #[inline]
    fn of(why: Why) -> Self {
        Ending { before: with(|ambient| ambient.ending.replace(Some(why))) }
    }
}

impl Drop for Ending {
    #[inline]
    fn drop(&mut self) {
        let before = self.before.take();
        drop(with(|ambient| ambient.ending.replace(before)));
    }
}
