//! Methods for every stream.

use std::time::Duration;

use futures_core::Stream;

use super::buffer::{self, Buffered};
use super::shape::{MapWith, PacedBy, Until};
use super::timed::{ChunksTimeout, Debounce, Sample, Throttle, TimeoutEach};
use crate::scope::AnyScope;
use crate::token::Token;

/// What foster can do with any stream, beside what `futures::StreamExt` can.
///
/// Each of these is a `Stream` again. They are lazy: a stream makes progress while it is polled, and a consumer that
/// is busy stalls what the stream has under way, such as the requests of a `map_concurrent`. Where that matters,
/// [`in_scope`](StreamExt::in_scope) hands the stream to a child of a scope, which goes on meanwhile.
///
/// Beside `futures::StreamExt`, import it as `use foster::StreamExt as _;`.
///
/// Time is that of the runtime around; see [`time`](crate::time).
pub trait StreamExt: Stream + Sized {
    /// Gathers items into chunks of `size`, or fewer where `within` has passed since a chunk's first item.
    ///
    /// # Cancellation
    ///
    /// A wait for the next chunk loses nothing; dropping the stream loses the chunk under way.
    ///
    /// # Panics
    ///
    /// If `size` is 0.
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

    /// Lets at least `period` pass from one item to the next. No item is lost: a slow consumer slows the stream down.
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

    /// Streams an item when there has been no other for `quiet`: the last of each burst, and the last of all.
    ///
    /// The others are dropped. For what is worth reacting to once it has come to rest: a file that is saved, a word that is typed.
    ///
    /// # Cancellation
    ///
    /// A wait for the next item loses nothing; dropping the stream loses the item that has been held back.
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
    ///     assert_eq!(typed.debounce(Duration::from_millis(300)).collect::<Vec<_>>().await, ["fos", "foster"]);
    /// });
    /// ```
    fn debounce(self, quiet: Duration) -> Debounce<Self> {
        Debounce::new(self, quiet)
    }

    /// Streams the latest item every `period`, where there has been one; and the last of all.
    ///
    /// The others are dropped. For what changes more often than anybody wants to look: a progress bar, a gauge.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{StreamExt as _, interval};
    ///     use futures::StreamExt;
    ///     use std::time::Duration;
    ///
    ///     let percent = interval(Duration::from_millis(30)).enumerate().map(|(n, _)| n).take(10);
    ///     assert_eq!(percent.sample(Duration::from_millis(100)).collect::<Vec<_>>().await, [3, 6, 9]);
    /// });
    /// ```
    #[track_caller]
    fn sample(self, period: Duration) -> Sample<Self> {
        Sample::new(self, period)
    }

    /// Streams an error where an item takes longer than `within`, counted from when it is asked for; and goes on after.
    ///
    /// # Errors
    ///
    /// [`Elapsed`](crate::Elapsed), as an item.
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

    /// Waits for `permit()` before it asks for an item, or for the end: the place for a rate limit.
    ///
    /// # Cancellation
    ///
    /// A permit that was waited for is kept for the next item.
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
    ///     let paced = stream::iter(0..3).paced_by(|| async { _ = limit.lock().await.tick().await });
    ///     let seconds = paced.map(|_| (now() - start).as_secs());
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

    /// Ends when `token` is cancelled, and drops the stream then, even in the middle of waiting for an item.
    ///
    /// ```
    /// use foster::{StreamExt as _, Token};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let token = Token::new();
    /// let numbers = stream::iter(1..).until(&token);
    /// let cancel = async |n| { n };
    /// let seen: Vec<u32> = numbers.then(cancel).inspect(|&n| if n == 3 { token.cancel("enough") }).collect().await;
    /// assert_eq!(seen, [1, 2, 3]);
    /// # });
    /// ```
    fn until(self, token: &Token) -> Until<Self> {
        Until::new(self, token)
    }

    /// Maps items with a state, until `f` returns `None`.
    ///
    /// What `futures::StreamExt::scan` does, without a future per item.
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

    /// Has a child of `scope` drive the stream, which goes on while the consumer is busy, up to `buffer` items ahead.
    ///
    /// The lazy form makes progress only while it is polled: a consumer that awaits something else between two
    /// items stalls the requests in flight behind it, until their servers give up (futures-rs#2387). This one does not.
    ///
    /// # Cancellation
    ///
    /// The child is the scope's: when the scope is cancelled, this stream ends, after what is in the buffer. Dropping this
    /// ends the child, and drops the stream with it. A wait for the next item loses nothing.
    ///
    /// # Panics
    ///
    /// If `buffer` is 0.
    ///
    /// ```
    /// use foster::{StreamExt as _, scope};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let sum: u32 = scope(async |s| {
    ///     stream::iter([1, 2, 3]).in_scope(&s, 2).fold(0, |sum, n| async move { sum + n }).await
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
        buffer::in_scope(self, scope, buffer)
    }

    /// Has a child of `scope` drive the stream for `n` consumers, each of which gets every item exactly once.
    ///
    /// The slowest sets the pace, with `buffer` items between it and the fastest: have the consumers run concurrently, as
    /// children or in a [`gather`](crate::gather). One that is dropped is not waited for. To share the items out among workers,
    /// one to each, use [`each_concurrent`](crate::ConcurrentStream::each_concurrent).
    ///
    /// # Cancellation
    ///
    /// As for [`in_scope`](StreamExt::in_scope).
    ///
    /// # Panics
    ///
    /// If `buffer` is 0.
    ///
    /// ```
    /// use foster::{StreamExt as _, scope};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// scope(async |s| {
    ///     let mut readers = stream::iter([3, 1, 2]).split_in_scope(&s, 2, 8).into_iter();
    ///     let (log, stats) = (readers.next().unwrap(), readers.next().unwrap());
    ///     let max = s.spawn(stats.fold(0, |max, n| async move { n.max(max) }));
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
        buffer::split_in_scope(self, scope, n, buffer)
    }
}

impl<S: Stream> StreamExt for S {}
