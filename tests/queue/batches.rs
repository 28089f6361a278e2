//! Batches that have a time to fill, and pools of workers.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use foster::sync::Event;
use foster::testing::{Drops, cancel_at_every_await};
use foster::{gather, local, now, queue, scope, shield, sleep, timeout, yield_now};

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;

const SECOND: Duration = Duration::from_secs(1);

fn numbers(batch: &[queue::Item<u32>]) -> Vec<u32> {
    batch.iter().map(|item| **item).collect()
}

sim! {
    async fn a_batch_is_full_or_late() {
        let (jobs, work) = queue::unbounded();
        scope(async |s| {
            s.spawn(async {
                for i in 0..5 {
                    sleep(SECOND).await;
                    jobs.try_send(i).unwrap();
                }
            });
            let start = now();
            let batch = work.recv_many_within(3, 10 * SECOND).await;
            assert_eq!((numbers(&batch), now() - start), (vec![0, 1, 2], 3 * SECOND));
            // The time counts from the first item, which comes after another second.
            let batch = work.recv_many_within(3, 5 * SECOND / 2).await;
            assert_eq!((numbers(&batch), now() - start), (vec![3, 4], 13 * SECOND / 2));
        })
        .await;
    }

    async fn a_full_batch_wins_a_tie() {
        let (jobs, work) = queue::unbounded();
        jobs.try_send(1).unwrap();
        let (batch, ()) = gather((work.recv_many_within(2, SECOND), async {
            sleep(SECOND).await;
            jobs.try_send(2).unwrap();
        }))
        .await;
        assert!(!batch.is_empty());
        assert_eq!(batch.len() + work.len(), 2);
    }

    async fn a_batch_takes_what_there_is_when_the_queue_is_full() {
        let (jobs, work) = queue::bounded(3);
        let start = now();
        let (batch, ()) = gather((work.recv_many_within(100, SECOND), async {
            for i in 0..3 {
                jobs.send(i).await.unwrap();
            }
        }))
        .await;
        assert_eq!((numbers(&batch), now()), (vec![0, 1, 2], start));
    }

    async fn a_batch_takes_what_there_is_when_the_queue_is_closed() {
        let (jobs, work) = queue::unbounded();
        let start = now();
        let (batch, ()) = gather((work.recv_many_within(100, SECOND), async {
            jobs.try_send(1).unwrap();
            sleep(SECOND / 2).await;
            jobs.close();
        }))
        .await;
        assert_eq!((numbers(&batch), now()), (vec![1], start + SECOND / 2));
        assert!(work.recv_many_within(100, SECOND).await.is_empty());
    }

    async fn others_may_take_what_a_batch_waits_for_but_not_its_first() {
        let (jobs, work) = queue::unbounded();
        let start = now();
        let batch = async { numbers(&work.recv_many_within(3, SECOND).await) };
        let others = async {
            for i in 0..2 {
                jobs.try_send(i).unwrap();
            }
            sleep(SECOND / 4).await;
            let taken = *work.try_recv().unwrap();
            assert!(work.try_recv().unwrap_err().is_empty(), "the last one is promised");
            sleep(SECOND / 4).await;
            jobs.try_send(2).unwrap();
            taken
        };
        let (batch, taken) = gather((batch, others)).await;
        assert_eq!((batch, taken, now() - start), (vec![1, 2], 0, SECOND));
    }

    async fn a_batch_is_not_short_because_another_took_items_when_it_was_full() {
        let (jobs, work) = queue::unbounded();
        let mut batch = ByHand::waiting(work.recv_many_within(2, SECOND));
        jobs.try_send(1).unwrap();
        assert!(batch.poll().is_none());
        jobs.try_send(2).unwrap();
        assert_eq!(batch.wakes(), 2);
        drop(work.try_recv().unwrap());
        assert!(batch.poll().is_none());
        jobs.try_send(3).unwrap();
        assert_eq!(numbers(&batch.poll().unwrap()), [2, 3]);
    }

    async fn offers_fill_a_batch() {
        let (jobs, work) = queue::rendezvous();
        let mut batch = ByHand::waiting(work.recv_many_within(2, SECOND));
        let first = ByHand::waiting(jobs.send(1));
        assert!(batch.poll().is_none());
        drop(first);
        let second = ByHand::waiting(jobs.send(2));
        let third = ByHand::waiting(jobs.send(3));
        assert_eq!(numbers(&batch.poll().unwrap()), [2, 3]);
        second.turn().unwrap();
        third.turn().unwrap();
    }

}

