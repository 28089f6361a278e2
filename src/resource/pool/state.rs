//! What a pool counts under its lock.
//!
//! It runs no code of the user and drops none of its values. What has to be done without the lock
//! is left as an [`Errand`].

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use slab::Slab;

use super::errand::{Errand, Evicted, PlaceUse};
use super::error::{GetCause, GetError};
use super::group::{Ask, Asked, CreateFailure, Given, Group, Stored};
use super::statistics::PoolStatistics;
use super::{Manager, PoolOptions};
use crate::name::Name;
use crate::runtime::Instant;
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;

/// The key of the only group of a pool without keys.
pub(super) const ALL: usize = 0;

/// How long the next attempt waits after one that failed, at first and at most. Each failure in a
/// row doubles it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What is under the lock.
///
/// A *place* is taken by a resource from before it is created until after it is closed.
pub(super) struct State<M: Manager> {
    pub(super) options: PoolOptions,
    /// The resources and the waiters of each key. A pool without keys has one.
    pub(super) groups: Slab<Group<M>>,
    /// The sizes of all groups together, without what was [evicted](Evicted). They are
    /// `options.max_size` at most. While somebody waits for a place, as opposed to a resource of
    /// its own group, none is free, and nothing is idle in another group.
    places: usize,
    peak: usize,
    /// How many have ever waited.
    tickets: u64,
    /// Why the pool is closed, if it is. Then nobody waits, and nothing is idle.
    closed: Option<GetCause<M::Error>>,
    /// When the task that closes what is idle for too long looks next, and its number. `None` while
    /// there is none.
    reaper: Option<(Instant, u64)>,
    /// How many such tasks there have been.
    reapers: u64,
    /// What is to be done without the lock. Whoever has changed the state takes them.
    errands: Vec<Errand<M>>,
    /// Those who wait for no resource.
    pub(super) onlookers: Waiters<Sight, Result<(), GetError<M::Error>>>,
}

/// What an onlooker waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// No place is taken any more.
    Empty,
    /// No resource is being created.
    Filled,
}

/// What became of a resource that was in use.
pub(super) enum Returned {
    /// It may be given out again.
    Clean,
    /// It has to be reset.
    Used,
    /// It has to be closed.
    Broken,
}

impl<M: Manager> State<M> {
    pub(super) fn new(options: PoolOptions) -> Self {
        State {
            options,
            groups: Slab::new(),
            places: 0,
            peak: 0,
            tickets: 0,
            closed: None,
            reaper: None,
            reapers: 0,
            errands: Vec::new(),
            onlookers: Waiters::new(),
        }
    }

    /// Adds a group, with its first visit, and returns its key.
    pub(super) fn open_group(&mut self, group: Group<M>) -> usize {
        self.groups.insert(group)
    }

    pub(super) fn begin_visit(&mut self, group: usize) {
        self.groups[group].visits += 1;
    }

    pub(super) fn end_visit(&mut self, group: usize) {
        self.groups[group].visits -= 1;
    }

