//! A channel for one value.
//!
//! ```
//! # futures::executor::block_on(async {
//! use foster::{scope, sync::oneshot};
//!
//! let answer = scope(async |s| {
//!     let (sender, receiver) = oneshot::channel();
//!     s.spawn(async { sender.send(42).expect("the receiver is there") });
//!     receiver.await
//! });
//! assert_eq!(answer.await, Ok(42));
//! # });
//! ```
//!
//! The counterpart of tokio's and of futures' `oneshot`, and of what an asyncio `Future` is to who
//! calls its `set_result`. A child of a scope needs no channel to return its value: await its
//! [`Task`](crate::Task).
//!
//! # Cancellation
//!
//! A value is received, handed back or dropped, exactly once:
//!
//! - It is received by the poll of the [`Receiver`] that returns it, and not before. So a wait for
//!   `&mut receiver` that is dropped loses nothing, and can be repeated.
//! - [`Sender::send`] hands it back if the receiver has been dropped or closed.
//! - A receiver that is dropped drops the value that has been sent to it.
//!
//! # Cost
//!
//! A channel is one allocation. Each operation holds a lock for a moment, and never while a waker
//! or a destructor runs.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::engine::atomics::ShortLock;
use crate::panic::wake_all;
use crate::trace::tree;

/// Creates a channel for one value.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(ShortLock::new(State::Open { receiver: None, sender: None }));
    (Sender { shared: Some(shared.clone()) }, Receiver { shared: Some(shared) })
}

type SharedState<T> = Arc<ShortLock<State<T>>>;

enum State<T> {
    /// Both are there, and nothing has been sent. Has the wakers of those of them who wait.
    Open { receiver: Option<Waker>, sender: Option<Waker> },
    /// The value is on its way, and the sender is gone.
    Sent(T),
    /// No value will come. It was received, or one of the two has gone before it was sent.
    Closed,
}

/// What a channel had, to be woken or dropped when its lock has been released.
#[derive(Default)]
struct Wakers {
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

impl<T> State<T> {
    /// Closes the channel, unless a value is on its way.
    fn close(&mut self) -> Wakers {
        let State::Open { receiver, sender } = self else { return Wakers::default() };
        let wakers = Wakers { receiver: receiver.take(), sender: sender.take() };
        *self = State::Closed;
        wakers
    }

    /// Takes what the receiver gets, or returns the place for its waker.
    fn receive(&mut self) -> Result<Result<T, RecvError>, &mut Option<Waker>> {
        match self {
            State::Open { receiver, .. } => Err(receiver),
            State::Sent(_) | State::Closed => match mem::replace(self, State::Closed) {
                State::Sent(value) => Ok(Ok(value)),
                _ => Ok(Err(RecvError)),
            },
        }
    }

    /// Returns the place for the waker of a sender that waits until the channel is closed, unless
    /// it is.
    fn closed(&mut self) -> Result<(), &mut Option<Waker>> {
        if let State::Open { sender, .. } = self { Err(sender) } else { Ok(()) }
    }
}

/// Returns what `look` finds. If this is the place for a waker, leaves one there.
#[inline]
fn poll<T, R>(
    shared: &SharedState<T>,
    cx: &Context<'_>,
    look: impl Fn(&mut State<T>) -> Result<R, &mut Option<Waker>>,
) -> Poll<R> {
    // A waker is cloned without the lock. Where the other side is there, it will be needed, so that
    // one lock does for both. The former waker, or the one that is not needed, is dropped without
    // the lock as well.
    let mut waker = None;
    if Arc::strong_count(shared) > 1 {
        waker = Some(cx.waker().clone());
    }
    loop {
        match look(&mut shared.lock()) {
            Ok(found) => return Poll::Ready(found),
            Err(place) if waker.is_some() => {
                mem::swap(place, &mut waker);
                return Poll::Pending;
            }
            Err(_) => {}
        }
        waker = Some(cx.waker().clone());
    }
}

/// Sends the value of a [`channel`].
///
/// If it is dropped without sending, the receiver gets an error.
pub struct Sender<T> {
    /// `None` once it has sent, so that its drop finds nothing to do.
    shared: Option<SharedState<T>>,
}

impl<T> Sender<T> {
    /// Sends the value. This does not wait.
    ///
    /// # Errors
    ///
    /// Returns the value if the receiver has been dropped or closed. `Ok` does not say that the
    /// value will be received: the receiver may be dropped before it looks.
    #[inline]
    pub fn send(mut self, value: T) -> Result<(), T> {
        let Some(shared) = self.shared.take() else { unreachable!("it sends by value") };
        // There is nothing left for its drop to do.
        mem::forget(self);
        let mut state = shared.lock();
        let State::Open { receiver, sender } = &mut *state else {
            return Err(value);
        };
        let (receiver, sender) = (receiver.take(), sender.take());
        *state = State::Sent(value);
        drop(state);
        // Of the sender's there may be one that nobody waits with any more.
        drop(sender);
        if let Some(waker) = receiver {
            waker.wake();
        }
        Ok(())
    }

