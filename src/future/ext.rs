//! Methods for every future.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::race::{Race, race};
use crate::cancel::{Shield, Token, UntilCancelled, shield};
use crate::context;
use crate::name::Name;
use crate::time::{Timeout, timeout, timeout_at};
use crate::tree;

/// What foster can do with any future, as methods.
///
/// ```
/// use foster::FutureExt;
/// use std::time::Duration;
///
/// # futures::executor::block_on(async {
/// let seven = async { 7 }.named("seven").timeout(Duration::from_secs(1)).await;
/// assert_eq!(seven, Ok(7));
/// # });
/// ```
pub trait FutureExt: Future + Sized {
    /// Runs for `duration` at most: [`timeout`](crate::timeout).
    fn timeout(self, duration: Duration) -> Timeout<Self> {
        timeout(duration, self)
    }

    /// Runs until `at` at the latest: [`timeout_at`](crate::timeout_at).
    fn deadline(self, at: Instant) -> Timeout<Self> {
        timeout_at(at, self)
    }

    /// Runs until `token` is cancelled: [`Token::run_until_cancelled`].
    fn until(self, token: &Token) -> UntilCancelled<Self> {
        token.run_until_cancelled(self)
    }

    /// Is not dropped by foster's cancellations: [`shield`](crate::shield).
    #[track_caller]
    fn shielded(self) -> Shield<Self> {
        shield(self)
    }

    /// Bears a name in reports of what is stuck.
    fn named(self, name: impl Into<Name>) -> NamedFuture<Self> {
        NamedFuture { future: self, name: name.into() }
    }

    /// Races against another future: [`race`](crate::race).
    fn race<O>(self, other: O) -> Race<super::tuples::Alike<super::tuples::Any2<Self, O::IntoFuture>>>
    where
        O: IntoFuture<Output = Self::Output>,
    {
        race((self, other.into_future()))
    }
}

impl<F: Future> FutureExt for F {}

pin_project! {
    /// The future of [`FutureExt::named`].
    #[must_use = "futures do nothing unless polled"]
    pub struct NamedFuture<F> {
        #[pin]
        future: F,
        name: Name,
    }
}

impl<F: Future> Future for NamedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        match context::with(|ambient| ambient.is_drawing()) {
            true => tree::named(tree::quoted("", &*this.name), || this.future.poll(cx)),
            false => this.future.poll(cx),
        }
    }
}

impl<F> fmt::Debug for NamedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedFuture").field("name", &self.name).finish_non_exhaustive()
    }
}
