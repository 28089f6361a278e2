use std::thread;

use futures::channel::oneshot;

use super::*;

#[test]
fn a_member_that_wakes_another_during_its_poll_wakes_that_one() {
    for (one, other) in [(0, 1), (0, 16), (3, 35), (5, 64 + 5), (64, 0)] {
        let (parent, waker) = Parent::new();
        let mut set = Set::with_capacity(128);
        set.extend(0..128);
        let wakers = wakers(&mut set, &waker);
        parent.woken();
        wakers[&one].wake_by_ref();
        drive(&mut set, &waker, |_, _, cx| {
            assert!(cx.waker().will_wake(&wakers[&one]));
            wakers[&other].wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(parent.woken(), 2);
        assert_eq!(polled(&mut set, &waker), [Key(other as u32)]);
    }
}

/// One that has yet to have its turn has it after the wake-up, and sees what there is to see.
#[test]
fn a_member_that_a_sibling_wakes_before_its_turn_has_no_second_one() {
    let (parent, waker) = Parent::new();
    let mut set = Set::with_capacity(3);
    set.extend(0..3);
    let wakers = wakers(&mut set, &waker);
    for _ in 0..5 {
        parent.woken();
        wakers.values().for_each(Waker::wake_by_ref);
        let mut polls = Vec::new();
        drive(&mut set, &waker, |key, _, _| {
            if polls.is_empty() {
                wakers.values().for_each(Waker::wake_by_ref);
            }
            polls.push(key);
            Poll::<()>::Pending
        });
        assert_eq!((polls.len(), parent.woken()), (3, 2));
        assert_eq!(polled(&mut set, &waker), polls[..1], "the one that woke all");
    }
}

/// The set had no chance to take the note of the wake-up.
#[test]
fn a_sibling_that_is_woken_by_a_member_which_panics_is_polled() {
    struct Fuse(Option<Waker>);
    impl Drop for Fuse {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                waker.wake();
                panic!("in a drop");
            }
        }
    }
    for in_drop in [false, true] {
        let (parent, waker) = Parent::new();
        let sibling = RefCell::new(Waker::noop().clone());
        let mut set = Set::with_capacity(2);
        let first = set.insert(Fuse(None));
        let second = set.insert(Fuse(None));
        drive(&mut set, &waker, |_, _, cx| {
            sibling.replace(cx.waker().clone());
            Poll::<()>::Pending
        });
        let sibling = sibling.into_inner();
        parent.woken();
        set.wake(first);
        let all = AssertUnwindSafe(|| {
            drive(&mut set, &waker, |_, fuse, _| {
                if !in_drop {
                    sibling.wake_by_ref();
                    panic!("in a poll");
                }
                fuse.get_mut().0 = Some(sibling.clone());
                Poll::Ready(())
            })
        });
        assert!(catch_unwind(all).is_err());
        set.remove(first);
        // The first of these may be the rest of a pass that was under way.
        let polls = [polled(&mut set, &waker), polled(&mut set, &waker)];
        assert_eq!(polls.concat(), [second], "in a drop: {in_drop}");
    }
}

/// The set inside keeps the notes of the enclosing one.
#[test]
fn a_sibling_that_is_woken_before_a_member_polls_a_set_is_polled() {
    let (parent, waker) = Parent::new();
    let (mut set, mut inner) = (Set::with_capacity(2), Set::new());
    inner.insert(());
    let [first, second] = [(); 2].map(|()| set.insert(()));
    let wakers = wakers(&mut set, &waker);
    parent.woken();
    set.wake(first);
    drive(&mut set, &waker, |_, _, cx| {
        wakers[&second.index()].wake_by_ref();
        drive(&mut inner, cx.waker(), |_, _, _| Poll::<()>::Pending);
        Poll::<()>::Pending
    });
    assert_eq!(parent.woken(), 1);
    assert_eq!(polled(&mut set, &waker), [second]);
}

