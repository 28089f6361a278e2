//! The waker protocol, and what a wake-up publishes.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::{Arc, AtomicUsize, Letter, Ordering, block_on, model, thread};
use crate::engine::Set;

fn letters<const N: usize>() -> [Arc<Letter>; N] {
    std::array::from_fn(|_| Arc::new(Letter::new()))
}

/// A set of `N` members of which the first block takes `first`, and a waker of each.
fn set_and_wakers<F, const N: usize>(first: usize, members: [F; N]) -> (Set<F>, [Waker; N]) {
    let mut set = Set::with_capacity(first);
    for member in members {
        set.insert(member);
    }
    let mut wakers = Vec::new();
    let polled = set.poll_next(&mut Context::from_waker(Waker::noop()), |_, _, cx| {
        wakers.push(cx.waker().clone());
        Poll::<()>::Pending
    });
    assert!(polled.is_pending());
    (set, wakers.try_into().unwrap())
}

/// Waits until all letters have arrived. Members are woken only by those who have left one.
fn receive_all(mut set: Set<Arc<Letter>>) {
    block_on(poll_fn(|cx| {
        loop {
            match set.poll_next(cx, |_, letter, _| letter.arrived()) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }));
}

/// Gives the waker back, since to let go of it would publish the letter as well.
fn deliver(letter: &Letter, waker: Waker) -> Waker {
    letter.write();
    waker.wake_by_ref();
    waker
}

fn letters_arrive<const THREADS: usize>(first: usize) {
    model(move || {
        let letters = letters::<THREADS>();
        let (set, wakers) = set_and_wakers(first, letters.clone());
        let deliveries: Vec<_> = letters
            .into_iter()
            .zip(wakers)
            .map(|(letter, waker)| thread::spawn(move || deliver(&letter, waker)))
            .collect();
        receive_all(set);
        deliveries.into_iter().for_each(|delivery| drop(delivery.join().unwrap()));
    });
}

#[test]
fn a_wake_up_is_not_lost_and_publishes_what_came_before() {
    letters_arrive::<1>(1);
}

#[test]
fn nor_are_two_in_one_block() {
    letters_arrive::<2>(2);
}

#[test]
fn nor_are_two_in_two_blocks() {
    letters_arrive::<2>(1);
}

/// Waits until the members' common count is `n`, and polls nobody who was not woken.
fn count_to<F>(mut set: Set<F>, count: &AtomicUsize, n: usize) {
    block_on(poll_fn(|cx| {
        let polled = set.poll_next(cx, |_, _, _| match count.load(Ordering::Relaxed) {
            now if now == n => Poll::Ready(()),
            _ => Poll::Pending,
        });
        polled.map(drop)
    }));
}

#[test]
fn a_second_wake_up_while_the_first_is_worked_off_is_not_lost() {
    model(|| {
        let (set, [waker]) = set_and_wakers(1, [()]);
        let count = Arc::new(AtomicUsize::new(0));
        let other = count.clone();
        thread::spawn(move || {
            other.fetch_add(1, Ordering::Relaxed);
            waker.wake_by_ref();
            other.fetch_add(1, Ordering::Relaxed);
            waker.wake();
        });
        count_to(set, &count, 2);
    });
}

#[test]
fn two_threads_that_wake_the_same_member_are_both_heard() {
    model(|| {
        let (set, [waker]) = set_and_wakers(1, [()]);
        let count = Arc::new(AtomicUsize::new(0));
        for (count, waker) in [(count.clone(), waker.clone()), (count.clone(), waker)] {
            thread::spawn(move || {
                count.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            });
        }
        count_to(set, &count, 2);
    });
}

#[test]
fn a_member_may_wake_itself_while_another_thread_wakes_it() {
    model(|| {
        let (set, [waker]) = set_and_wakers(1, [()]);
        let count = Arc::new(AtomicUsize::new(0));
        let other = count.clone();
        waker.wake_by_ref();
        thread::spawn(move || {
            other.fetch_add(1, Ordering::Relaxed);
            waker.wake();
        });
        let (mut set, mut polls) = (set, 0);
        block_on(poll_fn(|cx| {
            let polled = set.poll_next(cx, |_, _, cx| {
                polls += 1;
                if polls == 1 {
                    cx.waker().wake_by_ref();
                }
                match (polls, count.load(Ordering::Relaxed)) {
                    (2.., 1) => Poll::Ready(()),
                    _ => Poll::Pending,
                }
            });
            polled.map(drop)
        }));
    });
}

#[test]
fn pushes_and_takes_may_meet() {
    model(|| {
        let (mut set, [one, two]) = set_and_wakers(1, [(), ()]);
        let pusher = thread::spawn(move || {
            one.wake_by_ref();
            two.wake();
            one.wake();
        });
        let mut cx = Context::from_waker(Waker::noop());
        for key in set.keys().collect::<Vec<_>>() {
            set.wake(key);
            assert!(set.poll_next(&mut cx, |_, _, _| Poll::<()>::Pending).is_pending());
        }
        pusher.join().unwrap();
        for key in set.keys().collect::<Vec<_>>() {
            set.wake(key);
            let done = set.poll_next(&mut cx, |_, _, _| Poll::Ready(()));
            assert!(matches!(done, Poll::Ready(Some(_))));
        }
    });
}

#[test]
fn a_member_in_a_slot_that_a_stale_waker_wakes_is_polled() {
    model(|| {
        let (mut set, [stale]) = set_and_wakers(1, [()]);
        let old = set.keys().next().unwrap();
        let waking = thread::spawn(move || stale.wake());
        set.remove(old);
        assert_eq!(set.insert(()), old);
        count_to(set, &AtomicUsize::new(0), 0);
        waking.join().unwrap();
    });
}

#[test]
fn a_wake_up_and_the_end_of_the_set_may_meet() {
    for first in [1, 2] {
        model(move || {
            let (set, [one, two]) = set_and_wakers(first, [(), ()]);
            thread::spawn(move || one.wake());
            thread::spawn(move || two.wake());
            drop(set);
        });
    }
}

#[test]
fn clones_and_drops_and_the_end_of_the_set_may_meet() {
    for first in [1, 2] {
        model(move || {
            let (set, [one, two]) = set_and_wakers(first, [(), ()]);
            thread::spawn(move || {
                let copy = one.clone();
                drop(one);
                copy.wake_by_ref();
            });
            thread::spawn(move || drop(two.clone()));
            drop(set);
        });
    }
}

#[test]
fn a_set_handed_from_one_parent_to_another_wakes_the_last() {
    model(|| {
        let [letter] = letters();
        let (mut set, [waker]) = set_and_wakers(1, [letter.clone()]);
        let sender = thread::spawn(move || deliver(&letter, waker));
        let mut nobody = Context::from_waker(Waker::noop());
        if set.poll_next(&mut nobody, |_, letter, _| letter.arrived()).is_pending() {
            receive_all(set);
        }
        sender.join().unwrap();
    });
}
