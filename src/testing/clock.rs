//! Waits for a simulation to make progress.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::runtimes::sim;
use crate::time::sleep;

/// Waits until nothing else is ready, without moving the clock.
///
/// Everybody else then waits for a timer, or for the caller. Blocking jobs have run, except for
/// those that [`late_blocking`](crate::runtimes::sim::Faults::late_blocking) keeps until a timer.
/// Use it in tests under [`Sim`](crate::runtimes::Sim), instead of a sleep that may or may not be
/// long enough.
///
/// # Panics
///
/// Panics if it is polled outside a simulation.
///
/// ```
/// use foster::{runtimes::Sim, testing::settle};
/// use std::{cell::Cell, time::Duration};
///
/// Sim::new(1).run(foster::local::scope(async |s| {
///     let steps = std::rc::Rc::new(Cell::new(0));
///     let count = steps.clone();
///     s.spawn(async move {
///         for _ in 0..10 {
///             foster::yield_now().await;
///             count.set(count.get() + 1);
///         }
///         foster::sleep(Duration::from_secs(1)).await;
///         count.set(100);
///     });
///     settle().await;
///     assert_eq!(steps.get(), 10);
/// }));
/// ```
pub fn settle() -> Settle {
    Settle { since: None }
}

/// The future of [`settle`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Settle {
    /// How often nothing had been ready when this was first polled.
    since: Option<u64>,
}

impl Future for Settle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(settled) = sim::settled(cx.waker()) else {
            panic!("`settle` was polled outside of a simulation: run the test in `Sim`, or with `explore`");
        };
        if *self.since.get_or_insert(settled) == settled { Poll::Pending } else { Poll::Ready(()) }
    }
}

/// Lets virtual time pass, runs everything that is due until then, and [settles](settle).
///
/// Time stops at each timer on the way, so ten ticks of a second happen during ten seconds. To jump
/// over them, as if this thread had been busy or the machine asleep, use
/// [`Sim::advance`](crate::runtimes::Sim::advance) on
/// [`Sim::current`](crate::runtimes::Sim::current)`()`.
///
/// # Panics
///
/// Panics if it is polled outside a simulation.
///
/// ```
/// use foster::{interval, runtimes::Sim, testing::advance};
/// use std::{cell::Cell, rc::Rc, time::Duration};
///
/// Sim::new(1).run(foster::local::scope(async |s| {
///     let ticks = Rc::new(Cell::new(0));
///     let count = ticks.clone();
///     let ticker = s.spawn(async move {
///         let mut interval = interval(Duration::from_secs(1));
///         loop {
///             interval.tick().await;
///             count.set(count.get() + 1);
///         }
///     });
///     advance(Duration::from_secs(10)).await;
///     assert_eq!(ticks.get(), 11, "the first tick is at once");
///     ticker.cancel();
/// }));
/// ```
pub async fn advance(by: Duration) {
    sleep(by).await;
    settle().await;
}
