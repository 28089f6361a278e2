//! Runs a future for each item, and keeps some of the values or none.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::map::MapConcurrent;

pin_project! {
    /// The future of [`each_concurrent`](super::ConcurrentIterator::each_concurrent).
    #[must_use = "futures do nothing unless polled"]
    pub struct EachConcurrent<S, F, Fut: Future> {
        #[pin]
        map: MapConcurrent<S, F, Fut>,
    }
}

impl<S, F, Fut: Future> EachConcurrent<S, F, Fut> {
    pub(super) fn new(map: MapConcurrent<S, F, Fut>) -> Self {
        EachConcurrent { map }
    }
}

impl<S, F, Fut> Future for EachConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = ()>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut map = self.project().map;
        while ready!(map.as_mut().poll_next(cx)).is_some() {}
        Poll::Ready(())
    }
}

impl<S, F, Fut: Future> fmt::Debug for EachConcurrent<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EachConcurrent").field(&self.map).finish()
    }
}

pin_project! {
    /// The stream of [`filter_map_concurrent`](super::ConcurrentIterator::filter_map_concurrent).
    #[must_use = "streams do nothing unless polled"]
    pub struct FilterMapConcurrent<S, F, Fut: Future> {
        #[pin]
        map: MapConcurrent<S, F, Fut>,
    }
}

impl<S, F, Fut, T> FilterMapConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Option<T>>,
{
    pub(super) fn new(map: MapConcurrent<S, F, Fut>) -> Self {
        FilterMapConcurrent { map }
    }

    /// Streams the values in the order of the items. See [`MapConcurrent::in_order`].
    ///
    /// # Panics
    ///
    /// Panics if the stream has been polled.
    #[track_caller]
    pub fn in_order(self) -> Self {
        FilterMapConcurrent { map: self.map.in_order() }
    }
}

impl<S, F, Fut, T> Stream for FilterMapConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Option<T>>,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut map = self.project().map;
        loop {
            match ready!(map.as_mut().poll_next(cx)) {
                Some(Some(value)) => return Poll::Ready(Some(value)),
                Some(None) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<S, F, Fut, T> FusedStream for FilterMapConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Option<T>>,
{
    fn is_terminated(&self) -> bool {
        self.map.is_terminated()
    }
}

impl<S, F, Fut: Future> fmt::Debug for FilterMapConcurrent<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilterMapConcurrent").field(&self.map).finish()
    }
}
