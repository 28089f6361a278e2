//! A limit on what is done at the same time, which finds out by itself how much that may be.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::atomics::ShortLock;
use crate::runtime::Instant;
use crate::sync::{Acquire, Permit, Semaphore, Statistics, TryAcquireError};
use crate::time::now;

/// After an overload so much of the limit is left, in percent.
const KEPT: u32 = 75;

/// Limits what is done at the same time, by a limit that grows with successes and is cut by
/// overloads.
///
/// Nobody knows in advance how many calls at once a service takes, and the number changes. So each
/// caller says how its call ended, and the limit follows:
///
/// - It begins with the minimum. Until the first overload, each success adds one. So while calls
///   wait for it, the limit doubles in each round.
/// - After that, as many successes as the limit is add one.
/// - A success counts only while more than half of the limit is in use. A limit that nobody reaches
///   does not grow.
/// - An overload leaves 75 % of the limit, or [another part](AdaptiveLimit::cut_to). Calls that
///   were under way at that time do not cut it again, since they all tell of the same overload.
///
/// This is the AIMD of TCP, in whole numbers. The counterpart of the `AIMDLimit` of Netflix's
/// concurrency-limits.
///
/// # Overloads
///
/// The caller says what an overload is: a timeout, a "503 Service Unavailable", a full queue. With
/// [`slow_after`](AdaptiveLimit::slow_after) a call that succeeds late is one, too. An error that
/// says nothing about the load is neither, and its permit is just dropped. So is the permit of a
/// call that is cancelled.
///
/// # Turns
///
/// Waiters have their turn as in a [`Semaphore`]. When the limit is cut, calls that are under way
/// go on, and nobody new begins until there are fewer than the new limit.
///
/// # Cost
///
/// That of a semaphore, and a short lock when a permit is given out and when it comes back.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::rate::AdaptiveLimit;
///
/// let limit = AdaptiveLimit::new(1, 100);
/// for _ in 0..4 {
///     let calls: Vec<_> = (0..limit.limit()).map(|_| limit.try_acquire().unwrap()).collect();
///     calls.into_iter().for_each(|call| call.success());
/// }
/// assert_eq!(limit.limit(), 6, "the last of each round have found less than half of it in use");
/// limit.acquire().await.overload();
/// assert_eq!(limit.limit(), 4);
/// # });
/// ```
pub struct AdaptiveLimit {
    min: usize,
    max: usize,
    kept: u32,
    slow_after: Option<Duration>,
    /// Its lock is released before the semaphore follows, because that wakes those who wait.
    state: ShortLock<AdaptiveState>,
    semaphore: Semaphore,
}

/// What the calls have taught.
#[derive(Debug)]
struct AdaptiveState {
    limit: usize,
    /// How many permits are given out. It may exceed the limit after a cut.
    in_use: usize,
    /// How many successes have counted since the limit last changed.
    successes: usize,
    /// How often the limit was cut. A permit has that of the moment at which it was given out.
    cuts: u64,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PermitOutcome {
    Success,
    Overload,
    Ignored,
}

impl AdaptiveLimit {
    /// Creates a limit that is never less than `min` and never more than `max`, and begins with
    /// `min`.
    ///
    /// # Panics
    ///
    /// Panics if `min` is zero or exceeds `max`, or if `max` exceeds
    /// [`Semaphore::MAX_PERMITS`].
    #[track_caller]
    pub fn new(min: usize, max: usize) -> Self {
        assert!(min > 0, "an adaptive limit with a minimum of 0 could let nobody through for ever");
        assert!(min <= max, "the minimum of an adaptive limit is at most its maximum");
        assert!(max <= Semaphore::MAX_PERMITS, "an adaptive limit is at most `Semaphore::MAX_PERMITS`");
        let state = ShortLock::new(AdaptiveState { limit: min, in_use: 0, successes: 0, cuts: 0 });
        AdaptiveLimit { min, max, kept: KEPT, slow_after: None, state, semaphore: Semaphore::new(min) }
    }

    /// Leaves `percent` of the limit after an overload, rounded down, and at least the minimum.
    ///
    /// # Panics
    ///
    /// Panics if `percent` is 100 or more.
    #[track_caller]
    pub fn cut_to(mut self, percent: u32) -> Self {
        assert!(percent < 100, "an overload that leaves 100 percent of the limit would cut nothing");
        self.kept = percent;
        self
    }

    /// Counts a call as an overload if it succeeds later than `latency` after it got its permit.
    ///
    /// Then the clock of the runtime in force is read for each call.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{rate::AdaptiveLimit, sleep};
    ///     use std::time::Duration;
    ///
    ///     let limit = AdaptiveLimit::new(1, 8).slow_after(Duration::from_millis(100));
    ///     limit.acquire().await.success();
    ///     assert_eq!(limit.limit(), 2);
    ///     let slow = limit.acquire().await;
    ///     sleep(Duration::from_millis(101)).await;
    ///     slow.success();
    ///     assert_eq!(limit.limit(), 1);
    /// });
    /// ```
    pub fn slow_after(mut self, latency: Duration) -> Self {
        self.slow_after = Some(latency);
        self
    }

