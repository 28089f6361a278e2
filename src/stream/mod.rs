//! Runs futures for the items of an iterator or a stream, with a limit, and shapes streams.
//!
//! | to do | use | counterpart |
//! |---|---|---|
//! | run futures for items | [`ConcurrentIterator`], [`ConcurrentStream`] | `buffer_unordered` |
//! | make one stream of several | [`merge`], [`zip`], [`chain`] | `select_all`, `zip`, `chain` |
//! | write a stream as code | [`generator`], [`try_generator`] | `stream::unfold`, `async-stream` |
//! | drive it while consumers are busy | [`in_scope`], [`split_in_scope`] | a task and a channel |
//! | limit its rate | [`throttle`], [`debounce`], [`sample`], [`paced_by`] | `throttle` |
//! | limit its waits | [`timeout_each`], [`chunks_timeout`] | `timeout`, `chunks_timeout` |
//! | end it | [`take_until_cancelled`] | `take_until` |
//!
//! The counterparts are those of `futures` and `tokio-stream`. Nearly all of these operations
//! return a `Stream` of the `futures` traits, which combines with `futures::StreamExt`. Only
//! `each_concurrent` and `try_each_concurrent` return a future.
//!
//! [`in_scope`]: StreamExt::in_scope
//! [`split_in_scope`]: StreamExt::split_in_scope
//! [`throttle`]: StreamExt::throttle
//! [`debounce`]: StreamExt::debounce
//! [`sample`]: StreamExt::sample
//! [`paced_by`]: StreamExt::paced_by
//! [`timeout_each`]: StreamExt::timeout_each
//! [`chunks_timeout`]: StreamExt::chunks_timeout
//! [`take_until_cancelled`]: StreamExt::take_until_cancelled

mod adapters;
mod ext;
mod for_each;
mod generator;
mod in_scope;
mod inputs;
mod map;
mod merge;
mod source;
mod time;
mod try_map;
mod workers;

use std::future::Future;

use futures_core::Stream;

pub use adapters::{MapWith, PacedBy, TakeUntilCancelled};
pub use ext::StreamExt;
pub use for_each::{EachConcurrent, FilterMapConcurrent};
pub use generator::{Emit, EmitError, Emitter, Generator, TryGenerator, generator, try_generator};
pub use in_scope::Buffered;
pub use inputs::{AlikeStreams, Streams};
pub use map::MapConcurrent;
pub use merge::{Chain, Merge, Zip, chain, merge, zip};
pub use source::FromIterator;
pub use time::{ChunksTimeout, Debounce, Sample, Throttle, TimeoutEach};
pub use try_map::{TryEachConcurrent, TryMapConcurrent};

use source::Feed;

/// Runs futures for the items of an iterator, a limited number at a time.
///
/// All futures run on the current task, and only while the stream or future is polled. Nothing is
/// spawned. A future that is always ready starves neither the others nor the executor. To use
/// several threads, have each future spawn a [parallel child](crate::Scope::spawn_parallel) and
/// await it.
///
/// # Panics
///
/// Each method panics if `limit` is 0, since nothing could ever start. `usize::MAX` means no limit.
pub trait ConcurrentIterator: Iterator + Sized {
    /// Maps each item to a future, runs at most `limit` of them at a time, and streams their values
    /// in the order in which they complete.
    ///
    /// [`in_order`](MapConcurrent::in_order) streams the values in the order of the items instead.
    /// This is the counterpart of `buffer_unordered`, and of an asyncio semaphore around each of
    /// many tasks.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream drops its futures, and the iterator with the items that have not been
    /// started. Pass `iter.by_ref()` to keep those items. Dropping a wait for the next value loses
    /// nothing.
    ///
    /// # Cost
    ///
    /// No allocation per item. The futures lie side by side in blocks of up to 64, whose places are
    /// used again.
    ///
    /// ```
    /// use foster::ConcurrentIterator;
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let lengths: Vec<usize> = ["a", "bb", "ccc"]
    ///     .into_iter()
    ///     .map_concurrent(2, async |word| { word.len() })
    ///     .in_order()
    ///     .collect()
    ///     .await;
    /// assert_eq!(lengths, [1, 2, 3]);
    /// # });
    /// ```
    #[track_caller]
    fn map_concurrent<F, Fut>(self, limit: usize, f: F) -> MapConcurrent<FromIterator<Self>, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future,
    {
        MapConcurrent::new(Feed::new(FromIterator::new(self), f, limit))
    }

