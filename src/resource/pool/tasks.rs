//! What the tasks of a pool do. They are children of its scope.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Manager;
use super::errand::{Errand, Evicted, PlaceUse};
use super::error::GetCause;
use super::group::Stored;
use super::shared::SharedPool;
use crate::cancel::shield;
use crate::future::catch_panic;
use crate::panic::discard;
use crate::runtime::Instant;
use crate::time::now;
use crate::time::{sleep_until, timeout};

/// The future of a task.
pub(super) type ErrandFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes the task of an errand, or drops what is only to be dropped and returns `None`.
///
/// If the task is dropped before it has ended, the resource that it had is closed by another task,
/// which the scope adopts and which has the place until then. If that one is dropped as well, so is
/// the resource.
pub(super) fn task<M: Manager>(shared: &Arc<SharedPool<M>>, errand: Errand<M>) -> Option<ErrandFuture> {
    let shared = shared.clone();
    // It has its place before the task is polled.
    let transit = |group, stored, place| Transit {
        shared: shared.clone(),
        group,
        stored,
        evicted: None,
        place: Some(place),
        is_heir: false,
    };
    Some(match errand {
        Errand::Create { group, manager, at, evicted } => {
            let mut transit = transit(group, None, PlaceUse::Creating);
            if let Some(Evicted { group, stored }) = evicted {
                (transit.evicted, transit.stored) = (Some(group), Some(stored));
            }
            Box::pin(create(transit, manager, at))
        }
        Errand::Check { group, stored } => Box::pin(check(transit(group, Some(stored), PlaceUse::Checking))),
        Errand::Reset { group, stored } => Box::pin(reset(transit(group, Some(stored), PlaceUse::Leaving))),
        Errand::Close { group, stored } => Box::pin(close(transit(group, Some(stored), PlaceUse::Leaving))),
        Errand::Reap { number } => Box::pin(reap(shared, number)),
        Errand::Drop { cause } => {
            discard(cause);
            return None;
        }
    })
}

async fn create<M: Manager>(mut transit: Transit<M>, manager: Arc<M>, at: Option<Instant>) {
    transit.close().await;
    transit.end_eviction();
    if let Some(at) = at {
        _ = transit.shared.closed.run_until_cancelled(sleep_until(at)).await;
    }
    let (options, closed) = (transit.shared.options, transit.shared.closed.clone());
    let creating = async { closed.run_until_cancelled(async { manager.create().await }).await };
    match bounded(options.create_timeout, creating).await {
        Ok(Ok(Ok(resource))) => transit.arrive(|now| Stored::new(resource, manager, &options, now)),
        Ok(Ok(Err(error))) => transit.fail(GetCause::Failed(Arc::new(error))),
        // The pool was closed, so nobody wants it any more.
        Ok(Err(_)) => {}
        Err(cause) => transit.fail(cause),
    }
}

async fn check<M: Manager>(mut transit: Transit<M>) {
    let grace = transit.shared.options.grace;
    let Some(Stored { resource, manager, .. }) = transit.stored.as_deref_mut() else { return };
    let checked = bounded::<_, M::Error>(grace, async { manager.check(resource).await }).await;
    match checked {
        Ok(Ok(())) if !transit.is_broken() => transit.go_home(),
        Ok(unfit) => {
            discard(unfit);
            transit.leave();
            transit.close().await;
        }
        // It hangs or is in an unknown state, so it is dropped.
        Err(_) => {
            transit.leave();
            discard(transit.stored.take());
        }
    }
}

async fn reset<M: Manager>(mut transit: Transit<M>) {
    let grace = transit.shared.options.grace;
    let Some(Stored { resource, manager, .. }) = transit.stored.as_deref_mut() else { return };
    let reset = async {
        match manager.reset(resource) {
            Some(reset) => reset.await,
            None => Ok(()),
        }
    };
    match bounded::<_, M::Error>(grace, reset).await {
        Ok(Ok(())) if !transit.is_broken() => transit.go_home(),
        Ok(unfit) => {
            discard(unfit);
            transit.close().await;
        }
        Err(_) => discard(transit.stored.take()),
    }
}

async fn close<M: Manager>(mut transit: Transit<M>) {
    transit.close().await;
}

