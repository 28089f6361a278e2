//! Ends a future when a token is cancelled.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::region::Region;
use crate::cancel::reason::{Cancelled, Reason};
use crate::cancel::token::{Level, Token, TokenListener, Tokens};
use crate::context;

impl Token {
    /// Runs `future` until it is ready or this token is cancelled, whichever comes first.
    ///
    /// A value wins a tie. If the token is cancelled already, `future` is not polled.
    ///
    /// When the token is cancelled, `future` is [wound down](crate::cancel), as by
    /// [`timeout`](crate::timeout): what inside needs time has ended when this returns. A value
    /// that `future` still produces then is returned.
    ///
    /// The counterpart of tokio-util's method of the same name, which drops `future` at once.
    ///
    /// # Errors
    ///
    /// Returns [`Cancelled`], with the token's reason, if the token was cancelled first. If an
    /// enclosing region was cancelled before that, this stays pending, and is dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping this drops `future`.
    ///
    /// # Cost
    ///
    /// One allocation. Each poll takes the token's lock for a moment.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{Token, gather, yield_now};
    ///
    /// let token = Token::new();
    /// let serve = token.run_until_cancelled(std::future::pending::<()>());
    /// let close = async { yield_now().await; token.cancel("closing time") };
    /// let (served, ()) = gather((serve, close)).await;
    /// assert_eq!(served.unwrap_err().reason(), &"closing time".into());
    ///
    /// let (token, cancelling) = (Token::new(), |token: &Token| { token.cancel("too late"); 7 });
    /// assert_eq!(token.run_until_cancelled(async { cancelling(&token) }).await, Ok(7));
    /// # });
    /// ```
    pub fn run_until_cancelled<F: Future>(&self, future: F) -> RunUntilCancelled<F> {
        let until = Until { future, token: self.clone(), tokens: None };
        RunUntilCancelled {
            region: Region::new(until),
            listener: TokenListener::new(self.clone()),
            phase: RunPhase::Fresh,
        }
    }

    /// Returns the token of the [region](crate::cancel#regions) that the caller is polled in: that
    /// of a scope's child, or of what a timeout guards.
    ///
    /// It is cancelled when that region is, and also when an enclosing scope is
    /// [stopped](crate::Scope::stop). Returns `None` outside any region: in a blocking job, in a
    /// destructor, and where nothing of foster's encloses the caller.
    ///
    /// In a shield it is a token of the shield, which nobody cancels. To listen there, take the
    /// token outside, as below.
    ///
    /// # Cost
    ///
    /// The first call in a region allocates the token.
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
    ///         // The steps of the cleanup go on until the timeout expires.
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
    /// The future that [`Token::run_until_cancelled`] returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct RunUntilCancelled<F> {
        #[pin]
        region: Region<Until<F>>,
        listener: TokenListener,
        phase: RunPhase,
    }
}

pin_project! {
    /// A future that finds the token among those with which it ends.
    struct Until<F> {
        #[pin]
        future: F,
        token: Token,
        // Begins with the token. Those that enclose the last poll come after it.
        tokens: Tokens,
    }
}

impl<F: Future> Future for Until<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(|ambient| ambient.until(this.token, this.tokens, || this.future.poll(cx)))
    }
}

#[derive(Debug)]
enum RunPhase {
    /// Not polled yet.
    Fresh,
    /// Polled, and the token was not cancelled.
    Running,
    /// The token was cancelled, for this reason, and what is inside is ending.
    WindingDown(Arc<Reason>),
}

impl<F: Future> Future for RunUntilCancelled<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.listener.listen(cx.waker());
        match (&*this.phase, this.listener.token().shared_reason()) {
            // What encloses this was cancelled first. Its owner drops this, which reports nothing.
            (RunPhase::Fresh, Some(_)) if is_second() => return Poll::Pending,
            (RunPhase::Fresh, Some(reason)) => return Poll::Ready(Err(Cancelled::new(reason))),
            (RunPhase::Fresh, None) => *this.phase = RunPhase::Running,
            // The token was cancelled before this poll. So whatever else happens in this poll comes
            // second, such as a timeout inside that expires. Only a value still wins.
            (RunPhase::Running, Some(reason)) if !is_second() => {
                this.region.as_mut().trip_before_poll(&reason);
                *this.phase = RunPhase::WindingDown(reason);
            }
            _ => {}
        }
        loop {
            let polled = this.region.as_mut().poll(cx);
            // Before the token is looked at. What is inside on other threads then hears of a
            // cancellation at once, and not when this is polled.
            match this.region.token() {
                Some(region) if polled.is_pending() => this.listener.cancel_region(region),
                Some(_) => this.listener.cancel_no_region(),
                None => {}
            }
            match (polled, &*this.phase) {
                (Poll::Ready(Some(value)), _) => return Poll::Ready(Ok(value)),
                (Poll::Ready(None), RunPhase::WindingDown(reason)) => {
                    return Poll::Ready(Err(Cancelled::new(reason.clone())));
                }
                (_, RunPhase::Running) => {
                    // If an enclosing region was cancelled first, whoever did that drops this.
                    let reason = this.listener.token().shared_reason().filter(|_| !is_second());
                    let Some(reason) = reason else { return Poll::Pending };
                    this.region.as_mut().trip(Level::Cancelled, &reason);
                    *this.phase = RunPhase::WindingDown(reason);
                }
                // It is still ending.
                _ => return Poll::Pending,
            }
        }
    }
}

/// Whether a cancellation that is noticed here comes after one of what encloses this.
fn is_second() -> bool {
    context::with(|ambient| ambient.is_doomed())
}

impl<F> fmt::Debug for RunUntilCancelled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunUntilCancelled").field("token", self.listener.token()).finish_non_exhaustive()
    }
}