    /// Runs a future for each item like [`map_concurrent`](Self::map_concurrent), and leaves out
    /// the values that are `None`.
    ///
    /// ```
    /// use foster::ConcurrentIterator;
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let ports = ["80", "http", "443"]
    ///     .into_iter()
    ///     .filter_map_concurrent(2, async |word| { word.parse::<u16>().ok() })
    ///     .in_order();
    /// assert_eq!(ports.collect::<Vec<_>>().await, [80, 443]);
    /// # });
    /// ```
    #[track_caller]
    fn filter_map_concurrent<F, Fut, T>(self, limit: usize, f: F) -> FilterMapConcurrent<FromIterator<Self>, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Option<T>>,
    {
        FilterMapConcurrent::new(self.map_concurrent(limit, f))
    }

    /// Maps each item to a future that may fail, runs at most `limit` of them at a time, and
    /// streams their values until one fails.
    ///
    /// Then the others are [wound down](crate::cancel), and the stream ends with the error.
    /// [`in_order`](TryMapConcurrent::in_order) streams the values in the order of the items
    /// instead. This is the counterpart of `try_buffer_unordered`.
    ///
    /// # Errors
    ///
    /// The last item is the first error. It comes when all other futures have ended.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream drops its futures and the iterator, as for
    /// [`map_concurrent`](Self::map_concurrent). After an error, futures that need no time to end
    /// are dropped, the newest first. The stream waits for the rest, and drops the values that they
    /// still return.
    ///
    /// ```
    /// use foster::ConcurrentIterator;
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let numbers = ["1", "2", "x"]
    ///     .into_iter()
    ///     .try_map_concurrent(2, async |word| { word.parse::<u32>() });
    /// assert!(numbers.try_collect::<Vec<_>>().await.is_err());
    /// # });
    /// ```
    #[track_caller]
    fn try_map_concurrent<F, Fut, T, E>(self, limit: usize, f: F) -> TryMapConcurrent<FromIterator<Self>, F, Fut, T, E>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        TryMapConcurrent::new(Feed::new(FromIterator::new(self), f, limit))
    }

    /// Runs a future for each item, at most `limit` of them at a time, and waits for all.
    ///
    /// # Cancellation
    ///
    /// Dropping this drops its futures and the iterator, as for
    /// [`map_concurrent`](Self::map_concurrent).
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{ConcurrentIterator, now, sleep};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     (0..10).each_concurrent(5, |_| sleep(second)).await;
    ///     assert_eq!(now() - start, 2 * second);
    /// });
    /// ```
    #[track_caller]
    fn each_concurrent<F, Fut>(self, limit: usize, f: F) -> EachConcurrent<FromIterator<Self>, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = ()>,
    {
        EachConcurrent::new(self.map_concurrent(limit, f))
    }

    /// Runs a future for each item, at most `limit` of them at a time, until one fails.
    ///
    /// Then the others are [wound down](crate::cancel).
    ///
    /// # Errors
    ///
    /// Returns the first error when all other futures have ended.
    ///
    /// # Cancellation
    ///
    /// The same as for [`try_map_concurrent`](Self::try_map_concurrent).
    ///
    /// ```
    /// use foster::ConcurrentIterator;
    ///
    /// # futures::executor::block_on(async {
    /// let result = (1..100)
    ///     .try_each_concurrent(8, async |n| { if n == 40 { Err(n) } else { Ok(()) } })
    ///     .await;
    /// assert_eq!(result, Err(40));
    /// # });
    /// ```
    #[track_caller]
    fn try_each_concurrent<F, Fut, E>(self, limit: usize, f: F) -> TryEachConcurrent<FromIterator<Self>, F, Fut, E>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        TryEachConcurrent::new(self.try_map_concurrent(limit, f))
    }
}

impl<I: Iterator> ConcurrentIterator for I {}