#[test]
fn a_member_that_wakes_itself_and_is_done_wakes_nobody() {
    let (parent, waker) = Parent::new();
    let mut set = Set::with_capacity(2);
    let [first, _] = [(); 2].map(|()| set.insert(()));
    let polled = set.poll_until(&mut Context::from_waker(&waker), |key, _, cx| {
        if key != first {
            return Poll::Pending;
        }
        cx.waker().wake_by_ref();
        Poll::Ready(Answer::<()>::Done)
    });
    assert!(polled.is_pending());
    assert_eq!(parent.woken(), 0);
}

#[test]
fn a_sibling_that_is_woken_by_the_drop_of_a_member_that_is_done_is_polled() {
    struct Wakes(Option<Waker>);
    impl Drop for Wakes {
        fn drop(&mut self) {
            self.0.take().into_iter().for_each(Waker::wake);
        }
    }
    for answers in [true, false] {
        let (parent, waker) = Parent::new();
        let mut set = Set::with_capacity(2);
        let [first, second] = [(); 2].map(|()| set.insert(Wakes(None)));
        let wakers = wakers(&mut set, &waker);
        parent.woken();
        set.wake(second);
        let done = set.poll_until(&mut Context::from_waker(&waker), |_, wakes, _| {
            wakes.get_mut().0 = Some(wakers[&first.index()].clone());
            Poll::Ready(if answers { Answer::Last(()) } else { Answer::Done })
        });
        assert_eq!(done.is_ready(), answers);
        // The first of these may be the rest of the pass that was under way.
        assert_eq!([polled(&mut set, &waker), polled(&mut set, &waker)].concat(), [first]);
    }
}

#[test]
fn a_member_woken_by_another_thread_during_its_poll_is_polled_again() {
    let (parent, waker) = Parent::new();
    let mut set = Set::new();
    let key = set.insert(());
    drive(&mut set, &waker, |_, _, cx| {
        let waker = cx.waker();
        thread::scope(|scope| scope.spawn(|| waker.wake_by_ref()).join().unwrap());
        Poll::<()>::Pending
    });
    assert_eq!(parent.woken(), 1);
    assert_eq!(polled(&mut set, &waker), [key]);
}

#[test]
fn a_member_that_wakes_itself_and_then_polls_a_set_is_polled_again() {
    for before in [true, false] {
        let (parent, waker) = Parent::new();
        let mut set = Set::new();
        let (mut inner, mut polls) = (Set::new(), 0);
        inner.extend([(), ()]);
        set.insert(());
        for _ in 0..3 {
            drive(&mut set, &waker, |_, _, cx| {
                if before {
                    cx.waker().wake_by_ref();
                }
                let outer = cx.waker();
                drive(&mut inner, outer, |_, _, cx| {
                    polls += 1;
                    outer.wake_by_ref();
                    cx.waker().wake_by_ref();
                    Poll::<()>::Pending
                });
                Poll::<()>::Pending
            });
            assert_eq!(parent.woken(), 1);
        }
        assert_eq!(polls, 6);
    }
}

#[test]
fn a_member_may_wake_itself_and_others_while_it_is_dropped() {
    struct Last(Rc<RefCell<Vec<Waker>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.borrow().iter().for_each(Waker::wake_by_ref);
        }
    }
    let all = Rc::default();
    let mut set = Set::with_capacity(3);
    set.extend((0..3).map(|_| Last(Rc::clone(&all))));
    drive(&mut set, Waker::noop(), |_, last, cx| {
        last.0.borrow_mut().push(cx.waker().clone());
        Poll::<()>::Pending
    });
    let (parent, waker) = Parent::new();
    set.wake(Key(1));
    let (done, _) = drive(&mut set, &waker, |key, _, _| match key.index() {
        1 => Poll::Ready(()),
        _ => Poll::Pending,
    });
    assert_eq!((done.len(), parent.woken()), (1, 1));
    let mut polled = polled(&mut set, &waker);
    polled.sort_unstable_by_key(|key| key.index());
    assert_eq!(polled, [Key(0), Key(2)]);
    assert!(set.remove(Key(0)));
    drop(set);
    all.take();
}

