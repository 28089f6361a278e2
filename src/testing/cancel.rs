//! Cancels a future at every point at which it can be cancelled.

use std::any::Any;
use std::env;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::clock::settle;
use crate::cancel::token::Token;
use crate::context;
use crate::panic;
use crate::runtimes::Sim;
use crate::trace::tree;

/// Drops a future at each of its suspensions, one run for each, and runs `check` after every run.
///
/// A future can be cancelled wherever it awaits something that is not ready, and hardly any test
/// does that. Here the first run drops the future at its first suspension, the second run at its
/// second one, and so on, until a run completes undisturbed. `check` runs after that one, too. It
/// should panic if something has leaked, or if the state is one that nobody should see.
///
/// Every run makes a new future by `future`, and has a [`Sim`] of its own with seed 0.
/// [`EveryAwait`] takes several seeds. What the dropped future left to the enclosing scope, such as
/// parallel children and adopted futures, has ended when `check` runs. A run fails if its future
/// hangs, before or after the drop, and if it leaves a task behind.
///
/// # Panics
///
/// Panics if a run fails. The message names the suspension, by its number and by what was being
/// waited for.
///
/// # Examples
///
/// ```
/// use foster::testing::{Drops, cancel_at_every_await};
/// use std::time::Duration;
///
/// let drops = Drops::new();
/// let report = cancel_at_every_await(
///     || async {
///         let _connection = drops.guard();
///         foster::sleep(Duration::from_secs(1)).await;
///         foster::yield_now().await;
///     },
///     || assert_eq!(drops.alive(), 0, "a connection has leaked"),
/// );
/// assert_eq!(report.suspensions(), ["sleep of 1s", "yield"]);
/// ```
///
/// The second example finds a transfer that loses money if it is dropped between its two halves:
///
/// ```
/// use foster::testing::EveryAwait;
/// use std::cell::Cell;
/// use std::time::Duration;
///
/// let (from, to) = (Cell::new(0), Cell::new(0));
/// let failure = EveryAwait::new().run(
///     || async {
///         from.set(5);
///         to.set(5);
///         from.set(from.get() - 1);
///         foster::sleep(Duration::from_secs(1)).await;
///         to.set(to.get() + 1);
///     },
///     || assert_eq!(from.get() + to.get(), 10, "money is lost"),
/// );
/// let failure = failure.unwrap_err();
/// assert_eq!((failure.suspension(), failure.waiting_for()), (Some(1), "sleep of 1s"));
/// assert!(failure.to_string().contains("money is lost"));
/// ```
#[track_caller]
pub fn cancel_at_every_await<F: Future>(future: impl FnMut() -> F, check: impl FnMut()) -> Report {
    match EveryAwait::new().run(future, check) {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

/// Sets up [`cancel_at_every_await`]: the seeds, the kind of cancellation and the limit.
///
/// ```
/// use foster::testing::EveryAwait;
///
/// const SECOND: std::time::Duration = std::time::Duration::from_secs(1);
/// // Cancels by foster's own protocol: finalizers and shields run to their end.
/// let closed = std::cell::Cell::new(0);
/// let report = EveryAwait::new().seeds(0..10).wind_down().run(
///     || async {
///         let close = async { foster::sleep(SECOND).await; closed.set(closed.get() + 1) };
///         foster::local::scope(async |s| {
///             s.defer(close);
///             foster::sleep(SECOND).await;
///         }).await;
///     },
///     || assert_eq!(closed.replace(0), 1, "the finalizer did not run, or ran twice"),
/// );
/// assert_eq!(report.unwrap().runs(), 30);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is run"]
pub struct EveryAwait {
    seeds: Range<u64>,
    wind_down: bool,
    limit: usize,
    replay: Option<usize>,
}

impl EveryAwait {
    /// Creates a test that drops the future, with seed 0 alone.
    ///
    /// The environment variables `FOSTER_SEED` and `FOSTER_SUSPENSION` replay one run. The message
    /// of a failure gives their values.
    pub fn new() -> Self {
        EveryAwait { seeds: 0..1, wind_down: false, limit: 1_000, replay: None }
    }

    /// Tests every suspension in the schedule of each of these seeds.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty, because nothing would be tested.
    #[track_caller]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        assert!(!seeds.is_empty(), "no seeds in {seeds:?}: nothing would be tested");
        self.seeds = seeds;
        self
    }

    /// Cancels by foster's own protocol instead of dropping, as a [`timeout`](crate::timeout) does.
    ///
    /// What needs time to end gets it, and the check runs afterwards.
    pub fn wind_down(mut self) -> Self {
        self.wind_down = true;
        self
    }

    /// Sets how many suspensions a run may have. The default is 1,000, and a future with more
    /// fails.
    pub fn limit(mut self, suspensions: usize) -> Self {
        self.limit = suspensions;
        self
    }

    /// Runs the test.
    ///
    /// # Errors
    ///
    /// Returns the first run that failed. A run fails if the future, one of its destructors or
    /// `check` panics, if it hangs, or if it leaves a task behind.
    pub fn run<F: Future>(
        self,
        mut future: impl FnMut() -> F,
        mut check: impl FnMut(),
    ) -> Result<Report, CancelFailure> {
        let this = self.replayed();
        let mut report = Report { runs: 0, suspensions: Vec::new() };
        for seed in this.seeds.clone() {
            this.run_seed(seed, &mut future, &mut check, &mut report)?;
        }
        Ok(report)
    }

    /// Applies the environment variables that replay one run.
    fn replayed(mut self) -> Self {
        if let Some(seed) = number("FOSTER_SEED") {
            self.seeds = seed..seed.saturating_add(1);
        }
        self.replay = number("FOSTER_SUSPENSION").map(|n| n as usize);
        self
    }

    /// Cancels at one suspension after the other, in the schedule of one seed.
    fn run_seed<F: Future>(
        &self,
        seed: u64,
        future: &mut impl FnMut() -> F,
        check: &mut impl FnMut(),
        report: &mut Report,
    ) -> Result<(), CancelFailure> {
        for suspension in self.replay.unwrap_or(1).. {
            let (run, result) = self.run_once(seed, suspension, future, check);
            report.runs += 1;
            if let Err(what) = result {
                return Err(CancelFailure { seed, suspension: run.reached.then_some(suspension), run, what });
            }
            if !run.reached || self.replay.is_some() {
                return Ok(());
            }
            if suspension > self.limit {
                let what = format!("it was suspended more than {} times: does it ever end?", self.limit);
                return Err(CancelFailure { seed, suspension: Some(suspension), run, what });
            }
            if seed == self.seeds.start {
                report.suspensions.push(run.waiting_for);
            }
        }
        Ok(())
    }

    /// Makes one run, which cancels at `suspension`.
    fn run_once<F: Future>(
        &self,
        seed: u64,
        suspension: usize,
        future: &mut impl FnMut() -> F,
        check: &mut impl FnMut(),
    ) -> (CancelRun, Result<(), String>) {
        let mut run = CancelRun::default();
        let sim = Sim::new(seed);
        let simulated = caught("the future", || {
            let run = &mut run;
            sim.try_run(async {
                let (token, left) = (Token::new(), suspension);
                let by = if self.wind_down { By::Token(token.clone()) } else { By::Drop };
                drop(token.run_until_cancelled(Cut { future: future(), left, by, run }).await);
            })
        });
        let result = simulated.and_then(|ended| ended.map_err(|error| error.to_string()));
        // A child that was dropped before its first poll has left an empty task, which is ready.
        let result = result.and_then(|()| sim.try_run(settle()).map_err(|error| error.to_string()));
        let left_behind = sim.live_tasks();
        if result.is_ok() && !left_behind.is_empty() {
            return (run, Err(format!("it left tasks behind: {}", left_behind.join(", "))));
        }
        drop(sim);
        let result = result.and_then(|()| caught("the check", check));
        (run, result)
    }
}

impl Default for EveryAwait {
    fn default() -> Self {
        EveryAwait::new()
    }
}

/// Reads a number from an environment variable.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is no number")))
}

