//! What the caller of a retry adds to it: closures that look at each error.
//!
//! Each method of the builder wraps what was there before, so nothing is boxed.

use std::time::Duration;

/// Looks at the errors of attempts.
pub trait Hooks<E> {
    /// Returns whether the error is worth another attempt.
    fn retries(&mut self, error: &E) -> bool;

    /// Returns how long the next attempt must wait at least.
    fn after(&mut self, error: &E) -> Option<Duration>;

    /// Hears of the error before the wait.
    fn notify(&mut self, error: &E, wait: Duration);
}

impl<E> Hooks<E> for () {
    fn retries(&mut self, _: &E) -> bool {
        true
    }

    fn after(&mut self, _: &E) -> Option<Duration> {
        None
    }

    fn notify(&mut self, _: &E, _: Duration) {}
}

/// What [`Retry::when`](super::Retry::when) makes of the hooks.
#[derive(Clone, Debug)]
pub struct RetriesWhen<H, P> {
    pub(super) hooks: H,
    pub(super) retries: P,
}

impl<E, H: Hooks<E>, P: FnMut(&E) -> bool> Hooks<E> for RetriesWhen<H, P> {
    fn retries(&mut self, error: &E) -> bool {
        self.hooks.retries(error) && (self.retries)(error)
    }

    fn after(&mut self, error: &E) -> Option<Duration> {
        self.hooks.after(error)
    }

    fn notify(&mut self, error: &E, wait: Duration) {
        self.hooks.notify(error, wait);
    }
}

/// What [`Retry::after`](super::Retry::after) makes of the hooks.
#[derive(Clone, Debug)]
pub struct RetriesAfter<H, A> {
    pub(super) hooks: H,
    pub(super) after: A,
}

impl<E, H: Hooks<E>, A: FnMut(&E) -> Option<Duration>> Hooks<E> for RetriesAfter<H, A> {
    fn retries(&mut self, error: &E) -> bool {
        self.hooks.retries(error)
    }

    fn after(&mut self, error: &E) -> Option<Duration> {
        // The longest one counts. `None` is less than any duration.
        self.hooks.after(error).max((self.after)(error))
    }

    fn notify(&mut self, error: &E, wait: Duration) {
        self.hooks.notify(error, wait);
    }
}

/// What [`Retry::notify`](super::Retry::notify) makes of the hooks.
#[derive(Clone, Debug)]
pub struct RetriesNotified<H, N> {
    pub(super) hooks: H,
    pub(super) notify: N,
}

impl<E, H: Hooks<E>, N: FnMut(&E, Duration)> Hooks<E> for RetriesNotified<H, N> {
    fn retries(&mut self, error: &E) -> bool {
        self.hooks.retries(error)
    }

    fn after(&mut self, error: &E) -> Option<Duration> {
        self.hooks.after(error)
    }

    fn notify(&mut self, error: &E, wait: Duration) {
        self.hooks.notify(error, wait);
        (self.notify)(error, wait);
    }
}
