//! The loop of attempts and waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::budget::RetryBudget;
use super::error::{RetryEnd, RetryError};
use super::hooks::{Hooks, RetriesAfter, RetriesNotified, RetriesWhen};
use super::jitter;
use crate::context::deadlines::LATE;
use crate::context::{self, Ambient};
use crate::runtime::Instant;
use crate::time::{Elapsed, Sleep, Timeout, now, sleep, timeout};

/// Calls `operation` until it succeeds, and waits after each failure as `schedule` says.
///
/// The schedule is anything that yields durations: an array, an iterator, or what the builders of
/// the crate `backon` build. Each duration is the wait before one more attempt, so a schedule of
/// three allows four attempts, and an empty one allows the first alone. A duration of zero yields
/// once. The wait counts from the failure.
///
/// It respects the effective [deadline](crate::deadline). If the next attempt could not begin
/// before it, the error is returned at once, instead of after a wait in vain.
///
/// An attempt that hangs is never retried. Where a peer may go silent, set an
/// [`attempt_timeout`](Retry::attempt_timeout). What is not safe to do twice must not be retried.
///
/// The counterpart of tenacity's `retry` and of `backon`.
///
/// # Errors
///
/// Returns the error of the last attempt. [`outcome`](Retry::outcome) also says why it was the last
/// one.
///
/// # Cancellation
///
/// Dropping the future drops the attempt that is under way. In a cancelled
/// [region](crate::cancel#regions) no other attempt begins: an attempt that fails there is the last
/// one.
///
/// # Panics
///
/// The future panics if the operation or one of the closures does, or if it is polled after it has
/// completed.
///
/// # Cost
///
/// Nothing is allocated around an attempt, and the clock is read only after a failure. Waits cost
/// what a [`sleep`](crate::sleep) costs.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::retry;
/// use std::time::Duration;
///
/// let schedule = [1, 2, 4].map(Duration::from_millis);
/// let mut attempts = 0;
/// let answer = retry(schedule, || {
///     attempts += 1;
///     let answer = if attempts < 3 { Err("unavailable") } else { Ok(attempts) };
///     async move { answer }
/// });
/// assert_eq!(answer.await, Ok(3));
/// # });
/// ```
///
/// With an exponential schedule of `backon`:
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use backon::{BackoffBuilder, ExponentialBuilder};
///     use foster::{now, retry, timeout};
///     use std::time::Duration;
///
///     // 1 s, 2 s, 4 s, …
///     let schedule = ExponentialBuilder::default().with_max_times(8).build();
///     let (start, minute) = (now(), Duration::from_secs(60));
///     let call = retry(schedule, async || Err::<(), _>("unavailable"));
///     let failed = timeout(minute, call.outcome()).await.unwrap().unwrap_err();
///     // 32 s would be too long.
///     assert!(failed.is_deadline());
///     assert_eq!((failed.attempts(), now() - start), (6, Duration::from_secs(31)));
/// });
/// ```
pub fn retry<S, F, Fut, T, E>(schedule: S, operation: F) -> Retry<S::IntoIter, F, Fut>
where
    S: IntoIterator<Item = Duration>,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    Retry {
        schedule: schedule.into_iter(),
        operation,
        hooks: (),
        settings: RetrySettings { attempts: u32::MAX, elapsed: None, jitter: false, budget: None },
        made: 0,
        start: None,
        step: RetryStep::Due,
    }
}

pin_project! {
    /// The future of [`retry`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Retry<I, F, Fut, H = ()> {
        schedule: I,
        operation: F,
        hooks: H,
        settings: RetrySettings,
        // How many attempts have begun.
        made: u32,
        // When the first one began, if the time of all is limited.
        start: Option<Instant>,
        #[pin]
        step: RetryStep<Fut>,
    }
}

/// What does not depend on the error.
struct RetrySettings {
    attempts: u32,
    elapsed: Option<Duration>,
    jitter: bool,
    budget: Option<RetryBudget>,
}

pin_project! {
    /// How far a retry has come.
    #[project = StepProjection]
    enum RetryStep<Fut> {
        /// An attempt is to begin.
        Due,
        Attempt { #[pin] attempt: Fut },
        Wait { #[pin] sleep: Sleep },
        Completed,
    }
}

pin_project! {
    /// An attempt whose time is limited by [`Retry::attempt_timeout`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TimedAttempt<Fut> {
        #[pin]
        attempt: Timeout<Fut>,
    }
}

impl<Fut, T, E> Future for TimedAttempt<Fut>
where
    Fut: Future<Output = Result<T, E>>,
    E: From<Elapsed>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.project().attempt.poll(cx).map(|result| result?)
    }
}

impl<Fut> fmt::Debug for TimedAttempt<Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedAttempt").finish_non_exhaustive()
    }
}

