//! The semaphore: turns, departures, and changes of the number of permits.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use foster::sync::{OwnedPermit, Permit, Semaphore};
use foster::testing::{Drops, cancel_at_every_await, explore_all, poll_once};
use foster::{adopt, local, scope, shield, timeout, yield_now};
use futures::FutureExt;

use crate::by_hand::{ByHand, in_a_cancelled_region};
use crate::harness::T;

/// How many are in use, and how many wait.
fn usage(semaphore: &Semaphore) -> (usize, usize) {
    let statistics = semaphore.statistics();
    (statistics.in_use(), statistics.waiting())
}

#[test]
fn those_behind_a_head_that_leaves_are_let_in_at_once() {
    // golang#37852: the waiters behind a large one that was cancelled went on waiting, although
    // there was enough for them.
    let semaphore = Semaphore::new(5);
    let two = semaphore.try_acquire(2).unwrap();
    let head = ByHand::waiting(semaphore.acquire(5));
    let next = ByHand::waiting(semaphore.acquire(2));
    let last = ByHand::waiting(semaphore.acquire(2));
    drop(head);
    assert_eq!((next.wakes(), last.wakes()), (1, 0));
    let next = next.turn().unwrap();
    assert_eq!(usage(&semaphore), (4, 1));
    drop(two);
    drop((last.turn().unwrap(), next));
    assert_eq!(usage(&semaphore), (0, 0));
    assert_eq!(semaphore.available(), 5);
}

#[test]
fn an_answered_waiter_that_leaves_passes_its_permits_on() {
    let semaphore = Semaphore::new(3);
    let three = semaphore.try_acquire(3).unwrap();
    let first = ByHand::waiting(semaphore.acquire(3));
    let (second, third) = (ByHand::waiting(semaphore.acquire(1)), ByHand::waiting(semaphore.acquire(2)));
    drop(three);
    assert_eq!((first.wakes(), second.wakes(), usage(&semaphore)), (1, 0, (3, 2)));
    drop(first);
    assert_eq!((second.turn().unwrap().count(), third.turn().unwrap().count()), (1, 2));
}

#[test]
fn the_last_answered_waiter_that_leaves_gives_its_permits_back() {
    let semaphore = Semaphore::new(1);
    let one = semaphore.try_acquire(1).unwrap();
    let waiter = ByHand::waiting(semaphore.acquire(1));
    drop(one);
    assert!(semaphore.try_acquire(1).unwrap_err().is_no_permits(), "it is given to the waiter");
    drop(waiter);
    assert!(semaphore.try_acquire(1).is_ok());
}

#[test]
fn who_is_in_the_middle_of_the_line_leaves_without_a_trace() {
    let semaphore = Semaphore::new(0);
    let mut waiters: Vec<_> = (0..7).map(|_| Some(ByHand::waiting(semaphore.acquire(1)))).collect();
    for gone in [3, 6, 0, 4] {
        waiters[gone] = None;
    }
    waiters.push(Some(ByHand::waiting(semaphore.acquire(1))));
    let mut left: Vec<_> = waiters.into_iter().flatten().collect();
    assert_eq!(semaphore.statistics().waiting(), left.len());
    while !left.is_empty() {
        semaphore.add(1);
        left.remove(0).turn().unwrap().forget();
        assert!(left.iter().all(|waiter| waiter.wakes() == 0));
    }
}

#[test]
fn permits_lie_idle_rather_than_to_go_past_a_large_request() {
    let semaphore = Semaphore::new(4);
    let two = semaphore.try_acquire(2).unwrap();
    let large = ByHand::waiting(semaphore.acquire(3));
    assert_eq!(semaphore.available(), 2);
    assert!(semaphore.try_acquire(1).unwrap_err().is_no_permits());
    let small = ByHand::waiting(semaphore.acquire(1));
    drop(two);
    drop((large.turn(), small.turn()));
}

#[test]
fn zero_permits_are_taken_in_turn() {
    let semaphore = Semaphore::new(1);
    assert_eq!(semaphore.try_acquire(0).unwrap().count(), 0);
    let one = semaphore.try_acquire(1).unwrap();
    assert_eq!(semaphore.try_acquire(0).unwrap().count(), 0, "nobody waits");
    let first = ByHand::waiting(semaphore.acquire(1));
    let nothing = ByHand::waiting(semaphore.acquire(0));
    drop(one);
    drop((first.turn().unwrap(), nothing.turn().unwrap()));
    assert_eq!(usage(&semaphore), (0, 0));
}

