//! What all handles, items and futures of a queue share.

use std::ops::Deref;
use std::panic::resume_unwind;

use super::error::{SendError, TrySendError};
use super::state::{Capacity, QueueClosed, Refused, State};
use super::store::ItemStore;
use crate::panic::Payload;
use crate::sync::wait_list::{Line, WaitList};
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;

/// A queue.
pub(super) struct SharedQueue<T> {
    list: WaitList<State<T>>,
    capacity: Capacity,
}

impl<T> SharedQueue<T> {
    pub(super) fn new(store: ItemStore<T>, capacity: Capacity) -> Self {
        SharedQueue { list: WaitList::new(State::new(store, capacity)), capacity }
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        match self.capacity {
            Capacity::Unbounded => None,
            Capacity::Bounded(capacity) => Some(capacity),
            Capacity::Rendezvous => Some(0),
        }
    }

    pub(super) fn is_rendezvous(&self) -> bool {
        self.capacity == Capacity::Rendezvous
    }

    /// Looks at the state.
    #[inline]
    pub(super) fn with<R>(&self, look: impl FnOnce(&State<T>) -> R) -> R {
        self.list.with(|state| look(state))
    }

    /// Changes the state under the lock, then wakes those whom the change lets go on.
    ///
    /// `change` runs no code of the user, except that it may compare items. If one of the wakers
    /// panics, what it returned is dropped.
    #[inline]
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        self.change_and_wake(|state, _| change(state))
    }

    /// The same, where the change itself may answer someone.
    #[inline]
    pub(super) fn change_and_wake<R>(&self, change: impl FnOnce(&mut State<T>, &mut Option<Wakes>) -> R) -> R {
        let (mut wakes, mut retired) = (None, None);
        let result = self.list.with(|state| {
            let result = change(state, &mut wakes);
            if !state.is_quiet() {
                state.settle(wakes.get_or_insert_with(Wakes::new));
                retired = state.retire();
            }
            result
        });
        if let Some(wakes) = wakes {
            wakes.wake();
        }
        drop(retired);
        result
    }

    /// Lets those go on for whom one who has just joined a line is the partner. Only in a
    /// rendezvous does anyone wait for that.
    pub(super) fn meet(&self) {
        if self.is_rendezvous() {
            self.change(|_| ());
        }
    }

    /// Puts an item if there is room.
    #[inline]
    pub(super) fn try_put(&self, item: T) -> Result<(), TrySendError<T>> {
        let put = self.change(|state| match state.check_room() {
            Ok(()) => Ok(state.put(item)),
            Err(refused) => Err((refused, item)),
        });
        match put {
            Ok(put) => {
                resume(put);
                Ok(())
            }
            Err((Refused::Full, item)) => Err(TrySendError::full(item)),
            Err((Refused::Closed, item)) => Err(TrySendError::closed(item)),
        }
    }

    /// Puts an item into a place that was kept for it.
    pub(super) fn put_in_slot(&self, item: T) -> Result<(), SendError<T>> {
        let put = self.change(|state| {
            state.end_slot();
            if state.is_closed() { Err(SendError::new(item)) } else { Ok(state.put(item)) }
        });
        put.map(resume)
    }

    /// Puts an item back to the head. Returns it if there is no receiver.
    pub(super) fn put_back(&self, item: T) -> Option<T> {
        let (refused, put) = self.change(|state| state.put_back(item));
        resume(put);
        refused
    }
}

/// Goes on with the panic of a comparison.
#[inline]
fn resume(put: Result<(), Payload>) {
    if let Err(payload) = put {
        resume_unwind(payload);
    }
}

/// The line of those who wait for an item.
pub(super) struct Takers<P>(pub(super) P);

impl<T, P: Deref<Target = SharedQueue<T>>> Line for Takers<P> {
    type State = State<T>;
    type Ask = ();
    type Answer = Result<(), QueueClosed>;

    /// What it was promised may have been withdrawn.
    const KEEPS_PLACE: bool = true;

