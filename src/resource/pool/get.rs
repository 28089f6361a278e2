//! Waits for a resource.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::group::{Ask, Given};
use super::shared::{Seekers, Shared, asking, now};
use super::{GetError, Manager, Pooled};
use crate::context;
use crate::runtime::Instant;
use crate::sync::wait_list::Wait;

/// The future of [`Pool::get`](super::Pool::get).
#[must_use = "futures do nothing unless polled"]
pub struct Get<'a, M: Manager> {
    shared: &'a Arc<Shared<M>>,
    group: usize,
    /// Whether the group may be forgotten when this is dropped.
    is_visit: bool,
    at: &'static Location<'static>,
    stage: Stage<'a, M>,
}

enum Stage<'a, M: Manager> {
    Fresh,
    Waiting(Wait<Seekers<'a, M>>),
    Over,
}

/// Nothing in it is pinned.
impl<M: Manager> Unpin for Get<'_, M> {}

impl<'a, M: Manager> Get<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared<M>>, group: usize, at: &'static Location<'static>) -> Self {
        Get { shared, group, is_visit: false, at, stage: Stage::Fresh }
    }

    /// Makes one for a group that is there until this is dropped.
    pub(super) fn visiting(shared: &'a Arc<Shared<M>>, group: usize, at: &'static Location<'static>) -> Self {
        let mut get = Get::new(shared, group, at);
        get.is_visit = true;
        get
    }

    /// Takes an idle resource, if nobody waits and it needs no check.
    #[inline]
    pub(super) fn take(&self, now: Instant) -> Option<Pooled<M>> {
        let held = self.shared.take(self.group, asking(self.at), now)?;
        Some(Pooled::new(self.shared, self.group, held))
    }

    #[cold]
    fn wait(&mut self, now: Instant) {
        let deadline = context::with(|ambient| ambient.deadline());
        let ask = Ask { name: asking(self.at), now, deadline, ticket: 0 };
        let line = Seekers { shared: self.shared, group: self.group };
        self.stage = Stage::Waiting(Wait::new(line, ask));
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Given<M>> {
        let Stage::Waiting(wait) = &mut self.stage else { panic!("a future was polled after it had completed") };
        // Only who joins the line leaves errands.
        let may_join = wait.is_outside();
        let polled = wait.poll(cx).map(|(_, given)| given);
        if polled.is_ready() {
            self.stage = Stage::Over;
        }
        if may_join {
            self.shared.run_errands();
        }
        polled
    }
}

impl<M: Manager> Future for Get<'_, M> {
    type Output = Result<Pooled<M>, GetError<M::Error>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (shared, group) = (self.shared, self.group);
        if let Stage::Fresh = self.stage {
            let now = now();
            if let Some(pooled) = self.take(now) {
                self.stage = Stage::Over;
                return Poll::Ready(Ok(pooled));
            }
            self.wait(now);
        }
        self.poll_wait(cx).map_ok(|held| Pooled::new(shared, group, held))
    }
}

impl<M: Manager> Drop for Get<'_, M> {
    fn drop(&mut self) {
        if let Stage::Waiting(wait) = std::mem::replace(&mut self.stage, Stage::Over) {
            drop(wait);
            self.shared.run_errands();
        }
        if self.is_visit {
            self.shared.list.with(|state| state.end_visit(self.group));
        }
    }
}

impl<M: Manager> fmt::Debug for Get<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("statistics", &self.shared.list.with(|state| state.statistics()))
            .finish_non_exhaustive()
    }
}
