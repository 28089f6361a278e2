//! Drives streams in children of a scope, for one consumer or for several.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::source::BATCH;
use crate::engine::atomics::ShortLock;
use crate::panic::{discard, wake_all};
use crate::scope::AnyScope;
use crate::time::yield_now;

/// Holds items between a producer and its consumers, each of which gets all items.
struct Buffer<T> {
    /// Under this lock, no waker is cloned, woken or dropped, and no item is cloned or dropped.
    state: ShortLock<State<T>>,
    /// How many items may wait for one consumer.
    capacity: usize,
}

struct State<T> {
    consumers: Vec<Consumer<T>>,
    /// The waker of the producer. It waits for room, for an item of its stream, or for the last
    /// consumer to leave.
    producer: Option<Waker>,
    /// Whether the producer waits for room. Then, and only then, taking an item wakes it.
    full: bool,
    /// Whether the producer has ended.
    ended: bool,
}

struct Consumer<T> {
    /// The items that it has not taken. Empty once it is gone.
    items: VecDeque<T>,
    waker: Option<Waker>,
    gone: bool,
}

impl<T> Buffer<T> {
    #[track_caller]
    fn new(consumers: usize, capacity: usize) -> Arc<Self> {
        assert!(capacity > 0, "a buffer of 0 items would never pass one on; use 1 or more");
        let consumers = (0..consumers).map(|_| Consumer { items: VecDeque::new(), waker: None, gone: false }).collect();
        let state = State { consumers, producer: None, full: false, ended: false };
        Arc::new(Buffer { state: ShortLock::new(state), capacity })
    }

    /// Waits until every consumer has room for one more item. Returns false if all consumers are
    /// gone.
    ///
    /// It registers the waker even when there is room. So the producer hears of the last consumer's
    /// leave while it waits for its stream.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let waker = cx.waker().clone();
        let mut state = self.state.lock();
        let before = state.producer.replace(waker);
        let deserted = state.consumers.iter().all(|consumer| consumer.gone);
        state.full = state.consumers.iter().any(|consumer| consumer.items.len() >= self.capacity);
        let full = state.full;
        drop(state);
        drop(before);
        if full { Poll::Pending } else { Poll::Ready(!deserted) }
    }

    /// Waits for room, and then for the next item of `stream`. Returns `None` at the end of the
    /// stream, and when all consumers are gone.
    fn poll_item<S>(&self, stream: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<Option<T>>
    where
        S: Stream<Item = T>,
    {
        if ready!(self.poll_room(cx)) { stream.poll_next(cx) } else { Poll::Ready(None) }
    }

    /// Gives `item` to a consumer, or drops it if the consumer is gone.
    fn push(&self, consumer: usize, item: T) {
        let mut state = self.state.lock();
        let consumer = &mut state.consumers[consumer];
        if consumer.gone {
            drop(state);
            drop(item);
            return;
        }
        consumer.items.push_back(item);
        let waker = consumer.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits for the next item of a consumer. Returns `None` at the end.
    fn poll_next(&self, consumer: usize, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let waker = cx.waker().clone();
        let mut state = self.state.lock();
        let ended = state.ended;
        let own = &mut state.consumers[consumer];
        let Some(item) = own.items.pop_front() else {
            if ended {
                return Poll::Ready(None);
            }
            let before = own.waker.replace(waker);
            drop(state);
            drop(before);
            return Poll::Pending;
        };
        let producer = if state.full { state.producer.take() } else { None };
        drop(state);
        // Its destructor may panic, and the item would be lost.
        discard(waker);
        if let Some(producer) = producer {
            producer.wake();
        }
        Poll::Ready(Some(item))
    }

    /// Tells the consumers that no more items come.
    fn end(&self) {
        let mut state = self.state.lock();
        state.ended = true;
        let wakers: Vec<_> = state.consumers.iter_mut().filter_map(|consumer| consumer.waker.take()).collect();
        drop(state);
        wake_all(wakers);
    }

    /// Drops the items of a consumer, and wakes the producer, which no longer waits for it.
    fn leave(&self, consumer: usize) {
        let mut state = self.state.lock();
        let own = &mut state.consumers[consumer];
        own.gone = true;
        let left = (std::mem::take(&mut own.items), own.waker.take());
        let producer = state.producer.take();
        drop(state);
        // The items go last, because the destructor of one may panic.
        if let Some(producer) = producer {
            producer.wake();
        }
        drop(left);
    }

    /// Returns whether a consumer has taken its last item.
    fn has_ended(&self, consumer: usize) -> bool {
        let state = self.state.lock();
        state.ended && state.consumers[consumer].items.is_empty()
    }
}

/// Ends the buffer when it is dropped, so that consumers also hear of a producer that was cancelled
/// or panicked.
struct Producer<T>(Arc<Buffer<T>>);

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A consumer of a stream that a child of a scope drives. It comes from
/// [`in_scope`](super::StreamExt::in_scope) and
/// [`split_in_scope`](super::StreamExt::split_in_scope).
///
/// Dropping it drops the items that it has not taken. The stream goes on for the other consumers,
/// and is dropped when there are none.
#[must_use = "streams do nothing unless polled"]
pub struct Buffered<T> {
    buffer: Arc<Buffer<T>>,
    consumer: usize,
}

impl<T> Stream for Buffered<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.buffer.poll_next(self.consumer, cx)
    }
}

