//! Waits for the first of several futures, or for the first few.

use std::fmt;
use std::future::Future;
use std::mem::{self, needs_drop};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::inputs::{AlikeFutures, in_order};
use crate::cancel::reason::Siblings;
use crate::cancel::{Region, Regions};
use crate::engine::{Many, Room, Slots};

/// Waits for the first future that completes, returns its value, and winds the others down.
///
/// If several are ready in one poll, one of them wins, and the values of the others are dropped. In
/// the first poll it is the first of them, so a race in a loop prefers the futures that come first.
/// This is the counterpart of Trio's and anyio's pattern of cancelling the losers, of
/// `futures::select_all` and of `Promise.race`.
///
/// For outputs of different types, and in loops, use [`select!`](crate::select). For futures that
/// may fail, use [`race_ok`].
///
/// # Cancellation
///
/// Losers that need no time to end are dropped, the newest first, and the rest is waited for.
/// [`cancel`](crate::cancel) explains this. Dropping the race drops the futures.
///
/// # Panics
///
/// Panics if there are no futures, since none could ever be first, and if it is polled after it was
/// ready.
///
/// # Cost
///
/// The same as for [`gather`](crate::gather).
///
/// ```
/// # futures::executor::block_on(async {
/// let first = foster::race((std::future::pending(), async { 7 })).await;
/// assert_eq!(first, 7);
/// # });
/// ```
#[track_caller]
#[inline]
pub fn race<Shape, G: AlikeFutures<Shape>>(futures: G) -> Race<G::Room, G::Member> {
    let Some(race) = Race::of(Regions::of(futures.place(Region::new))) else {
        panic!("a race of no futures has no winner")
    };
    race
}

pin_project! {
    /// The future of [`race`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Race<K: Room, M: Future> {
        #[pin]
        regions: Regions<K, M>,
        winner: Option<M::Output>,
        completed: bool,
    }
}

impl<K: Room, M: Future> Race<K, M> {
    /// Makes a race of regions. Returns `None` if there are none.
    #[inline]
    pub(super) fn of(regions: Regions<K, M>) -> Option<Self> {
        (!regions.is_empty()).then_some(Race { regions, winner: None, completed: false })
    }
}

impl<M: Future> Race<Many, M> {
    /// Makes a race that has no members yet, and stays pending until it has.
    pub(super) fn empty() -> Self {
        Race { regions: Regions::new(), winner: None, completed: false }
    }

    /// Adds a member. Once there is a winner, nobody would cancel it.
    pub(super) fn join(&mut self, member: M) {
        self.regions.insert(member);
    }

    /// Returns whether there is a winner. The others may still be ending.
    pub(super) fn has_winner(&self) -> bool {
        self.winner.is_some()
    }
}

impl<K: Room, M: Future> Future for Race<K, M> {
    type Output = M::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Output> {
        let mut this = self.project();
        assert!(!*this.completed, "a race was polled after it was ready");
        while let Some(value) = ready!(this.regions.as_mut().poll_until(cx, |_, value| Some(value))) {
            if this.winner.is_none() {
                this.regions.as_mut().cancel(|| Siblings::Won);
                if this.regions.is_empty() {
                    // Returned from where it is, since it costs to move it.
                    *this.completed = true;
                    return Poll::Ready(value);
                }
                *this.winner = Some(value);
            }
        }
        match this.winner.take() {
            Some(value) => {
                *this.completed = true;
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

impl<K: Room, M: Future> fmt::Debug for Race<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race").field("running", &self.regions.len()).finish_non_exhaustive()
    }
}

/// Waits for the first success, and winds the others down.
///
/// This is the counterpart of `futures::select_ok` and `Promise.any`.
///
/// # Errors
///
/// Returns all errors, in the order of the futures, when all have failed. If there are no futures,
/// it returns an empty `Vec` at once.
///
/// # Cancellation
///
/// The same as for [`race`]. A success that comes while the losers are wound down is dropped.
///
/// # Panics
///
/// Panics if it is polled after it was ready.
///
/// # Cost
///
/// The same as for [`gather`](crate::gather), and a `Vec` of errors if all fail.
///
/// ```
/// # futures::executor::block_on(async {
/// let parsed = foster::race_ok(["x", "7"].map(async |text| { text.parse::<u32>() })).await;
/// assert_eq!(parsed, Ok(7));
/// # });
/// ```
#[inline]
pub fn race_ok<Shape, G, T, E>(futures: G) -> RaceOk<G::Room, G::Member, T, E>
where
    G: AlikeFutures<Shape, Value = Result<T, E>>,
{
    let regions = Regions::of(futures.place(Region::new));
    let errors = Slots::new(regions.len());
    RaceOk { regions, winner: None, errors, completed: false }
}

pin_project! {
    /// The future of [`race_ok`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RaceOk<K: Room, M, T, E> {
        #[pin]
        regions: Regions<K, M>,
        winner: Option<T>,
        errors: K::Slots<E>,
        completed: bool,
    }
}

impl<K: Room, M, T, E> Future for RaceOk<K, M, T, E>
where
    M: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Vec<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Vec<E>>> {
        let mut this = self.project();
        assert!(!*this.completed, "a race_ok was polled after it was ready");
        loop {
            let polled = this.regions.as_mut().poll_until(cx, |index, result| match result {
                Ok(value) => Some(value),
                Err(error) => {
                    this.errors.put(index, error);
                    None
                }
            });
            let Some(value) = ready!(polled) else { break };
            // Another success that comes while the others are wound down is dropped.
            if this.winner.is_none() {
                *this.winner = Some(value);
                this.regions.as_mut().cancel(|| Siblings::Won);
            }
        }
        *this.completed = true;
        Poll::Ready(match this.winner.take() {
            Some(value) => {
                if needs_drop::<E>() {
                    *this.errors = Slots::new(0);
                }
                Ok(value)
            }
            None => Err(in_order(mem::replace(this.errors, Slots::new(0)))),
        })
    }
}