    fn list(&self) -> &WaitList<State<T>> {
        &self.0.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters<(), Self::Answer> {
        &mut state.takers
    }

    fn join(&self, state: &mut State<T>, (): (), _: &mut Wakes) -> Result<Self::Answer, ()> {
        state.keep_item().ok_or(())
    }

    fn take_free(&self, (): &()) -> Option<Self::Answer> {
        self.0.list.with(State::keep_item)
    }

    fn leave(&self, state: &mut State<T>, (): (), answer: Option<Self::Answer>, wakes: &mut Wakes) {
        if let Some(Ok(())) = answer {
            state.end_promise();
            state.settle(wakes);
        }
    }

    fn describe(&self) -> String {
        "item of a queue".into()
    }
}

/// The line of those who wait for room.
pub(super) struct Putters<P>(pub(super) P);

impl<T, P: Deref<Target = SharedQueue<T>>> Line for Putters<P> {
    type State = State<T>;
    type Ask = ();
    type Answer = Result<(), QueueClosed>;

    fn list(&self) -> &WaitList<State<T>> {
        &self.0.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters<(), Self::Answer> {
        &mut state.putters
    }

    fn join(&self, state: &mut State<T>, (): (), _: &mut Wakes) -> Result<Self::Answer, ()> {
        state.keep_room().ok_or(())
    }

    fn take_free(&self, (): &()) -> Option<Self::Answer> {
        self.0.list.with(State::keep_room)
    }

    fn leave(&self, state: &mut State<T>, (): (), answer: Option<Self::Answer>, wakes: &mut Wakes) {
        if let Some(Ok(())) = answer {
            state.end_slot();
            state.settle(wakes);
        }
    }

    fn describe(&self) -> String {
        "room in a queue".into()
    }
}

/// The line of those who have a promise, and wait until there are as many items as they ask for.
///
/// Their answer is no right. It says that it is worth while to look.
pub(super) struct Fillers<P>(pub(super) P);

impl<T, P: Deref<Target = SharedQueue<T>>> Line for Fillers<P> {
    type State = State<T>;
    type Ask = usize;
    type Answer = ();

    fn list(&self) -> &WaitList<State<T>> {
        &self.0.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters<usize> {
        &mut state.fillers
    }

    fn join(&self, state: &mut State<T>, count: usize, _: &mut Wakes) -> Result<(), usize> {
        if state.is_filled(count) { Ok(()) } else { Err(count) }
    }

    fn leave(&self, _: &mut State<T>, _: usize, _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        "batch of items of a queue".into()
    }
}

/// The line of those who wait until their item is taken, in a rendezvous.
pub(super) struct Offers<P>(pub(super) P);

impl<T, P: Deref<Target = SharedQueue<T>>> Line for Offers<P> {
    type State = State<T>;
    type Ask = Option<T>;
    type Answer = Result<(), SendError<T>>;

    fn list(&self) -> &WaitList<State<T>> {
        &self.0.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters<Option<T>, Self::Answer> {
        &mut state.offers
    }

    fn join(&self, state: &mut State<T>, mut item: Option<T>, _: &mut Wakes) -> Result<Self::Answer, Option<T>> {
        if state.is_closed() { item.take().map(|item| Err(SendError::new(item))).ok_or(item) } else { Err(item) }
    }

    fn leave(&self, state: &mut State<T>, item: Option<T>, answer: Option<Self::Answer>, _: &mut Wakes) {
        if let Some(item) = item.or(answer.and_then(Result::err).map(SendError::into_inner)) {
            state.withdraw(item);
        }
    }

    fn describe(&self) -> String {
        "receiver of what is offered in a rendezvous".into()
    }
}

/// The line of those who wait until all items are done.
pub(super) struct Joiners<P>(pub(super) P);

impl<T, P: Deref<Target = SharedQueue<T>>> Line for Joiners<P> {
    type State = State<T>;
    type Ask = ();
    type Answer = ();

    fn list(&self) -> &WaitList<State<T>> {
        &self.0.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters {
        &mut state.joiners
    }

    fn join(&self, state: &mut State<T>, (): (), _: &mut Wakes) -> Result<(), ()> {
        if state.is_done() { Ok(()) } else { Err(()) }
    }

    fn take_free(&self, (): &()) -> Option<()> {
        self.0.list.with(|state| state.is_done().then_some(()))
    }

    fn leave(&self, _: &mut State<T>, (): (), _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        format!("end of the work of a queue, of which {} items are not done", self.0.with(State::unfinished))
    }
}
