//! The condition.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;

use foster::sync::{Condition, Mutex, MutexGuard, OwnedMutexGuard};
use foster::testing::{cancel_at_every_await, explore_all, poll_once};
use foster::{local, queue, scope, sleep, timeout, yield_now};
use futures::FutureExt;

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;
use crate::meddling::{meddling, panicking};

/// A future that holds the mutex no longer, and waits for a notification.
fn waiting<'a, T>(condition: &'a Condition, mutex: &'a Mutex<T>) -> ByHand<'a, MutexGuard<'a, T>> {
    let guard = mutex.try_lock().expect("nobody has it");
    let waiter = ByHand::waiting(condition.wait(guard));
    assert!(!mutex.is_locked());
    waiter
}

fn woken<T>(waiters: &[ByHand<'_, T>]) -> Vec<usize> {
    waiters.iter().map(ByHand::wakes).collect()
}

#[test]
fn a_notified_waiter_that_leaves_passes_the_notification_on() {
    // cpython#112202, anyio#1075: the notification was gone with the waiter that was cancelled.
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let [first, second, third] = [(); 3].map(|()| waiting(&condition, &mutex));
    condition.notify(1);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!((second.wakes(), third.wakes(), condition.statistics().waiting()), (1, 0, 1));
    drop(second.turn());
    assert_eq!(third.wakes(), 0);
}

#[test]
fn a_notified_waiter_that_leaves_while_it_locks_passes_the_notification_on() {
    // C135, C142
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let [mut first, second, third] = [(); 3].map(|()| waiting(&condition, &mutex));
    let guard = mutex.try_lock().unwrap();
    condition.notify(1);
    assert!(first.poll().is_none(), "the mutex is locked");
    assert_eq!((mutex.statistics().waiting(), second.wakes()), (1, 0));
    drop(first);
    assert_eq!((mutex.statistics().waiting(), second.wakes(), third.wakes()), (0, 1, 0));
    drop(guard);
    assert!(!mutex.is_locked());
    drop(second.turn());
    assert!(!mutex.is_locked());
}

#[test]
fn a_waiter_that_has_got_the_mutex_and_leaves_gives_back_both() {
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let [mut first, second] = [(); 2].map(|()| waiting(&condition, &mutex));
    let guard = mutex.try_lock().unwrap();
    condition.notify(1);
    assert!(first.poll().is_none());
    drop(guard);
    assert_eq!(first.wakes(), 2, "once by the condition, and once by the mutex");
    assert!(mutex.is_locked());
    drop(first);
    assert!(!mutex.is_locked());
    drop(second.turn());
}

#[test]
fn a_waiter_that_was_notified_with_all_others_leaves_nothing_to_later_ones() {
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let [first, mut second] = [(); 2].map(|()| waiting(&condition, &mutex));
    condition.notify_all();
    let late = waiting(&condition, &mutex);
    drop(first);
    let guard = mutex.try_lock().unwrap();
    assert!(second.poll().is_none());
    drop((second, guard));
    assert_eq!((late.wakes(), condition.statistics().waiting()), (0, 1));
}

#[test]
fn a_notification_is_passed_on_once() {
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let [first, second] = [(); 2].map(|()| waiting(&condition, &mutex));
    condition.notify(1);
    drop(first.turn());
    assert_eq!(second.wakes(), 0, "the first has heard it");
    drop(second);
    condition.notify(3);
    assert_eq!(condition.statistics().waiting(), 0);
    assert_eq!(waiting(&condition, &mutex).wakes(), 0, "a notification is not kept");
}

#[test]
fn two_conditions_have_one_mutex() {
    let (one, other, mutex) = (Condition::new(), Condition::new(), Mutex::new(()));
    let (of_one, of_other) = (waiting(&one, &mutex), waiting(&other, &mutex));
    one.notify_all();
    assert_eq!((of_one.wakes(), of_other.wakes()), (1, 0));
    drop(of_one.turn());
    other.notify(1);
    drop(of_other.turn());
}

#[test]
fn a_wait_that_is_not_polled_holds_the_mutex_and_unlocks_it_when_it_is_dropped() {
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let wait = condition.wait(mutex.try_lock().unwrap());
    assert!(mutex.is_locked());
    condition.notify_all();
    drop(wait);
    assert!(!mutex.is_locked());
}

#[test]
fn who_waits_for_the_mutex_has_it_when_the_wait_begins() {
    let (condition, mutex) = (Condition::new(), Mutex::new(0));
    let mut guard = mutex.try_lock().unwrap();
    *guard = 1;
    let next = ByHand::waiting(mutex.lock());
    let waiter = ByHand::waiting(condition.wait(guard));
    let mut guard = next.turn();
    *guard += 1;
    condition.notify(1);
    drop(guard);
    assert_eq!(*waiter.turn(), 2);
}

#[test]
fn the_owned_guard_is_given_back_as_such() {
    let (condition, mutex) = (Condition::new(), Arc::new(Mutex::new(7)));
    let waiter = ByHand::waiting(condition.wait(mutex.clone().try_lock_owned().unwrap()));
    assert!(!mutex.is_locked());
    condition.notify(1);
    let guard: OwnedMutexGuard<i32> = waiter.turn();
    drop(mutex);
    assert_eq!(*guard, 7);
}

#[test]
fn a_predicate_that_accepts_at_once_releases_nothing() {
    let (condition, mutex) = (Condition::new(), Mutex::new(7));
    let next = {
        let guard = mutex.try_lock().unwrap();
        let next = ByHand::waiting(mutex.lock());
        let guard = ByHand::new(condition.wait_for(guard, |value| *value == 7)).poll().unwrap();
        assert_eq!((next.wakes(), *guard), (0, 7));
        next
    };
    drop(next.turn());
}

#[test]
fn a_predicate_that_refuses_waits_for_the_next_notification() {
    let (condition, mutex) = (Condition::new(), Mutex::new(0));
    let mut waiter = ByHand::waiting(condition.wait_for(mutex.try_lock().unwrap(), |value| *value == 2));
    for value in [1, 2] {
        *mutex.try_lock().unwrap() = value;
        condition.notify(1);
        let polled = waiter.poll();
        assert_eq!(polled.is_some(), value == 2);
        assert_eq!(mutex.is_locked(), value == 2);
    }
    assert_eq!(condition.statistics().waiting(), 0);
}

#[test]
fn a_predicate_may_change_the_value_and_one_that_panics_unlocks_the_mutex() {
    let (condition, mutex) = (Condition::new(), Mutex::new(vec![1]));
    let mut taken = None;
    let guard = condition.wait_for(mutex.try_lock().unwrap(), |items| {
        taken = items.pop();
        taken.is_some()
    });
    drop(guard.now_or_never().unwrap());
    assert_eq!(taken, Some(1));
    let wait = condition.wait_for(mutex.try_lock().unwrap(), |_| panic!("no"));
    assert!(catch_unwind(AssertUnwindSafe(|| wait.now_or_never().map(drop))).is_err());
    assert!(!mutex.is_locked());
}

#[test]
fn a_predicate_that_panics_passes_the_notification_on() {
    let (condition, mutex) = (Condition::new(), Mutex::new(0));
    let mut first = ByHand::waiting(condition.wait_for(mutex.try_lock().unwrap(), |value| {
        assert_eq!(*value, 0, "the predicate panics");
        false
    }));
    let second = waiting(&condition, &mutex);
    *mutex.try_lock().unwrap() = 1;
    condition.notify(1);
    assert_eq!(second.wakes(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| first.poll())).is_err());
    assert_eq!(*second.turn(), 1);
}

