//! Passes items to a poller (`Lane`), and wakes the poller for them (`Bell`).
//!
//! A scope has two lanes. Its handles put children and finalizers into the inbox. The other lane
//! borrows nothing, and has what comes from further away: futures to adopt, children to cancel,
//! news of parallel children. One bell serves both lanes.
//!
//! The poller is awake from the moment it rouses itself until it goes to sleep on the bell. A ring
//! while it is awake wakes nobody, so spawning from inside a scope is cheap. A poll for which no
//! bell was rung costs a few atomic operations, and takes no lock.

use std::mem;
use std::task::Waker;

use crate::engine::atomics::{AtomicU8, AtomicWaker, Ordering, ShortLock};

/// The poller has seen everything, and is awake.
const AWAKE: u8 = 0;
/// The poller has seen everything, and sleeps. A ring wakes it.
const ASLEEP: u8 = 1;
/// There is something to see. The poller is awake and will look, or has been woken.
const RUNG: u8 = 2;
/// Beside one of these: a ring has found the poller asleep at some time, and may not have woken it
/// yet.
const WOKEN: u8 = 4;

/// Wakes one poller. See the [module](self).
pub(crate) struct Bell {
    status: AtomicU8,
    waker: AtomicWaker,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Bell { status: AtomicU8::new(AWAKE), waker: AtomicWaker::new() }
    }

    /// Makes the poller look into its lanes, and wakes it if it sleeps.
    ///
    /// The caller puts in what there is to see before it rings.
    pub(crate) fn ring(&self) {
        let mut status = self.status.load(Ordering::Relaxed);
        loop {
            let found = status & !WOKEN;
            let rung = if found == ASLEEP { RUNG | WOKEN } else { RUNG | status & WOKEN };
            // Release shows the poller what there is to see when it rouses itself. Acquire pairs
            // with `sleep`: either this finds the waker, or the poller finds the ring.
            match self.status.compare_exchange_weak(status, rung, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if found == ASLEEP => return self.waker.wake(),
                Ok(_) => return,
                Err(now) => status = now,
            }
        }
    }

    /// Rings for an item that was put into a lane, under the lane's lock.
    fn ring_for_lane(&self) {
        // If the bell is rung already, the poller has yet to rouse itself, and looks after that.
        // Had it looked before this push, the lane's lock, which it took for that, would show it
        // roused here.
        if self.status.load(Ordering::Relaxed) & RUNG == 0 {
            self.ring();
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

    /// Marks the poller as awake. Returns true if the bell was rung: then the poller looks into its
    /// lanes.
    #[inline]
    pub(crate) fn rouse(&self) -> bool {
        let status = self.status.load(Ordering::Relaxed);
        status & !WOKEN != AWAKE && self.status.fetch_and(WOKEN, Ordering::AcqRel) & RUNG != 0
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
        // changes, so that whoever sees it asleep finds the waker. A poller that was rung for in
        // between counts as rung, whether it is marked asleep or not.
        self.status.fetch_or(ASLEEP, Ordering::AcqRel) & RUNG == 0
    }

    /// Forgets the waker of a poller that is gone.
    pub(crate) fn unhang(&self) {
        drop(self.waker.take());
    }
}

/// Holds items for one poller. Its first `FIRST` places need no allocation. See the [module](self).
pub(crate) struct Lane<T, const FIRST: usize> {
    /// No user code runs under this lock: items are dropped, and the bell is rung, outside it.
    state: ShortLock<State<T, FIRST>>,
}

struct State<T, const FIRST: usize> {
    /// The first items. `taken` of these places are in use.
    first: [Option<T>; FIRST],
    taken: usize,
    /// The items that came after them.
    more: Vec<T>,
    /// How many items have ever been pushed.
    pushed: usize,
    closed: bool,
}

impl<T, const FIRST: usize> Lane<T, FIRST> {
    pub(crate) fn new() -> Self {
        let state = State { first: [const { None }; FIRST], taken: 0, more: Vec::new(), pushed: 0, closed: false };
        Lane { state: ShortLock::new(state) }
    }

    /// Puts `item` into the lane, and rings for the poller.
    ///
    /// # Errors
    ///
    /// Returns the item if the lane is closed.
    pub(crate) fn push(&self, item: T, bell: &Bell) -> Result<(), T> {
        let mut state = self.state.lock();
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

    /// Returns how many items have ever been pushed.
    pub(crate) fn pushed(&self) -> usize {
        self.state.lock().pushed
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.taken == 0 && state.more.is_empty()
    }

    /// Takes all items out, in the order in which they came: the first ones, then the rest.
    ///
    /// The empty vector `spare` takes the place of the rest. The poller rouses itself before it
    /// calls this, so that it misses no ring for what comes later.
    pub(crate) fn take(&self, spare: Vec<T>) -> ([Option<T>; FIRST], Vec<T>) {
        debug_assert!(spare.is_empty());
        self.state.lock().take(spare)
    }

    /// Orders the caller before the poller's next [`take`](Self::take), or after its last one.
    pub(crate) fn synchronize(&self) {
        drop(self.state.lock());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Closes the lane and returns what is still in it.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.state.lock();
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
