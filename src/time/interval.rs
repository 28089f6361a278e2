//! Ticks at regular instants.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::stream::{FusedStream, Stream};

use super::sleep::{Sleep, sleep_until};
use crate::context;
use crate::runtime::Instant;

/// Ticks at the first poll, and then once every `period`.
///
/// An interval whose ticks are late catches up at once, unless
/// [`missed_tick`](Interval::missed_tick) says otherwise. The counterpart of
/// `tokio::time::interval`.
///
/// # Panics
///
/// Panics if `period` is zero.
///
/// # Cost
///
/// One allocation, made by the first tick that waits and used by all later ones. The timers of
/// runtimes other than tokio allocate besides, as for [`sleep`](crate::sleep).
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     let mut every_minute = foster::interval(std::time::Duration::from_secs(60));
///     let first = every_minute.tick().await;
///     let second = every_minute.tick().await;
///     assert_eq!((second - first).as_secs(), 60);
/// });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    Interval::new(Next::AtOnce, period)
}

/// Ticks at `start`, and then once every `period`.
///
/// Otherwise this is like [`interval`]. The counterpart of `tokio::time::interval_at`.
///
/// # Panics
///
/// Panics if `period` is zero.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{interval_at, now};
///     use std::time::Duration;
///
///     let (start, minute) = (now(), Duration::from_secs(60));
///     let mut reports = interval_at(start + minute, minute);   // not at once
///     assert_eq!(reports.tick().await, start + minute);
/// });
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval::new(Next::At(start), period)
}

/// What an [`Interval`] does about the ticks that came due while nobody waited for them.
///
/// The variants are those of tokio's `MissedTickBehavior`. The example pauses for 3.5 periods after
/// the first tick:
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::MissedTick::{Burst, Delay, Skip};
///     use foster::{interval, sleep};
///     use std::time::Duration;
///
///     let second = Duration::from_secs(1);
///     for (missed, late) in [(Burst, 1.0), (Delay, 3.5), (Skip, 3.0)] {
///         let mut ticks = interval(second).missed_tick(missed);
///         let first = ticks.tick().await;
///         sleep(7 * second / 2).await;
///         assert_eq!(ticks.tick().await, first + second, "the late one");
///         assert_eq!(ticks.tick().await, first + second + second.mul_f64(late));
///     }
/// });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTick {
    /// Delivers the missed ticks one after the other, until the interval has caught up.
    #[default]
    Burst,
    /// Delivers the next tick a whole period after the late one. All later instants shift.
    Delay,
    /// Leaves the missed ticks out. The next one is due at the next multiple of the
    /// period from the start.
    Skip,
}

/// A sequence of ticks, made by [`interval`] or [`interval_at`].
///
/// It is also a stream that never ends, so `while let Some(at) = ticks.next().await` and the
/// operators of streams work on it.
#[derive(Debug)]
#[must_use = "an interval does nothing unless its ticks are waited for"]
pub struct Interval {
    next: Next,
    period: Duration,
    missed: MissedTick,
    /// Boxed, so that an interval can be moved between ticks. The first tick that waits makes
    /// it, and later ticks use it again.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether `sleep` has been set to the next tick.
    sleeping: bool,
}

/// When an interval ticks next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// At the first poll.
    AtOnce,
    At(Instant),
    /// The next tick lies beyond the range of the clock.
    Never,
}

impl From<Option<Instant>> for Next {
    fn from(at: Option<Instant>) -> Self {
        at.map_or(Next::Never, Next::At)
    }
}

impl Interval {
    #[track_caller]
    fn new(next: Next, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period of an interval must be above zero");
        Interval { next, period, missed: MissedTick::Burst, sleep: None, sleeping: false }
    }

    /// Sets what happens to missed ticks. The default is [`MissedTick::Burst`].
    pub fn missed_tick(mut self, missed: MissedTick) -> Self {
        self.missed = missed;
        self
    }

    /// Returns the time from one tick to the next.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// A tick that is late still yields to the executor once.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no tick.
    pub fn tick(&mut self) -> Tick<'_> {
        Tick { interval: self }
    }

    /// Moves the next tick to one period from now.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{interval, now, sleep};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let mut keep_alive = interval(10 * second);
    ///     keep_alive.tick().await;
    ///     sleep(4 * second).await;
    ///     keep_alive.reset();                       // something was sent
    ///     assert_eq!(keep_alive.tick().await, start + 14 * second);
    /// });
    /// ```
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Moves the next tick to `after` from now. Later ticks follow every period from there.
    pub fn reset_after(&mut self, after: Duration) {
        self.start_anew(context::with(|ambient| ambient.now().checked_add(after)));
    }

    /// Moves the next tick to `at`. Later ticks follow every period from there.
    pub fn reset_at(&mut self, at: Instant) {
        self.start_anew(Some(at));
    }

    /// Makes `at` the next tick, and leaves the timer to be reset by the next poll.
    fn start_anew(&mut self, at: Option<Instant>) {
        self.next = at.into();
        self.sleeping = false;
    }

    /// Polls for the next tick. For futures and streams that are written by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let due = match self.next {
            Next::AtOnce => context::with(|ambient| ambient.now()),
            Next::At(due) => {
                // A late tick yields here, as a sleep until a past instant does. So a loop that
                // cannot keep up with its interval still gives the others a turn.
                ready!(self.sleep_until(due).poll(cx));
                due
            }
            Next::Never => return Poll::Pending,
        };
        self.sleeping = false;
        let now = context::with(|ambient| ambient.now());
        self.next = self.after(due, now).into();
        Poll::Ready(due)
    }

    /// Returns the timer, set to `due`.
    fn sleep_until(&mut self, due: Instant) -> Pin<&mut Sleep> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if !self.sleeping {
            self.sleeping = true;
            sleep.as_mut().reset(due);
        }
        sleep.as_mut()
    }

    /// Returns the instant of the tick after the one at `due`, which was delivered at `now`.
    fn after(&self, due: Instant, now: Instant) -> Option<Instant> {
        let next = due.checked_add(self.period)?;
        if next > now {
            return Some(next);
        }
        match self.missed {
            MissedTick::Burst => Some(next),
            MissedTick::Delay => now.checked_add(self.period),
            MissedTick::Skip => {
                let late = (now - due).as_nanos() % self.period.as_nanos();
                // `late` is less than the period, so it fits into a `Duration` as the period does.
                let late = Duration::new((late / 1_000_000_000) as u64, (late % 1_000_000_000) as u32);
                now.checked_add(self.period - late)
            }
        }
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.poll_tick(cx).map(Some)
    }
}

impl FusedStream for Interval {
    fn is_terminated(&self) -> bool {
        false
    }
}

/// The future of [`Interval::tick`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Tick<'a> {
    interval: &'a mut Interval,
}

impl Future for Tick<'_> {
    type Output = Instant;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Instant> {
        self.interval.poll_tick(cx)
    }
}
