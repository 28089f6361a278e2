//! The rows of the contract on queues and channels, from the test suites of asyncio and Trio. Each
//! test names its row.

use foster::queue::{self, Item, Receiver, Sender};
use foster::testing::Drops;
use foster::{scope, timeout, yield_now};

use crate::by_hand::ByHand;
use crate::harness::T;

/// Takes all that is there.
fn drain<T>(work: &Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| work.try_recv().ok()).map(value).collect()
}

fn value<T>(item: Item<T>) -> T {
    item.into_parts().0
}

fn full<T>(capacity: usize, items: impl IntoIterator<Item = T>) -> (Sender<T>, Receiver<T>) {
    let (jobs, work) = queue::bounded(capacity);
    items.into_iter().for_each(|item| jobs.try_send(item).expect("there is room"));
    (jobs, work)
}

/// A queue of each kind, for so many items.
fn three(capacity: usize) -> [(Sender<u32>, Receiver<u32>); 3] {
    [queue::bounded(capacity), queue::lifo(capacity), queue::priority(capacity)]
}

matrix! {
    // C085: a new queue is empty, and after a put it is not.
    async fn a_new_queue_is_empty() {
        let (jobs, work) = queue::bounded(2);
        assert!(jobs.is_empty() && work.is_empty());
        jobs.send(1).await.unwrap();
        assert_eq!((jobs.len(), work.len(), work.is_empty()), (1, 1, false));
    }

    // C087: first in, first out.
    async fn items_come_in_order() {
        let (jobs, work) = queue::unbounded();
        for i in [1, 3, 2] {
            jobs.send(i).await.unwrap();
        }
        let mut items = Vec::new();
        for _ in 0..3 {
            items.push(*work.recv().await.unwrap());
        }
        assert_eq!(items, [1, 3, 2]);
    }

    // C088: the third put into a queue of two waits for a get.
    async fn a_full_queue_makes_its_sender_wait() {
        let (jobs, work) = full(2, [1, 2]);
        let third = ByHand::waiting(jobs.send(3));
        assert_eq!(*work.recv().await.unwrap(), 1);
        third.turn().unwrap();
        assert_eq!(drain(&work), [2, 3]);
    }

    // C090: a get wakes exactly one blocked putter.
    async fn an_item_that_is_taken_wakes_one_sender() {
        let (jobs, work) = full(1, [1]);
        let senders = [2, 3].map(|i| ByHand::waiting(jobs.send(i)));
        drop(work.recv().await);
        assert_eq!(senders.iter().map(ByHand::wakes).collect::<Vec<_>>(), [1, 0]);
    }

    // C092, C093, C100: without waiting.
    async fn items_are_put_and_taken_without_waiting() {
        let (jobs, work) = queue::bounded(1);
        let error = work.try_recv().unwrap_err();
        assert!(error.is_empty() && !error.is_closed());
        jobs.try_send(1).unwrap();
        let error = jobs.try_send(2).unwrap_err();
        assert!(error.is_full() && !error.is_closed());
        assert_eq!(error.into_inner(), 2);
        assert_eq!(*work.try_recv().unwrap(), 1);
    }

    // C095: of a queue of one, on which two putters wait, the items come in order.
    async fn items_of_waiting_senders_come_in_order() {
        let (jobs, work) = full(1, [0]);
        let [first, second] = [1, 2].map(|i| ByHand::waiting(jobs.send(i)));
        assert_eq!(*work.recv().await.unwrap(), 0);
        first.turn().unwrap();
        assert_eq!(*work.recv().await.unwrap(), 1);
        second.turn().unwrap();
        assert_eq!(*work.recv().await.unwrap(), 2);
    }

    // C097: a getter whose time is over is no longer in the line.
    async fn a_receiver_that_times_out_leaves_the_line() {
        let (jobs, work) = queue::bounded::<u32>(1);
        assert!(timeout(T, work.recv()).await.is_err());
        assert_eq!(work.statistics().waiting_receivers(), 0);
        jobs.try_send(1).unwrap();
        assert_eq!(drain(&work), [1]);
    }

    // C098: a put into space completes when it is first polled.
    async fn sending_into_room_is_ready_at_once() {
        let (jobs, _work) = queue::bounded(1);
        assert!(ByHand::new(jobs.send(1)).poll().unwrap().is_ok());
    }

    // C102: of three readers of two items one is cancelled; the other two get both.
    async fn a_cancelled_receiver_takes_no_item_with_it() {
        let (jobs, work) = queue::bounded(2);
        for cancelled in 0..3 {
            let mut readers: Vec<_> = (0..3).map(|_| ByHand::waiting(work.recv())).collect();
            jobs.send(1).await.unwrap();
            jobs.send(2).await.unwrap();
            drop(readers.remove(cancelled));
            let items: Vec<_> = readers.into_iter().map(|reader| value(reader.turn().unwrap())).collect();
            assert_eq!(items, [1, 2]);
        }
    }

    // C103: a putter that was woken is cancelled; the retry puts one item, and then there is none.
    async fn a_cancelled_sender_leaves_nothing_behind() {
        let (jobs, work) = full(1, [1]);
        let sender = ByHand::waiting(jobs.send(2));
        assert_eq!(*work.recv().await.unwrap(), 1);
        assert_eq!(sender.wakes(), 1);
        drop(sender);
        jobs.send(2).await.unwrap();
        assert_eq!(drain(&work), [2]);
        assert_eq!(work.len(), 0);
    }

    // C105: a put that has completed is not undone by a later cancellation.
    async fn a_completed_send_stays() {
        let (jobs, work) = queue::bounded(1);
        scope(async |s| {
            s.spawn(async {
                jobs.send(1).await.unwrap();
                std::future::pending::<()>().await;
            });
            yield_now().await;
            s.cancel("enough");
        })
        .await;
        assert_eq!(drain(&work), [1]);
    }

    // C107: a put hands the item to the getter that waits.
    async fn a_waiting_receiver_gets_the_item() {
        let (jobs, work) = queue::bounded(1);
        let reader = ByHand::waiting(work.recv());
        jobs.send(1).await.unwrap();
        assert!(work.try_recv().unwrap_err().is_empty(), "it is promised");
        assert_eq!(*reader.turn().unwrap(), 1);
    }

    // C108: four putters on a queue of two, and a getter that drains it: all finish.
    async fn all_waiting_senders_finish_as_the_queue_is_drained() {
        let (jobs, work) = full(2, [0, 1]);
        scope(async |s| {
            for i in 2..6 {
                s.spawn({ let jobs = &jobs; async move { jobs.send(i).await.unwrap() } });
            }
            yield_now().await;
            let mut items = Vec::new();
            for _ in 0..6 {
                items.push(value(work.recv().await.unwrap()));
            }
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3, 4, 5]);
        })
        .await;
        assert_eq!(work.statistics().waiting_senders(), 0);
    }

    // C110: a putter that was woken is cancelled: the room goes to the next one.
    async fn room_for_a_cancelled_sender_goes_to_the_next() {
        let (jobs, work) = full(1, [1]);
        let (first, second) = (ByHand::waiting(jobs.send(2)), ByHand::waiting(jobs.send(3)));
        drop(work.recv().await);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        drop(first);
        second.turn().unwrap();
        assert_eq!(drain(&work), [3]);
    }

    // C112: the smallest first.
    async fn the_smallest_item_comes_first() {
        let (jobs, work) = queue::priority(4);
        for i in [1, 3, 2] {
            jobs.send(i).await.unwrap();
        }
        assert_eq!(drain(&work), [1, 2, 3]);
    }

    // C113: to finish more than there is cannot be said; to finish nothing is done by nobody.
    async fn an_item_is_done_once() {
        for (jobs, work) in three(2) {
            jobs.try_send(1).unwrap();
            jobs.try_send(2).unwrap();
            let (_, unfinished) = work.recv().await.unwrap().into_parts();
            assert_eq!(jobs.unfinished(), 2);
            drop(unfinished);
            assert_eq!(jobs.unfinished(), 1);
            let item = work.recv().await.unwrap();
            item.put_back();
            assert_eq!(jobs.unfinished(), 1, "it was given back, and is not done");
            drop(work.recv().await);
            assert_eq!(jobs.unfinished(), 0);
        }
    }

    // C115: joining a new queue is ready at once, twice.
    async fn there_is_nothing_to_wait_for_in_a_new_queue() {
        for (jobs, work) in three(1) {
            assert!(ByHand::new(jobs.join()).poll().is_some());
            assert!(ByHand::new(work.join()).poll().is_some());
        }
    }

    // C117: a blocked put gets an error; the item that is left is delivered, then the end; the join
    // waits until it is done.
    async fn a_closed_queue_is_drained() {
        for (jobs, work) in three(1) {
            jobs.try_send(1).unwrap();
            let sender = ByHand::waiting(jobs.send(2));
            let mut join = ByHand::waiting(jobs.join());
            jobs.close();
            assert_eq!(sender.turn().unwrap_err().into_inner(), 2);
            let item = work.recv().await.unwrap();
            assert_eq!(*item, 1);
            assert!(work.recv().await.is_none());
            assert!(work.try_recv().unwrap_err().is_closed());
            assert!(jobs.try_send(3).unwrap_err().is_closed());
            assert!(join.poll().is_none());
            drop(item);
            join.turn();
        }
    }

    // C118: closing at once takes the items out, which are done then, and all later calls get the
    // end. Without items that were fetched, the join ends at once.
    async fn closing_at_once_ends_everything() {
        for (jobs, work) in three(3) {
            (1..=3).for_each(|item| jobs.try_send(item).unwrap());
            let (join, sender) = (ByHand::waiting(jobs.join()), ByHand::waiting(jobs.send(4)));
            let mut items = jobs.close_now();
            items.sort_unstable();
            assert_eq!(items, [1, 2, 3]);
            join.turn();
            assert_eq!(sender.turn().unwrap_err().into_inner(), 4);
            assert!(work.recv().await.is_none() && work.recv_many(2).await.is_empty());
            assert!(work.try_recv().unwrap_err().is_closed());
            assert!(jobs.send(5).await.is_err() && jobs.reserve().await.is_err());
            assert!(jobs.try_send(6).unwrap_err().is_closed() && jobs.try_reserve().unwrap_err().is_closed());
            assert_eq!((jobs.unfinished(), jobs.len(), jobs.close_now()), (0, 0, Vec::new()));
            jobs.join().await;
        }
    }

    // C118, cpython#137088: what had been fetched was counted as done, too.
    async fn closing_at_once_leaves_what_was_received_to_be_done() {
        for (jobs, work) in three(3) {
            (1..=3).for_each(|item| jobs.try_send(item).unwrap());
            let item = work.recv().await.unwrap();
            let mut join = ByHand::waiting(jobs.join());
            assert_eq!(jobs.close_now().len(), 2);
            assert!(work.recv().await.is_none());
            assert!(join.poll().is_none());
            assert_eq!(jobs.unfinished(), 1);
            drop(item);
            join.turn();
        }
    }

    // C285, C287: a queue of one is a lock, by who has put its only item, or by who has taken it.
    // Five workers with ten rounds each are never inside together, and what is taken without
    // waiting makes others wait.
    async fn a_queue_of_one_excludes() {
        let (jobs, work) = queue::bounded(1);
        for has_item in [false, true] {
            let enter = async || if has_item { drop(work.recv().await) } else { jobs.send(()).await.unwrap() };
            let try_enter = || if has_item { work.try_recv().is_ok() } else { jobs.try_send(()).is_ok() };
            let leave = || if has_item { jobs.try_send(()).is_ok() } else { work.try_recv().is_ok() };
            if has_item {
                jobs.try_send(()).unwrap();
            }
            assert!(try_enter() && !try_enter());
            let waiter = ByHand::waiting(enter());
            assert!(leave());
            waiter.turn();
            assert!(leave());
            let inside = Drops::new();
            scope(async |s| {
                for _ in 0..5 {
                    s.spawn(async {
                        for _ in 0..10 {
                            enter().await;
                            let guard = inside.guard();
                            assert_eq!(inside.alive(), 1);
                            yield_now().await;
                            drop(guard);
                            assert!(leave());
                        }
                    });
                }
            })
            .await;
            assert_eq!((inside.count(), jobs.len()), (50, usize::from(has_item)));
        }
    }

    // C290: capacity two, full, in order; closing drains, and then it ends.
    async fn a_channel_of_two() {
        let (jobs, work) = queue::bounded(2);
        assert!(work.try_recv().unwrap_err().is_empty());
        jobs.try_send(1).unwrap();
        jobs.try_send(2).unwrap();
        assert!(jobs.try_send(3).unwrap_err().is_full());
        assert_eq!(value(work.try_recv().unwrap()), 1);
        drop(jobs);
        assert_eq!(value(work.recv().await.unwrap()), 2);
        assert!(work.recv().await.is_none());
    }

    // C292: ten clones send three items each; the queue ends when the last clone is dropped.
    async fn it_ends_with_the_last_sender() {
        let (jobs, work) = queue::bounded(1);
        let mut items = scope(async |s| {
            for producer in 0..10 {
                let jobs = jobs.clone();
                s.spawn(async move {
                    for i in 0..3 {
                        jobs.send(10 * i + producer).await.unwrap();
                    }
                });
            }
            drop(jobs);
            let mut items = Vec::new();
            while let Some(item) = work.recv().await {
                items.push(*item);
            }
            items
        })
        .await;
        items.sort_unstable();
        assert_eq!(items, (0..30).collect::<Vec<_>>());
    }

    // C293: five consumers: each item comes once, and all take part.
    async fn consumers_share_the_items() {
        let (jobs, work) = queue::bounded(1);
        let counts = scope(async |s| {
            let consumers: Vec<_> = (0..5)
                .map(|_| {
                    let work = work.clone();
                    s.spawn(async move {
                        let mut items = Vec::new();
                        while let Some(item) = work.recv().await {
                            items.push(*item);
                            yield_now().await;
                        }
                        items
                    })
                })
                .collect();
            for i in 0..50 {
                jobs.send(i).await.unwrap();
            }
            drop(jobs);
            let mut counts = Vec::new();
            for consumer in consumers {
                counts.push(consumer.await);
            }
            counts
        })
        .await;
        assert!(counts.iter().all(|items| !items.is_empty()), "{counts:?}");
        let mut items = counts.concat();
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }

    // C295: it breaks only when the last receiver is gone.
    async fn it_breaks_with_the_last_receiver() {
        let (jobs, first) = queue::bounded(1);
        let second = first.clone();
        drop(first);
        jobs.send(1).await.unwrap();
        assert_eq!(value(second.recv().await.unwrap()), 1);
        drop(second);
        assert_eq!(jobs.send(2).await.unwrap_err().into_inner(), 2);
    }

    // C297: no limit.
    async fn an_unbounded_queue_never_makes_anyone_wait() {
        let (jobs, work) = queue::unbounded();
        assert_eq!(jobs.capacity(), None);
        (0..10_000).for_each(|i| jobs.try_send(i).unwrap());
        assert_eq!(drain(&work), (0..10_000).collect::<Vec<_>>());
    }

    // C298: the statistics; cancelled waiters do not count.
    async fn statistics_tell_who_uses_the_queue() {
        let (jobs, work) = full(1, [1]);
        let (more_jobs, weak) = (jobs.clone(), jobs.downgrade());
        let sender = ByHand::waiting(more_jobs.send(2));
        let cancelled = ByHand::waiting(jobs.send(3));
        drop(cancelled);
        let statistics = work.statistics();
        assert_eq!((statistics.len(), statistics.capacity(), statistics.is_empty()), (1, Some(1), false));
        assert_eq!((statistics.senders(), statistics.receivers()), (2, 1));
        assert_eq!((statistics.waiting_senders(), statistics.waiting_receivers()), (1, 0));
        drop(sender);
        drop((more_jobs, drain(&work)));
        let reader = ByHand::waiting(work.recv());
        let statistics = work.statistics();
        assert_eq!((statistics.waiting_receivers(), statistics.unfinished(), statistics.peak()), (1, 0, 1));
        drop(reader);
        assert_eq!(work.statistics().waiting_receivers(), 0);
        assert_eq!(weak.upgrade().map(|jobs| jobs.statistics().senders()), Some(2));
    }

    // C308: two receivers of one stream share it.
    async fn streams_of_two_receivers_share_the_items() {
        let (jobs, mut first) = full(4, 0..4);
        let mut second = first.clone();
        drop(jobs);
        let mut items = Vec::new();
        for _ in 0..2 {
            items.push(value(futures::StreamExt::next(&mut first).await.unwrap()));
            items.push(value(futures::StreamExt::next(&mut second).await.unwrap()));
        }
        assert!(futures::StreamExt::next(&mut first).await.is_none());
        assert_eq!(items, [0, 1, 2, 3]);
    }
}
