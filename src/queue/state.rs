//! What is under the lock of a queue.

use std::sync::{Arc, Weak};

use super::error::SendError;
use super::shared::SharedQueue;
use super::store::{ItemStore, Unread};
use super::work::Work;
use crate::panic::Payload;
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;

/// Tells a waiter that it waits for nothing, because the queue is closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueClosed;

/// How many items have room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capacity {
    Unbounded,
    Bounded(usize),
    /// As many as there are receivers that wait. Other items stay with their senders, which offer
    /// them.
    Rendezvous,
}

/// The items of a queue, who has a right to take or to put one, and who waits for that.
///
/// After each operation [`settle`](Self::settle) gives rights to those who wait, under the same
/// lock. So while it is not held:
///
/// - if a receiver waits, all items are promised to others, and there may be more to come,
/// - if a sender offers an item, the queue is not closed,
/// - if a sender waits, there is no room, and the queue is not closed,
/// - if somebody waits for the end of all work, there is some.
pub(super) struct State<T> {
    store: ItemStore<T>,
    capacity: Capacity,
    /// How many items are promised to receivers that will take them when they are polled. They are
    /// still in the store, or offered. There may be fewer once the queue was closed, or an offer
    /// was withdrawn.
    promised: usize,
    /// How many places are kept for senders that will put an item.
    slots: usize,
    /// The work on the items that are received now. `None` before there are some, once it has been
    /// retired, and when no receiver is left, which would keep the queue alive otherwise.
    work: Option<Arc<Work<T>>>,
    /// What was the current work, and may have guards that have a share in it.
    retired: Vec<Weak<Work<T>>>,
    /// How many works there are that have not ended: the current one, and those that are retired.
    works: usize,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    is_closed: bool,
    /// The most items that have been here at once.
    peak: usize,
    pub(super) takers: Waiters<(), Result<(), QueueClosed>>,
    pub(super) putters: Waiters<(), Result<(), QueueClosed>>,
    /// Those who offer an item, in a rendezvous. It is with them until it is taken. Then there is
    /// none any more, and they are answered.
    pub(super) offers: Waiters<Option<T>, Result<(), SendError<T>>>,
    /// What was offered by those who have left. It is dropped when the lock has been released.
    withdrawn: Vec<T>,
    /// Those who have a promise, and wait until so many items are there for them.
    pub(super) fillers: Waiters<usize>,
    pub(super) joiners: Waiters,
}

/// What the last receiver leaves behind. It is to be dropped when the lock has been released.
pub(super) struct Leftovers<T> {
    _unread: Unread<T>,
    _work: Option<Arc<Work<T>>>,
}

/// Why an item was not put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

