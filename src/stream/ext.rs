//! Methods for every stream.

use std::time::Duration;

use futures_core::Stream;

use super::buffer::{self, Buffered};
use super::shape::{MapWith, PacedBy, Until};
use super::timed::{ChunksTimeout, Debounce, Sample, Throttle, TimeoutEach};
use crate::scope::Scope;
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

    /// Lets at least `period` pass from one item to the next. No item is lost.
    fn throttle(self, period: Duration) -> Throttle<Self> {
        Throttle::new(self, period)
    }

    /// Streams an item when there has been no other for `quiet`: the last of each burst, and the last of all.
    fn debounce(self, quiet: Duration) -> Debounce<Self> {
        Debounce::new(self, quiet)
    }

    /// Streams the latest item every `period`, where there has been one; and the last of all.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    #[track_caller]
    fn sample(self, period: Duration) -> Sample<Self> {
        Sample::new(self, period)
    }

    /// Streams an error where an item takes longer than `within`, counted from when it is asked for; and goes on after.
    ///
    /// # Errors
    ///
    /// [`Elapsed`](crate::Elapsed), as an item.
    fn timeout_each(self, within: Duration) -> TimeoutEach<Self> {
        TimeoutEach::new(self, within)
    }

    /// Waits for `permit()` before each item: the place for a rate limit.
    ///
    /// # Cancellation
    ///
    /// A permit that was waited for is kept for the next item.
    fn paced_by<F, Fut>(self, permit: F) -> PacedBy<Self, F, Fut>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = ()>,
    {
        PacedBy::new(self, permit)
    }

    /// Ends when `token` is cancelled.
    ///
    /// ```
    /// use foster::{StreamExt as _, Token};
    /// use futures::{StreamExt, stream};
    ///
    /// # futures::executor::block_on(async {
    /// let token = Token::new();
    /// let numbers = stream::iter(1..).until(&token);
    /// let cancel = |n| async move { n };
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
    /// The child is the scope's: when the scope is cancelled, this stream ends. Dropping this drops the stream.
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
    /// let sum: u32 = scope(|s| async move {
    ///     stream::iter([1, 2, 3]).in_scope(&s, 2).fold(0, |sum, n| async move { sum + n }).await
    /// }).await;
    /// assert_eq!(sum, 6);
    /// # });
    /// ```
    #[track_caller]
    fn in_scope<'env, E>(self, scope: &Scope<'env, E>, buffer: usize) -> Buffered<Self::Item>
    where
        Self: Send + 'env,
        Self::Item: Send + 'env,
    {
        buffer::in_scope(self, scope, buffer)
    }

    /// Has a child of `scope` drive the stream for `n` consumers, each of which gets every item exactly once.
    ///
    /// The slowest sets the pace, with `buffer` items between it and the fastest. A consumer that is dropped is not waited for.
    ///
    /// # Cancellation
    ///
    /// As for [`in_scope`](StreamExt::in_scope).
    ///
    /// # Panics
    ///
    /// If `buffer` is 0.
    #[track_caller]
    fn split_in_scope<'env, E>(self, scope: &Scope<'env, E>, n: usize, buffer: usize) -> Vec<Buffered<Self::Item>>
    where
        Self: Send + 'env,
        Self::Item: Clone + Send + 'env,
    {
        buffer::split_in_scope(self, scope, n, buffer)
    }
}

impl<S: Stream> StreamExt for S {}
