//! The barrier.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use foster::sync::{Barrier, BrokenBarrier};
use foster::testing::{cancel_at_every_await, explore_all, poll_once};
use foster::{gather, local, scope, sleep, timeout, yield_now};
use futures::FutureExt;
use proptest::prelude::*;

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;
use crate::meddling::{meddling, panicking};

fn index(waiter: ByHand<'_, Result<foster::sync::BarrierWaitResult, BrokenBarrier>>) -> usize {
    waiter.turn().unwrap().index()
}

#[test]
fn who_leaves_has_not_come() {
    // tokio#6494: a wait that was cancelled counted, and the others went on one too early.
    let barrier = Barrier::new(3);
    let [first, second] = [(); 2].map(|()| ByHand::waiting(barrier.wait()));
    assert_eq!(barrier.statistics().waiting(), 2);
    drop(first);
    assert_eq!(barrier.statistics().waiting(), 1);
    let third = ByHand::waiting(barrier.wait());
    assert_eq!((second.wakes(), third.wakes()), (0, 0));
    let last = ByHand::new(barrier.wait()).poll().unwrap().unwrap();
    assert_eq!((last.index(), last.is_leader()), (2, true));
    assert_eq!((index(second), index(third), barrier.statistics().waiting()), (0, 1, 0));
}

#[test]
fn who_leaves_when_the_round_is_complete_changes_nothing() {
    let barrier = Barrier::new(3);
    let [first, second] = [(); 2].map(|()| ByHand::waiting(barrier.wait()));
    assert!(ByHand::new(barrier.wait()).poll().unwrap().is_ok());
    drop(first);
    assert_eq!(barrier.statistics().waiting(), 0);
    let next = ByHand::waiting(barrier.wait());
    assert_eq!((index(second), next.wakes(), barrier.statistics().waiting()), (1, 0, 1));
}

#[test]
fn a_barrier_that_was_aborted_is_broken_until_it_is_reset() {
    let barrier = Barrier::new(2);
    let waiter = ByHand::waiting(barrier.wait());
    assert!(!barrier.is_broken());
    barrier.abort();
    assert!(barrier.is_broken());
    assert_eq!(waiter.turn(), Err(BrokenBarrier));
    assert_eq!(ByHand::new(barrier.wait()).poll(), Some(Err(BrokenBarrier)));
    barrier.abort();
    barrier.reset();
    assert!(!barrier.is_broken());
    let waiter = ByHand::waiting(barrier.wait());
    assert!(ByHand::new(barrier.wait()).poll().unwrap().is_ok());
    assert_eq!(index(waiter), 0);
}

#[test]
fn who_was_let_through_stays_so_when_the_barrier_is_aborted() {
    let barrier = Barrier::new(2);
    let waiter = ByHand::waiting(barrier.wait());
    assert!(ByHand::new(barrier.wait()).poll().unwrap().is_ok());
    barrier.abort();
    assert_eq!(index(waiter), 0);
}

#[test]
fn a_barrier_needs_a_party() {
    assert!(catch_unwind(|| Barrier::new(0)).is_err());
    let huge = Barrier::new(usize::MAX);
    assert_eq!(huge.parties(), usize::MAX);
    drop(ByHand::waiting(huge.wait()));
}

#[test]
fn debug_tells_how_far_it_is() {
    static BARRIER: Barrier = Barrier::new(3);
    let _waiter = ByHand::waiting(BARRIER.wait());
    assert_eq!(format!("{BARRIER:?}"), "Barrier { parties: 3, waiting: 1, is_broken: false }");
    assert_eq!(format!("{:?}", BARRIER.wait()), "BarrierWait { .. }");
    assert!(BrokenBarrier.to_string().contains("reset or aborted"));
}

#[test]
fn barriers_and_their_futures_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    let barrier = Barrier::new(1);
    check(&barrier);
    check(&barrier.wait());
    check(&barrier.wait().now_or_never().unwrap());
}

#[test]
fn wakers_run_without_the_lock_and_one_that_panics_keeps_nobody_from_waking() {
    crate::harness::watched(|| {
        let (barrier, ran) = (Arc::new(Barrier::new(4)), Arc::new(AtomicUsize::new(0)));
        let (looks, counts) = (barrier.clone(), ran.clone());
        let waker = meddling(move || {
            looks.statistics().waiting();
            assert!(looks.wait().now_or_never().is_none());
            counts.fetch_add(1, Ordering::SeqCst);
        });
        let mut waits = [(); 2].map(|()| Box::pin(barrier.wait()));
        for (wait, waker) in waits.iter_mut().zip([&panicking(), &waker]) {
            assert!(wait.as_mut().poll_unpin(&mut Context::from_waker(waker)).is_pending());
        }
        let behind = ByHand::waiting(barrier.wait());
        assert!(catch_unwind(AssertUnwindSafe(|| barrier.wait().now_or_never())).is_err());
        assert_eq!((ran.load(Ordering::SeqCst), barrier.statistics().waiting()), (1, 0));
        assert_eq!(index(behind), 2);
        assert!(waits.into_iter().all(|wait| wait.now_or_never().unwrap().is_ok()));
    });
}

