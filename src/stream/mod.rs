//! Doing many things at a time, but not too many.
//!
//! | to do | use | `futures`, tokio |
//! |---|---|---|
//! | work off items, a few at a time | [`ConcurrentIterator`], [`ConcurrentStream`] | `buffer_unordered`, `buffered` |
//! | one stream of several | [`merge`], [`zip`], [`chain`] | `select_all`, `zip`, `chain` |
//! | write a stream as code | [`generator`], [`try_generator`] | `stream::unfold`, `async-stream` |
//! | drive a stream beside its consumers | [`StreamExt::in_scope`], [`StreamExt::split_in_scope`] | a channel |
//! | pace it | [`StreamExt::throttle`], [`debounce`](StreamExt::debounce), [`sample`](StreamExt::sample), [`paced_by`](StreamExt::paced_by) | `throttle` |
//! | bound it in time | [`StreamExt::timeout_each`], [`chunks_timeout`](StreamExt::chunks_timeout) | `timeout`, `chunks_timeout` |
//! | end it | [`StreamExt::until`] | `take_until` |
//!
//! All of them are `Stream`s of the `futures` traits, and combine with `futures::StreamExt`.

mod buffer;
mod ext;
mod feed;
mod for_each;
mod generator;
mod map;
mod members;
mod merge;
mod shape;
mod timed;
mod try_map;

use std::future::Future;

use futures_core::Stream;

pub use buffer::Buffered;
pub use ext::StreamExt;
pub use feed::FromIterator;
pub use for_each::{EachConcurrent, FilterMapConcurrent};
pub use generator::{Emit, EmitError, Emitter, Generator, TryGenerator, generator, try_generator};
pub use map::MapConcurrent;
pub use members::{AlikeStreams, Streams};
pub use merge::{Chain, Merge, Zip, chain, merge, zip};
pub use shape::{MapWith, PacedBy, Until};
pub use timed::{ChunksTimeout, Debounce, Sample, Throttle, TimeoutEach};
pub use try_map::{TryEachConcurrent, TryMapConcurrent};

use feed::Feed;

/// Working off an iterator with a limited number of futures at a time.
///
/// All of it runs on this task, and only while it is polled; nothing is spawned. A future that is always ready starves
/// neither the others nor the executor. To use several threads, have each future spawn a
/// [parallel child](crate::Scope::spawn_parallel), and await it.
///
/// # Panics
///
/// With a limit of 0, which could never start anything. `usize::MAX` is no limit.
pub trait ConcurrentIterator: Iterator + Sized {
    /// Maps each item to a future, runs at most `limit` of them at a time, and streams their values as they come.
    ///
    /// [`in_order`](MapConcurrent::in_order) streams them in the items' order instead. The counterpart of an asyncio
    /// semaphore around each of many tasks, and of `buffer_unordered`.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream drops the futures in it, and the iterator with the items that have not been started; give it
    /// `iter.by_ref()` to keep them. A wait for the next value loses nothing.
    ///
    /// # Cost
    ///
    /// No allocation per item: the futures lie inline.
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

    /// Like [`map_concurrent`](Self::map_concurrent), leaving out what maps to `None`.
    ///
    /// ```
    /// use foster::ConcurrentIterator;
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let ports = ["80", "http", "443"].into_iter().filter_map_concurrent(2, async |word| { word.parse::<u16>().ok() });
    /// assert_eq!(ports.in_order().collect::<Vec<_>>().await, [80, 443]);
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

    /// Maps each item to a future that may fail, runs at most `limit` of them at a time, and streams their values until one
    /// fails.
    ///
    /// The others are then wound down, and the stream ends with the error. [`in_order`](TryMapConcurrent::in_order)
    /// streams the values in the items' order instead.
    ///
    /// # Errors
    ///
    /// The first error, as the last item, when everything else has ended.
    ///
    /// # Cancellation
    ///
    /// As for [`map_concurrent`](Self::map_concurrent). After an error, futures that need no time to end are dropped, newest
    /// first; the rest is waited for, and what it still gives is dropped.
    ///
    /// ```
    /// use foster::ConcurrentIterator;
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let numbers = ["1", "2", "x"].into_iter().try_map_concurrent(2, async |word| { word.parse::<u32>() });
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

    /// Runs a future for each item, at most `limit` at a time.
    ///
    /// # Cancellation
    ///
    /// As for [`map_concurrent`](Self::map_concurrent).
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

    /// Runs a future for each item, at most `limit` at a time, until one fails: the others are then wound down.
    ///
    /// # Errors
    ///
    /// The first error, when everything else has ended.
    ///
    /// # Cancellation
    ///
    /// As for [`try_map_concurrent`](Self::try_map_concurrent).
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

/// Working off a stream with a limited number of futures at a time. As [`ConcurrentIterator`].
///
/// The names differ from those of `futures::StreamExt` (`for_each_concurrent`, `buffer_unordered`), so that both
/// traits may be in scope:
///
/// ```
/// use foster::ConcurrentStream;
/// use futures::{StreamExt, TryStreamExt, stream};
///
/// # futures::executor::block_on(async {
/// stream::iter(0..3).each_concurrent(2, |_| async {}).await;
/// stream::iter(0..3).for_each_concurrent(2, |_| async {}).await;
/// let numbers = stream::iter(0..3).map_concurrent(2, |n| async move { Ok::<_, ()>(n) });
/// assert_eq!(numbers.try_fold(0, |sum, n| async move { Ok(sum + n) }).await, Ok(3));
/// # });
/// ```
///
/// # Panics
///
/// With a limit of 0, which could never start anything.
pub trait ConcurrentStream: Stream + Sized {
    /// Maps each item to a future, runs at most `limit` of them at a time, and streams their values as they come.
    ///
    /// As [`ConcurrentIterator::map_concurrent`].
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

    /// Like [`map_concurrent`](Self::map_concurrent), leaving out what maps to `None`.
    #[track_caller]
    fn filter_map_concurrent<F, Fut, T>(self, limit: usize, f: F) -> FilterMapConcurrent<Self, F, Fut>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Option<T>>,
    {
        FilterMapConcurrent::new(self.map_concurrent(limit, f))
    }

    /// Maps each item to a future that may fail, runs at most `limit` of them at a time, and streams their values until one
    /// fails. As [`ConcurrentIterator::try_map_concurrent`].
    ///
    /// # Errors
    ///
    /// The first error, as the last item, when everything else has ended.
    #[track_caller]
    fn try_map_concurrent<F, Fut, T, E>(self, limit: usize, f: F) -> TryMapConcurrent<Self, F, Fut, T, E>
    where
        F: FnMut(Self::Item) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        TryMapConcurrent::new(Feed::new(self, f, limit))
    }

    /// Runs a future for each item, at most `limit` at a time. As [`ConcurrentIterator::each_concurrent`].
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

    /// Runs a future for each item, at most `limit` at a time, until one fails. As
    /// [`ConcurrentIterator::try_each_concurrent`].
    ///
    /// # Errors
    ///
    /// The first error, when everything else has ended.
    ///
    /// ```
    /// use foster::ConcurrentStream;
    /// use futures::stream;
    ///
    /// # futures::executor::block_on(async {
    /// let served = stream::iter(1..).try_each_concurrent(8, async |n| { if n < 100 { Ok(()) } else { Err("full") } });
    /// assert_eq!(served.await, Err("full"));
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
