//! The wait for what a scope left behind, and the children that end meanwhile.

use std::sync::Arc as Counted;

use super::{Arc, Letter, block_on, model, thread};
use crate::name::Name;
use crate::scope::control::{Control, News};
use crate::scope::transfer::Orphans;
use crate::task::crew::Membership;
use crate::task::hub::Typed;

/// A scope that was dropped, and children of it that end on a thread each, after `last` was called.
fn wait_for<const CHILDREN: usize>(last: impl Fn(&Control, usize) + Copy + Sync + Send + 'static) {
    model(move || {
        let (left, enclosing) = (Control::bare(), Control::bare());
        let letters = [(); CHILDREN].map(|()| Arc::new(Letter::new()));
        let mut which = 0;
        let children = letters.clone().map(|letter| {
            let child = Membership::join(&left).expect("it takes children still");
            let n = which;
            which += 1;
            thread::spawn(move || {
                letter.write();
                last(&child, n);
                drop(child);
            })
        });
        block_on(Orphans::new(Counted::clone(&left), Some(Counted::clone(&enclosing))));
        assert!(letters.iter().all(|letter| letter.arrived().is_ready()), "it did not wait");
        assert!(Membership::join(&left).is_none(), "a child came that nobody waits for");
        children.into_iter().for_each(|child| child.join().unwrap());
        let mut adopted = 0;
        enclosing.news().take().for_each(|_| adopted += 1);
        assert_eq!(adopted, left.news().pushed(), "what a child left behind is lost");
    });
}

/// It roused itself after it had looked at the count: the ring for the last end was forgotten.
#[test]
fn the_wait_for_the_last_child_ends() {
    wait_for::<1>(|_, _| {});
}

#[test]
fn the_wait_for_two_children_ends() {
    wait_for::<2>(|_, _| {});
}

#[test]
fn what_a_child_leaves_behind_as_it_ends_reaches_the_enclosing_scope() {
    wait_for::<1>(|left, _| {
        let sent = left.send(News::Adopt(Box::pin(std::future::ready(()))));
        assert!(sent.is_ok(), "somebody waits, and takes it");
    });
}

/// An error that comes while the scope ends is returned by the scope or dropped. It is not lost in
/// between.
#[test]
fn an_error_that_comes_at_the_end_is_returned_or_dropped() {
    model(|| {
        let errors = Typed::<(), Box<()>, Counted<()>>::new(());
        let token = Counted::new(());
        let (pushed, failed) = (Counted::clone(&token), errors.errors());
        let child = thread::spawn(move || failed.push(Name::from("late"), pushed));
        let returned = errors.end_errors().len();
        child.join().unwrap();
        assert_eq!(Counted::strong_count(&token), 1, "an error was kept after {returned} had been returned");
    });
}
