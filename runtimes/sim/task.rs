//! Tasks and timers: what others hold of a simulation. Both hold it weakly, since only handles keep
//! it alive.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use super::due::Due;
use super::trace::TaskLabel;
use super::world::World;
use crate::panic::Contained;

/// A task of the simulation, which is its own waker.
pub(super) struct SimTask {
    pub(super) label: TaskLabel,
    pub(super) number: u64,
    /// The host that it runs on.
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    pub(super) host: usize,
    world: Weak<World>,
    /// `None` while the task runs, once it has ended, and for the root future, which is only
    /// borrowed.
    future: Mutex<Option<Contained>>,
    /// True while the task is among the ready ones, and for ever once it has ended. So a waker that
    /// is kept too long does nothing.
    queued: AtomicBool,
    /// Whether its host has crashed. If it was running then, it is dropped after that.
    discarded: AtomicBool,
}

impl SimTask {
    /// Creates a task that counts as woken.
    pub(super) fn new(
        label: TaskLabel,
        number: u64,
        host: usize,
        world: &Arc<World>,
        future: Option<Contained>,
    ) -> Arc<Self> {
        let (world, future) = (Arc::downgrade(world), Mutex::new(future));
        let (queued, discarded) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(SimTask { label, number, host, world, future, queued, discarded })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Contained>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Option<Contained> {
        self.lock().take()
    }

    pub(super) fn put_back(&self, future: Contained) {
        if !self.discarded.load(Ordering::Acquire) {
            *self.lock() = Some(future);
        }
    }

    /// Drops the future, at once or after the poll that is under way.
    #[cfg(feature = "net")]
    pub(super) fn discard(&self) {
        self.retire();
        self.discarded.store(true, Ordering::Release);
        drop(self.take());
    }

    /// Notes that the task is no longer among the ready ones, and may be woken again.
    pub(super) fn unqueue(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Returns true if the caller must now put the task among the ready ones.
    pub(super) fn queue(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// Notes that the task has ended. Wake-ups do nothing from now on.
    pub(super) fn retire(&self) {
        self.queued.store(true, Ordering::Release);
    }
}

impl Wake for SimTask {
    fn wake(self: Arc<Self>) {
        let world = if self.queue() { self.world.upgrade() } else { None };
        if let Some(world) = world {
            world.lock().ready.push(self);
        }
    }
}

/// A timer of the simulation.
pub(super) struct SimTimer {
    pub(super) world: Weak<World>,
    /// The time at which it is due, and its number among all timers.
    pub(super) key: (Duration, u64),
}

impl Future for SimTimer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(world) = self.world.upgrade() else {
            return Poll::Pending;
        };
        let waker = cx.waker().clone();
        let mut state = world.lock();
        if state.elapsed >= self.key.0 {
            return Poll::Ready(());
        }
        let replaced = state.timers.insert(self.key, Due::Wake(waker));
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            let timer = world.lock().timers.remove(&self.key);
            drop(timer);
        }
    }
}
