//! Winds down one future: a region.
//!
//! The page [`cancel`](super) explains what regions are. A region has a token only once something
//! inside asks for one. Whatever needs time to end takes a hold on that token, so a region without
//! a token has no holds, and can be dropped at any time.

use std::future::Future;
use std::mem::needs_drop;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::reason::{Cause, Reason};
use crate::cancel::token::{Level, Token};
use crate::context::{self, Ambient, Ending, Entered};

pin_project! {
    /// A future that can be wound down: what a timeout guards, a member of a race.
    pub struct Region<F> {
        // `None` once it has completed or was dropped.
        #[pin]
        inside: Option<F>,
        // Made when something inside asks for it. During a poll of the inside it is in the context.
        // It wakes this region's poller when its level rises or its last hold ends.
        token: Option<Token>,
    }

    impl<F> PinnedDrop for Region<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(token) = this.project().token {
                // Others may keep the token. They must not keep the waker of a poller that is gone.
                token.forget_poller();
            }
        }
    }
}

impl<F: Future> Region<F> {
    pub(crate) fn new(inside: F) -> Self {
        Region { inside: Some(inside), token: None }
    }

    /// Polls the inside. Returns `Some` with its value, or `None` if it was cancelled and has been
    /// dropped.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        context::with(|ambient| self.poll_in(ambient, cx))
    }

    /// Does what [`poll`](Region::poll) does, for a caller that has the context at hand.
    #[inline(always)]
    pub(crate) fn poll_in(
        mut self: Pin<&mut Self>,
        ambient: &Ambient,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        let is_prepared = self.token.is_some() || ambient.is_tripped();
        if is_prepared && !self.as_mut().prepare(ambient, cx) {
            return Poll::Ready(None);
        }
        let polled = {
            let entered = ambient.enter_all();
            if is_prepared {
                entered.put(self.as_mut().project().token);
            }
            self.as_mut().poll_inside(&entered, cx)
        };
        match polled {
            Poll::Pending if self.token.is_some() => self.suspend(ambient, cx),
            Poll::Pending => Poll::Pending,
            ready => {
                self.project().inside.set(None);
                ready
            }
        }
    }

    /// Does what [`poll`](Region::poll) does, for a caller that polls several regions, and has
    /// entered all of them at once. A region that is ready is not polled again.
    #[inline]
    pub(crate) fn poll_within(
        mut self: Pin<&mut Self>,
        entered: &mut Entered<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<F::Output>> {
        if self.token.is_some() || entered.is_tripped() {
            if !entered.outside(|ambient| self.as_mut().prepare(ambient, cx)) {
                return Poll::Ready(None);
            }
            entered.put(self.as_mut().project().token);
        }
        match self.as_mut().poll_inside(entered, cx) {
            Poll::Pending if self.token.is_some() => entered.outside(|ambient| self.suspend(ambient, cx)),
            Poll::Pending => Poll::Pending,
            ready => {
                // Outside of the region, where the destructor finds the caller's surroundings.
                if needs_drop::<F>() {
                    entered.outside(|_| self.project().inside.set(None));
                }
                ready
            }
        }
    }

    /// Polls the inside, and leaves to the caller what follows outside of the region.
    #[inline(always)]
    fn poll_inside(self: Pin<&mut Self>, entered: &Entered<'_>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        let Some(inside) = this.inside.as_pin_mut() else { return Poll::Ready(None) };
        entered.poll(this.token, || inside.poll(cx)).map(Some)
    }

    /// Drops the inside, before a poll, if it is cancelled and has no holds. Returns whether it is
    /// still there.
    ///
    /// The token is linked first, so that what is inside already finds its own token cancelled if
    /// the enclosing region is. After its own cancellation the inside is polled once more, since it
    /// may still have a value, which the owner returns. Nobody wants a value of what lies in an
    /// enclosing region that is cancelled.
    #[inline(never)]
    fn prepare(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> bool {
        self.as_mut().settle(ambient, cx);
        if ambient.is_tripped() && !self.is_held() {
            // The reason, for the tasks of the scopes that are dropped with the inside.
            let _why = ambient.why_tripped().map(Ending::new);
            self.as_mut().drop_inside();
        }
        self.inside.is_some()
    }

    /// Drops the inside, after a poll that was pending, if it is cancelled and has no holds.
    ///
    /// The token may have been made, and its region cancelled, in that very poll. So the token is
    /// put in its place, and listened to, before it is looked at.
    #[inline(never)]
    fn suspend(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        self.as_mut().settle(ambient, cx);
        if self.is_tripped() && !self.is_held() {
            self.give_up();
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Puts the token, if there is one, below that of the enclosing region, and listens to it.
    #[inline]
    fn settle(self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) {
        if let Some(token) = self.project().token {
            ambient.link(token);
            token.listen(cx.waker());
        }
    }

    /// Cancels the inside, and drops it now if it has no holds.
    ///
    /// Otherwise it is gone when [`poll`](Region::poll) is ready.
    pub(crate) fn trip(mut self: Pin<&mut Self>, level: Level, reason: &Arc<Reason>) {
        if !self.raise(level, reason) {
            let tripped = self.token().and_then(Token::tripped);
            let _why = Ending::new(tripped.unwrap_or_else(|| Cause::now(Arc::clone(reason))));
            self.as_mut().drop_inside();
        }
    }

    /// Cancels the inside before a poll, which can still produce a value. What the inside would
    /// start in that poll does not start.
    pub(crate) fn trip_before_poll(self: Pin<&mut Self>, reason: &Arc<Reason>) {
        self.project().token.get_or_insert_with(Token::new).raise(Level::Cancelled, reason);
    }

    /// Drops the inside, although it may have holds.
    pub(crate) fn give_up(self: Pin<&mut Self>) {
        let _why = self.token().and_then(Token::tripped).map(Ending::new);
        self.drop_inside();
    }

    /// Drops the inside in no region, because its destructors may use what does not start in a
    /// cancelled one.
    fn drop_inside(self: Pin<&mut Self>) {
        context::outside(|| self.project().inside.set(None));
    }

    /// Raises the level of the inside, and returns whether it has holds. If it has none, the caller
    /// must drop it.
    pub(crate) fn raise(&self, level: Level, reason: &Arc<Reason>) -> bool {
        if let Some(token) = &self.token {
            token.raise(level, reason);
        }
        self.is_held()
    }

    /// Returns the token, if something inside has asked for it.
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{pending, poll_fn};
    use std::task::Waker;

    use super::*;
    use crate::shield;

    /// It may have been moved there, or what encloses it may have been.
    #[test]
    fn what_holds_finds_its_token_cancelled_in_its_first_poll_in_a_cancelled_region() {
        let (found, cx) = (RefCell::new(Vec::new()), &mut Context::from_waker(Waker::noop()));
        let mut held = Box::pin(shield(pending::<()>()));
        let mut region = Box::pin(Region::new(poll_fn(|cx| {
            found.borrow_mut().push(Token::current().expect("it is a region").is_cancelled());
            held.as_mut().poll(cx)
        })));
        let cancelled = Token::new();
        cancelled.cancel("enough");
        for enclosing in [Token::new(), cancelled] {
            let polled = context::with(|ambient| ambient.enter(&mut Some(enclosing), || region.as_mut().poll(cx)));
            assert!(polled.is_pending());
        }
        drop(region);
        assert_eq!(found.into_inner(), [false, true]);
    }
}
