//! Queues without room, whose senders wait until their item is taken.

use foster::testing::{Drops, cancel_at_every_await, explore_all};
use foster::{gather, local, queue, scope, yield_now};
use futures::executor::block_on;
use futures::future::poll_immediate;
use futures::{FutureExt, SinkExt, StreamExt};

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;

#[test]
fn a_send_completes_when_its_item_is_taken() {
    let (jobs, work) = queue::rendezvous();
    let sender = ByHand::waiting(jobs.send(1));
    assert_eq!((work.len(), work.capacity(), jobs.unfinished()), (0, Some(0), 0));
    assert_eq!(work.statistics().waiting_senders(), 1);
    let item = work.try_recv().unwrap();
    assert_eq!((*item, jobs.unfinished()), (1, 1));
    sender.turn().unwrap();
}

#[test]
fn a_receiver_that_waits_is_woken_and_the_sender_waits_until_it_takes() {
    let (jobs, work) = queue::rendezvous();
    let reader = ByHand::waiting(work.recv());
    let sender = ByHand::waiting(jobs.send(1));
    assert_eq!((reader.wakes(), sender.wakes()), (1, 0));
    assert!(work.try_recv().is_err(), "it is promised");
    assert_eq!(*reader.turn().unwrap(), 1);
    sender.turn().unwrap();
}

#[test]
fn senders_and_receivers_meet_in_order() {
    let (jobs, work) = queue::rendezvous();
    let senders = [1, 2, 3].map(|i| ByHand::waiting(jobs.send(i)));
    for i in 1..=2 {
        assert_eq!(*ByHand::new(work.recv()).poll().unwrap().unwrap(), i);
    }
    assert_eq!(senders.iter().map(ByHand::wakes).collect::<Vec<_>>(), [1, 1, 0]);
    let [.., last] = senders;
    let batch = ByHand::new(work.recv_many(8)).poll().unwrap();
    assert_eq!((batch.len(), *batch[0]), (1, 3));
    last.turn().unwrap();
    let readers = [(); 3].map(|()| ByHand::waiting(work.recv()));
    let senders = [4, 5].map(|i| ByHand::waiting(jobs.send(i)));
    assert_eq!(readers.iter().map(ByHand::wakes).collect::<Vec<_>>(), [1, 1, 0]);
    let [first, second, _third] = readers;
    assert_eq!((*first.turn().unwrap(), *second.turn().unwrap()), (4, 5));
    senders.into_iter().for_each(|sender| sender.turn().unwrap());
}

#[test]
fn a_sender_that_leaves_takes_its_item_along() {
    let drops = Drops::new();
    let (jobs, work) = queue::rendezvous();
    let sender = ByHand::waiting(jobs.send(drops.guard()));
    drop(sender);
    assert_eq!(drops.alive(), 0);
    assert!(work.try_recv().unwrap_err().is_empty());
    assert_eq!((jobs.unfinished(), jobs.statistics().waiting_senders()), (0, 0));
}

#[test]
fn an_item_that_leaves_with_its_sender_is_dropped_without_the_lock() {
    struct Nosy(queue::WeakSender<Nosy>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            assert_eq!(self.0.upgrade().map(|jobs| jobs.len()), Some(0));
        }
    }
    let (jobs, work) = queue::rendezvous();
    drop(ByHand::waiting(jobs.send(Nosy(jobs.downgrade()))));
    let sender = ByHand::waiting(jobs.send(Nosy(jobs.downgrade())));
    drop(work);
    drop(sender);
}

#[test]
fn a_receiver_whose_item_is_withdrawn_keeps_its_place() {
    let (jobs, work) = queue::rendezvous();
    let mut first = ByHand::waiting(work.recv());
    let second = ByHand::waiting(work.recv());
    let sender = ByHand::waiting(jobs.send(1));
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(sender);
    assert!(first.poll().is_none());
    let other = ByHand::waiting(jobs.send(2));
    assert_eq!((first.wakes(), second.wakes()), (2, 0));
    assert_eq!(*first.poll().unwrap().unwrap(), 2);
    other.turn().unwrap();
    drop(second);
    assert_eq!(work.statistics().waiting_receivers(), 0);
}

