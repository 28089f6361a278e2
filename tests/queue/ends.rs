//! How a queue ends, and what is let go of then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use foster::queue;
use foster::testing::{CountingWaker, Drops};
use foster::{local, scope, yield_now};
use futures::StreamExt;

use crate::by_hand::ByHand;

#[test]
fn the_largest_capacity_is_no_limit_and_takes_no_memory() {
    let (jobs, work) = queue::bounded(usize::MAX);
    jobs.try_send(1).unwrap();
    let _slot = jobs.try_reserve().unwrap();
    assert_eq!(*work.try_recv().unwrap(), 1);
    assert!(work.recv_many(usize::MAX).now().is_none());
}

#[test]
fn a_queue_without_room_is_a_mistake() {
    let complaint = |make: fn()| *catch_unwind(make).unwrap_err().downcast::<&str>().expect("it is a text");
    let (fifo, lifo) = (|| drop(queue::bounded::<u32>(0)), || drop(queue::lifo::<u32>(0)));
    for said in [complaint(fifo), complaint(lifo), complaint(|| drop(queue::priority::<u32>(0)))] {
        assert!(said.contains("queue::rendezvous"), "{said}");
    }
    let (_, work) = queue::bounded::<u32>(1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(work.for_each(0, async |_| ())))).is_err(), "nobody would work");
}

#[test]
fn what_is_queued_is_dropped_with_the_last_receiver() {
    // async-channel keeps the items, and what they hold, for as long as a sender lives. A
    // replicated log hung on this: a request in the queue held the sender of its answer.
    let drops = Drops::new();
    let (jobs, work) = queue::bounded(4);
    for _ in 0..3 {
        jobs.try_send(drops.guard()).unwrap();
    }
    let item = work.try_recv().unwrap();
    let sender = {
        jobs.try_send(drops.guard()).unwrap();
        jobs.try_send(drops.guard()).unwrap();
        ByHand::waiting(jobs.send(drops.guard()))
    };
    let join = ByHand::waiting(jobs.join());
    drop(work);
    assert_eq!(drops.alive(), 2, "the one that was received, and the one that waits");
    assert!(sender.turn().is_err());
    assert_eq!((jobs.unfinished(), jobs.len(), jobs.is_closed()), (1, 0, true));
    drop(item);
    join.turn();
    assert_eq!(drops.alive(), 0);
}

#[test]
fn an_item_whose_destructor_uses_the_queue_is_dropped_without_the_lock() {
    struct Nosy(Option<queue::WeakSender<Nosy>>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            if let Some(jobs) = self.0.take().and_then(|weak| weak.upgrade()) {
                let error = jobs.try_send(Nosy(None)).unwrap_err();
                assert!(error.is_closed());
            }
        }
    }
    let (jobs, work) = queue::bounded(4);
    for _ in 0..3 {
        jobs.try_send(Nosy(Some(jobs.downgrade()))).ok().unwrap();
    }
    jobs.try_send(Nosy(Some(jobs.downgrade()))).ok().unwrap();
    let sender = ByHand::waiting(jobs.send(Nosy(Some(jobs.downgrade()))));
    drop(work);
    drop(sender);
    assert_eq!(jobs.unfinished(), 0);
}