impl<T> FusedStream for Buffered<T> {
    fn is_terminated(&self) -> bool {
        self.buffer.has_ended(self.consumer)
    }
}

impl<T> Drop for Buffered<T> {
    fn drop(&mut self) {
        self.buffer.leave(self.consumer);
    }
}

impl<T> fmt::Debug for Buffered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

/// Gives each item of `stream` to `give`.
///
/// Every [`BATCH`] items it yields, so that a stream that is always ready does not keep the
/// consumers from their turns.
async fn drive<S: Stream>(stream: S, producer: Producer<S::Item>, give: impl Fn(&Buffer<S::Item>, S::Item)) {
    let mut stream = pin!(stream);
    let mut streak = 0;
    while let Some(item) = poll_fn(|cx| producer.0.poll_item(stream.as_mut(), cx)).await {
        give(&producer.0, item);
        streak += 1;
        if streak == BATCH {
            streak = 0;
            yield_now().await;
        }
    }
}

/// Starts a child of `scope` that drives `stream` for one consumer.
#[track_caller]
pub(super) fn in_scope<'env, S>(stream: S, scope: &impl AnyScope<'env>, capacity: usize) -> Buffered<S::Item>
where
    S: Stream + Send + 'env,
    S::Item: Send + 'env,
{
    let buffer = Buffer::new(1, capacity);
    let producer = Producer(Arc::clone(&buffer));
    scope.start(drive(stream, producer, |buffer, item| buffer.push(0, item)));
    Buffered { buffer, consumer: 0 }
}

/// Starts a child of `scope` that drives `stream` for `n` consumers.
#[track_caller]
pub(super) fn split_in_scope<'env, S>(
    stream: S,
    scope: &impl AnyScope<'env>,
    n: usize,
    capacity: usize,
) -> Vec<Buffered<S::Item>>
where
    S: Stream + Send + 'env,
    S::Item: Clone + Send + 'env,
{
    let buffer = Buffer::new(n, capacity);
    let producer = Producer(Arc::clone(&buffer));
    scope.start(drive(stream, producer, move |buffer, item: S::Item| {
        for consumer in 1..n {
            buffer.push(consumer, item.clone());
        }
        // Last, since the other consumers get clones of it.
        buffer.push(0, item);
    }));
    (0..n).map(|consumer| Buffered { buffer: Arc::clone(&buffer), consumer }).collect()
}
