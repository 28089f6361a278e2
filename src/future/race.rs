//! Waiting for the first, or the first few.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::gather::Values;
use super::members::AlikeFutures;
use crate::cancel::Regions;

/// Waits for the first future to finish, and winds the others down.
///
/// Where several are ready in one poll, one of them wins, and the others' values are dropped. The counterpart of Trio's and
/// anyio's cancel-the-losers pattern, `futures::select_all`, `tokio::select!` and `Promise.race`; for futures that may fail,
/// see [`race_ok`].
///
/// # Cancellation
///
/// Losers that need no time to end are dropped, the newest first; the rest is waited for. Dropping it drops the futures.
///
/// # Panics
///
/// Of no futures, none of which could ever be first. When polled after it was ready.
///
/// ```
/// # futures::executor::block_on(async {
/// let first = foster::race((std::future::pending(), async { 7 })).await;
/// assert_eq!(first, 7);
/// # });
/// ```
#[track_caller]
pub fn race<Shape, G: AlikeFutures<Shape>>(futures: G) -> Race<G::Member> {
    let regions = Regions::collect(futures.members());
    assert!(regions.len() > 0, "a race of no futures has no winner");
    Race { regions, winner: None, over: false }
}

/// The future of [`race`].
#[must_use = "futures do nothing unless polled"]
pub struct Race<M: Future> {
    regions: Regions<M>,
    winner: Option<M::Output>,
    over: bool,
}

impl<M: Future> Unpin for Race<M> {}

impl<M: Future> Race<M> {
    pub(super) fn empty() -> Self {
        Race { regions: Regions::new(), winner: None, over: false }
    }

    /// Another one takes part. No use once there is a winner.
    pub(super) fn join(&mut self, member: M) {
        self.regions.insert(member);
    }

    pub(super) fn has_winner(&self) -> bool {
        self.winner.is_some()
    }
}

impl<M: Future> Future for Race<M> {
    type Output = M::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Output> {
        let this = &mut *self;
        assert!(!this.over, "a race was polled after it was ready");
        while let Some((_, value)) = ready!(this.regions.poll_next(cx)) {
            if this.winner.is_none() {
                this.winner = Some(value);
                this.regions.cancel();
            }
        }
        match this.winner.take() {
            Some(value) => {
                this.over = true;
                Poll::Ready(value)
            }
            None => Poll::Pending,
        }
    }
}

impl<M: Future> fmt::Debug for Race<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race").field("running", &self.regions.len()).finish_non_exhaustive()
    }
}

/// Waits for the first success, and winds the others down.
///
/// The counterpart of `futures::select_ok` and `Promise.any`.
///
/// # Errors
///
/// All errors, in the order of the futures, when every one has failed; of no futures, none.
///
/// # Cancellation
///
/// As for [`race`].
///
/// ```
/// # futures::executor::block_on(async {
/// let parsed = foster::race_ok(["x", "7"].map(async |text| { text.parse::<u32>() })).await;
/// assert_eq!(parsed, Ok(7));
/// # });
/// ```
pub fn race_ok<Shape, G, T, E>(futures: G) -> RaceOk<G::Member, T, E>
where
    G: AlikeFutures<Shape, Value = Result<T, E>>,
{
    RaceOk { quorum: quorum(1, futures) }
}

/// The future of [`race_ok`].
#[must_use = "futures do nothing unless polled"]
pub struct RaceOk<M, T, E> {
    quorum: Quorum<M, T, E>,
}

impl<M, T, E> Unpin for RaceOk<M, T, E> {}

impl<M, T, E> Future for RaceOk<M, T, E>
where
    M: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Vec<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Vec<E>>> {
        let result = ready!(Pin::new(&mut self.quorum).poll(cx));
        Poll::Ready(match result {
            Ok(mut values) => values.pop().ok_or_else(Vec::new),
            Err(missed) => Err(missed.errors),
        })
    }
}

