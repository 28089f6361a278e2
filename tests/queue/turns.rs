//! Whose turn it is, and what becomes of it when somebody leaves.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use foster::queue;
use foster::testing::{CountingWaker, Drops, cancel_at_every_await, explore_all, poll_once};
use foster::{local, scope, yield_now};
use futures::{SinkExt, StreamExt};

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;

#[test]
fn nobody_overtakes_a_receiver_that_waits() {
    let (jobs, work) = queue::unbounded();
    let (first, second) = (ByHand::waiting(work.recv()), ByHand::waiting(work.recv()));
    jobs.try_send(1).unwrap();
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert!(work.try_recv().is_err());
    let third = ByHand::waiting(work.recv());
    assert_eq!(*first.turn().unwrap(), 1);
    jobs.try_send(2).unwrap();
    jobs.try_send(3).unwrap();
    assert_eq!(*second.turn().unwrap(), 2);
    assert_eq!(*third.turn().unwrap(), 3);
}

#[test]
fn nobody_overtakes_a_sender_that_waits() {
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(0).unwrap();
    let first = ByHand::waiting(jobs.send(1));
    drop(work.try_recv().unwrap());
    assert!(jobs.try_send(9).unwrap_err().is_full(), "the room is for the first");
    assert!(jobs.try_reserve().unwrap_err().is_full());
    let second = ByHand::waiting(jobs.send(2));
    first.turn().unwrap();
    assert_eq!(*work.try_recv().unwrap(), 1);
    second.turn().unwrap();
}

#[test]
fn a_turn_that_nobody_takes_is_passed_on_at_once() {
    let (jobs, work) = queue::unbounded();
    let mut readers: Vec<_> = (0..4).map(|_| ByHand::waiting(work.recv())).collect();
    jobs.try_send(1).unwrap();
    for _ in 0..3 {
        assert_eq!(readers.iter().map(ByHand::wakes).sum::<usize>(), 1);
        drop(readers.remove(0));
    }
    assert_eq!(*readers.remove(0).turn().unwrap(), 1);
    let reader = ByHand::waiting(work.recv());
    jobs.try_send(2).unwrap();
    drop(reader);
    assert_eq!(*work.try_recv().unwrap(), 2, "the last one gives it back");
}

#[test]
fn an_item_that_is_put_back_wakes_who_waits() {
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(1).unwrap();
    let item = work.try_recv().unwrap();
    let reader = ByHand::waiting(work.recv());
    item.put_back();
    assert_eq!(*reader.turn().unwrap(), 1);
}

#[test]
fn a_slot_is_room_for_one_item() {
    let (jobs, work) = queue::bounded(2);
    let first = ByHand::new(jobs.reserve()).poll().unwrap().unwrap();
    let second = jobs.try_reserve().unwrap();
    assert!(jobs.try_reserve().unwrap_err().is_full());
    assert!(jobs.try_send(9).unwrap_err().is_full());
    let waiting = ByHand::waiting(jobs.reserve());
    let sender = ByHand::waiting(jobs.send(3));
    drop(first);
    assert_eq!((waiting.wakes(), sender.wakes()), (1, 0));
    waiting.turn().unwrap().send(1).unwrap();
    second.send(2).unwrap();
    assert_eq!(*work.try_recv().unwrap(), 1);
    sender.turn().unwrap();
    assert_eq!(work.len(), 2);
}

#[test]
fn a_slot_of_a_closed_queue_gives_the_item_back() {
    let (jobs, work) = queue::bounded(1);
    let slot = jobs.try_reserve().unwrap();
    let waiting = ByHand::waiting(jobs.reserve());
    work.close();
    assert!(waiting.turn().is_err());
    assert_eq!(slot.send(1).unwrap_err().into_inner(), 1);
    assert!(jobs.try_reserve().unwrap_err().is_closed());
    assert!(ByHand::new(jobs.reserve()).poll().unwrap().is_err());
}

#[test]
fn a_sender_that_was_let_in_is_refused_if_the_queue_is_closed_meanwhile() {
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(1).unwrap();
    let sender = ByHand::waiting(jobs.send(2));
    drop(work.try_recv());
    work.close();
    assert_eq!(sender.turn().unwrap_err().into_inner(), 2);
    assert_eq!(jobs.unfinished(), 0);
}

