//! Adds methods to every future.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::race::{Race, race};
use super::tuples::{Alike, Any2};
use crate::cancel::{RunUntilCancelled, Shield, Token, shield};
use crate::context;
use crate::engine::Few;
use crate::name::Name;
use crate::runtime::Instant;
use crate::time::{Timeout, timeout, timeout_at};
use crate::trace::tree;

/// Adds foster's functions to every future, as methods.
///
/// Beside the `FutureExt` of another crate, import it as `use foster::FutureExt as _;`.
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
    /// Runs for `duration` at most. See [`timeout`](crate::timeout).
    ///
    /// ```
    /// use foster::FutureExt;
    ///
    /// # futures::executor::block_on(async {
    /// assert!(std::future::pending::<()>().timeout(std::time::Duration::ZERO).await.is_err());
    /// # });
    /// ```
    fn timeout(self, duration: impl Into<Option<Duration>>) -> Timeout<Self> {
        timeout(duration, self)
    }

    /// Runs until `at` at the latest. See [`timeout_at`](crate::timeout_at).
    ///
    /// ```
    /// use foster::FutureExt;
    ///
    /// # futures::executor::block_on(async {
    /// assert!(std::future::pending::<()>().timeout_at(foster::now()).await.is_err());
    /// # });
    /// ```
    fn timeout_at(self, at: impl Into<Option<Instant>>) -> Timeout<Self> {
        timeout_at(at, self)
    }

    /// Runs until `token` is cancelled. See [`Token::run_until_cancelled`].
    ///
    /// ```
    /// use foster::{FutureExt, Token};
    ///
    /// # futures::executor::block_on(async {
    /// let token = Token::new();
    /// token.cancel("closing time");
    /// assert!(std::future::pending::<()>().run_until_cancelled(&token).await.is_err());
    /// # });
    /// ```
    fn run_until_cancelled(self, token: &Token) -> RunUntilCancelled<Self> {
        token.run_until_cancelled(self)
    }

    /// Protects the future from foster's cancellations. See [`shield`](crate::shield).
    ///
    /// The order matters. `work.shield().timeout(d)` waits for all of `work`, and
    /// `work.timeout(d).shield()` cancels it after `d`.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{FutureExt, now, sleep};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     assert_eq!(sleep(5 * second).shield().timeout(second).await, Ok(()));
    ///     assert_eq!(now() - start, 5 * second);
    /// });
    /// ```
    #[track_caller]
    fn shield(self) -> Shield<Self> {
        shield(self)
    }

    /// Gives the future a name for reports of what is stuck, as [children](crate::Scope::named) and
    /// [scopes](crate::scope::ScopeFuture::named) have one.
    ///
    /// # Cost
    ///
    /// The name is stored, and read only while such a report is made.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use foster::FutureExt;
    ///
    /// let stuck = std::future::pending::<()>().named("waiting for the mail");
    /// let error = foster::runtimes::Sim::default().try_run(stuck).unwrap_err();
    /// assert!(error.to_string().contains("waiting for the mail"));
    /// # }
    /// ```
    fn named(self, name: impl Into<Name>) -> NamedFuture<Self> {
        NamedFuture { future: self, name: name.into() }
    }

    /// Races the future against another one. See [`race`](crate::race).
    ///
    /// ```
    /// use foster::FutureExt;
    ///
    /// # futures::executor::block_on(async {
    /// assert_eq!(std::future::pending().race(async { 7 }).await, 7);
    /// # });
    /// ```
    fn race<O>(self, other: O) -> Race<Few<2>, Alike<Any2<Self, O::IntoFuture>>>
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
        if context::with(|ambient| ambient.is_drawing()) {
            tree::named(tree::quoted("", &*this.name), || this.future.poll(cx))
        } else {
            this.future.poll(cx)
        }
    }
}

impl<F> fmt::Debug for NamedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedFuture").field("name", &self.name).finish_non_exhaustive()
    }
}