/// Runs futures for the items of a stream, a limited number at a time.
///
/// The methods are those of [`ConcurrentIterator`], which tells about cancellation and cost. Their
/// names differ from those of `futures::StreamExt` (`for_each_concurrent`, `buffer_unordered`), so
/// both traits may be in scope:
///
/// ```
/// use foster::ConcurrentStream;
/// use futures::{StreamExt, TryStreamExt, stream};
///
/// # futures::executor::block_on(async {
/// stream::iter(0..3).each_concurrent(2, async |_| {}).await;
/// stream::iter(0..3).for_each_concurrent(2, async |_| {}).await;
/// let numbers = stream::iter(0..3).map_concurrent(2, async |n| { Ok::<_, ()>(n) });
/// assert_eq!(numbers.try_fold(0, async |sum, n| { Ok(sum + n) }).await, Ok(3));
/// # });
/// ```
///
/// # Panics
///
/// Each method panics if `limit` is 0, since nothing could ever start.
pub trait ConcurrentStream: Stream + Sized {
    /// Maps each item to a future, runs at most `limit` of them at a time, and streams their values
    /// in the order in which they complete. See [`ConcurrentIterator::map_concurrent`].
    ///
    /// ```
    /// use foster::ConcurrentStream;
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let mut doubled: Vec<u32> = stream::iter([1, 2, 3])
    ///     .map_concurrent(2, async |n| { 2 * n })
    ///     .collect()
    ///     .await;
    /// doubled.sort();
    /// assert_eq!(doubled, [2, 4, 6]);
    /// # });
    /// ```
    #[track_caller]
    fn map_concurrent<F, Fut>(self, limit: usize, f: F) -> MapConcurrent<Self, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future,
    {
        MapConcurrent::new(Feed::new(self, f, limit))
    }

    /// Runs a future for each item like [`map_concurrent`](Self::map_concurrent), and leaves out
    /// the values that are `None`.
    #[track_caller]
    fn filter_map_concurrent<F, Fut, T>(self, limit: usize, f: F) -> FilterMapConcurrent<Self, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Option<T>>,
    {
        FilterMapConcurrent::new(self.map_concurrent(limit, f))
    }

    /// Maps each item to a future that may fail, runs at most `limit` of them at a time, and
    /// streams their values until one fails. See [`ConcurrentIterator::try_map_concurrent`].
    ///
    /// # Errors
    ///
    /// The last item is the first error. It comes when all other futures have ended.
    #[track_caller]
    fn try_map_concurrent<F, Fut, T, E>(self, limit: usize, f: F) -> TryMapConcurrent<Self, F, Fut, T, E>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        TryMapConcurrent::new(Feed::new(self, f, limit))
    }

    /// Runs a future for each item, at most `limit` of them at a time, and waits for all. See
    /// [`ConcurrentIterator::each_concurrent`].
    ///
    /// ```
    /// use foster::ConcurrentStream;
    /// use futures::stream;
    ///
    /// # futures::executor::block_on(async {
    /// let (send, served) = std::sync::mpsc::channel();
    /// stream::iter(["a", "b"]).each_concurrent(8, |client| {
    ///     let send = send.clone();
    ///     async move { send.send(client).unwrap() }
    /// }).await;
    /// assert_eq!(served.try_iter().count(), 2);
    /// # });
    /// ```
    #[track_caller]
    fn each_concurrent<F, Fut>(self, limit: usize, f: F) -> EachConcurrent<Self, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = ()>,
    {
        EachConcurrent::new(self.map_concurrent(limit, f))
    }

    /// Runs a future for each item, at most `limit` of them at a time, until one fails. See
    /// [`ConcurrentIterator::try_each_concurrent`].
    ///
    /// # Errors
    ///
    /// Returns the first error when all other futures have ended.
    ///
    /// ```
    /// use foster::ConcurrentStream;
    /// use futures::stream;
    ///
    /// # futures::executor::block_on(async {
    /// let serve = async |n| { if n < 100 { Ok(()) } else { Err("full") } };
    /// assert_eq!(stream::iter(1..).try_each_concurrent(8, serve).await, Err("full"));
    /// # });
    /// ```
    #[track_caller]
    fn try_each_concurrent<F, Fut, E>(self, limit: usize, f: F) -> TryEachConcurrent<Self, F, Fut, E>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        TryEachConcurrent::new(self.try_map_concurrent(limit, f))
    }
}

impl<S: Stream> ConcurrentStream for S {}