    /// Takes a group out if it is as good as a new one, and nobody uses it.
    pub(super) fn close_group(&mut self, group: usize, now: Instant) -> Option<Group<M>> {
        let Group { visits, waiters, failure, .. } = &self.groups[group];
        let is_pausing = failure.as_ref().is_some_and(|failure| failure.next > now);
        let is_used = *visits > 0 || !waiters.is_empty() || self.groups[group].size() > 0;
        if is_used || is_pausing { None } else { Some(self.groups.remove(group)) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Whether a newcomer has to wait for what others hold, and nothing can be done about it:
    /// nothing is idle, no place is free, and nobody else has a claim to the resources. So the
    /// newcomer need not read the clock.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        let is_full = self.places == self.options.max_size && self.groups.len() == 1 && !self.is_closed();
        is_full && self.groups.get(ALL).is_some_and(|all| all.idle.is_empty() && all.failure.is_none())
    }

    /// Takes what is to be done when the lock has been released.
    #[inline]
    pub(super) fn take_errands(&mut self) -> Option<Vec<Errand<M>>> {
        if self.errands.is_empty() { None } else { Some(mem::take(&mut self.errands)) }
    }

    pub(super) fn statistics(&self) -> PoolStatistics {
        let mut sum = PoolStatistics { peak: self.peak, size: self.places, ..PoolStatistics::default() };
        for (_, group) in &self.groups {
            sum.idle += group.idle.len();
            sum.in_use += group.holders.len();
            sum.connecting += group.coming();
            sum.waiting += group.waiters.len();
        }
        sum
    }

    pub(super) fn holders(&self) -> Vec<Name> {
        self.groups.iter().flat_map(|(_, group)| &group.holders).map(|(_, name)| name.clone()).collect()
    }

    /// Takes the resource that was idle last, if nobody waits and it needs no check.
    #[inline]
    pub(super) fn take(&mut self, group: usize, name: Name, now: Instant) -> Option<Box<Stored<M>>> {
        let Group { idle, holders, waiters, .. } = &mut self.groups[group];
        let last = idle.back()?;
        if !waiters.is_empty() || last.fresh_until.is_some_and(|at| at <= now) {
            return None;
        }
        let mut stored = idle.pop_back()?;
        stored.holder = holders.insert(name);
        if self.options.min_idle > 0 {
            self.provide(group, 0, now);
        }
        Some(stored)
    }

    /// Takes a resource, or sees to it that one comes for the caller, who waits then.
    ///
    /// Returns `None` if it must be known when the caller asks.
    pub(super) fn join(&mut self, group: usize, mut ask: Ask, asked: Option<Asked>) -> Result<Option<Given<M>>, Ask> {
        ask.ticket = self.tickets;
        let Some(Asked { now, deadline }) = asked else {
            if !self.is_crowded() {
                return Ok(None);
            }
            self.tickets += 1;
            return Err(ask);
        };
        if let Some(cause) = &self.closed {
            return Ok(Some(Err(GetError { cause: cause.clone() })));
        }
        if let Some(stored) = self.take(group, ask.name.clone(), now) {
            return Ok(Some(Ok(stored)));
        }
        let Group { failure, waiters, .. } = &self.groups[group];
        if let (Some(failure), Some(deadline)) = (failure, deadline) {
            if failure.next >= deadline && self.groups[group].has_nothing_else() {
                return Ok(Some(Err(GetError { cause: failure.cause.clone() })));
            }
        }
        let waiting = waiters.len() + 1;
        self.tickets += 1;
        self.provide(group, waiting, now);
        Err(ask)
    }

    /// Takes back a resource that was in use.
    pub(super) fn release(
        &mut self,
        group: usize,
        stored: Box<Stored<M>>,
        release: Returned,
        now: Instant,
        wakes: &mut Wakes,
    ) {
        self.groups[group].holders.remove(stored.holder);
        match release {
            Returned::Clean => self.come_home(group, stored, now, wakes),
            Returned::Used if !self.is_closed() => {
                self.groups[group].leaving += 1;
                self.errands.push(Errand::Reset { group, stored });
            }
            Returned::Used | Returned::Broken => self.send_away(group, stored),
        }
    }

    /// Forgets a resource that its holder keeps.
    pub(super) fn let_go(&mut self, group: usize, holder: usize, now: Instant, wakes: &mut Wakes) {
        self.groups[group].holders.remove(holder);
        self.free_place(group, now, wakes);
    }

    /// Puts in a resource that was created.
    pub(super) fn created(&mut self, group: usize, stored: Box<Stored<M>>, now: Instant, wakes: &mut Wakes) {
        let former = self.groups[group].failure.take();
        self.forget(former);
        self.groups[group].creating -= 1;
        self.come_home(group, stored, now, wakes);
        let PoolOptions { idle_timeout, max_lifetime, .. } = self.options;
        if let (None, Some(at)) = (self.reaper, now.checked_add(idle_timeout.min(max_lifetime))) {
            self.reap_at(at);
        }
        self.provide(group, self.groups[group].waiters.len(), now);
        self.show(wakes);
    }

    /// Puts in a resource that was found fit.
    pub(super) fn checked(&mut self, group: usize, stored: Box<Stored<M>>, now: Instant, wakes: &mut Wakes) {
        self.groups[group].checking -= 1;
        self.come_home(group, stored, now, wakes);
    }

    /// Puts in a resource that was reset.
    pub(super) fn was_reset(&mut self, group: usize, stored: Box<Stored<M>>, now: Instant, wakes: &mut Wakes) {
        self.groups[group].leaving -= 1;
        self.come_home(group, stored, now, wakes);
    }

    /// Notes that a resource was found unfit, and is going to be closed.
    pub(super) fn found_unfit(&mut self, group: usize, now: Instant, wakes: &mut Wakes) {
        let unfit = &mut self.groups[group];
        unfit.checking -= 1;
        unfit.leaving += 1;
        self.provide(group, self.groups[group].waiters.len(), now);
        self.show(wakes);
    }

    /// Notes that a resource could not be created.
    ///
    /// Those who wait are told if nothing else can give them a resource.
    pub(super) fn failed(&mut self, group: usize, cause: GetCause<M::Error>, now: Instant, wakes: &mut Wakes) {
        let failed = &mut self.groups[group];
        failed.creating -= 1;
        let count = failed.failure.as_ref().map_or(0, |failure| failure.count);
        let pause = PAUSES.0.saturating_mul(1 << count.min(10)).min(PAUSES.1);
        if failed.has_nothing_else() && failed.coming() == 0 {
            failed.waiters.answer_where(wakes, |_| Some(Some(Err(GetError { cause: cause.clone() }))));
        }
        let next = now.checked_add(pause).unwrap_or(now);
        let former = failed.failure.replace(CreateFailure { cause, count: count.saturating_add(1), next });
        self.forget(former);
        self.free_place(group, now, wakes);
    }

    /// Notes that a task has ended, and left neither a resource nor an error.
    pub(super) fn lost(&mut self, group: usize, place: PlaceUse, now: Instant, wakes: &mut Wakes) {
        let lost = &mut self.groups[group];
        match place {
            PlaceUse::Creating => lost.creating -= 1,
            PlaceUse::Checking => lost.checking -= 1,
            PlaceUse::Leaving => lost.leaving -= 1,
        }
        self.free_place(group, now, wakes);
    }

    /// Notes that a resource of this group is gone whose place is another group's.
    pub(super) fn lost_evicted(&mut self, group: usize, now: Instant) {
        self.groups[group].leaving -= 1;
        self.provide(group, self.groups[group].waiters.len(), now);
    }

    /// Creates what is missing of the idle resources. A pause after a failure is over by that.
    pub(super) fn fill(&mut self, now: Instant) {
        for group in self.keys() {
            let former = if self.groups[group].creating == 0 { self.groups[group].failure.take() } else { None };
            self.forget(former);
            self.provide(group, self.groups[group].waiters.len(), now);
        }
    }

    /// Returns what there is to see for an onlooker, or `None` if it has to wait for it.
    pub(super) fn look(&self, sight: Sight) -> Option<Result<(), GetError<M::Error>>> {
        match (sight, &self.closed) {
            (Sight::Empty, _) => (self.places == 0).then_some(Ok(())),
            (Sight::Filled, Some(cause)) => Some(Err(GetError { cause: cause.clone() })),
            (Sight::Filled, None) if self.groups.iter().any(|(_, group)| group.creating > 0) => None,
            (Sight::Filled, None) => {
                let failure = self.groups.iter().find_map(|(_, group)| group.failure.as_ref());
                Some(failure.map_or(Ok(()), |failure| Err(GetError { cause: failure.cause.clone() })))
            }
        }
    }

    /// Closes the pool, if it is open: nobody waits any more, and what is idle is closed.
    pub(super) fn close(&mut self, cause: GetCause<M::Error>, wakes: &mut Wakes) {
        if self.is_closed() {
            return;
        }
        for (_, group) in &mut self.groups {
            group.waiters.answer_where(wakes, |_| Some(Some(Err(GetError { cause: cause.clone() }))));
        }
        self.closed = Some(cause);
        for group in self.keys() {
            for stored in mem::take(&mut self.groups[group].idle) {
                self.send_away(group, stored);
            }
        }
        self.show(wakes);
    }

    /// Closes what is idle for too long. Returns when the reaper of this number looks again, or
    /// `None` if it has nothing left to look at.
    pub(super) fn reap(&mut self, number: u64, now: Instant) -> Option<Instant> {
        let (at, current) = self.reaper?;
        if current != number || at > now {
            return Some(at).filter(|_| current == number);
        }
        let PoolOptions { idle_timeout, max_lifetime, min_idle, .. } = self.options;
        let mut next = now.checked_add(idle_timeout.min(max_lifetime));
        for group in self.keys() {
            let mut kept = VecDeque::new();
            let mut idle = mem::take(&mut self.groups[group].idle);
            while let Some(stored) = idle.pop_front() {
                let may_go = kept.len() + idle.len() >= min_idle;
                if stored.is_expired(now) || may_go && stored.idle_time(now) >= idle_timeout {
                    self.send_away(group, stored);
                    continue;
                }
                let too_long = if may_go { stored.idle_since.checked_add(idle_timeout) } else { None };
                next = [next, stored.expires, too_long].into_iter().flatten().min();
                kept.push_back(stored);
            }
            self.groups[group].idle = kept;
            self.provide(group, self.groups[group].waiters.len(), now);
        }
        let next = next.filter(|_| self.places > 0 && !self.is_closed());
        self.reaper = next.map(|next| (next, number));
        next
    }

    /// Leaves an answer that nobody took: a resource to the next one, an error to be dropped.
    pub(super) fn take_back(&mut self, group: usize, given: Given<M>, wakes: &mut Wakes) {
        match given {
            Ok(stored) => {
                // The clock is not read under the lock. It has been as good as idle since then.
                let now = stored.idle_since;
                self.release(group, stored, Returned::Clean, now, wakes);
            }
            Err(error) => self.leave_error(error),
        }
    }

    /// Leaves an error to be dropped without the lock, because what is in it is the user's.
    pub(super) fn leave_error(&mut self, error: GetError<M::Error>) {
        self.errands.push(Errand::Drop { cause: error.cause });
    }

    /// Leaves a failure to be dropped without the lock, because the error in it is the user's.
    fn forget(&mut self, failure: Option<CreateFailure<M::Error>>) {
        self.errands.extend(failure.map(|failure| Errand::Drop { cause: failure.cause }));
    }

    /// Has a new reaper look at an instant that is earlier than that of the former one, which ends
    /// when it wakes up.
    fn reap_at(&mut self, at: Instant) {
        self.reapers += 1;
        self.reaper = Some((at, self.reapers));
        self.errands.push(Errand::Reap { number: self.reapers });
    }

    fn keys(&self) -> Vec<usize> {
        self.groups.iter().map(|(key, _)| key).collect()
    }

    /// Gives a resource to the first who waits for it, or puts it among the idle ones.
    fn come_home(&mut self, group: usize, mut stored: Box<Stored<M>>, now: Instant, wakes: &mut Wakes) {
        if self.is_closed() || stored.is_expired(now) {
            self.send_away(group, stored);
            // Somebody may have waited for this one, beside others that are idle.
            self.provide(group, self.groups[group].waiters.len(), now);
            return;
        }
        if let Some(other) = self.prior(group) {
            self.groups[group].leaving += 1;
            self.create(other, Some(Evicted { group, stored }), now);
            return;
        }
        stored.idle_since = now;
        let home = &mut self.groups[group];
        match home.waiters.first() {
            Some(first) => {
                stored.holder = home.holders.insert(first.name.clone());
                home.waiters.answer_first(Some(Ok(stored)), wakes);
            }
            None => {
                let expires = stored.expires;
                let check_at = now.checked_add(self.options.check_after);
                stored.fresh_until = [expires, check_at].into_iter().flatten().min();
                home.idle.push_back(stored);
                if let (Some(expires), Some((at, _))) = (expires, self.reaper) {
                    if expires < at {
                        self.reap_at(expires);
                    }
                }
            }
        }
    }

    /// Has a resource closed.
    fn send_away(&mut self, group: usize, stored: Box<Stored<M>>) {
        self.groups[group].leaving += 1;
        self.errands.push(Errand::Close { group, stored });
    }

    /// Gives up a place, to those who have waited for one longest.
    fn free_place(&mut self, group: usize, now: Instant, wakes: &mut Wakes) {
        self.places -= 1;
        while self.places < self.options.max_size && !self.is_closed() {
            let Some(group) = self.first_without_place() else { break };
            self.create(group, None, now);
        }
        self.provide(group, self.groups[group].waiters.len(), now);
        self.show(wakes);
    }

    /// Sees to it that as many resources are coming as there are waiters, as far as places are
    /// free, and that enough are idle.
    fn provide(&mut self, group: usize, waiting: usize, now: Instant) {
        if self.is_closed() {
            return;
        }
        while waiting > self.groups[group].checking {
            let Some(stored) = self.groups[group].idle.pop_back() else { break };
            if stored.is_expired(now) {
                self.send_away(group, stored);
            } else {
                self.groups[group].checking += 1;
                self.errands.push(Errand::Check { group, stored });
            }
        }
        while self.groups[group].wants_place(waiting, &self.options) {
            let evicted = if self.places < self.options.max_size {
                None
            } else {
                let Some(evicted) = self.evict(group) else { break };
                Some(evicted)
            };
            self.create(group, evicted, now);
        }
        let provided = &self.groups[group];
        let spare = provided.idle.len() + provided.coming().saturating_sub(waiting);
        let missing = if provided.failure.is_none() { self.options.min_idle.saturating_sub(spare) } else { 0 };
        for _ in 0..missing.min(self.options.max_size - self.places) {
            self.create(group, None, now);
        }
    }

    /// Takes out the resource that has been idle longest, in a group other than `group`.
    fn evict(&mut self, group: usize) -> Option<Evicted<M>> {
        if self.groups.len() == 1 {
            return None;
        }
        let others = self.groups.iter_mut().filter(|(key, _)| *key != group);
        let oldest =
            others.filter(|(_, other)| !other.idle.is_empty()).min_by_key(|(_, other)| other.idle[0].idle_since);
        let (group, oldest) = oldest?;
        let stored = oldest.idle.pop_front()?;
        oldest.leaving += 1;
        Some(Evicted { group, stored })
    }

    /// Returns the group whose first waiter has waited longest, of those that want a place.
    fn first_without_place(&self) -> Option<usize> {
        let wanting = self.groups.iter().filter(|(_, group)| group.wants_place(group.waiters.len(), &self.options));
        wanting.min_by_key(|(_, group)| group.first_ticket()).map(|(key, _)| key)
    }

    /// Returns the group that has a prior claim to the place of a resource that comes home to
    /// `group`: no place is free, and its first waiter came before all waiters of `group`.
    fn prior(&self, group: usize) -> Option<usize> {
        if self.groups.len() == 1 || self.places < self.options.max_size {
            return None;
        }
        let first = self.first_without_place()?;
        (self.groups[first].first_ticket() < self.groups[group].first_ticket()).then_some(first)
    }

    /// Has a resource created, in a new place or in that of `evicted`.
    fn create(&mut self, group: usize, evicted: Option<Evicted<M>>, now: Instant) {
        if evicted.is_none() {
            self.places += 1;
            self.peak = self.peak.max(self.places);
        }
        let creator = &mut self.groups[group];
        creator.creating += 1;
        let at = creator.failure.as_ref().map(|failure| failure.next).filter(|next| *next > now);
        self.errands.push(Errand::Create { group, manager: creator.manager.clone(), at, evicted });
    }

    /// Tells the onlookers what they wait to see.
    fn show(&mut self, wakes: &mut Wakes) {
        if self.onlookers.is_empty() {
            return;
        }
        let [empty, filled] = [Sight::Empty, Sight::Filled].map(|sight| self.look(sight));
        self.onlookers.answer_where(wakes, |sight| match sight {
            Sight::Empty => empty.clone(),
            Sight::Filled => filled.clone(),
        });
    }
}