#[test]
fn more_than_there_are_is_an_error_at_once() {
    // temporal#6034: a request that exceeds the size of the semaphore waited for ever.
    let semaphore = Semaphore::new(3);
    assert!(ByHand::new(semaphore.acquire(4)).poll().unwrap().unwrap_err().is_too_many());
    assert!(semaphore.try_acquire(usize::MAX).unwrap_err().is_too_many());
    semaphore.add(1);
    assert!(semaphore.try_acquire(4).is_ok());
    let bounded = Semaphore::bounded(3);
    assert!(ByHand::new(bounded.acquire(4)).poll().unwrap().unwrap_err().is_too_many());
}

#[test]
fn a_wait_for_more_than_there_still_are_ends_with_an_error_and_lets_others_in() {
    let semaphore = Semaphore::new(5);
    let three = semaphore.try_acquire(3).unwrap();
    let large = ByHand::waiting(semaphore.acquire(4));
    let small = ByHand::waiting(semaphore.acquire(1));
    semaphore.resize(4);
    assert_eq!((large.wakes(), small.wakes()), (0, 0));
    semaphore.resize(3);
    assert!(large.turn().unwrap_err().is_too_many());
    assert_eq!((small.wakes(), semaphore.available()), (0, 0), "three are in use");
    semaphore.resize(4);
    assert_eq!(small.turn().unwrap().count(), 1);
    drop(three);
    assert_eq!((usage(&semaphore), semaphore.available()), ((0, 0), 4));
}

#[test]
fn a_large_wait_that_a_forgotten_permit_ends_lets_those_behind_it_in() {
    let semaphore = Semaphore::new(4);
    let (one, two) = (semaphore.try_acquire(1).unwrap(), semaphore.try_acquire(1).unwrap());
    let large = ByHand::waiting(semaphore.acquire(4));
    let small = ByHand::waiting(semaphore.acquire(2));
    one.forget();
    assert!(large.turn().unwrap_err().is_too_many());
    assert_eq!(small.turn().unwrap().count(), 2);
    drop(two);
    assert_eq!(semaphore.available(), 3);
}

#[test]
fn a_total_of_zero_keeps_everybody_waiting() {
    let semaphore = Semaphore::new(2);
    semaphore.resize(0);
    let two = ByHand::waiting(semaphore.acquire(2));
    let five = ByHand::waiting(semaphore.acquire(5));
    semaphore.add(1);
    assert_eq!(two.wakes(), 0);
    semaphore.add(3);
    assert_eq!((two.wakes(), five.wakes(), semaphore.available()), (1, 0, 2));
    semaphore.add(1);
    assert_eq!(five.wakes(), 0);
    drop(two.turn());
    assert_eq!(five.turn().unwrap().count(), 5);
}

#[test]
fn a_wait_for_more_than_there_are_ends_also_where_there_were_none_in_between() {
    // It was taken for one that may still be served, because five to none to two was no loss from
    // none to two. So it waited for ever, and those behind it with it.
    let semaphore = Semaphore::new(5);
    let five = semaphore.try_acquire(5).unwrap();
    let large = ByHand::waiting(semaphore.acquire(5));
    let small = ByHand::waiting(semaphore.acquire(1));
    semaphore.resize(0);
    assert_eq!((large.wakes(), small.wakes()), (0, 0), "a total of zero keeps everybody waiting");
    semaphore.resize(2);
    assert!(large.turn().unwrap_err().is_too_many());
    drop(five);
    assert_eq!(small.turn().unwrap().count(), 1);
    assert_eq!((usage(&semaphore), semaphore.available()), ((0, 0), 2));
}

#[test]
fn below_use_permits_that_come_back_are_gone_until_there_are_few_enough() {
    let semaphore = Semaphore::new(5);
    let mut permits: Vec<_> = (0..5).map(|_| semaphore.try_acquire(1).unwrap()).collect();
    semaphore.resize(2);
    let waiter = ByHand::waiting(semaphore.acquire(1));
    assert_eq!((usage(&semaphore), semaphore.available()), ((5, 1), 0));
    for in_use in [4, 3, 2] {
        permits.pop();
        assert_eq!((usage(&semaphore), waiter.wakes()), ((in_use, 1), 0));
    }
    permits.pop();
    assert_eq!((usage(&semaphore), waiter.wakes()), ((2, 0), 1));
    permits.pop();
    drop(waiter.turn());
    assert_eq!((usage(&semaphore), semaphore.available()), ((0, 0), 2));
    drop(semaphore.try_acquire(2).unwrap());
}

