//! Adds methods to every stream.

use std::time::Duration;

use futures_core::Stream;

use super::adapters::{MapWith, PacedBy, TakeUntilCancelled};
use super::in_scope::{self, Buffered};
use super::time::{ChunksTimeout, Debounce, Sample, Throttle, TimeoutEach};
use crate::cancel::token::Token;
use crate::scope::AnyScope;

/// Adds foster's methods to every stream.
///
/// Beside `futures::StreamExt`, import it as `use foster::StreamExt as _;`.
///
/// Each method returns a `Stream`, except [`split_in_scope`](StreamExt::split_in_scope), which
/// returns several. Streams are lazy: they make progress only while they are polled. So a busy
/// consumer stalls what the stream has under way, such as the requests of a `map_concurrent`. Where
/// that matters, [`in_scope`](StreamExt::in_scope) gives the stream to a child of a scope, which
/// goes on meanwhile.
///
/// Delays are measured by the clock of the enclosing runtime (see [`time`](crate::time)).
pub trait StreamExt: Stream + Sized {
    /// Gathers items into chunks of `size`.
    ///
    /// A chunk is shorter if `within` has passed since its first item, or if the stream ends. This
    /// is the counterpart of `chunks_timeout` in `tokio-stream`.
    ///
    /// # Cancellation
    ///
    /// Dropping a wait for the next chunk loses nothing. Dropping the stream loses the items of the
    /// unfinished chunk.
    ///
    /// # Panics
    ///
    /// Panics if `size` is 0.
    ///
    /// ```
    /// use foster::StreamExt as _;
    /// use futures::{StreamExt, stream};
    /// use std::time::Duration;
    ///
    /// # futures::executor::block_on(async {
    /// let chunks = stream::iter(1..=5).chunks_timeout(2, Duration::from_secs(1));
    /// assert_eq!(chunks.collect::<Vec<_>>().await, [vec![1, 2], vec![3, 4], vec![5]]);
    /// # });
    /// ```
    #[track_caller]
    fn chunks_timeout(self, size: usize, within: Duration) -> ChunksTimeout<Self> {
        ChunksTimeout::new(self, size, within)
    }

    /// Lets at least `period` pass between two items.
    ///
    /// No item is lost. A slow consumer slows the stream down, and `period` counts from when the
    /// last item was streamed.
    ///
    /// # Cancellation
    ///
    /// Dropping a wait for the next item loses nothing.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{StreamExt as _, now};
    ///     use futures::{StreamExt, stream};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let seconds = stream::iter(0..3).throttle(second).map(|_| (now() - start).as_secs());
    ///     assert_eq!(seconds.collect::<Vec<_>>().await, [0, 1, 2]);
    /// });
    /// ```
    fn throttle(self, period: Duration) -> Throttle<Self> {
        Throttle::new(self, period)
    }

    /// Streams an item once no other has come for `quiet`, and the last item when the stream ends.
    ///
    /// So it streams the last item of each burst, and drops the others. Use it for what should be
    /// handled when it has come to rest, such as a file that is saved or a word that is typed.
    ///
    /// # Cancellation
    ///
    /// Dropping a wait for the next item loses nothing. Dropping the stream loses the item that is
    /// held back.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{StreamExt as _, sleep, stream::generator};
    ///     use futures::StreamExt;
    ///     use std::time::Duration;
    ///
    ///     let typed = generator(async |y| {
    ///         for (word, pause) in [("f", 50), ("fo", 50), ("fos", 900), ("foster", 50)] {
    ///             _ = y.emit(word).await;
    ///             sleep(Duration::from_millis(pause)).await;
    ///         }
    ///     });
    ///     let words: Vec<_> = typed.debounce(Duration::from_millis(300)).collect().await;
    ///     assert_eq!(words, ["fos", "foster"]);
    /// });
    /// ```
    fn debounce(self, quiet: Duration) -> Debounce<Self> {
        Debounce::new(self, quiet)
    }

    /// Streams the latest item once every `period` if a new one has come, and the last item when
    /// the stream ends.
    ///
    /// The others are dropped. Use it for what changes more often than anybody looks at it, such as
    /// a progress bar or a gauge.
    ///
    /// # Cancellation
    ///
    /// Dropping a wait for the next item loses nothing. Dropping the stream loses the item that is
    /// held back.
    ///
    /// # Panics
    ///
    /// Panics if `period` is zero.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{StreamExt as _, interval};
    ///     use futures::StreamExt;
    ///     use std::time::Duration;
    ///
    ///     let percent = interval(Duration::from_millis(30)).enumerate().map(|(n, _)| n).take(10);
    ///     let shown: Vec<_> = percent.sample(Duration::from_millis(100)).collect().await;
    ///     assert_eq!(shown, [3, 6, 9]);
    /// });
    /// ```
    #[track_caller]
    fn sample(self, period: Duration) -> Sample<Self> {
        Sample::new(self, period)
    }

    /// Streams an error if an item takes longer than `within`, and then goes on waiting for it.
    ///
    /// The time counts from when the item is asked for. Each further `within` of waiting streams
    /// another error. This is the counterpart of `timeout` in `tokio-stream`.
    ///
    /// # Errors
    ///
    /// Late items are preceded by [`Elapsed`](crate::Elapsed).
    ///
    /// # Cancellation
    ///
    /// An item that is late is not cancelled, and not lost.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{StreamExt as _, sleep};
    ///     use futures::{StreamExt, stream};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let answers = stream::iter([1, 5, 1]).then(async |n| { sleep(n * second).await; n });
    ///     let seen: Vec<_> = answers.timeout_each(3 * second).map(Result::ok).collect().await;
    ///     assert_eq!(seen, [Some(1), None, Some(5), Some(1)], "late, and not lost");
    /// });
    /// ```
    fn timeout_each(self, within: Duration) -> TimeoutEach<Self> {
        TimeoutEach::new(self, within)
    }

