use super::Answer;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::budget::BUDGET;
use super::{Key, Set};

mod blocks;
mod budgets;
mod model;
mod panics;
mod turns;
mod wakers;

/// Counts how often it is woken.
#[derive(Default)]
struct Parent(AtomicUsize);

impl Wake for Parent {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Parent {
    fn new() -> (Arc<Self>, Waker) {
        let parent = Arc::new(Self::default());
        (parent.clone(), Waker::from(parent))
    }

    /// How often it was woken since the last time.
    fn woken(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl<F> Set<F> {
    fn extend(&mut self, members: impl IntoIterator<Item = F>) {
        for member in members {
            self.insert(member);
        }
    }
}

/// Drives the set until `Pending` or empty, and returns the results and whether it is empty.
fn drive<F, R>(
    set: &mut Set<F>,
    waker: &Waker,
    mut each: impl FnMut(Key, Pin<&mut F>, &mut Context<'_>) -> Poll<R>,
) -> (Vec<R>, bool) {
    let mut results = Vec::new();
    loop {
        match set.poll_next(&mut Context::from_waker(waker), &mut each) {
            Poll::Ready(Some((_, result))) => results.push(result),
            Poll::Ready(None) => return (results, true),
            Poll::Pending => return (results, false),
        }
    }
}

/// Polls everybody, keeps everybody, and returns who was polled.
fn polled<F>(set: &mut Set<F>, waker: &Waker) -> Vec<Key> {
    let mut polled = Vec::new();
    while {
        let before = polled.len();
        drive(set, waker, |key, _, _| {
            polled.push(key);
            Poll::<()>::Pending
        });
        polled.len() > before
    } {}
    polled
}

/// Polls everybody once and hands out a clone of each waker.
fn wakers<F>(set: &mut Set<F>, waker: &Waker) -> BTreeMap<usize, Waker> {
    let mut wakers = BTreeMap::new();
    for _ in 0..=set.len() / BUDGET as usize {
        drive(set, waker, |key, _, cx| {
            wakers.insert(key.index(), cx.waker().clone());
            Poll::<()>::Pending
        });
    }
    wakers
}

struct CountDrop<'a>(&'a Cell<usize>);

impl Drop for CountDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn an_empty_set_is_done() {
    let mut set = Set::<u8>::new();
    assert_eq!(drive(&mut set, Waker::noop(), |_, _, _| Poll::Ready(())), (vec![], true));
    assert!(set.is_empty());
    assert_eq!(format!("{set:?}"), "Set { len: 0 }");
}

#[test]
fn results_come_with_their_keys_and_members_go() {
    let mut set = Set::with_capacity(3);
    let keys = ["a", "b", "c"].map(|name| set.insert(name));
    assert_eq!(keys.map(Key::index), [0, 1, 2]);
    let mut cx = Context::from_waker(Waker::noop());
    let first = set.poll_next(&mut cx, |_, name, _| match *name {
        "b" => Poll::Ready(name.len()),
        _ => Poll::Pending,
    });
    assert_eq!(first, Poll::Ready(Some((keys[1], 1))));
    assert_eq!(set.keys().collect::<Vec<_>>(), [keys[0], keys[2]]);
    assert!(set.get(keys[1]).is_none());
    assert_eq!(*set.get(keys[2]).unwrap(), "c");
    assert!(!set.remove(keys[1]));
    assert!(set.remove(keys[0]));
    assert_eq!(set.len(), 1);
}

#[test]
fn the_first_n_keys_of_a_planned_set_are_dense() {
    for n in [0, 1, 10, 63, 64, 65, 100, 128, 1000] {
        let mut set = Set::with_capacity(n);
        for i in 0..n {
            assert_eq!(set.insert(i).index(), i);
        }
        for i in 0..300 {
            let key = set.insert(n + i);
            assert_eq!(*set.get(key).unwrap(), n + i);
        }
        assert_eq!(set.keys().count(), n + 300);
        assert!(set.keys().is_sorted_by_key(|key| key.index()));
    }
}

#[test]
fn collected_members_have_dense_keys() {
    struct Short(std::ops::Range<usize>);
    impl Iterator for Short {
        type Item = usize;
        fn next(&mut self) -> Option<usize> {
            self.0.next()
        }
        fn size_hint(&self) -> (usize, Option<usize>) {
            (3, Some(3))
        }
    }
    for n in [0, 1, 63, 64, 65, 128, 1000] {
        let mut set = Set::collect(0..n);
        assert_eq!((set.len(), set.keys().count()), (n, n));
        assert!((0..n).all(|i| *set.get(Key(i as u32)).unwrap() == i));
        assert_eq!(set.insert(n).index(), n.next_multiple_of(64), "the blocks were made to measure");
        assert_eq!(polled(&mut set, Waker::noop()).len(), n + 1);
        // What gives another number of members than it says is no worse for it.
        let mut set = Set::collect(Short(0..n));
        let values: BTreeSet<_> = set.keys().collect::<Vec<_>>().iter().map(|key| *set.get(*key).unwrap()).collect();
        assert_eq!(values, (0..n).collect());
        assert_eq!(polled(&mut set, Waker::noop()).len(), n);
    }
}

#[test]
fn a_vacant_slot_is_used_before_a_new_block() {
    let mut set = Set::with_capacity(200);
    let keys: Vec<_> = (0..200).map(|i| set.insert(i)).collect();
    for &key in &keys[50..150] {
        assert!(set.remove(key));
    }
    let again: BTreeSet<_> = (0..100).map(|i| set.insert(i).index()).collect();
    assert_eq!(again, (50..150).collect());
}

#[test]
fn members_stay_where_they_are() {
    let mut set = Set::new();
    let first = set.insert([1_u64; 4]);
    let at = std::ptr::from_ref(&*set.get(first).unwrap());
    for _ in 0..1000 {
        set.insert([2; 4]);
    }
    assert_eq!(std::ptr::from_ref(&*set.get(first).unwrap()), at);
}

#[test]
fn a_member_that_wakes_itself_is_polled_once_a_pass() {
    let mut set = Set::new();
    set.insert(());
    let (parent, waker) = Parent::new();
    for pass in 1..=3 {
        let mut polls = 0;
        let (results, _) = drive(&mut set, &waker, |_, _, cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            drop(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert_eq!((polls, results.len(), parent.woken()), (1, 0, 1), "pass {pass}");
    }
}

#[test]
fn blocks_are_polled_in_the_order_in_which_they_were_woken_but_for_the_one_whose_turn_it_is() {
    let mut set = Set::with_capacity(640);
    set.extend(0..640);
    let wakers = wakers(&mut set, Waker::noop());
    let mut began = BTreeSet::new();
    for _ in 0..20 {
        let mut woken = vec![7, 2, 9, 0];
        for block in &woken {
            wakers[&(block * 64)].wake_by_ref();
        }
        wakers[&129].wake_by_ref();
        let mut order: Vec<_> = polled(&mut set, Waker::noop()).iter().map(|key| key.index() / 64).collect();
        assert_eq!(order.len(), 5);
        order.dedup();
        let first = order.remove(0);
        woken.retain(|block| *block != first);
        assert_eq!(order, woken);
        began.insert(first);
    }
    assert_eq!(began, BTreeSet::from([0, 2, 7, 9]));
}

#[test]
fn poll_until_goes_on_after_continue_and_returns_with_break() {
    let (parent, waker) = Parent::new();
    let mut cx = Context::from_waker(&waker);
    let mut set = Set::new();
    set.extend(0..10);
    let mut done = Vec::new();
    let mut each = |_, n: Pin<&mut usize>, _: &mut Context<'_>| match *n {
        3 => Poll::Pending,
        6 => Poll::Ready(Answer::Last("six")),
        n => {
            done.push(n);
            Poll::Ready(Answer::Done)
        }
    };
    assert_eq!(set.poll_until(&mut cx, &mut each), Poll::Ready(Some("six")));
    assert_eq!(set.poll_until(&mut cx, &mut each), Poll::Pending);
    assert_eq!((set.len(), parent.woken()), (1, 0));
    assert!(set.remove(Key(3)));
    assert_eq!(set.poll_until(&mut cx, &mut each), Poll::Ready(None));
    assert_eq!(done, [0, 1, 2, 4, 5, 7, 8, 9]);
}

#[test]
fn a_wake_between_two_calls_of_a_pass_is_not_lost() {
    let (parent, waker) = Parent::new();
    let mut set = Set::new();
    set.extend(0..3);
    let wakers = wakers(&mut set, &waker);
    wakers[&0].wake_by_ref();
    parent.woken();
    assert!(set.poll_next(&mut Context::from_waker(&waker), |_, _, _| Poll::Ready(())).is_ready());
    wakers[&2].wake_by_ref();
    assert_eq!(parent.woken(), 0, "the pass is not over");
    assert_eq!(drive(&mut set, &waker, |_, _, _| Poll::Ready(())), (vec![], false));
    assert_eq!(parent.woken(), 1);
    assert_eq!(drive(&mut set, &waker, |_, _, _| Poll::Ready(())), (vec![()], false));
}

#[test]
fn a_member_inserted_during_a_pass_is_polled_in_it() {
    let mut set = Set::new();
    set.insert(3);
    let mut seen = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some((_, n))) = set.poll_next(&mut cx, |_, n, _| Poll::Ready(*n)) {
        seen.push(n);
        if n > 0 {
            set.insert(n - 1);
        }
    }
    assert_eq!(seen, [3, 2, 1, 0]);
}

#[test]
fn a_member_inserted_into_a_woken_block_is_polled_in_the_next_pass() {
    let (parent, waker) = Parent::new();
    let mut set = Set::new();
    set.insert("wakes itself");
    set.insert("is done");
    let mut seen = Vec::new();
    let mut each = |_, name: Pin<&mut &'static str>, cx: &mut Context<'_>| {
        seen.push(*name);
        match *name {
            "is done" => Poll::Ready(()),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    };
    assert!(set.poll_next(&mut Context::from_waker(&waker), &mut each).is_ready());
    set.insert("new");
    drive(&mut set, &waker, &mut each);
    assert_eq!(parent.woken(), 1);
    drive(&mut set, &waker, &mut each);
    assert_eq!(seen, ["wakes itself", "is done", "new", "wakes itself"], "the one that had no turn yet comes first");
}

#[test]
fn the_call_after_pending_begins_a_new_pass() {
    let mut set = Set::new();
    set.insert(0);
    let waker = Waker::noop();
    assert_eq!(polled(&mut set, waker).len(), 1);
    let new = set.insert(1);
    assert_eq!(polled(&mut set, waker), [new]);
    set.wake(new);
    assert_eq!(polled(&mut set, waker), [new]);
}

#[test]
fn every_member_is_dropped_exactly_once() {
    let drops = Cell::new(0);
    let mut set = Set::new();
    let keys: Vec<_> = (0..300).map(|_| set.insert(CountDrop(&drops))).collect();
    for &key in &keys[100..130] {
        set.remove(key);
    }
    assert_eq!(drops.get(), 30);
    let (results, _) = drive(&mut set, Waker::noop(), |key, _, _| match key.index() % 2 {
        0 => Poll::Ready(()),
        _ => Poll::Pending,
    });
    assert_eq!(drops.get(), 30 + results.len());
    set.clear();
    assert_eq!((drops.get(), set.len()), (300, 0));
    set.insert(CountDrop(&drops));
    drop(set);
    assert_eq!(drops.get(), 301);
}

#[test]
fn a_cleared_set_goes_on() {
    let mut set = Set::with_capacity(100);
    set.extend(0..100);
    assert!(set.poll_next(&mut Context::from_waker(Waker::noop()), |_, _, _| { Poll::Ready(()) }).is_ready());
    set.clear();
    assert_eq!(set.keys().count(), 0);
    assert!(polled(&mut set, Waker::noop()).is_empty());
    for i in 0..100 {
        assert_eq!(set.insert(i).index(), i);
    }
    assert_eq!(polled(&mut set, Waker::noop()).len(), 100);
}

#[test]
fn members_without_size_and_with_large_alignment() {
    #[repr(align(256))]
    struct Aligned(u8);
    let mut set = Set::new();
    for i in 0..100 {
        set.insert(Aligned(i));
    }
    let (sum, empty) = drive(&mut set, Waker::noop(), |_, member, _| {
        assert_eq!(std::ptr::from_ref(&*member).addr() % 256, 0);
        Poll::Ready(u32::from(member.0))
    });
    assert!(!empty && set.len() == 39);
    let (rest, empty) = drive(&mut set, Waker::noop(), |_, member, _| Poll::Ready(u32::from(member.0)));
    assert_eq!((sum.iter().chain(&rest).sum::<u32>(), empty), (99 * 50, true));

    let mut set = Set::new();
    for _ in 0..1000 {
        set.insert(());
    }
    assert_eq!(set.keys().count(), 1000);
    assert_eq!(polled(&mut set, Waker::noop()).len(), 1000);
}

#[test]
fn a_set_is_as_send_and_sync_as_its_members() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    fn unpin<T: Unpin>() {}
    send::<Set<Cell<u8>>>();
    sync::<Set<std::sync::MutexGuard<'static, u8>>>();
    unpin::<Set<std::marker::PhantomPinned>>();
}
