//! Ends a future that takes too long, and does not wait for its wind-down.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::timeout::{Elapsed, Timeout, timeout};
use crate::context;
use crate::scope::control::Adopted;

/// Runs `future` for at most `duration`, and does not wait for its wind-down.
///
/// If something inside still needs time to end when the time is up, the enclosing scope adopts it,
/// or [`Handle::run`](crate::Handle::run) does. That is why `future` must be `'static + Send`.
/// Without either, and with the feature `tokio`, a task of the tokio runtime that polls this
/// finishes it. Elsewhere it is dropped. Otherwise this is like [`timeout`].
///
/// # Errors
///
/// Returns [`Elapsed`] as soon as the time is up.
///
/// # Cancellation
///
/// As for [`timeout`].
///
/// # Cost
///
/// One allocation, to box the timeout.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{now, scope, shield, sleep, timeout_detach};
///     use std::time::Duration;
///
///     let (start, second) = (now(), Duration::from_secs(1));
///     scope(async |_| {
///         let save = timeout_detach(second, async move { shield(sleep(5 * second)).await });
///         assert!(save.await.is_err());
///         assert_eq!(now() - start, second, "the caller goes on at once");
///     }).await;
///     assert_eq!(now() - start, 5 * second, "the scope waits for what is shielded");
/// });
/// ```
pub fn timeout_detach<F>(duration: impl Into<Option<Duration>>, future: F) -> TimeoutDetach<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    TimeoutDetach { timeout: Some(Box::pin(timeout(duration, future))) }
}

/// The future of [`timeout_detach`].
#[must_use = "futures do nothing unless polled"]
pub struct TimeoutDetach<F> {
    /// `None` once it has completed.
    timeout: Option<Pin<Box<Timeout<F>>>>,
}

impl<F> Future for TimeoutDetach<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(timeout) = &mut self.timeout else { return Poll::Pending };
        let polled = timeout.as_mut().poll(cx);
        let expired = timeout.has_expired();
        if polled.is_pending() && !expired {
            return Poll::Pending;
        }
        let rest = self.timeout.take();
        if polled.is_pending() {
            if let Some(rest) = rest {
                let rest: Adopted = Box::pin(async move { drop(rest.await) });
                context::adopt(context::with(|ambient| ambient.scope()).as_ref(), rest);
            }
            return Poll::Ready(Err(Elapsed::new()));
        }
        polled
    }
}

impl<F> fmt::Debug for TimeoutDetach<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutDetach").finish_non_exhaustive()
    }
}