async fn reap<M: Manager>(shared: Arc<SharedPool<M>>, number: u64) {
    let reaping = async {
        loop {
            let (now, mut next) = (now(), None);
            shared.change(|state, _| next = state.reap(number, now));
            match next {
                Some(next) => sleep_until(next).await,
                None => return,
            }
        }
    };
    // When it is cancelled, the pool is closed, or its scope is about to end.
    _ = shared.reaper.run_until_cancelled(reaping).await;
}

/// Runs a method of the manager for at most `limit`. After that, nothing in it is waited for.
async fn bounded<F: Future, E>(limit: Duration, method: F) -> Result<F::Output, GetCause<E>> {
    // Its destructor may panic, too, also when the time is up.
    match catch_panic(timeout(limit, method).grace(Duration::ZERO)).await {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(_)) => Err(GetCause::TimedOut),
        Err(panicked) => Err(GetCause::Panicked(Arc::new(panicked))),
    }
}

/// The place of a task, and the resource that is there.
struct Transit<M: Manager> {
    shared: Arc<SharedPool<M>>,
    group: usize,
    stored: Option<Box<Stored<M>>>,
    /// The group from which `stored` was evicted.
    evicted: Option<usize>,
    /// `None` when the task has given its place up.
    place: Option<PlaceUse>,
    /// Whether the task only closes what one that was dropped has left.
    is_heir: bool,
}

impl<M: Manager> Transit<M> {
    /// Puts a new resource into the pool.
    fn arrive(mut self, stored: impl FnOnce(Instant) -> Box<Stored<M>>) {
        let (now, group) = (now(), self.group);
        let stored = stored(now);
        self.place = None;
        self.shared.change(|state, wakes| state.created(group, stored, now, wakes));
    }

    fn is_broken(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.is_broken())
    }

    /// Puts the resource back into the pool.
    fn go_home(mut self) {
        let (now, group) = (now(), self.group);
        let Some(stored) = self.stored.take() else { return };
        let place = self.place.take();
        self.shared.change(|state, wakes| match place {
            Some(PlaceUse::Checking) => state.checked(group, stored, now, wakes),
            _ => state.was_reset(group, stored, now, wakes),
        });
    }

    /// Notes that no resource was created.
    fn fail(mut self, cause: GetCause<M::Error>) {
        let (now, group) = (now(), self.group);
        self.place = None;
        self.shared.change(|state, wakes| state.failed(group, cause, now, wakes));
    }

    /// Notes that the resource is not what somebody waits for.
    fn leave(&mut self) {
        let (now, group) = (now(), self.group);
        self.place = Some(PlaceUse::Leaving);
        self.shared.change(|state, wakes| state.found_unfit(group, now, wakes));
    }

    fn end_eviction(&mut self) {
        if let Some(group) = self.evicted.take() {
            let now = now();
            self.shared.change(|state, _| state.lost_evicted(group, now));
        }
    }

    /// Closes the resource, if there is one, within the grace, also while the scope is cancelled.
    async fn close(&mut self) {
        let Some(stored) = self.stored.take() else { return };
        let Stored { resource, manager, .. } = *stored;
        let close = async move { manager.close(resource).await };
        discard(shield(bounded::<_, M::Error>(self.shared.options.grace, close)).await);
    }
}

impl<M: Manager> Drop for Transit<M> {
    fn drop(&mut self) {
        let (now, group, is_heir) = (now(), self.group, self.is_heir);
        if self.place.is_some_and(|place| place != PlaceUse::Leaving) {
            // The scope or the runtime has dropped the task. It would drop the next one, too.
            self.shared.close(GetCause::ScopeEnded);
        }
        match self.stored.take() {
            Some(stored) if !is_heir => {
                let (shared, evicted, place) = (self.shared.clone(), self.evicted.take(), self.place.take());
                let heir = Transit { shared, group, stored: Some(stored), evicted, place, is_heir: true };
                self.shared.adopt(Box::pin(close(heir)));
            }
            // Before its place is free.
            stored => discard(stored),
        }
        self.end_eviction();
        if let Some(place) = self.place {
            self.shared.change(|state, wakes| state.lost(group, place, now, wakes));
        }
    }
}
