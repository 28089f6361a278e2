//! Why there were no tokens.

use std::fmt;
use std::time::Duration;

/// The error of a [`RateLimiter`](super::RateLimiter): there were no tokens, and none were taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimited {
    count: u32,
    kind: LimitedBy,
    wait: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitedBy {
    TooMany,
    NotYet,
    Deadline,
}

impl RateLimited {
    pub(super) fn new(count: u32, kind: LimitedBy, wait: Option<Duration>) -> Self {
        RateLimited { count, kind, wait }
    }

    /// Returns true if more tokens were asked for than the burst, so that they are never there.
    pub fn is_too_many(&self) -> bool {
        self.kind == LimitedBy::TooMany
    }

    /// Returns true if the tokens were not there, and the caller did not want to wait.
    pub fn is_not_yet(&self) -> bool {
        self.kind == LimitedBy::NotYet
    }

    /// Returns true if the tokens would not have come before the effective
    /// [deadline](crate::deadline).
    pub fn is_deadline(&self) -> bool {
        self.kind == LimitedBy::Deadline
    }

    /// Returns how long it is until the tokens are there, if nobody else takes any.
    ///
    /// Returns `None` if they never are, or if others wait for theirs first.
    pub fn wait(&self) -> Option<Duration> {
        self.wait
    }
}

impl fmt::Display for RateLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        match (self.kind, self.wait) {
            (LimitedBy::TooMany, _) => write!(f, "{count} at once are more than the burst of the rate limiter"),
            (LimitedBy::NotYet, None) => f.write_str("the rate limit is reached, and others wait"),
            (LimitedBy::NotYet, Some(wait)) => write!(f, "the rate limit is reached; try again in {wait:?}"),
            (LimitedBy::Deadline, _) => f.write_str("the rate limit is reached, and the deadline comes first"),
        }
    }
}

impl std::error::Error for RateLimited {}
