//! The watch.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use foster::sync::watch::{self, RecvError};
use foster::testing::{CountingWaker, Drops, cancel_at_every_await, explore_all, poll_once};
use foster::{local, scope, timeout, yield_now};
use futures::FutureExt;
use proptest::prelude::*;

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;
use crate::meddling::{meddling, panicking};

/// What a future of a receiver returns at once, if it is ready.
fn now<T: Copy>(future: impl Future<Output = Result<Arc<T>, RecvError>>) -> Option<Result<T, RecvError>> {
    future.now_or_never().map(|result| result.map(|value| *value))
}

#[test]
fn the_latest_value_is_received_and_those_before_it_are_missed() {
    let (sender, mut receiver) = watch::channel(0);
    assert!(!receiver.has_changed(), "the first value has been seen");
    assert_eq!(now(receiver.changed()), None);
    let waiter = ByHand::waiting(receiver.changed());
    sender.send(1);
    sender.send(2);
    assert_eq!(*waiter.turn().unwrap(), 2, "that which is the latest when it is polled");
    assert_eq!(now(receiver.changed()), None);
    sender.send(3);
    sender.send(4);
    assert!(receiver.has_changed());
    assert_eq!(*receiver.get(), 4);
    assert!(receiver.has_changed(), "`get` does not count");
    assert_eq!(now(receiver.changed()), Some(Ok(4)));
}

#[test]
fn the_statistics_count_the_receivers_and_those_of_them_that_wait() {
    let (sender, mut receiver) = watch::channel(0);
    let other = sender.subscribe();
    assert_eq!((sender.statistics().in_use(), sender.statistics().waiting()), (2, 0));
    let wait = ByHand::waiting(receiver.changed());
    assert_eq!((sender.statistics().in_use(), sender.statistics().waiting()), (2, 1));
    drop((wait, other));
    let statistics = sender.statistics();
    assert_eq!((statistics.in_use(), statistics.waiting(), statistics.peak_waiting()), (1, 0, 1));
}

#[test]
fn an_equal_value_is_a_new_one() {
    let (sender, mut receiver) = watch::channel(7);
    sender.send(7);
    assert_eq!(now(receiver.changed()), Some(Ok(7)));
}

#[test]
fn a_wait_that_is_dropped_has_seen_nothing() {
    let (sender, mut receiver) = watch::channel(0);
    let waiter = ByHand::waiting(receiver.changed());
    sender.send(1);
    assert_eq!(waiter.wakes(), 1);
    drop(waiter);
    assert!(receiver.has_changed());
    drop(ByHand::waiting(receiver.wait_for(|value| *value == 9)));
    assert_eq!(now(receiver.changed()), Some(Ok(1)), "what a predicate refused has not been seen");
}

#[test]
fn the_last_value_is_seen_before_the_error() {
    let (sender, mut receiver) = watch::channel(0);
    let mut other = receiver.clone();
    let waiter = ByHand::waiting(other.changed());
    let second = sender.clone();
    sender.send(1);
    drop(sender);
    assert!(!receiver.is_closed());
    drop(second);
    assert!(receiver.is_closed());
    assert_eq!(waiter.turn().map(|value| *value), Ok(1));
    assert_eq!(now(other.changed()), Some(Err(RecvError)));
    assert_eq!(now(receiver.changed()), Some(Ok(1)));
    assert_eq!(now(receiver.changed()), Some(Err(RecvError)));
    assert_eq!(now(receiver.wait_for(|value| *value == 1)), Some(Ok(1)));
    assert_eq!(now(receiver.wait_for(|value| *value == 2)), Some(Err(RecvError)));
    assert_eq!(*receiver.get(), 1, "the value stays");
}

#[test]
fn who_waits_hears_that_the_last_sender_is_gone() {
    let (sender, mut receiver) = watch::channel(0);
    let second = sender.clone();
    let waiter = ByHand::waiting(receiver.changed());
    let mut other = second.subscribe();
    let other = ByHand::waiting(other.wait_for(|value| *value == 1));
    drop(sender);
    assert_eq!((waiter.wakes(), other.wakes()), (0, 0));
    drop(second);
    assert_eq!(waiter.turn(), Err(RecvError));
    assert_eq!(other.turn(), Err(RecvError));
}

