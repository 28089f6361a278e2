//! Defines deadlines that can be moved while they run.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::timeout::Timeout;
use crate::context;
use crate::context::deadlines::MovableDeadline;
use crate::engine::atomics::ShortLock;
use crate::runtime::Instant;

/// Guards one future with a deadline that can be moved, or switched off, while the future runs.
///
/// Clones share the same deadline. The counterpart of asyncio's `Timeout.reschedule`, and of
/// assigning to the `deadline` of a Trio `CancelScope`.
///
/// # Cost
///
/// Two allocations, and a short lock at each poll of the guarded future.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{Deadline, now, sleep};
///     use std::time::Duration;
///
///     let second = Duration::from_secs(1);
///     let deadline = Deadline::after(second);
///     let moved = deadline.timeout(async {
///         deadline.set(now() + 10 * second).unwrap();
///         sleep(5 * second).await;
///     });
///     assert!(moved.await.is_ok());
/// });
/// ```
#[derive(Clone)]
pub struct Deadline {
    shared: Arc<SharedDeadline>,
}

/// What the clones of a [`Deadline`] and its timeout share.
struct SharedDeadline {
    state: ShortLock<State>,
}

impl MovableDeadline for SharedDeadline {
    fn due(&self) -> Option<Instant> {
        self.state.lock().due.at()
    }
}

/// The state of a [`Deadline`], under its lock.
struct State {
    due: When,
    status: Status,
    /// Wakes the task that waits for the deadline. Cloned, woken and dropped outside the lock.
    waker: Option<Waker>,
}

/// When a timeout is due.
// With a tag of its own, which is quicker to look at than one among the values of an instant.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Never,
    /// So many nanoseconds after the first poll.
    After(u64),
    At(Instant),
}

impl When {
    /// Returns when a timeout of this duration is due. Beyond about 584 years that is never.
    #[inline]
    pub(super) fn after(duration: Duration) -> Self {
        u64::try_from(duration.as_nanos()).map_or(When::Never, When::After)
    }

    /// Fixes the instant of a timeout that counts from the first poll, which is at `now`.
    #[inline]
    pub(super) fn start(&mut self, now: Instant) {
        if let When::After(nanos) = *self {
            *self = now.checked_add(Duration::from_nanos(nanos)).map_or(When::Never, When::At);
        }
    }

    /// Returns the instant at which the timeout is due, once one is fixed.
    pub(super) fn at(self) -> Option<Instant> {
        match self {
            When::At(at) => Some(at),
            When::Never | When::After(_) => None,
        }
    }
}

/// How far the timeout of a [`Deadline`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Unused,
    Active,
    Expired,
    Finished,
}

impl Deadline {
    fn new(due: When) -> Self {
        Deadline {
            shared: Arc::new(SharedDeadline {
                state: ShortLock::new(State { due, status: Status::Unused, waker: None }),
            }),
        }
    }

    /// Creates a deadline that expires `duration` after the first poll of the future that it
    /// guards.
    ///
    /// [`Duration::MAX`] is [never](Deadline::never).
    pub fn after(duration: Duration) -> Self {
        Self::new(When::after(duration))
    }

    /// Creates a deadline that expires at `at`, on the clock that [`now`](crate::now) reads.
    pub fn at(at: Instant) -> Self {
        Self::new(When::At(at))
    }

    /// Creates a deadline that is switched off until it is [set](Deadline::set).
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{Deadline, now, scope, sleep};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let deadline = Deadline::never();
    ///     let hurry = deadline.clone();
    ///     let work = deadline.timeout(scope(async |s| {
    ///         s.spawn(async move {
    ///             sleep(10 * second).await;
    ///             hurry.set(now() + second).unwrap();
    ///         });
    ///         std::future::pending::<()>().await
    ///     }));
    ///     assert!(work.await.is_err());
    /// });
    /// ```
    pub fn never() -> Self {
        Self::new(When::Never)
    }

    /// Runs `future` under this deadline, as [`timeout`](crate::timeout) does.
    ///
    /// Move the deadline by a clone, or by a reference as in the example [above](Deadline).
    ///
    /// # Cancellation
    ///
    /// As for [`timeout`](crate::timeout). Dropping the returned future ends the deadline.
    ///
    /// # Errors
    ///
    /// The returned future resolves to [`Elapsed`](crate::Elapsed) if the deadline expires.
    ///
    /// # Panics
    ///
    /// Panics if this deadline has guarded a future before.
    #[track_caller]
    pub fn timeout<F: Future>(&self, future: F) -> Timeout<F> {
        let mut state = self.shared.state.lock();
        let unused = state.status == Status::Unused;
        state.status = if unused { Status::Active } else { state.status };
        drop(state);
        assert!(unused, "a Deadline guards one future; make another for this one");
        Timeout::movable(self.clone(), future)
    }

