//! Futures in the order in which they complete.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::stream::{FusedStream, Stream};

use super::members::AlikeFutures;
use crate::set::Set;
use crate::time::{Sleep, sleep};

/// Runs futures, and streams their values as they complete, each with its index.
///
/// The stream owns the futures: it may be left and taken up again, and passed from one consumer to the next, and loses
/// nothing. They make progress while it is polled. The counterpart of `asyncio.as_completed`; with
/// [`wait_first_completed`](AsCompleted::wait_first_completed) and its like of `asyncio.wait`; and of `FuturesUnordered`.
///
/// # Cancellation
///
/// Dropping it drops the futures, the newest first, and values that nobody took. A wait for the next value loses nothing.
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
    /// The index of the future in each slot.
    indexes: Vec<usize>,
    pushed: usize,
    /// Values that were waited for, and not taken.
    ready: VecDeque<(usize, M::Output)>,
}

impl<M: Future> Unpin for AsCompleted<M> {}

impl<M: Future> AsCompleted<M> {
    /// Adds a future, and returns its index.
    ///
    /// It is first polled when the stream is.
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

    /// How many values have not been taken, of futures that run or are done.
    pub fn len(&self) -> usize {
        self.set.len() + self.ready.len()
    }

    /// Whether all values have been taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until at least one future is done, and returns what is done by then, in the order of completion.
    ///
    /// All that finish in one turn are among them; what is pending stays here, alive. Of no futures, it returns at once.
    /// The counterpart of `asyncio.wait(return_when=FIRST_COMPLETED)`.
    ///
    /// # Cancellation
    ///
    /// Dropping the wait loses nothing: what it has seen complete is given to the next consumer.
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

    /// Waits until all futures are done, and returns their values, in the order of completion.
    ///
    /// With a [timeout](Wait::timeout), what is done by then; the rest stays here, alive. The counterpart of `asyncio.wait`.
    /// For values in the order of the futures, [`gather`](crate::gather).
    ///
    /// # Cancellation
    ///
    /// As for [`wait_first_completed`](Self::wait_first_completed).
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let mut three = foster::as_completed([5, 1, 2].map(async |n| { foster::sleep(n * second).await; n }));
    ///     assert_eq!(three.wait_all().timeout(3 * second).await, [(1, 1), (2, 2)]);
    ///     assert_eq!(three.wait_all().await, [(0, 5)]);
    /// });
    /// ```
    pub fn wait_all(&mut self) -> Wait<'_, M> {
        Wait::new(self, |_| false)
    }

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
    /// Waits until at least one future has failed, or all are done, and returns what is done by then, in the order of
    /// completion.
    ///
    /// Unlike with [`try_gather`](crate::try_gather), the others stay here, alive. The counterpart of
    /// `asyncio.wait(return_when=FIRST_EXCEPTION)`.
    ///
    /// # Cancellation
    ///
    /// As for [`wait_first_completed`](Self::wait_first_completed).
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

/// The future of [`AsCompleted::wait_first_completed`] and its like.
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a, M: Future> {
    group: &'a mut AsCompleted<M>,
    /// Whether a value is what is waited for.
    is_enough: fn(&M::Output) -> bool,
    enough: bool,
    done: Vec<(usize, M::Output)>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<'a, M: Future> Wait<'a, M> {
    fn new(group: &'a mut AsCompleted<M>, is_enough: fn(&M::Output) -> bool) -> Self {
        Wait { group, is_enough, enough: false, done: Vec::new(), sleep: None }
    }

    /// Returns after `duration` at the latest, with what is done by then. Counted from the first poll.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.sleep = Some(Box::pin(sleep(duration)));
        self
    }

    /// Takes what is done now. True if nothing is left to wait for.
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
        let over = this.collect(cx) || this.enough;
        if over || this.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(std::mem::take(&mut this.done));
        }
        Poll::Pending
    }
}

impl<M: Future> Drop for Wait<'_, M> {
    fn drop(&mut self) {
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
