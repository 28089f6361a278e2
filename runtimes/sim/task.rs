//! Tasks and timers: what the outside of a simulation holds of it. Both hold it weakly: only handles keep it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use super::trace::Label;
use super::world::World;
use crate::contain::Contained;

/// A task of the simulation, and its own waker.
pub(super) struct Task {
    pub(super) label: Label,
    pub(super) number: u64,
    world: Weak<World>,
    /// `None` while it runs, once it is over, and for the root future, which is not ours to keep.
    future: Mutex<Option<Contained>>,
    /// Set while it is among the ready ones, and for good once it is over, so that a waker kept too long does nothing.
    queued: AtomicBool,
}

impl Task {
    /// A task that counts as woken.
    pub(super) fn new(label: Label, number: u64, world: &Arc<World>, future: Option<Contained>) -> Arc<Self> {
        let (world, future) = (Arc::downgrade(world), Mutex::new(future));
        Arc::new(Task { label, number, world, future, queued: AtomicBool::new(true) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Contained>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Option<Contained> {
        self.lock().take()
    }

    pub(super) fn put_back(&self, future: Contained) {
        *self.lock() = Some(future);
    }

    /// It is no longer among the ready ones, and may be woken.
    pub(super) fn unqueue(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// True if it is now on the caller to put it among the ready ones.
    pub(super) fn queue(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    pub(super) fn retire(&self) {
        self.queued.store(true, Ordering::Release);
    }
}

impl Wake for Task {
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
    /// When it is due, and its number among all timers.
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
        let replaced = state.timers.insert(self.key, waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            let waker = world.lock().timers.remove(&self.key);
            drop(waker);
        }
    }
}
