//! A bell: who rings it, and the poller that it calls.

use std::future::poll_fn;
use std::task::Poll;

use super::{Arc, AtomicUsize, Letter, Ordering, block_on, model, thread};
use crate::mailbox::{Bell, Call, Lane};

/// Waits until the letters of all ringers have arrived, and looks for them only where the bell was
/// rung.
fn answer(bell: &Bell, letters: &[Arc<Letter>]) {
    block_on(poll_fn(|cx| {
        loop {
            if bell.rouse().any() && letters.iter().all(|letter| letter.arrived().is_ready()) {
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
                if bell.rouse().any() && rings.load(Ordering::Relaxed) == 2 {
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
                if bell.rouse().any() && rings.load(Ordering::Relaxed) == 2 {
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

/// A lane does not ring where the bell is rung for it, and the poller looks into no lane for which
/// it is not.
#[test]
fn what_is_put_into_two_lanes_is_taken_out() {
    model(|| {
        let lanes = (Bell::new(), Lane::<u8, 1>::new(Call::Inbox), Lane::<u8, 1>::new(Call::News));
        let lanes = Arc::new(lanes);
        let theirs = lanes.clone();
        let pushing = thread::spawn(move || {
            let (bell, inbox, news) = &*theirs;
            inbox.push(1, bell).unwrap();
            news.push(2, bell).unwrap();
            inbox.push(3, bell).unwrap();
        });
        let (bell, inbox, news) = &*lanes;
        let mut sum = 0;
        block_on(poll_fn(|cx| {
            loop {
                let calls = bell.rouse();
                if calls.has(Call::Inbox) {
                    inbox.take().for_each(|item| sum += item);
                }
                if calls.has(Call::News) {
                    news.take().for_each(|item| sum += item);
                }
                if sum == 1 + 2 + 3 {
                    return Poll::Ready(());
                }
                if bell.sleep(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }));
        pushing.join().unwrap();
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
