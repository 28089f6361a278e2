//! Waiting for all.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::members::{Futures, TryFutures};
use crate::cancel::Regions;
use crate::set::{Answer, Set};

/// Waits for all futures, and returns their values in the order of the futures. Of none, at once.
///
/// Takes a tuple, and returns one; or anything that iterates over futures, and returns a `Vec`. The counterpart of
/// `asyncio.gather`, `futures::join!`, `join_all` and `Promise.all`. Futures that are not woken are not polled.
///
/// # Cancellation
///
/// Dropping it drops the futures, the newest first.
///
/// # Panics
///
/// When polled after it was ready.
///
/// # Cost
///
/// One allocation for each 64 futures, and one for the values.
///
/// ```
/// # futures::executor::block_on(async {
/// let squares = foster::gather((1..=3).map(async |n| { n * n })).await;
/// assert_eq!(squares, [1, 4, 9]);
///
/// let (number, text) = foster::gather((async { 7 }, async { "seven" })).await;
/// assert_eq!((number, text), (7, "seven"));
/// # });
/// ```
pub fn gather<Shape, G: Futures<Shape>>(futures: G) -> Gather<G::Member, G::Values> {
    let set = Set::collect(futures.members());
    let values = Values::new(set.len());
    Gather { set, values, shape: G::values }
}

/// Waits for all futures until one fails: the others are then wound down. Of none, at once.
///
/// Takes a tuple, and returns one; or anything that iterates over futures, and returns a `Vec`. The counterpart of
/// `futures::try_join!`, `try_join_all` and `Promise.all`, and fail-fast at any size.
///
/// # Errors
///
/// The first error, when everything else has ended.
///
/// # Cancellation
///
/// After an error, futures that need no time to end are dropped, the newest first; the rest is waited for. Dropping it
/// drops the futures.
///
/// # Panics
///
/// When polled after it was ready.
///
/// ```
/// # futures::executor::block_on(async {
/// let numbers = foster::try_gather(["1", "2", "x"].map(async |text| { text.parse::<u32>() }));
/// assert!(numbers.await.is_err());
///
/// let both = foster::try_gather((async { Ok::<_, String>(7) }, async { Ok("seven") }));
/// assert_eq!(both.await, Ok((7, "seven")));
/// # });
/// ```
pub fn try_gather<Shape, G: TryFutures<Shape>>(futures: G) -> TryGather<G::Member, G::Value, G::Error, G::Values> {
    let regions = Regions::collect(futures.members());
    let values = Values::new(regions.len());
    TryGather { regions, values, error: None, shape: G::values }
}

/// Waits for all futures, whether they fail or not, and returns all results in the order of the futures.
///
/// What [`gather`] does, for futures that may fail, by a name that says so; and where a tuple's or a collection's are
/// not results it does not compile. The counterpart of `asyncio.gather(return_exceptions=True)` and
/// `Promise.allSettled`.
///
/// # Cancellation
///
/// As for [`gather`].
///
/// ```
/// # futures::executor::block_on(async {
/// let results = foster::settle(["1", "x"].map(async |text| { text.parse::<u32>() })).await;
/// assert!(results[0].is_ok() && results[1].is_err());
/// # });
/// ```
pub fn settle<Shape, G>(futures: G) -> Gather<<G as Futures<Shape>>::Member, <G as Futures<Shape>>::Values>
where
    G: Futures<Shape> + TryFutures<Shape>,
{
    gather(futures)
}

/// Values by key, as they come.
pub(super) struct Values<T> {
    /// `None` once they have been given out.
    slots: Option<Vec<Option<T>>>,
}

impl<T> Values<T> {
    pub(super) fn new(n: usize) -> Self {
        Values { slots: Some(std::iter::repeat_with(|| None).take(n).collect()) }
    }

    pub(super) fn put(&mut self, index: usize, value: T) {
        if let Some(slots) = &mut self.slots {
            if slots.len() <= index {
                // An iterator that gave more items than it said it would.
                slots.resize_with(index + 1, || None);
            }
            slots[index] = Some(value);
        }
    }

    /// The values that have come, in the members' order. Unlike with `flatten`, they stay in the allocation they are in.
    #[allow(clippy::filter_map_identity)]
    pub(super) fn take(&mut self) -> Vec<T> {
        let slots = self.slots.take().expect("polled after it was ready");
        slots.into_iter().filter_map(|value| value).collect()
    }
}

/// The future of [`gather`] and [`settle`].
#[must_use = "futures do nothing unless polled"]
pub struct Gather<M: Future, V = Vec<<M as Future>::Output>> {
    set: Set<M>,
    values: Values<M::Output>,
    /// Makes of the values what the futures were in: a tuple, or a `Vec`.
    shape: fn(Vec<M::Output>) -> V,
}

impl<M: Future, V> Unpin for Gather<M, V> {}

impl<M: Future, V> Future for Gather<M, V> {
    type Output = V;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        let this = &mut *self;
        let values = &mut this.values;
        let polled = this.set.poll_until(cx, |key, future, cx| {
            future.poll(cx).map(|value| {
                values.put(key.index(), value);
                Answer::<()>::Done
            })
        });
        ready!(polled);
        Poll::Ready((this.shape)(this.values.take()))
    }
}

/// The future of [`try_gather`].
#[must_use = "futures do nothing unless polled"]
pub struct TryGather<M, T, E, V = Vec<T>> {
    regions: Regions<M>,
    values: Values<T>,
    error: Option<E>,
    /// As in [`Gather`].
    shape: fn(Vec<T>) -> V,
}

impl<M, T, E, V> Unpin for TryGather<M, T, E, V> {}

impl<M, T, E, V> Future for TryGather<M, T, E, V>
where
    M: Future<Output = Result<T, E>>,
{
    type Output = Result<V, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, E>> {
        let this = &mut *self;
        while let Some((key, result)) = ready!(this.regions.poll_next(cx)) {
            match result {
                Ok(value) => this.values.put(key.index(), value),
                Err(error) => {
                    if this.error.is_none() {
                        this.error = Some(error);
                        this.regions.cancel();
                    }
                }
            }
        }
        let values = this.values.take();
        Poll::Ready(match this.error.take() {
            Some(error) => Err(error),
            None => Ok((this.shape)(values)),
        })
    }
}

impl<M: Future, V> fmt::Debug for Gather<M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("running", &self.set.len()).finish_non_exhaustive()
    }
}

impl<M, T, E, V> fmt::Debug for TryGather<M, T, E, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGather").field("running", &self.regions.len()).finish_non_exhaustive()
    }
}