#[test]
fn permits_that_are_forgotten_below_use_are_not_forgotten_twice() {
    let semaphore = Semaphore::new(5);
    let (one, mut four) = (semaphore.try_acquire(1).unwrap(), semaphore.try_acquire(4).unwrap());
    semaphore.resize(3);
    // Three there are, and two too many: the total is two now, and still two too many.
    one.forget();
    assert_eq!((usage(&semaphore), semaphore.available()), ((4, 0), 0));
    let three = four.split(3).unwrap();
    three.forget();
    assert_eq!((usage(&semaphore), semaphore.available()), ((1, 0), 0));
    drop(four);
    assert_eq!((usage(&semaphore), semaphore.available()), ((0, 0), 0));
    semaphore.add(1);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn free_permits_are_taken_away_by_number() {
    let semaphore = Semaphore::new(5);
    let two = semaphore.try_acquire(2).unwrap();
    assert_eq!((semaphore.forget(1), semaphore.available()), (1, 2));
    assert_eq!((semaphore.forget(9), semaphore.available()), (2, 0));
    assert_eq!((semaphore.forget(9), usage(&semaphore)), (0, (2, 0)));
    drop(two);
    assert_eq!(semaphore.available(), 2);
    assert!(semaphore.try_acquire(3).unwrap_err().is_too_many());
}

#[test]
fn a_closed_semaphore_gives_nothing_and_its_permits_stay_valid() {
    let semaphore = Semaphore::new(2);
    assert!(!semaphore.is_closed());
    let two = semaphore.try_acquire(2).unwrap();
    let given = ByHand::waiting(semaphore.acquire(1));
    let waiting = ByHand::waiting(semaphore.acquire(2));
    let mut two = two;
    drop(two.split(1));
    semaphore.close();
    assert!(semaphore.is_closed());
    assert!(waiting.turn().unwrap_err().is_closed());
    assert_eq!(usage(&semaphore), (2, 0));
    assert_eq!(given.turn().unwrap().count(), 1, "it had been given out before");
    drop(two);
    assert_eq!((usage(&semaphore), semaphore.available()), ((0, 0), 2));
    assert!(semaphore.try_acquire(1).unwrap_err().is_closed());
    assert!(ByHand::new(semaphore.acquire(1)).poll().unwrap().unwrap_err().is_closed());
    semaphore.close();
}

#[test]
fn permits_are_split_and_merged() {
    let (semaphore, others) = (Semaphore::new(5), Semaphore::new(1));
    let mut five = semaphore.try_acquire(5).unwrap();
    let two = five.split(2).unwrap();
    assert_eq!((five.count(), two.count(), semaphore.available()), (3, 2, 0));
    assert!(five.split(4).is_none());
    drop(five);
    assert_eq!(semaphore.available(), 3);
    let mut one = semaphore.try_acquire(1).unwrap();
    one.merge(two);
    assert_eq!((one.count(), semaphore.available()), (3, 2));
    let merged = catch_unwind(AssertUnwindSafe(|| one.merge(others.try_acquire(1).unwrap())));
    assert!(merged.is_err());
    drop(one);
    assert_eq!((semaphore.available(), others.available()), (5, 1), "both have theirs back");
}

#[test]
fn the_owned_form_keeps_the_semaphore() {
    let semaphore = Arc::new(Semaphore::new(2));
    let one: OwnedPermit = semaphore.clone().try_acquire_owned(1).unwrap();
    let waiter = ByHand::waiting(semaphore.clone().acquire_owned(2));
    assert_eq!(Arc::strong_count(&semaphore), 3);
    drop(one);
    let weak = Arc::downgrade(&semaphore);
    drop(semaphore);
    let mut two = waiter.turn().unwrap();
    let one = two.split(1).unwrap();
    drop(two);
    assert_eq!(weak.upgrade().unwrap().available(), 1);
    drop(one);
    assert!(weak.upgrade().is_none());
}

#[test]
fn sizes_up_to_the_largest_work_and_beyond_it_panic() {
    let most = Semaphore::MAX_PERMITS;
    let semaphore = Semaphore::new(most);
    let all = semaphore.try_acquire(most).unwrap();
    assert!(semaphore.try_acquire(1).unwrap_err().is_no_permits());
    assert!(semaphore.try_acquire(usize::MAX).unwrap_err().is_too_many());
    assert!(semaphore.try_add(1).is_err());
    drop(all);
    assert_eq!(semaphore.available(), most);
    for too_large in [most + 1, usize::MAX] {
        assert!(catch_unwind(|| Semaphore::new(too_large)).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.resize(too_large))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add(too_large))).is_err());
    }
    assert_eq!(semaphore.available(), most);
}

