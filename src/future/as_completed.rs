//! Streams the values of futures in the order in which they complete.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::stream::{FusedStream, Stream};

use super::inputs::AlikeFutures;
use crate::engine::Set;
use crate::time::{Sleep, sleep};

/// Runs futures, and streams their values as they complete, each with the index of its future.
///
/// The futures make progress while the stream is polled. The stream owns them, so a consumer may
/// leave it and come back, or pass it to another consumer, and no value is lost. More futures may
/// be [pushed](AsCompleted::push) while it runs. This is the counterpart of `asyncio.as_completed`
/// and of `FuturesUnordered`. With [`wait_first_completed`](AsCompleted::wait_first_completed) and
/// the other waits it is the counterpart of `asyncio.wait`.
///
/// # Cancellation
///
/// Dropping the stream drops the futures, the newest first, and the values that nobody took. It
/// [winds nothing down](crate::cancel). Dropping a wait for the next value loses nothing.
///
/// # Cost
///
/// One allocation for each 64 futures, and one for their indexes. Only futures that are woken are
/// polled.
///
/// ```
/// use futures::StreamExt;
///
/// # futures::executor::block_on(async {
/// let mut done = foster::as_completed([2, 1].map(async |n| {
///     for _ in 0..n {
///         foster::yield_now().await;
///     }
///     n
/// }));
/// assert_eq!(done.next().await, Some((1, 1)));
/// assert_eq!(done.next().await, Some((0, 2)));
/// assert_eq!(done.next().await, None);
/// # });
/// ```
pub fn as_completed<Shape, G: AlikeFutures<Shape>>(futures: G) -> AsCompleted<G::Member> {
    let set = Set::collect(futures.members());
    let mut indexes = Vec::new();
    for (index, key) in set.keys().enumerate() {
        indexes.resize(key.index() + 1, index);
    }
    AsCompleted { pushed: set.len(), set, indexes, ready: VecDeque::new() }
}

/// The stream of [`as_completed`].
#[must_use = "streams do nothing unless polled"]
pub struct AsCompleted<M: Future> {
    set: Set<M>,
    /// The index of the future in each slot of the set. Slots are used again, indexes are not.
    indexes: Vec<usize>,
    /// How many futures have been added in all, which is the index of the next one.
    pushed: usize,
    /// Values that a dropped [`Wait`] had collected. They come before those of `set`.
    ready: VecDeque<(usize, M::Output)>,
}

impl<M: Future> Unpin for AsCompleted<M> {}

impl<M: Future> AsCompleted<M> {
    /// Adds a future, and returns its index. The future is first polled with the next poll of the
    /// stream.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use futures::StreamExt;
    ///
    /// let step = |n: u32| async move { n };
    /// let mut crawl = foster::as_completed([step(1)]);
    /// let mut seen = Vec::new();
    /// while let Some((_, n)) = crawl.next().await {
    ///     seen.push(n);
    ///     if n < 4 {
    ///         crawl.push(step(2 * n));
    ///     }
    /// }
    /// assert_eq!(seen, [1, 2, 4]);
    /// # });
    /// ```
    pub fn push(&mut self, future: M) -> usize {
        let key = self.set.insert(future);
        let index = self.pushed;
        self.pushed += 1;
        if self.indexes.len() <= key.index() {
            self.indexes.resize(key.index() + 1, 0);
        }
        self.indexes[key.index()] = index;
        index
    }

    /// Returns how many values have not been taken, those of pending futures included.
    pub fn len(&self) -> usize {
        self.set.len() + self.ready.len()
    }

