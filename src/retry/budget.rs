//! A limit on retries that all calls of a client share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Limits the retries of a whole client, so that they do not keep a server down.
///
/// When a server is overloaded, every call fails. If each one is tried four times, the server gets
/// four times the load. A budget that all calls share ends that. It holds tokens:
///
/// - a failed attempt costs one token, until none is left;
/// - an attempt that succeeds gives back a part of a token, until the budget is full;
/// - while half of the tokens or fewer are left, there is no retry and no hedge.
///
/// First attempts are never held back. So when the server is well again, their successes fill the
/// budget, and retries come back by themselves.
///
/// Clones share the same budget. Give it to [`Retry::budget`](crate::retry::Retry::budget) and
/// [`Hedge::budget`](crate::future::Hedge::budget). This is the retry throttling of gRPC. It counts
/// in whole numbers, so that no ratio is rounded.
///
/// # Cost
///
/// One allocation when it is made. A failure is one atomic change, and so is a success. Where the
/// budget is full, a success is one look.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::retry::{RetryBudget, retry};
/// use std::time::Duration;
///
/// // Six tokens. Ten successes give back one.
/// let budget = RetryBudget::new(6);
/// let mut attempts = 0;
/// let call = retry([Duration::ZERO; 100], async || Err::<(), _>("overloaded"));
/// let failure = call.budget(&budget).outcome().await.unwrap_err();
/// assert!(failure.is_over_budget());
/// assert_eq!((failure.attempts(), budget.tokens()), (3, 3), "half of it is left");
/// for _ in 0..10 {
///     budget.record_success();
/// }
/// assert!(budget.allows_retry());
/// # });
/// ```
#[derive(Clone)]
pub struct RetryBudget {
    shared: Arc<SharedBudget>,
}

/// What clones share. It counts in parts of a token, of which the cost of a failure has as many as
/// make the gain of a success a whole number.
struct SharedBudget {
    parts: AtomicU64,
    full: u64,
    cost: u64,
    gain: u64,
}

impl RetryBudget {
    /// Creates a full budget of `tokens`, to which ten successes give back one token.
    ///
    /// A budget of 0 tokens allows no retry.
    pub fn new(tokens: u32) -> Self {
        Self::with_ratio(tokens, 1, 10)
    }

    /// Creates a full budget of `tokens`, to which `successes` successes give back `returned`
    /// tokens.
    ///
    /// With a `returned` of 0 it is never refilled.
    ///
    /// # Panics
    ///
    /// Panics if `successes` is 0.
    ///
    /// ```
    /// use foster::retry::RetryBudget;
    ///
    /// let budget = RetryBudget::with_ratio(10, 6, 10);
    /// (0..10).for_each(|_| _ = budget.record_failure());
    /// (0..10).for_each(|_| budget.record_success());
    /// assert_eq!(budget.tokens(), 6);
    /// ```
    #[track_caller]
    pub fn with_ratio(tokens: u32, returned: u32, successes: u32) -> Self {
        assert!(successes > 0, "no success would give back tokens; a budget that is never refilled returns 0 of them");
        let cost = u64::from(successes);
        let full = u64::from(tokens) * cost;
        let shared = SharedBudget { parts: AtomicU64::new(full), full, cost, gain: u64::from(returned) };
        RetryBudget { shared: Arc::new(shared) }
    }

    /// Counts an attempt that has succeeded.
    ///
    /// [`Retry`](crate::retry::Retry) calls this by itself.
    pub fn record_success(&self) {
        let SharedBudget { parts, full, gain, .. } = &*self.shared;
        // The common case writes nothing, so threads that all succeed share the cache line.
        if parts.load(Ordering::Relaxed) < *full {
            let add = |parts: u64| Some(parts.saturating_add(*gain).min(*full));
            _ = parts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    /// Counts an attempt that has failed in a way that another attempt may mend. Returns whether
    /// another attempt is allowed.
    ///
    /// [`Retry`](crate::retry::Retry) calls this by itself.
    pub fn record_failure(&self) -> bool {
        let SharedBudget { parts, cost, .. } = &*self.shared;
        let take = |parts: u64| Some(parts.saturating_sub(*cost));
        let (Ok(before) | Err(before)) = parts.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        self.is_more_than_half(before.saturating_sub(*cost))
    }

    /// Returns whether a retry or a hedge is allowed now.
    pub fn allows_retry(&self) -> bool {
        self.is_more_than_half(self.shared.parts.load(Ordering::Relaxed))
    }

    /// Returns how many whole tokens are left.
    pub fn tokens(&self) -> u32 {
        let tokens = self.shared.parts.load(Ordering::Relaxed) / self.shared.cost;
        u32::try_from(tokens).expect("there are no more tokens than at the beginning")
    }

    // Parts are whole, so a half that is rounded down is compared as the exact one would be.
    fn is_more_than_half(&self, parts: u64) -> bool {
        parts > self.shared.full / 2
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("tokens", &self.tokens())
            .field("allows_retry", &self.allows_retry())
            .finish_non_exhaustive()
    }
}