#[test]
fn who_waits_for_the_last_promised_item_hears_of_the_end_when_it_is_taken() {
    // Were it told the end at once, nobody would be left to take the item when the one that has the
    // promise leaves.
    let (jobs, work) = queue::unbounded();
    let (first, second) = (ByHand::waiting(work.recv()), ByHand::waiting(work.recv()));
    jobs.try_send(1).unwrap();
    jobs.close();
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    let newcomer = ByHand::waiting(work.recv());
    drop(first);
    assert_eq!(*second.turn().unwrap(), 1);
    assert!(newcomer.turn().is_none());
}

#[test]
fn a_batch_takes_what_is_there_and_not_what_is_promised() {
    let (jobs, work) = queue::unbounded();
    let reader = ByHand::waiting(work.recv());
    let mut batch = ByHand::waiting(work.recv_many(10));
    jobs.try_send(1).unwrap();
    assert!(batch.poll().is_none(), "it is promised to the reader");
    (2..=4).for_each(|i| jobs.try_send(i).unwrap());
    assert_eq!(batch.wakes(), 1);
    let batch = batch.poll().unwrap();
    assert_eq!(batch.iter().map(|item| **item).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(*reader.turn().unwrap(), 4);
    assert_eq!(jobs.unfinished(), 3);
    drop(batch);
    assert_eq!(jobs.unfinished(), 0);
    jobs.close();
    assert!(ByHand::new(work.recv_many(10)).poll().unwrap().is_empty());
}

#[test]
#[should_panic = "a batch has at least one item"]
fn a_batch_of_nothing_is_a_mistake() {
    let (_jobs, work) = queue::unbounded::<u32>();
    drop(work.recv_many(0));
}

#[test]
fn a_batch_lets_in_as_many_senders_as_it_makes_room_for() {
    let (jobs, work) = queue::bounded(3);
    (0..3).for_each(|i| jobs.try_send(i).unwrap());
    let senders = [3, 4, 5].map(|i| ByHand::waiting(jobs.send(i)));
    assert_eq!(ByHand::new(work.recv_many(2)).poll().unwrap().len(), 2);
    assert_eq!(senders.iter().map(ByHand::wakes).collect::<Vec<_>>(), [1, 1, 0]);
}

/// Polls a future that is ready, and then once more.
fn panics_afterwards(future: impl Future) {
    let (waker, mut future) = (CountingWaker::new(), std::pin::pin!(future));
    assert!(waker.poll(future.as_mut()).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| waker.poll(future.as_mut()).is_ready())).is_err());
}

#[test]
fn futures_panic_when_they_are_polled_after_the_end() {
    let (jobs, work) = queue::bounded(8);
    jobs.try_send(1).unwrap();
    panics_afterwards(jobs.send(2));
    panics_afterwards(jobs.reserve());
    panics_afterwards(work.recv());
    panics_afterwards(work.recv_many(1));
    panics_afterwards(work.join());
}

#[test]
fn a_sink_reserves_room_before_it_takes_an_item() {
    let (mut jobs, work) = queue::bounded(1);
    ByHand::new(jobs.feed(1)).poll().unwrap().unwrap();
    let mut more_jobs = jobs.clone();
    drop(ByHand::waiting(more_jobs.feed(2)));
    assert_eq!(work.statistics().waiting_senders(), 1);
    drop(work.try_recv().unwrap());
    assert!(jobs.try_send(3).unwrap_err().is_full(), "it has its turn, and keeps it");
    drop(more_jobs);
    assert!(jobs.try_send(3).is_ok());
}

#[test]
fn a_slot_of_a_sink_is_given_back_with_it() {
    let (mut jobs, _work) = queue::bounded::<u32>(1);
    ByHand::new(poll_fn(|cx| jobs.poll_ready_unpin(cx))).poll().unwrap().unwrap();
    let more_jobs = jobs.clone();
    assert!(more_jobs.try_reserve().is_err());
    drop(jobs);
    assert!(more_jobs.try_reserve().is_ok());
}

#[test]
#[should_panic = "before `poll_ready`"]
fn a_sink_takes_nothing_without_room() {
    let (mut jobs, _work) = queue::bounded(1);
    _ = jobs.start_send_unpin(1);
}

#[test]
fn a_stream_keeps_its_turn_until_it_is_dropped() {
    let (jobs, mut work) = queue::unbounded();
    let other = work.clone();
    drop(ByHand::waiting(work.next()));
    jobs.try_send(1).unwrap();
    assert!(other.try_recv().unwrap_err().is_empty());
    drop(work);
    assert_eq!(*other.try_recv().unwrap(), 1);
}

