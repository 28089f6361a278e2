//! One call through a circuit breaker.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{CircuitBreaker, CircuitOpen, CircuitPermit};
use crate::panic::catch;

/// Says which errors are failures of the service that is called.
pub trait Failures<E> {
    /// Returns whether the error is a failure.
    fn is_failure(&mut self, error: &E) -> bool;
}

impl<E> Failures<E> for () {
    fn is_failure(&mut self, _: &E) -> bool {
        true
    }
}

/// What [`CircuitCall::when`] makes of a call.
#[derive(Clone, Debug)]
pub struct FailsWhen<P> {
    fails: P,
}

impl<E, P: FnMut(&E) -> bool> Failures<E> for FailsWhen<P> {
    fn is_failure(&mut self, error: &E) -> bool {
        (self.fails)(error)
    }
}

pin_project! {
    /// The future of [`CircuitBreaker::call`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CircuitCall<'a, F, Fut, P = ()> {
        breaker: &'a CircuitBreaker,
        operation: Option<F>,
        failures: P,
        // Before the permit, so that what is dropped unfinished is gone when its place is free.
        #[pin]
        attempt: Option<Fut>,
        permit: Option<CircuitPermit<'a>>,
    }
}

impl<'a, F, Fut> CircuitCall<'a, F, Fut> {
    pub(super) fn new(breaker: &'a CircuitBreaker, operation: F) -> Self {
        CircuitCall { breaker, operation: Some(operation), failures: (), attempt: None, permit: None }
    }

    /// Counts only errors as failures for which `fails` returns true.
    ///
    /// All others count as successes: a service that answers "404 Not Found" is well.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::rate::{CircuitBreaker, CircuitOpen, CircuitState};
    /// use std::{io, time::Duration};
    ///
    /// # struct Error(io::ErrorKind);
    /// # impl From<CircuitOpen> for Error { fn from(_: CircuitOpen) -> Self { unreachable!() } }
    /// let breaker = CircuitBreaker::new(1, Duration::from_secs(60));
    /// let call = breaker.call(async || Err::<(), _>(Error(io::ErrorKind::NotFound)));
    /// assert!(call.when(|error| error.0 != io::ErrorKind::NotFound).await.is_err());
    /// assert_eq!(breaker.state(), CircuitState::Closed);
    /// # });
    /// ```
    pub fn when<T, E, P>(self, fails: P) -> CircuitCall<'a, F, Fut, FailsWhen<P>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        P: FnMut(&E) -> bool,
    {
        // It has not been polled, so nothing is moved that was pinned.
        let CircuitCall { breaker, operation, .. } = self;
        CircuitCall { breaker, operation, failures: FailsWhen { fails }, attempt: None, permit: None }
    }
}

impl<F, Fut, P, T, E> Future for CircuitCall<'_, F, Fut, P>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: From<CircuitOpen>,
    P: Failures<E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        let mut this = self.project();
        if let Some(operation) = this.operation.take() {
            let permit = match this.breaker.try_acquire() {
                Ok(permit) => permit,
                Err(open) => return Poll::Ready(Err(open.into())),
            };
            // If this panics, the permit is dropped.
            this.attempt.set(Some(operation()));
            *this.permit = Some(permit);
        }
        let Some(attempt) = this.attempt.as_mut().as_pin_mut() else {
            panic!("a future was polled after it had completed");
        };
        let result = match catch(|| attempt.poll(cx)) {
            Ok(polled) => Ok(ready!(polled)),
            Err(payload) => Err(payload),
        };
        let permit = this.permit.take().expect("there is one for each attempt");
        // The attempt is gone before the closure sees its error, and before the next call is let
        // through. After a panic, too, since this future may be kept for long.
        this.attempt.set(None);
        let result = result.unwrap_or_else(|payload| resume_unwind(payload));
        match &result {
            Err(error) if this.failures.is_failure(error) => permit.failure(),
            _ => permit.success(),
        }
        Poll::Ready(result)
    }
}

impl<F, Fut, P> fmt::Debug for CircuitCall<'_, F, Fut, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitCall").field("is_under_way", &self.permit.is_some()).finish_non_exhaustive()
    }
}
