//! What a pool counts under its lock.
//!
//! It runs no code of the user and drops none of its values. What has to be done without the lock
//! is left as an [`Errand`].

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::error::{Cause, GetError};
use super::statistics::PoolStatistics;
use super::{Manager, PoolOptions};
use crate::name::Name;
use crate::retry::jitter;
use crate::runtime::Instant;
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;

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
    /// The sizes of all groups together, which are `options.max_size` at most. While somebody waits
    /// for a place, as opposed to a resource of its own group, none is free and none is idle.
    places: usize,
    peak: usize,
    /// How many have ever waited.
    tickets: u64,
    /// Why the pool is closed, if it is. Then nobody waits, and nothing is idle.
    closed: Option<Cause<M::Error>>,
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

/// The resources of one key, and those who wait for them.
pub(super) struct Group<M: Manager> {
    manager: Arc<M>,
    /// The one that has been idle longest comes first, and is the last to be given out.
    idle: VecDeque<Stored<M>>,
    /// Those who have a resource, by the name of the child or the place of the call.
    holders: Slab<Name>,
    /// How many are being created. Together with those that are being checked, there are as many as
    /// there are waiters, unless no place is free, or the last attempt has failed: then there is
    /// one at a time.
    creating: usize,
    /// How many are being checked, because somebody waits. There are as many as there are waiters,
    /// unless nothing is idle.
    checking: usize,
    /// How many are being reset or closed.
    leaving: usize,
    pub(super) waiters: Waiters<Ask, Given<M>>,
    /// How the last attempts have failed. `None` after a success.
    failure: Option<Failure<M::Error>>,
}

struct Failure<E> {
    cause: Cause<E>,
    /// How many attempts in a row have failed.
    count: u32,
    /// When the next one may begin.
    next: Instant,
}

/// A resource, with what the pool knows about it.
pub(super) struct Stored<M: Manager> {
    pub(super) resource: M::Resource,
    pub(super) manager: Arc<M>,
    /// When it becomes too old.
    expires: Option<Instant>,
    /// When it was last put among the idle ones.
    idle_since: Instant,
}

/// What a waiter asks for, and when.
pub(super) struct Ask {
    pub(super) name: Name,
    pub(super) now: Instant,
    pub(super) deadline: Option<Instant>,
    /// Its place in the order of all waiters.
    pub(super) ticket: u64,
}

/// What a waiter is given.
pub(super) type Given<M> = Result<Held<M>, GetError<<M as Manager>::Error>>;

/// A resource that is given out, and its key among the holders.
pub(super) struct Held<M: Manager> {
    pub(super) stored: Stored<M>,
    pub(super) holder: usize,
}

/// What an onlooker waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// No place is taken any more.
    Empty,
    /// No resource is being created.
    Filled,
}

/// What is to be done without the lock, in a task of the pool. Those with a group have a place.
pub(super) enum Errand<M: Manager> {
    /// Creates a resource, but not before `at`, and after `evicted` is closed, whose place it has.
    Create {
        group: usize,
        manager: Arc<M>,
        at: Option<Instant>,
        evicted: Option<Stored<M>>,
    },
    Check {
        group: usize,
        stored: Stored<M>,
    },
    Reset {
        group: usize,
        stored: Stored<M>,
    },
    Close {
        group: usize,
        stored: Stored<M>,
    },
    /// Closes what is idle for too long, as long as there are resources.
    Reap {
        number: u64,
    },
    /// Drops an error.
    Drop {
        _cause: Cause<M::Error>,
    },
}

/// As what a place is counted that a task has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Creating,
    Checking,
    /// Being reset or closed.
    Leaving,
}

/// What became of a resource that was in use.
pub(super) enum Release {
    /// It may be given out again.
    Clean,
    /// It has to be reset.
    Used,
    /// It has to be closed.
    Broken,
}

impl<M: Manager> Stored<M> {
    pub(super) fn new(resource: M::Resource, manager: Arc<M>, options: &PoolOptions, now: Instant) -> Self {
        let early = jitter::up_to(options.max_lifetime / 10);
        let expires = now.checked_add(options.max_lifetime - early);
        Stored { resource, manager, expires, idle_since: now }
    }

    fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    fn idle_time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }
}

impl<M: Manager> Group<M> {
    pub(super) fn new(manager: Arc<M>) -> Self {
        Group {
            manager,
            idle: VecDeque::new(),
            holders: Slab::new(),
            creating: 0,
            checking: 0,
            leaving: 0,
            waiters: Waiters::new(),
            failure: None,
        }
    }

    /// Returns how many places it has.
    fn size(&self) -> usize {
        self.idle.len() + self.holders.len() + self.coming() + self.leaving
    }

    /// Returns how many resources are expected, from the manager or from a check.
    fn coming(&self) -> usize {
        self.creating + self.checking
    }

    /// Whether only an attempt to create one can give a resource to who waits.
    fn has_nothing_else(&self) -> bool {
        self.idle.is_empty() && self.holders.is_empty() && self.leaving == 0
    }

    /// Whether it may have one more place for one who waits, as far as it is for this group to say.
    fn wants_place(&self, waiting: usize, options: &PoolOptions) -> bool {
        waiting > self.coming()
            && self.size() < options.max_per_key
            // After a failure they take turns, and wait for each other.
            && (self.failure.is_none() || self.creating == 0)
    }
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

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Takes what is to be done when the lock has been released.
    pub(super) fn take_errands(&mut self) -> Vec<Errand<M>> {
        mem::take(&mut self.errands)
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
    pub(super) fn take(&mut self, group: usize, name: Name, now: Instant) -> Option<Held<M>> {
        let Group { idle, holders, waiters, .. } = &mut self.groups[group];
        let last = idle.back()?;
        if !waiters.is_empty() || last.idle_time(now) >= self.options.check_after || last.is_expired(now) {
            return None;
        }
        let stored = idle.pop_back()?;
        let held = Held { stored, holder: holders.insert(name) };
        if self.options.min_idle > 0 {
            self.provide(group, 0, now);
        }
        Some(held)
    }

    /// Takes a resource, or sees to it that one comes for the caller, who waits then.
    pub(super) fn join(&mut self, group: usize, mut ask: Ask) -> Result<Given<M>, Ask> {
        if let Some(cause) = &self.closed {
            return Ok(Err(GetError { cause: cause.clone() }));
        }
        if let Some(held) = self.take(group, ask.name.clone(), ask.now) {
            return Ok(Ok(held));
        }
        let Group { failure, waiters, .. } = &self.groups[group];
        if let (Some(failure), Some(deadline)) = (failure, ask.deadline) {
            if failure.next >= deadline && self.groups[group].has_nothing_else() {
                return Ok(Err(GetError { cause: failure.cause.clone() }));
            }
        }
        let waiting = waiters.len() + 1;
        ask.ticket = self.tickets;
        self.tickets += 1;
        self.provide(group, waiting, ask.now);
        Err(ask)
    }

    /// Takes back a resource that was in use.
    pub(super) fn release(&mut self, group: usize, held: Held<M>, release: Release, now: Instant, wakes: &mut Wakes) {
        let Held { stored, holder } = held;
        self.groups[group].holders.remove(holder);
        match release {
            Release::Clean => self.come_home(group, stored, now, wakes),
            Release::Used if !self.is_closed() => {
                self.groups[group].leaving += 1;
                self.errands.push(Errand::Reset { group, stored });
            }
            Release::Used | Release::Broken => self.send_away(group, stored),
        }
    }

    /// Forgets a resource that its holder keeps.
    pub(super) fn let_go(&mut self, group: usize, holder: usize, now: Instant, wakes: &mut Wakes) {
        self.groups[group].holders.remove(holder);
        self.free_place(group, now, wakes);
    }

    /// Puts in a resource that was created.
    pub(super) fn created(&mut self, group: usize, stored: Stored<M>, now: Instant, wakes: &mut Wakes) {
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
    pub(super) fn checked(&mut self, group: usize, stored: Stored<M>, now: Instant, wakes: &mut Wakes) {
        self.groups[group].checking -= 1;
        self.come_home(group, stored, now, wakes);
    }

    /// Puts in a resource that was reset.
    pub(super) fn was_reset(&mut self, group: usize, stored: Stored<M>, now: Instant, wakes: &mut Wakes) {
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
    pub(super) fn failed(&mut self, group: usize, cause: Cause<M::Error>, now: Instant, wakes: &mut Wakes) {
        let failed = &mut self.groups[group];
        failed.creating -= 1;
        let count = failed.failure.as_ref().map_or(0, |failure| failure.count);
        let pause = PAUSES.0.saturating_mul(1 << count.min(10)).min(PAUSES.1);
        if failed.has_nothing_else() && failed.coming() == 0 {
            failed.waiters.answer_where(wakes, |_| Some(Err(GetError { cause: cause.clone() })));
        }
        let next = now.checked_add(pause).unwrap_or(now);
        let former = failed.failure.replace(Failure { cause, count: count.saturating_add(1), next });
        self.forget(former);
        self.free_place(group, now, wakes);
    }

    /// Notes that a task has ended, and left neither a resource nor an error.
    pub(super) fn lost(&mut self, group: usize, phase: Phase, now: Instant, wakes: &mut Wakes) {
        let lost = &mut self.groups[group];
        match phase {
            Phase::Creating => lost.creating -= 1,
            Phase::Checking => lost.checking -= 1,
            Phase::Leaving => lost.leaving -= 1,
        }
        self.free_place(group, now, wakes);
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
    pub(super) fn close(&mut self, cause: Cause<M::Error>, wakes: &mut Wakes) {
        if self.is_closed() {
            return;
        }
        for (_, group) in &mut self.groups {
            group.waiters.answer_where(wakes, |_| Some(Err(GetError { cause: cause.clone() })));
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
    pub(super) fn take_back(&mut self, group: usize, given: Given<M>, now: Instant, wakes: &mut Wakes) {
        match given {
            Ok(held) => self.release(group, held, Release::Clean, now, wakes),
            Err(error) => self.leave_error(error),
        }
    }

    /// Leaves an error to be dropped without the lock, because what is in it is the user's.
    pub(super) fn leave_error(&mut self, error: GetError<M::Error>) {
        self.errands.push(Errand::Drop { _cause: error.cause });
    }

    /// Leaves a failure to be dropped without the lock, because the error in it is the user's.
    fn forget(&mut self, failure: Option<Failure<M::Error>>) {
        self.errands.extend(failure.map(|failure| Errand::Drop { _cause: failure.cause }));
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
    fn come_home(&mut self, group: usize, mut stored: Stored<M>, now: Instant, wakes: &mut Wakes) {
        if self.is_closed() || stored.is_expired(now) {
            self.send_away(group, stored);
            return;
        }
        let home = &mut self.groups[group];
        match home.waiters.first() {
            Some(first) => {
                let holder = home.holders.insert(first.name.clone());
                home.waiters.answer_first(Ok(Held { stored, holder }), wakes);
            }
            None => {
                stored.idle_since = now;
                let expires = stored.expires;
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
    fn send_away(&mut self, group: usize, stored: Stored<M>) {
        self.groups[group].leaving += 1;
        self.errands.push(Errand::Close { group, stored });
    }

    /// Gives up a place, which another group may wait for.
    fn free_place(&mut self, group: usize, now: Instant, wakes: &mut Wakes) {
        self.places -= 1;
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
        while self.groups[group].wants_place(waiting, &self.options) && self.places < self.options.max_size {
            self.create(group, None, now);
        }
        let provided = &self.groups[group];
        let spare = provided.idle.len() + provided.coming().saturating_sub(waiting);
        let missing = if provided.failure.is_none() { self.options.min_idle.saturating_sub(spare) } else { 0 };
        for _ in 0..missing.min(self.options.max_size - self.places) {
            self.create(group, None, now);
        }
    }

    /// Has a resource created, in a new place or in that of `evicted`.
    fn create(&mut self, group: usize, evicted: Option<Stored<M>>, now: Instant) {
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