matrix! {
    async fn a_stream_is_forwarded_into_a_queue() {
        let (jobs, work) = queue::bounded(2);
        let kept = jobs.clone();
        let items = scope(async |s| {
            s.spawn(async { futures::stream::iter(0..5).map(Ok).forward(jobs).await.unwrap() });
            let mut items = Vec::new();
            for _ in 0..5 {
                items.push(*work.recv().await.unwrap());
            }
            items
        })
        .await;
        assert_eq!(items, [0, 1, 2, 3, 4]);
        kept.try_send(5).expect("a sink that is closed closes nothing for the others");
        drop(kept);
        let left: Vec<_> = work.map(|item| *item).collect().await;
        assert_eq!(left, [5]);
    }

    async fn a_sink_gives_the_item_of_a_closed_queue_back() {
        let (mut jobs, work) = queue::bounded(1);
        poll_fn(|cx| jobs.poll_ready_unpin(cx)).await.unwrap();
        drop(work);
        assert_eq!(jobs.start_send_unpin(1).unwrap_err().into_inner(), Some(1));
        assert_eq!(SinkExt::send(&mut jobs, 2).await.unwrap_err().into_inner(), None);
    }

    async fn in_a_cancelled_region_what_is_there_is_taken_and_nobody_begins_to_wait() {
        let (jobs, work) = queue::bounded(1);
        let waits = in_a_cancelled_region(async {
            jobs.send(1).await.unwrap();
            assert!(poll_once(jobs.send(2)).await.is_pending());
            assert!(poll_once(jobs.reserve()).await.is_pending());
            assert_eq!(*work.recv().await.unwrap(), 1);
            _ = work.recv().await;
        });
        assert!(!waits.await);
        assert_eq!((work.statistics().waiting_receivers(), jobs.statistics().waiting_senders()), (0, 0));
        jobs.try_send(2).unwrap();
    }

    // A region that is cancelled stayed pending where nobody had to wait: with room, and with all
    // the work done.
    async fn in_a_cancelled_region_room_that_is_there_is_kept_and_work_that_is_done_is_joined() {
        let (mut jobs, work) = queue::bounded(1);
        let gets_through = in_a_cancelled_region(async {
            jobs.join().await;
            jobs.reserve().await.unwrap().send(1).unwrap();
            assert!(poll_once(jobs.join()).await.is_pending());
            assert!(poll_fn(|cx| Poll::Ready(jobs.poll_ready_unpin(cx).is_pending())).await);
            drop(work.recv().await.unwrap());
            poll_fn(|cx| jobs.poll_ready_unpin(cx)).await.unwrap();
            jobs.start_send_unpin(2).unwrap();
            drop(work.recv().await.unwrap());
            jobs.close();
            assert!(jobs.reserve().await.is_err());
            jobs.join().await;
        });
        assert!(gets_through.await);
        assert_eq!((jobs.unfinished(), jobs.statistics().waiting_senders()), (0, 0));
        assert!(work.recv().await.is_none());
    }

    async fn those_who_are_cancelled_leave_the_lines() {
        let (jobs, work) = queue::bounded(1);
        jobs.try_send(0).unwrap();
        scope(async |s| {
            for i in 0..3 {
                s.spawn({ let jobs = &jobs; async move { _ = jobs.send(i).await } });
                s.spawn(async { _ = jobs.reserve().await });
                s.spawn(async { jobs.join().await });
            }
            yield_now().await;
            assert_eq!(jobs.statistics().waiting_senders(), 6);
            s.cancel("enough");
        })
        .await;
        assert_eq!(jobs.statistics().waiting_senders(), 0);
        drop(work.recv().await);
        jobs.try_send(1).unwrap();
    }
}

#[test]
fn dropped_at_any_point_nobody_is_left_behind_and_nothing_is_lost() {
    let (jobs, work) = &queue::bounded(1);
    let sent = &std::cell::Cell::new(0);
    let received = &std::cell::Cell::new(0);
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                s.spawn(async {
                    for _ in 0..3 {
                        jobs.reserve().await.unwrap().send(sent.get()).unwrap();
                        sent.set(sent.get() + 1);
                    }
                    jobs.join().await;
                });
                for _ in 0..3 {
                    assert_eq!(*work.recv().await.unwrap(), received.get());
                    received.set(received.get() + 1);
                    yield_now().await;
                }
            })
        },
        || {
            while let Ok(item) = work.try_recv() {
                assert_eq!(*item, received.get());
                received.set(received.get() + 1);
            }
            assert_eq!(sent.get(), received.get());
            let statistics = jobs.statistics();
            assert_eq!((statistics.waiting_senders(), statistics.waiting_receivers()), (0, 0));
            assert_eq!(statistics.unfinished(), 0);
            assert!(jobs.try_reserve().is_ok());
        },
    );
    assert!(report.suspensions().iter().any(|what| what.contains("queue")), "{report:?}");
}

