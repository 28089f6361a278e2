//! The channel of `async-broadcast`: the rows that it satisfies, and what its page says that it
//! does not.

use foster::sync::async_broadcast::{RecvError, TryRecvError, broadcast};
use foster::testing::Drops;
use foster::{gather, scope, timeout, yield_now};

use crate::by_hand::ByHand;
use crate::harness::T;

#[test]
fn who_comes_when_there_is_room_overtakes_those_who_wait() {
    // As the page says. If this fails, the crate has become fair, and the page is to be changed.
    let (sender, mut receiver) = broadcast(1);
    sender.try_broadcast(0).unwrap();
    let mut waiter = ByHand::waiting(sender.broadcast(1));
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!(waiter.wakes(), 1);
    assert!(sender.try_broadcast(2).is_ok());
    assert!(waiter.poll().is_none(), "it was woken, and waits again");
    assert_eq!(receiver.try_recv(), Ok(2));
    assert!(waiter.poll().is_some());
    assert_eq!(receiver.try_recv(), Ok(1));
}

#[test]
fn more_room_wakes_nobody() {
    // As the page says.
    let (mut sender, _receiver) = broadcast(1);
    sender.try_broadcast(0).unwrap();
    let other = sender.clone();
    let mut waiter = ByHand::waiting(other.broadcast(1));
    sender.set_capacity(2);
    assert_eq!(waiter.wakes(), 0);
    assert!(waiter.poll().is_some());
}

#[test]
fn a_woken_sender_that_is_dropped_wakes_the_next() {
    let (sender, mut receiver) = broadcast(1);
    sender.try_broadcast(0).unwrap();
    let (first, mut second) = (ByHand::waiting(sender.broadcast(1)), ByHand::waiting(sender.broadcast(2)));
    assert_eq!(receiver.try_recv(), Ok(0));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!(second.wakes(), 1);
    assert!(second.poll().is_some());
    assert_eq!(receiver.try_recv(), Ok(2));
}

#[test]
fn a_wait_that_is_dropped_loses_nothing() {
    let (sender, mut receiver) = broadcast(1);
    let waiter = ByHand::waiting(receiver.recv());
    sender.try_broadcast(7).unwrap();
    assert_eq!(waiter.wakes(), 1);
    drop(waiter);
    assert_eq!(receiver.try_recv(), Ok(7));
}

#[test]
fn values_are_dropped_when_the_last_receiver_is_gone() {
    let drops = Drops::new();
    let (sender, receiver) = broadcast(2);
    sender.try_broadcast(std::sync::Arc::new(drops.guard())).unwrap();
    drop(receiver);
    assert!(sender.is_closed());
    drop(sender);
    assert_eq!(drops.alive(), 0);
}

#[test]
fn a_capacity_of_zero_panics() {
    // C300: there is no rendezvous.
    assert!(std::panic::catch_unwind(|| broadcast::<()>(0)).is_err());
}

matrix! {
    // C290: with a capacity of two the third does not fit, values come in order, and what was sent
    // is received before the end is.
    async fn values_come_in_order_and_are_drained_before_the_end() {
        let (sender, mut receiver) = broadcast(2);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        for value in [1, 2] {
            sender.try_broadcast(value).unwrap();
        }
        assert!(sender.try_broadcast(3).unwrap_err().is_full());
        assert_eq!((sender.len(), sender.capacity()), (2, 2));
        sender.close();
        assert_eq!((receiver.recv().await, receiver.recv().await), (Ok(1), Ok(2)));
        assert_eq!(receiver.recv().await, Err(RecvError::Closed));
        assert!(sender.broadcast(4).await.is_err());
    }

    // C292: ten clones send three values each. All arrive, at each receiver, and when the last
    // clone is dropped the receivers see the end.
    async fn the_values_of_all_senders_arrive_at_all_receivers() {
        let (sender, receiver) = broadcast(2);
        let counts = scope(async |s| {
            for _ in 0..10 {
                let sender = sender.clone();
                s.spawn_parallel(async move {
                    for value in 0..3 {
                        sender.broadcast(value).await.unwrap();
                    }
                });
            }
            drop(sender);
            let receivers = [receiver.clone(), receiver.clone(), receiver].map(|mut receiver| {
                s.spawn_parallel(async move {
                    let (mut count, mut sum) = (0, 0);
                    while let Ok(value) = receiver.recv().await {
                        count += 1;
                        sum += value;
                    }
                    (count, sum)
                })
            });
            gather(receivers).await
        });
        assert_eq!(counts.await, [(30, 30); 3]);
    }

    // C295: the channel breaks when the last receiver is gone, and not before.
    async fn the_channel_is_closed_with_its_last_receiver() {
        let (sender, receiver) = broadcast(2);
        let second = receiver.clone();
        drop(receiver);
        assert!(sender.broadcast(1).await.is_ok());
        drop(second);
        assert_eq!(sender.broadcast(2).await.unwrap_err().into_inner(), 2);
    }

    // C298, as far as it goes: how many senders, receivers and values there are. A receiver that
    // was cancelled is not counted.
    async fn senders_receivers_and_values_are_counted() {
        let (sender, receiver) = broadcast(3);
        let second = sender.clone();
        scope(async |s| {
            let mut other = receiver.clone();
            let waiter = s.spawn(async move { other.recv().await });
            yield_now().await;
            assert_eq!((sender.sender_count(), sender.receiver_count()), (2, 2));
            waiter.cancel();
            assert!(waiter.outcome().await.is_err());
        }).await;
        assert_eq!((second.receiver_count(), second.len()), (1, 0));
        second.broadcast(1).await.unwrap();
        assert_eq!(receiver.len(), 1);
    }

    async fn a_timeout_around_a_wait_loses_nothing() {
        let (sender, mut receiver) = broadcast(1);
        assert!(timeout(T, receiver.recv()).await.is_err());
        sender.broadcast(1).await.unwrap();
        assert!(timeout(T, sender.broadcast(2)).await.is_err());
        assert_eq!(receiver.recv().await, Ok(1));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "the second was not sent");
    }
}
