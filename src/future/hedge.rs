//! Makes another attempt when the first one is slow.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::race::Race;
use crate::context::deadlines::LATE;
use crate::context::{self, Ambient};
use crate::engine::Many;
use crate::retry::budget::RetryBudget;
use crate::time::{Sleep, sleep};

/// Makes an attempt, makes another one whenever `delay` passes without a value, and returns the
/// first value.
///
/// It makes at most `max` attempts. When one has a value, the others are [wound
/// down](crate::cancel). `make` gets the number of the attempt, from 0. An `Err` is a value, too:
/// it ends the others, and makes no new attempt. So this is for servers that are slow, not for
/// servers that fail.
///
/// If one request in a hundred is slow, set `delay` to the time in which nineteen of twenty are
/// answered. The idea is from Dean and Barroso, "The Tail at Scale" (2013).
///
/// # Cancellation
///
/// Dropping this drops all attempts. After the first value, the others end as the losers of a
/// [`race`](crate::race) do.
///
/// # Panics
///
/// Panics if `max` is 0, since no attempt would ever be made.
///
/// # Cost
///
/// Attempts are not boxed. The first four share one allocation.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{future::hedge, sleep};
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let answer = hedge(second / 100, 2, async |attempt| {
///     sleep(if attempt == 0 { 1000 * second } else { second / 100 }).await;
///     attempt
/// });
/// assert_eq!(answer.await, 1);
/// # });
/// ```
#[track_caller]
pub fn hedge<F, Fut>(delay: Duration, max: usize, make: F) -> Hedge<F, Fut>
where
    F: FnMut(usize) -> Fut,
    Fut: Future,
{
    let max = NonZeroUsize::new(max).expect("hedge with a maximum of 0 attempts would never make one");
    Hedge { race: Race::empty(), make, delay, made: 0, max, budget: None, sleep: None }
}

pin_project! {
    /// The future of [`hedge`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Hedge<F, Fut: Future> {
        race: Race<Many, Fut>,
        make: F,
        delay: Duration,
        made: usize,
        max: NonZeroUsize,
        budget: Option<RetryBudget>,
        // Until the next attempt. `None` once the last one has been made.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F, Fut: Future> Hedge<F, Fut> {
    /// Makes another attempt only while `budget` allows one.
    ///
    /// When it allows none, there is no other attempt in this hedge. The first one is always made.
    /// A hedge does not know which values are failures, so it records nothing. Put it into a
    /// [`retry`](crate::retry()) that has the same budget.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{future::hedge, now, retry::RetryBudget, sleep};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let none = RetryBudget::new(0);
    ///     let attempt = async |n| sleep(9 * second / (n as u32 + 1)).await;
    ///     hedge(second, 2, attempt).budget(&none).await;
    ///     assert_eq!(now() - start, 9 * second);
    /// });
    /// ```
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }
}

impl<F, Fut> Future for Hedge<F, Fut>
where
    F: FnMut(usize) -> Fut,
    Fut: Future,
{
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fut::Output> {
        let mut this = self.project();
        loop {
            if *this.made > 0 {
                // First the attempts, then the clock, so that a value wins a tie.
                if let Poll::Ready(value) = Pin::new(&mut *this.race).poll(cx) {
                    return Poll::Ready(value);
                }
                // No attempt starts while the race or an enclosing region is being wound down.
                let winds_down = this.race.has_winner() || context::with(|ambient| ambient.is_tripped());
                match this.sleep.as_mut().as_pin_mut() {
                    Some(sleep) if !winds_down => ready!(sleep.poll(cx)),
                    _ => return Poll::Pending,
                }
                if context::with(Ambient::is_late) {
                    // The wait has ended late. Whoever set the deadline has its turn first.
                    this.sleep.set(Some(sleep(LATE)));
                    continue;
                }
                if this.budget.as_ref().is_some_and(|budget| !budget.allows_retry()) {
                    this.sleep.set(None);
                    return Poll::Pending;
                }
            }
            this.race.join((this.make)(*this.made));
            *this.made += 1;
            this.sleep.set((*this.made < this.max.get()).then(|| sleep(*this.delay)));
        }
    }
}

impl<F, Fut: Future> fmt::Debug for Hedge<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("made", &self.made).field("max", &self.max).finish_non_exhaustive()
    }
}