#[test]
fn a_static_semaphore_needs_no_initialisation() {
    static SLOTS: Semaphore = Semaphore::new(1);
    let permit: Permit<'static> = SLOTS.try_acquire(1).unwrap();
    std::thread::spawn(move || drop(permit)).join().unwrap();
    assert_eq!(SLOTS.available(), 1);
}

#[test]
fn a_future_is_polled_once_after_its_wake_up_and_not_after_its_end() {
    let semaphore = Semaphore::new(1);
    let mut acquire = Box::pin(semaphore.acquire(1));
    assert!(acquire.as_mut().now_or_never().unwrap().is_ok());
    let again = catch_unwind(AssertUnwindSafe(|| acquire.as_mut().now_or_never()));
    assert!(again.is_err());
    drop(acquire);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    let semaphore = Semaphore::new(0);
    let mut acquire = Box::pin(semaphore.acquire(1));
    let (first, last) = (foster::testing::CountingWaker::new(), foster::testing::CountingWaker::new());
    for waker in [&first, &first, &last, &last] {
        assert!(waker.poll(acquire.as_mut()).is_pending());
    }
    assert_eq!((first.held(), last.held()), (0, 1), "each is kept once, and the old one is dropped");
    semaphore.add(1);
    assert_eq!((first.count(), last.count()), (0, 1));
    assert!(last.poll(acquire.as_mut()).is_ready());
    drop(acquire);
    assert_eq!((first.held(), last.held()), (0, 0));
}

/// Does something with a semaphore whenever it is cloned, woken or dropped.
struct Meddling {
    semaphore: Arc<Semaphore>,
    panics: bool,
}

impl Wake for Meddling {
    fn wake(self: Arc<Self>) {
        self.semaphore.statistics();
        drop(self.semaphore.try_acquire(1));
        assert!(!self.panics, "a waker that panics");
    }
}

impl Drop for Meddling {
    fn drop(&mut self) {
        drop(self.semaphore.try_acquire(1));
        self.semaphore.statistics();
    }
}

#[test]
fn wakers_run_without_the_lock_and_one_that_panics_keeps_nobody_from_waking() {
    crate::harness::watched(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let meddling = |panics| Waker::from(Arc::new(Meddling { semaphore: semaphore.clone(), panics }));
        let mut first = Box::pin(semaphore.acquire(1));
        let waker = meddling(true);
        assert!(first.as_mut().poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        let waiters: Vec<_> = (0..20).map(|_| ByHand::waiting(semaphore.acquire(1))).collect();
        // Another waker is left, and the former is dropped.
        let waker = meddling(true);
        assert!(first.as_mut().poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert!(catch_unwind(AssertUnwindSafe(|| semaphore.add(21))).is_err());
        let permits: Vec<_> = waiters.into_iter().map(|waiter| waiter.turn().unwrap()).collect();
        assert_eq!(semaphore.available(), 0);
        drop((permits, first));
        assert_eq!(semaphore.available(), 21);
        let mut waiting = Box::pin(semaphore.acquire(21));
        let one = semaphore.try_acquire(1).unwrap();
        let waker = meddling(false);
        assert!(matches!(waiting.as_mut().poll_unpin(&mut Context::from_waker(&waker)), Poll::Pending));
        drop((waker, waiting));
        drop(one);
        assert_eq!(semaphore.available(), 21);
    });
}

#[test]
fn futures_and_permits_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    let semaphore = Arc::new(Semaphore::new(2));
    check(&*semaphore);
    check(&semaphore.acquire(1));
    check(&semaphore.clone().acquire_owned(1));
    check(&semaphore.try_acquire(1).unwrap());
    check(&semaphore.clone().try_acquire_owned(1).unwrap());
}

#[test]
fn dropped_at_any_point_nobody_is_left_behind() {
    let semaphore = &Semaphore::new(3);
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                for i in 0..4 {
                    s.spawn(async move {
                        let first = semaphore.acquire(1 + i % 3).await.unwrap();
                        yield_now().await;
                        drop(first);
                        let _second = semaphore.acquire(3 - i % 3).await.unwrap();
                        yield_now().await;
                    });
                }
            })
        },
        || {
            assert_eq!(usage(semaphore), (0, 0));
            assert_eq!(semaphore.available(), 3);
        },
    );
    assert!(report.suspensions().iter().any(|what| what.contains("semaphore")), "{report:?}");
}