#[test]
fn a_notification_that_a_predicate_has_looked_at_is_heard_whether_or_not_it_accepts() {
    for accepts in [true, false] {
        let (condition, mutex) = (Condition::new(), Mutex::new(false));
        let mut first = ByHand::waiting(condition.wait_for(mutex.try_lock().unwrap(), |value| *value));
        let second = waiting(&condition, &mutex);
        *mutex.try_lock().unwrap() = accepts;
        condition.notify(1);
        assert_eq!(first.poll().is_some(), accepts);
        assert_eq!(second.wakes(), 0, "accepts: {accepts}");
    }
}

#[test]
fn a_future_that_has_completed_panics_when_it_is_polled() {
    let (condition, mutex) = (Condition::new(), Mutex::new(()));
    let mut wait = Box::pin(condition.wait_for(mutex.try_lock().unwrap(), |()| true));
    drop(wait.as_mut().now_or_never().unwrap());
    assert!(catch_unwind(AssertUnwindSafe(|| wait.as_mut().now_or_never().map(drop))).is_err());
    let mut wait = Box::pin(condition.wait(mutex.try_lock().unwrap()));
    assert!(wait.as_mut().now_or_never().is_none());
    condition.notify(1);
    drop(wait.as_mut().now_or_never().unwrap());
    assert!(catch_unwind(AssertUnwindSafe(|| wait.as_mut().now_or_never().map(drop))).is_err());
}