#[test]
fn a_predicate_is_asked_about_the_value_that_is_there_and_about_later_ones() {
    let (sender, mut receiver) = watch::channel(1);
    assert_eq!(now(receiver.wait_for(|value| *value == 1)), Some(Ok(1)));
    let asked = Cell::new(0);
    let mut waiter = ByHand::waiting(receiver.wait_for(|value| {
        asked.set(asked.get() + 1);
        *value > 2
    }));
    assert!(waiter.poll().is_none());
    assert_eq!(asked.get(), 1, "a needless poll asks nothing");
    for value in [2, 3] {
        sender.send(value);
        assert_eq!(waiter.wakes(), value - 1);
        assert_eq!(waiter.poll().is_some(), value == 3);
    }
    assert_eq!(asked.get(), 3);
    drop(waiter);
    assert!(!receiver.has_changed());
    let mut waiter = ByHand::waiting(receiver.wait_for(|_| {
        asked.set(asked.get() + 1);
        false
    }));
    drop(sender);
    assert_eq!((waiter.poll(), asked.get()), (Some(Err(RecvError)), 4), "it is not asked again at the end");
}

#[test]
fn what_is_modified_is_sent_if_the_function_says_so() {
    let (sender, mut receiver) = watch::channel(1);
    assert!(!sender.send_if_modified(|value| {
        *value = 5;
        false
    }));
    assert_eq!((*receiver.get(), receiver.has_changed()), (1, false));
    assert!(sender.send_if_modified(|value| {
        *value += 1;
        true
    }));
    assert_eq!(now(receiver.changed()), Some(Ok(2)));
    sender.send_modify(|value| *value *= 10);
    assert_eq!((sender.with(|value| *value), now(receiver.changed())), (20, Some(Ok(20))));
}

#[test]
fn a_function_that_panics_sends_nothing_and_leaves_the_channel_as_it_was() {
    let (sender, mut receiver) = watch::channel(1);
    assert!(catch_unwind(AssertUnwindSafe(|| sender.send_modify(|_| panic!("no")))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| receiver.with(|_| panic!("no")))).is_err());
    let predicate = catch_unwind(AssertUnwindSafe(|| receiver.wait_for(|_| panic!("no")).now_or_never()));
    assert!(predicate.is_err());
    assert!(!receiver.has_changed());
    sender.send(2);
    assert_eq!(now(receiver.changed()), Some(Ok(2)));
}

#[test]
fn functions_use_the_channel_that_they_are_called_by() {
    // fedimint#9085: a guard of the value was alive when the same task sent, and both waited.
    crate::harness::watched(|| {
        let (sender, mut receiver) = watch::channel(1);
        let former = receiver.with(|value| {
            sender.send(2);
            assert_eq!(*receiver.get(), 2);
            *value
        });
        assert_eq!((former, now(receiver.changed())), (1, Some(Ok(2))));
        // What the function sends is there in between, and is replaced.
        let calls = Cell::new(0);
        sender.send_modify(|value| {
            calls.set(calls.get() + 1);
            sender.send(30);
            sender.send_modify(|value| *value += 1);
            assert_eq!(sender.with(|value| *value), 31);
            *value += 1;
        });
        assert_eq!((calls.get(), now(receiver.changed())), (1, Some(Ok(3))));
        let mut subscribed = sender.subscribe();
        let found = now(receiver.wait_for(|value| {
            if *value < 5 {
                sender.send(value + 1);
            }
            *value == 5
        }));
        assert_eq!(found, Some(Ok(5)));
        assert_eq!(now(subscribed.changed()), Some(Ok(5)));
    });
}

#[test]
fn changes_by_several_threads_all_count() {
    crate::harness::watched(|| {
        let (sender, receiver) = watch::channel(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..500).for_each(|_| sender.send_modify(|value| *value += 1)));
            }
        });
        assert_eq!(*receiver.get(), 2_000);
    });
}

