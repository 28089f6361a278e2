//! A flag for which many can wait.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::{AtomicBool, Ordering, const_unless_loom};

/// Lets many wait until something has happened.
///
/// An event is a flag. [`wait`](Event::wait) waits until it is [`set`](Event::set), and returns at
/// once while it is. [`clear`](Event::clear) takes the flag back, for the next time. The
/// counterpart of asyncio's `Event`, and of the `notify_waiters` of tokio's `Notify`, which has no
/// flag. For its `notify_one`, where one task waits, use a
/// [queue of one place](crate::guide::tokio#notify).
///
/// `set` lets in all who wait at that moment, in the order in which they came. This cannot be taken
/// back: if `clear` follows before their tasks run, they have been let in all the same.
///
/// To wait for a change of a value, use a [`Condition`](super::Condition) or a
/// [`watch`](super::watch). To give one waiter a value, use a [`oneshot`](super::oneshot). To tell
/// a scope, and all that runs in it, that it should end, use a [`Token`](crate::Token).
///
/// # Cost
///
/// To wait for an event that is set is one load, and allocates nothing. A waiter takes 32 bytes,
/// and leaves in a constant time. The memory of more than 32 waiters is given back when the last of
/// them has left.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{local, sync::Event};
/// use std::cell::RefCell;
///
/// let (started, log) = (Event::new(), RefCell::new(Vec::new()));
/// local::scope(async |s| {
///     for name in ["first", "second"] {
///         let (started, log) = (&started, &log);
///         s.spawn(async move {
///             started.wait().await;
///             log.borrow_mut().push(name);
///         });
///     }
///     log.borrow_mut().push("start");
///     started.set();
/// }).await;
/// assert_eq!(log.into_inner()[0], "start");
/// # });
/// ```
pub struct Event {
    /// Changes under the lock only, so who holds it can rely on it. It is read without.
    is_set: AtomicBool,
    list: WaitList<Waiters>,
}

impl Event {
    const_unless_loom! {
        /// Creates an event that is not set.
        pub const fn new() -> Event {
            Event { is_set: AtomicBool::new(false), list: WaitList::new(Waiters::new()) }
        }
    }

    /// Sets the event, and lets in all who wait for it. It stays set.
    ///
    /// What was written before it is seen by those who are let in.
    pub fn set(&self) {
        self.list.change(|waiters, wakes| {
            self.is_set.store(true, Ordering::Release);
            waiters.answer_where(wakes, |()| Some(()));
        });
    }

    /// Takes the flag back, so that those who come from now on wait for the next
    /// [`set`](Event::set).
    pub fn clear(&self) {
        self.list.with(|_| self.is_set.store(false, Ordering::Relaxed));
    }

    /// Returns whether the event is set.
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::Acquire)
    }

    /// Waits until the event is set. If it is set, this completes at once.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the line, and nothing is lost. In a
    /// [cancelled region](crate::cancel#regions) a wait does not begin: the future completes if the
    /// event is set, or else stays pending.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn wait(&self) -> EventWait<&Event> {
        EventWait { wait: Wait::new(self, ()) }
    }

    /// Waits as [`wait`](Event::wait) does, with a future that keeps the event alive and borrows
    /// nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](Event::wait).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn wait_owned(self: Arc<Self>) -> EventWait<Arc<Event>> {
        EventWait { wait: Wait::new(self, ()) }
    }

    /// Returns how many futures wait for the event. [`in_use`](Statistics::in_use) is always 0.
    pub fn statistics(&self) -> Statistics {
        self.list.with(|waiters| waiters.statistics(0))
    }
}

impl Default for Event {
    /// Creates an event that is not set.
    fn default() -> Self {
        Event::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).field("waiting", &self.statistics().waiting()).finish()
    }
}

impl Line for Event {
    type State = Waiters;
    type Ask = ();
    type Answer = ();

    fn list(&self) -> &WaitList<Waiters> {
        &self.list
    }

    fn waiters<'s>(&self, waiters: &'s mut Waiters) -> &'s mut Waiters {
        waiters
    }

    #[inline]
    fn pass(&self, (): &()) -> Option<()> {
        self.is_set().then_some(())
    }

    fn join(&self, _: &mut Waiters, (): (), _: &mut Wakes) -> Result<(), ()> {
        if self.is_set() { Ok(()) } else { Err(()) }
    }

    /// An event is for all, so who leaves takes nothing from the others.
    fn leave(&self, _: &mut Waiters, (): (), _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        String::from("event that is not set")
    }
}

/// The future of [`Event::wait`] and [`Event::wait_owned`], which has the event by reference or in
/// an [`Arc`].
#[must_use = "futures do nothing unless polled"]
pub struct EventWait<E: Deref<Target = Event>> {
    wait: Wait<E>,
}

impl<E: Deref<Target = Event> + Unpin> Future for EventWait<E> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.poll(cx).map(|(_event, ())| ())
    }
}

impl<E: Deref<Target = Event>> fmt::Debug for EventWait<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWait").finish_non_exhaustive()
    }
}
