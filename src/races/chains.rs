//! The children of a scope on its chain, while they end elsewhere.

use std::cell::Cell;
use std::future::{Ready, ready};
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::task::{Context, Waker};

use super::{Arc, AtomicUsize, Ordering, model, thread};
use crate::name::Name;
use crate::task::cell::{Extra, Failed, Memory, Node, Reader, Runner};
use crate::task::remote::{Claim, Lasting, NextRemote, Remote, RemoteChain, RemoteState};

/// What a child has in its node.
struct Seat {
    state: ManuallyDrop<RemoteState>,
    next: ManuallyDrop<NextRemote>,
    number: usize,
    told: Arc<AtomicUsize>,
}

impl Extra for Seat {
    fn name(&self) -> Option<&Name> {
        None
    }

    /// Notes the child's number, if it had not begun.
    fn tell(&self) {
        if self.state.claim() == Claim::Claimed {
            self.told.store(self.told.load(Ordering::Relaxed) * 10 + self.number, Ordering::Relaxed);
        }
    }
}

// SAFETY: the state and the place are not dropped; a child that is told before it has begun has its
// node.
unsafe impl Lasting for Seat {
    fn has_ended(&self) -> bool {
        self.state.has_ended()
    }

    fn next(&self) -> &NextRemote {
        &self.next
    }
}

type Child = Node<Ready<Result<u8, Failed>>, u8, (), Seat>;

/// A child as a runtime has it.
struct Running(Memory<Child>, Runner<Child>, Reader<u8, ()>);

impl Running {
    fn new(number: usize, told: &Arc<AtomicUsize>) -> (Self, Remote) {
        let (state, next) = (ManuallyDrop::new(RemoteState::new()), ManuallyDrop::new(NextRemote::new()));
        let seat = Seat { state, next, number, told: Arc::clone(told) };
        let (runner, reader, [memory, remote]) = Runner::with_memories(ready(Ok(1)), Location::caller(), seat);
        (Running(memory, runner, reader), Remote::new(remote))
    }

    fn seat(&self) -> &Seat {
        // SAFETY: the runner keeps the node.
        unsafe { &*self.0.value() }.extra()
    }

    /// Ends the child, whose node is dropped before its memory is let go of.
    fn end(mut self) {
        assert!(self.1.poll(&Cell::new(None), &mut Context::from_waker(Waker::noop())).is_ready());
        self.seat().state.end();
        let Running(_memory, runner, reader) = self;
        drop((runner, reader));
    }
}

#[test]
fn a_child_ends_while_its_scope_tidies_its_chain_and_the_others_are_told_the_latest_first() {
    model(|| {
        let (told, mut chain) = (Arc::new(AtomicUsize::new(0)), RemoteChain::default());
        let [one, two, three] = [1, 2, 3].map(|number| {
            let (child, remote) = Running::new(number, &told);
            chain.push(remote);
            child
        });
        assert!(two.seat().state.begin());
        let ending = thread::spawn(move || two.end());
        chain.tidy();
        assert!(chain.len() >= 2);
        ending.join().unwrap();
        chain.tidy();
        assert_eq!(chain.len(), 2);
        while let Some(remote) = chain.pop() {
            remote.tell();
        }
        assert_eq!(told.load(Ordering::Relaxed), 31);
        drop((one, three));
    });
}

#[test]
fn a_chain_lets_go_of_children_that_are_over_at_its_ends() {
    model(|| {
        let (told, mut chain) = (Arc::new(AtomicUsize::new(0)), RemoteChain::default());
        let mut children = [1, 2, 3, 4].map(|number| {
            let (child, remote) = Running::new(number, &told);
            chain.push(remote);
            Some(child)
        });
        for place in [0, 2, 3] {
            let child = children[place].take().unwrap();
            assert!(child.seat().state.begin());
            child.end();
        }
        chain.tidy();
        assert_eq!(chain.len(), 1);
        chain.pop().unwrap().tell();
        assert_eq!(told.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_chain_that_is_dropped_leaves_no_memory_behind() {
    model(|| {
        let (told, mut chain) = (Arc::new(AtomicUsize::new(0)), RemoteChain::default());
        let children = [1, 2].map(|number| {
            let (child, remote) = Running::new(number, &told);
            chain.push(remote);
            child
        });
        let ending = thread::spawn(move || drop(children));
        drop(chain);
        ending.join().unwrap();
    });
}
