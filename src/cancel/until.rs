//! A future that a token ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::region::Region;
use crate::context;
use crate::token::{Cancelled, Level, Listener, Reason, Token};

impl Token {
    /// Runs `future` until it is ready or this token is cancelled, whichever comes first; the value wins a tie.
    ///
    /// What inside needs time to end has ended when this returns, as with [`timeout`](crate::timeout). On a token that is
    /// cancelled already, `future` is not polled. The counterpart of tokio-util's method of the same name.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], with the token's reason.
    ///
    /// # Cancellation
    ///
    /// Dropping this drops `future`.
    pub fn run_until_cancelled<F: Future>(&self, future: F) -> UntilCancelled<F> {
        UntilCancelled { region: Region::new(future), listener: Listener::new(self.clone()), started: false }
    }

    /// The token of the region in which the caller is being polled: a scope's child, the inside of a timeout.
    ///
    /// It is cancelled when that region is wound down, or when its scope is [stopped](crate::Scope::stop). `None`
    /// outside any region. The first caller in a region allocates it.
    pub fn current() -> Option<Token> {
        context::with(|ambient| ambient.region_token())
    }
}

pin_project! {
    /// The future of [`Token::run_until_cancelled`].
    #[must_use = "futures do nothing unless polled"]
    pub struct UntilCancelled<F> {
        #[pin]
        region: Region<F>,
        listener: Listener,
        started: bool,
    }
}

impl<F: Future> Future for UntilCancelled<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.listener.listen(cx.waker());
        let reason = || this.listener.token().reason();
        if *this.started || reason().is_none() {
            *this.started = true;
            if let Poll::Ready(Some(value)) = this.region.as_mut().poll(cx) {
                return Poll::Ready(Ok(value));
            }
        }
        let Some(reason) = reason() else { return Poll::Pending };
        this.region.as_mut().trip(Level::Cancelled, &reason);
        if this.region.is_over() {
            Poll::Ready(Err(Cancelled::new(reason, None)))
        } else {
            repoll(this.region, cx, reason)
        }
    }
}

/// Polls a region that was just tripped once more, so that what winds down inside it begins now.
fn repoll<F: Future>(
    region: Pin<&mut Region<F>>,
    cx: &mut Context<'_>,
    reason: Reason,
) -> Poll<Result<F::Output, Cancelled>> {
    match region.poll(cx) {
        Poll::Ready(Some(value)) => Poll::Ready(Ok(value)),
        Poll::Ready(None) => Poll::Ready(Err(Cancelled::new(reason, None))),
        Poll::Pending => Poll::Pending,
    }
}

impl<F> fmt::Debug for UntilCancelled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilCancelled").field("token", self.listener.token()).finish_non_exhaustive()
    }
}