#[test]
fn wakers_run_without_the_lock_and_one_that_panics_keeps_nobody_from_waking() {
    crate::harness::watched(|| {
        let (condition, mutex) = (Arc::new(Condition::new()), Mutex::new(()));
        let looks = condition.clone();
        let meddling = meddling(move || {
            looks.statistics().waiting();
            looks.notify(1);
        });
        let mut waits = Vec::new();
        for waker in [&panicking(), &meddling] {
            let mut wait = Box::pin(condition.wait(mutex.try_lock().unwrap()));
            assert!(wait.as_mut().poll_unpin(&mut Context::from_waker(waker)).is_pending());
            waits.push(wait);
        }
        let behind = waiting(&condition, &mutex);
        assert!(catch_unwind(AssertUnwindSafe(|| condition.notify(2))).is_err());
        drop(behind.turn());
        drop((waits, meddling));
        assert!(!mutex.is_locked());
    });
}

#[test]
fn conditions_and_their_futures_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    let (condition, mutex) = (Condition::new(), Arc::new(Mutex::new(0)));
    check(&condition);
    check(&condition.wait(mutex.try_lock().unwrap()));
    check(&condition.wait(mutex.clone().try_lock_owned().unwrap()));
    check(&condition.wait_for(mutex.try_lock().unwrap(), |_| true));
}

#[test]
fn debug_tells_how_many_wait() {
    let (condition, mutex) = (Condition::default(), Mutex::new(()));
    let _waiter = waiting(&condition, &mutex);
    assert_eq!(format!("{condition:?}"), "Condition { waiting: 1 }");
    assert_eq!(format!("{:?}", condition.wait(mutex.try_lock().unwrap())), "ConditionWait { .. }");
    assert_eq!(format!("{:?}", condition.wait_for(mutex.try_lock().unwrap(), |()| true)), "ConditionWaitFor { .. }");
}

/// A buffer of one place, with producers and consumers.
struct Place {
    item: Mutex<Option<u32>>,
    is_full: Condition,
    is_free: Condition,
}

impl Place {
    fn new() -> Self {
        Place { item: Mutex::new(None), is_full: Condition::new(), is_free: Condition::new() }
    }

    async fn put(&self, item: u32) {
        let mut place = self.is_free.wait_for(self.item.lock().await, |place| place.is_none()).await;
        *place = Some(item);
        self.is_full.notify(1);
    }

    async fn take(&self) -> u32 {
        let mut place = self.is_full.wait_for(self.item.lock().await, |place| place.is_some()).await;
        self.is_free.notify(1);
        place.take().expect("it is full")
    }
}

#[test]
fn dropped_at_any_point_the_mutex_is_free_and_nobody_waits() {
    let place = &Place::new();
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                place.item.lock().await.take();
                for item in 0..2 {
                    s.spawn(async move {
                        yield_now().await;
                        place.put(item).await;
                    });
                    s.spawn(async { assert!(place.take().await < 2) });
                }
            })
        },
        || {
            assert!(!place.item.is_locked());
            assert_eq!((place.is_full.statistics().waiting(), place.is_free.statistics().waiting()), (0, 0));
        },
    );
    assert!(report.suspensions().iter().any(|what| what.contains("condition")), "{report:?}");
}

