//! Queues of which one who waits has a waker that panics.

use std::cell::{Cell, RefCell};
use std::future::Future as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};

use foster::queue;
use foster::testing::{CountingWaker, Drops};
use futures::FutureExt as _;

use crate::faulty::{Fault, Faulty, Waited, check};

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

// The right was dropped with the waker, and its place was kept for ever.
#[test]
fn a_place_that_is_there_is_not_lost_with_a_waker_that_was_not_needed() {
    let (jobs, work) = queue::bounded(1);
    let faulty = Faulty::new();
    let waker = faulty.waker();
    faulty.arm(Fault::Drop);
    let mut reserve = jobs.reserve();
    let polled = catch_unwind(AssertUnwindSafe(|| reserve.poll_unpin(&mut Context::from_waker(&waker)).map(drop)));
    assert!(faulty.has_met());
    drop((polled, reserve));
    jobs.try_send(1).unwrap();
    assert_eq!(*work.try_recv().unwrap(), 1);
}

// Its entry was taken out of the line, and once more while the panic unwound, which aborts.
#[test]
fn an_item_that_comes_while_a_waker_is_replaced_is_not_lost_with_one_that_is_not_needed() {
    let (jobs, work) = queue::unbounded();
    let (former, next) = (CountingWaker::new(), Faulty::new());
    let mut receives = pin!(work.recv());
    assert!(former.poll(receives.as_mut()).is_pending());
    // The item comes when the next waker has been cloned. So that clone is dropped.
    next.arm_with(Fault::Clone, move || {
        jobs.try_send(1).unwrap();
        next.arm(Fault::Drop);
    });
    let polled = receives.as_mut().poll(&mut Context::from_waker(&next.waker()));
    assert!(next.has_met());
    assert_eq!((polled.map(|item| item.map(|item| *item)), former.count()), (Poll::Ready(Some(1)), 1));
}