#[test]
fn a_function_is_called_again_when_another_thread_has_sent() {
    let (sender, receiver) = watch::channel(0);
    let calls = Cell::new(0);
    sender.send_modify(|value| {
        calls.set(calls.get() + 1);
        sender.send(50);
        if calls.get() == 1 {
            std::thread::scope(|threads| _ = threads.spawn(|| sender.send(100)));
            sender.send(60);
        }
        *value += 1;
    });
    // First 0, while another thread sends 100 and this one 60 after it. Then 60.
    assert_eq!((calls.get(), *receiver.get()), (2, 61));
}

#[test]
fn values_are_dropped_when_they_are_replaced_unless_somebody_has_them() {
    let drops = Drops::new();
    let (sender, receiver) = watch::channel(drops.guard());
    sender.send(drops.guard());
    assert_eq!(drops.alive(), 1);
    let kept = receiver.get();
    sender.send(drops.guard());
    assert_eq!(drops.alive(), 2);
    drop(kept);
    assert_eq!(drops.alive(), 1);
    drop(sender);
    assert_eq!(drops.alive(), 1);
    drop(receiver);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn who_sends_can_ask_whether_anybody_receives() {
    let (sender, receiver) = watch::channel(0);
    let second = receiver.clone();
    drop(receiver);
    assert!(!sender.is_closed());
    drop(second);
    assert!(sender.is_closed());
    sender.send(1);
    let mut late = sender.subscribe();
    assert!(!sender.is_closed());
    assert_eq!((*late.get(), late.has_changed()), (1, false));
    sender.send(2);
    let mut copy = late.clone();
    assert_eq!(now(late.changed()), Some(Ok(2)));
    assert_eq!(now(copy.changed()), Some(Ok(2)), "a clone has seen what the other had");
}

#[test]
fn wakers_and_destructors_run_without_the_lock() {
    /// Looks at the channel when it is cloned or dropped.
    struct Looks(Arc<Mutex<Option<watch::Receiver<Looks>>>>, Arc<AtomicUsize>);
    impl Looks {
        fn look(&self) {
            let receiver = self.0.lock().unwrap().clone();
            assert!(receiver.is_none_or(|receiver| !receiver.is_closed()));
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    impl Clone for Looks {
        fn clone(&self) -> Self {
            self.look();
            Looks(self.0.clone(), self.1.clone())
        }
    }
    impl Drop for Looks {
        fn drop(&mut self) {
            self.look();
        }
    }
    crate::harness::watched(|| {
        let (slot, ran) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let value = || Looks(slot.clone(), ran.clone());
        let (sender, mut receiver) = watch::channel(value());
        *slot.lock().unwrap() = Some(receiver.clone());
        sender.send(value());
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        sender.send_modify(|_| ());
        assert_eq!(ran.load(Ordering::SeqCst), 3, "a clone, and a drop of the former value");
        assert!(receiver.changed().now_or_never().is_some());
        let looks = value();
        let waker = meddling(move || looks.look());
        assert!(Pin::new(&mut receiver.changed()).poll(&mut Context::from_waker(&waker)).is_pending());
        let mut wait = receiver.changed();
        assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        sender.send(value());
        assert_eq!(ran.load(Ordering::SeqCst), 7, "the waker runs, is dropped with its value, and the former value is");
        slot.lock().unwrap().take();
    });
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_hearing_of_the_value() {
    let (sender, mut receiver) = watch::channel(0);
    let (mut before, mut behind) = (receiver.clone(), receiver.clone());
    let before = ByHand::waiting(before.changed());
    let mut wait = receiver.changed();
    assert!(Pin::new(&mut wait).poll(&mut Context::from_waker(&panicking())).is_pending());
    let behind = ByHand::waiting(behind.changed());
    assert!(catch_unwind(AssertUnwindSafe(|| sender.send(1))).is_err());
    assert_eq!((*before.turn().unwrap(), *behind.turn().unwrap(), now(wait)), (1, 1, Some(Ok(1))));
}

#[test]
fn senders_wait_until_the_last_receiver_is_dropped() {
    let (sender, receiver) = watch::channel(0);
    let other = sender.clone();
    let second = receiver.clone();
    let [one, two, leaves] = [&sender, &other, &other].map(|sender| ByHand::waiting(sender.closed()));
    drop((receiver, leaves));
    sender.send(1);
    assert_eq!((one.wakes(), two.wakes()), (0, 0));
    drop(second);
    // Whoever was told goes on, though there is a receiver again.
    let third = sender.subscribe();
    one.turn();
    two.turn();
    let waits = ByHand::waiting(sender.closed());
    drop(third);
    waits.turn();
    assert!(sender.closed().now_or_never().is_some());
}

#[test]
fn a_value_that_was_seen_is_not_waited_for() {
    let (sender, mut receiver) = watch::channel(0);
    sender.send(1);
    assert_eq!((*receiver.get(), receiver.has_changed()), (1, true));
    assert_eq!((*receiver.see(), receiver.has_changed()), (1, false));
    let mut waits = ByHand::waiting(receiver.changed());
    sender.send(2);
    assert_eq!(*waits.poll().unwrap().unwrap(), 2);
}

#[test]
fn a_channel_is_send_where_its_value_is_shared() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    let (sender, mut receiver) = watch::channel(7);
    check(&sender);
    check(&receiver);
    check(&receiver.changed());
    check(&sender.closed());
    check(&receiver.wait_for(|_| true));
    assert_eq!(format!("{sender:?}"), "Sender { value: 7, .. }");
    assert_eq!(format!("{receiver:?}"), "Receiver { value: 7, .. }");
    assert_eq!(format!("{:?}", receiver.changed()), "Changed { .. }");
    assert_eq!(format!("{:?}", sender.closed()), "Closed { .. }");
    assert_eq!(format!("{:?}", receiver.wait_for(|_| true)), "WaitFor { .. }");
    assert!(RecvError.to_string().contains("senders"));
}

#[test]
fn dropped_at_any_point_nobody_waits() {
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                let (sender, receiver) = watch::channel(0);
                for target in [1, 2, 2] {
                    let mut receiver = receiver.clone();
                    s.spawn(async move {
                        receiver.changed().await.unwrap();
                        receiver.wait_for(|value| *value >= target).await.unwrap();
                    });
                }
                for value in [1, 2] {
                    yield_now().await;
                    sender.send(value);
                }
                // Until they have left.
                drop(receiver);
                while !sender.is_closed() {
                    yield_now().await;
                }
            })
        },
        || (),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("a new value of a watch")), "{report:?}");
}