impl<K: Room, M, T, E> fmt::Debug for RaceOk<K, M, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaceOk").field("running", &self.regions.len()).finish_non_exhaustive()
    }
}

/// Waits for the first `k` successes, returns them in the order in which they came, and winds the
/// others down.
///
/// It fails as soon as `k` successes are out of reach. Use it for reads and writes that a majority
/// of replicas must confirm. If `k` is 0, it drops the futures unpolled and returns at once.
///
/// # Errors
///
/// Returns [`QuorumMissed`], with all errors and successes, if too many futures failed. If there
/// are fewer than `k` futures, it does so at once.
///
/// # Cancellation
///
/// Once the outcome is known, the others end as the losers of a [`race`] do. Dropping it drops the
/// futures.
///
/// # Panics
///
/// Panics if it is polled after it was ready.
///
/// # Cost
///
/// The same as for [`gather`](crate::gather), and a `Vec` of values.
///
/// ```
/// # futures::executor::block_on(async {
/// let replicas = ["1", "x", "3"].map(async |text| { text.parse::<u32>() });
/// assert_eq!(foster::future::quorum(2, replicas).await, Ok(vec![1, 3]));
///
/// let replicas = ["1", "x", "y"].map(async |text| { text.parse::<u32>() });
/// assert_eq!(foster::future::quorum(2, replicas).await.unwrap_err().errors().len(), 2);
/// # });
/// ```
pub fn quorum<Shape, G, T, E>(k: usize, futures: G) -> Quorum<G::Room, G::Member, T, E>
where
    G: AlikeFutures<Shape, Value = Result<T, E>>,
{
    let regions = Regions::of(futures.place(Region::new));
    let n = regions.len();
    Quorum { regions, k, n, values: Vec::new(), errors: Slots::new(n), failed: 0, decided: false, completed: false }
}

pin_project! {
    /// The future of [`quorum`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Quorum<K: Room, M, T, E> {
        #[pin]
        regions: Regions<K, M>,
        k: usize,
        // How many futures there were.
        n: usize,
        // In the order in which they came.
        values: Vec<T>,
        errors: K::Slots<E>,
        // How many futures have failed.
        failed: usize,
        // Whether the outcome is known, and the others are cancelled.
        decided: bool,
        completed: bool,
    }
}

impl<K: Room, M, T, E> Quorum<K, M, T, E>
where
    M: Future<Output = Result<T, E>>,
{
    /// Cancels the others as soon as the outcome is known.
    fn decide(self: Pin<&mut Self>) {
        let this = self.project();
        let reached = this.values.len() >= *this.k;
        let out_of_reach = *this.n - *this.failed < *this.k;
        if !*this.decided && (reached || out_of_reach) {
            *this.decided = true;
            if reached {
                this.regions.cancel(|| Siblings::Won);
            } else {
                this.regions.cancel(|| Siblings::Failed);
            }
        }
    }
}

impl<K: Room, M, T, E> Future for Quorum<K, M, T, E>
where
    M: Future<Output = Result<T, E>>,
{
    type Output = Result<Vec<T>, QuorumMissed<T, E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.completed, "a quorum was polled after it was ready");
        loop {
            self.as_mut().decide();
            let this = self.as_mut().project();
            let Some((index, result)) = ready!(this.regions.poll_next(cx)) else { break };
            match result {
                // Another success that comes while the others are wound down is dropped.
                Ok(value) if this.values.len() < *this.k => this.values.push(value),
                Ok(_) => {}
                Err(error) => {
                    *this.failed += 1;
                    this.errors.put(index, error);
                }
            }
        }
        let this = self.project();
        *this.completed = true;
        let values = mem::take(this.values);
        let errors = mem::replace(this.errors, Slots::new(0));
        Poll::Ready(if values.len() >= *this.k {
            Ok(values)
        } else {
            Err(QuorumMissed { values, errors: in_order(errors) })
        })
    }
}

impl<K: Room, M, T, E> fmt::Debug for Quorum<K, M, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum").field("k", &self.k).field("running", &self.regions.len()).finish_non_exhaustive()
    }
}

/// The error of [`quorum`], if too many futures failed.
///
/// Its [source](std::error::Error::source) is the first of the errors.
///
/// ```
/// # futures::executor::block_on(async {
/// use std::error::Error;
///
/// let replicas = ["1", "x", "y"].map(async |text| { text.parse::<u32>() });
/// let missed = foster::future::quorum(2, replicas).await.unwrap_err();
/// assert_eq!((missed.values(), missed.errors().len()), (&[1][..], 2));
/// assert_eq!(missed.source().unwrap().to_string(), "invalid digit found in string");
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumMissed<T, E> {
    values: Vec<T>,
    errors: Vec<E>,
}

impl<T, E> QuorumMissed<T, E> {
    /// Returns the successes, in the order in which they came.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Returns the errors, in the order of the futures.
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// Returns the successes and the errors, in the orders of [`values`](Self::values) and
    /// [`errors`](Self::errors).
    pub fn into_parts(self) -> (Vec<T>, Vec<E>) {
        (self.values, self.errors)
    }
}

impl<T, E> fmt::Display for QuorumMissed<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "too few successes: {}; errors: {}", self.values.len(), self.errors.len())
    }
}

impl<T: fmt::Debug, E: std::error::Error + 'static> std::error::Error for QuorumMissed<T, E> {
    /// Returns the first error, in the order of the futures.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.errors.first().map(|error| error as _)
    }
}
