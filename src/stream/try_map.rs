//! Maps items to values that may be errors, with a limited number of futures at a time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::map::Order;
use super::source::Feed;
use crate::cancel::Regions;
use crate::cancel::reason::Siblings;
use crate::engine::Many;
use crate::panic::contain;

pin_project! {
    /// The stream of [`try_map_concurrent`](super::ConcurrentIterator::try_map_concurrent).
    #[must_use = "streams do nothing unless polled"]
    pub struct TryMapConcurrent<S, F, Fut, T, E> {
        #[pin]
        feed: Feed<S, F>,
        running: Regions<Many, Fut>,
        // `None` if values are streamed in the order in which they come.
        order: Option<Order<T>>,
        // The first error, until the others have ended.
        error: Option<E>,
    }
}

impl<S, F, Fut, T, E> TryMapConcurrent<S, F, Fut, T, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    pub(super) fn new(feed: Feed<S, F>) -> Self {
        TryMapConcurrent { feed, running: Regions::new(), order: None, error: None }
    }

    /// Streams the values in the order of the items.
    ///
    /// A value that waits for its turn counts towards the limit. An error does not wait. When a
    /// future fails, the others are [wound down](crate::cancel), values that wait for their turn
    /// are dropped, and the stream ends with the error. This is the counterpart of `try_buffered`.
    ///
    /// # Panics
    ///
    /// Panics if the stream has been polled.
    ///
    /// ```
    /// use foster::{ConcurrentIterator, yield_now};
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let slow_first = (0..3).rev().try_map_concurrent(3, async |n| {
    ///     for _ in 0..n {
    ///         yield_now().await;
    ///     }
    ///     Ok::<_, ()>(n)
    /// });
    /// assert_eq!(slow_first.in_order().try_collect::<Vec<_>>().await, Ok(vec![2, 1, 0]));
    /// # });
    /// ```
    #[track_caller]
    pub fn in_order(mut self) -> Self {
        assert!(
            self.running.is_empty() && !self.feed.is_exhausted(),
            "the order is to be chosen before the first poll"
        );
        self.order = Some(Order::new());
        self
    }

    /// Returns how many items have been started and not streamed.
    fn occupied(&self) -> usize {
        self.order.as_ref().map_or(self.running.len(), Order::len)
    }
}

impl<S, F, Fut, T, E> Stream for TryMapConcurrent<S, F, Fut, T, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        loop {
            let occupied = self.occupied();
            let mut this = self.as_mut().project();
            this.feed.as_mut().fill(occupied, cx, |future| {
                let slot = this.running.insert(future);
                if let Some(order) = this.order {
                    order.start(slot);
                }
            });
            if let Some(value) = this.order.as_mut().and_then(Order::next) {
                return Poll::Ready(Some(Ok(value)));
            }
            match Pin::new(&mut *this.running).poll_next(cx) {
                // Another result that comes while the others are wound down is dropped.
                Poll::Ready(Some(_)) if this.error.is_some() => {}
                Poll::Ready(Some((slot, Ok(value)))) => match this.order {
                    Some(order) => order.finish(slot, value),
                    None => return Poll::Ready(Some(Ok(value))),
                },
                Poll::Ready(Some((_, Err(error)))) => {
                    *this.error = Some(error);
                    // The values are taken before `cancel` drops futures, and are dropped after it.
                    // So values and futures are all dropped, even if a destructor panics.
                    let late = this.order.as_mut().map(Order::take);
                    Pin::new(&mut *this.running).cancel(|| Siblings::Failed);
                    // A panic of the source's destructor keeps nobody from being wound down.
                    contain(|| this.feed.as_mut().close());
                    drop(late);
                }
                Poll::Ready(None) if this.feed.is_exhausted() => return Poll::Ready(this.error.take().map(Err)),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S, F, Fut, T, E> FusedStream for TryMapConcurrent<S, F, Fut, T, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    fn is_terminated(&self) -> bool {
        self.feed.is_exhausted() && self.running.is_empty() && self.occupied() == 0 && self.error.is_none()
    }
}

impl<S, F, Fut, T, E> fmt::Debug for TryMapConcurrent<S, F, Fut, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryMapConcurrent").field("running", &self.running.len()).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`try_each_concurrent`](super::ConcurrentIterator::try_each_concurrent).
    #[must_use = "futures do nothing unless polled"]
    pub struct TryEachConcurrent<S, F, Fut, E> {
        #[pin]
        map: TryMapConcurrent<S, F, Fut, (), E>,
    }
}

impl<S, F, Fut, E> TryEachConcurrent<S, F, Fut, E> {
    pub(super) fn new(map: TryMapConcurrent<S, F, Fut, (), E>) -> Self {
        TryEachConcurrent { map }
    }
}

impl<S, F, Fut, E> Future for TryEachConcurrent<S, F, Fut, E>
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

impl<S, F, Fut, E> fmt::Debug for TryEachConcurrent<S, F, Fut, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryEachConcurrent").field(&self.map).finish()
    }
}
