//! Passes items to a poller (`Lane`), and wakes the poller for them (`Bell`).
//!
//! A scope has two lanes. Its handles put children and finalizers into the inbox. The other lane
//! borrows nothing, and has what comes from further away: futures to adopt, children to cancel,
//! news of parallel children. One bell serves both lanes, and tells for which one it was rung.
//!
//! The poller is awake from the moment it rouses itself until it goes to sleep on the bell. A ring
//! while it is awake wakes nobody, so spawning from inside a scope is cheap. A poll for which no
//! bell was rung costs a few atomic operations, and takes no lock.

use std::mem;
use std::task::Waker;

use crate::engine::atomics::{AtomicU8, AtomicWaker, Ordering, ShortLock};

// The status of a bell is a set of flags. Without `ASLEEP` the poller is awake. With a call in it,
// the poller is awake and will look, or has been woken.

/// The poller has seen everything, and sleeps. A ring wakes it.
const ASLEEP: u8 = 1;
/// A ring has once found the poller asleep. This stays, because nobody can tell whether that ring
/// has used its waker yet. It may be late, and take a newer one.
const WOKEN: u8 = 2;
/// Any call.
const RUNG: u8 = Call::Other as u8 | Call::Inbox as u8 | Call::News as u8;

/// What a bell is rung for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    /// There is something in the inbox.
    Inbox = 4,
    /// There is something in the lane of the news.
    News = 8,
    /// There is something to see elsewhere.
    Other = 16,
}

/// What a bell was rung for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls(u8);

impl Calls {
    #[cfg(test)]
    pub(crate) fn any(self) -> bool {
        self.0 & RUNG != 0
    }

    #[inline]
    pub(crate) fn has(self, call: Call) -> bool {
        self.0 & call as u8 != 0
    }
}

/// Wakes one poller. See the [module](self).
pub(crate) struct Bell {
    status: AtomicU8,
    waker: AtomicWaker,
}

impl Bell {
    #[inline]
    pub(crate) fn new() -> Self {
        Bell { status: AtomicU8::new(0), waker: AtomicWaker::new() }
    }

    /// Makes the poller look at everything but its lanes, and wakes it if it sleeps.
    ///
    /// The caller puts there what there is to see before it rings.
    pub(crate) fn ring(&self) {
        self.ring_for(Call::Other);
    }

    fn ring_for(&self, call: Call) {
        let mut status = self.status.load(Ordering::Relaxed);
        loop {
            let sleeps = status & (ASLEEP | RUNG) == ASLEEP;
            let rung = status | call as u8 | if sleeps { WOKEN } else { 0 };
            // Release shows the poller what there is to see when it rouses itself. Acquire pairs
            // with `sleep`: either this finds the waker, or the poller finds the ring.
            match self.status.compare_exchange_weak(status, rung, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if sleeps => return self.waker.wake(),
                Ok(_) => return,
                Err(now) => status = now,
            }
        }
    }

    /// Rings for an item that was put into a lane, under the lane's lock.
    #[inline]
    fn ring_for_lane(&self, call: Call) {
        // If the call is still noted, the poller has not roused itself since, and takes from the
        // lane after that. If it had taken before this push, the lane's lock would have ordered its
        // rousing before this load, which then could not see the earlier call.
        if self.status.load(Ordering::Relaxed) & call as u8 == 0 {
            self.ring_for(call);
        }
    }

    /// Returns whether the bell was rung since the poller last roused itself.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        self.status.load(Ordering::Acquire) & RUNG != 0
    }

    /// Returns whether the poller sleeps, so that the next ring wakes it.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.status.load(Ordering::Acquire) & !WOKEN == ASLEEP
    }

    /// Returns whether the poller sleeps, and no ring has ever used a waker of its.
    ///
    /// Then the waker that it has registered is there. Once a ring has used one, this is false for
    /// good, because a ring that is late may use the next one, too.
    #[inline]
    pub(crate) fn is_untouched(&self) -> bool {
        self.status.load(Ordering::Acquire) == ASLEEP
    }

    /// Marks the poller as awake. Returns what the bell was rung for: the poller looks there.
    #[inline]
    pub(crate) fn rouse(&self) -> Calls {
        if self.status.load(Ordering::Relaxed) & !WOKEN == 0 {
            return Calls(0);
        }
        Calls(self.status.fetch_and(WOKEN, Ordering::AcqRel))
    }

    /// Lets the poller sleep until the next ring.
    ///
    /// Returns false if there was one since the poller last roused itself. Then it stays awake.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        if self.is_rung() {
            return false;
        }
        self.waker.register(waker);
        // A poller that is asleep already stays so. The waker is registered before the status
        // changes, so that whoever sees it asleep finds the waker. Where there is a call, it makes
        // no difference whether the poller is marked as asleep.
        self.status.fetch_or(ASLEEP, Ordering::AcqRel) & RUNG == 0
    }

    /// Forgets the waker of a poller that is gone.
    pub(crate) fn unhang(&self) {
        drop(self.waker.take());
    }
}

/// Holds items for one poller. Its first `FIRST` places need no allocation. See the [module](self).
pub(crate) struct Lane<T, const FIRST: usize> {
    call: Call,
    /// No user code runs under this lock: items are dropped, and the bell is rung, outside it.
    state: ShortLock<State<T, FIRST>>,
}