    /// Waits until it has its turn, and fewer calls are under way than the limit.
    ///
    /// # Cancellation
    ///
    /// As for [`Semaphore::acquire`].
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn acquire(&self) -> AcquireAdaptive<'_> {
        AcquireAdaptive { limit: self, acquire: self.semaphore.acquire(1) }
    }

    /// Returns a permit, if fewer calls are under way than the limit, and nobody waits.
    ///
    /// # Errors
    ///
    /// Returns an error if not. For a server that sheds load, this is the moment to answer
    /// "503 Service Unavailable".
    pub fn try_acquire(&self) -> Result<AdaptivePermit<'_>, TryAcquireError> {
        Ok(self.begin(self.semaphore.try_acquire(1)?))
    }

    /// Returns what the limit is now.
    pub fn limit(&self) -> usize {
        self.state.lock().limit
    }

    /// Returns how many permits are in use and how many futures wait.
    pub fn statistics(&self) -> Statistics {
        self.semaphore.statistics()
    }

    fn begin<'a>(&'a self, permit: Permit<'a>) -> AdaptivePermit<'a> {
        let since = self.slow_after.map(|_| now());
        let cuts = {
            let mut state = self.state.lock();
            state.in_use += 1;
            state.cuts
        };
        AdaptivePermit { limit: self, cuts, since, ended: PermitOutcome::Ignored, _permit: permit }
    }

    fn end(&self, cuts: u64, ended: PermitOutcome) {
        let changed = self.state.lock().end(self, cuts, ended);
        if let Some(limit) = changed {
            self.follow(limit);
        }
    }

    /// Gives the semaphore the limit. If others change it meanwhile, whoever comes last with what
    /// is out of date sees that it is, and does it again.
    fn follow(&self, mut limit: usize) {
        loop {
            self.semaphore.resize(limit);
            let now = self.limit();
            if now == limit {
                return;
            }
            limit = now;
        }
    }
}

impl AdaptiveState {
    /// Ends a call. Returns the limit if it has changed.
    fn end(&mut self, settings: &AdaptiveLimit, cuts: u64, ended: PermitOutcome) -> Option<usize> {
        let is_used = self.in_use > self.limit / 2;
        self.in_use -= 1;
        let before = self.limit;
        match ended {
            PermitOutcome::Success if is_used && before < settings.max => {
                self.successes += 1;
                if self.cuts == 0 || self.successes >= before {
                    self.set(before + 1);
                }
            }
            PermitOutcome::Overload if cuts == self.cuts => {
                self.cuts += 1;
                // It is at least one less, because the part that is left is rounded down.
                self.set(percent(before, settings.kept).max(settings.min));
            }
            PermitOutcome::Success | PermitOutcome::Overload | PermitOutcome::Ignored => {}
        }
        (self.limit != before).then_some(self.limit)
    }

    fn set(&mut self, limit: usize) {
        self.limit = limit;
        self.successes = 0;
    }
}

/// So many percent of a number that may be large, rounded down.
fn percent(of: usize, percent: u32) -> usize {
    let percent = percent as usize;
    of / 100 * percent + of % 100 * percent / 100
}

impl fmt::Debug for AdaptiveLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptiveLimit")
            .field("limit", &self.limit())
            .field("min", &self.min)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// The future of [`AdaptiveLimit::acquire`].
#[must_use = "futures do nothing unless polled"]
pub struct AcquireAdaptive<'a> {
    limit: &'a AdaptiveLimit,
    acquire: Acquire<'a>,
}

impl<'a> Future for AcquireAdaptive<'a> {
    type Output = AdaptivePermit<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AdaptivePermit<'a>> {
        let limit = self.limit;
        Pin::new(&mut self.acquire)
            .poll(cx)
            .map(|permit| limit.begin(permit.expect("nobody closes it, and it has one permit at least")))
    }
}

impl fmt::Debug for AcquireAdaptive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireAdaptive").finish_non_exhaustive()
    }
}

/// The right to make one call, from an [`AdaptiveLimit`].
///
/// Dropping it gives it back, and says nothing about the load.
#[must_use = "a permit that is dropped says nothing about the load"]
pub struct AdaptivePermit<'a> {
    limit: &'a AdaptiveLimit,
    cuts: u64,
    /// When it was given out, if the latency counts.
    since: Option<Instant>,
    ended: PermitOutcome,
    // It is given back after the semaphore has the new limit, so that a cut lets nobody in.
    _permit: Permit<'a>,
}

impl AdaptivePermit<'_> {
    /// Counts the call as one that has succeeded, unless it was [slow](AdaptiveLimit::slow_after).
    pub fn success(mut self) {
        let took = self.since.map(|since| now().saturating_duration_since(since));
        let is_slow = took > self.limit.slow_after;
        self.ended = if is_slow { PermitOutcome::Overload } else { PermitOutcome::Success };
    }

    /// Counts the call as one that was too much.
    pub fn overload(mut self) {
        self.ended = PermitOutcome::Overload;
    }
}

impl Drop for AdaptivePermit<'_> {
    fn drop(&mut self) {
        self.limit.end(self.cuts, self.ended);
    }
}

impl fmt::Debug for AdaptivePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdaptivePermit").finish_non_exhaustive()
    }
}
