//! Mapping to futures that may fail, with a limited number of them at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::feed::Feed;
use crate::cancel::Regions;
use crate::set::Many;

pin_project! {
    /// The stream of [`try_map_concurrent`](super::ConcurrentIterator::try_map_concurrent).
    #[must_use = "streams do nothing unless polled"]
    pub struct TryMapConcurrent<S, F, Fut, E> {
        #[pin]
        feed: Feed<S, F>,
        running: Regions<Many, Fut>,
        error: Option<E>,
    }
}

impl<S, F, Fut, T, E> TryMapConcurrent<S, F, Fut, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    pub(super) fn new(feed: Feed<S, F>) -> Self {
        TryMapConcurrent { feed, running: Regions::new(), error: None }
    }
}

impl<S, F, Fut, T, E> Stream for TryMapConcurrent<S, F, Fut, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        let mut this = self.project();
        loop {
            let running = this.running.len();
            this.feed.as_mut().fill(running, cx, |future| {
                this.running.insert(future);
            });
            match Pin::new(&mut *this.running).poll_next(cx) {
                // What still comes while the others are wound down comes too late.
                Poll::Ready(Some(_)) if this.error.is_some() => {}
                Poll::Ready(Some((_, Ok(value)))) => return Poll::Ready(Some(Ok(value))),
                Poll::Ready(Some((_, Err(error)))) => {
                    *this.error = Some(error);
                    this.feed.as_mut().close();
                    Pin::new(&mut *this.running).cancel();
                }
                Poll::Ready(None) if this.feed.is_exhausted() => return Poll::Ready(this.error.take().map(Err)),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S, F, Fut, T, E> FusedStream for TryMapConcurrent<S, F, Fut, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    fn is_terminated(&self) -> bool {
        self.feed.is_exhausted() && self.running.len() == 0 && self.error.is_none()
    }
}

impl<S, F, Fut, E> fmt::Debug for TryMapConcurrent<S, F, Fut, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryMapConcurrent").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`try_for_each_concurrent`](super::ConcurrentIterator::try_for_each_concurrent).
    #[must_use = "futures do nothing unless polled"]
    pub struct TryForEachConcurrent<S, F, Fut, E> {
        #[pin]
        map: TryMapConcurrent<S, F, Fut, E>,
    }
}

impl<S, F, Fut, E> TryForEachConcurrent<S, F, Fut, E> {
    pub(super) fn new(map: TryMapConcurrent<S, F, Fut, E>) -> Self {
        TryForEachConcurrent { map }
    }
}

impl<S, F, Fut, E> Future for TryForEachConcurrent<S, F, Fut, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut map = self.project().map;
        while let Some(result) = ready!(map.as_mut().poll_next(cx)) {
            if result.is_err() {
                return Poll::Ready(result);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S, F, Fut, E> fmt::Debug for TryForEachConcurrent<S, F, Fut, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryForEachConcurrent").field(&self.map).finish()
    }
}