struct State<T, const FIRST: usize> {
    items: Items<T, FIRST>,
    /// How many items have ever been pushed.
    pushed: usize,
    closed: bool,
}

/// What was in a lane, in the order in which it came.
pub(crate) struct Items<T, const FIRST: usize> {
    /// The first items. `taken` of these places are in use.
    first: [Option<T>; FIRST],
    taken: usize,
    /// The items that came after them.
    more: Vec<T>,
}

impl<T, const FIRST: usize> Items<T, FIRST> {
    const fn none() -> Self {
        Items { first: [const { None }; FIRST], taken: 0, more: Vec::new() }
    }

    #[inline]
    fn push(&mut self, item: T) {
        match self.first.get_mut(self.taken) {
            Some(place) => {
                *place = Some(item);
                self.taken += 1;
            }
            None => self.more.push(item),
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken == 0 && self.more.is_empty()
    }

    /// Calls `each` with the items.
    #[inline]
    pub(crate) fn for_each(mut self, mut each: impl FnMut(T)) {
        self.first.iter_mut().take(self.taken).filter_map(Option::take).for_each(&mut each);
        if !self.more.is_empty() {
            self.more.into_iter().for_each(each);
        }
    }

    /// Calls `each` with the items, the last one first.
    pub(crate) fn for_each_rev(mut self, mut each: impl FnMut(T)) {
        self.more.into_iter().rev().for_each(&mut each);
        self.first.iter_mut().rev().filter_map(Option::take).for_each(each);
    }
}

impl<T, const FIRST: usize> Lane<T, FIRST> {
    /// Makes a lane for which the bell is rung with `call`.
    #[inline]
    pub(crate) fn new(call: Call) -> Self {
        Lane { call, state: ShortLock::new(State { items: Items::none(), pushed: 0, closed: false }) }
    }

    /// Puts `item` into the lane, and rings for the poller.
    ///
    /// # Errors
    ///
    /// Returns the item if the lane is closed.
    #[inline]
    pub(crate) fn push(&self, item: T, bell: &Bell) -> Result<(), T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push(item);
        state.pushed += 1;
        drop(state);
        bell.ring_for_lane(self.call);
        Ok(())
    }

    /// Returns how many items have ever been pushed.
    pub(crate) fn pushed(&self) -> usize {
        self.state.lock().pushed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// Takes all items out.
    ///
    /// The poller rouses itself before it calls this, so that it misses no ring for what comes
    /// later.
    #[inline]
    pub(crate) fn take(&self) -> Items<T, FIRST> {
        mem::replace(&mut self.state.lock().items, Items::none())
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Closes the lane and returns what is still in it, if there is something.
    #[inline]
    pub(crate) fn close(&self) -> Option<Items<T, FIRST>> {
        let mut state = self.state.lock();
        state.closed = true;
        (!state.items.is_empty()).then(|| mem::replace(&mut state.items, Items::none()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call for one lane is no call for the other: an item there must not be left until something
    /// else rings.
    #[test]
    fn a_bell_tells_each_lane_for_which_it_was_rung() {
        let bell = Bell::new();
        let (inbox, news) = (Lane::<u8, 2>::new(Call::Inbox), Lane::<u8, 0>::new(Call::News));
        assert!(inbox.push(1, &bell).is_ok());
        let calls = bell.rouse();
        assert!(calls.has(Call::Inbox) && !calls.has(Call::News) && !calls.has(Call::Other));
        assert!(inbox.push(2, &bell).is_ok() && news.push(3, &bell).is_ok());
        bell.ring();
        let calls = bell.rouse();
        assert!(calls.has(Call::Inbox) && calls.has(Call::News) && calls.has(Call::Other));
        assert!(!bell.rouse().any());
    }

    #[test]
    fn a_lane_keeps_the_order_in_which_items_came() {
        let (bell, lane) = (Bell::new(), Lane::<u8, 2>::new(Call::Inbox));
        let fill = || (1..=4).for_each(|item| assert!(lane.push(item, &bell).is_ok()));
        let (mut forwards, mut backwards) = (Vec::new(), Vec::new());
        fill();
        lane.take().for_each(|item| forwards.push(item));
        fill();
        lane.close().expect("it is full").for_each_rev(|item| backwards.push(item));
        assert_eq!((forwards, backwards), (vec![1, 2, 3, 4], vec![4, 3, 2, 1]));
        assert!(lane.close().is_none() && lane.push(5, &bell) == Err(5));
        assert_eq!(lane.pushed(), 8);
    }

    #[test]
    fn a_lane_without_first_places_has_what_was_put_into_it() {
        let (bell, lane) = (Bell::new(), Lane::<u8, 0>::new(Call::News));
        assert!(lane.is_empty() && lane.push(1, &bell).is_ok());
        assert!(!lane.is_empty() && !lane.take().is_empty());
        assert!(lane.push(2, &bell).is_ok());
        let mut left = Vec::new();
        lane.close().expect("there is an item").for_each(|item| left.push(item));
        assert_eq!(left, [2]);
    }
}
