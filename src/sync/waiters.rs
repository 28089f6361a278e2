//! Who waits, in order: the arena of a wait list.

use std::mem;
use std::task::Waker;

use slab::Slab;

use super::statistics::Statistics;
use super::wakes::Wakes;

/// As many entries are kept for the next waiters when the last one has left.
const KEPT: usize = 32;

/// Says where a waiter is. It is valid until the waiter is removed, which only its owner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterKey(u32);

impl WaiterKey {
    /// Stands for no waiter at the ends of the line.
    const NONE: WaiterKey = WaiterKey(u32::MAX);

    fn new(index: usize) -> Self {
        let index = u32::try_from(index).expect("there are fewer than 2^32 waiters");
        assert!(index != u32::MAX, "there are fewer than 2^32 waiters");
        WaiterKey(index)
    }

    fn index(self) -> usize {
        self.0 as usize
    }

    fn some(self) -> Option<WaiterKey> {
        if self == WaiterKey::NONE { None } else { Some(self) }
    }
}

/// Waiters in the order in which they came.
///
/// A waiter asks for a `Q`. It *waits* in the line until it gets its answer, an `A`. Then it is no
/// longer in the line, and its entry stays until its owner takes the answer or leaves.
///
/// Each operation takes a constant time, except for [`answer_where`](Self::answer_where). Nothing
/// is allocated before the first waiter. A waiter takes 40 bytes where `Q` is a word and `A` is no
/// larger. When the last one has left, the memory of a crowd is given back.
pub(crate) struct Waiters<Q = (), A = ()> {
    entries: Slab<Entry<Q, A>>,
    /// The ends of the line. Each is `NONE` if, and only if, nobody waits.
    first: WaiterKey,
    last: WaiterKey,
    /// How many wait in the line.
    len: usize,
    /// The most that have waited at once.
    peak: usize,
}

struct Entry<Q, A> {
    ask: Q,
    state: WaiterState<A>,
}

enum WaiterState<A> {
    /// In the line, between two neighbours.
    Waiting { waker: Waker, before: WaiterKey, after: WaiterKey },
    /// Out of the line, and woken.
    Answered(A),
}

/// What a waiter finds when it looks.
pub(crate) enum Found<A> {
    /// Its answer. Its entry is gone.
    Answer(A),
    /// Nothing yet. The waker that it left is as good as the one that it has now.
    Nothing,
    /// Nothing yet, and the waker that it left is another one.
    OtherWaker,
}

/// What a waiter leaves behind. The waker is to be dropped when the lock has been released.
pub(crate) struct Left<Q, A> {
    pub(crate) ask: Q,
    /// `None` if it was still waiting.
    pub(crate) answer: Option<A>,
    pub(crate) waker: Option<Waker>,
}

impl<Q, A> Waiters<Q, A> {
    pub(crate) const fn new() -> Self {
        Waiters { entries: Slab::new(), first: WaiterKey::NONE, last: WaiterKey::NONE, len: 0, peak: 0 }
    }

    /// Returns how many wait for their answer.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the statistics of a primitive of which so many are in use.
    pub(crate) fn statistics(&self, in_use: usize) -> Statistics {
        Statistics { in_use, waiting: self.len, peak_waiting: self.peak }
    }

    /// Returns what the first in the line asks for.
    pub(crate) fn first(&self) -> Option<&Q> {
        let first = self.first.some()?;
        Some(&self.entries[first.index()].ask)
    }

    /// Returns what the first in the line asks for, to change it.
    pub(crate) fn first_mut(&mut self) -> Option<&mut Q> {
        let first = self.first.some()?;
        Some(&mut self.entries[first.index()].ask)
    }

    /// Answers the first in the line, who leaves it and is woken. Does nothing if nobody waits.
    pub(crate) fn answer_first(&mut self, answer: A, wakes: &mut Wakes) {
        if let Some(first) = self.first.some() {
            self.answer(first, answer, wakes);
        }
    }

    /// Answers those in the line for whom `answer` returns something, from the first to the last.
    /// This goes through the whole line.
    pub(crate) fn answer_where(&mut self, wakes: &mut Wakes, mut answer: impl FnMut(&Q) -> Option<A>) {
        let mut next = self.first;
        while let Some(key) = next.some() {
            let entry = &self.entries[key.index()];
            let WaiterState::Waiting { after, .. } = entry.state else { unreachable!("it is in the line") };
            next = after;
            if let Some(answer) = answer(&entry.ask) {
                self.answer(key, answer, wakes);
            }
        }
    }

    /// Puts a waiter at the end of the line.
    pub(crate) fn push(&mut self, ask: Q, waker: Waker) -> WaiterKey {
        let state = WaiterState::Waiting { waker, before: self.last, after: WaiterKey::NONE };
        let key = WaiterKey::new(self.entries.insert(Entry { ask, state }));
        *self.after(self.last) = key;
        self.last = key;
        self.len += 1;
        self.peak = self.peak.max(self.len);
        key
    }

    /// Puts a waiter at the head of the line.
    pub(crate) fn push_first(&mut self, ask: Q, waker: Waker) -> WaiterKey {
        let state = WaiterState::Waiting { waker, before: WaiterKey::NONE, after: self.first };
        let key = WaiterKey::new(self.entries.insert(Entry { ask, state }));
        *self.before(self.first) = key;
        self.first = key;
        self.len += 1;
        self.peak = self.peak.max(self.len);
        key
    }

