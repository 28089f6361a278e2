//! Items: their order, their guards, and the end of the work on them.

use std::cell::RefCell;
use std::cmp::{Ordering, Reverse};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use foster::queue::{self, Item, Receiver, Sender};
use foster::testing::Drops;
use foster::{scope, yield_now};
use futures::stream::FusedStream as _;
use futures::{FutureExt as _, StreamExt as _};

use crate::by_hand::ByHand;

fn drain<T>(work: &Receiver<T>) -> Vec<T> {
    std::iter::from_fn(|| work.try_recv().ok()).map(|item| item.into_parts().0).collect()
}

fn filled<T>((jobs, work): (Sender<T>, Receiver<T>), items: impl IntoIterator<Item = T>) -> (Sender<T>, Receiver<T>) {
    items.into_iter().for_each(|item| jobs.try_send(item).expect("there is room"));
    (jobs, work)
}

#[test]
fn the_newest_item_comes_first_out_of_a_stack() {
    let (jobs, work) = filled(queue::lifo(3), [1, 2, 3]);
    assert!(jobs.try_send(4).unwrap_err().is_full());
    let item = work.try_recv().unwrap();
    assert_eq!(*item, 3);
    jobs.try_send(4).unwrap();
    item.put_back();
    assert_eq!(drain(&work), [3, 4, 2, 1]);
    let (_jobs, work) = filled(queue::lifo_unbounded(), 0..100);
    assert_eq!(work.close_now(), (0..100).rev().collect::<Vec<_>>());
}

#[test]
fn equals_come_in_the_order_in_which_they_were_sent() {
    let (jobs, work) = filled(queue::priority_unbounded(), (0..100).map(|i| ByKey(i % 3, i)));
    assert_eq!(jobs.capacity(), None);
    let mut expected: Vec<_> = (0..100).map(|i| ByKey(i % 3, i)).collect();
    expected.sort_by_key(|item| item.0);
    let found: Vec<_> = drain(&work).into_iter().map(|item| item.1).collect();
    assert_eq!(found, expected.iter().map(|item| item.1).collect::<Vec<_>>());
}

#[test]
fn an_item_that_is_put_back_comes_before_its_equals() {
    let (_jobs, work) = filled(queue::priority(8), [ByKey(1, 'a'), ByKey(2, 'b'), ByKey(1, 'c')]);
    let (first, second) = (work.try_recv().unwrap(), work.try_recv().unwrap());
    second.put_back();
    first.put_back();
    assert_eq!(drain(&work).iter().map(|item| item.1).collect::<String>(), "acb");
}

#[test]
fn the_largest_comes_first_if_it_is_asked_for() {
    let (_jobs, work) = filled(queue::priority(8), [1, 3, 2].map(Reverse));
    assert_eq!(work.close_now(), [3, 2, 1].map(Reverse));
}

/// Compares by its first field alone.
#[derive(Debug)]
struct ByKey<T>(i32, T);

impl<T> Ord for ByKey<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<T> PartialOrd for ByKey<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for ByKey<T> {}

/// Panics when it is compared with what has the same number.
#[derive(PartialEq, Eq, PartialOrd)]
struct Touchy(u32);

#[allow(clippy::derive_ord_xor_partial_ord)]
impl Ord for Touchy {
    fn cmp(&self, other: &Self) -> Ordering {
        assert_ne!(self.0, other.0, "they are compared");
        self.0.cmp(&other.0)
    }
}

#[test]
fn a_comparison_that_panics_loses_no_item_and_breaks_no_queue() {
    let (jobs, work) = filled(queue::priority(4), [Touchy(2), Touchy(1)]);
    assert!(catch_unwind(AssertUnwindSafe(|| jobs.try_send(Touchy(2)))).is_err());
    let mut sender = ByHand::new(jobs.send(Touchy(1)));
    assert!(catch_unwind(AssertUnwindSafe(|| sender.poll().is_some())).is_err());
    assert_eq!((work.len(), jobs.unfinished()), (4, 4));
    let mut items: Vec<_> = drain(&work).iter().map(|item| item.0).collect();
    items.sort_unstable();
    assert_eq!((items, jobs.unfinished()), (vec![1, 1, 2, 2], 0));

    jobs.try_send(Touchy(1)).unwrap();
    let item = work.try_recv().unwrap();
    jobs.try_send(Touchy(1)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| item.put_back())).is_err());
    assert_eq!((work.len(), jobs.unfinished()), (2, 2));
    drop(drain(&work));
    assert_eq!(jobs.unfinished(), 0);
    let reader = ByHand::waiting(work.recv());
    jobs.try_send(Touchy(3)).unwrap();
    assert_eq!(reader.turn().unwrap().0, 3);
}