#[test]
fn under_every_schedule_the_last_value_arrives() {
    let explored = explore_all(|| async {
        let (sender, receiver) = watch::channel(0);
        scope(async |s| {
            for _ in 0..2 {
                let mut receiver = receiver.clone();
                s.spawn_parallel(async move {
                    let mut last = 0;
                    while let Ok(value) = receiver.changed().await {
                        assert!(*value > last);
                        last = *value;
                    }
                    assert_eq!(last, 2);
                });
            }
            s.spawn_parallel(async move {
                sender.send(1);
                yield_now().await;
                sender.send(2);
            });
        })
        .await;
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Modify(bool),
    Changed(usize),
    WaitFor(usize),
    Get(usize),
    Subscribe,
    Clone(usize),
    Drop(usize),
    DropSender,
}

proptest! {
    /// Values are numbered. For each receiver the model has the number that it has seen.
    #[test]
    fn a_watch_is_like_its_model(steps in prop::collection::vec(prop_oneof![
        3 => Just(Step::Send),
        1 => any::<bool>().prop_map(Step::Modify),
        3 => (0..4usize).prop_map(Step::Changed),
        2 => (0..4usize).prop_map(Step::WaitFor),
        1 => (0..4usize).prop_map(Step::Get),
        1 => Just(Step::Subscribe),
        1 => (0..4usize).prop_map(Step::Clone),
        1 => (0..4usize).prop_map(Step::Drop),
        1 => Just(Step::DropSender),
    ], 1..60)) {
        let (sender, receiver) = watch::channel(0_u32);
        let mut senders = vec![sender.clone(), sender];
        let waker = CountingWaker::new();
        let (mut latest, mut receivers) = (0, vec![(receiver, 0)]);
        for step in steps {
            let len = receivers.len();
            let closed = senders.is_empty();
            match (step, senders.first()) {
                (Step::Send, Some(sender)) => {
                    latest += 1;
                    sender.send(latest);
                }
                (Step::Modify(sends), Some(sender)) => {
                    let modified = sender.send_if_modified(|value| { *value += 1; sends });
                    prop_assert_eq!(modified, sends);
                    latest += u32::from(sends);
                }
                (Step::Changed(place), _) if place < len => {
                    let (receiver, seen) = &mut receivers[place];
                    prop_assert_eq!(receiver.has_changed(), *seen != latest);
                    let polled = waker.poll(Pin::new(&mut receiver.changed()));
                    let expected = if *seen != latest {
                        Poll::Ready(Ok(latest))
                    } else if closed {
                        Poll::Ready(Err(RecvError))
                    } else {
                        Poll::Pending
                    };
                    prop_assert_eq!(polled.map_ok(|value| *value), expected);
                    *seen = latest;
                }
                (Step::WaitFor(place), _) if place < len => {
                    let (receiver, seen) = &mut receivers[place];
                    let polled = waker.poll(Pin::new(&mut receiver.wait_for(|value| value % 2 == 0)));
                    let expected = if latest % 2 == 0 {
                        *seen = latest;
                        Poll::Ready(Ok(latest))
                    } else if closed {
                        Poll::Ready(Err(RecvError))
                    } else {
                        Poll::Pending
                    };
                    prop_assert_eq!(polled.map_ok(|value| *value), expected);
                }
                (Step::Get(place), _) if place < len => prop_assert_eq!(*receivers[place].0.get(), latest),
                (Step::Subscribe, Some(sender)) => receivers.push((sender.subscribe(), latest)),
                (Step::Clone(place), _) if place < len => {
                    let clone = (receivers[place].0.clone(), receivers[place].1);
                    receivers.push(clone);
                }
                (Step::Drop(place), _) if place < len => drop(receivers.remove(place)),
                (Step::DropSender, _) => drop(senders.pop()),
                _ => {}
            }
            for sender in &senders {
                prop_assert_eq!((sender.is_closed(), *sender.get()), (receivers.is_empty(), latest));
            }
            for (receiver, _) in &receivers {
                prop_assert_eq!(receiver.is_closed(), senders.is_empty());
            }
            prop_assert_eq!(waker.held(), 0, "a wait that was dropped has left");
        }
    }
}

matrix! {
    async fn receivers_on_several_threads_see_the_last_value() {
        let (sender, receiver) = watch::channel(0);
        scope(async |s| {
            for _ in 0..4 {
                let mut receiver = receiver.clone();
                s.spawn_parallel(async move {
                    let mut last = 0;
                    while let Ok(value) = receiver.changed().await {
                        assert!(*value > last, "the versions only go up");
                        last = *value;
                    }
                    assert_eq!(last, 100);
                });
            }
            for value in 1..=100 {
                sender.send(value);
                if value % 10 == 0 {
                    yield_now().await;
                }
            }
            drop(sender);
        }).await;
    }

    async fn a_timeout_around_a_wait_has_seen_nothing() {
        let (sender, mut receiver) = watch::channel(0);
        assert!(timeout(T, receiver.changed()).await.is_err());
        assert!(timeout(T, receiver.wait_for(|value| *value == 1)).await.is_err());
        sender.send(1);
        assert_eq!(timeout(T, receiver.changed()).await.unwrap().as_deref(), Ok(&1));
    }

    async fn in_a_cancelled_region_a_wait_does_not_begin_and_what_is_there_is_seen() {
        let (sender, mut receiver) = watch::channel(0);
        let waits = in_a_cancelled_region(async {
            assert!(poll_once(receiver.changed()).await.is_pending());
            sender.send(1);
            assert_eq!(receiver.changed().await.as_deref(), Ok(&1));
        });
        assert!(waits.await, "it did not have to wait");
    }

    // It joined the line no more once its predicate had refused a value there.
    async fn a_wait_that_had_begun_looks_at_each_value_in_a_cancelled_region() {
        let (sender, mut receiver) = watch::channel(0);
        let mut waiter = ByHand::waiting(receiver.wait_for(|value| *value == 2));
        let goes_on = in_a_cancelled_region(async {
            sender.send(1);
            assert!(waiter.poll().is_none());
            sender.send(2);
            assert_eq!(waiter.wakes(), 2);
            assert!(waiter.poll().is_some());
        });
        assert!(goes_on.await);
    }
}