    /// Moves the deadline to `at`. `None` switches it off.
    ///
    /// This may be called from any thread, and inside the future that is guarded. An instant that
    /// has passed makes the deadline expire at the next poll.
    ///
    /// # Errors
    ///
    /// Returns [`DeadlineOver`] if the deadline has expired, or if the guarded future has ended.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{Deadline, now};
    /// use std::time::Duration;
    ///
    /// let deadline = Deadline::after(Duration::from_secs(1));
    /// let off = deadline.clone();
    /// assert_eq!(deadline.timeout(async move { off.set(None) }).await, Ok(Ok(())));
    /// assert!(deadline.set(now()).is_err(), "the guarded future has ended");
    /// # });
    /// ```
    pub fn set(&self, at: impl Into<Option<Instant>>) -> Result<(), DeadlineOver> {
        let mut state = self.shared.state.lock();
        match state.status {
            Status::Expired => return Err(DeadlineOver { expired: true }),
            Status::Finished => return Err(DeadlineOver { expired: false }),
            Status::Unused | Status::Active => {}
        }
        state.due = at.into().map_or(When::Never, When::At);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Returns the instant at which the deadline expires.
    ///
    /// Returns `None` if the deadline is switched off, or if it counts from a first poll that has
    /// not happened yet.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{Deadline, now, sleep};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let deadline = Deadline::after(3 * second);
    ///     assert_eq!(deadline.when(), None);
    ///     let work = async {
    ///         sleep(second).await;
    ///         deadline.when()
    ///     };
    ///     assert_eq!(deadline.timeout(work).await, Ok(Some(start + 3 * second)));
    /// });
    /// ```
    pub fn when(&self) -> Option<Instant> {
        self.shared.state.lock().due.at()
    }

    /// Returns true if the deadline has expired.
    ///
    /// This is also true if the guarded future still produced a value while it was wound down,
    /// which the timeout then returned.
    pub fn is_expired(&self) -> bool {
        self.shared.state.lock().status == Status::Expired
    }

    /// Returns the deadline as the context holds it. What is polled under it sees every move.
    pub(super) fn movable(&self) -> Arc<dyn MovableDeadline> {
        Arc::clone(&self.shared) as Arc<dyn MovableDeadline>
    }

    /// Fixes the instant of a deadline that counts from the first poll, which is at `now`.
    pub(super) fn start(&self, now: Instant) {
        self.shared.state.lock().due.start(now);
    }

    /// Registers `waker` to be woken when the deadline is moved, and returns when it is due.
    pub(super) fn listen(&self, waker: &Waker) -> When {
        // The waker is cloned without the lock. The instant is read after the waker is there, so
        // that a move in between is either seen here, or wakes.
        let mut state = self.shared.state.lock();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            drop(state);
            let waker = waker.clone();
            state = self.shared.state.lock();
            let before = state.waker.replace(waker);
            let due = state.due;
            drop(state);
            drop(before);
            return due;
        }
        state.due
    }

    /// Marks the deadline as expired at `at`. Returns false if it has been moved meanwhile.
    pub(super) fn expire(&self, at: Instant) -> bool {
        let mut state = self.shared.state.lock();
        if state.due != When::At(at) {
            return false;
        }
        if state.status == Status::Active {
            state.status = Status::Expired;
        }
        true
    }

    /// Marks the deadline as finished, unless it has expired.
    pub(super) fn end(&self) {
        let mut state = self.shared.state.lock();
        if state.status == Status::Active {
            state.status = Status::Finished;
        }
        let waker = state.waker.take();
        drop(state);
        drop(waker);
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, due) = {
            let state = self.shared.state.lock();
            (state.status, state.due)
        };
        let now = context::with(|ambient| ambient.now());
        match (status, due) {
            (Status::Expired, _) => f.write_str("Deadline(expired)"),
            (Status::Finished, _) => f.write_str("Deadline(finished)"),
            (_, When::Never) => f.write_str("Deadline(disabled)"),
            (_, When::After(nanos)) => {
                write!(f, "Deadline(active, {:?} after the first poll)", Duration::from_nanos(nanos))
            }
            (_, When::At(at)) => write!(f, "Deadline(active, in {:?})", at.saturating_duration_since(now)),
        }
    }
}

/// The error of [`Deadline::set`]: the deadline has ended before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadlineOver {
    expired: bool,
}

impl DeadlineOver {
    /// Returns true if the deadline had expired, and false if the guarded future ended before that.
    pub fn is_expired(&self) -> bool {
        self.expired
    }
}

impl fmt::Display for DeadlineOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.expired {
            "the deadline has expired and cannot be moved"
        } else {
            "the guarded future has ended, so there is no deadline to move"
        })
    }
}

impl std::error::Error for DeadlineOver {}
