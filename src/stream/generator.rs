//! Makes streams of `async` blocks.
//!
//! The body of a generator and the stream share a slot. The body puts a value into it and waits.
//! The stream takes the value and wakes the body. A value may also come from elsewhere, through a
//! clone of the emitter, so the slot has a line of those who wait.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::stream::{FusedStream, Stream};

use crate::engine::atomics::ShortLock;
use crate::panic::wake_all;

/// Returns a stream of the values that `body` emits. This is an async generator without a macro.
///
/// The body runs while the stream is polled. It waits in [`emit`](Emitter::emit) until its value
/// has been taken, so a slow consumer slows it down. The body may borrow. Where a function returns
/// the stream, write `async move |y|`, so that the body owns the parameters. This is the
/// counterpart of Python's `async def` with `yield`.
///
/// # Cancellation
///
/// When the consumer drops the stream, the body is dropped where it waits. Unlike in Python, no
/// cleanup that awaits runs then. For that, use [`defer`](crate::Scope::defer) of a scope that
/// encloses the stream.
///
/// # Cost
///
/// Three allocations, however many values are emitted. One of them holds the body, so the stream is
/// `Unpin`.
///
/// ```
/// use foster::stream::generator;
/// use futures::StreamExt;
///
/// # futures::executor::block_on(async {
/// let mut squares = generator(async |y| {
///     for n in 1.. {
///         _ = y.emit(n * n).await;
///     }
/// });
/// assert_eq!(squares.next().await, Some(1));
/// assert_eq!(squares.take(2).collect::<Vec<_>>().await, [4, 9]);
/// # });
/// ```
pub fn generator<T, F, Fut>(body: F) -> Generator<T, Fut>
where
    F: FnOnce(Emitter<T>) -> Fut,
    Fut: Future<Output = ()>,
{
    let slot = Arc::new(YieldSlot::new());
    let body = Box::pin(body(Emitter { slot: Arc::clone(&slot) }));
    Generator { body: Some(body), output: None, outlet: Outlet { slot } }
}

/// Returns a stream of the values that `body` emits, each as `Ok`, and of the error that it
/// returns. So the body may use `?`.
///
/// Otherwise it is like [`generator`]. After an error the stream ends.
///
/// ```
/// use foster::stream::try_generator;
/// use futures::TryStreamExt;
///
/// # futures::executor::block_on(async {
/// let numbers = try_generator(async |y| {
///     for word in ["1", "2", "x"] {
///         _ = y.emit(word.parse::<u32>()?).await;
///     }
///     Ok::<_, std::num::ParseIntError>(())
/// });
/// assert!(numbers.try_collect::<Vec<_>>().await.is_err());
/// # });
/// ```
pub fn try_generator<T, E, F, Fut>(body: F) -> TryGenerator<T, Fut>
where
    F: FnOnce(Emitter<T>) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let slot = Arc::new(YieldSlot::new());
    let body = Box::pin(body(Emitter { slot: Arc::clone(&slot) }));
    TryGenerator { generator: Generator { body: Some(body), output: None, outlet: Outlet { slot } } }
}

/// The place where a value passes from the body to the stream.
struct YieldSlot<T> {
    /// Under this lock, no waker is cloned, woken or dropped, and no value is dropped.
    state: ShortLock<State<T>>,
}

struct State<T> {
    /// The value to be taken next. It is that of the first in `line`.
    value: Option<T>,
    /// Those whose values have not been taken, in the order of their first polls. Their tickets
    /// ascend.
    line: VecDeque<Waiting>,
    /// The next ticket.
    tickets: u64,
    /// The waker of the stream, while it waits for a value that may come from outside its own poll.
    stream: Option<Waker>,
    /// Whether the stream takes no more values.
    ended: bool,
}

struct Waiting {
    ticket: u64,
    waker: Option<Waker>,
}

impl<T> State<T> {
    /// Returns the place of a ticket in the line, or `None` once its value has been taken.
    fn place(&self, ticket: u64) -> Option<usize> {
        self.line.binary_search_by_key(&ticket, |waiting| waiting.ticket).ok()
    }

    /// Adds a place to the end of the line, and returns its ticket.
    fn join(&mut self) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        self.line.push_back(Waiting { ticket, waker: None });
        ticket
    }

    /// Takes the waker of the first in the line, whose turn it is.
    fn next(&mut self) -> Option<Waker> {
        self.line.front_mut().and_then(|first| first.waker.take())
    }
}

impl<T> YieldSlot<T> {
    fn new() -> Self {
        let state = State { value: None, line: VecDeque::new(), tickets: 0, stream: None, ended: false };
        YieldSlot { state: ShortLock::new(state) }
    }

