//! Sleeps, deadlines and timeouts, on the clock of the runtime in force.
//!
//! Nothing here belongs to one runtime. The clock and the timers are found where a future is
//! polled:
//!
//! - Inside [`Handle::run`](crate::Handle::run), [`Handle::enter`](crate::Handle::enter) or a child
//!   that a runtime runs, they are those of that runtime.
//! - Under [`Sim`](crate::runtimes), time is virtual.
//! - Outside of these, on a thread of tokio and with the feature `tokio`, they are tokio's.
//! - Elsewhere, the clock is the system's, and the thread of `futures-timer` wakes the sleepers.
//!
//! | asyncio | Trio | tokio | here |
//! |---|---|---|---|
//! | `sleep` | `sleep` | `time::sleep` | [`sleep`] |
//! | `wait_for`, `timeout` | `fail_after` | `time::timeout` | [`timeout`] |
//! | `timeout_at` | `fail_at` | `time::timeout_at` | [`timeout_at`] |
//! | `Timeout.reschedule` | `CancelScope.deadline = …` | – | [`Deadline`] |
//! | `Timeout.when` | `current_effective_deadline` | – | [`deadline`], [`remaining`] |
//! | – | `sleep_until` | `time::sleep_until` | [`sleep_until`] |
//! | – | – | `time::interval` | [`interval`] |
//! | `sleep(0)` | `checkpoint` | `task::yield_now` | [`yield_now`] |

mod deadline;
mod interval;
mod sleep;
mod timeout;
mod timeout_detach;
mod yield_now;

use std::time::Duration;

pub use deadline::{Deadline, DeadlineOver};
pub use interval::{Interval, MissedTick, Tick, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
pub use timeout_detach::{TimeoutDetach, timeout_detach};
pub use yield_now::{YieldNow, yield_now};

use crate::context;
use crate::runtime::Instant;

/// Returns the present instant on the clock of the runtime in force.
///
/// Under [`Sim`](crate::runtimes) the instant is virtual. Use this, not `Instant::now()`, when you
/// compare it with an instant of [`sleep_until`], [`timeout_at`] or [`deadline`]. The counterpart
/// of asyncio's `loop.time()` and of Trio's `current_time()`.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     let start = foster::now();
///     foster::sleep(std::time::Duration::from_secs(60)).await;
///     assert_eq!((foster::now() - start).as_secs(), 60);
/// });
/// ```
pub fn now() -> Instant {
    context::with(|ambient| ambient.now())
}

/// Returns the effective deadline: the earliest one of the enclosing timeouts.
///
/// A [`shield`](crate::shield) hides the timeouts that enclose it. Returns `None` where no timeout
/// applies. The counterpart of Trio's `current_effective_deadline`.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{deadline, timeout};
/// use std::time::Duration;
///
/// assert!(deadline().is_none());
/// assert!(timeout(Duration::from_secs(1), async { deadline().is_some() }).await.unwrap());
/// assert!(timeout(Duration::MAX, async { deadline().is_none() }).await.unwrap());
/// # });
/// ```
pub fn deadline() -> Option<Instant> {
    context::with(|ambient| ambient.deadline())
}

/// Returns the time that is left until the effective [`deadline`].
///
/// Returns zero once the deadline has passed, and `None` where there is none. Send it along with a
/// request, so that the server does no work for which its client no longer waits.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{remaining, sleep, timeout};
///     use std::time::Duration;
///
///     let second = Duration::from_secs(1);
///     let left = timeout(5 * second, async {
///         sleep(2 * second).await;
///         timeout(60 * second, async { remaining() }).await
///     });
///     assert_eq!(left.await, Ok(Ok(Some(3 * second))), "the nearest end counts");
/// });
/// ```
pub fn remaining() -> Option<Duration> {
    context::with(|ambient| Some(ambient.deadline()?.saturating_duration_since(ambient.now())))
}
