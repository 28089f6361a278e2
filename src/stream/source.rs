//! Makes futures of the items of an iterator or a stream, up to a limit.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::context;

/// A stream of the items of an iterator, which is always ready.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct FromIterator<I> {
    iter: I,
}

impl<I> FromIterator<I> {
    pub(super) fn new(iter: I) -> Self {
        FromIterator { iter }
    }
}

impl<I> Unpin for FromIterator<I> {}

impl<I: Iterator> Stream for FromIterator<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.iter.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.iter.size_hint()
    }
}

/// How many futures are started, or items taken, before others get their turn.
pub(super) const BATCH: usize = 64;

pin_project! {
    /// A source of items, with the function that makes futures of them.
    pub(super) struct Feed<S, F> {
        // `None` when it has ended or was closed. So a queue hears at once that nobody takes items.
        #[pin]
        source: Option<S>,
        f: F,
        // The greatest number of futures at a time.
        limit: usize,
    }
}

impl<S: Stream, F> Feed<S, F> {
    #[track_caller]
    pub(super) fn new(source: S, f: F, limit: usize) -> Self {
        assert!(limit > 0, "a concurrency limit of 0 would never start anything; use 1 or more");
        Feed { source: Some(source), f, limit }
    }

    /// Returns the greatest number of futures at a time.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns whether no more futures will be started.
    pub(super) fn is_exhausted(&self) -> bool {
        self.source.is_none()
    }

    /// Takes no more items from the source, which is dropped.
    pub(super) fn close(self: Pin<&mut Self>) {
        self.project().source.set(None);
    }

    /// Starts futures and gives them to `start`, until as many as the limit run. `running` of them
    /// run already. In a cancelled region none is started, and no item is taken.
    ///
    /// If this returns before the limit or the end is reached, the waker will be woken when it
    /// should be called again. After a batch this call wakes it itself, so that the futures that
    /// were started are polled before more are.
    #[inline]
    pub(super) fn fill<Fut>(self: Pin<&mut Self>, running: usize, cx: &mut Context<'_>, mut start: impl FnMut(Fut))
    where
        F: FnMut(S::Item) -> Fut,
    {
        let mut this = self.project();
        let room = this.limit.saturating_sub(running);
        if room == 0 || this.source.is_none() || context::with(|ambient| ambient.is_tripped()) {
            return;
        }
        for _ in 0..room.min(BATCH) {
            let Some(source) = this.source.as_mut().as_pin_mut() else { return };
            match source.poll_next(cx) {
                Poll::Ready(Some(item)) => start((this.f)(item)),
                Poll::Ready(None) => this.source.set(None),
                Poll::Pending => return,
            }
        }
        if room > BATCH {
            cx.waker().wake_by_ref();
        }
    }

    /// Returns how many more items the source has, at least and at most.
    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        self.source.as_ref().map_or((0, Some(0)), Stream::size_hint)
    }
}