impl<T> State<T> {
    /// The state of a queue with one sender and one receiver.
    pub(super) fn new(store: ItemStore<T>, capacity: Capacity) -> Self {
        State {
            store,
            capacity,
            promised: 0,
            slots: 0,
            work: None,
            retired: Vec::new(),
            works: 0,
            senders: 1,
            receivers: 1,
            is_closed: false,
            peak: 0,
            takers: Waiters::new(),
            putters: Waiters::new(),
            offers: Waiters::new(),
            withdrawn: Vec::new(),
            fillers: Waiters::new(),
            joiners: Waiters::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.store.len()
    }

    pub(super) fn peak(&self) -> usize {
        self.peak
    }

    /// Returns how many items were put and are not done.
    pub(super) fn unfinished(&self) -> usize {
        let received = self.work.as_ref().map_or(0, |work| Arc::strong_count(work) - 1);
        self.store.len() + received + self.retired.iter().map(Weak::strong_count).sum::<usize>()
    }

    /// Whether all items that were put are done.
    pub(super) fn is_done(&mut self) -> bool {
        let has_no_share = |work: &mut Arc<Work<T>>| Arc::get_mut(work).is_some();
        self.store.is_empty() && (self.works == 0 || self.works == 1 && self.work.as_mut().is_some_and(has_no_share))
    }

    /// Returns a share of the work for an item that is received.
    #[inline]
    pub(super) fn begin_work(&mut self, shared: &Arc<SharedQueue<T>>) -> Arc<Work<T>> {
        let begin = || {
            self.works += 1;
            Arc::new(Work::new(shared.clone()))
        };
        self.work.get_or_insert_with(begin).clone()
    }

    /// Notes that a work has ended.
    pub(super) fn end_work(&mut self) {
        self.works -= 1;
    }

    /// Retires the work if somebody waits for its end, and nothing else keeps them waiting. What
    /// this returns is to be dropped when the lock has been released.
    pub(super) fn retire(&mut self) -> Option<Arc<Work<T>>> {
        // One at a time. At the end of the one before, this is asked again.
        if self.joiners.is_empty() || !self.store.is_empty() || self.works != 1 {
            return None;
        }
        self.give_up_work()
    }

    /// Gives up the share of the current work. What this returns is to be dropped when the lock has
    /// been released.
    fn give_up_work(&mut self) -> Option<Arc<Work<T>>> {
        let work = self.work.take()?;
        self.retired.retain(|work| work.strong_count() > 0);
        self.retired.push(Arc::downgrade(&work));
        Some(work)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns how many items are promised to nobody.
    #[inline]
    pub(super) fn available(&self) -> usize {
        (self.store.len() + self.offers.len()).saturating_sub(self.promised)
    }

    /// Returns how many items have room that is kept for nobody.
    #[inline]
    fn room(&self) -> usize {
        match self.capacity {
            Capacity::Unbounded => usize::MAX,
            Capacity::Bounded(capacity) => capacity.saturating_sub(self.store.len() + self.slots),
            Capacity::Rendezvous => self.takers.len().saturating_sub(self.slots),
        }
    }

    /// Whether a newcomer may take an item. One who offers an item joins its line before the
    /// receivers are answered, and they come first.
    #[inline]
    pub(super) fn may_take(&self) -> bool {
        self.available() > 0 && self.takers.is_empty()
    }

    /// Promises an item to a newcomer, if there is one for it. Returns `None` if it must wait.
    pub(super) fn keep_item(&mut self) -> Option<Result<(), QueueClosed>> {
        if self.may_take() {
            self.promise();
            return Some(Ok(()));
        }
        self.has_ended().then_some(Err(QueueClosed))
    }

    /// Whether one who has a promise can take so many items with it, or no more can come.
    pub(super) fn is_filled(&self, count: usize) -> bool {
        let is_full = matches!(self.capacity, Capacity::Bounded(capacity) if self.store.len() >= capacity);
        self.is_closed || is_full || self.available() + 1 >= count
    }

    /// Whether there is no item, and none will come. While the last ones are promised, others wait,
    /// because whoever has the promise may leave.
    pub(super) fn has_ended(&self) -> bool {
        self.is_closed && self.store.is_empty()
    }

    /// Whether a newcomer may put an item. In a rendezvous, a receiver makes room when it joins its
    /// line, and those who wait for that get it a moment later.
    #[inline]
    pub(super) fn check_room(&self) -> Result<(), Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        if self.room() == 0 || !self.putters.is_empty() { Err(Refused::Full) } else { Ok(()) }
    }

    /// Keeps a place for a newcomer, if there is room. Returns `None` if it must wait.
    pub(super) fn keep_room(&mut self) -> Option<Result<(), QueueClosed>> {
        match self.check_room() {
            Ok(()) => {
                self.keep_slot();
                Some(Ok(()))
            }
            Err(Refused::Closed) => Some(Err(QueueClosed)),
            Err(Refused::Full) => None,
        }
    }

    /// Puts an item, for which there is room.
    #[inline]
    pub(super) fn put(&mut self, item: T) -> Result<(), Payload> {
        let pushed = self.store.push(item);
        self.peak = self.peak.max(self.store.len());
        pushed
    }

    /// Puts an item that had been taken back to the head.
    ///
    /// Returns it if nobody is left who could take it.
    pub(super) fn put_back(&mut self, item: T) -> (Option<T>, Result<(), Payload>) {
        if self.receivers == 0 {
            return (Some(item), Ok(()));
        }
        let pushed = self.store.push_back_to_head(item);
        self.peak = self.peak.max(self.store.len());
        (None, pushed)
    }

    /// Takes the next item, which is available or was promised.
    #[inline]
    pub(super) fn take(&mut self, wakes: &mut Option<Wakes>) -> Option<T> {
        match self.store.pop() {
            Some(item) => Some(item),
            None => self.take_offer(wakes),
        }
    }

    fn take_offer(&mut self, wakes: &mut Option<Wakes>) -> Option<T> {
        let item = self.offers.first_mut()?.take();
        self.offers.answer_first(Ok(()), wakes.get_or_insert_with(Wakes::new));
        item
    }

    /// Keeps an item that was offered by one who has left.
    pub(super) fn withdraw(&mut self, item: T) {
        self.withdrawn.push(item);
    }

    /// Returns what is to be dropped without the lock.
    pub(super) fn take_withdrawn(&mut self) -> Vec<T> {
        std::mem::take(&mut self.withdrawn)
    }

    /// Promises an item to a receiver.
    pub(super) fn promise(&mut self) {
        self.promised += 1;
    }

    /// Ends a promise: the item is about to be taken, or it is available to others.
    pub(super) fn end_promise(&mut self) {
        self.promised -= 1;
    }

    /// Keeps a place for a sender.
    pub(super) fn keep_slot(&mut self) {
        self.slots += 1;
    }

    /// Ends the keeping of a place.
    pub(super) fn end_slot(&mut self) {
        self.slots -= 1;
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Closes the queue, and takes out what is in it.
    pub(super) fn close_now(&mut self) -> Unread<T> {
        self.close();
        self.store.take()
    }

    /// Counts a receiver out. Returns what the last one leaves behind.
    pub(super) fn leave_receiver(&mut self) -> Option<Leftovers<T>> {
        self.receivers -= 1;
        (self.receivers == 0).then(|| Leftovers { _unread: self.close_now(), _work: self.give_up_work() })
    }

    /// Whether nobody waits, so that there is nothing to settle.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.takers.is_empty() && self.putters.is_empty() && self.joiners.is_empty()
            // Those who wait for this are few, and the queue is used otherwise.
            && self.offers.is_empty() && self.fillers.is_empty()
    }

    /// Gives those who wait what there is for them now.
    pub(super) fn settle(&mut self, wakes: &mut Wakes) {
        while !self.takers.is_empty() && self.available() > 0 {
            self.promise();
            self.takers.answer_first(Ok(()), wakes);
        }
        if self.has_ended() {
            self.takers.answer_where(wakes, |_| Some(Err(QueueClosed)));
        }
        if self.is_closed {
            self.end_offers(wakes);
            self.putters.answer_where(wakes, |()| Some(Err(QueueClosed)));
        }
        while !self.putters.is_empty() && self.room() > 0 {
            self.keep_slot();
            self.putters.answer_first(Ok(()), wakes);
        }
        if !self.fillers.is_empty() {
            self.fill(wakes);
        }
        if self.store.is_empty() && self.works == 0 {
            self.joiners.answer_where(wakes, |()| Some(()));
        }
    }

    /// Tells those who fill a batch that it is full.
    fn fill(&mut self, wakes: &mut Wakes) {
        let mut fillers = std::mem::replace(&mut self.fillers, Waiters::new());
        fillers.answer_where(wakes, |&count| self.is_filled(count).then_some(()));
        self.fillers = fillers;
    }

    /// Gives those who offer an item an error with it.
    fn end_offers(&mut self, wakes: &mut Wakes) {
        while let Some(item) = self.offers.first_mut() {
            let item = item.take().expect("who waits has its item");
            self.offers.answer_first(Err(SendError::new(item)), wakes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_room_that_a_receiver_makes_is_for_those_who_wait() {
        let mut state = State::<()>::new(ItemStore::fifo(), Capacity::Rendezvous);
        state.putters.push((), Waker::noop().clone());
        state.takers.push((), Waker::noop().clone());
        assert_eq!(state.check_room(), Err(Refused::Full));
        state.settle(&mut Wakes::new());
        assert_eq!((state.slots, state.check_room()), (1, Err(Refused::Full)));
        state.takers.push((), Waker::noop().clone());
        assert_eq!(state.check_room(), Ok(()));
    }
}
