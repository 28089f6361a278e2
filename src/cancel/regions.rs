//! Winds down several futures: the members of a combinator that cancels the rest when one of them
//! is ready or fails.

use std::future::Future;
use std::mem::needs_drop;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::region::Region;
use crate::cancel::reason::Siblings;
use crate::cancel::token::Level;
use crate::context::{self, Ending};
use crate::engine::{Many, Room, Set, Store};

pin_project! {
    /// Futures that are polled together, and wound down together.
    ///
    /// Once all are gone, [`poll_next`](Regions::poll_next) returns `None` if they completed or
    /// were cancelled by [`cancel`](Regions::cancel), and stays pending if the enclosing region was
    /// cancelled.
    pub(crate) struct Regions<K: Room, F> {
        #[pin]
        store: K::Store<Region<F>>,
        // Whether `cancel` was called.
        cancelled: bool,
        // Whether a member was dropped because the enclosing region is cancelled. Then there is no
        // outcome, and whoever cancelled that region drops this.
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
    /// Makes one of members that are regions already.
    #[inline]
    pub(crate) fn of(store: K::Store<Region<F>>) -> Self {
        Regions { store, cancelled: false, doomed: false }
    }

    /// Returns how many futures have not ended.
    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }
}

impl<K: Room, F: Future> Regions<K, F> {
    /// Returns whether all futures have ended.
    pub(crate) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// Waits for the next value, and returns it with the index of its future. Futures that were
    /// dropped are left out.
    #[inline]
    pub(crate) fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<(usize, F::Output)>> {
        self.poll_until(cx, |index, value| Some((index, value)))
    }

    /// Waits until `each` returns something for a value and for the index of its future. Futures
    /// that were dropped are left out.
    ///
    /// `each` is called in the context of the regions. So it drops nothing and wakes nobody.
    #[inline]
    pub(crate) fn poll_until<B>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut each: impl FnMut(usize, F::Output) -> Option<B>,
    ) -> Poll<Option<B>> {
        let mut this = self.project();
        if this.store.is_empty() {
            return if *this.doomed { Poll::Pending } else { Poll::Ready(None) };
        }
        context::with(|ambient| {
            let mut entered = ambient.enter_all();
            let polled = this.store.as_mut().poll_until(cx, |index, region, cx| {
                Poll::Ready(match ready!(region.poll_within(&mut entered, cx)) {
                    Some(value) => each(index, value),
                    None => {
                        *this.doomed |= !*this.cancelled;
                        None
                    }
                })
            });
            if matches!(polled, Poll::Ready(None)) && *this.doomed { Poll::Pending } else { polled }
        })
    }

    /// Cancels all futures, because of what their siblings did, and drops those without holds, the
    /// newest first, before this returns.
    ///
    /// `because` is a function without captures. A value would have to be kept on the stack,
    /// because it lives across calls that may unwind.
    #[inline]
    pub(crate) fn cancel(self: Pin<&mut Self>, because: impl Fn() -> Siblings) {
        let this = self.project();
        *this.cancelled = true;
        let keep = |region: Pin<&mut Region<F>>| {
            region.token().is_some() && region.raise(Level::Cancelled, because().reason())
        };
        if needs_drop::<F>() {
            let _why = Ending::of_siblings(because());
            // In no region, because the enclosing one may be cancelled, too, and their destructors
            // may use what does not start there.
            context::outside(|| this.store.retain(keep));
        } else {
            this.store.retain(keep);
        }
    }
}
