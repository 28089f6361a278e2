//! Waiting for a change of what a mutex protects.

use std::fmt;
use std::future::Future;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::mutex::{Guard, Locking, Mutex};
use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::const_unless_loom;
use crate::engine::cell::Stable;

/// Lets many wait until what a [`Mutex`] protects has changed.
///
/// [`wait`](Condition::wait) takes the guard of the mutex, releases the mutex, waits until it is
/// notified, locks again, and returns the new guard. [`wait_for`](Condition::wait_for) does so
/// until the value is as it should be. The counterpart of asyncio's and Trio's `Condition`, and of
/// std's `Condvar`. tokio has none.
///
/// A condition belongs to no mutex. So one mutex can have several conditions, such as "not empty"
/// and "not full". All who wait for one condition should have the same mutex.
///
/// To notify needs no guard. But change the value under the mutex, or a waiter may look at it just
/// before and begin to wait just after the notification.
///
/// # Fairness
///
/// Notifications go to the waiters in the order in which they came. If one that was notified is
/// dropped, also while it locks the mutex again, the first of those who wait then is notified
/// instead. So no notification is lost. A notification when nobody waits has no effect.
///
/// # Cost
///
/// A condition allocates nothing until somebody waits. A waiter takes 32 bytes, and leaves in a
/// constant time.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{scope, sync::{Condition, Mutex}};
/// use std::collections::VecDeque;
///
/// let (jobs, not_empty) = (Mutex::new(VecDeque::new()), Condition::new());
/// scope(async |s| {
///     s.spawn(async {
///         for job in [1, 2, 3] {
///             jobs.lock().await.push_back(job);
///             not_empty.notify(1);
///         }
///     });
///     for job in [1, 2, 3] {
///         let mut jobs = not_empty.wait_for(jobs.lock().await, |jobs| !jobs.is_empty()).await;
///         assert_eq!(jobs.pop_front(), Some(job));
///     }
/// }).await;
/// # });
/// ```
///
/// Without the guard there is no waiting, so nobody waits for a change that has happened already:
///
/// ```compile_fail,E0061
/// # async fn wrong() {
/// foster::sync::Condition::new().wait().await;
/// # }
/// ```
///
/// ```compile_fail,E0061
/// # async fn wrong() {
/// foster::sync::Condition::new().wait_for(|is_ready: &mut bool| *is_ready).await;
/// # }
/// ```
pub struct Condition {
    list: WaitList<Waiters<(), Notified>>,
}

/// How a waiter was notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notified {
    /// As one of so many. If it does not hear it, another one must.
    One,
    /// With all who waited. Nobody is left who should hear it instead.
    All,
}

impl Condition {
    const_unless_loom! {
        /// Creates a condition.
        pub const fn new() -> Condition {
            Condition { list: WaitList::new(Waiters::new()) }
        }
    }

    /// Releases the mutex, waits for a notification, and locks the mutex again.
    ///
    /// With the first poll this joins the line, and then the mutex is released. So a notification
    /// that comes after a change of the value under the mutex is not missed.
    ///
    /// When this returns, others may have had the mutex since the notification. Look at the value
    /// again, or use [`wait_for`](Condition::wait_for).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped leaves the line, and passes on a notification that it has got. *The
    /// mutex is not locked any more*, since the guard was given up with the first poll. asyncio
    /// locks it again before the cancellation goes on, but dropping a future cannot wait. So code
    /// behind a wait that may be cancelled, for example by a [`timeout`](crate::timeout), has to
    /// lock it itself. A future that was never polled drops the guard.
    ///
    /// In a [cancelled region](crate::cancel#regions) a wait does not begin: the mutex is released,
    /// and the future stays pending. A wait that had begun goes on there, and locks the mutex.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn wait<P, T>(&self, guard: Guard<P, T>) -> ConditionWait<'_, P, T>
    where
        P: Deref<Target = Mutex<T>>,
        T: ?Sized,
    {
        ConditionWait::new(guard, Wait::new(self, ()))
    }

