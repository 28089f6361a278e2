//! Whom to wake when the lock has been released.

use std::mem;
use std::task::Waker;

use crate::panic::take_all;

/// As many wakers need no allocation.
const FEW: usize = 4;

/// Wakers, in the order in which they are to be woken.
pub(crate) struct Wakes {
    few: [Option<Waker>; FEW],
    len: usize,
    rest: Vec<Waker>,
}

impl Wakes {
    #[inline]
    pub(crate) const fn new() -> Self {
        Wakes { few: [const { None }; FEW], len: 0, rest: Vec::new() }
    }

    #[inline]
    pub(crate) fn push(&mut self, waker: Waker) {
        match self.few.get_mut(self.len) {
            Some(place) => *place = Some(waker),
            None => self.rest.push(waker),
        }
        self.len += 1;
    }

    /// Wakes them all. A waker that panics does not keep the others from being woken.
    #[inline]
    pub(crate) fn wake(mut self) {
        if self.len > 0 {
            self.wake_some();
        }
        // Nothing is left in it, which the compiler does not know.
        mem::forget(self);
    }

    fn wake_some(&mut self) {
        if self.len == 1 {
            if let Some(only) = self.few[0].take() {
                return only.wake();
            }
        }
        let mut rest = mem::take(&mut self.rest).into_iter();
        let mut few = self.few[..self.len.min(FEW)].iter_mut();
        take_all(&mut || {
            let next = few.next().and_then(Option::take).or_else(|| rest.next());
            next.map(Waker::wake).is_some()
        });
    }
}
