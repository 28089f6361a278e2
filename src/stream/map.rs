//! Maps items to values, with a limited number of futures at a time.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::source::Feed;
use crate::engine::Set;

pin_project! {
    /// The stream of [`map_concurrent`](super::ConcurrentIterator::map_concurrent).
    #[must_use = "streams do nothing unless polled"]
    pub struct MapConcurrent<S, F, Fut: Future> {
        #[pin]
        feed: Feed<S, F>,
        running: Set<Fut>,
        // `None` if values are streamed in the order in which they come.
        order: Option<Order<Fut::Output>>,
    }
}

/// Holds values back until those of all earlier items have been streamed.
pub(super) struct Order<T> {
    /// The number of the item whose future is in each slot.
    numbers: Vec<usize>,
    /// The number of the next item to start.
    started: usize,
    /// The values of the items that have been started and not streamed, the earliest first. `None`
    /// if a future is pending.
    values: VecDeque<Option<T>>,
}

impl<T> Order<T> {
    pub(super) fn new() -> Self {
        Order { numbers: Vec::new(), started: 0, values: VecDeque::new() }
    }

    /// Notes that the future in this slot is that of the next item.
    pub(super) fn start(&mut self, slot: usize) {
        if self.numbers.len() <= slot {
            self.numbers.resize(slot + 1, 0);
        }
        self.numbers[slot] = self.started;
        self.started += 1;
        self.values.push_back(None);
    }

    /// Puts the value of the future in this slot into its place.
    pub(super) fn finish(&mut self, slot: usize, value: T) {
        let first = self.started - self.values.len();
        self.values[self.numbers[slot] - first] = Some(value);
    }

    /// Returns how many items have been started and not streamed.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Takes all values, as none of them will be streamed.
    pub(super) fn take(&mut self) -> VecDeque<Option<T>> {
        mem::take(&mut self.values)
    }

    /// Takes the next value in the order of the items, if it is there.
    pub(super) fn next(&mut self) -> Option<T> {
        let value = self.values.front_mut()?.take()?;
        self.values.pop_front();
        Some(value)
    }
}

impl<S, F, Fut> MapConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
{
    pub(super) fn new(feed: Feed<S, F>) -> Self {
        MapConcurrent { feed, running: Set::new(), order: None }
    }

    /// Streams the values in the order of the items.
    ///
    /// A value that waits for its turn counts towards the limit. So one slow future holds up at
    /// most `limit` values, and no other future starts until it has completed. This is the
    /// counterpart of `buffered`.
    ///
    /// # Panics
    ///
    /// Panics if the stream has been polled.
    ///
    /// ```
    /// use foster::{ConcurrentIterator, yield_now};
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let slow_first = (0..3).rev().map_concurrent(3, async |n| {
    ///     for _ in 0..n {
    ///         yield_now().await;
    ///     }
    ///     n
    /// });
    /// assert_eq!(slow_first.in_order().collect::<Vec<_>>().await, [2, 1, 0]);
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

    /// Returns the greatest number of futures at a time.
    pub fn limit(&self) -> usize {
        self.feed.limit()
    }

    /// Returns how many items have been started and not streamed.
    fn occupied(&self) -> usize {
        self.order.as_ref().map_or(self.running.len(), Order::len)
    }
}

impl<S, F, Fut> Stream for MapConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
{
    type Item = Fut::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fut::Output>> {
        loop {
            let occupied = self.occupied();
            let mut this = self.as_mut().project();
            this.feed.as_mut().fill(occupied, cx, |future| {
                let key = this.running.insert(future);
                if let Some(order) = this.order {
                    order.start(key.index());
                }
            });
            if let Some(value) = this.order.as_mut().and_then(Order::next) {
                return Poll::Ready(Some(value));
            }
            match (this.running.poll_next(cx, |_, future, cx| future.poll(cx)), this.order) {
                (Poll::Ready(Some((key, value))), Some(order)) => order.finish(key.index(), value),
                (Poll::Ready(Some((_, value))), None) => return Poll::Ready(Some(value)),
                (Poll::Ready(None), _) if this.feed.is_exhausted() => return Poll::Ready(None),
                (Poll::Ready(None) | Poll::Pending, _) => return Poll::Pending,
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.feed.size_hint();
        let here = self.occupied();
        (least.saturating_add(here), most.and_then(|most| most.checked_add(here)))
    }
}

impl<S, F, Fut> FusedStream for MapConcurrent<S, F, Fut>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future,
{
    fn is_terminated(&self) -> bool {
        self.feed.is_exhausted() && self.occupied() == 0
    }
}

impl<S, F, Fut: Future> fmt::Debug for MapConcurrent<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapConcurrent").field("running", &self.running.len()).finish_non_exhaustive()
    }
}