impl<M, T, E> fmt::Debug for RaceOk<M, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RaceOk").field(&self.quorum).finish()
    }
}

/// Waits for the first `k` successes, and winds the others down. Of zero, at once.
///
/// Fails as soon as `k` successes are out of reach. For reads and writes that a majority of replicas must confirm.
///
/// # Errors
///
/// [`QuorumMissed`], with the errors and the values that there were; at once if there are fewer than `k` futures.
///
/// # Cancellation
///
/// As for [`race`], once the outcome is known.
///
/// ```
/// # futures::executor::block_on(async {
/// let replicas = ["1", "x", "3"].map(async |text| { text.parse::<u32>() });
/// assert_eq!(foster::quorum(2, replicas).await, Ok(vec![1, 3]));
///
/// let replicas = ["1", "x", "y"].map(async |text| { text.parse::<u32>() });
/// assert_eq!(foster::quorum(2, replicas).await.unwrap_err().errors().len(), 2);
/// # });
/// ```
pub fn quorum<Shape, G, T, E>(k: usize, futures: G) -> Quorum<G::Member, T, E>
where
    G: AlikeFutures<Shape, Value = Result<T, E>>,
{
    let regions = Regions::collect(futures.members());
    let n = regions.len();
    Quorum { regions, k, n, values: Vec::new(), errors: Values::new(n), failed: 0, decided: false, over: false }
}

/// The future of [`quorum`].
#[must_use = "futures do nothing unless polled"]
pub struct Quorum<M, T, E> {
    regions: Regions<M>,
    k: usize,
    n: usize,
    /// In the order in which they came.
    values: Vec<T>,
    errors: Values<E>,
    failed: usize,
    decided: bool,
    over: bool,
}

impl<M, T, E> Unpin for Quorum<M, T, E> {}

impl<M, T, E> Quorum<M, T, E>
where
    M: Future<Output = Result<T, E>>,
{
    fn decide(&mut self) {
        let reached = self.values.len() >= self.k;
        let out_of_reach = self.n - self.failed < self.k;
        if !self.decided && (reached || out_of_reach) {
            self.decided = true;
            self.regions.cancel();
        }
    }
}

impl<M, T, E> Future for Quorum<M, T, E>
where
    M: Future<Output = Result<T, E>>,
{
    type Output = Result<Vec<T>, QuorumMissed<T, E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(!this.over, "a quorum was polled after it was ready");
        loop {
            this.decide();
            let Some((key, result)) = ready!(this.regions.poll_next(cx)) else { break };
            match result {
                // What still succeeds while it is wound down is one too many.
                Ok(value) if this.values.len() < this.k => this.values.push(value),
                Ok(_) => {}
                Err(error) => {
                    this.failed += 1;
                    this.errors.put(key.index(), error);
                }
            }
        }
        this.over = true;
        let values = std::mem::take(&mut this.values);
        Poll::Ready(match values.len() >= this.k {
            true => Ok(values),
            false => Err(QuorumMissed { values, errors: this.errors.take() }),
        })
    }
}

impl<M, T, E> fmt::Debug for Quorum<M, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum").field("k", &self.k).field("running", &self.regions.len()).finish_non_exhaustive()
    }
}

/// Too many of a [`quorum`]'s futures failed. Its [source](std::error::Error::source) is the first of the errors.
///
/// ```
/// # futures::executor::block_on(async {
/// use std::error::Error;
///
/// let replicas = ["1", "x", "y"].map(async |text| { text.parse::<u32>() });
/// let missed = foster::quorum(2, replicas).await.unwrap_err();
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
    /// The successes that there were, in the order in which they came.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// The errors, in the order of the futures.
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// The successes and the errors, as [`values`](Self::values) and [`errors`](Self::errors) have them.
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
    /// The first error, in the order of the futures.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.errors.first().map(|error| error as _)
    }
}
