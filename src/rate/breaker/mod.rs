//! Keeps calls away from what fails.

use std::fmt;
use std::future::Future;
use std::time::Duration;

mod call;
mod circuit;
mod error;

pub use call::CircuitCall;
use circuit::{CallOutcome, Circuit, CircuitSettings};
pub use circuit::{CircuitState, CircuitStatistics};
pub use error::CircuitOpen;

use crate::engine::atomics::ShortLock;
use crate::time::now;

/// As many durations of a schedule are taken, because a schedule may have no end.
const MOST_TIMES: usize = 64;

/// Keeps calls away from a service that fails, until it is well again.
///
/// A service that is down answers each call late or not at all. Callers that go on to call it wait
/// in vain, and keep it from coming back. A breaker counts failures, and refuses calls at once
/// while there are too many:
///
/// - it is *closed* at the beginning, and lets all calls through;
/// - it *opens* when there are too many failures, and refuses calls for some time;
/// - then it is *half open*, and lets a few probes through. When all of them have succeeded, it
///   closes. When one fails, it opens again.
///
/// The counterpart of the crates `failsafe` and `recloser`, of `aiobreaker` for asyncio, and of
/// resilience4j's.
///
/// # What counts
///
/// A call counts when it ends, and only in the state in which it was let through. A failure that
/// comes after the circuit has opened, closed or begun to probe says nothing about its new state,
/// and is ignored.
///
/// A permit that is dropped counts as neither a success nor a failure. A probe that is dropped
/// makes room for another one. So callers that are cancelled or panic do not leave the circuit half
/// open for ever. Nor does a probe that hangs, if it has a timeout. Put that
/// [`timeout`](crate::timeout) inside of the call: outside, it drops the call, and a peer that
/// never answers is never counted as a failure.
///
/// # Runtimes
///
/// There is no timer and no task. The clock is that of the runtime in force where the breaker is
/// used, and the next call finds out whether the time is up. Tasks of several threads may share
/// one, under the same clock.
///
/// # Cost
///
/// A call looks at the clock and takes a short lock twice, and allocates nothing while it succeeds.
/// A breaker remembers as many failures as open it, in eight bytes each.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{rate::{CircuitBreaker, CircuitOpen}, sleep};
///     use std::time::Duration;
///
///     #[derive(Debug, PartialEq)]
///     enum Error { Down, Open(CircuitOpen) }
///
///     impl From<CircuitOpen> for Error {
///         fn from(open: CircuitOpen) -> Self {
///             Error::Open(open)
///         }
///     }
///
///     let second = Duration::from_secs(1);
///     let breaker = CircuitBreaker::new(2, 10 * second);
///     for _ in 0..2 {
///         assert_eq!(breaker.call(async || Err::<(), _>(Error::Down)).await, Err(Error::Down));
///     }
///     let refused = breaker.call(async || Ok::<(), _>(unreachable!("it is not called"))).await;
///     let Err(Error::Open(open)) = refused else { panic!("it called") };
///     assert_eq!(open.wait(), Some(10 * second));
///     sleep(10 * second).await;
///     assert_eq!(breaker.call(async || Ok::<_, Error>(7)).await, Ok(7));
/// });
/// ```
pub struct CircuitBreaker {
    settings: CircuitSettings,
    circuit: ShortLock<Circuit>,
}

impl CircuitBreaker {
    /// Creates a closed breaker that opens after `failures` in a row, for the time `open_for`.
    ///
    /// With [`Duration::MAX`] it stays open until it is [closed](CircuitBreaker::close).
    ///
    /// # Panics
    ///
    /// Panics if `failures` or `open_for` is zero.
    #[track_caller]
    pub fn new(failures: u32, open_for: Duration) -> Self {
        assert!(failures > 0, "a circuit breaker that opens after 0 failures would let nothing through");
        assert_open(open_for);
        let settings = CircuitSettings { failures, calls: failures, probes: 1, times: vec![open_for] };
        CircuitBreaker { settings, circuit: ShortLock::new(Circuit::new()) }
    }

    /// Opens when so many failures are among the last `calls` that have ended, in a row or not.
    ///
    /// This is a rate of failures that is exact: ten of the last twenty calls are one half. There
    /// is no rate of the first few calls, of which one failure would be all: fewer calls than the
    /// failures that open it never do.
    ///
    /// # Panics
    ///
    /// Panics if `calls` is less than the number of failures that open it.
    ///
    /// ```
    /// use foster::rate::{CircuitBreaker, CircuitState};
    /// use std::time::Duration;
    ///
    /// let breaker = CircuitBreaker::new(2, Duration::from_secs(60)).of_last(4);
    /// let call = |succeeds| {
    ///     let permit = breaker.try_acquire().unwrap();
    ///     if succeeds { permit.success() } else { permit.failure() }
    /// };
    /// [false, true, true, true, false, true].into_iter().for_each(call);
    /// assert_eq!(breaker.state(), CircuitState::Closed, "one of the last four has failed");
    /// call(false);
    /// assert_eq!(breaker.state(), CircuitState::Open);
    /// ```
    #[track_caller]
    pub fn of_last(mut self, calls: u32) -> Self {
        assert!(calls >= self.settings.failures, "a circuit breaker would never open: its window has too few calls");
        self.settings.calls = calls;
        self
    }

