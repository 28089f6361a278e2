//! Those who never have to wait, and yield to others nevertheless.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use foster::testing::poll_once;
use foster::{gather, local, queue, scope, yield_now};
use futures::StreamExt;

use crate::cancelled::in_a_cancelled_region;

/// As many items are there.
const MANY: u32 = 10_000;

/// A queue with so many items, which is closed.
fn full() -> queue::Receiver<u32> {
    let (jobs, work) = queue::unbounded();
    (0..MANY).for_each(|number| jobs.try_send(number).unwrap());
    work
}

async fn receive_all(work: queue::Receiver<u32>) {
    while work.recv().await.is_some() {}
}

/// Runs `busy` beside a sibling, and says how often that was polled meanwhile.
async fn polls_of_a_sibling(busy: impl Future<Output = ()>) -> u32 {
    let (polls, is_over) = (&Cell::new(0), &Cell::new(false));
    local::scope(async |s| {
        s.spawn(async {
            busy.await;
            is_over.set(true);
        });
        s.spawn(async {
            while !is_over.get() {
                polls.set(polls.get() + 1);
                yield_now().await;
            }
        });
    })
    .await;
    polls.get()
}

matrix! {
    async fn who_always_finds_an_item_or_room_lets_its_siblings_run() {
        let (jobs, work) = queue::bounded(1);
        let both = async {
            for number in 0..MANY {
                jobs.send(number).await.unwrap();
                assert_eq!(*work.recv().await.unwrap(), number);
            }
        };
        let (more, kept) = queue::unbounded();
        let sends = async {
            for number in 0..MANY {
                more.send(number).await.unwrap();
            }
        };
        let reserves = async {
            for _ in 0..MANY {
                drop(jobs.reserve().await.unwrap());
            }
        };
        let streams = async {
            let mut items = full();
            while items.next().await.is_some() {}
        };
        let polls = [
            polls_of_a_sibling(receive_all(full())).await,
            polls_of_a_sibling(both).await,
            polls_of_a_sibling(sends).await,
            polls_of_a_sibling(reserves).await,
            polls_of_a_sibling(streams).await,
        ];
        assert!(polls.iter().all(|polls| (20..MANY).contains(polls)), "{polls:?}");
        drop(kept);
    }

    async fn the_other_members_of_a_set_run_as_well() {
        let others = Cell::new(0);
        let busy = async {
            receive_all(full()).await;
            others.get()
        };
        let other = async {
            for _ in 0..20 {
                others.set(others.get() + 1);
                yield_now().await;
            }
            0
        };
        let members: Vec<Pin<Box<dyn Future<Output = u32>>>> = vec![Box::pin(busy), Box::pin(other)];
        assert_eq!(gather(members).await, [20, 0]);
    }

    async fn a_parallel_child_and_a_root_that_never_wait_yield() {
        let count_yields = async |work: queue::Receiver<u32>| {
            let mut yields = 0;
            for _ in 0..MANY {
                let mut recv = work.recv();
                while poll_once(&mut recv).await.is_pending() {
                    yields += 1;
                    yield_now().await;
                }
            }
            yields
        };
        let in_the_root = count_yields(full()).await;
        let child = async move {
            let mut yields = 0;
            let work = full();
            for _ in 0..MANY {
                let mut recv = work.recv();
                while poll_once(&mut recv).await.is_pending() {
                    yields += 1;
                    yield_now().await;
                }
            }
            yields
        };
        let in_a_child = scope(async |s| s.spawn_parallel(child).await).await;
        assert!([in_the_root, in_a_child].iter().all(|yields| (20..MANY).contains(yields)), "{in_the_root}, {in_a_child}");
    }

    // The steps of the poll were used up once and for all, so that the loop went on for ever.
    async fn who_is_polled_in_a_loop_within_one_poll_gets_there() {
        let blocks = async {
            let mut all = pin!(receive_all(full()));
            while all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
        };
        scope(async |s| s.spawn(blocks).await).await;
    }

    async fn in_a_cancelled_region_nobody_yields() {
        assert!(in_a_cancelled_region(receive_all(full())).await);
    }
}
