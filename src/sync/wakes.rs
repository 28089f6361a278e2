//! Whom to wake when the lock has been released.

use std::task::Waker;

use crate::panic::wake_all;

/// As many wakers need no allocation.
const FEW: usize = 8;

/// Wakers, in the order in which they are to be woken.
pub(crate) struct Wakes {
    few: [Option<Waker>; FEW],
    len: usize,
    rest: Vec<Waker>,
}

impl Wakes {
    pub(crate) const fn new() -> Self {
        Wakes { few: [const { None }; FEW], len: 0, rest: Vec::new() }
    }

    pub(crate) fn push(&mut self, waker: Waker) {
        match self.few.get_mut(self.len) {
            Some(place) => *place = Some(waker),
            None => self.rest.push(waker),
        }
        self.len += 1;
    }

    /// Wakes them all. A waker that panics does not keep the others from being woken.
    #[inline]
    pub(crate) fn wake(self) {
        if self.len > 0 {
            wake_all(self.few.into_iter().flatten().chain(self.rest));
        }
    }
}