#[test]
fn after_a_comparison_that_panics_nothing_is_compared() {
    static COMPARED: AtomicUsize = AtomicUsize::new(0);
    /// Panics whenever it is compared once it is told to.
    #[derive(PartialEq, Eq, PartialOrd)]
    struct Counts(bool);
    #[allow(clippy::derive_ord_xor_partial_ord)]
    impl Ord for Counts {
        fn cmp(&self, other: &Self) -> Ordering {
            if self.0 || other.0 {
                panic!("comparison {}", COMPARED.fetch_add(1, Relaxed));
            }
            Ordering::Equal
        }
    }
    let (jobs, work) = queue::priority_unbounded();
    (0..50).for_each(|_| jobs.try_send(Counts(false)).unwrap());
    let panicked = catch_unwind(AssertUnwindSafe(|| jobs.try_send(Counts(true)))).unwrap_err();
    assert_eq!((panicked.downcast_ref(), COMPARED.load(Relaxed)), (Some(&String::from("comparison 0")), 1));
    assert_eq!((work.len(), drain(&work).len()), (51, 51));
}

#[test]
fn a_full_queue_takes_an_item_back() {
    let (jobs, work) = filled(queue::bounded(2), [1, 2]);
    let item = work.try_recv().unwrap();
    jobs.try_send(3).unwrap();
    let sender = ByHand::waiting(jobs.send(4));
    item.put_back();
    assert_eq!((work.len(), jobs.unfinished(), work.statistics().peak()), (3, 3, 3));
    assert_eq!(*work.try_recv().unwrap(), 1);
    assert_eq!(sender.wakes(), 0, "it is as full as it was");
    assert_eq!(*work.try_recv().unwrap(), 2);
    sender.turn().unwrap();
    assert_eq!(drain(&work), [3, 4]);
}

#[test]
fn a_closed_queue_takes_an_item_back() {
    let (jobs, work) = filled(queue::bounded(2), [1]);
    let item = work.try_recv().unwrap();
    drop(jobs);
    assert!(work.try_recv().unwrap_err().is_closed());
    item.put_back();
    assert_eq!(drain(&work), [1]);
    let mut join = ByHand::new(work.join());
    assert!(join.poll().is_some());
}

#[test]
fn an_item_that_comes_back_to_a_closed_queue_waits_for_who_receives_again() {
    let (jobs, work) = filled(queue::bounded(2), [1]);
    let other = work.clone();
    let item = work.try_recv().unwrap();
    drop(jobs);
    assert!(other.recv().now_or_never().unwrap().is_none(), "it does not wait for what may come back");
    item.put_back();
    let join = ByHand::waiting(other.join());
    drop(work);
    assert_eq!(drain(&other), [1]);
    join.turn();
}

#[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
async fn a_receiver_is_selected_from_until_it_has_ended() {
    let (jobs, work) = filled(queue::bounded(2), [1, 2]);
    drop(jobs);
    let (mut seen, mut selected) = (Vec::new(), work.clone());
    loop {
        futures::select! {
            item = selected.next() => seen.push(item.map(|item| *item)),
            complete => break,
        }
    }
    assert_eq!(seen, [Some(1), Some(2), None]);
}

#[test]
fn an_item_that_nobody_can_receive_is_dropped_and_done_when_it_is_put_back() {
    let drops = Drops::new();
    let (jobs, work) = filled(queue::bounded(2), [drops.guard()]);
    let item = work.try_recv().unwrap();
    drop(work);
    let join = ByHand::waiting(jobs.join());
    item.put_back();
    assert_eq!(drops.alive(), 0);
    join.turn();
}

#[test]
fn work_is_done_when_the_item_has_been_dropped() {
    // Whoever joins may rely on what the destructor has done.
    struct Notes<'a>(&'a RefCell<Vec<&'static str>>, Option<Rc<Sender<Self>>>);
    impl Drop for Notes<'_> {
        fn drop(&mut self) {
            if let Some(jobs) = &self.1 {
                assert_eq!(jobs.unfinished(), 1);
            }
            self.0.borrow_mut().push("dropped");
        }
    }
    let notes = RefCell::new(Vec::new());
    let (jobs, work) = queue::bounded(1);
    let jobs = Rc::new(jobs);
    assert!(jobs.try_send(Notes(&notes, Some(jobs.clone()))).is_ok());
    drop(work.try_recv().unwrap());
    assert_eq!((notes.borrow().len(), jobs.unfinished()), (1, 0));
}

#[test]
fn work_that_panics_is_done() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let (jobs, work) = filled(queue::unbounded(), [Panics]);
    let item = work.try_recv().unwrap();
    let join = ByHand::waiting(jobs.join());
    assert!(catch_unwind(AssertUnwindSafe(|| drop(item))).is_err());
    join.turn();
}

#[test]
fn items_outlive_their_queue() {
    let (jobs, work) = filled(queue::bounded(2), [Arc::new(1), Arc::new(2)]);
    let (first, second) = (work.try_recv().unwrap(), work.try_recv().unwrap());
    let weak = jobs.downgrade();
    drop((jobs, work));
    assert!(weak.upgrade().is_none());
    assert_eq!((**first, **second), (1, 2));
    first.put_back();
    let (value, unfinished) = second.into_parts();
    drop(weak);
    assert_eq!(Arc::strong_count(&value), 1);
    drop(unfinished);
}

