//! Every future of a queue, dropped and wound down wherever it waits. It leaves nothing behind, and
//! no item is lost that is not the own one of a `send`.

use std::cell::Cell;
use std::time::Duration;

use foster::queue::{self, Receiver, Sender};
use foster::testing::{DropGuard, Drops};
use foster::{gather, yield_now};
use futures::{SinkExt, StreamExt};

use crate::everywhere::everywhere;

type Queue = (Sender<DropGuard>, Receiver<DropGuard>);

/// A queue of one, in which there is nothing, and what counts its items.
fn small() -> (Queue, Drops) {
    (queue::bounded(1), Drops::new())
}

/// Takes what is there. Returns how many items are left anywhere, and how many futures wait.
fn left((jobs, work): &Queue, drops: &Drops) -> (usize, usize, usize) {
    while work.try_recv().is_ok() {}
    let statistics = jobs.statistics();
    assert!(jobs.try_reserve().is_ok(), "no room is kept");
    (drops.alive(), statistics.unfinished(), statistics.waiting_senders() + statistics.waiting_receivers())
}

/// Sends so many, and pauses before each.
async fn sparsely(jobs: &Sender<DropGuard>, drops: &Drops, count: usize) {
    for _ in 0..count {
        yield_now().await;
        jobs.send(drops.guard()).await.unwrap();
    }
}

/// Receives so many, and pauses before each.
async fn slowly(work: &Receiver<DropGuard>, count: usize) {
    for _ in 0..count {
        yield_now().await;
        drop(work.recv().await);
    }
}

#[test]
fn those_who_send_and_those_who_receive() {
    let (queue, drops) = small();
    let (jobs, work) = &queue;
    let sends = async || {
        for _ in 0..3 {
            jobs.send(drops.guard()).await.unwrap();
        }
    };
    everywhere("room in a queue", || gather((sends(), slowly(work, 3))), || left(&queue, &drops), (0, 0, 0));
    let receives = async || {
        for _ in 0..2 {
            drop(work.recv().await);
        }
    };
    everywhere(
        "item of a queue",
        || gather((receives(), sparsely(jobs, &drops, 2))),
        || left(&queue, &drops),
        (0, 0, 0),
    );
}

#[test]
fn those_who_reserve_room_lose_nothing() {
    let (queue, drops) = small();
    let (jobs, work) = &queue;
    let backlog = Cell::new(0);
    let reserves = async || {
        backlog.set(3);
        while backlog.get() > 0 {
            let slot = jobs.reserve().await.unwrap();
            yield_now().await;
            slot.send(drops.guard()).unwrap();
            backlog.set(backlog.get() - 1);
        }
    };
    let received = Cell::new(0);
    let receives = async || {
        received.set(0);
        while received.get() < 3 {
            let _item = work.recv().await;
            received.set(received.get() + 1);
            yield_now().await;
        }
    };
    let left = || {
        let queued = work.len();
        (backlog.get() + queued + received.get(), left(&queue, &drops))
    };
    everywhere("room in a queue", || gather((reserves(), receives())), left, (3, (0, 0, 0)));
}

#[test]
fn those_who_receive_batches() {
    let (queue, drops) = small();
    let (jobs, work) = &queue;
    let batches = async || {
        let mut count = 0;
        while count < 3 {
            count += work.recv_many(2).await.len();
        }
    };
    everywhere(
        "item of a queue",
        || gather((batches(), sparsely(jobs, &drops, 3))),
        || left(&queue, &drops),
        (0, 0, 0),
    );
    let larger = (queue::bounded(3), Drops::new());
    let ((jobs, work), drops) = &larger;
    let batches = async || {
        let mut count = 0;
        while count < 3 {
            count += work.recv_many_within(2, Duration::from_secs(1)).await.len();
        }
    };
    everywhere(
        "batch of items",
        || gather((batches(), sparsely(jobs, drops, 3))),
        || left(&larger.0, drops),
        (0, 0, 0),
    );
}

#[test]
fn those_who_wait_for_the_end_of_the_work() {
    let (queue, drops) = small();
    let (jobs, work) = &queue;
    let program = async || {
        jobs.send(drops.guard()).await.unwrap();
        gather((jobs.join(), work.join(), slowly(work, 1))).await;
    };
    everywhere("end of the work", program, || left(&queue, &drops), (0, 0, 0));
}

#[test]
fn sinks_and_streams() {
    let drops = Drops::new();
    let program = async || {
        let (mut jobs, mut work) = queue::bounded(1);
        let feeds = async {
            for _ in 0..3 {
                SinkExt::send(&mut jobs, drops.guard()).await.unwrap();
            }
            drop(jobs);
        };
        let takes = async {
            yield_now().await;
            while let Some(_item) = work.next().await {
                yield_now().await;
            }
        };
        gather((feeds, takes)).await;
    };
    everywhere("room in a queue", program, || drops.alive(), 0);
}

#[test]
fn workers() {
    let drops = Drops::new();
    let program = async || {
        let (jobs, work) = queue::bounded(1);
        let sends = async {
            for _ in 0..4 {
                jobs.send(drops.guard()).await.unwrap();
            }
            jobs.join().await;
            jobs.close();
        };
        let works = work.for_each(2, async |job| {
            yield_now().await;
            drop(job);
        });
        gather((sends, works)).await;
    };
    everywhere("end of the work", program, || drops.alive(), 0);
    let program = async || {
        let (jobs, work) = queue::bounded(1);
        let sends = async { while jobs.send(drops.guard()).await.is_ok() {} };
        let works = work.try_for_each(2, async |job| {
            yield_now().await;
            drop(job);
            if drops.count() % 5 == 4 { Err("enough") } else { Ok(()) }
        });
        assert_eq!(gather((sends, works)).await.1, Err("enough"));
    };
    everywhere("room in a queue", program, || drops.alive(), 0);
}

#[test]
fn those_who_meet_in_a_rendezvous() {
    let (queue, drops) = (queue::rendezvous(), Drops::new());
    let (jobs, work) = &queue;
    let sends = async || {
        jobs.send(drops.guard()).await.unwrap();
        jobs.reserve().await.unwrap().send(drops.guard()).unwrap();
    };
    let left = || {
        while work.try_recv().is_ok() {}
        let statistics = jobs.statistics();
        (drops.alive(), statistics.unfinished(), statistics.waiting_senders() + statistics.waiting_receivers())
    };
    everywhere("receiver of what is offered", || gather((sends(), slowly(work, 2))), left, (0, 0, 0));
    let late = async || {
        yield_now().await;
        sends().await;
    };
    everywhere("item of a queue", || gather((slowly(work, 2), late())), left, (0, 0, 0));
}
