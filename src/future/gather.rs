//! Waits for all of several futures.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::inputs::{Futures, TryFutures};
use crate::cancel::reason::Siblings;
use crate::cancel::{Region, Regions};
use crate::engine::{Room, Slots, Store};

/// Waits for all futures, and returns their values in the order of the futures.
///
/// It takes a tuple and returns a tuple, takes an array and returns an array, or takes a collection
/// or an iterator and returns a `Vec`. If there are no futures, it returns at once. An `Err` is a
/// value like others and cancels nothing. To stop at the first error, use [`try_gather`]. This is
/// the counterpart of `asyncio.gather`, `futures::join!`, `join_all` and `Promise.all`.
///
/// # Cancellation
///
/// Dropping this drops the futures, the newest first, and the values that there are.
///
/// # Panics
///
/// Panics if it is polled after it was ready.
///
/// # Cost
///
/// For a tuple, or an array of up to twelve: no allocation. All pending futures are polled when one
/// is woken. They lie side by side, each in the space of the largest. So box one that is much
/// larger than the others.
///
/// For more futures: one allocation for each 64 futures, and one for the values. Only futures that
/// are woken are polled.
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
#[inline]
pub fn gather<Shape, G: Futures<Shape>>(futures: G) -> Gather<G::Room, G::Member, G::Values> {
    let store = futures.place(|future| future);
    let values = Slots::new(store.len());
    Gather { store, values, completed: false, shape: G::values }
}

/// Waits for all futures until one fails, and then winds the others down.
///
/// It takes and returns what [`gather`] does, at the same cost. If there are no futures, it returns
/// at once. The first failure ends it, whatever the number of futures. This is the counterpart of
/// `futures::try_join!` and `try_join_all`.
///
/// # Errors
///
/// Returns the first error, when all other futures have ended.
///
/// # Cancellation
///
/// After an error, futures that need no time to end are dropped, the newest first, and the rest is
/// waited for. [`cancel`](crate::cancel) explains this. Dropping it drops the futures.
///
/// # Panics
///
/// Panics if it is polled after it was ready.
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
#[allow(clippy::type_complexity)] // One parameter for each thing that it holds.
#[inline]
pub fn try_gather<Shape, G: TryFutures<Shape>>(
    futures: G,
) -> TryGather<G::Room, G::Member, G::Value, G::Error, G::Values> {
    let regions = Regions::of(futures.place(Region::new));
    let values = Slots::new(regions.len());
    TryGather { regions, values, error: None, completed: false, shape: G::values }
}

pin_project! {
    /// The future of [`gather`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Gather<K: Room, M: Future, V> {
        #[pin]
        store: K::Store<M>,
        values: K::Slots<M::Output>,
        completed: bool,
        // Makes of the values what the futures were in: a tuple, an array or a `Vec`.
        shape: fn(&mut K::Slots<M::Output>) -> V,
    }
}

impl<K: Room, M: Future, V> Future for Gather<K, M, V> {
    type Output = V;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        let this = self.project();
        assert!(!*this.completed, "a gather was polled after it was ready");
        let polled = this.store.poll_until(cx, |index, future, cx| {
            future.poll(cx).map(|value| {
                this.values.put(index, value);
                None::<()>
            })
        });
        ready!(polled);
        *this.completed = true;
        Poll::Ready((this.shape)(this.values))
    }
}

pin_project! {
    /// The future of [`try_gather`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TryGather<K: Room, M, T, E, V> {
        #[pin]
        regions: Regions<K, M>,
        values: K::Slots<T>,
        error: Option<E>,
        completed: bool,
        // Makes of the values what the futures were in: a tuple, an array or a `Vec`.
        shape: fn(&mut K::Slots<T>) -> V,
    }
}

impl<K: Room, M, T, E, V> Future for TryGather<K, M, T, E, V>
where
    M: Future<Output = Result<T, E>>,
{
    type Output = Result<V, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V, E>> {
        let mut this = self.project();
        assert!(!*this.completed, "a try_gather was polled after it was ready");
        loop {
            let polled = this.regions.as_mut().poll_until(cx, |index, result| match result {
                Ok(value) => {
                    this.values.put(index, value);
                    None
                }
                Err(error) => Some(error),
            });
            let Some(error) = ready!(polled) else { break };
            if this.error.is_none() {
                *this.error = Some(error);
                this.regions.as_mut().cancel(|| Siblings::Failed);
            }
        }
        *this.completed = true;
        Poll::Ready(match this.error.take() {
            Some(error) => {
                *this.values = Slots::new(0);
                Err(error)
            }
            None => Ok((this.shape)(this.values)),
        })
    }
}

impl<K: Room, M: Future, V> fmt::Debug for Gather<K, M, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("running", &self.store.len()).finish_non_exhaustive()
    }
}

impl<K: Room, M, T, E, V> fmt::Debug for TryGather<K, M, T, E, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGather").field("running", &self.regions.len()).finish_non_exhaustive()
    }
}
