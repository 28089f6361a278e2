//! What a semaphore counts under its lock.
//!
//! The free permits are not among it, since they can be taken without the lock. Who holds it has
//! shut them, and passes their number to each function.

use super::Semaphore;
use super::error::{AcquireError, AddError, Unavailable};
use super::holders::Holders;
use crate::sync::statistics::Statistics;
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;
use crate::task::polled;

/// What is under the lock.
pub(crate) struct State {
    /// How many permits there are, free or in use.
    total: usize,
    /// How many of those in use are too many, and cease to exist when they are given back. Above
    /// zero only while none is free.
    excess: usize,
    /// How many of those in use have no guard, and are to be released by their number.
    detached: usize,
    /// How many there may be at most.
    bound: Option<usize>,
    is_closed: bool,
    waiters: Waiters<usize, Result<(), AcquireError>>,
    /// Those who hold permits and were observed when they got them.
    pub(super) holders: Holders,
}

impl State {
    pub(super) const fn new(total: usize, bound: Option<usize>) -> Self {
        let waiters = Waiters::new();
        State { total, excess: 0, detached: 0, bound, is_closed: false, waiters, holders: Holders::new() }
    }

    /// Whether the free permits stay shut when the lock is released.
    pub(super) fn needs_the_lock(&self) -> bool {
        self.is_closed || self.excess > 0 || !self.waiters.is_empty() || !self.holders.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn waiters(&mut self) -> &mut Waiters<usize, Result<(), AcquireError>> {
        &mut self.waiters
    }

    pub(super) fn statistics(&self, free: usize) -> Statistics {
        self.waiters.statistics(self.in_use(free))
    }

    /// Takes permits if they are free and nobody waits.
    pub(super) fn try_take(&self, count: usize, free: &mut usize) -> Result<(), Unavailable> {
        // A total of zero says nothing about what is too many: it keeps everybody waiting until
        // there are permits.
        let is_too_many = count > self.total && self.total > 0;
        if self.is_closed {
            return Err(Unavailable::Closed);
        }
        if is_too_many {
            return Err(Unavailable::TooMany);
        }
        if count > *free || !self.waiters.is_empty() {
            return Err(Unavailable::NoPermits);
        }
        *free -= count;
        Ok(())
    }

    /// Takes back permits that are in use, and passes them on.
    pub(super) fn give(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) {
        let gone = count.min(self.excess);
        self.excess -= gone;
        *free += count - gone;
        self.let_in(free, wakes);
    }

    /// Takes back permits from the one who held them, and passes them on.
    pub(super) fn end_hold(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) {
        if !self.holders.is_empty() {
            self.holders.cross_out(polled::name().as_ref(), count, self.in_use(*free) - count);
        }
        self.give(count, free, wakes);
    }

    /// Notes that permits have lost their guard.
    pub(super) fn detach(&mut self, count: usize) {
        self.detached += count;
    }

    /// Takes back permits, if so many have no guard. Others come back with theirs.
    pub(super) fn release(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) -> bool {
        let Some(detached) = self.detached.checked_sub(count) else { return false };
        self.detached = detached;
        self.end_hold(count, free, wakes);
        true
    }

    pub(super) fn add(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) -> Result<(), AddError> {
        let bound = self.bound.unwrap_or(Semaphore::MAX_PERMITS);
        let total = self.total.checked_add(count).filter(|total| *total <= bound).ok_or(AddError { bound })?;
        self.set_total(total, self.in_use(*free), free);
        self.let_in(free, wakes);
        Ok(())
    }

    /// Sets the total, and the bound if there is one.
    pub(super) fn resize(&mut self, total: usize, free: &mut usize, wakes: &mut Wakes) {
        self.bound = self.bound.map(|_| total);
        self.settle_at(total, self.in_use(*free), free, wakes);
    }

    /// Takes up to `count` free permits away for good. Returns how many.
    pub(super) fn forget_free(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) -> usize {
        let count = count.min(*free);
        if count > 0 {
            self.settle_at(self.total - count, self.in_use(*free), free, wakes);
        }
        count
    }

    /// Takes permits that are in use away for good.
    pub(super) fn forget_used(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) {
        if count > 0 {
            let in_use = self.in_use(*free) - count;
            if !self.holders.is_empty() {
                self.holders.cross_out(polled::name().as_ref(), count, in_use);
            }
            self.settle_at(self.total.saturating_sub(count), in_use, free, wakes);
        }
    }

    pub(super) fn close(&mut self, wakes: &mut Wakes) {
        self.is_closed = true;
        self.waiters.answer_where(wakes, |_| Some(Err(AcquireError { kind: Unavailable::Closed })));
    }

    fn in_use(&self, free: usize) -> usize {
        self.total + self.excess - free
    }

    /// Sets the total, while so many are in use.
    fn set_total(&mut self, total: usize, in_use: usize, free: &mut usize) {
        self.total = total;
        *free = total.saturating_sub(in_use);
        self.excess = in_use.saturating_sub(total);
    }

    /// Sets the total, and turns away those who wait for more than that.
    ///
    /// A total of zero turns nobody away: it keeps everybody waiting. If it is followed by
    /// [`add`](Self::add), they go on to wait, since more may be added. If it is followed by a
    /// total that is set, those who want more would wait for ever, and keep back those behind them.
    fn settle_at(&mut self, total: usize, in_use: usize, free: &mut usize, wakes: &mut Wakes) {
        self.set_total(total, in_use, free);
        if total > 0 {
            let error = AcquireError { kind: Unavailable::TooMany };
            self.waiters.answer_where(wakes, |&count| (count > total).then_some(Err(error)));
        }
        self.let_in(free, wakes);
    }

    /// Answers as many of the first waiters as there are permits for.
    fn let_in(&mut self, free: &mut usize, wakes: &mut Wakes) {
        while let Some(&count) = self.waiters.first() {
            if count > *free {
                return;
            }
            *free -= count;
            self.waiters.answer_first(Ok(()), wakes);
        }
    }
}