#[test]
fn under_every_schedule_each_item_is_taken_once() {
    let explored = explore_all(|| async {
        let place = Arc::new(Place::new());
        scope(async |s| {
            for item in [1, 2] {
                let place = place.clone();
                s.spawn_parallel(async move { place.put(item).await });
            }
            let takers = [(); 2].map(|()| {
                let place = place.clone();
                s.spawn_parallel(async move { place.take().await })
            });
            let [one, other] = takers;
            assert_eq!(one.await + other.await, 3);
        })
        .await;
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

#[test]
fn under_every_schedule_a_taker_that_is_cancelled_takes_no_notification_with_it() {
    let explored = explore_all(|| async {
        let place = Arc::new(Place::new());
        scope(async |s| {
            let takers = [(); 2].map(|()| {
                let place = place.clone();
                s.spawn_parallel(async move { place.take().await })
            });
            let other = place.clone();
            s.spawn_parallel(async move { other.put(7).await });
            yield_now().await;
            let [one, other] = takers;
            one.cancel();
            // If the first has not taken the item, the second must.
            match one.outcome().await {
                Ok(item) => {
                    assert_eq!(item, 7);
                    other.cancel();
                }
                Err(_) => assert_eq!(other.await, 7),
            }
        })
        .await;
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

matrix! {
    // It released the mutex, and yielded before it was in the line. So nobody was notified.
    async fn a_wait_with_which_the_steps_of_a_poll_are_used_up_is_in_the_line_when_the_mutex_is_free() {
        let (mutex, changed) = (Mutex::new(false), Condition::new());
        let (steps, many) = queue::unbounded();
        (0..1_000).for_each(|_| steps.try_send(()).unwrap());
        // It is not known here how many steps there are, so one of these has none left.
        for taken in 100..200 {
            *mutex.lock().await = false;
            scope(async |s| {
                s.spawn(async {
                    let guard = mutex.lock().await;
                    for _ in 0..taken {
                        drop(many.recv().now_or_never());
                    }
                    drop(changed.wait_for(guard, |is_changed| *is_changed).await);
                });
                s.spawn(async {
                    *mutex.lock().await = true;
                    changed.notify_all();
                });
            })
            .await;
        }
    }

    // C132: so many are notified wake, in their order, and have the mutex when they go on.
    async fn as_many_wake_as_are_notified_and_they_have_the_mutex() {
        let (condition, mutex) = (Condition::new(), Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..4).map(|_| waiting(&condition, &mutex)).collect();
        condition.notify(1);
        assert_eq!(woken(&waiters), [1, 0, 0, 0]);
        condition.notify(2);
        assert_eq!(woken(&waiters), [1, 1, 1, 0]);
        for (name, waiter) in waiters.into_iter().take(3).enumerate() {
            let mut guard = waiter.turn();
            assert!(mutex.is_locked());
            guard.push(name);
        }
        assert_eq!(*mutex.lock().await, [0, 1, 2]);
        assert_eq!(condition.statistics().waiting(), 0);
    }

    // C133: a waiter that is cancelled leaves the line. It does not have the mutex afterwards, as
    // it would in Python: nobody can wait for it in a drop.
    async fn a_cancelled_waiter_leaves_the_line_without_the_mutex() {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        scope(async |s| {
            let waiter = s.spawn(async { drop(condition.wait(mutex.lock().await).await) });
            while condition.statistics().waiting() == 0 {
                sleep(T).await;
            }
            waiter.cancel();
            assert!(waiter.outcome().await.is_err());
            assert_eq!((condition.statistics().waiting(), mutex.is_locked()), (0, false));
        }).await;
    }

    // C135, C142: a waiter that was notified is cancelled while it locks the mutex again. It is
    // cancelled, the mutex is free afterwards, and the next one has the notification.
    async fn a_waiter_that_is_cancelled_while_it_locks_hands_everything_on() {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        let waits = async || drop(condition.wait(mutex.lock().await).await);
        scope(async |s| {
            let first = s.spawn(waits());
            while condition.statistics().waiting() < 1 {
                sleep(T).await;
            }
            let second = s.spawn(waits());
            while condition.statistics().waiting() < 2 {
                sleep(T).await;
            }
            let guard = mutex.lock().await;
            condition.notify(1);
            while mutex.statistics().waiting() == 0 {
                sleep(T).await;
            }
            assert_eq!(condition.statistics().waiting(), 1, "the first has been notified");
            first.cancel();
            assert!(first.outcome().await.is_err());
            assert_eq!(condition.statistics().waiting(), 0, "the second has been notified");
            assert!(mutex.is_locked());
            drop(guard);
            second.await;
        }).await;
        assert_eq!((condition.statistics().waiting(), mutex.is_locked()), (0, false));
    }

    // C137: exact numbers are woken, and with `notify_all` all are.
    async fn exactly_so_many_are_woken() {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        let mut waiters: Vec<_> = (0..5).map(|_| waiting(&condition, &mutex)).collect();
        condition.notify(0);
        assert_eq!(woken(&waiters), [0; 5]);
        condition.notify(2);
        assert_eq!(woken(&waiters), [1, 1, 0, 0, 0]);
        condition.notify_all();
        assert_eq!(woken(&waiters), [1; 5]);
        condition.notify_all();
        condition.notify(9);
        assert_eq!(woken(&waiters), [1; 5]);
        for waiter in waiters.drain(..) {
            drop(waiter.turn());
        }
        assert!(!mutex.is_locked());
    }

    // C138: to notify needs no guard. It has no effect where nobody waits. That nobody waits
    // without the guard is a matter of types: the doc tests of `Condition` show that it does not
    // compile.
    async fn who_notifies_need_not_have_the_mutex() {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        condition.notify(1);
        condition.notify_all();
        let [first, second] = [(); 2].map(|()| waiting(&condition, &mutex));
        assert!(!mutex.is_locked());
        condition.notify(1);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        condition.notify_all();
        drop(first.turn());
        drop(second.turn());
    }

    // C140: a wait in a section with the mutex held runs into its timeout. Nothing is locked
    // afterwards, and the section can lock again.
    async fn a_wait_that_timed_out_leaves_no_deadlock() {
        let (condition, mutex) = (Condition::new(), Mutex::new(0));
        let mut guard = mutex.lock().await;
        *guard = 1;
        assert!(timeout(T, condition.wait(guard)).await.is_err());
        assert_eq!(condition.statistics().waiting(), 0);
        let mut guard = timeout(T, mutex.lock()).await.unwrap();
        *guard += 1;
        assert!(timeout(T, condition.wait_for(guard, |value| *value == 3)).await.is_err());
        assert_eq!(*mutex.lock().await, 2);
    }

    async fn a_wait_in_a_cancelled_region_gives_up_the_mutex_and_does_not_begin() {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        let waits = in_a_cancelled_region(async {
            let mut wait = condition.wait(mutex.lock().await);
            assert!(poll_once(&mut wait).await.is_pending());
            assert_eq!((condition.statistics().waiting(), mutex.is_locked()), (0, false));
            drop(wait.await);
        });
        assert!(!waits.await);
    }

    // It joined no line there, and kept its notification from the others.
    async fn a_wait_that_had_begun_locks_the_mutex_in_a_cancelled_region() {
        let (condition, mutex) = (Condition::new(), Mutex::new(()));
        let mut waiter = waiting(&condition, &mutex);
        let guard = mutex.lock().await;
        condition.notify(1);
        let goes_on = in_a_cancelled_region(async {
            assert!(waiter.poll().is_none());
            assert_eq!(mutex.statistics().waiting(), 1);
            drop(guard);
            assert!(waiter.poll().is_some());
        });
        assert!(goes_on.await);
    }

    // It joined the line no more once its predicate had refused a value there.
    async fn a_wait_that_had_begun_looks_at_each_value_in_a_cancelled_region() {
        let (condition, mutex) = (Condition::new(), Mutex::new(0));
        let mut waiter = ByHand::waiting(condition.wait_for(mutex.lock().await, |value| *value == 2));
        let goes_on = in_a_cancelled_region(async {
            *mutex.lock().await = 1;
            condition.notify_all();
            assert!(waiter.poll().is_none());
            *mutex.lock().await = 2;
            condition.notify_all();
            assert_eq!(waiter.wakes(), 2);
            assert!(waiter.poll().is_some());
        });
        assert!(goes_on.await);
    }

    async fn a_finalizer_waits_for_a_condition() {
        let (condition, mutex) = (Condition::new(), Mutex::new(false));
        scope(async |s| {
            s.spawn(async {
                let inner = timeout(T, scope(async |inner| {
                    inner.defer(async {
                        let done = condition.wait_for(mutex.lock().await, |is_done| *is_done).await;
                        assert!(*done);
                    });
                    std::future::pending::<()>().await
                }));
                assert!(inner.await.is_err());
            });
            while condition.statistics().waiting() == 0 {
                sleep(T).await;
            }
            *mutex.lock().await = true;
            condition.notify_all();
        }).await;
        assert!(!mutex.is_locked());
    }

    async fn threads_hand_items_over_through_a_place() {
        let place = Arc::new(Place::new());
        let sum = scope(async |s| {
            for worker in 0..4 {
                let place = place.clone();
                s.spawn_parallel(async move {
                    for item in 0..10 {
                        place.put(worker * 10 + item).await;
                    }
                });
            }
            let takers = [(); 2].map(|()| {
                let place = place.clone();
                s.spawn_parallel(async move {
                    let mut sum = 0;
                    for _ in 0..20 {
                        sum += place.take().await;
                    }
                    sum
                })
            });
            let [one, other] = takers;
            one.await + other.await
        });
        assert_eq!(sum.await, (0..40).sum());
    }
}
