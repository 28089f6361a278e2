//! What the handles, the guards, the waiters and the tasks of a pool share.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_task::Spawn;

use super::errand::Errand;
use super::error::GetCause;
use super::group::{Ask, Asked, Given, Stored};
use super::state::{Returned, State};
use super::tasks::{self, ErrandFuture};
use super::{Manager, PoolOptions, Pooled, TryGetError};
use crate::cancel::Token;
use crate::context;
use crate::name::Name;
use crate::panic::contain;
use crate::runtime::Instant;
use crate::scope::Spawner;
use crate::sync::HeldBy;
use crate::sync::wait_list::{Line, Wait, WaitList};
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;
use crate::task::polled;
use crate::time::now;

pub(super) struct SharedPool<M: Manager> {
    pub(super) list: WaitList<State<M>>,
    /// Whether the state was [crowded](State::is_crowded) when somebody last had the lock.
    is_crowded: AtomicBool,
    pub(super) options: PoolOptions,
    spawner: Spawner,
    /// Cancelled when the pool is closed. Ends what is being created.
    pub(super) closed: Token,
    /// Ends the reaper. It is cancelled with the scope's, and when the pool is closed.
    pub(super) reaper: Token,
}

impl Asked {
    #[inline]
    pub(super) fn now() -> Self {
        context::with(|ambient| Asked { now: ambient.now(), deadline: ambient.deadline() })
    }
}

impl<M: Manager> SharedPool<M> {
    pub(super) fn new(options: PoolOptions, spawner: Spawner) -> Arc<Self> {
        let reaper = spawner.until_joining();
        Arc::new(SharedPool {
            list: WaitList::new(State::new(options)),
            is_crowded: AtomicBool::new(false),
            options,
            spawner,
            closed: Token::new(),
            reaper,
        })
    }

    /// Changes the state, and does what is to be done then.
    #[inline]
    pub(super) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut State<M>, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::new();
        let (result, errands) = self.list.with(|state| {
            let result = change(state, &mut wakes);
            self.is_crowded.store(state.is_crowded(), Ordering::Relaxed);
            (result, state.take_errands())
        });
        // A waker that panics must not keep the errands from being done: they have places.
        contain(|| wakes.wake());
        if let Some(errands) = errands {
            self.run(errands);
        }
        result
    }

    /// Whether the state seems to be [crowded](State::is_crowded).
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    /// Takes an idle resource, if nobody waits and there is one that is not broken and needs no
    /// check.
    #[inline]
    pub(super) fn take(self: &Arc<Self>, group: usize, name: Name, now: Instant) -> Option<Box<Stored<M>>> {
        loop {
            let stored = self.change(|state, _| state.take(group, name.clone(), now))?;
            if !stored.is_broken() {
                return Some(stored);
            }
            self.release(group, stored, Returned::Broken);
        }
    }

    /// Returns a resource that can be taken, if there is one.
    pub(super) fn try_get(
        self: &Arc<Self>,
        group: usize,
        at: &'static Location<'static>,
    ) -> Result<Pooled<M>, TryGetError> {
        match self.take(group, asking(at), now()) {
            Some(stored) => Ok(Pooled::new(self, group, stored)),
            None => Err(TryGetError { is_closed: self.list.with(|state| state.is_closed()) }),
        }
    }

    /// Takes back a resource that was in use.
    #[inline]
    pub(super) fn release(self: &Arc<Self>, group: usize, stored: Box<Stored<M>>, release: Returned) {
        let now = now();
        self.change(|state, wakes| state.release(group, stored, release, now, wakes));
    }

    /// Closes the pool, if it is open.
    pub(super) fn close(self: &Arc<Self>, cause: GetCause<M::Error>) {
        self.change(|state, wakes| state.close(cause, wakes));
        self.closed.cancel("the pool is closed");
        self.reaper.cancel("the pool is closed");
    }

    #[cold]
    fn run(self: &Arc<Self>, errands: Vec<Errand<M>>) {
        // A runtime that panics when a task is spawned drops the task, which closes the pool. So
        // everyone hears of it, and who has just joined the line leaves it again.
        errands.into_iter().for_each(|errand| contain(|| self.start(errand)));
    }

    fn start(self: &Arc<Self>, errand: Errand<M>) {
        let Some(task) = tasks::task(self, errand) else { return };
        // It inherits nothing from the caller. If it is refused, it is dropped.
        context::with(|ambient| ambient.inheriting(None, || _ = self.spawner.spawn_obj(task.into())));
    }

    /// Gives the scope a task that it finishes also while it is ending and refuses others.
    pub(super) fn adopt(&self, task: ErrandFuture) {
        context::with(|ambient| ambient.inheriting(None, || self.spawner.adopt(task)));
    }
}

/// Returns the name of the one who asks: that of the child that is being polled, or the place of
/// the call if it has none.
pub(super) fn asking(at: &'static Location<'static>) -> Name {
    polled::name().unwrap_or_else(|| at.into())
}

/// The line of those who wait for a resource of one group.
pub(super) struct Seekers<'a, M: Manager> {
    pub(super) shared: &'a Arc<SharedPool<M>>,
    pub(super) group: usize,
    /// The place of the call.
    pub(super) at: &'static Location<'static>,
    /// `None` if the pool seems to be crowded, so that it does not matter.
    pub(super) asked: Option<Asked>,
}

impl<M: Manager> Seekers<'_, M> {
    /// Returns what waits in this line.
    pub(super) fn wait(self) -> Wait<Self> {
        let ask = Ask { name: self.at.into(), ticket: 0 };
        Wait::new(self, ask)
    }
}

impl<M: Manager> Line for Seekers<'_, M> {
    type State = State<M>;
    type Ask = Ask;
    /// `None` if it matters when it was asked.
    type Answer = Option<Given<M>>;

    fn list(&self) -> &WaitList<State<M>> {
        &self.shared.list
    }

    #[inline]
    fn update<R>(&self, change: impl FnOnce(&mut State<M>, &mut Wakes) -> R) -> R {
        self.shared.change(change)
    }

    fn waiters<'s>(&self, state: &'s mut State<M>) -> &'s mut Waiters<Ask, Self::Answer> {
        &mut state.groups[self.group].waiters
    }

    #[inline]
    fn pass(&self, ask: &Ask) -> Option<Self::Answer> {
        let now = self.asked?.now;
        self.shared.take(self.group, ask.name.clone(), now).map(|stored| Some(Ok(stored)))
    }

    fn join(&self, state: &mut State<M>, ask: Ask, _: &mut Wakes) -> Result<Self::Answer, Ask> {
        state.join(self.group, ask, self.asked)
    }

    fn leave(&self, state: &mut State<M>, _: Ask, answer: Option<Self::Answer>, wakes: &mut Wakes) {
        if let Some(given) = answer.flatten() {
            state.take_back(self.group, given, wakes);
        }
    }

    fn describe(&self) -> String {
        let (statistics, holders) = self.shared.list.with(|state| (state.statistics(), state.holders()));
        format!("pool, of whose {} resources {} are in use{}", statistics.size(), statistics.in_use(), HeldBy(holders))
    }
}