/// What is known of one run.
#[derive(Clone, Debug, Default)]
struct CancelRun {
    /// Whether the run reached its suspension.
    reached: bool,
    waiting_for: String,
}

/// How a run cancels the future.
enum By {
    Drop,
    Token(Token),
}

pin_project! {
    /// A future that is cancelled at one of its suspensions.
    struct Cut<'a, F> {
        #[pin]
        future: F,
        left: usize,
        by: By,
        run: &'a mut CancelRun,
    }
}

impl<F: Future> Future for Cut<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // The drawing of a deadlock polls once more, which is not a suspension.
        if context::with(|ambient| ambient.is_drawing()) {
            return this.future.poll(cx).map(drop);
        }
        *this.left = this.left.saturating_sub(1);
        if *this.left > 0 || this.run.reached {
            return this.future.poll(cx).map(drop);
        }
        // The poll that suspends it also draws it. Another poll would be allowed, but might take
        // the future further.
        let mut polled = Poll::Pending;
        let drawn = tree::draw(|| polled = this.future.as_mut().poll(cx).map(drop));
        if polled.is_ready() {
            return polled;
        }
        this.run.reached = true;
        this.run.waiting_for = named(&drawn.lines);
        match this.by {
            By::Token(token) => {
                token.cancel("cancelled by a test");
                Poll::Pending
            }
            // Who polls this drops the future when it is ready.
            By::Drop => Poll::Ready(()),
        }
    }
}