    fn shared(&self) -> &SharedState<T> {
        self.shared.as_ref().expect("it has not sent, which takes it by value")
    }

    /// Returns whether the receiver has been dropped or closed, so that nothing can be sent.
    pub fn is_closed(&self) -> bool {
        matches!(*self.shared().lock(), State::Closed)
    }

    /// Waits until the receiver has been dropped or closed. So who makes a value for it can stop
    /// when nobody needs the value any more.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing. It may be polled again after it has completed.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{race, sync::oneshot};
    /// use std::future::pending;
    ///
    /// let (mut sender, receiver) = oneshot::channel();
    /// let work = pending::<u32>(); // takes long
    /// drop(receiver);
    /// let value = race((async { Some(work.await) }, async { sender.closed().await; None })).await;
    /// assert_eq!(value, None);
    /// assert_eq!(sender.send(7), Err(7));
    /// # });
    /// ```
    pub fn closed(&mut self) -> Closed<'_, T> {
        Closed { shared: self.shared() }
    }
}

impl<T> Drop for Sender<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let wakers = shared.lock().close();
            wake_all(wakers.receiver);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// The future of [`Sender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct Closed<'a, T> {
    shared: &'a SharedState<T>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = poll(self.shared, cx, State::closed);
        if polled.is_pending() {
            tree::waiting(|| String::from("the receiver of a oneshot to be dropped"));
        }
        polled
    }
}

impl<T> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        let _waker = self.shared.lock().closed().err().and_then(Option::take);
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

/// Receives the value of a [`channel`]. This is a future.
///
/// Polled after it has completed, it returns an error.
///
/// # Cancellation
///
/// To be able to wait again, await `&mut receiver`. Dropping the receiver drops the value that may
/// have been sent, and lets the sender know.
///
/// # Errors
///
/// The future returns an error if the sender was dropped before it has sent a value.
#[must_use = "futures do nothing unless polled"]
pub struct Receiver<T> {
    /// `None` once it has completed, so that its drop finds nothing to do.
    shared: Option<SharedState<T>>,
}

impl<T> Receiver<T> {
    /// Takes the value, if it has been sent. This does not wait.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no value yet, or if none will come.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(shared) = &self.shared else { return Err(TryRecvError { is_closed: true }) };
        match shared.lock().receive() {
            Ok(received) => received.map_err(|RecvError| TryRecvError { is_closed: true }),
            Err(_) => Err(TryRecvError { is_closed: false }),
        }
    }

    /// Closes the channel, so that nothing can be sent any more.
    ///
    /// A value that has been sent before can still be received.
    ///
    /// ```
    /// use foster::sync::oneshot;
    ///
    /// let (sender, mut receiver) = oneshot::channel();
    /// receiver.close();
    /// assert_eq!(sender.send("late"), Err("late"));
    /// assert!(receiver.try_recv().unwrap_err().is_closed());
    /// ```
    pub fn close(&mut self) {
        if let Some(shared) = &self.shared {
            let wakers = shared.lock().close();
            wake_all(wakers.sender);
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(shared) = &self.shared else { return Poll::Ready(Err(RecvError)) };
        let polled = poll(shared, cx, State::receive);
        if polled.is_pending() {
            tree::waiting(|| String::from("the value of a oneshot"));
        } else {
            self.shared = None;
        }
        polled
    }
}

impl<T> Drop for Receiver<T> {
    #[inline]
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        let state = mem::replace(&mut *shared.lock(), State::Closed);
        if let State::Open { sender, .. } = state {
            wake_all(sender);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let look = |shared: &SharedState<T>| match *shared.lock() {
            State::Open { .. } => "empty",
            State::Sent(_) => "sent",
            State::Closed => "closed",
        };
        let state = self.shared.as_ref().map_or("closed", look);
        f.debug_struct("Receiver").field("state", &format_args!("{state}")).finish()
    }
}

/// Tells a [`Receiver`] that the sender was dropped before it has sent a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender of a oneshot was dropped without sending a value")
    }
}

impl std::error::Error for RecvError {}

/// Tells why a [`Receiver`] has no value now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryRecvError {
    is_closed: bool,
}

impl TryRecvError {
    /// Returns whether nothing has been sent yet. A value can still come.
    pub fn is_empty(&self) -> bool {
        !self.is_closed
    }

    /// Returns whether no value will come: it has been received already, or the channel was closed
    /// before one was sent.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_closed {
            "no value will come through this oneshot"
        } else {
            "nothing has been sent through this oneshot yet"
        })
    }
}

impl std::error::Error for TryRecvError {}
