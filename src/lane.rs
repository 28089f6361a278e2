//! A lane: where others put what a poller has to take in.
//!
//! A scope has two. Into one go the children and finalizers that its handles spawn; into the other, which borrows
//! nothing, what comes from further away: futures to adopt, children to cancel, news of parallel children.
//!
//! The receiver is one poller. It is awake from the moment it drains the lane until it goes to sleep on it, and a push
//! while it is awake wakes nobody: this is what makes spawning from inside a scope cheap. A lane in which nothing happens
//! costs the receiver no lock.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The receiver has seen everything, and is about.
const AWAKE: u8 = 0;
/// The receiver has seen everything, and is to be woken.
const ASLEEP: u8 = 1;
/// There is something to see, which the receiver will look for, or has been woken for. Only here may there be items.
const CALLED: u8 = 2;

/// Items for one receiver. See the [module](self).
pub(crate) struct Lane<T> {
    /// Becomes `CALLED` under the lock.
    status: AtomicU8,
    /// No user code runs under this lock: wakers are cloned, woken and dropped, and items dropped, outside it.
    state: Mutex<State<T>>,
}

struct State<T> {
    items: Vec<T>,
    /// How many items have ever been pushed.
    pushed: usize,
    /// Of a receiver that sleeps, or has.
    waker: Option<Waker>,
    closed: bool,
}

impl<T> Lane<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: Vec::new(), pushed: 0, waker: None, closed: false };
        Lane { status: AtomicU8::new(AWAKE), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the receiver, and wakes it if it sleeps.
    fn call(&self, mut state: MutexGuard<'_, State<T>>) {
        // Under the lock, a call stays one.
        if self.status.load(Ordering::Relaxed) == CALLED {
            return;
        }
        // Acquire and release pair with `sleep`, so that either this finds the waker or the receiver finds the call.
        let waker = match self.status.swap(CALLED, Ordering::AcqRel) {
            ASLEEP => state.waker.take(),
            _ => None,
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts `item` into the lane, and wakes the receiver if it sleeps.
    ///
    /// # Errors
    ///
    /// Gives the item back once the lane is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(item);
        }
        state.items.push(item);
        state.pushed += 1;
        self.call(state);
        Ok(())
    }

    /// How many items have ever been pushed.
    pub(crate) fn pushed(&self) -> usize {
        self.lock().pushed
    }

    /// Whether the receiver has seen everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.status.load(Ordering::Acquire) != CALLED
    }

    /// Makes the receiver look again, without giving it anything.
    pub(crate) fn wake(&self) {
        let state = self.lock();
        if !state.closed {
            self.call(state);
        }
    }

    /// Moves all items to the end of `into`; the receiver is awake from here on.
    pub(crate) fn drain(&self, into: &mut Vec<T>) {
        let woken = match self.status.load(Ordering::Acquire) {
            AWAKE => return,
            status => status == CALLED,
        };
        if !woken && self.status.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Acquire).is_ok() {
            return;
        }
        let mut state = self.lock();
        match into.is_empty() {
            true => std::mem::swap(into, &mut state.items),
            false => into.append(&mut state.items),
        }
        self.status.store(AWAKE, Ordering::Release);
    }

    /// Lets the receiver sleep until the next push or [`wake`](Lane::wake). False, and it stays awake, if there has
    /// been one since it last drained the lane.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        if !self.is_empty() {
            return false;
        }
        self.register(waker);
        // Fails where there has been a call. Already asleep is as good.
        self.status.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire) != Err(CALLED)
    }

    fn register(&self, waker: &Waker) {
        let known = |state: &State<T>| state.waker.as_ref().is_some_and(|known| known.will_wake(waker));
        let state = self.lock();
        if state.closed || known(&state) {
            return;
        }
        drop(state);
        let waker = waker.clone();
        let before = self.lock().waker.replace(waker);
        drop(before);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Closes the lane and returns what is still in it.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.lock();
        state.closed = true;
        let items = std::mem::take(&mut state.items);
        let waker = state.waker.take();
        self.status.store(AWAKE, Ordering::Release);
        drop(state);
        drop(waker);
        items
    }
}