matrix! {
    // Its timer was polled again after it had elapsed. Some never fire then, and some panic.
    async fn a_batch_whose_only_offer_is_withdrawn_waits_for_another_and_gives_it_its_time() {
        let (jobs, work) = queue::rendezvous();
        local::scope(async |s| {
            let batch = s.spawn(async {
                let batch = numbers(&work.recv_many_within(2, T).await);
                (batch, now())
            });
            while work.statistics().waiting_receivers() == 0 {
                yield_now().await;
            }
            let withdrawn = ByHand::waiting(jobs.send(1));
            while work.statistics().waiting_receivers() > 0 {
                yield_now().await;
            }
            drop(withdrawn);
            // Its time is over, and there is no item.
            while work.statistics().waiting_receivers() == 0 {
                sleep(T).await;
            }
            let start = now();
            jobs.send(2).await.unwrap();
            let (batch, end) = batch.await;
            assert!(batch == [2] && end >= start + T, "{batch:?} after {:?}", end - start);
        })
        .await;
    }

    async fn a_batch_that_is_cancelled_leaves_all_items() {
        let (jobs, work) = queue::unbounded();
        (0..3).for_each(|i| jobs.try_send(i).unwrap());
        assert!(timeout(T, work.recv_many_within(10, Duration::MAX)).await.is_err());
        assert_eq!(numbers(&work.recv_many_within(10, Duration::ZERO).await), [0, 1, 2]);
        assert_eq!(work.statistics().waiting_receivers(), 0);
    }

    async fn in_a_cancelled_region_a_batch_takes_what_is_there() {
        let (jobs, work) = queue::bounded(10);
        (0..3).for_each(|i| jobs.try_send(i).unwrap());
        let mut taken = Vec::new();
        let takes = in_a_cancelled_region(async {
            taken.extend(numbers(&work.recv_many_within(2, Duration::MAX).await));
            taken.extend(numbers(&work.recv_many_within(2, Duration::MAX).await));
        });
        assert!(takes.await);
        assert_eq!(taken, [0, 1, 2]);
        let waits = in_a_cancelled_region(async { drop(work.recv_many_within(2, Duration::ZERO).await) });
        assert!(!waits.await);
        assert_eq!((work.statistics().waiting_receivers(), jobs.unfinished()), (0, 0));
        jobs.close();
        assert!(in_a_cancelled_region(async { assert!(work.recv_many_within(2, T).await.is_empty()) }).await);
    }

    async fn what_comes_in_a_cancelled_region_is_taken_by_a_batch_that_could_not_wait() {
        let (jobs, work) = queue::bounded(10);
        let taken = in_a_cancelled_region(async {
            let mut batch = ByHand::waiting(work.recv_many_within(2, Duration::MAX));
            jobs.try_send(1).unwrap();
            assert_eq!(numbers(&batch.poll().unwrap()), [1]);
        });
        assert!(taken.await);
    }

    async fn workers_share_the_work_of_a_queue() {
        let (jobs, work) = queue::bounded(4);
        let (sum, busy, most) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
        scope(async |s| {
            s.spawn(work.for_each(3, async |job| {
                most.fetch_max(busy.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                foster::yield_now().await;
                busy.fetch_sub(1, Ordering::Relaxed);
                sum.fetch_add(*job, Ordering::Relaxed);
            }));
            for i in 1..=20 {
                jobs.send(i).await.unwrap();
            }
            jobs.join().await;
            assert_eq!(sum.load(Ordering::Relaxed), 210);
            jobs.close();
        })
        .await;
        assert_eq!(most.load(Ordering::Relaxed), 3);
    }

    async fn a_worker_that_fails_ends_the_others_and_the_queue() {
        let drops = Drops::new();
        let (jobs, work) = queue::bounded(4);
        let failed = local::scope(async |s| {
            let workers = s.spawn(work.try_for_each(2, async |job: queue::Item<(u32, _)>| {
                foster::yield_now().await;
                if job.0 == 5 { Err(job.0) } else { Ok(()) }
            }));
            let mut sent = 0;
            while jobs.send((sent, drops.guard())).await.is_ok() {
                sent += 1;
            }
            workers.await
        })
        .await;
        assert_eq!((failed, drops.alive(), jobs.unfinished()), (Err(5), 0, 0));
    }

    // Senders waited for room until the last worker was wound down. Here that waits for them.
    async fn a_worker_that_fails_ends_the_queue_before_the_others_are_wound_down() {
        let (jobs, work) = queue::bounded(1);
        let (begun, refused, is_second) = (&Event::new(), &Event::new(), &AtomicBool::new(false));
        let producer = async {
            while jobs.send(()).await.is_ok() {}
            refused.set();
        };
        let workers = work.try_for_each(2, async |_| {
            if is_second.swap(true, Ordering::Relaxed) {
                begun.wait().await;
                return Err("failed");
            }
            begun.set();
            shield(refused.wait()).await;
            Ok(())
        });
        assert_eq!(gather((producer, workers)).await, ((), Err("failed")));
    }
}

#[test]
#[should_panic = "a batch has at least one item"]
fn a_batch_of_nothing_is_a_mistake() {
    let (_jobs, work) = queue::unbounded::<u32>();
    drop(work.recv_many_within(0, SECOND));
}

#[test]
fn a_batch_makes_room_in_a_rendezvous() {
    let (jobs, work) = queue::rendezvous();
    let reserves = ByHand::waiting(jobs.reserve());
    let batch = ByHand::waiting(work.recv_many_within(1, SECOND));
    reserves.turn().unwrap().send(1).unwrap();
    assert_eq!(numbers(&batch.turn()), [1]);
}

#[test]
fn dropped_at_any_point_a_batch_leaves_its_items() {
    let (jobs, work) = &queue::bounded(4);
    let (sent, received) = (&std::cell::Cell::new(0), &std::cell::Cell::new(0));
    cancel_at_every_await(
        || async {
            let producer = async {
                for _ in 0..6 {
                    sleep(SECOND).await;
                    jobs.reserve().await.unwrap().send(sent.get()).unwrap();
                    sent.set(sent.get() + 1);
                }
            };
            let consumer = async {
                for _ in 0..3 {
                    for item in work.recv_many_within(2, 3 * SECOND).await {
                        assert_eq!(*item, received.get());
                        received.set(received.get() + 1);
                    }
                }
            };
            gather((producer, consumer)).await;
        },
        || {
            while let Ok(item) = work.try_recv() {
                assert_eq!(*item, received.get());
                received.set(received.get() + 1);
            }
            assert_eq!((sent.get(), jobs.unfinished()), (received.get(), 0));
        },
    );
}
