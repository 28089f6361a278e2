//! Tokens that are cancelled, listened to, attached and held by several threads, and the regions
//! that end with them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc as Counted;
use std::task::{Context, Poll, Waker};

use super::{block_on, model, thread};
use crate::cancel::reason::Reason;
use crate::cancel::token::{Level, Token, TokenListener};

fn reason() -> Counted<Reason> {
    Counted::new(Reason::Shutdown)
}

#[test]
fn whoever_listens_while_a_token_is_cancelled_hears_of_it() {
    model(|| {
        let token = Token::new();
        let theirs = token.clone();
        let cancelling = thread::spawn(move || theirs.raise(Level::Asked, &reason()));
        assert_eq!(block_on(token.cancelled()), Reason::Shutdown);
        cancelling.join().unwrap();
    });
}

#[test]
fn a_token_that_is_attached_while_its_parent_is_cancelled_is_cancelled() {
    model(|| {
        let (parent, child) = (Token::new(), Token::new());
        let theirs = parent.clone();
        let cancelling = thread::spawn(move || theirs.raise(Level::Asked, &reason()));
        child.attach(&parent);
        assert_eq!(block_on(child.cancelled()), Reason::Shutdown);
        cancelling.join().unwrap();
    });
}

/// A region that is cancelled is dropped once it has no holds, and whoever polls it is told of
/// both.
#[test]
fn whoever_waits_for_the_last_hold_of_a_cancelled_token_hears_of_its_end() {
    model(|| {
        let (token, inside) = (Token::new(), Token::new());
        inside.attach(&token);
        let hold = inside.hold();
        let theirs = token.clone();
        let cancelling = thread::spawn(move || theirs.raise(Level::Cancelled, &reason()));
        let ending = thread::spawn(move || drop(hold));
        let mut listener = TokenListener::new(token.clone());
        block_on(poll_fn(|cx| {
            listener.listen(cx.waker());
            if token.is_tripped() && !token.is_held() { Poll::Ready(()) } else { Poll::Pending }
        }));
        cancelling.join().unwrap();
        ending.join().unwrap();
    });
}

/// The hold moves from one region to another while it ends.
#[test]
fn a_hold_that_moves_while_it_ends_is_left_with_nobody() {
    model(|| {
        let (first, second, inside) = (Token::new(), Token::new(), Token::new());
        inside.attach(&first);
        let hold = inside.hold();
        let ending = thread::spawn(move || drop(hold));
        inside.attach(&second);
        ending.join().unwrap();
        assert!(!first.is_held() && !second.is_held() && !inside.is_held());
    });
}

/// The token is cancelled during the only poll. The owner sees it in that poll, or what is inside
/// hears of it without another one.
#[test]
fn what_is_inside_hears_of_a_token_that_is_cancelled_while_its_owner_polls_it() {
    model(|| {
        let (token, inside) = (Token::new(), Cell::new(None::<Token>));
        let theirs = token.clone();
        let cancelling = thread::spawn(move || theirs.raise(Level::Asked, &reason()));
        let mut run = pin!(token.run_until_cancelled(poll_fn(|_| {
            inside.set(Token::current());
            Poll::<()>::Pending
        })));
        let polled = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        cancelling.join().unwrap();
        // There is nothing inside if the token was cancelled before the poll.
        assert!(inside.take().is_none_or(|inside| inside.is_tripped()), "the cancellation was lost");
        if polled.is_pending() {
            assert!(block_on(run).is_err());
        }
    });
}

/// The owner of a region gives up the region's place at a token, by `leave`, while the token is
/// cancelled.
fn leaves_while_the_token_is_cancelled(leave: fn(TokenListener) -> Option<TokenListener>) {
    model(move || {
        let (token, region) = (Token::new(), Token::new());
        let mut listener = TokenListener::new(token.clone());
        listener.listen(Waker::noop());
        listener.cancel_region(&region);
        let theirs = token.clone();
        let cancelling = thread::spawn(move || theirs.raise(Level::Asked, &reason()));
        let _left = leave(listener);
        // Whoever cancels may have found the region before, and raise its token only now. Then the
        // owner sees that the token is cancelled.
        let sees = token.is_cancelled();
        cancelling.join().unwrap();
        assert!(sees || !region.is_cancelled(), "it was cancelled after it had left");
    });
}

#[test]
fn a_region_that_has_ended_is_not_cancelled_with_a_token_that_is_live_still() {
    leaves_while_the_token_is_cancelled(|listener| {
        listener.cancel_no_region();
        Some(listener)
    });
}

#[test]
fn a_region_whose_owner_is_gone_is_not_cancelled_with_a_token_that_is_live_still() {
    leaves_while_the_token_is_cancelled(|listener| {
        drop(listener);
        None
    });
}
