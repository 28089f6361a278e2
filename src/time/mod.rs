//! Sleeping, deadlines and timeouts, on the clock of the runtime around.
//!
//! Nothing here belongs to a runtime. Inside [`Handle::run`](crate::Handle::run), [`Handle::enter`](crate::Handle::enter)
//! or a child that a runtime runs, time is that runtime's, with its native timers; under
//! [`Sim`](crate::runtimes) it is virtual. Outside of them, what is polled on a thread of tokio's uses tokio's timers, with the
//! feature `tokio`. Elsewhere time is the system's, and the thread of `futures-timer` wakes the sleepers.
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
mod yield_now;

use std::time::Duration;

pub use deadline::{Deadline, DeadlineOver};
pub use interval::{Interval, MissedTick, Tick, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, TimeoutDetach, timeout, timeout_at, timeout_detach};
pub use yield_now::{YieldNow, yield_now};

use crate::context;
use crate::runtime::Instant;

/// The present instant on the clock of the runtime around: the virtual one under [`Sim`](crate::runtimes).
///
/// The counterpart of asyncio's `loop.time()` and of Trio's `current_time()`.
///
/// Not `Instant::now()`, where instants are to be compared with those of [`sleep_until`], [`timeout_at`] or [`deadline`].
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

/// The effective deadline of what is running: the earliest of the timeouts around, up to the nearest shield.
///
/// `None` where there is none. The counterpart of Trio's `current_effective_deadline`.
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

/// How long it is until the effective [`deadline`]: zero once it has passed, `None` where there is none.
///
/// To be sent along with a request: a server that knows how long its client waits does no work that nobody waits for.
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
