//! The resources of one key, and those who wait for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;

use super::error::{GetCause, GetError};
use super::{Manager, PoolOptions};
use crate::name::Name;
use crate::panic::{catch, discard};
use crate::retry::jitter;
use crate::runtime::Instant;
use crate::sync::waiters::Waiters;

/// The resources of one key, and those who wait for them.
pub(super) struct Group<M: Manager> {
    pub(super) manager: Arc<M>,
    /// The one that has been idle longest comes first, and is the last to be given out.
    pub(super) idle: VecDeque<Box<Stored<M>>>,
    /// Those who have a resource, by the name of the child or the place of the call.
    pub(super) holders: Slab<Name>,
    /// How many are being created. Together with those that are being checked, there are as many as
    /// there are waiters, unless no place is free, or the last attempt has failed: then there is
    /// one at a time.
    pub(super) creating: usize,
    /// How many are being checked, because somebody waits. There are as many as there are waiters,
    /// unless nothing is idle.
    pub(super) checking: usize,
    /// How many are being reset or closed.
    pub(super) leaving: usize,
    pub(super) waiters: Waiters<Ask, Option<Given<M>>>,
    /// How the last attempts have failed. `None` after a success.
    pub(super) failure: Option<CreateFailure<M::Error>>,
    /// How many are about to ask for a resource, and keep the group from being forgotten.
    pub(super) visits: usize,
}

pub(super) struct CreateFailure<E> {
    pub(super) cause: GetCause<E>,
    /// How many attempts in a row have failed.
    pub(super) count: u32,
    /// When the next one may begin.
    pub(super) next: Instant,
}

/// A resource, with what the pool knows about it. It is boxed, since it changes hands often.
pub(super) struct Stored<M: Manager> {
    pub(super) resource: M::Resource,
    pub(super) manager: Arc<M>,
    /// When it becomes too old.
    pub(super) expires: Option<Instant>,
    /// When it last came home, or was created.
    pub(super) idle_since: Instant,
    /// Until then it is given out without a check, if it is idle.
    pub(super) fresh_until: Option<Instant>,
    /// Its key among the holders, while it is given out.
    pub(super) holder: usize,
}

/// Who waits.
pub(super) struct Ask {
    pub(super) name: Name,
    /// Its place in the order of all waiters.
    pub(super) ticket: u64,
}

/// When somebody asks, and the deadline of that.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) now: Instant,
    pub(super) deadline: Option<Instant>,
}

/// What a waiter is given.
pub(super) type Given<M> = Result<Box<Stored<M>>, GetError<<M as Manager>::Error>>;

impl<M: Manager> Stored<M> {
    pub(super) fn new(resource: M::Resource, manager: Arc<M>, options: &PoolOptions, now: Instant) -> Box<Self> {
        let early = jitter::up_to(options.max_lifetime / 10);
        let expires = now.checked_add(options.max_lifetime - early);
        Box::new(Stored { resource, manager, expires, idle_since: now, fresh_until: None, holder: 0 })
    }

    /// Whether the resource says that it is broken. A panic there says so, too.
    ///
    /// This is the user's code, and is not called under the lock.
    #[inline]
    pub(super) fn is_broken(&self) -> bool {
        catch(|| self.manager.is_broken(&self.resource)).unwrap_or_else(|payload| {
            discard(payload);
            true
        })
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    pub(super) fn idle_time(&self, now: Instant) -> Duration {
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
            visits: 1,
        }
    }

    /// Returns how many places it has.
    pub(super) fn size(&self) -> usize {
        self.idle.len() + self.holders.len() + self.coming() + self.leaving
    }

    /// Returns how many resources are expected, from the manager or from a check.
    pub(super) fn coming(&self) -> usize {
        self.creating + self.checking
    }

    /// Returns the ticket of its first waiter. That of nobody is later than all others.
    pub(super) fn first_ticket(&self) -> u64 {
        self.waiters.first().map_or(u64::MAX, |ask| ask.ticket)
    }

    /// Whether only an attempt to create one can give a resource to who waits.
    pub(super) fn has_nothing_else(&self) -> bool {
        self.idle.is_empty() && self.holders.is_empty() && self.leaving == 0
    }

    /// Whether it may have one more place for one who waits, as far as it is for this group to say.
    pub(super) fn wants_place(&self, waiting: usize, options: &PoolOptions) -> bool {
        waiting > self.coming()
            && self.size() < options.max_per_key
            // After a failure they take turns, and wait for each other.
            && (self.failure.is_none() || self.creating == 0)
    }
}