#[test]
fn weak_senders_keep_no_queue_open() {
    let (jobs, work) = queue::bounded(1);
    let weak = jobs.downgrade();
    weak.clone().upgrade().unwrap().try_send(1).unwrap();
    let reader = {
        drop(work.try_recv().unwrap());
        ByHand::waiting(work.recv())
    };
    drop(jobs);
    assert!(reader.turn().is_none());
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_weak_sender_that_was_upgraded_keeps_it_open() {
    let (jobs, work) = queue::bounded(1);
    let upgraded = jobs.downgrade().upgrade().unwrap();
    drop(jobs);
    assert!(!work.is_closed());
    upgraded.try_send(1).unwrap();
    drop(upgraded);
    assert!(work.is_closed());
    assert_eq!(*work.try_recv().unwrap(), 1);
}

#[test]
fn to_close_twice_is_to_close() {
    let (jobs, work) = queue::bounded(2);
    jobs.try_send(1).unwrap();
    jobs.close();
    work.close();
    assert_eq!(jobs.close_now(), [1]);
    assert!(work.close_now().is_empty());
    assert_eq!(work.recv().now().map(|item| item.is_some()), Some(false));
}

#[test]
fn a_receiver_that_was_promised_an_item_which_is_taken_out_gets_the_end() {
    let (jobs, work) = queue::unbounded();
    let readers = [(); 2].map(|()| ByHand::waiting(work.recv()));
    jobs.try_send(1).unwrap();
    assert_eq!(jobs.close_now(), [1]);
    for reader in readers {
        assert!(reader.turn().is_none());
    }
    let batch = ByHand::new(work.recv_many(2)).poll().unwrap();
    assert!(batch.is_empty());
}

#[test]
fn a_promise_that_is_left_after_all_was_taken_out_hurts_nobody() {
    let (jobs, work) = queue::unbounded();
    jobs.try_send(0).unwrap();
    let item = work.try_recv().unwrap();
    let (first, second) = (ByHand::waiting(work.recv()), ByHand::waiting(work.recv()));
    jobs.try_send(1).unwrap();
    assert_eq!(jobs.close_now(), [1]);
    item.put_back();
    assert_eq!(work.len(), 1);
    assert!(second.turn().is_none());
    drop(first);
    assert_eq!(*work.try_recv().unwrap(), 0);
}

#[test]
fn a_stream_that_is_dropped_while_it_waits_wakes_nobody() {
    let (jobs, mut work) = queue::bounded::<u32>(1);
    let waker = CountingWaker::new();
    assert!(waker.poll(Pin::new(&mut work.next())).is_pending());
    drop(work);
    assert_eq!((waker.count(), waker.held(), jobs.is_closed()), (0, 0, true));
}

#[test]
fn a_waker_that_panics_loses_no_item() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("in wake");
        }
    }
    let (jobs, work) = queue::bounded(1);
    jobs.try_send(1).unwrap();
    let waker = Waker::from(Arc::new(Panics));
    let mut sender = Box::pin(jobs.send(2));
    assert!(sender.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    // The item is on its way to the receiver, and is dropped with the panic. So it is done.
    assert!(catch_unwind(AssertUnwindSafe(|| work.try_recv().is_ok())).is_err());
    assert_eq!((jobs.unfinished(), work.len()), (0, 0));
    assert!(sender.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(*work.try_recv().unwrap(), 2);
}

#[test]
fn the_memory_of_a_crowd_is_given_back() {
    // What a queue holds is seen in the capacity of the list that it hands over.
    let (jobs, work) = queue::unbounded();
    (0..100_000).for_each(|i| jobs.try_send(i).unwrap());
    for _ in 0..99_990 {
        drop(work.try_recv().unwrap());
    }
    let left = work.close_now();
    assert_eq!(left, (99_990..100_000).collect::<Vec<_>>());
    assert!(left.capacity() < 1_000, "{}", left.capacity());
}

/// Looks at a future once.
trait Now: Future + Sized {
    fn now(self) -> Option<Self::Output> {
        ByHand::new(self).poll()
    }
}

impl<F: Future> Now for F {}

matrix! {
    async fn consumers_end_with_their_producer() {
        let (jobs, work) = queue::bounded(2);
        let sums = scope(async |s| {
            let consumers = [(); 3].map(|()| {
                s.spawn(async {
                    let mut sum = 0;
                    while let Some(job) = work.recv().await {
                        sum += *job;
                        yield_now().await;
                    }
                    sum
                })
            });
            for i in 0..30 {
                jobs.send(i).await.unwrap();
            }
            drop(jobs);
            let mut sums = 0;
            for consumer in consumers {
                sums += consumer.await;
            }
            sums
        })
        .await;
        assert_eq!(sums, (0..30).sum::<i32>());
    }

    async fn producers_end_with_their_consumer() {
        let (jobs, work) = queue::bounded(1);
        local::scope(async |s| {
            let producers = [(); 3].map(|()| {
                let jobs = jobs.clone();
                s.spawn(async move {
                    let mut next = 0;
                    while jobs.send(next).await.is_ok() {
                        next += 1;
                    }
                })
            });
            for _ in 0..5 {
                drop(work.recv().await.unwrap());
            }
            drop(work);
            for producer in producers {
                producer.await;
            }
        })
        .await;
        jobs.join().await;
    }

    async fn a_queue_between_two_threads() {
        let (jobs, work) = queue::bounded(4);
        let sum = scope(async |s| {
            for producer in 0..4_u64 {
                let jobs = jobs.clone();
                s.spawn_parallel(async move {
                    for i in 0..100 {
                        jobs.send(100 * producer + i).await.unwrap();
                    }
                });
            }
            let consumers: Vec<_> = (0..4)
                .map(|_| {
                    let work = work.clone();
                    s.spawn_parallel(async move {
                        let mut sum = 0;
                        while let Some(item) = work.recv().await {
                            sum += *item;
                        }
                        sum
                    })
                })
                .collect();
            let weak = jobs.downgrade();
            drop(jobs);
            let mut sum = 0;
            for consumer in consumers {
                sum += consumer.await;
            }
            assert!(weak.upgrade().is_none());
            sum
        })
        .await;
        assert_eq!(sum, (0..400).sum::<u64>());
        work.join().await;
    }
}