    /// Takes the value from the slot, and wakes its emitter and the next one.
    fn take(&self) -> Option<T> {
        let mut state = self.state.lock();
        let stream = state.stream.take();
        let value = state.value.take();
        let (taken, next) = if value.is_some() {
            (state.line.pop_front().and_then(|first| first.waker), state.next())
        } else {
            (None, None)
        };
        drop(state);
        drop(stream);
        wake_all(taken.into_iter().chain(next));
        value
    }

    /// Takes the last value there is, if there is one, and otherwise no more.
    fn take_or_close(&self) -> Option<T> {
        loop {
            let value = self.take();
            // Again, now under the lock: a value may have come since.
            if value.is_some() || self.close(|state| state.value.is_none()) {
                return value;
            }
        }
    }

    /// Takes no more values, if `may_close`, and wakes those who wait, who then get their values
    /// back.
    fn close(&self, may_close: impl FnOnce(&State<T>) -> bool) -> bool {
        let mut state = self.state.lock();
        if !may_close(&state) {
            return false;
        }
        state.ended = true;
        // The first in the line waits with a waker, unless it has left its value here.
        let is_left = state.line.front().is_some_and(|first| first.waker.is_none());
        let left = if is_left { state.value.take() } else { None };
        let stream = state.stream.take();
        let wakers: Vec<_> = state.line.iter_mut().filter_map(|waiting| waiting.waker.take()).collect();
        drop(state);
        wake_all(wakers);
        drop((stream, left));
        true
    }

    /// Waits for a value, which may come from another thread.
    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<T> {
        loop {
            if let Some(value) = self.take() {
                return Poll::Ready(value);
            }
            let waker = cx.waker().clone();
            let mut state = self.state.lock();
            // Again, now under the lock: a value may have come since, and nobody was woken for it.
            if state.value.is_none() {
                state.stream = Some(waker);
                return Poll::Pending;
            }
        }
    }
}

/// The stream's end of a slot. It closes the slot when it is dropped.
struct Outlet<T> {
    slot: Arc<YieldSlot<T>>,
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        self.slot.close(|_| true);
    }
}

/// Emits the values of a generator. Clones emit into the same stream.
///
/// ```
/// use foster::stream::{Emitter, generator};
/// use futures::StreamExt;
///
/// # futures::executor::block_on(async {
/// fn walk(depth: u32, y: Emitter<u32>) -> futures::future::BoxFuture<'static, ()> {
///     Box::pin(async move {
///         _ = y.emit(depth).await;
///         if depth < 3 {
///             walk(depth + 1, y.clone()).await;   // `yield from`
///         }
///     })
/// }
/// assert_eq!(generator(|y| walk(0, y)).collect::<Vec<_>>().await, [0, 1, 2, 3]);
/// # });
/// ```
pub struct Emitter<T> {
    slot: Arc<YieldSlot<T>>,
}

impl<T> Emitter<T> {
    /// Gives `value` to the stream, and waits until it has been taken.
    ///
    /// Values that are emitted at the same time are taken in the order in which their futures were
    /// first polled.
    ///
    /// # Cancellation
    ///
    /// If this is dropped before its turn, the value is not emitted. From its turn on, the stream
    /// may still take the value.
    ///
    /// # Errors
    ///
    /// Returns [`EmitError`] with the value if the stream has ended or was dropped. This never
    /// happens inside the body of the generator, which is dropped with the stream. So the body may
    /// ignore the result, with `_ = y.emit(value).await`. An emitter that was passed elsewhere,
    /// such as to a [parallel child](crate::Scope::spawn_parallel), may outlive the stream.
    ///
    /// ```
    /// use foster::stream::generator;
    ///
    /// # futures::executor::block_on(async {
    /// let mut kept = None;
    /// drop(generator(|y| {
    ///     kept = Some(y.clone());
    ///     async move { _ = y.emit(1).await }
    /// }));
    /// let error = kept.unwrap().emit(2).await.unwrap_err();
    /// assert_eq!(error.into_inner(), 2);
    /// # });
    /// ```
    pub fn emit(&self, value: T) -> Emit<'_, T> {
        Emit { slot: &self.slot, value: Some(value), ticket: None }
    }
}

impl<T> Clone for Emitter<T> {
    fn clone(&self) -> Self {
        Emitter { slot: Arc::clone(&self.slot) }
    }
}

impl<T> fmt::Debug for Emitter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter").finish_non_exhaustive()
    }
}

/// The future of [`Emitter::emit`].
#[must_use = "nothing is emitted unless this is awaited"]
pub struct Emit<'a, T> {
    slot: &'a YieldSlot<T>,
    /// The value, until it is in the slot.
    value: Option<T>,
    /// Its ticket, from the first poll on.
    ticket: Option<u64>,
}

impl<T> Unpin for Emit<'_, T> {}

