//! A child in a runtime's queue, which its scope takes back, or wakes.

use std::future::poll_fn;
use std::sync::atomic::AtomicBool as Plain;
use std::task::Poll;

use super::{Arc, AtomicUsize, Letter, Ordering, block_on, model, thread};
use crate::task::remote::{Claim, RemoteState};

#[test]
fn a_child_has_one_owner_whether_it_begins_or_is_taken_back() {
    model(|| {
        let (state, child) = (Arc::new(RemoteState::new()), Arc::new(Letter::new()));
        let (theirs, begun) = (Arc::clone(&state), Arc::clone(&child));
        let runtime = thread::spawn(move || {
            let began = theirs.begin();
            if began {
                begun.write();
                theirs.end();
            }
            assert!(!theirs.begin(), "it has ended");
            began
        });
        let claimed = state.claim() == Claim::Claimed;
        if claimed {
            child.write();
        }
        assert!(claimed != runtime.join().unwrap(), "nobody has it, or both");
        assert!(state.has_ended());
    });
}

/// A child that has begun, whether it is cancelled, and the thread that says so and then tells it.
fn begun_and_cancelled() -> (Arc<RemoteState>, impl Fn() -> bool, thread::JoinHandle<()>) {
    // The flag publishes nothing: what orders it is the state.
    let (state, cancelled) = (Arc::new(RemoteState::new()), Arc::new(AtomicUsize::new(0)));
    assert!(state.begin());
    let (theirs, cancelling) = (Arc::clone(&state), Arc::clone(&cancelled));
    let scope = thread::spawn(move || {
        cancelling.store(1, Ordering::Relaxed);
        assert_eq!(theirs.claim(), Claim::Begun);
        theirs.wake();
    });
    (state, move || cancelled.load(Ordering::Relaxed) == 1, scope)
}

/// The child suspends, and then looks whether it is cancelled.
#[test]
fn a_child_that_is_suspended_while_it_is_cancelled_is_woken_or_sees_it() {
    model(|| {
        let (state, is_cancelled, scope) = begun_and_cancelled();
        block_on(poll_fn(|cx| {
            state.suspend(cx.waker());
            if is_cancelled() { Poll::Ready(()) } else { Poll::Pending }
        }));
        scope.join().unwrap();
    });
}

/// The runtime polls with another waker, perhaps while the first one is being woken.
#[test]
fn a_child_whose_waker_is_replaced_is_woken_by_the_new_one_or_sees_that_it_is_cancelled() {
    model(|| {
        let (state, is_cancelled, scope) = begun_and_cancelled();
        let wakers = [(); 2].map(|()| std::sync::Arc::new(Woken(Plain::new(false))));
        let sees = wakers.each_ref().map(|woken| {
            state.suspend(&std::task::Waker::from(std::sync::Arc::clone(woken)));
            is_cancelled()
        });
        scope.join().unwrap();
        assert!(sees[1] || wakers[1].0.load(std::sync::atomic::Ordering::Relaxed), "the wake-up was lost");
        state.end();
        assert!(wakers.iter().all(|woken| std::sync::Arc::strong_count(woken) == 1), "the state keeps a waker");
    });
}

#[test]
fn nobody_is_woken_after_the_end() {
    model(|| {
        let state = Arc::new(RemoteState::new());
        assert!(state.begin());
        let theirs = Arc::clone(&state);
        let runtime = thread::spawn(move || {
            let woken = std::sync::Arc::new(Woken(Plain::new(false)));
            let waker = std::task::Waker::from(std::sync::Arc::clone(&woken));
            theirs.suspend(&waker);
            theirs.end();
            drop(waker);
            // Whoever took the waker before the end may have it still.
            woken
        });
        if state.claim() == Claim::Begun {
            state.wake();
        }
        let woken = runtime.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&woken), 1, "the state keeps a waker");
    });
}

struct Woken(Plain);

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