    /// Waits for `permit()` before it asks for each item and for the end. Use it for a rate limit.
    ///
    /// # Cancellation
    ///
    /// Dropping a wait for the next item keeps the permit, or the wait for it, for the next time.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{StreamExt as _, interval, now};
    ///     use futures::{StreamExt, lock::Mutex, stream};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let limit = Mutex::new(interval(second));   // to be shared with other streams
    ///     let permit = async || { _ = limit.lock().await.tick().await };
    ///     let seconds = stream::iter(0..3).paced_by(permit).map(|_| (now() - start).as_secs());
    ///     assert_eq!(seconds.collect::<Vec<_>>().await, [0, 1, 2]);
    /// });
    /// ```
    fn paced_by<F, Fut>(self, permit: F) -> PacedBy<Self, F, Fut>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = ()>,
    {
        PacedBy::new(self, permit)
    }

    /// Ends the stream when `token` is cancelled, even while an item is awaited, and drops what is
    /// left of it.
    ///
    /// # Cancellation
    ///
    /// Items that the stream holds back are dropped with it. This drop does not wait for cleanup
    /// inside.
    ///
    /// ```
    /// use foster::{StreamExt as _, Token};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let token = Token::new();
    /// let numbers = stream::iter(1..)
    ///     .take_until_cancelled(&token)
    ///     .inspect(|&n| if n == 3 { token.cancel("enough") });
    /// assert_eq!(numbers.collect::<Vec<u32>>().await, [1, 2, 3]);
    /// # });
    /// ```
    fn take_until_cancelled(self, token: &Token) -> TakeUntilCancelled<Self> {
        TakeUntilCancelled::new(self, token)
    }

    /// Maps items with a state, until `f` returns `None`.
    ///
    /// This is `futures::StreamExt::scan` without a future per item.
    ///
    /// ```
    /// use foster::StreamExt as _;
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let sums = stream::iter(1..).map_with(0, |sum, n| {
    ///     *sum += n;
    ///     (*sum <= 10).then_some(*sum)
    /// });
    /// assert_eq!(sums.collect::<Vec<u32>>().await, [1, 3, 6, 10]);
    /// # });
    /// ```
    fn map_with<St, F, T>(self, state: St, f: F) -> MapWith<Self, St, F>
    where
        F: FnMut(&mut St, Self::Item) -> Option<T>,
    {
        MapWith::new(self, state, f)
    }

    /// Has a child of `scope` drive the stream up to `buffer` items ahead of its consumer.
    ///
    /// A lazy stream makes progress only while it is polled. If its consumer awaits something else
    /// between two items, the requests in flight behind it stall until their servers give up
    /// (futures-rs#2387). This stream goes on while its consumer is busy.
    ///
    /// # Cancellation
    ///
    /// When the scope is cancelled, the child is cancelled with it. The returned stream then ends,
    /// after the items that are in the buffer. Dropping the returned stream ends the child, which
    /// drops the original stream. Dropping a wait for the next item loses nothing.
    ///
    /// # Panics
    ///
    /// Panics if `buffer` is 0.
    ///
    /// ```
    /// use foster::{StreamExt as _, scope};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let sum: u32 = scope(async |s| {
    ///     stream::iter([1, 2, 3]).in_scope(&s, 2).fold(0, async |sum, n| { sum + n }).await
    /// }).await;
    /// assert_eq!(sum, 6);
    /// # });
    /// ```
    #[track_caller]
    fn in_scope<'env>(self, scope: &impl AnyScope<'env>, buffer: usize) -> Buffered<Self::Item>
    where
        Self: Send + 'env,
        Self::Item: Send + 'env,
    {
        in_scope::in_scope(self, scope, buffer)
    }

    /// Has a child of `scope` drive the stream for `n` consumers, each of which gets every item
    /// once.
    ///
    /// The slowest consumer sets the pace. The fastest is at most `buffer` items ahead of it. So
    /// run the consumers concurrently, as children or in a [`gather`](crate::gather). A consumer
    /// that is dropped is not waited for. To give each item to one of several workers instead, use
    /// [`each_concurrent`](crate::ConcurrentStream::each_concurrent).
    ///
    /// # Cancellation
    ///
    /// The same as for [`in_scope`](StreamExt::in_scope). The child ends when all consumers have
    /// been dropped.
    ///
    /// # Panics
    ///
    /// Panics if `buffer` is 0.
    ///
    /// ```
    /// use foster::{StreamExt as _, scope};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// scope(async |s| {
    ///     let mut readers = stream::iter([3, 1, 2]).split_in_scope(&s, 2, 8).into_iter();
    ///     let (log, stats) = (readers.next().unwrap(), readers.next().unwrap());
    ///     let max = s.spawn(stats.fold(0, async |max, n| { n.max(max) }));
    ///     assert_eq!(log.collect::<Vec<_>>().await, [3, 1, 2]);
    ///     assert_eq!(max.await, 3);
    /// }).await;
    /// # });
    /// ```
    #[track_caller]
    fn split_in_scope<'env>(self, scope: &impl AnyScope<'env>, n: usize, buffer: usize) -> Vec<Buffered<Self::Item>>
    where
        Self: Send + 'env,
        Self::Item: Clone + Send + 'env,
    {
        in_scope::split_in_scope(self, scope, n, buffer)
    }
}

impl<S: Stream> StreamExt for S {}
