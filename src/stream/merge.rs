//! Makes one stream of several.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::inputs::{AlikeStreams, Streams};
use crate::engine::{Answer, Set};

/// How many items are streamed before the executor gets its turn.
const STREAK: u32 = 61;

/// Counts the items that a set of streams gives in a row.
///
/// A set that has ended a pass returns pending. As long as passes give items, another one is begun
/// at once, up to [`STREAK`] items.
struct Streak {
    /// Whether this pass has given an item, so that another pass is worth while.
    gave: bool,
    /// How many items came since the executor had its turn.
    length: u32,
}

impl Streak {
    fn new() -> Self {
        Streak { gave: false, length: 0 }
    }

    fn give(&mut self) {
        self.gave = true;
        self.length += 1;
    }

    /// Ends a pass, and returns whether the next one begins at once. Otherwise the executor gets
    /// its turn.
    fn goes_on(&mut self) -> bool {
        let goes_on = self.gave && self.length < STREAK;
        self.gave = false;
        if !goes_on {
            self.length = 0;
        }
        goes_on
    }
}

/// Streams the items of several streams in the order in which they come, and ends with the last
/// stream.
///
/// It is fair: a stream that is always ready gets one turn among those of the others. If there are
/// no streams, it ends at once. This is the counterpart of `futures::stream::select_all`.
///
/// # Cancellation
///
/// No item is taken from a stream before it is returned. So dropping this loses no item.
///
/// # Cost
///
/// One allocation for each 64 streams. Only streams that are woken are polled.
///
/// ```
/// use foster::stream::merge;
/// use futures::{StreamExt, stream};
///
/// # futures::executor::block_on(async {
/// let merged = merge((stream::iter([1, 2]), stream::iter([10, 20])));
/// assert_eq!(merged.collect::<Vec<_>>().await, [1, 10, 2, 20]);
/// # });
/// ```
pub fn merge<Shape, S: AlikeStreams<Shape>>(streams: S) -> Merge<S::Member> {
    Merge { set: Set::collect(streams.members()), streak: Streak::new() }
}

/// The stream of [`merge`].
#[must_use = "streams do nothing unless polled"]
pub struct Merge<S> {
    set: Set<S>,
    streak: Streak,
}

impl<S> Unpin for Merge<S> {}

impl<S: Stream> Stream for Merge<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = &mut *self;
        loop {
            let polled = this.set.poll_until(cx, |_, stream, cx| {
                stream.poll_next(cx).map(|item| item.map_or(Answer::Done, Answer::Item))
            });
            match polled {
                Poll::Ready(item) => {
                    this.streak.give();
                    return Poll::Ready(item);
                }
                Poll::Pending if this.streak.goes_on() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: Stream> FusedStream for Merge<S> {
    fn is_terminated(&self) -> bool {
        self.set.is_empty()
    }
}

impl<S> fmt::Debug for Merge<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("streams", &self.set.len()).finish_non_exhaustive()
    }
}

/// Streams one item of each stream at a time, until one of them ends.
///
/// It takes a tuple and streams tuples, or takes anything else that iterates over streams and
/// streams `Vec`s. The streams run concurrently. If there are no streams, it ends at once. This is
/// the counterpart of `futures::StreamExt::zip`.
///
/// # Cancellation
///
/// Dropping this loses the items that wait for the items of the other streams. So does the end of a
/// stream.
///
/// # Cost
///
/// The same as for [`merge`], and two allocations for each row.
///
/// ```
/// use foster::stream::zip;
/// use futures::{StreamExt, stream};
///
/// # futures::executor::block_on(async {
/// let zipped = zip((stream::iter([1, 2, 3]), stream::iter(["a", "b"])));
/// assert_eq!(zipped.collect::<Vec<_>>().await, [(1, "a"), (2, "b")]);
/// # });
/// ```
pub fn zip<Shape, S: Streams<Shape>>(streams: S) -> Zip<S::Member, S::Items> {
    let set = Set::collect(streams.members());
    let mut row = Vec::new();
    row.resize_with(set.keys().last().map_or(0, |key| key.index() + 1), || None);
    Zip { missing: set.len(), completed: set.is_empty(), set, row, streak: Streak::new(), shape: S::items }
}

