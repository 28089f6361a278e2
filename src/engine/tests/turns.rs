use super::*;

/// Who is polled first, in each of so many passes over members that always wake themselves.
fn beginnings(set: &mut Set<usize>, passes: usize) -> Vec<usize> {
    let mut beginnings = Vec::new();
    for _ in 0..passes {
        let mut first = None;
        drive(set, Waker::noop(), |_, member, cx| {
            first.get_or_insert(*member);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        beginnings.extend(first);
    }
    beginnings
}

/// A set of which all but the members with these keys are gone.
fn set_with(keys: &[u32]) -> Set<usize> {
    let mut set = Set::with_capacity(640);
    set.extend(0..640);
    drive(&mut set, Waker::noop(), |_, _, _| Poll::<()>::Pending);
    for key in (0..640).filter(|key| !keys.contains(key)) {
        assert!(set.remove(Key(key)));
    }
    keys.iter().for_each(|&key| set.wake(Key(key)));
    set
}

// The first of two that were always ready left nothing of tokio's budget to the second.
#[test]
fn passes_begin_in_turn_at_different_members() {
    for keys in [&[1, 2][..], &[5, 6, 63], &[1, 100], &[1, 2, 100, 101], &[3, 200, 201, 500]] {
        let beginnings = beginnings(&mut set_with(keys), 400);
        for &key in keys {
            let began = beginnings.iter().filter(|&&begun| begun == key as usize).count();
            assert!(began > 200 / keys.len(), "{key} of {keys:?} began {began} of 400 passes");
        }
    }
}

// What polls a set twice in one go, as `FuturesUnordered` does, sees the same member begin its
// first passes otherwise.
#[test]
fn beginnings_keep_step_with_nobody() {
    for step in 2..=4 {
        for keys in [&[1, 2][..], &[1, 2, 3], &[1, 100], &[1, 100, 200, 300]] {
            let beginnings = beginnings(&mut set_with(keys), 400 * step);
            for &key in keys {
                let began = beginnings.iter().step_by(step).filter(|&&begun| begun == key as usize).count();
                assert!(began > 100 / keys.len(), "{key} of {keys:?} began {began} of 400 passes");
            }
        }
    }
}

/// Who is polled first, in each of so many passes over members whose wake-ups come in reverse
/// order after each pass, as tokio's do for those that found its budget used up.
fn beginnings_in_reverse(set: &mut Set<usize>, passes: usize) -> Vec<usize> {
    let (mut beginnings, mut wakers) = (Vec::new(), Vec::new());
    for _ in 0..passes {
        let mut first = None;
        drive(set, Waker::noop(), |_, member, cx| {
            first.get_or_insert(*member);
            wakers.push(cx.waker().clone());
            Poll::<()>::Pending
        });
        beginnings.extend(first);
        wakers.drain(..).rev().for_each(Waker::wake);
    }
    beginnings
}

// Of several blocks that came in reverse order, the oldest were first in turns, and the newest
// never. And where a pass polls a part of the members only, the next ones began at the same few.
#[test]
fn passes_begin_in_turn_at_different_members_whatever_the_order_of_their_wake_ups() {
    for n in [5, 21, 40, 61, 62, 100, 183] {
        for mut set in [Set::new(), Set::with_capacity(n)] {
            set.extend(0..n);
            let passes = 100 * n;
            let beginnings = beginnings_in_reverse(&mut set, passes);
            for member in 0..n {
                let began = beginnings.iter().filter(|&&begun| begun == member).count();
                assert!(began > 10, "{member} of {n} began {began} of {passes} passes");
            }
        }
    }
}

#[test]
fn a_block_that_goes_before_the_others_leaves_none_of_them_out() {
    let mut set = set_with(&[1, 100, 200, 300]);
    let mut cx = Context::from_waker(Waker::noop());
    let wakers = wakers(&mut set, Waker::noop());
    for last in [1, 100, 200].repeat(20) {
        let woken = [1, 100, 200].into_iter().filter(|key| *key != last).chain([last]);
        woken.for_each(|key| wakers[&key].wake_by_ref());
        let mut seen = BTreeSet::new();
        while let Poll::Ready(Some(member)) = set.poll_until(&mut cx, |_, member, _| Poll::Ready(Answer::Item(*member)))
        {
            // One that comes while the others are queued goes behind them.
            if seen.is_empty() {
                set.wake(Key(300));
            }
            if !seen.insert(member) {
                break;
            }
        }
        assert_eq!(seen, BTreeSet::from([1, 100, 200, 300]));
        while set.poll_until(&mut cx, |_, _, _| Poll::<Answer<()>>::Pending).is_ready() {}
    }
}

// No block goes before the others in a pass that begins with what came since the last one.
#[test]
fn a_pass_that_goes_on_keeps_the_order_of_the_wake_ups() {
    let mut set = set_with(&[1, 100, 200]);
    let wakers = wakers(&mut set, Waker::noop());
    for _ in 0..20 {
        wakers[&100].wake_by_ref();
        wakers[&1].wake_by_ref();
        set.wake(Key(200));
        let order: Vec<_> = polled(&mut set, Waker::noop()).iter().map(|key| key.index()).collect();
        assert_eq!(order, [200, 100, 1]);
    }
}

#[test]
fn new_members_are_polled_in_the_order_in_which_they_came() {
    let mut set = set_with(&[1, 70]);
    beginnings(&mut set, 3);
    let mut fresh = Vec::new();
    set.extend(1_000..1_040);
    drive(&mut set, Waker::noop(), |_, member, _| {
        fresh.extend((*member >= 1_000).then_some(*member));
        Poll::<()>::Pending
    });
    assert_eq!(fresh, (1_000..1_040).collect::<Vec<_>>());
}

// A member that woke itself before its pass was cut short would otherwise wait for the pass after
// the next one.
#[test]
fn members_that_wake_themselves_fill_the_passes() {
    for n in [BUDGET + 1, 64, 100] {
        let mut set = Set::collect(0..n);
        let (parent, waker) = Parent::new();
        let (mut polls, passes) = (vec![0; n as usize], 100 * n);
        for pass in 1..=passes {
            let before: u32 = polls.iter().sum();
            drive(&mut set, &waker, |key, _, cx| {
                polls[key.index()] += 1;
                cx.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            let polled = polls.iter().sum::<u32>() - before;
            assert!((1..=BUDGET).contains(&polled), "{polled} of {n} members in pass {pass}");
            assert_eq!(parent.woken(), 1, "{n} members, pass {pass}");
        }
        // One in four passes ends early.
        let average = polls.iter().sum::<u32>() / passes;
        assert!(average > BUDGET * 4 / 5, "{n} members, {average} polls a pass");
        let (least, most) = (polls.iter().min().unwrap(), polls.iter().max().unwrap());
        assert!(most - least <= 2, "{n} members, polls {least} to {most}");
    }
}

#[test]
fn members_that_come_and_go_leave_their_turns_to_others() {
    let mut set = Set::with_capacity(128);
    set.extend(0..128);
    let mut cx = Context::from_waker(Waker::noop());
    let mut done = BTreeSet::new();
    // Each that is done is followed by another one, which is ready, too.
    for next in 128..128 + 1_000 {
        let polled = loop {
            match set.poll_next(&mut cx, |_, n, _| Poll::Ready(*n)) {
                Poll::Ready(polled) => break polled,
                Poll::Pending => {}
            }
        };
        let (_, n) = polled.expect("the set is never empty");
        assert!(done.insert(n));
        set.insert(next);
    }
    assert!((0..128).all(|n| done.contains(&n)), "newcomers were polled again and again, and some never");
}

#[test]
fn a_member_that_joins_is_polled_in_this_pass_after_other_blocks() {
    let mut set = Set::with_capacity(128);
    set.extend(0..128);
    set.retain(|n| [0, 1, 64].contains(&*n));
    let mut seen = Vec::new();
    let mut each = |n: usize| {
        seen.push(n);
        if n == 0 { Poll::Ready(()) } else { Poll::Pending }
    };
    let (parent, waker) = Parent::new();
    let mut cx = Context::from_waker(&waker);
    assert!(set.poll_next(&mut cx, |_, n, _| each(*n)).is_ready());
    assert_eq!(set.insert(1_000).index(), 0);
    assert!(set.poll_next(&mut cx, |_, n, _| each(*n)).is_pending());
    assert_eq!((seen, parent.woken()), (vec![0, 1, 64, 1_000], 0));
}

#[test]
fn a_member_that_is_removed_before_its_turn_is_not_polled() {
    for gone in [1, 2, 3] {
        let mut set = Set::collect(0..4);
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        let mut each = |n: usize| {
            seen.push(n);
            if n == 0 { Poll::Ready(()) } else { Poll::Pending }
        };
        assert!(set.poll_next(&mut cx, |_, n, _| each(*n)).is_ready());
        set.wake(Key(gone));
        assert!(set.remove(Key(gone)));
        assert!(set.poll_next(&mut cx, |_, n, _| each(*n)).is_pending());
        assert_eq!(seen, (0..4).filter(|n| *n != gone as usize).collect::<Vec<_>>());
    }
}

/// The block is marked for the first of the new members alone, and that one is taken out again.
#[test]
fn a_new_member_is_polled_although_the_one_that_came_before_it_is_removed() {
    for left_over in [0, 1] {
        let mut set = Set::with_capacity(8);
        set.extend(0..=left_over);
        let mut cx = Context::from_waker(Waker::noop());
        let first = set.poll_next(&mut cx, |_, _, _| Poll::Ready(()));
        assert!(matches!(first, Poll::Ready(Some(_))));
        let (gone, stays) = (set.insert(2), set.insert(3));
        assert!(set.remove(gone));
        assert!(polled(&mut set, Waker::noop()).contains(&stays));
    }
}

/// Some wait in the set's own list for the next pass, and others on the stack.
#[test]
fn members_that_woke_themselves_and_those_that_others_woke_are_polled_in_the_next_pass() {
    let mut set = Set::with_capacity(128);
    set.extend(0..128);
    set.retain(|n| [0, 1, 64, 65].contains(&*n));
    let (parent, waker) = Parent::new();
    let wakers = wakers(&mut set, &waker);
    parent.woken();
    set.wake(Key(0));
    set.wake(Key(64));
    assert_eq!(
        drive(&mut set, &waker, |_, _, cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        }),
        (vec![], false)
    );
    assert_eq!(parent.woken(), 1);
    wakers[&1].wake_by_ref();
    wakers[&65].wake_by_ref();
    assert_eq!(parent.woken(), 0, "the parent knows already");
    let mut seen: Vec<usize> = polled(&mut set, &waker).into_iter().map(Key::index).collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 64, 65]);
}

#[test]
fn blocks_go_first_in_the_order_of_their_keys() {
    let mut set = set_with(&[1, 100, 200, 300, 400]);
    let mut last = None;
    for pass in 0..100 {
        let first = beginnings(&mut set, 1)[0] / 64;
        if let Some(last) = last {
            let following = [0, 1, 3, 4, 6].into_iter().find(|block| *block > last).unwrap_or(0);
            assert!([last, following].contains(&first), "pass {pass}: {first} after {last}");
        }
        last = Some(first);
    }
}

// Who comes between two passes is polled first, and that is not the turn of its block.
#[test]
fn members_that_come_between_passes_leave_the_turns_of_the_blocks_alone() {
    let mut set = set_with(&[1, 100, 200, 300]);
    let mut began = BTreeMap::new();
    for _ in 0..200 {
        let new = set.insert(1_000);
        beginnings(&mut set, 1);
        assert!(set.remove(new));
        *began.entry(beginnings(&mut set, 1)[0]).or_insert(0) += 1;
    }
    assert!(began.len() == 4 && began.values().all(|began| *began > 20), "{began:?}");
}

// The random end of a pass is for those that are polled again and again.
#[test]
fn first_polls_fill_the_passes() {
    for n in [61_u32 * 64, 61 * 64 + 1] {
        let mut set = Set::collect(0..n);
        let mut passes = 0;
        let (parent, waker) = Parent::new();
        while {
            passes += 1;
            drive(&mut set, &waker, |_, _, _| Poll::<()>::Pending);
            parent.woken() > 0
        } {}
        assert_eq!(passes, n.div_ceil(61), "{n} members");
    }
}

// Where a newcomer begins each pass over a block, the others in it are still no newcomers.
#[test]
fn passes_end_early_now_and_then_although_a_member_joins_each() {
    let mut set = Set::collect(0..64);
    let mut short = 0;
    for pass in 0..200 {
        let mut polls = 0;
        drive(&mut set, Waker::noop(), |_, _, cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        short += usize::from(polls < BUDGET);
        let last = Key(63);
        assert!(set.remove(last), "pass {pass}");
        assert_eq!(set.insert(pass), last);
    }
    assert!(short > 20, "{short} of 200 passes");
}

#[test]
fn a_member_that_wakes_itself_and_is_removed_wakes_nobody() {
    let removals: [fn(&mut Set<usize>); 2] = [|set| assert!(set.remove(Key(0))), |set| set.retain(|n| *n != 0)];
    for remove in removals {
        let mut set = Set::collect(0..3);
        let (parent, waker) = Parent::new();
        let each = |n: usize, cx: &mut Context<'_>| match n {
            0 => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            1 => Poll::Ready(()),
            _ => Poll::Pending,
        };
        let done = set.poll_next(&mut Context::from_waker(&waker), |_, n, cx| each(*n, cx));
        assert!(done.is_ready());
        remove(&mut set);
        assert_eq!(drive(&mut set, &waker, |_, n, cx| each(*n, cx)), (vec![], false));
        assert_eq!((set.len(), parent.woken()), (1, 0));
    }
}

// It was polled twice in a pass when one that joined its block was queued before it was.
#[test]
fn a_member_that_wakes_itself_is_polled_once_a_pass_whoever_joins() {
    let mut set = Set::with_capacity(128);
    set.extend(0..128);
    set.retain(|n| [0, 1, 2, 64].contains(&*n));
    let mut seen = Vec::new();
    let mut each = |n: usize, cx: &mut Context<'_>| {
        seen.push(n);
        if n == 0 {
            cx.waker().wake_by_ref();
        }
        if n == 1 { Poll::Ready(()) } else { Poll::Pending }
    };
    let (parent, waker) = Parent::new();
    let mut cx = Context::from_waker(&waker);
    assert!(set.poll_next(&mut cx, |_, n, cx| each(*n, cx)).is_ready());
    assert_eq!(set.insert(1_000).index(), 1);
    set.wake(Key(64));
    assert!(set.poll_next(&mut cx, |_, n, cx| each(*n, cx)).is_pending());
    assert_eq!(parent.woken(), 1);
    assert_eq!(seen.iter().filter(|n| **n == 0).count(), 1, "{seen:?}");
}
