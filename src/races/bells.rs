//! A bell: who rings it, and the poller that it calls.

use std::future::poll_fn;
use std::task::Poll;

use super::{Arc, AtomicUsize, Letter, Ordering, block_on, model, thread};
use crate::mailbox::Bell;

/// Waits until the letters of all ringers have arrived, and looks for them only where the bell was
/// rung.
fn answer(bell: &Bell, letters: &[Arc<Letter>]) {
    block_on(poll_fn(|cx| {
        loop {
            if bell.rouse() && letters.iter().all(|letter| letter.arrived().is_ready()) {
                return Poll::Ready(());
            }
            if bell.sleep(cx.waker()) {
                return Poll::Pending;
            }
        }
    }));
}

#[test]
fn a_ring_is_not_lost_and_publishes_what_came_before() {
    model(|| {
        let (bell, letter) = (Arc::new(Bell::new()), Arc::new(Letter::new()));
        let (theirs, written) = (bell.clone(), letter.clone());
        let ringing = thread::spawn(move || {
            written.write();
            theirs.ring();
        });
        answer(&bell, &[letter]);
        ringing.join().unwrap();
    });
}

#[test]
fn a_second_ring_while_the_first_is_answered_is_not_lost() {
    model(|| {
        let (bell, rings) = (Arc::new(Bell::new()), Arc::new(AtomicUsize::new(0)));
        let (theirs, count) = (bell.clone(), rings.clone());
        let ringing = thread::spawn(move || {
            for _ in 0..2 {
                // It publishes nothing by itself.
                count.fetch_add(1, Ordering::Relaxed);
                theirs.ring();
            }
        });
        block_on(poll_fn(|cx| {
            loop {
                if bell.rouse() && rings.load(Ordering::Relaxed) == 2 {
                    return Poll::Ready(());
                }
                if bell.sleep(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }));
        ringing.join().unwrap();
    });
}

/// The poller keeps the waker that it has registered, and is polled once more by somebody else.
#[test]
fn a_bell_that_is_untouched_has_its_waker() {
    model(|| {
        let (bell, rings) = (Arc::new(Bell::new()), Arc::new(AtomicUsize::new(0)));
        let (theirs, count) = (bell.clone(), rings.clone());
        let ringing = thread::spawn(move || {
            for _ in 0..2 {
                // It publishes nothing by itself.
                count.fetch_add(1, Ordering::Relaxed);
                theirs.ring();
            }
        });
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                cx.waker().wake_by_ref();
            }
            if bell.is_untouched() {
                return Poll::Pending;
            }
            loop {
                if bell.rouse() && rings.load(Ordering::Relaxed) == 2 {
                    return Poll::Ready(());
                }
                if bell.sleep(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }));
        ringing.join().unwrap();
    });
}

#[test]
fn a_bell_without_a_poller_keeps_no_waker() {
    model(|| {
        let bell = Arc::new(Bell::new());
        let theirs = bell.clone();
        let ringing = thread::spawn(move || theirs.ring());
        let woken = std::sync::Arc::new(Woken);
        let waker = std::task::Waker::from(woken.clone());
        bell.sleep(&waker);
        bell.unhang();
        ringing.join().unwrap();
        drop(waker);
        assert_eq!(std::sync::Arc::strong_count(&woken), 1);
    });
}

struct Woken;

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {}
}
