//! Waiting for all.

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::cancel::Regions;
use crate::set::{Key, Set};

/// Waits for all futures, and returns their values in the order of the futures. Of none, at once.
///
/// The counterpart of `asyncio.gather`, `futures::future::join_all` and `Promise.all`. Futures that are not woken are
/// not polled.
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
/// let squares = foster::gather((1..=3).map(|n| async move { n * n })).await;
/// assert_eq!(squares, [1, 4, 9]);
/// # });
/// ```
pub fn gather<I>(futures: I) -> Gather<I::Item>
where
    I: IntoIterator,
    I::Item: Future,
{
    let (futures, n) = counted(futures.into_iter());
    let mut set = Set::with_capacity(n);
    for future in futures {
        set.insert(future);
    }
    Gather { set, values: Values::new(n) }
}

/// Waits for all futures until one fails: the others are then wound down. Of none, at once.
///
/// The counterpart of `futures::future::try_join_all` and `Promise.all`, and fail-fast at any size.
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
/// let numbers = foster::try_gather(["1", "2", "x"].map(|text| async move { text.parse::<u32>() }));
/// assert!(numbers.await.is_err());
/// # });
/// ```
pub fn try_gather<I, T, E>(futures: I) -> TryGather<I::Item, T, E>
where
    I: IntoIterator,
    I::Item: Future<Output = Result<T, E>>,
{
    let (futures, n) = counted(futures.into_iter());
    let mut regions = Regions::with_capacity(n);
    for future in futures {
        regions.insert(future);
    }
    TryGather { regions, values: Values::new(n), error: None }
}

/// The items, and how many there are: a set that knows has dense keys.
fn counted<I: Iterator>(iter: I) -> (impl Iterator<Item = I::Item>, usize) {
    match iter.size_hint() {
        (least, Some(most)) if least == most => (Counted::Exact(iter), least),
        _ => {
            let items: Vec<_> = iter.collect();
            let n = items.len();
            (Counted::Collected(items.into_iter()), n)
        }
    }
}

enum Counted<I: Iterator> {
    Exact(I),
    Collected(std::vec::IntoIter<I::Item>),
}

impl<I: Iterator> Iterator for Counted<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        match self {
            Counted::Exact(iter) => iter.next(),
            Counted::Collected(items) => items.next(),
        }
    }
}

/// Values by key, as they come.
struct Values<T> {
    /// `None` once they have been given out.
    slots: Option<Vec<Option<T>>>,
}

impl<T> Values<T> {
    fn new(n: usize) -> Self {
        Values { slots: Some(std::iter::repeat_with(|| None).take(n).collect()) }
    }

    fn put(&mut self, key: Key, value: T) {
        if let Some(slots) = &mut self.slots {
            if slots.len() <= key.index() {
                // An iterator that gave more items than it said it would.
                slots.resize_with(key.index() + 1, || None);
            }
            slots[key.index()] = Some(value);
        }
    }

    /// Unlike with `flatten`, the values stay in the allocation they are in.
    #[allow(clippy::filter_map_identity)]
    fn take(&mut self) -> Vec<T> {
        let slots = self.slots.take().expect("polled after it was ready");
        slots.into_iter().filter_map(|value| value).collect()
    }
}

/// The future of [`gather`].
#[must_use = "futures do nothing unless polled"]
pub struct Gather<F: Future> {
    set: Set<F>,
    values: Values<F::Output>,
}

impl<F: Future> Unpin for Gather<F> {}

impl<F: Future> Future for Gather<F> {
    type Output = Vec<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<F::Output>> {
        let this = &mut *self;
        let values = &mut this.values;
        let polled = this.set.poll_until(cx, |key, future, cx| {
            future.poll(cx).map(|value| {
                values.put(key, value);
                ControlFlow::<()>::Continue(())
            })
        });
        ready!(polled);
        Poll::Ready(this.values.take())
    }
}

/// The future of [`try_gather`].
#[must_use = "futures do nothing unless polled"]
pub struct TryGather<F, T, E> {
    regions: Regions<F>,
    values: Values<T>,
    error: Option<E>,
}

impl<F, T, E> Unpin for TryGather<F, T, E> {}

impl<F, T, E> Future for TryGather<F, T, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<Vec<T>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Vec<T>, E>> {
        let this = &mut *self;
        while let Some((key, result)) = ready!(this.regions.poll_next(cx)) {
            match result {
                Ok(value) => this.values.put(key, value),
                Err(error) => {
                    if this.error.is_none() {
                        this.error = Some(error);
                        this.regions.cancel();
                    }
                }
            }
        }
        let values = this.values.take();
        Poll::Ready(this.error.take().map_or(Ok(values), Err))
    }
}

impl<F: Future> fmt::Debug for Gather<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("running", &self.set.len()).finish_non_exhaustive()
    }
}

impl<F, T, E> fmt::Debug for TryGather<F, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGather").field("running", &self.regions.len()).finish_non_exhaustive()
    }
}