impl<I, F, Fut, T, E, H> Retry<I, F, Fut, H>
where
    I: Iterator<Item = Duration>,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    H: Hooks<E>,
{
    /// Retries only errors for which `retries` returns true.
    ///
    /// Several such closures must all agree. The counterpart of tenacity's
    /// `retry_if_exception`.
    pub fn when<P: FnMut(&E) -> bool>(self, retries: P) -> Retry<I, F, Fut, RetriesWhen<H, P>> {
        self.map_hooks(|hooks| RetriesWhen { hooks, retries })
    }

    /// Calls `notify` with the error and the wait, before each wait. For a log.
    ///
    /// The counterpart of tenacity's `before_sleep`.
    pub fn notify<N: FnMut(&E, Duration)>(self, notify: N) -> Retry<I, F, Fut, RetriesNotified<H, N>> {
        self.map_hooks(|hooks| RetriesNotified { hooks, notify })
    }

    /// Waits at least as long as `after` says, where an error carries such a time. For the
    /// `Retry-After` of HTTP.
    ///
    /// The longer one of this and of the schedule's duration counts. With [jitter](Retry::jitter),
    /// what is drawn comes on top of this time, so that clients that were all told the same do not
    /// all come back together. If the deadline forbids the wait, there is none, and the error is
    /// returned at once.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{now, retry, timeout};
    ///     use std::time::Duration;
    ///
    ///     struct TooMany { retry_after: Duration }
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let refused = async || Err::<(), _>(TooMany { retry_after: 30 * second });
    ///     let call = retry([second; 3], refused).after(|error| Some(error.retry_after));
    ///     let failed = timeout(20 * second, call.outcome()).await.unwrap().unwrap_err();
    ///     assert!(failed.is_deadline());
    ///     assert_eq!(now(), start, "nothing was waited for");
    /// });
    /// ```
    pub fn after<A: FnMut(&E) -> Option<Duration>>(self, after: A) -> Retry<I, F, Fut, RetriesAfter<H, A>> {
        self.map_hooks(|hooks| RetriesAfter { hooks, after })
    }

    /// Limits each attempt by a [`timeout`](crate::timeout) of `limit`. `None` is no limit.
    ///
    /// An attempt that takes longer is wound down, and has failed with the error that is made of
    /// [`Elapsed`]. Without this, a peer that goes silent holds the first attempt for ever. For an
    /// error that cannot be made of `Elapsed`, write a `timeout` into the operation. Of several
    /// limits the shortest one counts.
    pub fn attempt_timeout(
        self,
        limit: impl Into<Option<Duration>>,
    ) -> Retry<I, impl FnMut() -> TimedAttempt<Fut>, TimedAttempt<Fut>, H>
    where
        E: From<Elapsed>,
    {
        let limit = limit.into();
        // It has not been polled, so there is no attempt that would be moved.
        let Retry { schedule, mut operation, hooks, settings, .. } = self;
        let operation = move || TimedAttempt { attempt: timeout(limit, operation()) };
        Retry { schedule, operation, hooks, settings, made: 0, start: None, step: RetryStep::Due }
    }

    /// Makes at most `attempts` attempts, the first one included.
    ///
    /// The counterpart of tenacity's `stop_after_attempt`.
    ///
    /// # Panics
    ///
    /// Panics if `attempts` is 0.
    #[track_caller]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        assert!(attempts > 0, "a retry with a maximum of 0 attempts would never make one");
        self.settings.attempts = attempts;
        self
    }

    /// Plans no attempt for when `elapsed` has passed since the first one began.
    ///
    /// It starts no wait that would end later, and cuts no attempt short. After a wait that ends
    /// late, because the task was not polled in time, there is an attempt. To limit the attempts as
    /// well, await the retry in a [`timeout`](crate::timeout). The counterpart of tenacity's
    /// `stop_before_delay`.
    pub fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.settings.elapsed = Some(elapsed);
        self
    }

    /// Waits a random part of each of the schedule's durations.
    ///
    /// Otherwise clients that failed together come back together. All parts have the same chance,
    /// which is called full jitter. In a [simulation](crate::runtimes) the seed chooses one of a
    /// few equal steps. The builders of `backon` have a jitter of their own, which depends on no
    /// seed of the simulation. The counterpart of tenacity's `wait_random_exponential`.
    pub fn jitter(mut self) -> Self {
        self.settings.jitter = true;
        self
    }

    /// Shares `budget` with other calls, and makes no other attempt while it allows none.
    ///
    /// Each success is recorded in it, and each failure that is worth another attempt.
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.settings.budget = Some(budget.clone());
        self
    }

    /// Returns a future whose error also says why there was no other attempt.
    ///
    /// # Errors
    ///
    /// Returns a [`RetryError`], which contains the error of the last attempt.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let call = foster::retry([], async || Err::<(), _>("unavailable"));
    /// let refused = call.outcome().await.unwrap_err();
    /// assert!(refused.is_exhausted());
    /// let text = "unavailable (attempt 1 was the last one, since the schedule has ended)";
    /// assert_eq!(refused.to_string(), text);
    /// # });
    /// ```
    pub fn outcome(self) -> RetryOutcome<I, F, Fut, H> {
        RetryOutcome { retry: self }
    }

    // It has not been polled, so there is no attempt that would be moved.
    fn map_hooks<G>(self, map: impl FnOnce(H) -> G) -> Retry<I, F, Fut, G> {
        let Retry { schedule, operation, hooks, settings, .. } = self;
        Retry { schedule, operation, hooks: map(hooks), settings, made: 0, start: None, step: RetryStep::Due }
    }

    #[inline]
    fn poll_outcome(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, RetryError<E>>> {
        loop {
            let mut this = self.as_mut().project();
            let result = match this.step.as_mut().project() {
                // The wait has ended late. Whoever set the deadline has its turn first.
                StepProjection::Due if *this.made > 0 && context::with(Ambient::is_late) => {
                    this.step.set(RetryStep::Wait { sleep: sleep(LATE) });
                    continue;
                }
                StepProjection::Due => {
                    self.as_mut().begin();
                    continue;
                }
                StepProjection::Attempt { attempt } => ready!(attempt.poll(cx)),
                // No attempt begins in a cancelled region.
                StepProjection::Wait { .. } if context::with(|ambient| ambient.is_tripped()) => return Poll::Pending,
                StepProjection::Wait { sleep } => {
                    ready!(sleep.poll(cx));
                    this.step.set(RetryStep::Due);
                    continue;
                }
                StepProjection::Completed => panic!("a future was polled after it had completed"),
            };
            // The attempt is gone before the closures see its error.
            this.step.set(RetryStep::Completed);
            let error = match result {
                Ok(value) => {
                    this.settings.budget.as_ref().inspect(|budget| budget.record_success());
                    return Poll::Ready(Ok(value));
                }
                Err(error) => error,
            };
            match self.as_mut().decide(&error) {
                Ok(wait) => {
                    let mut this = self.as_mut().project();
                    this.hooks.notify(&error, wait);
                    this.step.set(RetryStep::Wait { sleep: sleep(wait) });
                }
                Err(why) => return Poll::Ready(Err(RetryError { error, attempts: self.made, why })),
            }
        }
    }

    #[inline]
    fn begin(self: Pin<&mut Self>) {
        let mut this = self.project();
        if *this.made == 0 && this.settings.elapsed.is_some() {
            *this.start = Some(now());
        }
        *this.made = this.made.saturating_add(1);
        let attempt = (this.operation)();
        this.step.set(RetryStep::Attempt { attempt });
    }

    /// Decides how long the next attempt has to wait, or why there is none.
    #[cold]
    fn decide(self: Pin<&mut Self>, error: &E) -> Result<Duration, RetryEnd> {
        let this = self.project();
        if !this.hooks.retries(error) {
            return Err(RetryEnd::Refused);
        }
        // A last attempt that fails is a failure of the server like any other, and counts.
        if this.settings.budget.as_ref().is_some_and(|budget| !budget.record_failure()) {
            return Err(RetryEnd::Budget);
        }
        if *this.made >= this.settings.attempts {
            return Err(RetryEnd::Attempts);
        }
        let scheduled = this.schedule.next().ok_or(RetryEnd::Schedule)?;
        let at_least = this.hooks.after(error).unwrap_or_default();
        let wait = if this.settings.jitter {
            at_least.saturating_add(jitter::up_to(scheduled))
        } else {
            at_least.max(scheduled)
        };
        let last = this.start.zip(this.settings.elapsed).and_then(|(start, elapsed)| start.checked_add(elapsed));
        allow(wait, last)
    }
}

