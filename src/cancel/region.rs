//! A region: the inside of whatever can be cancelled.

use std::future::Future;
use std::mem::needs_drop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context::{self, Ambient, Ending, Entered};
use crate::token::{Level, Listener, Reason, Token};

pin_project! {
    /// A future that can be wound down: the inside of a timeout, a member of a race.
    pub struct Region<F> {
        #[pin]
        inside: Option<F>,
        // Made when something inside asks for it; out in the context while the inside is polled.
        token: Option<Token>,
        // There from the poll on in which the token was made: wakes this region's poller when the token is tripped.
        listener: Option<Listener>,
    }
}

impl<F: Future> Region<F> {
    pub(crate) fn new(inside: F) -> Self {
        Region { inside: Some(inside), token: None, listener: None }
    }

    /// Polls the inside. `Some` is its value; `None` says that it was cancelled and nothing is left of it.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        context::with(|ambient| self.poll_in(ambient, cx))
    }

    /// Likewise, for a caller that has the context at hand.
    #[inline]
    pub(crate) fn poll_in(
        mut self: Pin<&mut Self>,
        ambient: &Ambient,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        self.as_mut().settle(ambient, cx);
        if ambient.is_tripped() && !self.is_held() {
            let _why = ambient.why_tripped().as_ref().map(Ending::new);
            self.as_mut().drop_inside();
        }
        let mut this = self.as_mut().project();
        let Some(inside) = this.inside.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(value) = ambient.enter(this.token, || inside.poll(cx)) {
            this.inside.set(None);
            return Poll::Ready(Some(value));
        }
        self.suspend(ambient, cx)
    }

    /// Likewise, for a caller that has entered the region already, as one of several.
    #[inline]
    pub(crate) fn poll_within(
        mut self: Pin<&mut Self>,
        entered: &mut Entered<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        if self.token.is_some() || entered.is_tripped() {
            return entered.outside(|ambient| self.poll_in(ambient, cx));
        }
        let mut this = self.as_mut().project();
        let Some(inside) = this.inside.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        if let Poll::Ready(value) = entered.poll(this.token, || inside.poll(cx)) {
            // Its destructor runs in the surroundings.
            if needs_drop::<F>() {
                entered.outside(|_| this.inside.set(None));
            }
            return Poll::Ready(Some(value));
        }
        if this.token.is_none() {
            return Poll::Pending;
        }
        entered.outside(|ambient| self.suspend(ambient, cx))
    }

    /// After a poll of the inside that was pending: drops it if it was cancelled meanwhile and needs no time to end.
    #[inline]
    fn suspend(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.as_mut().settle(ambient, cx);
        if self.is_tripped() && !self.is_held() {
            let _why = self.token().and_then(Token::shared_reason).as_ref().map(Ending::new);
            self.drop_inside();
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Puts the token, if there is one, in its place in the tree, and listens to it.
    #[inline]
    fn settle(self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) {
        let this = self.project();
        if let Some(token) = this.token {
            ambient.link(token);
            this.listener.get_or_insert_with(|| Listener::new(token.clone())).listen(cx.waker());
        }
    }

    /// Cancels the inside: what needs no time to end is dropped before this returns.
    ///
    /// The rest is gone when [`poll`](Region::poll) says so.
    pub(crate) fn trip(mut self: Pin<&mut Self>, level: Level, reason: &Arc<Reason>) {
        if !self.raise(level, reason) {
            let _why = Ending::new(reason);
            self.as_mut().drop_inside();
        }
    }

    /// Cancels the inside before a poll that is to see it: what it would start there does not start.
    pub(crate) fn trip_before_poll(self: Pin<&mut Self>, reason: &Arc<Reason>) {
        self.project().token.get_or_insert_with(Token::new).raise(Level::Cancelled, reason);
    }

    /// A destructor in there may use what does not start in a region that is ending.
    fn drop_inside(self: Pin<&mut Self>) {
        context::outside(|| self.project().inside.set(None));
    }

    /// Says to the inside that it is cancelled; returns whether it needs time to end. If not, it is to be dropped.
    pub(crate) fn raise(&self, level: Level, reason: &Arc<Reason>) -> bool {
        if let Some(token) = &self.token {
            token.raise(level, reason);
        }
        self.is_held()
    }

    pub(crate) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
    }

    fn is_tripped(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_tripped)
    }

    fn is_held(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_held)
    }
}
