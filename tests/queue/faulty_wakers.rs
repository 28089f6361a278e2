//! Queues of which one who waits has a waker that panics.

use std::cell::{Cell, RefCell};

use foster::queue;
use foster::testing::Drops;

use crate::faulty::{Waited, check};

#[test]
fn receivers_of_a_queue_survive_wakers_that_panic() {
    check(|trial| {
        let (jobs, work) = queue::unbounded();
        let received = Cell::new(0);
        trial(Waited {
            wait: &|| {
                Box::pin(async {
                    drop(work.recv().await);
                    received.set(received.get() + 1);
                })
            },
            go: &|| jobs.try_send(()).unwrap(),
            waiting: &|| work.statistics().waiting_receivers(),
        });
        assert_eq!(received.get() + work.len(), 3, "no item is lost");
    });
}

// The panic takes the place of what the receiver would have returned. So its item is dropped, and
// done, as a value is that a panicking function has taken.
#[test]
fn senders_of_a_queue_survive_wakers_that_panic() {
    check(|trial| {
        let drops = Drops::new();
        let (jobs, work) = queue::bounded(1);
        jobs.try_send(drops.guard()).unwrap();
        trial(Waited {
            wait: &|| Box::pin(async { jobs.send(drops.guard()).await.unwrap() }),
            go: &|| drop(work.try_recv()),
            waiting: &|| jobs.statistics().waiting_senders(),
        });
        assert_eq!((drops.alive(), jobs.unfinished()), (work.len(), work.len()));
        drop(work.try_recv());
        jobs.try_send(drops.guard()).unwrap();
    });
}

#[test]
fn those_who_join_a_queue_survive_wakers_that_panic() {
    check(|trial| {
        let (jobs, work) = queue::unbounded();
        jobs.try_send(()).unwrap();
        let item = RefCell::new(work.try_recv().ok());
        trial(Waited { wait: &|| Box::pin(jobs.join()), go: &|| drop(item.take()), waiting: &|| 0 });
        assert_eq!(jobs.unfinished(), 0);
    });
}
