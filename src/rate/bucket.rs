//! The tokens of a rate limiter, exact to the nanosecond.

use std::time::Duration;

use crate::runtime::Instant;

/// About 584 years: the longest period, and the longest pause.
pub(super) const LONGEST: Duration = Duration::from_nanos(u64::MAX);

/// How fast tokens come, and how many there may be.
///
/// Nothing is rounded, because it counts in parts of a token. One token has as many parts as the
/// period has nanoseconds, so that in each nanosecond `count` parts come. No product of these
/// numbers exceeds 128 bits, but for that of a long time, which saturates above a full bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) count: u32,
    pub(super) period: u64,
    pub(super) burst: u32,
}

impl Rate {
    fn parts(self, tokens: u32) -> u128 {
        u128::from(tokens) * u128::from(self.period)
    }
}

/// How many tokens there are.
#[derive(Debug)]
pub(super) struct Bucket {
    /// How many parts there were at `at`. It is full before the first look at a clock.
    parts: u128,
    at: Option<Instant>,
    pause: Pause,
}

/// How long nobody passes. A later variant is a longer pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pause {
    No,
    Until(Instant),
    /// Until an instant that the clock never reaches.
    ForEver,
}

impl Pause {
    /// Returns how long it is from `now`.
    fn left(self, now: Instant) -> Duration {
        match self {
            Pause::No => Duration::ZERO,
            Pause::Until(until) => until.saturating_duration_since(now),
            Pause::ForEver => Duration::MAX,
        }
    }
}

impl Bucket {
    pub(super) fn full(rate: Rate) -> Self {
        Bucket { parts: rate.parts(rate.burst), at: None, pause: Pause::No }
    }

    /// Adds what has come since the last look. An instant that lies before it adds nothing.
    #[inline]
    fn refill(&mut self, rate: Rate, now: Instant) {
        let Some(at) = self.at.replace(now) else { return };
        if now < at {
            self.at = Some(at);
            return;
        }
        let passed = now.saturating_duration_since(at).as_nanos();
        let come = match u64::try_from(passed) {
            // A product of two words cannot overflow, and is cheap.
            Ok(passed) => u128::from(passed) * u128::from(rate.count),
            Err(_) => passed.saturating_mul(u128::from(rate.count)),
        };
        self.parts = self.parts.saturating_add(come).min(rate.parts(rate.burst));
    }

    /// Takes tokens if they are there at `now`.
    ///
    /// # Errors
    ///
    /// Returns how long it is until they are, if nobody else takes any.
    #[inline]
    pub(super) fn take(&mut self, rate: Rate, tokens: u32, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        let paused = self.pause.left(now);
        let missing = rate.parts(tokens).saturating_sub(self.parts);
        if missing == 0 && paused.is_zero() {
            self.parts -= rate.parts(tokens);
            return Ok(());
        }
        Err(duration(missing.div_ceil(u128::from(rate.count))).max(paused))
    }

    /// Lets nobody pass for `pause`, or longer if that was said before.
    pub(super) fn pause(&mut self, now: Instant, pause: Duration) {
        let until = now.checked_add(pause.min(LONGEST));
        self.pause = self.pause.max(until.map_or(Pause::ForEver, Pause::Until));
    }

    /// Returns how many tokens there are at `now`.
    pub(super) fn tokens(&mut self, rate: Rate, now: Instant) -> u32 {
        self.refill(rate, now);
        u32::try_from(self.parts / u128::from(rate.period)).unwrap_or(u32::MAX)
    }

    /// Returns whether it is at `now` as one that nobody has ever used.
    pub(super) fn is_fresh(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.parts == rate.parts(rate.burst) && self.pause.left(now).is_zero()
    }
}

/// A duration of so many nanoseconds, or the longest one there is.
fn duration(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    match u64::try_from(nanos / SECOND) {
        Ok(seconds) => Duration::new(seconds, (nanos % SECOND) as u32),
        Err(_) => Duration::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who asks reads the clock before it has the lock.
    #[test]
    fn one_who_has_read_the_clock_before_another_lets_no_time_pass_twice() {
        let rate = Rate { count: 1, period: 1_000_000_000, burst: 2 };
        let (mut bucket, start) = (Bucket::full(rate), Instant::now());
        assert!(bucket.take(rate, 2, start).is_ok());
        let later = start + Duration::from_secs(1);
        assert_eq!([later, start, later].map(|now| bucket.tokens(rate, now)), [1, 1, 1]);
    }
}
