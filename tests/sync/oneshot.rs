//! The channel for one value.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use foster::sync::oneshot::{self, RecvError};
use foster::testing::{CountingWaker, DropGuard, Drops, cancel_at_every_await, explore_all};
use foster::{local, race, scope, timeout, yield_now};
use futures::FutureExt;
use proptest::prelude::*;

use crate::by_hand::ByHand;
use crate::harness::T;
use crate::meddling::{meddling, panicking};

#[test]
fn a_value_is_received_by_the_poll_that_returns_it() {
    let drops = Drops::new();
    let (sender, mut receiver) = oneshot::channel();
    let wait = ByHand::waiting(&mut receiver);
    sender.send(drops.guard()).unwrap();
    assert_eq!(wait.wakes(), 1);
    // The wait was woken, and is dropped. The value is not lost.
    drop(wait);
    assert_eq!(drops.alive(), 1);
    let value: DropGuard = ByHand::new(&mut receiver).poll().unwrap().unwrap();
    assert_eq!(drops.alive(), 1);
    drop(value);
    assert_eq!(ByHand::new(receiver).poll().map(drop), Some(()), "polled again, it returns an error");
}

#[test]
fn the_value_comes_back_when_nobody_receives_it() {
    let drops = Drops::new();
    let (sender, receiver) = oneshot::channel();
    assert!(!sender.is_closed());
    drop(receiver);
    assert!(sender.is_closed());
    let value = sender.send(drops.guard()).unwrap_err();
    assert_eq!(drops.alive(), 1);
    drop(value);

    let (sender, mut receiver) = oneshot::channel();
    receiver.close();
    assert!(sender.is_closed());
    assert!(sender.send(7).is_err());
    assert!(receiver.try_recv().unwrap_err().is_closed());
}

#[test]
fn a_receiver_that_is_dropped_drops_what_was_sent() {
    let drops = Drops::new();
    let (sender, receiver) = oneshot::channel();
    sender.send(drops.guard()).unwrap();
    assert_eq!(drops.alive(), 1);
    drop(receiver);
    assert_eq!((drops.alive(), drops.count()), (0, 1));
}

#[test]
fn what_was_sent_before_the_receiver_was_closed_is_received() {
    let (sender, mut receiver) = oneshot::channel();
    sender.send(7).unwrap();
    receiver.close();
    assert_eq!(receiver.try_recv(), Ok(7));
    assert!(receiver.try_recv().unwrap_err().is_closed());
}

#[test]
fn a_sender_that_is_dropped_is_an_error() {
    let (sender, receiver) = oneshot::channel::<u32>();
    let waiter = ByHand::waiting(receiver);
    drop(sender);
    assert_eq!(waiter.turn(), Err(RecvError));
    let (sender, mut receiver) = oneshot::channel::<u32>();
    drop(sender);
    assert_eq!(receiver.try_recv().unwrap_err().to_string(), "no value will come through this oneshot");
    assert_eq!(ByHand::new(receiver).poll(), Some(Err(RecvError)));
}

#[test]
fn without_a_value_nothing_is_received_yet() {
    let (sender, mut receiver) = oneshot::channel();
    assert!(receiver.try_recv().unwrap_err().is_empty());
    sender.send(7).unwrap();
    assert_eq!(receiver.try_recv(), Ok(7));
    let closed = receiver.try_recv().unwrap_err();
    assert!(closed.is_closed() && !closed.is_empty());
}

#[test]
fn the_sender_waits_until_the_receiver_is_gone() {
    for close in [true, false] {
        let (mut sender, mut receiver) = oneshot::channel::<u32>();
        let closed = ByHand::waiting(sender.closed());
        if close {
            receiver.close();
            closed.turn();
            assert!(receiver.try_recv().unwrap_err().is_closed());
        } else {
            drop(receiver);
            closed.turn();
        }
        assert!(sender.closed().now_or_never().is_some());
        assert_eq!(sender.send(7), Err(7));
    }
}

#[test]
fn who_no_longer_waits_is_not_woken_and_its_waker_is_dropped() {
    let (mut sender, mut receiver) = oneshot::channel::<u32>();
    let (first, last) = (CountingWaker::new(), CountingWaker::new());
    for waker in [&first, &first, &last, &last] {
        assert!(waker.poll(std::pin::Pin::new(&mut receiver)).is_pending());
    }
    assert_eq!((first.held(), last.held()), (0, 1));
    let closed = CountingWaker::new();
    {
        let mut wait = sender.closed();
        assert!(closed.poll(std::pin::Pin::new(&mut wait)).is_pending());
        assert_eq!(closed.held(), 1);
    }
    assert_eq!(closed.held(), 0);
    drop(sender);
    assert_eq!((first.count(), last.count(), closed.count()), (0, 1, 0));
    assert_eq!(last.held(), 0);
}