#[test]
fn dropped_at_any_point_nobody_counts_who_is_gone() {
    let barrier = &Barrier::new(3);
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                for _ in 0..3 {
                    s.spawn(async {
                        for _ in 0..2 {
                            barrier.wait().await.unwrap();
                            yield_now().await;
                        }
                    });
                }
            })
        },
        || assert_eq!(barrier.statistics().waiting(), 0),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("barrier, to which")), "{report:?}");
}

#[test]
fn under_every_schedule_nobody_is_a_round_ahead() {
    let explored = explore_all(|| async {
        let (barrier, rounds) = (Arc::new(Barrier::new(2)), Arc::new([const { AtomicUsize::new(0) }; 2]));
        let leaders = AtomicUsize::new(0);
        scope(async |s| {
            let parties = [0, 1].map(|party| {
                let (barrier, rounds) = (barrier.clone(), rounds.clone());
                s.spawn_parallel(async move {
                    let mut led = 0;
                    for round in 1..=2 {
                        rounds[party].store(round, Ordering::SeqCst);
                        led += usize::from(barrier.wait().await.unwrap().is_leader());
                        assert!(rounds[1 - party].load(Ordering::SeqCst) >= round);
                    }
                    led
                })
            });
            leaders.store(gather(parties).await.iter().sum(), Ordering::SeqCst);
        })
        .await;
        assert_eq!((leaders.into_inner(), barrier.statistics().waiting()), (2, 0));
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Wait,
    Drop(usize),
    Poll(usize),
    Reset,
    Abort,
}

proptest! {
    /// Those who have come, those who were let through with their index, and those who were turned
    /// away.
    #[test]
    fn a_barrier_is_like_its_model(parties in 1..5usize, steps in prop::collection::vec(prop_oneof![
        6 => Just(Step::Wait),
        2 => (0..9usize).prop_map(Step::Drop),
        2 => (0..9usize).prop_map(Step::Poll),
        1 => Just(Step::Reset),
        1 => Just(Step::Abort),
    ], 1..60)) {
        let barrier = Barrier::new(parties);
        let (mut is_broken, mut waiters) = (false, Vec::new());
        let coming = |waiters: &[(ByHand<'_, _>, Option<Result<usize, BrokenBarrier>>)]| {
            waiters.iter().filter(|(_, answer)| answer.is_none()).count()
        };
        for step in steps {
            match step {
                Step::Wait => {
                    let mut wait = ByHand::new(barrier.wait());
                    let result = wait.poll();
                    let before = coming(&waiters);
                    if is_broken {
                        prop_assert_eq!(result, Some(Err(BrokenBarrier)));
                    } else if before + 1 == parties {
                        let result = result.unwrap().unwrap();
                        prop_assert_eq!((result.index(), result.is_leader()), (before, true));
                        let unanswered = waiters.iter_mut().filter(|(_, answer)| answer.is_none());
                        unanswered.enumerate().for_each(|(index, (_, answer))| *answer = Some(Ok(index)));
                    } else {
                        prop_assert_eq!(result, None);
                        waiters.push((wait, None));
                    }
                }
                Step::Drop(place) if place < waiters.len() => drop(waiters.remove(place)),
                Step::Poll(place) if place < waiters.len() => {
                    let (wait, answer) = &mut waiters[place];
                    let result = wait.poll();
                    prop_assert!(result.is_none_or(|result| result.is_ok_and(|result| !result.is_leader()) || result.is_err()));
                    prop_assert_eq!(result.map(|result| result.map(|result| result.index())), *answer);
                    if answer.is_some() {
                        waiters.remove(place);
                    }
                }
                Step::Reset | Step::Abort => {
                    is_broken = matches!(step, Step::Abort);
                    if is_broken { barrier.abort() } else { barrier.reset() }
                    waiters.iter_mut().for_each(|(_, answer)| _ = answer.get_or_insert(Err(BrokenBarrier)));
                }
                Step::Drop(_) | Step::Poll(_) => {}
            }
            prop_assert_eq!((barrier.is_broken(), barrier.statistics().waiting()), (is_broken, coming(&waiters)));
            for (wait, answer) in &waiters {
                prop_assert_eq!(wait.wakes(), usize::from(answer.is_some()));
            }
        }
    }
}

matrix! {
    // C157: so many arrive, each index from 0 is there once, and the number of those who wait
    // counts up.
    async fn all_who_arrive_have_an_index_of_their_own() {
        let barrier = Barrier::new(4);
        let mut waiting = Vec::new();
        for come in 0..3 {
            assert_eq!(barrier.statistics().waiting(), come);
            waiting.push(ByHand::waiting(barrier.wait()));
        }
        let mut results = vec![barrier.wait().await.unwrap()];
        results.extend(waiting.into_iter().map(|waiter| waiter.turn().unwrap()));
        assert_eq!(results.iter().filter(|result| result.is_leader()).count(), 1);
        let mut indices: Vec<_> = results.iter().map(|result| result.index()).collect();
        indices.sort_unstable();
        assert_eq!((indices, barrier.statistics().waiting(), barrier.parties()), (vec![0, 1, 2, 3], 0, 4));
    }

    // C157, on several threads.
    async fn parties_on_several_threads_go_round_by_round() {
        let (barrier, come) = (Arc::new(Barrier::new(4)), Arc::new(AtomicUsize::new(0)));
        scope(async |s| {
            for _ in 0..4 {
                let (barrier, come) = (barrier.clone(), come.clone());
                s.spawn_parallel(async move {
                    for round in 1..=10 {
                        come.fetch_add(1, Ordering::SeqCst);
                        barrier.wait().await.unwrap();
                        assert!(come.load(Ordering::SeqCst) >= 4 * round);
                        barrier.wait().await.unwrap();
                    }
                });
            }
        }).await;
        assert_eq!(come.load(Ordering::SeqCst), 40);
    }

    // C158: alone, nobody waits, as often as one likes.
    async fn a_barrier_of_one_party_never_blocks() {
        let barrier = Barrier::new(1);
        for _ in 0..2 {
            let result = barrier.wait().now_or_never().unwrap().unwrap();
            assert_eq!((result.index(), result.is_leader()), (0, true));
        }
    }

    // C160: who comes again before the others have gone on waits for the next round.
    async fn who_comes_again_early_waits_for_the_next_round() {
        let barrier = Barrier::new(2);
        let slow = ByHand::waiting(barrier.wait());
        assert_eq!(barrier.wait().await.unwrap().index(), 1);
        let mut early = ByHand::waiting(barrier.wait());
        assert!(early.poll().is_none());
        assert_eq!(index(slow), 0);
        assert_eq!((early.wakes(), barrier.statistics().waiting()), (0, 1));
        assert_eq!(barrier.wait().await.unwrap().index(), 1);
        assert_eq!(early.poll().unwrap().unwrap().index(), 0);
    }

    // C162: who waits is turned away by a reset, and the barrier can be used again. A reset without
    // waiters does nothing.
    async fn a_reset_turns_away_who_waits() {
        let barrier = Barrier::new(3);
        barrier.reset();
        let waiters = [(); 2].map(|()| ByHand::waiting(barrier.wait()));
        barrier.reset();
        assert_eq!((barrier.statistics().waiting(), barrier.is_broken()), (0, false));
        for waiter in waiters {
            assert_eq!(waiter.turn(), Err(BrokenBarrier));
        }
        let waiters = [(); 2].map(|()| ByHand::waiting(barrier.wait()));
        barrier.wait().await.unwrap();
        assert_eq!(waiters.map(index), [0, 1]);
    }

    // C163, C165: those of a complete round pass, also if the barrier is reset before they run, and
    // those who wait for the next are turned away.
    async fn a_reset_lets_those_of_a_complete_round_pass() {
        let barrier = Barrier::new(3);
        let [first, second] = [(); 2].map(|()| ByHand::waiting(barrier.wait()));
        barrier.wait().await.unwrap();
        assert_eq!(index(first), 0);
        let early = ByHand::waiting(barrier.wait());
        barrier.reset();
        assert_eq!(index(second), 1);
        assert_eq!(early.turn(), Err(BrokenBarrier));
        assert_eq!(barrier.statistics().waiting(), 0);
    }

    async fn a_party_that_is_cancelled_can_be_replaced() {
        let barrier = Barrier::new(2);
        assert!(timeout(T, barrier.wait()).await.is_err());
        assert_eq!(barrier.statistics().waiting(), 0);
        let (one, other) = gather((barrier.wait(), barrier.wait())).await;
        assert_ne!(one.unwrap().index(), other.unwrap().index());
    }

    async fn a_wait_does_not_begin_in_a_cancelled_region() {
        let barrier = Barrier::new(2);
        let waits = in_a_cancelled_region(async {
            assert!(poll_once(barrier.wait()).await.is_pending());
            assert_eq!(barrier.statistics().waiting(), 0);
            barrier.wait().await.unwrap();
        });
        assert!(!waits.await);
        assert_eq!(barrier.statistics().waiting(), 0);
    }

    async fn a_party_that_fails_can_tell_the_others() {
        let barrier = Barrier::new(2);
        scope(async |s| {
            s.spawn(async {
                let failing = timeout(T, scope(async |inner| {
                    inner.defer(async { barrier.abort() });
                    sleep(100 * T).await;
                }));
                assert!(failing.await.is_err());
            });
            assert_eq!(barrier.wait().await, Err(BrokenBarrier));
        }).await;
    }
}
