//! Sleeps for a while, or until an instant.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::context;
use crate::runtime::{Instant, Timer};
use crate::trace::tree;

/// Waits for `duration`.
///
/// The time counts from the first poll, as for [`timeout`](crate::timeout). tokio counts from the
/// call instead. Only the first poll knows which clock applies, because a sleep may be made outside
/// the runtime that runs it. To count from the call, write `sleep_until(now() + duration)`.
///
/// [`Duration::MAX`] waits for ever, and zero yields once. The timer is that of the
/// [runtime in force](crate::Handle::try_current). Where there is none, the thread of
/// `futures-timer` fires it. A sleep that has completed is ready whenever it is polled again, until
/// it is [reset](Sleep::reset). The counterpart of `asyncio.sleep`, `trio.sleep` and
/// `tokio::time::sleep`.
///
/// # Cancellation
///
/// Dropping the future drops the timer. A sleep that is first polled in a cancelled region does not
/// start.
///
/// # Cost
///
/// The timers of tokio, and of a sleep without end, need no allocation. All others do.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     let start = foster::now();
///     foster::sleep(std::time::Duration::from_secs(3600)).await;
///     assert_eq!(start.elapsed().as_secs(), 0, "virtual time");
///     assert_eq!((foster::now() - start).as_secs(), 3600);
/// });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(Until::After(duration))
}

/// Waits until `at`, an instant of the clock that [`now`](crate::now) reads.
///
/// An instant that has passed yields once. For a regular rhythm without drift use
/// [`interval`](crate::interval). The counterpart of `trio.sleep_until` and
/// `tokio::time::sleep_until`.
///
/// # Cancellation
///
/// As for [`sleep`].
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{now, sleep, sleep_until};
///     use std::time::Duration;
///
///     let (start, second) = (now(), Duration::from_secs(1));
///     sleep(3 * second).await;                  // what the work takes does not add up
///     sleep_until(start + 10 * second).await;
///     assert_eq!(now() - start, 10 * second);
/// });
/// ```
pub fn sleep_until(at: Instant) -> Sleep {
    Sleep::new(Until::At(at))
}

impl Sleep {
    fn new(until: Until) -> Self {
        Sleep { until, timer: None, armed: false }
    }

    /// Moves the end of the sleep to `at`, before or after it has completed.
    ///
    /// Poll the sleep again after this, since nothing is woken. The timers of tokio, smol and
    /// `futures-timer` are moved in place, without an allocation. The counterpart of the method of
    /// tokio's `Sleep`.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{now, sleep};
    ///     use std::{pin::pin, time::Duration};
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let mut idle = pin!(sleep(10 * second));
    ///     idle.as_mut().reset(start + 3 * second);
    ///     idle.as_mut().await;
    ///     assert_eq!(now() - start, 3 * second);
    ///     idle.as_mut().reset(start + 5 * second);
    ///     idle.await;
    ///     assert_eq!(now() - start, 5 * second);
    /// });
    /// ```
    pub fn reset(self: Pin<&mut Self>, at: Instant) {
        let this = self.project();
        *this.until = Until::At(at);
        *this.armed = false;
    }

    /// Counts the duration from now, instead of from the first poll.
    pub(crate) fn start(&mut self) {
        if let Until::After(duration) = self.until {
            let at = context::with(|ambient| ambient.now().checked_add(duration));
            self.until = at.map_or(Until::After(Duration::MAX), Until::At);
        }
    }
}

/// When a sleep ends.
#[derive(Clone, Copy, Debug)]
enum Until {
    After(Duration),
    At(Instant),
    /// The instant has come. It had come before the first poll, which yielded, or the sleep has
    /// completed.
    Completed,
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::After(Duration::MAX) => f.write_str("sleep without end"),
            Until::After(duration) => write!(f, "sleep of {duration:?}"),
            Until::At(_) => f.write_str("sleep until an instant"),
            Until::Completed => f.write_str("completed sleep"),
        }
    }
}

pin_project! {
    /// The future of [`sleep`] and [`sleep_until`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Sleep {
        until: Until,
        // Made by the first poll that has to wait, because that poll knows the clock. Kept for
        // `reset`.
        #[pin]
        timer: Option<Timer>,
        // Whether the timer is set to `until`. False before the first poll, and after a `reset`.
        armed: bool,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if !*this.armed {
            let armed = context::with(|ambient| {
                if matches!(this.until, Until::Completed) {
                    return Err(Poll::Ready(()));
                }
                if ambient.is_tripped() {
                    return Err(Poll::Pending);
                }
                let now = ambient.now();
                let at = match *this.until {
                    Until::Completed => unreachable!("it has returned"),
                    Until::After(duration) => now.checked_add(duration),
                    Until::At(at) => Some(at),
                };
                if at.is_some_and(|at| at <= now) {
                    *this.until = Until::Completed;
                    cx.waker().wake_by_ref();
                    tree::waiting(|| this.until.to_string());
                    return Err(Poll::Pending);
                }
                match (at, this.timer.as_mut().as_pin_mut()) {
                    (None, _) => this.timer.set(Some(Timer::never())),
                    (Some(at), None) => this.timer.set(Some(ambient.timer(at))),
                    (Some(at), Some(timer)) => ambient.reset(timer, at),
                }
                Ok(())
            });
            if let Err(polled) = armed {
                return polled;
            }
            *this.armed = true;
        }
        let polled = this.timer.as_mut().as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx));
        if polled.is_pending() {
            tree::waiting(|| this.until.to_string());
        } else {
            // Not every timer may be polled again after it has fired.
            *this.until = Until::Completed;
            *this.armed = false;
        }
        polled
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).finish_non_exhaustive()
    }
}