#[test]
fn an_item_can_be_changed_in_place() {
    let (_jobs, work) = filled(queue::unbounded(), [vec![1]]);
    let mut item: Item<Vec<i32>> = work.try_recv().unwrap();
    item.push(2);
    item.put_back();
    assert_eq!(drain(&work), [vec![1, 2]]);
}

#[test]
fn an_item_is_printed_as_what_it_guards() {
    let (_jobs, work) = filled(queue::unbounded(), [7]);
    assert_eq!(format!("{:03}", work.try_recv().unwrap()), "007");
}

#[test]
fn the_end_of_the_work_may_come_again_and_again() {
    let (jobs, work) = queue::unbounded();
    for i in 0..3 {
        jobs.try_send(i).unwrap();
        let (one, other) = (ByHand::waiting(jobs.join()), ByHand::waiting(work.join()));
        let item = work.try_recv().unwrap();
        assert_eq!((one.wakes(), other.wakes()), (0, 0));
        drop(item);
        one.turn();
        other.turn();
    }
}

#[test]
fn one_who_comes_later_waits_for_what_was_received_before_others_waited() {
    let (jobs, work) = filled(queue::unbounded(), 0..1);
    let early = work.try_recv().unwrap();
    let first = ByHand::waiting(jobs.join());
    jobs.try_send(1).unwrap();
    drop(work.try_recv().unwrap());
    let second = ByHand::waiting(jobs.join());
    drop(early);
    first.turn();
    second.turn();
}

#[test]
fn the_end_of_the_work_comes_when_both_what_was_received_before_the_wait_and_after_it_is_done() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (jobs, work) = filled(queue::unbounded(), 0..2);
        let mut items = vec![work.try_recv().ok()];
        let join = ByHand::waiting(jobs.join());
        items.push(work.try_recv().ok());
        jobs.try_send(2).unwrap();
        items.push(work.try_recv().ok());
        for (left, done) in order.into_iter().enumerate().map(|(i, done)| (2 - i, done)) {
            items[done] = None;
            assert_eq!((jobs.unfinished(), join.wakes()), (left, usize::from(left == 0)), "{order:?}");
        }
        join.turn();
        assert!(ByHand::new(work.join()).poll().is_some());
    }
}

#[test]
fn who_waits_for_the_end_of_the_work_is_told_although_more_comes_at_once() {
    let (jobs, work) = filled(queue::unbounded(), [1]);
    let join = ByHand::waiting(jobs.join());
    drop(work.try_recv().unwrap());
    jobs.try_send(2).unwrap();
    join.turn();
}

matrix! {
    async fn a_queue_of_what_stays_on_its_thread() {
        let (jobs, work) = queue::priority(2);
        foster::local::scope(async |s| {
            s.spawn(async { jobs.send(Rc::new(1)).await.unwrap() });
            assert_eq!(**work.recv().await.unwrap(), 1);
        })
        .await;
        jobs.join().await;
    }

    async fn another_worker_has_a_try_at_what_was_put_back() {
        let (jobs, work) = filled(queue::unbounded(), 0..10);
        let tries = std::sync::Mutex::new([0; 10]);
        scope(async |s| {
            for _ in 0..3 {
                s.spawn(async {
                    while let Some(job) = work.recv().await {
                        yield_now().await;
                        let mut tries = tries.lock().unwrap();
                        tries[*job] += 1;
                        if tries[*job] < 3 {
                            job.put_back();
                        }
                    }
                });
            }
            jobs.join().await;
            jobs.close();
        })
        .await;
        assert_eq!(*tries.lock().unwrap(), [3; 10]);
    }
}

#[test]
fn a_receiver_that_waited_has_ended_when_it_has_said_so_and_as_long_as_nothing_is_put_back() {
    let cx = &mut Context::from_waker(Waker::noop());
    let (jobs, mut work) = queue::bounded(1);
    assert!(work.poll_next_unpin(cx).is_pending());
    jobs.try_send(1).unwrap();
    drop(jobs);
    let Poll::Ready(Some(item)) = work.poll_next_unpin(cx) else { panic!("there is an item") };
    assert!(!work.is_terminated(), "it has not said so");
    assert!(work.poll_next_unpin(cx).map(|item| item.is_none()).is_ready());
    assert!(work.is_terminated());
    item.put_back();
    assert!(!work.is_terminated());
    assert_eq!(work.next().now_or_never().unwrap().map(|item| *item), Some(1));

    let (jobs, mut work) = queue::bounded::<u32>(1);
    assert!(work.poll_next_unpin(cx).is_pending());
    drop(jobs);
    assert!(work.poll_next_unpin(cx).map(|item| item.is_none()).is_ready());
    assert!(work.is_terminated());
}