/// The stream of [`zip`].
#[must_use = "streams do nothing unless polled"]
pub struct Zip<M: Stream, R> {
    set: Set<M>,
    /// The items that have come for the next row, each in the place of its stream.
    row: Vec<Option<M::Item>>,
    /// How many streams have not given their item of the row.
    missing: usize,
    streak: Streak,
    /// Whether one of the streams has ended.
    completed: bool,
    /// Makes of a row what the streams were in: a tuple or a `Vec`.
    shape: fn(Vec<M::Item>) -> R,
}

impl<M: Stream, R> Unpin for Zip<M, R> {}

impl<M: Stream, R> Stream for Zip<M, R> {
    type Item = R;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<R>> {
        let this = &mut *self;
        if this.completed {
            return Poll::Ready(None);
        }
        loop {
            let (row, missing) = (&mut this.row, &mut this.missing);
            let polled = this.set.poll_until(cx, |key, stream, cx| {
                let place = &mut row[key.index()];
                if place.is_some() {
                    // It has its item. The next row wakes it.
                    return Poll::Pending;
                }
                match stream.poll_next(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(None) => Poll::Ready(Answer::Last(None)),
                    Poll::Ready(Some(item)) => {
                        *place = Some(item);
                        *missing -= 1;
                        if *missing > 0 { Poll::Pending } else { Poll::Ready(Answer::Item(Some(()))) }
                    }
                }
            });
            match polled {
                Poll::Pending if this.streak.goes_on() => {}
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Some(()))) => {
                    let items = (this.shape)(this.row.iter_mut().filter_map(Option::take).collect());
                    this.missing = this.set.len();
                    let keys: Vec<_> = this.set.keys().collect();
                    keys.into_iter().for_each(|key| this.set.wake(key));
                    this.streak.give();
                    return Poll::Ready(Some(items));
                }
                Poll::Ready(Some(None) | None) => {
                    this.completed = true;
                    this.set.clear();
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<M: Stream, R> FusedStream for Zip<M, R> {
    fn is_terminated(&self) -> bool {
        self.completed
    }
}

impl<M: Stream, R> fmt::Debug for Zip<M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zip").field("streams", &self.set.len()).finish_non_exhaustive()
    }
}

/// Streams all items of the first stream, then all of the second, and so on. If there are no
/// streams, it ends at once.
///
/// # Cancellation
///
/// No item is taken from a stream before it is returned. So dropping this loses no item.
///
/// ```
/// use foster::stream::chain;
/// use futures::{StreamExt, stream};
///
/// # futures::executor::block_on(async {
/// let chained = chain(vec![stream::iter([1, 2]), stream::iter([3, 4])]);
/// assert_eq!(chained.collect::<Vec<_>>().await, [1, 2, 3, 4]);
/// # });
/// ```
pub fn chain<Shape, S: AlikeStreams<Shape>>(streams: S) -> Chain<S::Member> {
    let rest: Vec<_> = streams.members().collect();
    Chain { current: None, rest: rest.into_iter() }
}

pin_project! {
    /// The stream of [`chain`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Chain<S> {
        #[pin]
        current: Option<S>,
        rest: std::vec::IntoIter<S>,
    }
}

impl<S: Stream> Stream for Chain<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        loop {
            if let Some(current) = this.current.as_mut().as_pin_mut() {
                match current.poll_next(cx) {
                    Poll::Ready(None) => this.current.set(None),
                    polled => return polled,
                }
            }
            let Some(next) = this.rest.next() else { return Poll::Ready(None) };
            this.current.set(Some(next));
        }
    }
}

impl<S: Stream> FusedStream for Chain<S> {
    fn is_terminated(&self) -> bool {
        self.current.is_none() && self.rest.len() == 0
    }
}

impl<S> fmt::Debug for Chain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("rest", &self.rest.len()).finish_non_exhaustive()
    }
}
