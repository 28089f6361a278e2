//! Waiting for an instant.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::context;
use crate::runtime::Timer;
use crate::tree;

/// Waits for `duration`, counted from the first poll. [`Duration::MAX`] waits for ever; zero yields once.
///
/// The counterpart of `asyncio.sleep`, `trio.sleep` and `tokio::time::sleep`.
///
/// # Cancellation
///
/// Dropping it drops the timer. In a region that is being wound down it does not start.
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
    Sleep { until: Until::After(duration), timer: None }
}

/// Waits until `at`, an instant of the clock that [`now`](crate::now) reads. One that has passed yields once.
///
/// For a rhythm without drift there is [`interval`](crate::interval). The counterpart of `trio.sleep_until` and
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
    Sleep { until: Until::At(at), timer: None }
}

impl Sleep {
    /// Counts from now on, and not from the first poll.
    pub(crate) fn start(&mut self) {
        if let Until::After(duration) = self.until {
            let at = context::with(|ambient| ambient.now().checked_add(duration));
            self.until = at.map_or(Until::After(Duration::MAX), Until::At);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Until {
    After(Duration),
    At(Instant),
    /// The instant had come at the first poll, which yielded.
    Yielded,
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Until::After(Duration::MAX) => f.write_str("sleep without end"),
            Until::After(duration) => write!(f, "sleep of {duration:?}"),
            Until::At(_) => f.write_str("sleep until an instant"),
            Until::Yielded => f.write_str("sleep that is over"),
        }
    }
}

pin_project! {
    /// The future of [`sleep`] and [`sleep_until`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Sleep {
        until: Until,
        // Made by the first poll, which knows the clock.
        #[pin]
        timer: Option<Timer>,
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.timer.is_none() {
            let timer = context::with(|ambient| {
                let begun = matches!(this.until, Until::Yielded);
                if !begun && ambient.is_tripped() {
                    return Err(Poll::Pending);
                }
                let now = ambient.now();
                let at = match *this.until {
                    Until::Yielded => return Err(Poll::Ready(())),
                    Until::After(duration) => now.checked_add(duration),
                    Until::At(at) => Some(at),
                };
                if at.is_some_and(|at| at <= now) {
                    *this.until = Until::Yielded;
                    cx.waker().wake_by_ref();
                    tree::waiting(|| this.until.to_string());
                    return Err(Poll::Pending);
                }
                Ok(at.map_or_else(Timer::never, |at| ambient.timer(at)))
            });
            match timer {
                Ok(timer) => this.timer.set(Some(timer)),
                Err(polled) => return polled,
            }
        }
        let polled = this.timer.as_mut().as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx));
        if polled.is_pending() {
            tree::waiting(|| this.until.to_string());
        }
        polled
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("until", &self.until).finish_non_exhaustive()
    }
}