    /// Lets `probes` through when the circuit is half open, all at once, and closes it when so many
    /// have succeeded. By default it is one.
    ///
    /// # Panics
    ///
    /// Panics if `probes` is zero.
    #[track_caller]
    pub fn probes(mut self, probes: u32) -> Self {
        assert!(probes > 0, "a circuit breaker with 0 probes would never close");
        self.settings.probes = probes;
        self
    }

    /// Stays open for each duration of `schedule` in turn, if a probe has failed after the time
    /// before.
    ///
    /// The last one is repeated. Once the circuit has closed, the next time is that of
    /// [`new`](CircuitBreaker::new) again. The schedule is one as for a [`retry`](crate::retry()),
    /// of which the first 63 durations are taken. An empty one changes nothing.
    ///
    /// # Panics
    ///
    /// Panics if one of the durations is zero.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{rate::CircuitBreaker, sleep};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let breaker = CircuitBreaker::new(1, second).then_open_for([5 * second, 30 * second]);
    ///     for open_for in [1, 5, 30, 30] {
    ///         breaker.try_acquire().unwrap().failure();
    ///         assert_eq!(breaker.try_acquire().unwrap_err().wait(), Some(open_for * second));
    ///         sleep(open_for * second).await;
    ///     }
    /// });
    /// ```
    #[track_caller]
    pub fn then_open_for(mut self, schedule: impl IntoIterator<Item = Duration>) -> Self {
        self.settings.times.truncate(1);
        for time in schedule.into_iter().take(MOST_TIMES - 1) {
            assert_open(time);
            self.settings.times.push(time);
        }
        self
    }

    /// Lets a call through, unless the circuit is open.
    ///
    /// Tell the permit how the call ended. To have that done, use [`call`](CircuitBreaker::call).
    ///
    /// # Errors
    ///
    /// Returns [`CircuitOpen`] if the circuit is open, or half open with as many probes under way
    /// as there may be.
    ///
    /// ```
    /// use foster::rate::CircuitBreaker;
    /// use std::time::Duration;
    ///
    /// let breaker = CircuitBreaker::new(5, Duration::from_secs(10));
    /// # fn send() -> std::io::Result<()> { Ok(()) }
    /// let permit = breaker.try_acquire()?;
    /// match send() {
    ///     Ok(()) => permit.success(),
    ///     Err(_) => permit.failure(),
    /// }
    /// # Ok::<_, foster::rate::CircuitOpen>(())
    /// ```
    pub fn try_acquire(&self) -> Result<CircuitPermit<'_>, CircuitOpen> {
        // The clock may be code of the user, which runs under no lock.
        let now = now();
        let generation = self.circuit.lock().admit(&self.settings, now)?;
        Ok(CircuitPermit { breaker: self, generation, outcome: CallOutcome::Abandoned })
    }

    /// Calls `operation`, unless the circuit is open, and counts how it ends.
    ///
    /// An `Err` is a failure. [`when`](CircuitCall::when) says which errors are.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops the operation, which counts as neither a success nor a failure. So
    /// does a panic.
    ///
    /// # Errors
    ///
    /// Returns the error of the operation, or the one that is made of [`CircuitOpen`]. Then the
    /// operation was not called.
    ///
    /// # Panics
    ///
    /// The future panics if the operation does, or if it is polled after it has completed.
    pub fn call<F, Fut, T, E>(&self, operation: F) -> CircuitCall<'_, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<CircuitOpen>,
    {
        CircuitCall::new(self, operation)
    }

    /// Closes the circuit, as if it were new. What is under way counts no more.
    ///
    /// For an operator who knows that the service is well again.
    pub fn close(&self) {
        self.circuit.lock().close();
    }

    /// Returns the state of the circuit now.
    pub fn state(&self) -> CircuitState {
        let now = now();
        self.circuit.lock().state(now)
    }

    /// Returns how many calls have ended how, and how often the circuit has opened.
    pub fn statistics(&self) -> CircuitStatistics {
        self.circuit.lock().statistics()
    }
}

#[track_caller]
fn assert_open(time: Duration) {
    assert!(!time.is_zero(), "a circuit breaker that is open for no time would never be open");
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("state", &self.state())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The right to make one call, from a [`CircuitBreaker`].
///
/// Dropping it says that nobody knows how the call would have ended. That counts as neither a
/// success nor a failure.
#[must_use = "a permit that is dropped counts as neither a success nor a failure"]
pub struct CircuitPermit<'a> {
    breaker: &'a CircuitBreaker,
    generation: u64,
    outcome: CallOutcome,
}

impl CircuitPermit<'_> {
    /// Counts the call as one that has succeeded.
    pub fn success(mut self) {
        self.outcome = CallOutcome::Success;
    }

    /// Counts the call as one that has failed.
    pub fn failure(mut self) {
        self.outcome = CallOutcome::Failure;
    }
}

impl Drop for CircuitPermit<'_> {
    fn drop(&mut self) {
        let CircuitPermit { breaker, generation, outcome } = *self;
        let now = now();
        breaker.circuit.lock().record(&breaker.settings, generation, outcome, now);
    }
}

impl fmt::Debug for CircuitPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitPermit").finish_non_exhaustive()
    }
}
