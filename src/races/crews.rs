//! Members that come and leave, what they leave behind, and who keeps what they belong to.

use std::sync::Arc as Counted;
use std::sync::atomic::{AtomicUsize as Plain, Ordering::SeqCst};

use super::{Arc, Letter, model, thread};
use crate::task::crew::{Crew, Members, Membership};

/// A scope, as far as its members go.
struct Scope {
    members: Members,
    letters: [Letter; 2],
    left: Arc<Plain>,
    dropped: Arc<Plain>,
}

impl Scope {
    fn new() -> (Counted<Self>, Arc<Plain>, Arc<Plain>) {
        let (left, dropped) = (Arc::new(Plain::new(0)), Arc::new(Plain::new(0)));
        let letters = [Letter::new(), Letter::new()];
        let scope = Scope { members: Members::new(), letters, left: left.clone(), dropped: dropped.clone() };
        (Counted::new(scope), left, dropped)
    }

    fn arrived(&self) -> bool {
        self.letters.iter().all(|letter| letter.arrived().is_ready())
    }
}

impl Crew for Scope {
    fn members(&self) -> &Members {
        &self.members
    }

    fn left(&self) {
        self.left.fetch_add(1, SeqCst);
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, SeqCst);
    }
}

/// Each of two members writes a letter and leaves; `meanwhile` is done beside.
fn leave(meanwhile: impl Fn(Counted<Scope>) + Sync + Send + 'static) {
    model(move || {
        let (scope, left, dropped) = Scope::new();
        let members = [Membership::join(&scope).unwrap(), Membership::join(&scope).unwrap()];
        let mut which = 0;
        let threads = members.map(|member| {
            let at = which;
            which += 1;
            thread::spawn(move || {
                member.letters[at].write();
                drop(member);
            })
        });
        meanwhile(scope);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(left.load(SeqCst), 1, "one of them was the last");
        assert_eq!(dropped.load(SeqCst), 1, "nobody keeps it");
    });
}

#[test]
fn who_sees_that_all_members_have_left_sees_what_they_did() {
    leave(|scope| {
        if scope.members.count() == 0 {
            assert!(scope.arrived());
        }
    });
}

#[test]
fn who_closes_the_empty_crew_sees_what_the_members_did() {
    leave(|scope| {
        if scope.members.close_if_empty() {
            assert!(scope.arrived());
            assert!(scope.members.is_closed());
        }
    });
}

#[test]
fn members_keep_what_they_belong_to_when_all_others_let_go() {
    leave(drop);
}

#[test]
fn a_crew_that_is_closed_while_there_are_members_admits_no_more_and_keeps_those() {
    model(|| {
        let (scope, left, dropped) = Scope::new();
        let member = Membership::join(&scope).unwrap();
        let leaving = thread::spawn(move || drop(member));
        scope.members.close();
        assert!(Membership::join(&scope).is_none());
        drop(scope);
        leaving.join().unwrap();
        assert!(left.load(SeqCst) >= 1);
        assert_eq!(dropped.load(SeqCst), 1);
    });
}

#[test]
fn a_crew_that_runs_empty_while_another_member_comes_is_kept() {
    model(|| {
        let (scope, left, dropped) = Scope::new();
        let first = Membership::join(&scope).unwrap();
        let leaving = thread::spawn(move || drop(first));
        let second = Membership::join(&scope).unwrap();
        drop(scope);
        assert_eq!(dropped.load(SeqCst), 0);
        drop(second);
        leaving.join().unwrap();
        assert!((1..=2).contains(&left.load(SeqCst)));
        assert_eq!(dropped.load(SeqCst), 1);
    });
}
