//! A lane: where others put what a poller has to take in, and the bell that calls the poller to it.
//!
//! A scope has two lanes. Into one go the children and finalizers that its handles spawn; into the other, which borrows
//! nothing, what comes from further away: futures to adopt, children to cancel, news of parallel children. One bell
//! serves both.
//!
//! The poller is awake from the moment it rouses itself until it goes to sleep on the bell, and a ring while it is awake
//! wakes nobody: this is what makes spawning from inside a scope cheap. Lanes in which nothing happens cost the poller
//! a few atomic operations each time it is polled, and no lock.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::set::sync::{AtomicU8, AtomicWaker, Ordering};

/// The poller has seen everything, and is about.
const AWAKE: u8 = 0;
/// The poller has seen everything, and is to be woken.
const ASLEEP: u8 = 1;
/// There is something to see, which the poller will look for, or has been woken for.
const RUNG: u8 = 2;

/// Calls one poller. See the [module](self).
pub(crate) struct Bell {
    status: AtomicU8,
    waker: AtomicWaker,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Bell { status: AtomicU8::new(AWAKE), waker: AtomicWaker::new() }
    }

    /// Makes the poller look, and wakes it if it sleeps. Whatever there is to see is to be there by now.
    pub(crate) fn ring(&self) {
        // Release shows the poller what there is to see, when it rouses itself. Acquire pairs with `sleep`, so that either
        // this finds the waker or the poller finds the ring.
        if self.status.swap(RUNG, Ordering::AcqRel) == ASLEEP {
            self.waker.wake();
        }
    }

    /// The same for what was put into a lane, under the lane's lock.
    fn ring_for_lane(&self) {
        // Rung before, and the poller will rouse itself, then look: had it done that already, the lane's lock, which it
        // took to look, would show it roused here.
        if self.status.load(Ordering::Relaxed) != RUNG {
            self.ring();
        }
    }

    /// Whether it has been rung since the poller last roused itself.
    pub(crate) fn is_rung(&self) -> bool {
        self.status.load(Ordering::Acquire) == RUNG
    }

    /// The poller is awake from here on. True if it has been rung, and the poller is to look into its lanes.
    pub(crate) fn rouse(&self) -> bool {
        let status = self.status.load(Ordering::Relaxed);
        status != AWAKE && self.status.swap(AWAKE, Ordering::AcqRel) == RUNG
    }

    /// Lets the poller sleep until the next ring. False, and it stays awake, if there has been one since it last roused
    /// itself.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        if self.is_rung() {
            return false;
        }
        self.waker.register(waker);
        // Already asleep is as good.
        self.status.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire) != Err(RUNG)
    }

    /// There is no poller any more.
    pub(crate) fn unhang(&self) {
        drop(self.waker.take());
    }
}

/// Items for one poller, with room for the first ones of a round that needs no allocation. See the [module](self).
pub(crate) struct Lane<T, const FIRST: usize> {
    /// No user code runs under this lock: items are dropped, and the bell is rung, outside it.
    state: Mutex<State<T, FIRST>>,
}

struct State<T, const FIRST: usize> {
    /// The first items; `taken` of these places are.
    first: [Option<T>; FIRST],
    taken: usize,
    /// The items after them.
    more: Vec<T>,
    /// How many items have ever been pushed.
    pushed: usize,
    closed: bool,
}

impl<T, const FIRST: usize> Lane<T, FIRST> {
    pub(crate) fn new() -> Self {
        let state = State { first: [const { None }; FIRST], taken: 0, more: Vec::new(), pushed: 0, closed: false };
        Lane { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T, FIRST>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `item` into the lane, and rings for the poller.
    ///
    /// # Errors
    ///
    /// Gives the item back once the lane is closed.
    pub(crate) fn push(&self, item: T, bell: &Bell) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        if state.taken < FIRST {
            let place = state.taken;
            state.first[place] = Some(item);
            state.taken += 1;
        } else {
            state.more.push(item);
        }
        state.pushed += 1;
        drop(state);
        bell.ring_for_lane();
        Ok(())
    }

    /// How many items have ever been pushed.
    pub(crate) fn pushed(&self) -> usize {
        self.lock().pushed
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.taken == 0 && state.more.is_empty()
    }

    /// Takes all items out, in the order in which they came: the first ones, then the rest. The lane goes on with the
    /// empty vector `spare`. The poller rouses itself before it does this.
    pub(crate) fn take(&self, spare: Vec<T>) -> ([Option<T>; FIRST], Vec<T>) {
        debug_assert!(spare.is_empty());
        self.lock().take(spare)
    }

    /// Orders the caller before the poller's next [`take`](Self::take), or after its last one.
    pub(crate) fn synchronize(&self) {
        drop(self.lock());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes the lane and returns what is still in it.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.lock();
        state.closed = true;
        let (first, more) = state.take(Vec::new());
        drop(state);
        if first.iter().all(Option::is_none) {
            return more;
        }
        first.into_iter().flatten().chain(more).collect()
    }
}

impl<T, const FIRST: usize> State<T, FIRST> {
    fn take(&mut self, spare: Vec<T>) -> ([Option<T>; FIRST], Vec<T>) {
        self.taken = 0;
        (mem::replace(&mut self.first, [const { None }; FIRST]), mem::replace(&mut self.more, spare))
    }
}