#[test]
fn wakers_and_destructors_run_without_the_lock() {
    /// Locks the channel when it is dropped.
    struct Looks(Arc<std::sync::Mutex<Option<oneshot::Sender<u32>>>>);
    impl Drop for Looks {
        fn drop(&mut self) {
            self.0.lock().unwrap().as_ref().map(oneshot::Sender::is_closed);
        }
    }
    crate::harness::watched(|| {
        let ran = Arc::new(AtomicUsize::new(0));
        let slot = Arc::new(std::sync::Mutex::new(None));
        let waker = || {
            let (looks, ran) = (Looks(slot.clone()), ran.clone());
            meddling(move || {
                let _ = &looks;
                ran.fetch_add(1, Ordering::SeqCst);
                looks.0.lock().unwrap().as_ref().map(oneshot::Sender::is_closed);
            })
        };
        let (sender, mut receiver) = oneshot::channel();
        *slot.lock().unwrap() = Some(sender);
        for _ in 0..2 {
            assert!(receiver.poll_unpin(&mut Context::from_waker(&waker())).is_pending());
        }
        assert_eq!(ran.load(Ordering::SeqCst), 1, "the former waker is dropped");
        receiver.close();
        drop(receiver);
        assert_eq!(ran.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_waker_that_panics_does_not_take_the_value_with_it() {
    let (sender, mut receiver) = oneshot::channel();
    assert!(receiver.poll_unpin(&mut Context::from_waker(&panicking())).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| sender.send(7))).is_err());
    assert_eq!(receiver.try_recv(), Ok(7));
}

#[test]
fn a_side_that_is_dropped_by_a_panic_may_wake_one_that_panics() {
    // Two panics at once would abort the process.
    let (sender, mut receiver) = oneshot::channel::<u32>();
    assert!(receiver.poll_unpin(&mut Context::from_waker(&panicking())).is_pending());
    let dropped = catch_unwind(AssertUnwindSafe(move || {
        let _sender = sender;
        panic!("the first")
    }));
    assert_eq!(dropped.unwrap_err().downcast_ref(), Some(&"the first"));
    assert_eq!(receiver.now_or_never(), Some(Err(RecvError)));

    let (mut sender, receiver) = oneshot::channel::<u32>();
    let mut closed = sender.closed();
    assert!(closed.poll_unpin(&mut Context::from_waker(&panicking())).is_pending());
    let dropped = catch_unwind(AssertUnwindSafe(move || {
        let _receiver = receiver;
        panic!("the first")
    }));
    assert_eq!(dropped.unwrap_err().downcast_ref(), Some(&"the first"));
    assert!(closed.now_or_never().is_some());
}

#[test]
fn a_channel_is_send_where_its_value_is_and_asks_for_nothing_else() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    struct Plain(#[allow(dead_code)] std::cell::Cell<u32>);
    let (mut sender, receiver) = oneshot::channel::<Plain>();
    check(&sender);
    check(&receiver);
    check(&sender.closed());
    assert_eq!(format!("{sender:?}"), "Sender { is_closed: false, .. }");
    assert_eq!(format!("{receiver:?}"), "Receiver { state: empty }");
    assert_eq!(format!("{:?}", sender.closed()), "Closed { .. }");
    assert!(sender.send(Plain(7.into())).is_ok());
    assert_eq!(format!("{receiver:?}"), "Receiver { state: sent }");
    // What is not `Send` goes from one child to another.
    let (sender, receiver) = oneshot::channel();
    sender.send(std::rc::Rc::new(7)).unwrap();
    assert_eq!(*receiver.now_or_never().unwrap().unwrap(), 7);
}

#[test]
fn dropped_at_any_point_the_value_is_dropped_once() {
    let drops = &Drops::new();
    let report = cancel_at_every_await(
        || {
            local::scope(async move |s| {
                let (mut sender, receiver) = oneshot::channel();
                let (mut asks, question) = oneshot::channel();
                s.spawn(async move {
                    race((asks.closed(), yield_now())).await;
                    asks.send(()).unwrap();
                    sender.closed().now_or_never();
                    yield_now().await;
                    sender.send(drops.guard()).map_err(drop).unwrap();
                });
                s.spawn(async move {
                    question.await.unwrap();
                    drop(receiver.await.unwrap());
                })
                .await;
            })
        },
        || assert_eq!(drops.alive(), 0),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("the value of a oneshot")), "{report:?}");
}

#[test]
fn under_every_schedule_the_value_arrives_or_comes_back() {
    let explored = explore_all(|| async {
        let drops = Drops::new();
        let (mut sender, mut receiver) = oneshot::channel();
        let value = drops.guard();
        scope(async |s| {
            let sent = s.spawn_parallel(async move {
                yield_now().await;
                if sender.closed().now_or_never().is_some() { Err(value) } else { sender.send(value) }
            });
            let received = s.spawn_parallel(async move {
                let received = race((async { Some((&mut receiver).await) }, async {
                    yield_now().await;
                    None
                }))
                .await;
                receiver.close();
                received.or_else(|| receiver.try_recv().ok().map(Ok))
            });
            let (sent, received) = (sent.await, received.await);
            assert_eq!(sent.is_ok(), matches!(received, Some(Ok(_))), "it is in one place");
            assert_eq!(drops.alive(), 1);
        })
        .await;
        assert_eq!(drops.count(), 1);
    });
    assert!(explored.schedules() > 5, "{explored:?}");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    DropSender,
    WaitClosed,
    Receive,
    TryReceive,
    Close,
    DropReceiver,
}

proptest! {
    /// Whatever both sides do in any order, the value is in one place, and who waits is woken when
    /// there is something to be seen.
    #[test]
    fn a_channel_is_like_its_model(steps in prop::collection::vec(prop::sample::select(vec![
        Step::Send, Step::DropSender, Step::WaitClosed, Step::Receive, Step::TryReceive, Step::Close, Step::DropReceiver,
    ]), 1..8)) {
        let drops = Drops::new();
        let (sender, receiver) = oneshot::channel();
        let (mut sender, mut receiver) = (Some(sender), Some(receiver));
        let (receiving, closing) = (CountingWaker::new(), CountingWaker::new());
        // The model: a value in flight, and whether the channel is open.
        let (mut in_flight, mut open, mut waits) = (false, true, false);
        for step in steps {
            let woken = receiving.count();
            let was = (in_flight, open);
            match (step, &mut sender, &mut receiver) {
                (Step::Send, sender @ Some(_), _) => {
                    let sent = sender.take().unwrap().send(drops.guard());
                    prop_assert_eq!(sent.is_ok(), open);
                    let _ = sent.map_err(drop);
                    in_flight = open;
                    open = false;
                }
                (Step::DropSender, sender @ Some(_), _) => {
                    *sender = None;
                    open = false;
                }
                (Step::WaitClosed, Some(sender), _) => {
                    let mut closed = sender.closed();
                    prop_assert_eq!(closing.poll(std::pin::Pin::new(&mut closed)).is_ready(), !open);
                }
                (Step::Receive, _, Some(receiver)) => {
                    let polled = receiving.poll(std::pin::Pin::new(receiver));
                    prop_assert_eq!(polled.is_pending(), open);
                    prop_assert_eq!(matches!(polled, std::task::Poll::Ready(Ok(_))), in_flight);
                    waits = open;
                    in_flight = false;
                }
                (Step::TryReceive, _, Some(receiver)) => {
                    let tried = receiver.try_recv();
                    prop_assert_eq!(tried.is_ok(), in_flight);
                    if let Err(error) = &tried {
                        prop_assert_eq!(error.is_empty(), open);
                    }
                    in_flight = false;
                }
                (Step::Close, _, Some(receiver)) => {
                    receiver.close();
                    open = false;
                    waits = false;
                }
                (Step::DropReceiver, _, receiver @ Some(_)) => {
                    *receiver = None;
                    (open, in_flight, waits) = (false, false, false);
                }
                _ => {}
            }
            let hears = waits && was.1 && !open;
            prop_assert_eq!(receiving.count(), woken + usize::from(hears));
            waits &= !hears;
            prop_assert_eq!(drops.alive(), usize::from(in_flight));
            if let Some(sender) = &sender {
                prop_assert_eq!(sender.is_closed(), !open);
            }
        }
        drop((sender, receiver));
        prop_assert_eq!((drops.alive(), receiving.held(), closing.held()), (0, 0, 0));
    }
}

matrix! {
    async fn a_value_goes_from_one_thread_to_another() {
        let (sender, receiver) = oneshot::channel();
        scope(async |s| {
            s.spawn_parallel(async move {
                yield_now().await;
                sender.send(7).unwrap();
            });
            assert_eq!(s.spawn_parallel(receiver).await, Ok(7));
        }).await;
    }

    async fn a_child_that_is_cancelled_tells_the_other_side() {
        let (mut sender, receiver) = oneshot::channel::<u32>();
        scope(async |s| {
            let child = s.spawn(receiver);
            yield_now().await;
            child.cancel();
            sender.closed().await;
            assert_eq!(sender.send(7), Err(7));
        }).await;
        let (sender, receiver) = oneshot::channel::<u32>();
        scope(async |s| {
            let child = s.spawn_parallel(async move {
                std::future::pending::<()>().await;
                sender.send(7)
            });
            yield_now().await;
            child.cancel();
            assert_eq!(receiver.await, Err(RecvError));
        }).await;
    }

    async fn a_timeout_around_a_wait_loses_nothing() {
        let (sender, mut receiver) = oneshot::channel();
        assert!(timeout(T, &mut receiver).await.is_err());
        sender.send(7).unwrap();
        assert_eq!(timeout(T, &mut receiver).await, Ok(Ok(7)));
    }
}
