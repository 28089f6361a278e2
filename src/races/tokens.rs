//! Tokens that are cancelled, listened to, attached and held by several threads.

use std::future::poll_fn;
use std::sync::Arc as Counted;
use std::task::Poll;

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