impl<T> Future for Emit<'_, T> {
    type Output = Result<(), EmitError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut state = this.slot.state.lock();
        let ticket = *this.ticket.get_or_insert_with(|| state.join());
        let Some(place) = state.place(ticket) else {
            drop(state);
            return Poll::Ready(Ok(()));
        };
        if state.ended {
            let own = state.line.remove(place);
            // If the value is not here, it is in the slot.
            let value = this.value.take().or_else(|| state.value.take());
            drop(state);
            drop(own);
            return Poll::Ready(value.map_or(Ok(()), |value| Err(EmitError { value })));
        }
        let before = state.line[place].waker.replace(waker);
        let mut stream = None;
        if place == 0 && state.value.is_none() {
            state.value = this.value.take();
            stream = state.stream.take();
        }
        drop(state);
        drop(before);
        if let Some(stream) = stream {
            stream.wake();
        }
        Poll::Pending
    }
}

impl<T> Drop for Emit<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.slot.state.lock();
        let Some(place) = state.place(ticket) else { return };
        let own = state.line[place].waker.take();
        // A value in the slot is that of the first. It and its place stay for the stream, if there
        // still is one.
        let left = if self.value.is_none() && state.ended { state.value.take() } else { None };
        if self.value.is_some() || left.is_some() {
            state.line.remove(place);
        }
        let next = if place == 0 && state.value.is_none() { state.next() } else { None };
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
        drop((own, left));
    }
}

impl<T> fmt::Debug for Emit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit").finish_non_exhaustive()
    }
}

/// The error of [`Emitter::emit`], if the stream has ended or was dropped. It holds the value.
pub struct EmitError<T> {
    value: T,
}

impl<T> EmitError<T> {
    /// Returns the value that was not emitted.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> fmt::Debug for EmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmitError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for EmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the generator's stream has ended, and takes no more values")
    }
}

impl<T> std::error::Error for EmitError<T> {}

/// The stream of [`generator`].
#[must_use = "streams do nothing unless polled"]
pub struct Generator<T, Fut: Future> {
    /// `None` once it has returned.
    body: Option<Pin<Box<Fut>>>,
    /// What the body returned, until the stream gives it out. A value that the body left in the
    /// slot, by dropping its `emit`, comes first.
    output: Option<Fut::Output>,
    /// After `body`, since fields are dropped in this order: the body must not see that the slot is
    /// closed.
    outlet: Outlet<T>,
}

impl<T, Fut: Future> Unpin for Generator<T, Fut> {}

impl<T, Fut: Future> Generator<T, Fut> {
    fn has_ended(&self) -> bool {
        self.body.is_none() && self.output.is_none() && self.outlet.slot.state.lock().value.is_none()
    }

    /// Waits for the next value, or for what the body returns. Returns `None` once both have been
    /// given out.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Fut::Output>>> {
        let slot = &self.outlet.slot;
        loop {
            let Some(body) = &mut self.body else {
                let value = slot.take_or_close().map(Ok);
                return Poll::Ready(value.or_else(|| self.output.take().map(Err)));
            };
            if let Some(value) = slot.take() {
                return Poll::Ready(Some(Ok(value)));
            }
            match body.as_mut().poll(cx) {
                Poll::Ready(output) => {
                    self.body = None;
                    self.output = Some(output);
                }
                Poll::Pending => return slot.poll_take(cx).map(|value| Some(Ok(value))),
            }
        }
    }
}

impl<T, Fut: Future<Output = ()>> Stream for Generator<T, Fut> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match self.poll_body(cx) {
                Poll::Ready(Some(Ok(value))) => return Poll::Ready(Some(value)),
                Poll::Ready(Some(Err(()))) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, Fut: Future<Output = ()>> FusedStream for Generator<T, Fut> {
    fn is_terminated(&self) -> bool {
        self.has_ended()
    }
}

impl<T, Fut: Future> fmt::Debug for Generator<T, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

/// The stream of [`try_generator`].
#[must_use = "streams do nothing unless polled"]
pub struct TryGenerator<T, Fut: Future> {
    generator: Generator<T, Fut>,
}

impl<T, E, Fut: Future<Output = Result<(), E>>> Stream for TryGenerator<T, Fut> {
    type Item = Result<T, E>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        loop {
            match self.generator.poll_body(cx) {
                Poll::Ready(Some(Ok(value))) => return Poll::Ready(Some(Ok(value))),
                Poll::Ready(Some(Err(Err(error)))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Err(Ok(())))) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, E, Fut: Future<Output = Result<(), E>>> FusedStream for TryGenerator<T, Fut> {
    fn is_terminated(&self) -> bool {
        self.generator.has_ended()
    }
}

impl<T, Fut: Future> fmt::Debug for TryGenerator<T, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGenerator").finish_non_exhaustive()
    }
}
