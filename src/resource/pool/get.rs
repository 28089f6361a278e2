//! Waits for a resource.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::group::Asked;
use super::shared::{Seekers, SharedPool, asking};
use super::{GetError, Manager, Pooled};
use crate::sync::wait_list::Wait;

/// The future of [`Pool::get`](super::Pool::get).
#[must_use = "futures do nothing unless polled"]
pub struct Get<'a, M: Manager> {
    wait: Wait<Seekers<'a, M>>,
    shared: &'a Arc<SharedPool<M>>,
    /// Ends when the wait has ended. `None` for a group that is never forgotten.
    _visit: Option<GroupVisit<'a, M>>,
}

/// Nothing in it is pinned.
impl<M: Manager> Unpin for Get<'_, M> {}

impl<'a, M: Manager> Get<'a, M> {
    pub(super) fn new(shared: &'a Arc<SharedPool<M>>, group: usize, at: &'static Location<'static>) -> Self {
        Get { wait: Seekers { shared, group, at, asked: None }.wait(), shared, _visit: None }
    }

    pub(super) fn visiting(visit: GroupVisit<'a, M>, at: &'static Location<'static>) -> Self {
        let mut get = Get::new(visit.shared, visit.group, at);
        get._visit = Some(visit);
        get
    }
}

impl<M: Manager> Future for Get<'_, M> {
    type Output = Result<Pooled<M>, GetError<M::Error>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut may_be_crowded = true;
        loop {
            if let Some((line, ask)) = self.wait.outside() {
                let is_crowded = may_be_crowded && line.shared.is_crowded();
                line.asked = if is_crowded { None } else { Some(Asked::now()) };
                ask.name = asking(line.at);
            }
            let (line, given) = ready!(self.wait.poll(cx));
            if let Some(given) = given {
                return Poll::Ready(given.map(|stored| Pooled::new(line.shared, line.group, stored)));
            }
            may_be_crowded = false;
            self.wait = line.wait();
        }
    }
}

/// Keeps the group of a key from being forgotten until it is dropped.
pub(super) struct GroupVisit<'a, M: Manager> {
    pub(super) shared: &'a Arc<SharedPool<M>>,
    pub(super) group: usize,
}

impl<M: Manager> Drop for GroupVisit<'_, M> {
    fn drop(&mut self) {
        self.shared.list.with(|state| state.end_visit(self.group));
    }
}

impl<M: Manager> fmt::Debug for Get<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("statistics", &self.shared.list.with(|state| state.statistics()))
            .finish_non_exhaustive()
    }
}
