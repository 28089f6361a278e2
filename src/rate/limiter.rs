//! A limit on how often something is done.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::bucket::{Bucket, LONGEST, Rate};
use super::error::{LimitedBy, RateLimited};
use crate::context;
use crate::engine::atomics::ShortLock;
use crate::runtime::Instant;
use crate::sync::{Acquire, Permit, Semaphore};
use crate::time::{Sleep, now, sleep, sleep_until};

/// Limits how often something is done: so many times in a period, and no more than a burst at once.
///
/// It holds up to `burst` tokens, and is full at the beginning. Tokens come back evenly, one each
/// `per / count`. So in any time `t`, no more than `burst + count · t / per` are handed out. That
/// is exact to the nanosecond at any rate, because no rate is rounded.
///
/// To limit what is done *at the same time*, use a [`Semaphore`]. The counterpart of `aiolimiter`'s
/// `AsyncLimiter` and of the crate `governor`.
///
/// # Turns
///
/// Waiters have their turn in the order in which their futures were first polled. Nobody overtakes,
/// not even by asking for less. Only the first one has a timer. It takes its tokens when they are
/// there, not before: a future that is dropped has nothing to give back, and those behind it move
/// up. If the first one belongs to a task that does not run for a while, all others wait for it.
///
/// # Runtimes
///
/// The clock is that of the runtime in force where it is used. Tasks of several threads may share
/// one, under the same clock.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{now, rate::RateLimiter};
///     use std::time::Duration;
///
///     let start = now();
///     let limiter = RateLimiter::new(10, Duration::from_secs(1));
///     for _ in 0..25 {
///         limiter.acquire(1).await.unwrap();
///         // fetch something
///     }
///     // Ten at once, and then one each tenth of a second.
///     assert_eq!(now() - start, Duration::from_millis(1_500));
/// });
/// ```
pub struct RateLimiter {
    rate: Rate,
    bucket: ShortLock<Bucket>,
    /// The right to wait for tokens, of which there is one. Who has it waits for its tokens, and
    /// all others wait for it. While nobody has it, tokens that are there are for whoever comes.
    turn: Semaphore,
}

impl RateLimiter {
    /// Creates a limiter that lets `count` pass in each period of `per`, and so many at once.
    ///
    /// # Panics
    ///
    /// Panics if `count` or `per` is zero, or if `per` is longer than 584 years.
    #[track_caller]
    pub fn new(count: u32, per: Duration) -> Self {
        Self::with_burst(count, per, count)
    }

    /// Creates a limiter that lets `count` pass in each period of `per`, and `burst` at once.
    ///
    /// With a burst of 1 they pass at equal distances, which are rounded up to whole nanoseconds.
    ///
    /// # Panics
    ///
    /// Panics if `count`, `per` or `burst` is zero, or if `per` is longer than 584 years.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{now, rate::RateLimiter};
    ///     use std::time::Duration;
    ///
    ///     let start = now();
    ///     let limiter = RateLimiter::with_burst(10, Duration::from_secs(1), 1);
    ///     for _ in 0..5 {
    ///         limiter.acquire(1).await.unwrap();
    ///     }
    ///     assert_eq!(now() - start, Duration::from_millis(400));
    /// });
    /// ```
    #[track_caller]
    pub fn with_burst(count: u32, per: Duration, burst: u32) -> Self {
        assert!(count > 0 && burst > 0, "a rate limiter with a rate or a burst of 0 would let nobody pass");
        assert!(!per.is_zero(), "a rate limiter with a period of zero would limit nothing");
        assert!(per <= LONGEST, "the period of a rate limiter is at most 2^64 nanoseconds");
        Self::of(Rate { count, period: per.as_nanos() as u64, burst })
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    pub(super) fn of(rate: Rate) -> Self {
        RateLimiter { rate, bucket: ShortLock::new(Bucket::full(rate)), turn: Semaphore::new(1) }
    }

    /// Waits until it has its turn and `count` tokens are there, and takes them.
    ///
    /// Zero tokens are taken in turn, too.
    ///
    /// # Errors
    ///
    /// Returns [`RateLimited`] at once if `count` is larger than the burst, since so many are never
    /// there. Returns it also if it has its turn, and its tokens would not come before the
    /// effective [deadline](crate::deadline). Then it takes none, and the next one has its turn.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses its place in the line, and takes no tokens. In a
    /// [cancelled region](crate::cancel#regions) it takes tokens that are there, and does not begin
    /// to wait.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    ///
    /// # Cost
    ///
    /// Where there are tokens, one look at the clock, and no allocation. Among those who wait, the
    /// first alone has a timer.
    pub fn acquire(&self, count: u32) -> AcquireRate<'_> {
        AcquireRate { limiter: self, count, stage: AcquireStage::Fresh, sleep: None }
    }

    /// Takes `count` tokens, if they are there and nobody waits.
    ///
    /// # Errors
    ///
    /// Returns [`RateLimited`] if not. It says when the tokens will be there, such as for the
    /// `Retry-After` of an answer.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::rate::RateLimiter;
    ///     use std::time::Duration;
    ///
    ///     let limiter = RateLimiter::new(1, Duration::from_secs(60));
    ///     assert!(limiter.try_acquire(1).is_ok());
    ///     let limited = limiter.try_acquire(1).unwrap_err();
    ///     assert_eq!(limited.wait(), Some(Duration::from_secs(60)));
    /// });
    /// ```
    pub fn try_acquire(&self, count: u32) -> Result<(), RateLimited> {
        self.check(count)?;
        if self.has_line() {
            return Err(RateLimited::new(count, LimitedBy::NotYet, None));
        }
        self.take(count).map_err(|wait| RateLimited::new(count, LimitedBy::NotYet, Some(wait)))
    }