/// Returns the text of what a future waits for.
fn named(lines: &[String]) -> String {
    match lines {
        [] => "something that has no name here".into(),
        lines => lines.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join(" > "),
    }
}

/// Runs `f`, and returns the message of its panic as an error.
fn caught<R>(who: &str, f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| format!("{who} panicked: {}", message(&*payload)))
}

/// Returns the message of a panic.
pub(super) fn message(payload: &(dyn Any + Send)) -> &str {
    panic::message(payload).unwrap_or("with a payload that is no text")
}

/// The result of [`cancel_at_every_await`].
#[derive(Clone, Debug)]
pub struct Report {
    runs: usize,
    suspensions: Vec<String>,
}

impl Report {
    /// Returns how many runs there were: for each seed, one for each suspension and one
    /// undisturbed.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// Returns what was being waited for at each suspension under the first seed, in order.
    ///
    /// foster's own futures have names (`"sleep of 1s"`), as children have. [`waiting_for`] gives
    /// names to others. The names of a scope and of its children stand before what they wait for:
    /// ``"scope `a` > `b` > yield"``.
    ///
    /// [`waiting_for`]: crate::testing::waiting_for
    pub fn suspensions(&self) -> &[String] {
        &self.suspensions
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs; suspended {} times under the first seed", self.runs, self.suspensions.len())?;
        for (i, name) in self.suspensions.iter().enumerate() {
            write!(f, "\n  {}: {name}", i + 1)?;
        }
        Ok(())
    }
}

/// A run of [`cancel_at_every_await`] that failed.
#[derive(Clone, Debug)]
pub struct CancelFailure {
    seed: u64,
    suspension: Option<usize>,
    run: CancelRun,
    what: String,
}

impl CancelFailure {
    /// Returns the seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the suspension at which the run was cancelled, counted from 1.
    ///
    /// Returns `None` if the run failed without being cancelled.
    pub fn suspension(&self) -> Option<usize> {
        self.suspension
    }

    /// Returns what the future was waiting for there. It is empty if the run was not cancelled.
    pub fn waiting_for(&self) -> &str {
        &self.run.waiting_for
    }

    /// Returns what went wrong: the message of the panic, or of the deadlock.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for CancelFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        match self.suspension {
            Some(n) => {
                writeln!(f, "cancelled at suspension {n}, waiting for {}, with seed {seed}:", self.run.waiting_for)?;
                writeln!(f, "  {}", self.what)?;
                write!(f, "to replay: FOSTER_SEED={seed} FOSTER_SUSPENSION={n}")
            }
            None => {
                writeln!(f, "not cancelled, with seed {seed}:\n  {}", self.what)?;
                write!(f, "to replay: FOSTER_SEED={seed}")
            }
        }
    }
}

impl std::error::Error for CancelFailure {}

#[cfg(test)]
mod tests;
