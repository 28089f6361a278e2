//! A lane: where others put what a poller has to take in.
//!
//! A scope has two. Into one go the children and finalizers that its handles spawn; into the other, which borrows
//! nothing, what comes from further away: futures to adopt, children to cancel, news of parallel children.
//!
//! The receiver is one poller. It is `Awake` from the moment it drains the lane until it goes to sleep on it, and a push
//! while it is awake wakes nobody: this is what makes spawning from inside a scope cheap.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Items for one receiver. See the [module](self).
pub(crate) struct Lane<T> {
    /// No user code runs under this lock: wakers are cloned, woken and dropped, and items dropped, outside it.
    state: Mutex<State<T>>,
}

struct State<T> {
    items: Vec<T>,
    /// How many items have ever been pushed.
    pushed: usize,
    receiver: Receiver,
    /// Set by [`Lane::wake`]: the receiver has something to look at, although nothing may be in `items`.
    signalled: bool,
}

enum Receiver {
    Awake,
    Asleep(Waker),
    Gone,
}

impl<T> State<T> {
    /// The waker of a sleeping receiver, which is awake from here on. To be woken outside the lock.
    fn rouse(&mut self) -> Option<Waker> {
        match &self.receiver {
            Receiver::Asleep(_) => match std::mem::replace(&mut self.receiver, Receiver::Awake) {
                Receiver::Asleep(waker) => Some(waker),
                Receiver::Awake | Receiver::Gone => None,
            },
            Receiver::Awake | Receiver::Gone => None,
        }
    }
}

impl<T> Lane<T> {
    pub(crate) fn new() -> Self {
        let state = State { items: Vec::new(), pushed: 0, receiver: Receiver::Awake, signalled: false };
        Lane { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `item` into the lane, and wakes the receiver if it sleeps.
    ///
    /// # Errors
    ///
    /// Gives the item back once the lane is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.lock();
        if matches!(state.receiver, Receiver::Gone) {
            return Err(item);
        }
        state.items.push(item);
        state.pushed += 1;
        let waker = state.rouse();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// How many items have ever been pushed.
    pub(crate) fn pushed(&self) -> usize {
        self.lock().pushed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Makes the receiver look again, without giving it anything.
    pub(crate) fn wake(&self) {
        let mut state = self.lock();
        state.signalled = true;
        let waker = state.rouse();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Moves all items to the end of `into`; the receiver is awake from here on.
    pub(crate) fn drain(&self, into: &mut Vec<T>) {
        let mut state = self.lock();
        into.append(&mut state.items);
        state.signalled = false;
        let waker = state.rouse();
        drop(state);
        drop(waker);
    }

    /// Lets the receiver sleep until the next push or [`wake`](Lane::wake). False, and it stays awake, if there has
    /// been one since it last drained the lane.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        let waker = waker.clone();
        let mut state = self.lock();
        if state.signalled || !state.items.is_empty() {
            drop(state);
            return false;
        }
        let before = match state.receiver {
            Receiver::Gone => None,
            _ => Some(std::mem::replace(&mut state.receiver, Receiver::Asleep(waker))),
        };
        drop(state);
        drop(before);
        true
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.lock().receiver, Receiver::Gone)
    }

    /// Closes the lane and returns what is still in it.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.lock();
        let items = std::mem::take(&mut state.items);
        let before = std::mem::replace(&mut state.receiver, Receiver::Gone);
        drop(state);
        drop(before);
        items
    }
}
