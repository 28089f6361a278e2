//! What the handles, the guards, the waiters and the tasks of a pool share.

use std::sync::Arc;

use futures_task::Spawn;

use super::errand::Errand;
use super::error::Cause;
use super::group::{Ask, Given, Held};
use super::state::{Release, State};
use super::tasks;
use super::{Manager, PoolOptions};
use crate::cancel::Token;
use crate::context;
use crate::name::Name;
use crate::panic::{contain, discard, take_all};
use crate::runtime::Instant;
use crate::scope::Spawner;
use crate::sync::HeldBy;
use crate::sync::wait_list::{Line, WaitList};
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;
use crate::trace::observed;

pub(super) struct Shared<M: Manager> {
    pub(super) list: WaitList<State<M>>,
    pub(super) options: PoolOptions,
    spawner: Spawner,
    /// Cancelled when the pool is closed. Ends what is being created.
    pub(super) closed: Token,
    /// Ends the reaper. It is cancelled with the scope's, and when the pool is closed.
    pub(super) reaper: Token,
}

/// Returns the present instant, also in the destructor of a thread that is about to end.
///
/// The clock may be code of the user, which runs under no lock.
pub(super) fn now() -> Instant {
    context::try_with(|ambient| ambient.now()).unwrap_or_else(Instant::now)
}

impl<M: Manager> Shared<M> {
    pub(super) fn new(options: PoolOptions, spawner: Spawner) -> Arc<Self> {
        let reaper = spawner.until_joining();
        Arc::new(Shared { list: WaitList::new(State::new(options)), options, spawner, closed: Token::new(), reaper })
    }

    /// Changes the state, and does what is to be done then.
    pub(super) fn change(self: &Arc<Self>, change: impl FnOnce(&mut State<M>, &mut Wakes)) {
        let mut wakes = Wakes::new();
        let errands = self.list.with(|state| {
            change(state, &mut wakes);
            state.take_errands()
        });
        // A waker that panics must not keep the errands from being done: they have places.
        contain(|| wakes.wake());
        self.run(errands);
    }

    /// Does what others have left to be done.
    pub(super) fn run_errands(self: &Arc<Self>) {
        let errands = self.list.with(State::take_errands);
        self.run(errands);
    }

    /// Takes an idle resource, if nobody waits and it needs no check.
    #[inline]
    pub(super) fn take(self: &Arc<Self>, group: usize, name: Name, now: Instant) -> Option<Held<M>> {
        let (held, errands) = self.list.with(|state| (state.take(group, name, now), state.take_errands()));
        self.run(errands);
        held
    }

    /// Takes back a resource that was in use.
    #[inline]
    pub(super) fn release(self: &Arc<Self>, group: usize, held: Held<M>, release: Release) {
        let now = now();
        self.change(|state, wakes| state.release(group, held, release, now, wakes));
    }

    /// Closes the pool, if it is open.
    pub(super) fn close(self: &Arc<Self>, cause: Cause<M::Error>) {
        self.change(|state, wakes| state.close(cause, wakes));
        self.closed.cancel("the pool is closed");
        self.reaper.cancel("the pool is closed");
    }

    #[inline]
    fn run(self: &Arc<Self>, errands: Vec<Errand<M>>) {
        if !errands.is_empty() {
            let mut errands = errands.into_iter();
            take_all(&mut || errands.next().map(|errand| self.start(errand)).is_some());
        }
    }

    #[cold]
    fn start(self: &Arc<Self>, errand: Errand<M>) {
        if let Errand::Drop { .. } = errand {
            return discard(errand);
        }
        let is_farewell = matches!(errand, Errand::Close { .. });
        let task = Box::pin(tasks::task(self, errand));
        // It inherits nothing from the caller.
        context::with(|ambient| {
            ambient.inheriting(None, || match self.spawner.status() {
                Ok(()) => _ = self.spawner.spawn_obj(task.into()),
                // A scope that is ending refuses tasks, but still finishes what it adopts.
                Err(_) if is_farewell => self.spawner.adopt(task),
                Err(_) => drop(task),
            })
        });
    }
}

/// Returns the name of the one who asks: that of the child, while it is observed, or the place of
/// the call.
#[inline]
pub(super) fn asking(at: &'static std::panic::Location<'static>) -> Name {
    let observed = if observed::is_observed() { observed::polled() } else { None };
    observed.unwrap_or_else(|| at.into())
}

/// The line of those who wait for a resource of one group.
pub(super) struct Seekers<'a, M: Manager> {
    pub(super) shared: &'a Arc<Shared<M>>,
    pub(super) group: usize,
}

impl<M: Manager> Line for Seekers<'_, M> {
    type State = State<M>;
    type Ask = Ask;
    type Answer = Given<M>;

    fn list(&self) -> &WaitList<State<M>> {
        &self.shared.list
    }

    fn waiters<'s>(&self, state: &'s mut State<M>) -> &'s mut Waiters<Ask, Given<M>> {
        &mut state.groups[self.group].waiters
    }

    fn join(&self, state: &mut State<M>, ask: Ask, _: &mut Wakes) -> Result<Given<M>, Ask> {
        state.join(self.group, ask)
    }

    fn leave(&self, state: &mut State<M>, ask: Ask, given: Option<Given<M>>, wakes: &mut Wakes) {
        if let Some(given) = given {
            // The clock is not read under the lock. That the resource was idle since it was asked
            // for is not less than the truth.
            state.take_back(self.group, given, ask.now, wakes);
        }
    }

    fn describe(&self) -> String {
        let (statistics, holders) = self.shared.list.with(|state| (state.statistics(), state.holders()));
        format!("pool, of whose {} resources {} are in use{}", statistics.size(), statistics.in_use(), HeldBy(holders))
    }
}
