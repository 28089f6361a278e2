//! A future that a token ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
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
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{Token, gather, yield_now};
    ///
    /// let token = Token::new();
    /// let serve = token.run_until_cancelled(std::future::pending::<()>());
    /// let (served, ()) = gather((serve, async { yield_now().await; token.cancel("closing time") })).await;
    /// assert_eq!(served.unwrap_err().reason(), &"closing time".into());
    ///
    /// let (token, cancelling) = (Token::new(), |token: &Token| { token.cancel("too late"); 7 });
    /// assert_eq!(token.run_until_cancelled(async { cancelling(&token) }).await, Ok(7));
    /// # });
    /// ```
    pub fn run_until_cancelled<F: Future>(&self, future: F) -> UntilCancelled<F> {
        UntilCancelled { region: Region::new(future), listener: Listener::new(self.clone()), phase: Phase::Fresh }
    }

    /// The token of the region in which the caller is being polled: a scope's child, the inside of a timeout.
    ///
    /// It is cancelled when that region is wound down, or when its scope is [stopped](crate::Scope::stop). `None`
    /// outside any region. The first caller in a region allocates it.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{Token, shield, sleep, timeout};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let mut steps = 0;
    ///     let work = async {
    ///         let token = Token::current().unwrap();
    ///         // Cleanup that takes many steps learns that it is time to hurry.
    ///         shield(async {
    ///             while !token.is_cancelled() {
    ///                 sleep(2 * second).await;
    ///                 steps += 1;
    ///             }
    ///         }).await
    ///     };
    ///     _ = timeout(3 * second, work).await;
    ///     assert_eq!(steps, 2);
    /// });
    /// ```
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
        phase: Phase,
    }
}

#[derive(Debug)]
enum Phase {
    Fresh,
    Running,
    WindingDown(Arc<Reason>),
}

impl<F: Future> Future for UntilCancelled<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.listener.listen(cx.waker());
        if let Phase::Fresh = this.phase {
            if let Some(reason) = this.listener.token().shared_reason() {
                return Poll::Ready(Err(Cancelled::new(reason, None)));
            }
            *this.phase = Phase::Running;
        } else if let (Phase::Running, true) = (&*this.phase, this.listener.token().is_cancelled()) {
            // Cancelled before this poll. So what happens in there during the poll comes second, such as a
            // timeout that has expired meanwhile. A value still wins.
            if let Some(reason) = this.listener.token().shared_reason() {
                this.region.as_mut().trip_before_poll(&reason);
                *this.phase = Phase::WindingDown(reason);
            }
        }
        loop {
            match (this.region.as_mut().poll(cx), &*this.phase) {
                (Poll::Ready(Some(value)), _) => return Poll::Ready(Ok(value)),
                (Poll::Ready(None), Phase::WindingDown(reason)) => {
                    return Poll::Ready(Err(Cancelled::new(reason.clone(), None)));
                }
                (Poll::Pending, Phase::Running) => {
                    let Some(reason) = this.listener.token().shared_reason() else { return Poll::Pending };
                    this.region.as_mut().trip(Level::Cancelled, &reason);
                    *this.phase = Phase::WindingDown(reason);
                }
                // Still ending; or cancelled from around, and about to be dropped.
                (Poll::Pending | Poll::Ready(None), _) => return Poll::Pending,
            }
        }
    }
}

impl<F> fmt::Debug for UntilCancelled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilCancelled").field("token", self.listener.token()).finish_non_exhaustive()
    }
}