#[test]
fn one_wake_among_100_000_is_one_poll() {
    let (parent, waker) = Parent::new();
    let mut set = Set::with_capacity(100_000);
    for i in 0..100_000 {
        set.insert(i);
    }
    let wakers = wakers(&mut set, &waker);
    assert_eq!(wakers.len(), 100_000);
    assert!(polled(&mut set, &waker).is_empty());
    parent.woken();
    wakers[&77_777].wake_by_ref();
    wakers[&77_777].wake_by_ref();
    assert_eq!(parent.woken(), 1);
    assert_eq!(polled(&mut set, &waker).iter().map(|key| key.index()).collect::<Vec<_>>(), [77_777]);
    assert_eq!(parent.woken(), 0);
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let (first, first_waker) = Parent::new();
    let (second, second_waker) = Parent::new();
    let mut set = Set::new();
    set.insert(0);
    set.insert(1);
    let wakers = wakers(&mut set, &first_waker);
    // A pass that begins with one poller and ends with another.
    wakers[&0].wake_by_ref();
    assert_eq!(first.woken(), 1);
    let done = set.poll_next(&mut Context::from_waker(&first_waker), |_, _, _| Poll::Ready(()));
    assert!(done.is_ready());
    assert!(polled(&mut set, &second_waker).is_empty());
    wakers[&1].wake_by_ref();
    assert_eq!((first.woken(), second.woken()), (0, 1));
}

#[test]
fn wakers_kept_too_long_do_nothing() {
    let (parent, waker) = Parent::new();
    let mut set = Set::with_capacity(70);
    set.extend(0..70);
    let wakers = wakers(&mut set, &waker);
    polled(&mut set, &waker);
    let gone: Vec<_> = set.keys().filter(|key| key.index() % 2 == 0).collect();
    for key in gone {
        set.remove(key);
    }
    wakers.values().for_each(Waker::wake_by_ref);
    let woken = polled(&mut set, &waker);
    assert_eq!(woken.len(), 35);
    assert!(woken.iter().all(|key| key.index() % 2 == 1));
    drop(set);
    parent.woken();
    wakers.values().for_each(Waker::wake_by_ref);
    let copies: Vec<_> = wakers.values().cloned().collect();
    drop(wakers);
    copies.into_iter().for_each(Waker::wake);
    assert_eq!(parent.woken(), 0);
    drop(waker);
    assert_eq!(Arc::strong_count(&parent), 1, "the set kept the parent's waker");
}

#[test]
fn a_waker_left_behind_does_not_keep_the_parent() {
    let (parent, waker) = Parent::new();
    let mut set = Set::new();
    set.insert(());
    let wakers = wakers(&mut set, &waker);
    polled(&mut set, &waker);
    assert_eq!(Arc::strong_count(&parent), 3);
    drop((set, waker));
    assert_eq!(Arc::strong_count(&parent), 1);
    drop(wakers);
}

#[test]
fn wakers_of_one_slot_are_alike() {
    let mut set = Set::new();
    set.insert(0);
    set.insert(1);
    let wakers = wakers(&mut set, Waker::noop());
    assert!(!wakers[&0].will_wake(&wakers[&1]));
    set.wake(Key(0));
    drive(&mut set, Waker::noop(), |_, _, cx| {
        assert!(cx.waker().will_wake(&wakers[&0]));
        Poll::<()>::Pending
    });
}

#[test]
fn wakes_from_other_threads_are_never_lost() {
    let mut set = Set::new();
    let threads = [0, 1].map(|_| {
        let (senders, members): (Vec<_>, Vec<_>) = (0..100).map(|_| oneshot::channel()).unzip();
        set.extend(members);
        thread::spawn(move || senders.into_iter().for_each(|sender| sender.send(()).unwrap()))
    });
    let mut left = 200;
    futures::executor::block_on(std::future::poll_fn(|cx| {
        loop {
            match set.poll_next(cx, |_, member, cx| member.poll(cx)) {
                Poll::Ready(Some((_, result))) => {
                    result.unwrap();
                    left -= 1;
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }));
    assert_eq!(left, 0);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
