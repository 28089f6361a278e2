//! One timer type for all clocks.

use std::fmt;
use std::future::Future;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

#[cfg(any(feature = "tokio", feature = "smol"))]
use super::Instant;

type BoxedTimer = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// Completes once an instant on some [`Clock`](super::Clock) has come.
    ///
    /// The timers of known clocks are stored inline, so that tokio's cost no allocation. Others are
    /// boxed.
    #[must_use = "a timer does nothing unless polled"]
    pub struct Timer {
        #[pin]
        kind: TimerKind,
        // Some kinds are not `Unpin`. Which kinds exist depends on features, and a feature must not
        // take a trait away, so no timer is `Unpin`.
        #[pin]
        pinned: PhantomPinned,
    }
}

pin_project! {
    #[project = TimerKindProjection]
    enum TimerKind {
        Never,
        Thread { #[pin] delay: futures_timer::Delay },
        // It fires so many nanoseconds after the sleep has ended, which is 0 if it was not put off.
        // The runtime is the one that ends the sleep.
        Tokio { #[pin] sleep: TokioSleep, put_off: u64, runtime: TokioId },
        Smol { #[pin] timer: SmolTimer },
        // The mutex is never locked. It makes this `Sync` although the future need not be.
        Boxed { future: Mutex<BoxedTimer> },
    }
}

#[cfg(feature = "tokio")]
type TokioSleep = tokio::time::Sleep;
#[cfg(not(feature = "tokio"))]
type TokioSleep = std::future::Pending<()>;

#[cfg(feature = "tokio")]
type TokioId = tokio::runtime::Id;
#[cfg(not(feature = "tokio"))]
type TokioId = std::convert::Infallible;

#[cfg(feature = "smol")]
type SmolTimer = smol::Timer;
#[cfg(not(feature = "smol"))]
type SmolTimer = std::future::Pending<()>;

/// The longest duration that goes to `futures-timer`, which adds it to the present instant
/// unchecked. Beyond this, the sum may leave the clock's range.
const FAR: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

impl Timer {
    fn new(kind: TimerKind) -> Self {
        Timer { kind, pinned: PhantomPinned }
    }

    /// Creates a timer that never fires.
    pub fn never() -> Self {
        Timer::new(TimerKind::Never)
    }

    /// Creates a timer that fires when `future` is ready. The caller has made its one allocation.
    pub fn boxed(future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Self {
        Timer::new(TimerKind::Boxed { future: Mutex::new(future) })
    }

    /// Creates a timer on the thread of `futures-timer`, for a clock without timers of its own.
    ///
    /// # Cost
    ///
    /// One allocation. The thread starts with the first such timer of the process.
    pub fn thread(after: Duration) -> Self {
        if after > FAR {
            return Timer::never();
        }
        Timer::new(TimerKind::Thread { delay: futures_timer::Delay::new(after) })
    }

    /// Creates a timer of `runtime`, which the caller has entered.
    #[cfg(feature = "tokio")]
    pub(crate) fn tokio(at: Instant, runtime: &tokio::runtime::Handle) -> Self {
        Timer::new(TimerKind::Tokio { sleep: tokio::time::sleep_until(at.into()), put_off: 0, runtime: runtime.id() })
    }

    #[cfg(feature = "smol")]
    pub(crate) fn smol(timer: smol::Timer) -> Self {
        Timer::new(TimerKind::Smol { timer })
    }

    /// Whether a reset on the same clock moves it where it is, instead of making another one.
    #[cfg(feature = "hyper")]
    pub(crate) fn moves(&self) -> bool {
        matches!(self.kind, TimerKind::Thread { .. } | TimerKind::Tokio { .. } | TimerKind::Smol { .. })
    }

    /// Moves a timer of [`Timer::thread`] to `after` from now. Any other timer becomes one.
    ///
    /// For the [`reset`](super::Clock::reset) of a clock that uses these timers.
    pub fn reset_thread(mut self: Pin<&mut Self>, after: Duration) {
        match self.as_mut().project().kind.project() {
            TimerKindProjection::Thread { delay } if after <= FAR => delay.get_mut().reset(after),
            _ => self.set(Timer::thread(after)),
        }
    }

    /// Moves a timer of `here`, a tokio runtime. Returns false if this timer is another one. That
    /// of another runtime would fire only as long as somebody drives that one.
    ///
    /// A later instant is only noted, and the sleep is moved once it has ended. A timer that is put
    /// off again and again, such as that of an idle connection, seldom gets that far.
    #[cfg(feature = "tokio")]
    pub(crate) fn reset_tokio(self: Pin<&mut Self>, at: Instant, here: &tokio::runtime::Handle) -> bool {
        match self.project().kind.project() {
            TimerKindProjection::Tokio { sleep, put_off, runtime } if *runtime == here.id() => {
                let later = at.saturating_duration_since(sleep.deadline().into_std());
                *put_off = u64::try_from(later.as_nanos()).unwrap_or_default();
                if *put_off == 0 {
                    sleep.reset(at.into());
                }
                true
            }
            _ => false,
        }
    }

    /// Moves a timer of smol's. Returns false if this timer is another one.
    #[cfg(feature = "smol")]
    pub(crate) fn reset_smol(self: Pin<&mut Self>, at: Instant) -> bool {
        if let TimerKindProjection::Smol { timer } = self.project().kind.project() {
            timer.get_mut().set_at(at);
            return true;
        }
        false
    }
}

/// Polls tokio's sleep outside tokio's cooperative budget. A future that has used up the task's
/// budget would otherwise make every timer of the task look pending, a timeout's included.
#[cfg(feature = "tokio")]
fn poll_tokio(mut sleep: Pin<&mut TokioSleep>, put_off: &mut u64, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let polled = Pin::new(&mut tokio::task::coop::unconstrained(sleep.as_mut())).poll(cx);
        if polled.is_pending() || *put_off == 0 {
            return polled;
        }
        let at = sleep.deadline() + Duration::from_nanos(std::mem::take(put_off));
        sleep.as_mut().reset(at);
    }
}

#[cfg(not(feature = "tokio"))]
fn poll_tokio(sleep: Pin<&mut TokioSleep>, _: &mut u64, cx: &mut Context<'_>) -> Poll<()> {
    sleep.poll(cx)
}

impl Future for Timer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().kind.project() {
            TimerKindProjection::Never => Poll::Pending,
            TimerKindProjection::Thread { delay } => delay.poll(cx),
            TimerKindProjection::Tokio { sleep, put_off, .. } => poll_tokio(sleep, put_off, cx),
            TimerKindProjection::Smol { timer } => timer.poll(cx).map(drop),
            TimerKindProjection::Boxed { future } => {
                future.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
            }
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            TimerKind::Never => "Timer(never)",
            TimerKind::Thread { .. } => "Timer(futures-timer)",
            TimerKind::Tokio { .. } => "Timer(tokio)",
            TimerKind::Smol { .. } => "Timer(smol)",
            TimerKind::Boxed { .. } => "Timer(boxed)",
        })
    }
}