#[test]
fn under_every_schedule_each_item_is_delivered_once() {
    let explored = explore_all(|| async {
        let (jobs, work) = queue::bounded(1);
        let mut items = scope(async |s| {
            for i in 0..2 {
                let jobs = jobs.clone();
                s.spawn_parallel(async move { jobs.send(i).await.unwrap() });
            }
            let other = work.clone();
            let second = s.spawn_parallel(async move { other.recv().await.map(|item| *item) });
            drop(jobs);
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
fn under_every_schedule_a_join_ends_when_all_is_done() {
    let explored = explore_all(|| async {
        let (jobs, work) = queue::unbounded();
        let drops = Drops::new();
        for _ in 0..2 {
            jobs.try_send(drops.guard()).unwrap();
        }
        scope(async |s| {
            for puts_back in [true, false] {
                let work = work.clone();
                s.spawn_parallel(async move {
                    let item = work.recv().await.unwrap();
                    yield_now().await;
                    if puts_back {
                        item.put_back();
                        drop(work.recv().await);
                    }
                });
            }
            let (jobs, drops) = (jobs.clone(), drops.clone());
            s.spawn_parallel(async move {
                jobs.join().await;
                assert_eq!((drops.alive(), jobs.unfinished()), (0, 0));
            });
        })
        .await;
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

#[test]
fn under_every_schedule_room_that_was_reserved_is_used_or_given_back() {
    let explored = explore_all(|| async {
        let (jobs, work) = queue::bounded(1);
        scope(async |s| {
            for sends in [true, false] {
                let jobs = jobs.clone();
                s.spawn_parallel(async move {
                    let slot = jobs.reserve().await.unwrap();
                    yield_now().await;
                    if sends { slot.send(1).unwrap() } else { drop(slot) }
                });
            }
            let jobs = jobs.clone();
            s.spawn_parallel(async move { jobs.send(2).await.unwrap() });
            let items = [work.recv().await, work.recv().await].map(|item| *item.unwrap());
            assert_eq!(items.iter().sum::<u32>(), 3);
        })
        .await;
        assert_eq!((jobs.len(), jobs.statistics().waiting_senders()), (0, 0));
        assert!(jobs.try_reserve().is_ok());
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

#[test]
fn handles_and_futures_go_to_other_threads() {
    fn check<X: Send + Sync>(_: &X) {}
    let (jobs, work) = queue::bounded::<u32>(1);
    check(&jobs);
    check(&work);
    check(&jobs.downgrade());
    check(&jobs.send(1));
    check(&jobs.reserve());
    check(&jobs.try_reserve().unwrap());
    check(&work.recv());
    check(&work.recv_many(1));
    check(&work.join());
}

#[test]
fn a_future_that_was_polled_in_a_cancelled_region_can_wait_elsewhere() {
    // It joined the line with its second poll. What goes with the first time in the line had gone
    // with the first poll, so nobody met it in the rendezvous, and no joiner heard that all is
    // done.
    let begun = |future: std::pin::Pin<&mut dyn Future<Output = ()>>| {
        let mut future = Some(future);
        let region = in_a_cancelled_region(async { assert!(poll_once(future.take().unwrap()).await.is_pending()) });
        futures::executor::block_on(region);
    };
    let (jobs, work) = queue::unbounded();
    jobs.try_send(1).unwrap();
    let item = work.try_recv().unwrap();
    let mut joins = Box::pin(jobs.join());
    begun(joins.as_mut());
    let joins = ByHand::waiting(joins);
    drop(item);
    joins.turn();

    let (jobs, work) = queue::rendezvous();
    let mut receives = Box::pin(async { assert_eq!(*work.recv().await.unwrap(), 1) });
    begun(receives.as_mut());
    let reserves = ByHand::waiting(jobs.reserve());
    let receives = ByHand::waiting(receives);
    reserves.turn().unwrap().send(1).unwrap();
    receives.turn();

    let mut sends = Box::pin(async { jobs.send(2).await.unwrap() });
    begun(sends.as_mut());
    let receives = ByHand::waiting(work.recv());
    let sends = ByHand::waiting(sends);
    assert_eq!(*receives.turn().unwrap(), 2);
    sends.turn();
}
