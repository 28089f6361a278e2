//! Running a future for each item.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::map::MapConcurrent;

pin_project! {
    /// The future of [`for_each_concurrent`](super::ConcurrentIterator::for_each_concurrent).
    #[must_use = "futures do nothing unless polled"]
    pub struct ForEachConcurrent<S, F, Fut: Future> {
        #[pin]
        map: MapConcurrent<S, F, Fut>,
    }
}

impl<S, F, Fut: Future> ForEachConcurrent<S, F, Fut> {
    pub(super) fn new(map: MapConcurrent<S, F, Fut>) -> Self {
        ForEachConcurrent { map }
    }
}

impl<S, F, Fut> Future for ForEachConcurrent<S, F, Fut>
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

impl<S, F, Fut: Future> fmt::Debug for ForEachConcurrent<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ForEachConcurrent").field(&self.map).finish()
    }
}
