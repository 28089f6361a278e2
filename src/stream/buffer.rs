//! Streams that go on while nobody polls them, and streams with several consumers.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;

use super::feed::BATCH;
use crate::scope::AnyScope;
use crate::time::yield_now;

/// Items on their way from a producer to consumers, each of which gets all of them.
struct Buffer<T> {
    /// No waker is cloned, woken or dropped under this lock, and no item cloned or dropped.
    state: Mutex<State<T>>,
    capacity: usize,
}

struct State<T> {
    consumers: Vec<Consumer<T>>,
    /// The producer, waiting for room, an item, or the last consumer's leave.
    producer: Option<Waker>,
    /// Whether it is room that it waits for.
    full: bool,
    over: bool,
}

struct Consumer<T> {
    /// Empty once it is gone.
    items: VecDeque<T>,
    waker: Option<Waker>,
    gone: bool,
}

impl<T> Buffer<T> {
    #[track_caller]
    fn new(consumers: usize, capacity: usize) -> Arc<Self> {
        assert!(capacity > 0, "a buffer of 0 items would never pass one on; use 1 or more");
        let consumers = (0..consumers).map(|_| Consumer { items: VecDeque::new(), waker: None, gone: false }).collect();
        let state = State { consumers, producer: None, full: false, over: false };
        Arc::new(Buffer { state: Mutex::new(state), capacity })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every consumer has room for one more. False if there are no consumers any more, and the waker is
    /// woken when that comes true.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        let before = state.producer.replace(waker);
        let deserted = state.consumers.iter().all(|consumer| consumer.gone);
        state.full = state.consumers.iter().any(|consumer| consumer.items.len() >= self.capacity);
        let full = state.full;
        drop(state);
        drop(before);
        if full { Poll::Pending } else { Poll::Ready(!deserted) }
    }

    /// The next item of `stream`, once there is room for it. `None` at its end, or if there are no consumers any more.
    fn poll_item<S>(&self, stream: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<Option<T>>
    where
        S: Stream<Item = T>,
    {
        match ready!(self.poll_room(cx)) {
            true => stream.poll_next(cx),
            false => Poll::Ready(None),
        }
    }

    /// Gives `item` to a consumer, unless it is gone.
    fn push(&self, consumer: usize, item: T) {
        let mut state = self.lock();
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

    fn poll_next(&self, consumer: usize, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        let over = state.over;
        let own = &mut state.consumers[consumer];
        let Some(item) = own.items.pop_front() else {
            if over {
                return Poll::Ready(None);
            }
            let before = own.waker.replace(waker);
            drop(state);
            drop(before);
            return Poll::Pending;
        };
        let producer = if state.full { state.producer.take() } else { None };
        drop(state);
        if let Some(producer) = producer {
            producer.wake();
        }
        Poll::Ready(Some(item))
    }

    fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        let wakers: Vec<_> = state.consumers.iter_mut().filter_map(|consumer| consumer.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn leave(&self, consumer: usize) {
        let mut state = self.lock();
        let own = &mut state.consumers[consumer];
        own.gone = true;
        let left = (std::mem::take(&mut own.items), own.waker.take());
        let producer = state.producer.take();
        drop(state);
        drop(left);
        if let Some(producer) = producer {
            producer.wake();
        }
    }

    fn is_over(&self, consumer: usize) -> bool {
        let state = self.lock();
        state.over && state.consumers[consumer].items.is_empty()
    }
}

/// Ends the buffer, also when the producer is cancelled or panics.
struct Producer<T>(Arc<Buffer<T>>);

impl<T> Drop for Producer<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// A consumer of a stream that a scope's child drives; from [`in_scope`](super::StreamExt::in_scope) and
/// [`split_in_scope`](super::StreamExt::split_in_scope).
///
/// Dropping it drops the items that it has not taken, and lets the stream go on without it; when nobody is left, the stream
/// is dropped.
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
        self.buffer.is_over(self.consumer)
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

/// Passes the items of `stream` on to `give`, and lets others have their turn now and then.
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

/// Has a child of `scope` drive `stream`, for one consumer.
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

/// Has a child of `scope` drive `stream`, for `n` consumers.
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
        buffer.push(0, item);
    }));
    (0..n).map(|consumer| Buffered { buffer: Arc::clone(&buffer), consumer }).collect()
}
