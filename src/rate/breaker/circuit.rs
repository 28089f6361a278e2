//! The states of a circuit breaker, and what leads from one to the next. It knows no lock and no
//! clock.

use std::collections::VecDeque;
use std::time::Duration;

use super::error::CircuitOpen;
use crate::runtime::Instant;

/// What a breaker was told when it was made.
#[derive(Clone, Debug)]
pub(super) struct CircuitSettings {
    /// How many failures open the circuit, if they are among the last `calls`.
    pub(super) failures: u32,
    /// How many of the calls that ended last are looked at.
    pub(super) calls: u32,
    /// How many calls must succeed to close the circuit again.
    pub(super) probes: u32,
    /// How long it is open: the first time, and after each time that a probe fails. The last one is
    /// repeated. There is at least one.
    pub(super) times: Vec<Duration>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Success,
    Failure,
    Abandoned,
}

/// Whether calls are let through by a [`CircuitBreaker`](super::CircuitBreaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// All calls are let through.
    Closed,
    /// No call is let through until the time is up.
    Open,
    /// A few calls are let through, to find out whether they succeed.
    HalfOpen,
}

/// What a [`CircuitBreaker`](super::CircuitBreaker) has seen since it was made.
///
/// ```
/// use foster::rate::CircuitBreaker;
/// use std::time::Duration;
///
/// let breaker = CircuitBreaker::new(1, Duration::from_secs(60));
/// breaker.try_acquire().unwrap().failure();
/// assert!(breaker.try_acquire().is_err());
/// let seen = breaker.statistics();
/// assert_eq!((seen.failures(), seen.refused(), seen.opened()), (1, 1, 1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CircuitStatistics {
    successes: u64,
    failures: u64,
    abandoned: u64,
    refused: u64,
    opened: u64,
}

impl CircuitStatistics {
    /// Returns how many calls have succeeded, the late ones included.
    pub fn successes(&self) -> u64 {
        self.successes
    }

    /// Returns how many calls have failed, the late ones included.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Returns how many permits were dropped without a success or a failure.
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Returns how many calls were not let through.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Returns how often the circuit has opened, after a probe included.
    pub fn opened(&self) -> u64 {
        self.opened
    }
}

/// What is under the lock of a breaker.
#[derive(Debug)]
pub(super) struct Circuit {
    state: State,
    /// How often the state has changed. A permit has that of the moment at which it was given out.
    generation: u64,
    /// How often the circuit has opened since it was last closed.
    opened: usize,
    statistics: CircuitStatistics,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    /// Until an instant, or for ever.
    Open {
        until: Option<Instant>,
    },
    /// So many probes are under way, and so many have succeeded. Together they are never more than
    /// the probes that there may be.
    HalfOpen {
        under_way: u32,
        succeeded: u32,
    },
}

/// Which of the last calls have failed.
#[derive(Debug, Default)]
struct Window {
    /// How many calls have ended.
    ended: u64,
    /// What the number of calls was when each failed call had ended. Those that have left the
    /// window are taken out by the next failure, so there are never more than open the circuit.
    failed: VecDeque<u64>,
}

impl Window {
    /// Counts a call. Returns whether there were too many failures.
    fn count(&mut self, is_failure: bool, settings: &CircuitSettings) -> bool {
        self.ended += 1;
        if !is_failure {
            return false;
        }
        self.failed.push_back(self.ended);
        let first = (self.ended + 1).saturating_sub(u64::from(settings.calls));
        while self.failed.front().is_some_and(|failed| *failed < first) {
            self.failed.pop_front();
        }
        self.failed.len() >= settings.failures as usize
    }
}

impl Circuit {
    pub(super) fn new() -> Self {
        let statistics = CircuitStatistics::default();
        Circuit { state: State::Closed(Window::default()), generation: 0, opened: 0, statistics }
    }

    pub(super) fn statistics(&self) -> CircuitStatistics {
        self.statistics
    }

    pub(super) fn state(&mut self, now: Instant) -> CircuitState {
        self.settle(now);
        match self.state {
            State::Closed(_) => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// Lets a call through, and returns the generation that its permit has.
    pub(super) fn admit(&mut self, settings: &CircuitSettings, now: Instant) -> Result<u64, CircuitOpen> {
        self.settle(now);
        match &mut self.state {
            State::Closed(_) => {}
            State::HalfOpen { under_way, succeeded } if *under_way + *succeeded < settings.probes => *under_way += 1,
            State::HalfOpen { .. } => {
                self.statistics.refused += 1;
                return Err(CircuitOpen::probing());
            }
            State::Open { until } => {
                self.statistics.refused += 1;
                return Err(CircuitOpen::until(until.map(|until| until.saturating_duration_since(now))));
            }
        }
        Ok(self.generation)
    }

    /// Records how a call ended that was let through in `generation`.
    pub(super) fn record(&mut self, settings: &CircuitSettings, generation: u64, outcome: CallOutcome, now: Instant) {
        *match outcome {
            CallOutcome::Success => &mut self.statistics.successes,
            CallOutcome::Failure => &mut self.statistics.failures,
            CallOutcome::Abandoned => &mut self.statistics.abandoned,
        } += 1;
        // It tells nothing about the state that the circuit is in now.
        if generation != self.generation {
            return;
        }
        match (&mut self.state, outcome) {
            (State::Closed(_), CallOutcome::Abandoned) => {}
            (State::Closed(window), outcome) => {
                if window.count(outcome == CallOutcome::Failure, settings) {
                    self.open(settings, now);
                }
            }
            (State::HalfOpen { under_way, .. }, CallOutcome::Abandoned) => *under_way -= 1,
            (State::HalfOpen { .. }, CallOutcome::Failure) => self.open(settings, now),
            (State::HalfOpen { under_way, succeeded }, CallOutcome::Success) => {
                *under_way -= 1;
                *succeeded += 1;
                if *succeeded == settings.probes {
                    self.close();
                }
            }
            (State::Open { .. }, _) => unreachable!("no permit is given out while the circuit is open"),
        }
    }

    pub(super) fn close(&mut self) {
        self.opened = 0;
        self.change(State::Closed(Window::default()));
    }

    fn open(&mut self, settings: &CircuitSettings, now: Instant) {
        let time = settings.times[self.opened.min(settings.times.len() - 1)];
        self.opened += 1;
        self.statistics.opened += 1;
        self.change(State::Open { until: now.checked_add(time) });
    }

    /// Begins to probe when the time is up.
    fn settle(&mut self, now: Instant) {
        if matches!(self.state, State::Open { until: Some(until) } if until <= now) {
            self.change(State::HalfOpen { under_way: 0, succeeded: 0 });
        }
    }

    /// Changes the state, and with it the generation: what was let through before counts no more.
    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}
