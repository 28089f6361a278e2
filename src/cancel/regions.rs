//! Many regions at once: the children of a combinator that cancels the rest when one fails.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::region::Region;
use crate::context;
use crate::name::Name;
use crate::set::{Key, Set};
use crate::token::{Level, Reason};

/// Futures that are polled together, and wound down together.
pub(crate) struct Regions<F> {
    set: Set<Region<F>>,
    cancelled: bool,
    /// Some were cancelled from around: whoever did that drops this, and there is no outcome.
    doomed: bool,
}

impl<F> Regions<F> {
    pub(crate) fn new() -> Self {
        Self::of(Set::new())
    }

    fn of(set: Set<Region<F>>) -> Self {
        Regions { set, cancelled: false, doomed: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }
}

impl<F: Future> Regions<F> {
    pub(crate) fn collect(futures: impl Iterator<Item = F>) -> Self {
        Self::of(Set::collect(futures.map(Region::new)))
    }

    pub(crate) fn insert(&mut self, future: F) -> Key {
        self.set.insert(Region::new(future))
    }

    /// The next value, as [`Set::poll_next`]. What was cancelled is left out.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Key, F::Output)>> {
        context::with(|ambient| {
            loop {
                match self.set.poll_next(cx, |_, region, cx| region.poll_in(ambient, cx)) {
                    Poll::Ready(Some((key, Some(value)))) => return Poll::Ready(Some((key, value))),
                    Poll::Ready(Some((_, None))) => self.doomed |= !self.cancelled,
                    Poll::Ready(None) if self.doomed => return Poll::Pending,
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
    }

    /// Cancels all: those that need no time to end are dropped, newest slot first, before this returns.
    pub(crate) fn cancel(&mut self) {
        self.cancelled = true;
        let reason = Arc::new(Reason::Failed(Name::from("a sibling")));
        self.set.retain(|region| region.raise(Level::Cancelled, &reason));
    }
}