/// It yielded before it was in the line again, and who came after it was let in.
#[test]
fn a_receiver_whose_item_is_withdrawn_keeps_its_place_although_the_steps_of_a_poll_are_used_up() {
    let (steps, many) = queue::unbounded();
    (0..20_000).for_each(|_| steps.try_send(()).unwrap());
    // It is not known here how many steps there are, so one of these has none left.
    for taken in 100..200 {
        let (jobs, work) = queue::rendezvous();
        let mut first = Box::pin(work.recv());
        assert!(block_on(poll_immediate(&mut first)).is_none());
        let second = ByHand::waiting(work.recv());
        drop(ByHand::waiting(jobs.send(1)));
        block_on(scope(async |s| {
            s.spawn(async {
                (0..taken).for_each(|_| drop(many.recv().now_or_never()));
                assert!(poll_immediate(&mut first).await.is_none());
            });
        }));
        let _offer = ByHand::waiting(jobs.send(2));
        assert_eq!(second.wakes(), 0, "after {taken} steps");
    }
}

#[test]
fn a_batch_takes_the_offer_that_is_left_before_those_who_came_later() {
    let (jobs, work) = queue::rendezvous();
    let (mut first, mut second) = (ByHand::waiting(work.recv_many(2)), ByHand::waiting(work.recv()));
    let [stays, leaves] = [1, 2].map(|item| ByHand::waiting(jobs.send(item)));
    drop(leaves);
    assert_eq!(*first.poll().unwrap()[0], 1);
    stays.turn().unwrap();
    assert!(second.poll().is_none());
}

#[test]
fn a_receiver_that_leaves_leaves_the_item_to_the_next() {
    let (jobs, work) = queue::rendezvous();
    let (first, second) = (ByHand::waiting(work.recv()), ByHand::waiting(work.recv()));
    let sender = ByHand::waiting(jobs.send(1));
    drop(first);
    assert_eq!((second.wakes(), sender.wakes()), (1, 0));
    drop(second);
    assert_eq!(sender.wakes(), 0, "nobody has taken it");
    assert_eq!(*work.try_recv().unwrap(), 1);
    sender.turn().unwrap();
}

#[test]
fn there_is_room_for_as_many_as_wait() {
    let (jobs, work) = queue::rendezvous();
    assert!(jobs.try_send(0).unwrap_err().is_full());
    assert!(jobs.try_reserve().unwrap_err().is_full());
    let reservation = ByHand::waiting(jobs.reserve());
    let readers = [(); 2].map(|()| ByHand::waiting(work.recv()));
    let slot = reservation.turn().unwrap();
    jobs.try_send(1).unwrap();
    assert!(jobs.try_send(9).unwrap_err().is_full());
    slot.send(2).unwrap();
    let [first, second] = readers;
    assert_eq!((*first.turn().unwrap(), *second.turn().unwrap()), (1, 2));
}

#[test]
fn who_keeps_room_that_a_withdrawn_offer_has_left_is_let_in() {
    let (jobs, work) = queue::rendezvous();
    let mut reader = ByHand::waiting(work.recv());
    let sender = ByHand::waiting(jobs.send(1));
    let reservation = ByHand::waiting(jobs.reserve());
    drop(sender);
    assert!(reader.poll().is_none());
    reservation.turn().unwrap().send(2).unwrap();
    assert_eq!(*reader.poll().unwrap().unwrap(), 2);
}

#[test]
fn what_nobody_takes_stays_for_the_next_receiver() {
    let (jobs, work) = queue::rendezvous();
    let reader = ByHand::waiting(work.recv());
    jobs.try_send(1).unwrap();
    drop(reader);
    let sender = ByHand::waiting(jobs.send(2));
    assert_eq!(work.len(), 1);
    let item = work.try_recv().unwrap();
    item.put_back();
    assert_eq!((*work.try_recv().unwrap(), *work.try_recv().unwrap()), (1, 2));
    sender.turn().unwrap();
}

#[test]
fn senders_get_their_items_back_when_it_is_closed() {
    let (jobs, work) = queue::rendezvous();
    let senders = [1, 2].map(|i| ByHand::waiting(jobs.send(i)));
    work.close();
    for (i, sender) in senders.into_iter().enumerate() {
        assert_eq!(sender.turn().unwrap_err().into_inner(), i + 1);
    }
    assert!(work.try_recv().unwrap_err().is_closed());
    assert_eq!(ByHand::new(jobs.send(3)).poll().unwrap().unwrap_err().into_inner(), 3);
    assert!(jobs.try_send(4).unwrap_err().is_closed());
}

#[test]
fn an_item_whose_sender_was_refused_and_leaves_is_dropped() {
    let drops = Drops::new();
    let (jobs, work) = queue::rendezvous();
    let (sender, reader) = (ByHand::waiting(jobs.send(drops.guard())), work.clone());
    assert_eq!(work.close_now().len(), 0);
    assert_eq!(sender.wakes(), 1);
    drop(sender);
    assert_eq!(drops.alive(), 0);
    assert!(reader.try_recv().unwrap_err().is_closed());
}