    /// Returns whether all values have been taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until at least one future has completed, and returns the values that there are by
    /// then, in the order of completion.
    ///
    /// The values of all futures that complete in the same poll are among them. Pending futures
    /// stay in the stream, alive. If there are no futures, the wait returns at once. This is the
    /// counterpart of `asyncio.wait(return_when=FIRST_COMPLETED)`.
    ///
    /// # Cancellation
    ///
    /// Dropping the wait loses nothing. The values that it has collected go to the next consumer.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use futures::FutureExt;
    ///
    /// let mut both = foster::as_completed([async { 1 }.boxed(), std::future::pending().boxed()]);
    /// assert_eq!(both.wait_first_completed().await, [(0, 1)]);
    /// assert_eq!(both.len(), 1);
    /// # });
    /// ```
    pub fn wait_first_completed(&mut self) -> Wait<'_, M> {
        Wait::new(self, |_| true)
    }

    /// Waits until all futures have completed, and returns their values in the order of completion.
    ///
    /// With a [limit of time](Wait::at_most) it returns the values that there are by then, and
    /// pending futures stay in the stream, alive. This is the counterpart of `asyncio.wait`. For
    /// values in the order of the futures, see [`gather`](crate::gather).
    ///
    /// # Cancellation
    ///
    /// The same as for [`wait_first_completed`](Self::wait_first_completed).
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let mut three = foster::as_completed([5, 1, 2].map(async |n| {
    ///         foster::sleep(n * second).await;
    ///         n
    ///     }));
    ///     assert_eq!(three.wait_all().at_most(3 * second).await, [(1, 1), (2, 2)]);
    ///     assert_eq!(three.wait_all().await, [(0, 5)]);
    /// });
    /// ```
    pub fn wait_all(&mut self) -> Wait<'_, M> {
        Wait::new(self, |_| false)
    }

    /// Polls the futures themselves, and leaves `ready` alone.
    fn poll_value(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, M::Output)>> {
        let indexes = &self.indexes;
        self.set
            .poll_next(cx, |_, future, cx| future.poll(cx))
            .map(|done| done.map(|(key, value)| (indexes[key.index()], value)))
    }
}

impl<M: Future> Stream for AsCompleted<M> {
    type Item = (usize, M::Output);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.ready.pop_front() {
            Some(value) => Poll::Ready(Some(value)),
            None => self.poll_value(cx),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}

impl<M: Future> FusedStream for AsCompleted<M> {
    fn is_terminated(&self) -> bool {
        self.is_empty()
    }
}

impl<M: Future> fmt::Debug for AsCompleted<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<M, T, E> AsCompleted<M>
where
    M: Future<Output = Result<T, E>>,
{
    /// Waits until at least one future has failed or all have completed, and returns the values
    /// that there are by then, in the order of completion.
    ///
    /// The other futures stay in the stream, alive. In this it differs from
    /// [`try_gather`](crate::try_gather). It is the counterpart of
    /// `asyncio.wait(return_when=FIRST_EXCEPTION)`.
    ///
    /// # Cancellation
    ///
    /// The same as for [`wait_first_completed`](Self::wait_first_completed).
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let mut jobs = foster::as_completed([3, 0, 1].map(async |n| {
    ///     for _ in 0..n {
    ///         foster::yield_now().await;
    ///     }
    ///     if n == 1 { Err("no") } else { Ok(n) }
    /// }));
    /// assert_eq!(jobs.wait_first_error().await, [(1, Ok(0)), (2, Err("no"))]);
    /// assert_eq!(jobs.len(), 1);
    /// # });
    /// ```
    pub fn wait_first_error(&mut self) -> Wait<'_, M> {
        Wait::new(self, Result::is_err)
    }
}

/// The future of [`AsCompleted::wait_first_completed`],
/// [`wait_first_error`](AsCompleted::wait_first_error) and [`wait_all`](AsCompleted::wait_all).
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a, M: Future> {
    group: &'a mut AsCompleted<M>,
    /// Tells whether this value ends the wait.
    is_enough: fn(&M::Output) -> bool,
    /// Whether such a value has come.
    enough: bool,
    /// The values collected so far. If the wait is dropped, they go back to the stream.
    done: Vec<(usize, M::Output)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<'a, M: Future> Wait<'a, M> {
    fn new(group: &'a mut AsCompleted<M>, is_enough: fn(&M::Output) -> bool) -> Self {
        Wait { group, is_enough, enough: false, done: Vec::new(), sleep: None }
    }

    /// Returns after `duration` at the latest, with the values that there are by then. The time
    /// counts from the first poll.
    pub fn at_most(mut self, duration: Duration) -> Self {
        self.sleep = Some(Box::pin(sleep(duration)));
        self
    }

    /// Takes all values that there are now, and returns whether no future is left.
    ///
    /// It goes on after a value that is enough, so that all futures that complete in this poll are
    /// in the result.
    fn collect(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match Pin::new(&mut *self.group).poll_next(cx) {
                Poll::Ready(Some((index, value))) => {
                    self.enough |= (self.is_enough)(&value);
                    self.done.push((index, value));
                }
                Poll::Ready(None) => return true,
                Poll::Pending => return false,
            }
        }
    }
}

impl<M: Future> Unpin for Wait<'_, M> {}

impl<M: Future> Future for Wait<'_, M> {
    type Output = Vec<(usize, M::Output)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let ended = this.collect(cx) || this.enough;
        if ended || this.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(std::mem::take(&mut this.done));
        }
        Poll::Pending
    }
}

impl<M: Future> Drop for Wait<'_, M> {
    fn drop(&mut self) {
        // From the back, so that the values are in the order of completion again.
        for value in self.done.drain(..).rev() {
            self.group.ready.push_front(value);
        }
    }
}

impl<M: Future> fmt::Debug for Wait<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("done", &self.done.len()).finish_non_exhaustive()
    }
}
