//! Waits for what a pool does as a whole: until it is empty, until it is filled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::SharedPool;
use super::state::{Sight, State};
use super::{GetError, Manager};
use crate::sync::HeldBy;
use crate::sync::wait_list::{Line, Wait, WaitList};
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;
use crate::time::now;

/// The line of those who wait for no resource. It has no order.
struct Onlookers<'a, M: Manager> {
    shared: &'a Arc<SharedPool<M>>,
}

impl<M: Manager> Line for Onlookers<'_, M> {
    type State = State<M>;
    type Ask = Sight;
    type Answer = Result<(), GetError<M::Error>>;

    fn list(&self) -> &WaitList<State<M>> {
        &self.shared.list
    }

    fn update<R>(&self, change: impl FnOnce(&mut State<M>, &mut Wakes) -> R) -> R {
        self.shared.change(change)
    }

    fn waiters<'s>(&self, state: &'s mut State<M>) -> &'s mut Waiters<Sight, Self::Answer> {
        &mut state.onlookers
    }

    fn join(&self, state: &mut State<M>, sight: Sight, _: &mut Wakes) -> Result<Self::Answer, Sight> {
        state.look(sight).ok_or(sight)
    }

    fn take_free(&self, sight: &Sight) -> Option<Self::Answer> {
        self.shared.list.with(|state| state.look(*sight))
    }

    fn leave(&self, state: &mut State<M>, _: Sight, seen: Option<Self::Answer>, _: &mut Wakes) {
        if let Some(Err(error)) = seen {
            state.leave_error(error);
        }
    }

    fn describe(&self) -> String {
        let (statistics, holders) = self.shared.list.with(|state| (state.statistics(), state.holders()));
        format!("pool, which still has {} resources{}", statistics.size(), HeldBy(holders))
    }
}

/// Waits until a closed pool has no resources. [`Pool::close`](super::Pool::close) returns this
/// future.
#[must_use = "the pool is closed; await this to wait for its resources"]
pub struct Close<'a, M: Manager> {
    wait: Wait<Onlookers<'a, M>>,
}

impl<'a, M: Manager> Close<'a, M> {
    pub(super) fn new(shared: &'a Arc<SharedPool<M>>) -> Self {
        Close { wait: Wait::new(Onlookers { shared }, Sight::Empty) }
    }
}

impl<M: Manager> Unpin for Close<'_, M> {}

impl<M: Manager> Future for Close<'_, M> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.poll(cx).map(drop)
    }
}

impl<M: Manager> fmt::Debug for Close<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Close").finish_non_exhaustive()
    }
}

/// Waits until a pool has its idle resources. [`Pool::fill`](super::Pool::fill) returns this
/// future.
#[must_use = "futures do nothing unless polled"]
pub struct Fill<'a, M: Manager> {
    wait: Wait<Onlookers<'a, M>>,
    has_begun: bool,
}

impl<'a, M: Manager> Fill<'a, M> {
    pub(super) fn new(shared: &'a Arc<SharedPool<M>>) -> Self {
        Fill { wait: Wait::new(Onlookers { shared }, Sight::Filled), has_begun: false }
    }
}

impl<M: Manager> Unpin for Fill<'_, M> {}

impl<M: Manager> Future for Fill<'_, M> {
    type Output = Result<(), GetError<M::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Fill { wait, has_begun } = &mut *self;
        if let (false, Some((line, _))) = (*has_begun, wait.outside()) {
            *has_begun = true;
            let now = now();
            line.update(|state, _| state.fill(now));
        }
        wait.poll(cx).map(|(_, filled)| filled)
    }
}

impl<M: Manager> fmt::Debug for Fill<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fill").finish_non_exhaustive()
    }
}
