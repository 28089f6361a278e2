//! Many regions at once: the children of a combinator that cancels the rest when one fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::region::Region;
use crate::context::{self, Ending};
use crate::name::Name;
use crate::set::{Many, Room, Set, Store};
use crate::token::{Level, Reason};

pin_project! {
    /// Futures that are polled together, and wound down together.
    pub(crate) struct Regions<K: Room, F> {
        #[pin]
        store: K::Store<Region<F>>,
        cancelled: bool,
        // Some were cancelled from outside: whoever did that drops this, and there is no outcome.
        doomed: bool,
    }
}

impl<F> Regions<Many, F> {
    pub(crate) fn new() -> Self {
        Self::of(Set::new())
    }
}

impl<F: Future> Regions<Many, F> {
    /// Adds a future, and returns its index.
    pub(crate) fn insert(&mut self, future: F) -> usize {
        self.store.insert(Region::new(future)).index()
    }
}

impl<K: Room, F> Regions<K, F> {
    /// Those of members that are [regions](Region) in a room.
    #[inline]
    pub(crate) fn of(store: K::Store<Region<F>>) -> Self {
        Regions { store, cancelled: false, doomed: false }
    }

    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }
}

impl<K: Room, F: Future> Regions<K, F> {
    /// The next value, and whose it is, as [`Store::poll_until`]. What was cancelled is left out.
    #[inline]
    pub(crate) fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(usize, F::Output)>> {
        let mut this = self.project();
        if this.store.len() == 0 {
            return if *this.doomed { Poll::Pending } else { Poll::Ready(None) };
        }
        context::with(|ambient| {
            let mut entered = ambient.enter_all();
            let polled = this.store.as_mut().poll_until(cx, |index, region, cx| {
                region.poll_within(&mut entered, cx).map(|value| {
                    *this.doomed |= value.is_none() && !*this.cancelled;
                    value.map(|value| (index, value))
                })
            });
            if matches!(polled, Poll::Ready(None)) && *this.doomed { Poll::Pending } else { polled }
        })
    }

    /// Cancels all: those that need no time to end are dropped, the newest first, before this returns.
    pub(crate) fn cancel(self: Pin<&mut Self>) {
        static REASON: LazyLock<Arc<Reason>> = LazyLock::new(|| Arc::new(Reason::Failed(Name::from("a sibling"))));
        let this = self.project();
        *this.cancelled = true;
        let _why = Ending::new(&REASON);
        this.store.retain(|region| region.raise(Level::Cancelled, &REASON));
    }
}
