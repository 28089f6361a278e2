//! Streams written as `async` blocks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

/// A stream of what `body` emits: an async generator, without a macro.
///
/// The body runs while the stream is polled, and waits in [`emit`](Emitter::emit) until its value has been taken, so a slow
/// consumer slows it down. When the consumer stops and drops the stream, the body is dropped at its `emit`. It may borrow.
/// The counterpart of Python's `async def` with `yield`.
///
/// # Cost
///
/// One allocation.
///
/// ```
/// use foster::stream::generator;
/// use futures::StreamExt;
///
/// # futures::executor::block_on(async {
/// let squares = generator(|y| async move {
///     for n in 1.. {
///         y.emit(n * n).await;
///     }
/// });
/// assert_eq!(squares.take(3).collect::<Vec<_>>().await, [1, 4, 9]);
/// # });
/// ```
pub fn generator<T, F, Fut>(body: F) -> Generator<T, Fut>
where
    F: FnOnce(Emitter<T>) -> Fut,
    Fut: Future<Output = ()>,
{
    let slot = Arc::new(Slot { state: Mutex::new(State { value: None, waiting: Vec::new() }) });
    let body = body(Emitter { slot: Arc::clone(&slot) });
    Generator { body: Some(body), slot }
}

/// A stream of what `body` emits, as `Ok`, and of the error with which it ends, if it does: the body may use `?`.
///
/// As [`generator`].
///
/// ```
/// use foster::stream::try_generator;
/// use futures::TryStreamExt;
///
/// # futures::executor::block_on(async {
/// let numbers = try_generator(|y| async move {
///     for word in ["1", "2", "x"] {
///         y.emit(word.parse::<u32>()?).await;
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
    let slot = Arc::new(Slot { state: Mutex::new(State { value: None, waiting: Vec::new() }) });
    let body = body(Emitter { slot: Arc::clone(&slot) });
    TryGenerator { generator: Generator { body: Some(body), slot } }
}

/// Where a value passes from the body to the stream.
struct Slot<T> {
    /// No waker is cloned, woken or dropped under this lock, and no value dropped.
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Option<T>,
    /// Emitters that wait for the slot, or for their value to be taken.
    waiting: Vec<Waker>,
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        let value = state.value.take();
        let waiting = if value.is_some() { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        value
    }
}

/// Through which a generator's body emits. Clones emit into the same stream.
pub struct Emitter<T> {
    slot: Arc<Slot<T>>,
}

impl<T> Emitter<T> {
    /// Gives `value` to the stream, and waits until it has been taken.
    ///
    /// # Cancellation
    ///
    /// Dropped before its first poll, it emits nothing.
    pub fn emit(&self, value: T) -> Emit<'_, T> {
        Emit { slot: &self.slot, value: Some(value) }
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
    slot: &'a Slot<T>,
    /// `None` once it is in the slot.
    value: Option<T>,
}

impl<T> Unpin for Emit<'_, T> {}

impl<T> Future for Emit<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut state = this.slot.lock();
        if state.value.is_none() {
            match this.value.take() {
                None => {
                    drop(state);
                    return Poll::Ready(());
                }
                value => state.value = value,
            }
        }
        if !state.waiting.iter().any(|known| known.will_wake(&waker)) {
            state.waiting.push(waker);
        }
        Poll::Pending
    }
}

impl<T> fmt::Debug for Emit<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emit").finish_non_exhaustive()
    }
}

pin_project! {
    /// The stream of [`generator`].
    #[must_use = "streams do nothing unless polled"]
    pub struct Generator<T, Fut> {
        // `None` once it has returned.
        #[pin]
        body: Option<Fut>,
        slot: Arc<Slot<T>>,
    }
}

impl<T, Fut: Future> Generator<T, Fut> {
    /// The next value; or what the body returned, once.
    fn poll_body(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, Fut::Output>>> {
        let mut this = self.project();
        // A value that a body left behind when it returned, having dropped its `emit`.
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(this.slot.take().map(Ok)) };
        if let Some(value) = this.slot.take() {
            return Poll::Ready(Some(Ok(value)));
        }
        match body.poll(cx) {
            Poll::Ready(output) => {
                this.body.set(None);
                Poll::Ready(Some(Err(output)))
            }
            Poll::Pending => match this.slot.take() {
                Some(value) => Poll::Ready(Some(Ok(value))),
                None => Poll::Pending,
            },
        }
    }
}

impl<T, Fut: Future<Output = ()>> Stream for Generator<T, Fut> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match self.as_mut().poll_body(cx) {
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
        self.body.is_none() && self.slot.lock().value.is_none()
    }
}

impl<T, Fut> fmt::Debug for Generator<T, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generator").finish_non_exhaustive()
    }
}

pin_project! {
    /// The stream of [`try_generator`].
    #[must_use = "streams do nothing unless polled"]
    pub struct TryGenerator<T, Fut> {
        #[pin]
        generator: Generator<T, Fut>,
    }
}

impl<T, E, Fut: Future<Output = Result<(), E>>> Stream for TryGenerator<T, Fut> {
    type Item = Result<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, E>>> {
        let mut generator = self.project().generator;
        loop {
            match generator.as_mut().poll_body(cx) {
                Poll::Ready(Some(Ok(value))) => return Poll::Ready(Some(Ok(value))),
                Poll::Ready(Some(Err(Err(error)))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Err(Ok(())))) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<T, Fut> fmt::Debug for TryGenerator<T, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGenerator").finish_non_exhaustive()
    }
}