    /// Waits as [`wait`](Condition::wait) does, until `predicate` accepts the value, and returns
    /// the guard. If the value is accepted at once, this does not release the mutex.
    ///
    /// The predicate runs during the poll, with the mutex locked. If it refuses the value after a
    /// notification, this waits for the next one. So where those who wait have different
    /// predicates, use [`notify_all`](Condition::notify_all), or a condition for each.
    ///
    /// # Cancellation
    ///
    /// As for [`wait`](Condition::wait).
    ///
    /// # Panics
    ///
    /// The future panics if `predicate` does. That unlocks the mutex, and passes on a notification
    /// that the predicate has not looked at. It also panics if it is polled after it has completed.
    pub fn wait_for<P, T, F>(&self, guard: Guard<P, T>, predicate: F) -> ConditionWaitFor<'_, P, T, F>
    where
        P: Deref<Target = Mutex<T>>,
        T: ?Sized,
        F: FnMut(&mut T) -> bool,
    {
        ConditionWaitFor { condition: self, stage: PredicateStage::Look { guard, notification: None }, predicate }
    }

    /// Notifies the first `count` of those who wait, or all, if they are fewer.
    pub fn notify(&self, count: usize) {
        self.list.change(|waiters, wakes| {
            for _ in 0..count.min(waiters.len()) {
                waiters.answer_first(Notified::One, wakes);
            }
        });
    }

    /// Notifies all who wait.
    pub fn notify_all(&self) {
        self.list.change(|waiters, wakes| waiters.answer_where(wakes, |()| Some(Notified::All)));
    }

    /// Returns how many futures wait for a notification. [`in_use`](Statistics::in_use) is always
    /// 0.
    pub fn statistics(&self) -> Statistics {
        self.list.with(|waiters| waiters.statistics(0))
    }
}

impl Default for Condition {
    fn default() -> Self {
        Condition::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("waiting", &self.statistics().waiting()).finish()
    }
}

impl Line for Condition {
    type State = Waiters<(), Notified>;
    type Ask = ();
    type Answer = Notified;

    fn list(&self) -> &WaitList<Self::State> {
        &self.list
    }

    fn waiters<'s>(&self, waiters: &'s mut Self::State) -> &'s mut Waiters<(), Notified> {
        waiters
    }

    /// Everybody waits for a notification that is yet to come.
    fn join(&self, _: &mut Self::State, (): (), _: &mut Wakes) -> Result<Notified, ()> {
        Err(())
    }

    fn leave(&self, waiters: &mut Self::State, (): (), answer: Option<Notified>, wakes: &mut Wakes) {
        if let Some(Notified::One) = answer {
            waiters.answer_first(Notified::One, wakes);
        }
    }

    fn describe(&self) -> String {
        String::from("condition")
    }
}

/// A notification that its waiter has not heard yet: it has not locked the mutex, or its predicate
/// has not looked. Dropping it passes it on.
struct Notification<'a> {
    /// `None` if nobody else is to hear it.
    condition: Option<&'a Condition>,
}

impl Notification<'_> {
    /// Says that the waiter has heard it.
    fn hear(mut self) {
        self.condition = None;
    }
}

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        if let Some(condition) = self.condition {
            condition.notify(1);
        }
    }
}

/// The future of [`Condition::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct ConditionWait<'a, P: Deref<Target = Mutex<T>>, T: ?Sized> {
    stage: ConditionStage<'a, P, T>,
}

enum ConditionStage<'a, P: Deref<Target = Mutex<T>>, T: ?Sized> {
    /// It has not been polled.
    Holding {
        guard: Guard<P, T>,
        wait: Wait<&'a Condition>,
    },
    /// The mutex is released.
    Waiting {
        mutex: P,
        wait: Wait<&'a Condition>,
    },
    /// It was notified. The line of the mutex is left before the notification is passed on.
    Locking {
        locking: Locking<P, T>,
        notification: Notification<'a>,
    },
    Completed,
}

impl<'a, P: Deref<Target = Mutex<T>>, T: ?Sized> ConditionWait<'a, P, T> {
    fn new(guard: Guard<P, T>, wait: Wait<&'a Condition>) -> Self {
        ConditionWait { stage: ConditionStage::Holding { guard, wait } }
    }

