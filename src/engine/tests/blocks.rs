use super::*;
use crate::engine::FEW;

// After a rush a set kept the memory of it to its end.
#[test]
fn blocks_that_have_become_empty_are_given_back() {
    let mut set = Set::new();
    set.extend(0..64_000);
    assert_eq!(polled(&mut set, Waker::noop()).len(), 64_000);
    let (peak, last) = (set.blocks().count(), set.keys().last().unwrap());
    for key in set.keys().filter(|&key| key != last).collect::<Vec<_>>() {
        assert!(set.remove(key));
    }
    assert!(set.blocks().count() < 2 * FEW, "{} of {peak} blocks", set.blocks().count());
    assert!(set.get(last).is_some());
    // The gaps are filled again, and every key still names one member.
    set.extend(0..64_000);
    let keys: BTreeSet<_> = set.keys().map(Key::index).collect();
    assert_eq!(keys.len(), 64_001);
    assert!(set.blocks().count() <= peak + 2);
    set.wake(last);
    for _ in 0..2_000 {
        drive(&mut set, Waker::noop(), |_, _, _| Poll::Ready(()));
    }
    assert!(set.is_empty());
}

#[test]
fn a_block_is_not_given_back_while_somebody_has_a_waker_into_it() {
    let mut set = Set::new();
    set.extend(0..6_400);
    let mut wakers = wakers(&mut set, Waker::noop());
    let kept: Vec<Waker> = (0..20).filter_map(|i| wakers.remove(&(i * 200))).collect();
    drop(wakers);
    for key in set.keys().collect::<Vec<_>>() {
        assert!(set.remove(key));
    }
    let blocks = set.blocks().count();
    assert!((kept.len()..100).contains(&blocks), "{blocks} blocks");
    set.extend(0..6_400);
    kept.into_iter().for_each(Waker::wake);
    assert!(!polled(&mut set, Waker::noop()).is_empty());
}

#[test]
fn blocks_grow_up_to_one_slot_for_each_bit_of_a_word() {
    let mut set = Set::new();
    set.extend(0..4 + 16 + 64 + 64);
    let blocks: Vec<_> = set.blocks().map(|block| block.capacity()).collect();
    assert_eq!(blocks, [4, 16, 64, 64]);
    let blocks = |n| Set::<usize>::collect(0..n).blocks().map(|block| block.capacity()).collect::<Vec<_>>();
    assert_eq!((blocks(3), blocks(70)), (vec![3], vec![64, 6]));
}

// What is left after a rush, be it the first or the last of many.
#[test]
fn memory_follows_the_members_through_many_rushes() {
    let mut set = Set::new();
    for rush in 0..20 {
        set.extend(0..6_400);
        polled(&mut set, Waker::noop());
        let last = set.keys().last().expect("there are many");
        assert!(last.index() < 7_000, "rush {rush}: {last:?} although others were free");
        for key in set.keys().filter(|key| *key != last).collect::<Vec<_>>() {
            assert!(set.remove(key));
        }
        let blocks = set.blocks().count();
        assert!(blocks < 3 * FEW, "rush {rush}: {blocks} blocks for one member");
        assert_eq!(set.blocks, blocks);
    }
    set.clear();
    // The list of blocks is as long as the key of the last one needs it, and no longer.
    set.extend(0..6_400);
    polled(&mut set, Waker::noop());
    for key in set.keys().collect::<Vec<_>>().into_iter().rev() {
        assert!(set.remove(key));
    }
    assert!(set.rest.len() < 3 * FEW && set.rest.capacity() < 8 * FEW, "{} of {}", set.rest.len(), set.rest.capacity());
}

// To look for empty blocks takes time in proportion to the blocks, and to make one takes an
// allocation.
#[test]
fn empty_blocks_are_kept_until_they_are_many() {
    let mut set = Set::collect(0..64 * 100);
    polled(&mut set, Waker::noop());
    let empty = |set: &mut Set<usize>, block: u32| {
        assert!((0..64).all(|slot| set.remove(Key(64 * block + slot))));
    };
    (1..40).for_each(|block| empty(&mut set, block));
    assert_eq!(set.blocks().count(), 100);
    (40..99).for_each(|block| empty(&mut set, block));
    let given_back = set.blocks().count();
    assert!(given_back < 50, "{given_back} blocks");
    empty(&mut set, 99);
    assert_eq!(set.blocks().count(), given_back);
}

// The last of the members was woken late, and its block is queued for that. A newcomer in the block
// is polled in this pass nevertheless.
#[test]
fn a_member_that_comes_after_the_last_one_is_polled_in_the_same_pass() {
    let mut set = Set::new();
    set.insert("first");
    let late = wakers(&mut set, Waker::noop()).remove(&0).expect("there is one");
    let (parent, waker) = Parent::new();
    let mut cx = Context::from_waker(&waker);
    set.wake(Key(0));
    assert_eq!(set.poll_next(&mut cx, |_, name, _| Poll::Ready(*name)), Poll::Ready(Some((Key(0), "first"))));
    late.wake_by_ref();
    set.insert("second");
    assert_eq!(set.poll_next(&mut cx, |_, name, _| Poll::Ready(*name)), Poll::Ready(Some((Key(0), "second"))));
    assert!(set.poll_next(&mut cx, |_, name, _| Poll::Ready(*name)).is_ready());
    late.wake();
    set.insert("third");
    assert_eq!(set.poll_next(&mut cx, |_, name, _| Poll::Ready(*name)), Poll::Ready(Some((Key(0), "third"))));
    assert_eq!(parent.woken(), 0);
}

// Likewise if the last of the members had nothing to return.
#[test]
fn a_member_that_comes_after_a_last_one_without_a_value_is_polled_in_the_same_pass() {
    let mut set = Set::new();
    set.insert("first");
    let late = wakers(&mut set, Waker::noop()).remove(&0).expect("there is one");
    let mut cx = Context::from_waker(Waker::noop());
    let mut end = |set: &mut Set<&str>| set.poll_until(&mut cx, |_, _, _| Poll::Ready(Answer::<()>::Done));
    set.wake(Key(0));
    assert_eq!(end(&mut set), Poll::Ready(None));
    late.wake();
    set.insert("second");
    assert_eq!(end(&mut set), Poll::Ready(None));
}

#[test]
fn a_set_that_is_filled_whenever_it_is_empty_lets_the_executor_run() {
    let (parent, waker) = Parent::new();
    let mut cx = Context::from_waker(&waker);
    let (mut set, mut polls) = (Set::new(), 0);
    while {
        set.insert(());
        let polled = set.poll_until(&mut cx, |_, _, _| {
            polls += 1;
            assert!(polls <= BUDGET, "it goes on and on");
            Poll::Ready(Answer::<()>::Done)
        });
        polled.is_ready()
    } {}
    assert_eq!((polls, parent.woken()), (BUDGET, 1));
}