    /// Looks for the answer of a waiter, who is now polled with `waker`.
    pub(crate) fn look(&mut self, key: WaiterKey, waker: &Waker) -> Found<A> {
        match &self.entries[key.index()].state {
            WaiterState::Waiting { waker: left, .. } if left.will_wake(waker) => Found::Nothing,
            WaiterState::Waiting { .. } => Found::OtherWaker,
            WaiterState::Answered(_) => match self.take(key).state {
                WaiterState::Answered(answer) => Found::Answer(answer),
                WaiterState::Waiting { .. } => unreachable!("it was answered"),
            },
        }
    }

    /// Leaves another waker for a waiter. Returns the one that is no longer needed, which is to be
    /// dropped when the lock has been released: the former one, or `waker` if it was answered.
    pub(crate) fn replace_waker(&mut self, key: WaiterKey, waker: Waker) -> Waker {
        match &mut self.entries[key.index()].state {
            WaiterState::Waiting { waker: left, .. } => mem::replace(left, waker),
            WaiterState::Answered(_) => waker,
        }
    }

    /// Takes a waiter out, in the line or not. Its key is no longer valid.
    pub(crate) fn remove(&mut self, key: WaiterKey) -> Left<Q, A> {
        let Entry { ask, state } = self.take(key);
        match state {
            WaiterState::Waiting { waker, before, after } => {
                self.unlink(before, after);
                Left { ask, answer: None, waker: Some(waker) }
            }
            WaiterState::Answered(answer) => Left { ask, answer: Some(answer), waker: None },
        }
    }

    /// Takes an entry out, and leaves the line as it is.
    fn take(&mut self, key: WaiterKey) -> Entry<Q, A> {
        let entry = self.entries.remove(key.index());
        if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries = Slab::new();
        }
        entry
    }

    fn answer(&mut self, key: WaiterKey, answer: A, wakes: &mut Wakes) {
        let state = mem::replace(&mut self.entries[key.index()].state, WaiterState::Answered(answer));
        let WaiterState::Waiting { waker, before, after } = state else { unreachable!("it is in the line") };
        self.unlink(before, after);
        wakes.push(waker);
    }

    /// Makes neighbours of two who had one between them.
    fn unlink(&mut self, before: WaiterKey, after: WaiterKey) {
        *self.after(before) = after;
        *self.before(after) = before;
        self.len -= 1;
    }

    /// The link from `key` to the one behind it. That from no one is the beginning of the line.
    fn after(&mut self, key: WaiterKey) -> &mut WaiterKey {
        let Some(key) = key.some() else { return &mut self.first };
        match &mut self.entries[key.index()].state {
            WaiterState::Waiting { after, .. } => after,
            WaiterState::Answered(_) => unreachable!("who is in the line waits"),
        }
    }

    /// The link from `key` to the one before it. That from no one is the end of the line.
    fn before(&mut self, key: WaiterKey) -> &mut WaiterKey {
        let Some(key) = key.some() else { return &mut self.last };
        match &mut self.entries[key.index()].state {
            WaiterState::Waiting { before, .. } => before,
            WaiterState::Answered(_) => unreachable!("who is in the line waits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(waiters: &mut Waiters, n: usize) -> Vec<WaiterKey> {
        (0..n).map(|_| waiters.push((), Waker::noop().clone())).collect()
    }

    #[test]
    fn the_memory_of_a_crowd_is_given_back_and_that_of_a_few_is_kept() {
        let mut waiters = Waiters::new();
        assert_eq!(waiters.entries.capacity(), 0);
        for key in crowd(&mut waiters, 100_000) {
            waiters.remove(key);
        }
        assert_eq!(waiters.entries.capacity(), 0);
        for key in crowd(&mut waiters, 3) {
            waiters.remove(key);
        }
        assert!((3..=KEPT).contains(&waiters.entries.capacity()));
    }

    #[test]
    fn an_answered_waiter_keeps_its_entry_until_it_looks() {
        let (mut waiters, mut wakes) = (Waiters::new(), Wakes::new());
        let [first, second] = [1, 2].map(|ask| waiters.push(ask, Waker::noop().clone()));
        waiters.answer_first('a', &mut wakes);
        assert_eq!((waiters.len(), waiters.first(), waiters.entries.len()), (1, Some(&2), 2));
        // Whether two wakers that do nothing are the same depends on how the compiler places them.
        assert!(matches!(waiters.look(second, Waker::noop()), Found::Nothing | Found::OtherWaker));
        assert!(matches!(waiters.look(first, Waker::noop()), Found::Answer('a')));
        waiters.answer_first('b', &mut wakes);
        let Left { ask, answer, waker } = waiters.remove(second);
        assert_eq!((ask, answer, waker.is_none(), waiters.is_empty()), (2, Some('b'), true, true));
        waiters.answer_first('c', &mut wakes);
        assert_eq!((waiters.first(), waiters.statistics(0).peak_waiting(), waiters.entries.len()), (None, 2, 0));
        wakes.wake();
    }
}