    /// Waits until the mutex is locked again. The caller has the notification to hear.
    fn poll_notified(&mut self, cx: &mut Context<'_>) -> Poll<(Guard<P, T>, Notification<'a>)>
    where
        P: Stable + Unpin,
    {
        loop {
            match mem::replace(&mut self.stage, ConditionStage::Completed) {
                ConditionStage::Holding { guard, mut wait } => {
                    // It is in the line before others can change the value.
                    wait.begin(cx);
                    self.stage = ConditionStage::Waiting { mutex: Guard::unlock(guard), wait };
                    return Poll::Pending;
                }
                ConditionStage::Waiting { mutex, mut wait } => match wait.poll(cx) {
                    Poll::Ready((condition, notified)) => {
                        let condition = (notified == Notified::One).then_some(condition);
                        let notification = Notification { condition };
                        self.stage = ConditionStage::Locking { locking: Locking::going_on(mutex), notification };
                    }
                    Poll::Pending => {
                        self.stage = ConditionStage::Waiting { mutex, wait };
                        return Poll::Pending;
                    }
                },
                ConditionStage::Locking { mut locking, notification } => match Pin::new(&mut locking).poll(cx) {
                    Poll::Ready(guard) => return Poll::Ready((guard, notification)),
                    Poll::Pending => {
                        self.stage = ConditionStage::Locking { locking, notification };
                        return Poll::Pending;
                    }
                },
                ConditionStage::Completed => panic!("a future was polled after it had completed"),
            }
        }
    }
}

impl<P, T> Future for ConditionWait<'_, P, T>
where
    P: Stable + Deref<Target = Mutex<T>> + Unpin,
    T: ?Sized,
{
    type Output = Guard<P, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Guard<P, T>> {
        let (guard, notification) = ready!(self.poll_notified(cx));
        notification.hear();
        Poll::Ready(guard)
    }
}

impl<P: Deref<Target = Mutex<T>>, T: ?Sized> fmt::Debug for ConditionWait<'_, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConditionWait").finish_non_exhaustive()
    }
}

/// The future of [`Condition::wait_for`].
#[must_use = "futures do nothing unless polled"]
pub struct ConditionWaitFor<'a, P: Deref<Target = Mutex<T>>, T: ?Sized, F> {
    condition: &'a Condition,
    stage: PredicateStage<'a, P, T>,
    predicate: F,
}

enum PredicateStage<'a, P: Deref<Target = Mutex<T>>, T: ?Sized> {
    /// The mutex is locked. If the predicate panics, another one hears the notification.
    Look {
        guard: Guard<P, T>,
        notification: Option<Notification<'a>>,
    },
    Wait(ConditionWait<'a, P, T>),
    Completed,
}

// The predicate is not pinned.
impl<P: Deref<Target = Mutex<T>> + Unpin, T: ?Sized, F> Unpin for ConditionWaitFor<'_, P, T, F> {}

impl<P, T, F> Future for ConditionWaitFor<'_, P, T, F>
where
    P: Stable + Deref<Target = Mutex<T>> + Unpin,
    T: ?Sized,
    F: FnMut(&mut T) -> bool,
{
    type Output = Guard<P, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Guard<P, T>> {
        loop {
            match mem::replace(&mut self.stage, PredicateStage::Completed) {
                PredicateStage::Look { mut guard, notification } => {
                    let accepts = (self.predicate)(&mut guard);
                    let has_begun = notification.map(Notification::hear).is_some();
                    if accepts {
                        return Poll::Ready(guard);
                    }
                    let wait =
                        if has_begun { Wait::going_on(self.condition, ()) } else { Wait::new(self.condition, ()) };
                    self.stage = PredicateStage::Wait(ConditionWait::new(guard, wait));
                }
                PredicateStage::Wait(mut wait) => match wait.poll_notified(cx) {
                    Poll::Ready((guard, notification)) => {
                        self.stage = PredicateStage::Look { guard, notification: Some(notification) };
                    }
                    Poll::Pending => {
                        self.stage = PredicateStage::Wait(wait);
                        return Poll::Pending;
                    }
                },
                PredicateStage::Completed => panic!("a future was polled after it had completed"),
            }
        }
    }
}

impl<P: Deref<Target = Mutex<T>>, T: ?Sized, F> fmt::Debug for ConditionWaitFor<'_, P, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConditionWaitFor").finish_non_exhaustive()
    }
}
