//! The end into which items are put.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_sink::Sink;

use super::ends::both_ends;
use super::error::{ReserveError, SendError, SinkError, TryReserveError, TrySendError};
use super::shared::{Offers, Putters, SharedQueue};
use super::state::{QueueClosed, Refused, State};
use crate::engine::budget;
use crate::sync::wait_list::{Wait, yields};

/// Puts items into a queue.
///
/// It can be cloned for several producers. When the last one is dropped, the queue is
/// [closed](Sender::close).
///
/// It is a [`Sink`], too, for `forward` and what else takes one. As a sink it keeps the place in
/// the queue that `poll_ready` has reserved until it has sent an item or is dropped. Closing the
/// sink does not close the queue for other senders.
pub struct Sender<T> {
    shared: Arc<SharedQueue<T>>,
    readiness: Readiness<T>,
}

/// How far a sender has got as a sink.
enum Readiness<T> {
    Idle,
    Waiting(Wait<Putters<Arc<SharedQueue<T>>>>),
    /// It has a slot.
    Ready,
}

both_ends!(Sender);

impl<T> Sender<T> {
    /// The first sender of a queue. It has been counted.
    pub(super) fn first(shared: Arc<SharedQueue<T>>) -> Self {
        Sender { shared, readiness: Readiness::Idle }
    }

    /// Puts an item into the queue, and waits until there is room.
    ///
    /// Senders have their turn in the order in which they began to wait.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped before it has completed, its item is dropped with it, and is not in
    /// the queue. To keep the item in this case, [`reserve`](Sender::reserve) a place first, and
    /// send it when there is one. In a [`rendezvous`](super::rendezvous) a receiver may have taken
    /// the item since the last poll. Then it was sent, and whoever drops the future does not hear
    /// of it.
    ///
    /// In a [cancelled region](crate::cancel#regions) the future sends if there is room, and does
    /// not begin to wait. In a rendezvous it does not begin to offer its item.
    ///
    /// # Errors
    ///
    /// Returns the item if the queue is closed, also while this waits.
    ///
    /// # Panics
    ///
    /// Panics if a comparison with another item panics, in a queue with priorities. Then the item
    /// is in the queue. The future panics if it is polled after it has completed.
    pub fn send(&self, item: T) -> SendItem<'_, T> {
        SendItem { sending: Sending::New(item), sweep: Sweep { shared: &self.shared } }
    }

    /// Puts an item into the queue if there is room and nobody waits for it.
    ///
    /// # Errors
    ///
    /// Returns the item if there is no room, or if the queue is closed.
    ///
    /// # Panics
    ///
    /// As [`send`](Sender::send).
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        self.shared.try_put(item)
    }

    /// Waits until there is room, and keeps it for one item.
    ///
    /// This is the way to send what must not be lost, or what is better made late:
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// # let (jobs, work) = foster::queue::bounded(1);
    /// # let mut backlog = vec!["job"];
    /// let slot = jobs.reserve().await?; // cancelled here, nothing is lost
    /// let job = backlog.pop().expect("there is one");
    /// slot.send(job).expect("nobody has closed it");
    /// # assert_eq!(*work.try_recv().unwrap(), "job");
    /// # Ok::<_, foster::queue::ReserveError>(()) }).unwrap();
    /// ```
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up its place in the line, and the room that it may have been given
    /// already, which the next one has at once.
    ///
    /// In a [cancelled region](crate::cancel#regions) the future keeps room that is there, and does
    /// not begin to wait.
    ///
    /// # Errors
    ///
    /// Returns an error if the queue is closed, also while this waits.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn reserve(&self) -> Reserve<'_, T> {
        Reserve { wait: Wait::new(Putters(&*self.shared), ()) }
    }

    /// Keeps room for one item if there is some and nobody waits for it.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no room, or if the queue is closed.
    pub fn try_reserve(&self) -> Result<Slot<'_, T>, TryReserveError> {
        let kept = self.shared.change(|state| state.check_room().map(|()| state.keep_slot()));
        match kept {
            Ok(()) => Ok(Slot { shared: &self.shared }),
            Err(Refused::Full) => Err(TryReserveError::full()),
            Err(Refused::Closed) => Err(TryReserveError::closed()),
        }
    }

    /// Returns a handle that does not keep the queue open.
    pub fn downgrade(&self) -> WeakSender<T> {
        WeakSender { shared: self.shared.clone() }
    }

    /// Gives up what it has got as a sink.
    fn leave_sink(&mut self) {
        if let Readiness::Ready = mem::replace(&mut self.readiness, Readiness::Idle) {
            self.shared.change(|state| state.end_slot());
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.change(|state| state.senders += 1);
        Sender::first(self.shared.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.leave_sink();
        self.shared.change(|state| {
            state.senders -= 1;
            if state.senders == 0 {
                state.close();
            }
        });
    }
}

/// A handle to a queue that does not keep it open.
///
/// For a part that sends now and then, while others say how long the queue is to be used.
pub struct WeakSender<T> {
    shared: Arc<SharedQueue<T>>,
}

impl<T> WeakSender<T> {
    /// Returns a sender, or `None` if all senders were dropped.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        let is_alive = self.shared.change(|state| {
            let is_alive = state.senders > 0;
            state.senders += usize::from(is_alive);
            is_alive
        });
        is_alive.then(|| Sender::first(self.shared.clone()))
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        WeakSender { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}