#[test]
fn a_receiver_that_was_promised_what_is_refused_gets_the_end() {
    let (jobs, work) = queue::rendezvous();
    let reader = ByHand::waiting(work.recv());
    let sender = ByHand::waiting(jobs.send(1));
    jobs.close();
    assert_eq!(sender.turn().unwrap_err().into_inner(), 1);
    assert!(reader.turn().is_none());
}

matrix! {
    // C300: without a buffer.
    async fn items_pass_hand_to_hand() {
        let (jobs, work) = queue::rendezvous();
        scope(async |s| {
            s.spawn(async {
                for i in 0..10 {
                    jobs.send(i).await.unwrap();
                }
                jobs.close();
            });
            let mut next = 0;
            while let Some(item) = work.recv().await {
                assert_eq!((*item, work.len()), (next, 0));
                next += 1;
                yield_now().await;
            }
            assert_eq!(next, 10);
        })
        .await;
    }

    // C305: the producer is not asked for a second value before the first is taken.
    async fn a_producer_is_one_item_ahead() {
        let (jobs, work) = queue::rendezvous();
        let begun = std::sync::atomic::AtomicUsize::new(0);
        local::scope(async |s| {
            s.spawn(async {
                for i in 1..4 {
                    begun.store(i, std::sync::atomic::Ordering::Relaxed);
                    jobs.send(i).await.unwrap();
                }
            });
            for i in 1..4 {
                yield_now().await;
                yield_now().await;
                assert_eq!(begun.load(std::sync::atomic::Ordering::Relaxed), i);
                assert_eq!(*work.recv().await.unwrap(), i);
            }
        })
        .await;
    }

    // It joined the line no more once its item was withdrawn.
    async fn a_receiver_that_had_begun_to_wait_keeps_its_place_in_a_cancelled_region() {
        let (jobs, work) = queue::rendezvous();
        let mut reader = ByHand::waiting(work.recv());
        drop(ByHand::waiting(jobs.send(1)));
        let goes_on = in_a_cancelled_region(async {
            assert!(reader.poll().is_none());
            jobs.try_send(2).expect("a receiver waits");
            assert_eq!(reader.wakes(), 2);
            assert_eq!(*reader.poll().unwrap().unwrap(), 2);
        });
        assert!(goes_on.await);
    }

    async fn a_sink_meets_a_stream() {
        let (jobs, work) = queue::rendezvous();
        let items = async {
            let mut jobs = jobs;
            for i in 0..5 {
                jobs.feed(i).await.unwrap();
            }
        };
        let (_, items) = gather((items, work.map(|item| *item).collect::<Vec<_>>())).await;
        assert_eq!(items, [0, 1, 2, 3, 4]);
    }
}

#[test]
fn dropped_at_any_point_an_item_is_taken_or_stays_with_its_sender() {
    let (jobs, work) = &queue::rendezvous();
    let (drops, taken) = (&Drops::new(), &std::cell::Cell::new(0));
    cancel_at_every_await(
        || {
            local::scope(async |s| {
                for _ in 0..2 {
                    s.spawn(async {
                        jobs.send(drops.guard()).await.unwrap();
                        yield_now().await;
                        jobs.send(drops.guard()).await.unwrap();
                    });
                }
                for _ in 0..4 {
                    drop(work.recv().await);
                    taken.set(taken.get() + 1);
                }
            })
        },
        || {
            assert_eq!((drops.alive(), jobs.unfinished(), jobs.len()), (0, 0, 0));
            let statistics = jobs.statistics();
            assert_eq!((statistics.waiting_senders(), statistics.waiting_receivers()), (0, 0));
        },
    );
    assert!(taken.get() > 0);
}

#[test]
fn under_every_schedule_a_rendezvous_comes_about() {
    let explored = explore_all(|| async {
        let (jobs, work) = queue::rendezvous();
        let mut items = scope(async |s| {
            for i in 0..2 {
                let jobs = jobs.clone();
                s.spawn_parallel(async move { jobs.send(i).await.unwrap() });
            }
            let other = work.clone();
            let second = s.spawn_parallel(async move { other.recv().await.map(|item| *item) });
            let first = work.recv().await.map(|item| *item);
            [first, second.await]
        })
        .await;
        items.sort_unstable();
        assert_eq!(items, [Some(0), Some(1)]);
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

#[test]
fn a_sender_that_leaves_after_its_item_was_taken_has_sent_it() {
    let (jobs, work) = queue::rendezvous();
    let sends = ByHand::waiting(jobs.send(1));
    let item = work.try_recv().unwrap();
    assert_eq!(sends.wakes(), 1);
    drop(sends);
    assert_eq!((*item, work.try_recv().unwrap_err().is_empty()), (1, true));
}
