//! The end from which items are taken.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};

use super::ends::both_ends;
use super::error::TryRecvError;
use super::item::Item;
use super::shared::{SharedQueue, Takers};
use super::state::State;
use crate::engine::budget;
use crate::sync::wait_list::{Wait, yields};
use crate::sync::wakes::Wakes;

/// Takes items out of a queue.
///
/// It can be cloned for several consumers, each of which gets some of the items. When the last one
/// is dropped, the queue is closed, and what is in it is dropped and counts as done.
///
/// It is a [`Stream`] of [`Item`]s, too. As a stream it keeps its place in the line, and the turn
/// that it may have been given, until it has yielded an item or is dropped. So do not poll one
/// receiver as a stream and then call its other methods. Clone it for that.
pub struct Receiver<T> {
    shared: Arc<SharedQueue<T>>,
    /// Where it waits as a stream.
    waiting: Option<Wait<Takers<Arc<SharedQueue<T>>>>>,
    /// Whether the stream has returned `None`.
    has_ended: bool,
}

both_ends!(Receiver);

impl<T> Receiver<T> {
    /// The first receiver of a queue. It has been counted.
    pub(super) fn first(shared: Arc<SharedQueue<T>>) -> Self {
        Receiver { shared, waiting: None, has_ended: false }
    }

    pub(super) fn shared(&self) -> &Arc<SharedQueue<T>> {
        &self.shared
    }

    /// Takes the next item, and waits until there is one. Returns `None` when the queue is closed
    /// and nothing is left in it.
    ///
    /// Receivers have their turn in the order in which they began to wait.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing: an item leaves the queue in the poll that returns it. A
    /// future that had its turn passes it on to the next one at once.
    ///
    /// In a [cancelled region](crate::cancel#regions) the future takes what is there, and does not
    /// begin to wait.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn recv(&self) -> Recv<'_, T> {
        Recv { taking: Taking::new(&self.shared) }
    }

    /// Takes the next item if there is one and nobody waits for it.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none, which says whether there can be one later.
    #[inline]
    pub fn try_recv(&self) -> Result<Item<T>, TryRecvError> {
        take_new(&self.shared, take_one)
    }

    /// Takes up to `max` items, and waits until there is at least one. Returns an empty list when
    /// the queue is closed and nothing is left in it.
    ///
    /// This takes the lock of the queue once for all of them.
    ///
    /// # Cancellation
    ///
    /// As for [`recv`](Receiver::recv): dropping the future loses nothing.
    ///
    /// # Panics
    ///
    /// Panics if `max` is 0. The future panics if it is polled after it has completed.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let (jobs, work) = foster::queue::unbounded();
    /// (1..=5).for_each(|job| jobs.try_send(job).expect("it is open"));
    /// let batch = work.recv_many(3).await;
    /// assert_eq!(batch.iter().map(|job| **job).collect::<Vec<_>>(), [1, 2, 3]);
    /// assert_eq!(work.len(), 2);
    /// # });
    /// ```
    #[track_caller]
    pub fn recv_many(&self, max: usize) -> RecvMany<'_, T> {
        assert!(max > 0, "a batch has at least one item: `max` must not be 0");
        RecvMany { taking: Taking::new(&self.shared), max }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.change(|state| state.receivers += 1);
        Receiver::first(self.shared.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Before it is counted out, so that the last one is not told of the end that it brings.
        drop(self.waiting.take());
        // What nobody will receive is dropped now, and not when the last sender is, and without the
        // lock.
        drop(self.shared.change(State::leave_receiver));
    }
}

impl<T> Stream for Receiver<T> {
    type Item = Item<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        let Receiver { shared, waiting, has_ended } = self.get_mut();
        if waiting.is_none() {
            if !budget::take_step() && yields(cx) {
                return Poll::Pending;
            }
            match take_new(shared, take_one) {
                Err(error) if error.is_empty() => {}
                taken => {
                    *has_ended = taken.is_err();
                    return Poll::Ready(taken.ok());
                }
            }
        }
        let wait = waiting.get_or_insert_with(|| Wait::new(Takers(shared.clone()), ()));
        let polled = poll_turn(shared, wait, cx, take_one);
        if let Poll::Ready(item) = &polled {
            *waiting = None;
            *has_ended = item.is_none();
        }
        polled
    }
}

impl<T> FusedStream for Receiver<T> {
    fn is_terminated(&self) -> bool {
        // An item may have been put back since then.
        self.has_ended && self.shared.with(|state| state.has_ended())
    }
}

/// Takes an item, if there is one.
#[inline]
fn take_one<T>(shared: &Arc<SharedQueue<T>>, state: &mut State<T>, wakes: &mut Option<Wakes>) -> Option<Item<T>> {
    state.take(wakes).map(|value| Item::new(value, state.begin_work(shared)))
}

