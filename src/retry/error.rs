//! Why there is no other attempt.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// The error of [`Retry::outcome`](super::Retry::outcome): that of the last attempt, and why it was
/// the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryError<E> {
    pub(super) error: E,
    pub(super) attempts: u32,
    pub(super) why: RetryEnd,
}

/// Why an attempt was the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryEnd {
    Refused,
    Budget,
    Attempts,
    Schedule,
    Elapsed,
    Deadline { wait: Duration },
    Cancelled,
}

impl<E> RetryError<E> {
    /// Returns the error of the last attempt.
    pub fn error(&self) -> &E {
        &self.error
    }

    /// Returns the error of the last attempt.
    pub fn into_error(self) -> E {
        self.error
    }

    /// Returns how many attempts were made. `u32::MAX` stands for that many and more.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns true if the closure of [`when`](super::Retry::when) found the error not worth
    /// another attempt.
    pub fn is_refused(&self) -> bool {
        self.why == RetryEnd::Refused
    }

    /// Returns true if the schedule has ended, or there were as many attempts as were
    /// [allowed](super::Retry::max_attempts).
    pub fn is_exhausted(&self) -> bool {
        matches!(self.why, RetryEnd::Attempts | RetryEnd::Schedule)
    }

    /// Returns true if the next attempt would have begun after the effective
    /// [deadline](crate::deadline).
    pub fn is_deadline(&self) -> bool {
        matches!(self.why, RetryEnd::Deadline { .. })
    }

    /// Returns true if the next attempt would have begun after the time that was
    /// [allowed](super::Retry::max_elapsed).
    pub fn is_elapsed(&self) -> bool {
        self.why == RetryEnd::Elapsed
    }

    /// Returns true if the [budget](super::RetryBudget) allowed no retry.
    pub fn is_over_budget(&self) -> bool {
        self.why == RetryEnd::Budget
    }

    /// Returns true if the attempt failed in a [region](crate::cancel#regions) that had been
    /// cancelled, where nothing new starts.
    pub fn is_cancelled(&self) -> bool {
        self.why == RetryEnd::Cancelled
    }
}

impl<E: fmt::Display> fmt::Display for RetryError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RetryError { error, attempts, why } = self;
        write!(f, "{error} (attempt {attempts} was the last one, since ")?;
        match why {
            RetryEnd::Refused => f.write_str("another one would not help)"),
            RetryEnd::Budget => f.write_str("the retry budget allows no other)"),
            RetryEnd::Attempts => f.write_str("no more are allowed)"),
            RetryEnd::Schedule => f.write_str("the schedule has ended)"),
            RetryEnd::Elapsed => f.write_str("the next would begin after the time allowed for all of them)"),
            RetryEnd::Deadline { wait } => write!(f, "the deadline comes before the next, which has to wait {wait:?})"),
            RetryEnd::Cancelled => f.write_str("the work is being cancelled)"),
        }
    }
}

impl<E: Error + 'static> Error for RetryError<E> {
    // The message contains that of the error. So the source is what lies behind the error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}