#[test]
fn under_every_schedule_no_more_than_the_limit_are_inside_and_all_have_their_turn() {
    let explored = explore_all(|| async {
        let (semaphore, inside) = (Arc::new(Semaphore::new(2)), Drops::new());
        scope(async |s| {
            for count in [1, 2, 1] {
                let (semaphore, inside) = (semaphore.clone(), inside.clone());
                s.spawn_parallel(async move {
                    let _permit = semaphore.acquire_owned(count).await.unwrap();
                    let _guards: Vec<_> = (0..count).map(|_| inside.guard()).collect();
                    assert!(inside.alive() <= 2);
                    yield_now().await;
                });
            }
        })
        .await;
        assert_eq!(usage(&semaphore), (0, 0));
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

matrix! {
    async fn a_timeout_around_a_wait_leaves_the_line() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire(1).await.unwrap();
        assert!(timeout(T, semaphore.acquire(1)).await.is_err());
        assert_eq!(usage(&semaphore), (1, 0));
        drop(permit);
        assert!(semaphore.acquire(1).await.is_ok());
    }

    // Nothing new starts in a cancelled region. A wait that began there would take a place in the
    // line, and then a permit, for code that is about to be dropped.
    async fn a_wait_does_not_begin_in_a_cancelled_region() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire(1).await.unwrap();
        let began = Cell::new(false);
        in_a_cancelled_region(async {
            began.set(true);
            assert!(poll_once(semaphore.acquire(1)).await.is_pending());
            drop(semaphore.acquire(1).await);
            unreachable!("it does not begin to wait");
        }).await;
        assert!(began.get());
        assert_eq!((usage(&semaphore), semaphore.statistics().peak_waiting()), ((1, 0), 0));
        drop(permit);
    }

    async fn what_is_free_is_taken_in_a_cancelled_region() {
        let (semaphore, taken) = (Semaphore::new(1), Cell::new(0));
        in_a_cancelled_region(async {
            taken.set(semaphore.acquire(1).await.unwrap().count());
        }).await;
        assert_eq!((taken.get(), semaphore.available()), (1, 1));
    }

    async fn finalizers_and_shields_wait_although_what_they_belong_to_is_cancelled() {
        let semaphore = Semaphore::new(1);
        let permit = semaphore.acquire(1).await.unwrap();
        let cleaned = std::sync::atomic::AtomicUsize::new(0);
        let clean = async || {
            drop(semaphore.acquire(1).await.unwrap());
            cleaned.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        };
        scope(async |s| {
            s.spawn(timeout(T, scope(async |inner| {
                inner.defer(clean());
                shield(clean()).await;
                std::future::pending::<()>().await
            })).map(drop));
            while semaphore.statistics().waiting() == 0 {
                yield_now().await;
            }
            foster::sleep(2 * T).await;
            drop(permit);
        }).await;
        assert_eq!(cleaned.load(std::sync::atomic::Ordering::SeqCst), 2);
    }

    async fn threads_and_one_task_share_a_semaphore() {
        let (semaphore, inside) = (Arc::new(Semaphore::new(3)), Drops::new());
        let work = |count| {
            let (semaphore, inside) = (semaphore.clone(), inside.clone());
            async move {
                for _ in 0..20 {
                    let permit = semaphore.clone().acquire_owned(count).await.unwrap();
                    let guards: Vec<_> = (0..count).map(|_| inside.guard()).collect();
                    assert!(inside.alive() <= 3);
                    yield_now().await;
                    drop(guards);
                    drop(permit);
                }
            }
        };
        scope(async |s| {
            for i in 0..10 {
                if i % 2 == 0 { s.spawn_parallel(work(1 + i % 3)) } else { s.spawn(work(1 + i % 3)) };
            }
        }).await;
        assert_eq!((usage(&semaphore), semaphore.available()), ((0, 0), 3));
    }

    async fn an_adopted_future_waits_for_its_turn() {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.clone().acquire_owned(1).await.unwrap();
        scope(async |_| {
            let mut adopted = Box::pin(adopt(semaphore.clone().acquire_owned(1)));
            assert!(poll_once(&mut adopted).await.is_pending());
            drop(adopted);
            drop(permit);
        }).await;
        assert_eq!(usage(&semaphore), (0, 0));
    }
}