    /// Lets nobody pass for `pause`, neither those who wait nor those who come.
    ///
    /// For a server that has answered "429 Too Many Requests". Tokens come back meanwhile, up to
    /// the burst. Of several pauses, the one counts that ends last. [`Duration::MAX`] pauses for
    /// ever.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{now, rate::RateLimiter};
    ///     use std::time::Duration;
    ///
    ///     let (start, limiter) = (now(), RateLimiter::new(10, Duration::from_secs(1)));
    ///     limiter.pause(Duration::from_secs(30));
    ///     limiter.acquire(1).await.unwrap();
    ///     assert_eq!(now() - start, Duration::from_secs(30));
    /// });
    /// ```
    pub fn pause(&self, pause: Duration) {
        let now = now();
        self.bucket.lock().pause(now, pause);
    }

    /// Returns how many whole tokens are there now.
    ///
    /// Those who wait may already have a claim to them.
    pub fn available(&self) -> u32 {
        let now = now();
        self.bucket.lock().tokens(self.rate, now)
    }

    /// Returns how many futures wait for tokens.
    pub fn waiting(&self) -> usize {
        let turns = self.turn.statistics();
        turns.in_use() + turns.waiting()
    }

    /// Returns whether it is as a new one, at `now`.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.bucket.lock().is_fresh(self.rate, now)
    }

    /// Whether anybody waits for tokens. Who begins to on another thread, as soon as this has
    /// returned, has come later than the one who asked.
    #[inline]
    fn has_line(&self) -> bool {
        self.turn.available() == 0
    }

    fn check(&self, count: u32) -> Result<(), RateLimited> {
        let is_too_many = count > self.rate.burst;
        if is_too_many { Err(RateLimited::new(count, LimitedBy::TooMany, None)) } else { Ok(()) }
    }

    /// Takes tokens, for one who has its turn. Returns how long it is until they are there.
    #[inline]
    fn take(&self, count: u32) -> Result<(), Duration> {
        // The clock may be code of the user, which runs under no lock.
        let now = now();
        self.bucket.lock().take(self.rate, count, now)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("rate", &self.rate)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`RateLimiter::acquire`].
    #[must_use = "futures do nothing unless polled"]
    pub struct AcquireRate<'a> {
        limiter: &'a RateLimiter,
        count: u32,
        stage: AcquireStage<'a>,
        // Of the first in the line. It is made once, and moved.
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// Where one is who asks for tokens.
enum AcquireStage<'a> {
    Fresh,
    InLine { turn: Acquire<'a> },
    First { _turn: Permit<'a> },
    Completed,
}

impl Future for AcquireRate<'_> {
    type Output = Result<(), RateLimited>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let AcquireRate { limiter, count, .. } = *self;
        let is_fresh = matches!(self.stage, AcquireStage::Fresh);
        if is_fresh && count <= limiter.rate.burst && !limiter.has_line() && limiter.take(count).is_ok() {
            *self.project().stage = AcquireStage::Completed;
            return Poll::Ready(Ok(()));
        }
        self.poll_slowly(cx)
    }
}

impl AcquireRate<'_> {
    fn poll_slowly(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), RateLimited>> {
        loop {
            let this = self.as_mut().project();
            let limiter = *this.limiter;
            match this.stage {
                AcquireStage::Fresh => {
                    if let Err(error) = limiter.check(*this.count) {
                        *this.stage = AcquireStage::Completed;
                        return Poll::Ready(Err(error));
                    }
                    *this.stage = AcquireStage::InLine { turn: limiter.turn.acquire(1) };
                }
                AcquireStage::InLine { turn } => {
                    let turn = ready!(Pin::new(turn).poll(cx)).expect("nobody closes it or takes its permit");
                    *this.stage = AcquireStage::First { _turn: turn };
                    if let Some(polled) = self.as_mut().take() {
                        return polled;
                    }
                }
                AcquireStage::First { .. } => {
                    let Some(sleep) = this.sleep.as_pin_mut() else { unreachable!("who waits has a timer") };
                    ready!(sleep.poll(cx));
                    if let Some(polled) = self.as_mut().take() {
                        return polled;
                    }
                }
                AcquireStage::Completed => panic!("a future was polled after it had completed"),
            }
        }
    }

    /// Takes the tokens of the first in the line, or sets the timer for them and returns `None`.
    fn take(self: Pin<&mut Self>) -> Option<Poll<Result<(), RateLimited>>> {
        let mut this = self.project();
        let mut next = AcquireStage::Completed;
        let polled = match this.limiter.take(*this.count) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(wait) => {
                let (at, deadline, is_tripped) = context::with(|ambient| {
                    (ambient.now().checked_add(wait), ambient.deadline(), ambient.is_tripped())
                });
                if is_tripped {
                    // It begins no wait, so it keeps nobody from theirs. It is told nothing either,
                    // because it waits to be dropped.
                    next = AcquireStage::Fresh;
                    Poll::Pending
                } else if deadline.is_some_and(|deadline| at.is_none_or(|at| at >= deadline)) {
                    Poll::Ready(Err(RateLimited::new(*this.count, LimitedBy::Deadline, Some(wait))))
                } else {
                    match (at, this.sleep.as_mut().as_pin_mut()) {
                        (Some(at), Some(sleep)) => sleep.reset(at),
                        (at, _) => this.sleep.set(Some(at.map_or_else(|| sleep(Duration::MAX), sleep_until))),
                    }
                    return None;
                }
            }
        };
        // The turn passes to the next one.
        *this.stage = next;
        Some(polled)
    }
}

impl fmt::Debug for AcquireRate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireRate").field("count", &self.count).finish_non_exhaustive()
    }
}