/// The future of [`Sender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct SendItem<'a, T> {
    sending: Sending<'a, T>,
    // After what may leave something for it to drop.
    sweep: Sweep<'a, T>,
}

/// How far an item has got.
enum Sending<'a, T> {
    New(T),
    /// It waits for room.
    Waiting(T, Wait<Putters<&'a SharedQueue<T>>>),
    /// It waits to be taken, in a rendezvous.
    Offered(Wait<Offers<&'a SharedQueue<T>>>),
    Completed,
}

/// Drops what was withdrawn from a rendezvous, without the lock.
struct Sweep<'a, T> {
    shared: &'a SharedQueue<T>,
}

impl<T> Drop for Sweep<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.shared.is_rendezvous() {
            drop(self.shared.change(State::take_withdrawn));
        }
    }
}

/// The item is moved when it is sent, so nothing relies on its address.
impl<T> Unpin for SendItem<'_, T> {}

impl<T> Future for SendItem<'_, T> {
    type Output = Result<(), SendError<T>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let SendItem { sending, sweep: Sweep { shared } } = self.get_mut();
        if let Sending::New(_) = sending {
            if !budget::take_step() && yields(cx) {
                return Poll::Pending;
            }
            let Sending::New(item) = mem::replace(sending, Sending::Completed) else { unreachable!("it is new") };
            if shared.is_rendezvous() {
                *sending = Sending::Offered(Wait::new(Offers(*shared), Some(item)));
                return sending.poll_slowly(shared, cx);
            }
            // With room, this takes the lock once and clones no waker.
            match shared.try_put(item) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) if error.is_closed() => return Poll::Ready(Err(SendError::new(error.into_inner()))),
                Err(error) => *sending = Sending::Waiting(error.into_inner(), Wait::new(Putters(*shared), ())),
            }
        }
        sending.poll_slowly(shared, cx)
    }
}

impl<T> Sending<'_, T> {
    /// Goes on with what is not new.
    fn poll_slowly(&mut self, shared: &SharedQueue<T>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        match self {
            Sending::Offered(wait) => {
                let joins = wait.is_outside();
                let polled = wait.poll(cx);
                if joins {
                    shared.meet();
                }
                polled.map(|(_, answer)| answer)
            }
            Sending::Waiting(_, wait) => {
                let (_, answer) = ready!(wait.poll(cx));
                let Sending::Waiting(item, _) = mem::replace(self, Sending::Completed) else {
                    unreachable!("it has waited");
                };
                Poll::Ready(match answer {
                    Ok(()) => shared.put_in_slot(item),
                    Err(QueueClosed) => Err(SendError::new(item)),
                })
            }
            Sending::New(_) | Sending::Completed => panic!("a future was polled after it had completed"),
        }
    }
}

impl<T> fmt::Debug for SendItem<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendItem").finish_non_exhaustive()
    }
}

/// The future of [`Sender::reserve`].
#[must_use = "futures do nothing unless polled"]
pub struct Reserve<'a, T> {
    wait: Wait<Putters<&'a SharedQueue<T>>>,
}

impl<'a, T> Future for Reserve<'a, T> {
    type Output = Result<Slot<'a, T>, ReserveError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (Putters(shared), answer) = ready!(self.wait.poll(cx));
        Poll::Ready(match answer {
            Ok(()) => Ok(Slot { shared }),
            Err(QueueClosed) => Err(ReserveError::new()),
        })
    }
}

impl<T> fmt::Debug for Reserve<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").finish_non_exhaustive()
    }
}

/// Room for one item in a queue, from [`Sender::reserve`]. Dropping it gives the room back.
#[must_use = "the room is given back when this is dropped"]
pub struct Slot<'a, T> {
    shared: &'a SharedQueue<T>,
}

impl<T> Slot<'_, T> {
    /// Puts an item into the queue. This does not wait.
    ///
    /// # Errors
    ///
    /// Returns the item if the queue has been closed.
    ///
    /// # Panics
    ///
    /// As [`Sender::send`].
    pub fn send(self, item: T) -> Result<(), SendError<T>> {
        let shared = self.shared;
        // The slot is given up there, with the lock that it takes to put the item.
        mem::forget(self);
        shared.put_in_slot(item)
    }
}

impl<T> Drop for Slot<'_, T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.end_slot());
    }
}

impl<T> fmt::Debug for Slot<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl<T> Sink<T> for Sender<T> {
    type Error = SinkError<T>;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError<T>>> {
        if let Readiness::Idle = self.readiness {
            self.readiness = Readiness::Waiting(Wait::new(Putters(self.shared.clone()), ()));
        }
        if let Readiness::Waiting(wait) = &mut self.readiness {
            let (_, answer) = ready!(wait.poll(cx));
            self.readiness = if answer.is_ok() { Readiness::Ready } else { Readiness::Idle };
            return Poll::Ready(answer.map_err(|QueueClosed| SinkError::new(None)));
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), SinkError<T>> {
        let Readiness::Ready = self.readiness else {
            panic!("`start_send` was called before `poll_ready` had returned `Ready(Ok(()))`");
        };
        self.readiness = Readiness::Idle;
        self.shared.put_in_slot(item).map_err(|error| SinkError::new(Some(error.into_inner())))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SinkError<T>>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SinkError<T>>> {
        Poll::Ready(Ok(()))
    }
}