/// Returns the wait, unless what comes after it must not begin then. `last` is the end of the time
/// that was allowed.
fn allow(wait: Duration, last: Option<Instant>) -> Result<Duration, RetryEnd> {
    context::with(|ambient| {
        if ambient.is_tripped() {
            return Err(RetryEnd::Cancelled);
        }
        let deadline = ambient.deadline();
        if deadline.is_none() && last.is_none() {
            return Ok(wait);
        }
        // `None` is later than any deadline.
        let end = ambient.now().checked_add(wait);
        let is_too_late = |limit: Option<Instant>| limit.is_some_and(|limit| end.is_none_or(|end| end >= limit));
        match () {
            () if is_too_late(deadline) => Err(RetryEnd::Deadline { wait }),
            () if is_too_late(last) => Err(RetryEnd::Elapsed),
            () => Ok(wait),
        }
    })
}

impl<I, F, Fut, T, E, H> Future for Retry<I, F, Fut, H>
where
    I: Iterator<Item = Duration>,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    H: Hooks<E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.poll_outcome(cx).map_err(RetryError::into_error)
    }
}

impl<I, F, Fut, H> fmt::Debug for Retry<I, F, Fut, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("attempts", &self.made).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`Retry::outcome`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryOutcome<I, F, Fut, H = ()> {
        #[pin]
        retry: Retry<I, F, Fut, H>,
    }
}

impl<I, F, Fut, T, E, H> Future for RetryOutcome<I, F, Fut, H>
where
    I: Iterator<Item = Duration>,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    H: Hooks<E>,
{
    type Output = Result<T, RetryError<E>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().retry.poll_outcome(cx)
    }
}

impl<I, F, Fut, H> fmt::Debug for RetryOutcome<I, F, Fut, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryOutcome").field("attempts", &self.retry.made).finish_non_exhaustive()
    }
}