/// Takes up to `max` items: one to which there is a right, and those that are promised to nobody.
pub(super) fn take_many<T>(
    shared: &Arc<SharedQueue<T>>,
    state: &mut State<T>,
    wakes: &mut Option<Wakes>,
    max: usize,
) -> Option<Vec<Item<T>>> {
    let count = state.available().clamp(1, max);
    let items: Vec<_> = (0..count).map_while(|_| take_one(shared, state, wakes)).collect();
    (!items.is_empty()).then_some(items)
}

/// Takes as a newcomer, if there is something that is promised to nobody.
#[inline]
fn take_new<T, R>(
    shared: &Arc<SharedQueue<T>>,
    take: impl FnOnce(&Arc<SharedQueue<T>>, &mut State<T>, &mut Option<Wakes>) -> Option<R>,
) -> Result<R, TryRecvError> {
    shared.change_and_wake(|state, wakes| {
        let taken = if state.may_take() { take(shared, state, wakes) } else { None };
        taken.ok_or_else(|| TryRecvError::new(state.has_ended()))
    })
}

/// Takes as one who has a promise. Returns `None` if what was promised has been withdrawn, or taken
/// out by `close_now`. One who then joins the line again learns whether more may come.
pub(super) fn take_promised<T, R>(
    shared: &Arc<SharedQueue<T>>,
    take: impl FnOnce(&Arc<SharedQueue<T>>, &mut State<T>, &mut Option<Wakes>) -> Option<R>,
) -> Option<R> {
    shared.change_and_wake(|state, wakes| {
        state.end_promise();
        take(shared, state, wakes)
    })
}

/// Waits for the turn, and takes with `take`.
///
/// In a rendezvous, what was promised may have been withdrawn by a sender that has left. Then this
/// waits once more, at the head of the line.
fn poll_turn<T, P: Deref<Target = SharedQueue<T>>, R>(
    shared: &Arc<SharedQueue<T>>,
    wait: &mut Wait<Takers<P>>,
    cx: &mut Context<'_>,
    take: impl Fn(&Arc<SharedQueue<T>>, &mut State<T>, &mut Option<Wakes>) -> Option<R>,
) -> Poll<Option<R>> {
    loop {
        let joins = wait.is_outside();
        let Poll::Ready((line, answer)) = wait.poll(cx) else {
            if joins {
                shared.meet();
            }
            return Poll::Pending;
        };
        if answer.is_err() {
            return Poll::Ready(None);
        }
        match take_promised(shared, &take) {
            Some(taken) => return Poll::Ready(Some(taken)),
            None => *wait = Wait::going_on(line, ()),
        }
    }
}

/// The part of a future that takes items as soon as it is its turn.
struct Taking<'a, T> {
    shared: &'a Arc<SharedQueue<T>>,
    stage: TakeStage,
    wait: Wait<Takers<&'a SharedQueue<T>>>,
}

enum TakeStage {
    New,
    Waiting,
    Completed,
}

impl<'a, T> Taking<'a, T> {
    fn new(shared: &'a Arc<SharedQueue<T>>) -> Self {
        Taking { shared, stage: TakeStage::New, wait: Wait::new(Takers(&**shared), ()) }
    }

    /// Takes with `take`. Returns `None` if the queue has ended.
    #[inline]
    fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl Fn(&Arc<SharedQueue<T>>, &mut State<T>, &mut Option<Wakes>) -> Option<R>,
    ) -> Poll<Option<R>> {
        let taken = match self.stage {
            // If there is something, this takes the lock once and clones no waker.
            TakeStage::New if !budget::take_step() && yields(cx) => return Poll::Pending,
            TakeStage::New => match take_new(self.shared, &take) {
                Err(error) if error.is_empty() => {
                    self.stage = TakeStage::Waiting;
                    ready!(poll_turn(self.shared, &mut self.wait, cx, take))
                }
                taken => taken.ok(),
            },
            TakeStage::Waiting => ready!(poll_turn(self.shared, &mut self.wait, cx, take)),
            TakeStage::Completed => panic!("a future was polled after it had completed"),
        };
        self.stage = TakeStage::Completed;
        Poll::Ready(taken)
    }
}

/// The future of [`Receiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Recv<'a, T> {
    taking: Taking<'a, T>,
}

impl<T> Future for Recv<'_, T> {
    type Output = Option<Item<T>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item<T>>> {
        self.taking.poll(cx, take_one)
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}

/// The future of [`Receiver::recv_many`].
#[must_use = "futures do nothing unless polled"]
pub struct RecvMany<'a, T> {
    taking: Taking<'a, T>,
    max: usize,
}

impl<T> Future for RecvMany<'_, T> {
    type Output = Vec<Item<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Item<T>>> {
        let max = self.max;
        self.taking.poll(cx, |shared, state, wakes| take_many(shared, state, wakes, max)).map(Option::unwrap_or_default)
    }
}

impl<T> fmt::Debug for RecvMany<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvMany").field("max", &self.max).finish_non_exhaustive()
    }
}
