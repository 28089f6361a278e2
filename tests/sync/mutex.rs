//! The mutex: turns, guards, and what is left after a panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use foster::runtimes::Sim;
use foster::sync::{Mutex, MutexGuard, OwnedMutexGuard};
use foster::testing::{Explore, cancel_at_every_await, explore_all, poll_once};
use foster::{local, scope, timeout, yield_now};
use futures::FutureExt;

use crate::by_hand::{ByHand, finish, in_a_cancelled_region};
use crate::harness::T;

matrix! {
    // C120: whether it is locked; three waiters in order, one wake for each release.
    async fn a_mutex_goes_to_its_waiters_in_order() {
        let mutex = Mutex::new(0);
        assert!(!mutex.is_locked());
        let guard = mutex.lock().await;
        assert!(mutex.is_locked() && mutex.try_lock().is_none());
        let waiters: Vec<_> = (0..3).map(|_| ByHand::waiting(mutex.lock())).collect();
        drop(guard);
        let mut waiters = waiters.into_iter();
        for turn in 0..3 {
            assert!(mutex.is_locked() && mutex.try_lock().is_none(), "it belongs to the next one");
            let mut guard = waiters.next().unwrap().turn();
            assert_eq!(*guard, turn);
            *guard += 1;
            assert!(waiters.as_slice().iter().all(|waiter| waiter.wakes() == 0));
        }
        assert!(!mutex.is_locked());
        assert_eq!(*mutex.try_lock().unwrap(), 3);
    }

    // C122, C335: the mutex is released and given to the first waiter, which is cancelled before it
    // has run. The second waiter has it then, and in the end it is free.
    async fn a_mutex_that_was_given_to_a_cancelled_waiter_goes_to_the_next() {
        let mutex = Mutex::new(());
        let guard = mutex.lock().await;
        let (first, second) = (ByHand::waiting(mutex.lock()), ByHand::waiting(mutex.lock()));
        drop(guard);
        assert_eq!((first.wakes(), second.wakes()), (1, 0));
        drop(first);
        drop(second.turn());
        assert!(!mutex.is_locked());
    }

    // C123: the first of three is cancelled, and there is a release: exactly one has it.
    async fn after_a_cancelled_waiter_one_and_no_more_has_the_mutex() {
        let mutex = Mutex::new(());
        let guard = mutex.lock().await;
        let [first, second, third] = [(); 3].map(|()| ByHand::waiting(mutex.lock()));
        drop(first);
        drop(guard);
        assert_eq!((second.wakes(), third.wakes()), (1, 0));
        drop(second.turn());
        drop(third.turn());
    }

    // C283: what is told of its use, and of its holder where somebody observes; who has it cannot
    // lock it again; a cancelled holder frees it.
    async fn a_cancelled_holder_frees_the_mutex() {
        let mutex = Mutex::new(());
        local::scope(async |s| {
            let holder = s.named("holder").spawn(async {
                let _guard = mutex.lock().await;
                assert!(mutex.try_lock().is_none());
                drop(mutex.lock().await);
                unreachable!("it waits for itself");
            });
            while mutex.statistics().waiting() == 0 {
                yield_now().await;
            }
            let waiter = ByHand::waiting(mutex.lock());
            let statistics = mutex.statistics();
            assert_eq!((statistics.in_use(), statistics.waiting(), statistics.peak_waiting()), (1, 2, 2));
            let is_observed = Sim::try_current().is_some();
            assert_eq!(mutex.holder(), is_observed.then(|| "holder".into()));
            holder.cancel();
            assert!(holder.outcome().await.is_err());
            assert_eq!((mutex.statistics().in_use(), mutex.statistics().waiting()), (1, 0), "the next one has it");
            drop(waiter.turn());
        }).await;
        assert_eq!((mutex.statistics().in_use(), mutex.holder()), (0, None));
        drop(mutex.lock().await);
    }

    // C285: five workers with ten rounds each are never inside together.
    async fn a_mutex_excludes() {
        let mutex = Arc::new(Mutex::new(0));
        let work = async |mutex: Arc<Mutex<usize>>| {
            for _ in 0..10 {
                let mut guard = mutex.lock().await;
                let read = *guard;
                yield_now().await;
                *guard = read + 1;
            }
        };
        scope(async |s| {
            for i in 0..5 {
                let worker = work(mutex.clone());
                if i % 2 == 0 { s.spawn_parallel(worker) } else { s.spawn(worker) };
            }
        }).await;
        assert_eq!(*mutex.lock().await, 50);
    }

    // C287: to lock at once makes others wait.
    async fn who_locks_at_once_makes_others_wait() {
        let mutex = Mutex::new(());
        let guard = mutex.try_lock().unwrap();
        let waiter = ByHand::waiting(mutex.lock());
        drop(guard);
        drop(waiter.turn());
    }

    // C288: a guard that is forgotten keeps the mutex locked, and says so.
    async fn a_forgotten_guard_keeps_the_mutex_locked() {
        let mut mutex = Mutex::new(7);
        std::mem::forget(mutex.lock().await);
        assert!(timeout(T, mutex.lock()).await.is_err());
        assert_eq!((mutex.statistics().in_use(), *mutex.get_mut()), (1, 7));
    }

    async fn a_panic_of_the_holder_leaves_the_value_to_the_next() {
        let mutex = Mutex::new(0);
        let panicked = AssertUnwindSafe(async {
            let mut guard = mutex.lock().await;
            *guard = 1;
            yield_now().await;
            panic!("a holder that panics");
        }).catch_unwind().await;
        assert!(panicked.is_err());
        assert_eq!(*mutex.lock().await, 1);
    }

    async fn a_wait_does_not_begin_in_a_cancelled_region() {
        let mutex = Mutex::new(0);
        let guard = mutex.lock().await;
        in_a_cancelled_region(async {
            assert!(poll_once(mutex.lock()).await.is_pending());
            drop(mutex.lock().await);
            unreachable!("it does not begin to wait");
        }).await;
        assert_eq!(mutex.statistics().peak_waiting(), 0);
        drop(guard);
        in_a_cancelled_region(async { *mutex.lock().await += 1 }).await;
        assert_eq!(*mutex.lock().await, 1);
    }
}

#[test]
fn a_guard_is_narrowed_to_a_part_and_unlocks_when_that_is_dropped() {
    let mutex = Mutex::new((String::from("a"), [1, 2, 3]));
    let mut numbers: MutexGuard<'_, _, [i32; 3]> = MutexGuard::map(mutex.try_lock().unwrap(), |(_, numbers)| numbers);
    numbers[0] = 5;
    let slice: MutexGuard<'_, _, [i32]> = MutexGuard::map(numbers, |numbers| &mut numbers[..2]);
    let whole = MutexGuard::filter_map(slice, |slice| slice.get_mut(7)).unwrap_err();
    assert_eq!(*whole, [5, 2]);
    let mut second = MutexGuard::filter_map(whole, |slice| slice.get_mut(1)).unwrap();
    *second = 6;
    assert!(mutex.is_locked());
    drop(second);
    assert!(!mutex.is_locked());
    assert_eq!(mutex.into_inner().1, [5, 6, 3]);
}

#[test]
fn an_owned_guard_keeps_the_mutex_and_is_narrowed_as_well() {
    let mutex = Arc::new(Mutex::new(vec![1, 2]));
    let guard: OwnedMutexGuard<Vec<i32>> = mutex.clone().try_lock_owned().unwrap();
    let waiter = ByHand::waiting(mutex.clone().lock_owned());
    let weak = Arc::downgrade(&mutex);
    drop(mutex);
    let mut last: OwnedMutexGuard<Vec<i32>, i32> = OwnedMutexGuard::map(guard, |list| list.last_mut().unwrap());
    *last = 7;
    std::thread::spawn(move || drop(last)).join().unwrap();
    let guard = waiter.turn();
    assert_eq!(*guard, [1, 7]);
    assert!(Arc::ptr_eq(OwnedMutexGuard::mutex(&guard), &weak.upgrade().unwrap()));
    let mutex = OwnedMutexGuard::unlock(guard);
    assert!(!mutex.is_locked());
    drop(mutex);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_part_that_panics_unlocks_the_mutex_once() {
    let mutex = Mutex::new(1);
    let guard = mutex.try_lock().unwrap();
    let mapped = catch_unwind(AssertUnwindSafe(|| {
        drop(MutexGuard::map(guard, |_| -> &mut i32 { panic!("there is no such part") }));
    }));
    assert!(mapped.is_err() && !mutex.is_locked());
    assert_eq!(mutex.statistics().in_use(), 0);
    drop(mutex.try_lock().unwrap());
}

#[test]
fn to_unlock_is_done_once_although_a_waker_panics() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics");
        }
    }
    let mutex = Mutex::new(());
    let guard = mutex.try_lock().unwrap();
    let mut first = Box::pin(mutex.lock());
    let waker = Arc::new(Panics).into();
    assert!(first.poll_unpin(&mut std::task::Context::from_waker(&waker)).is_pending());
    let second = ByHand::waiting(mutex.lock());
    assert!(catch_unwind(AssertUnwindSafe(|| MutexGuard::unlock(guard))).is_err());
    assert_eq!(second.wakes(), 0, "the first has it");
    drop(first);
    drop(second.turn());
}

#[test]
fn a_mutex_of_an_unsized_value_is_locked_through_its_pointer() {
    let mutex: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    mutex.clone().try_lock_owned().unwrap()[0] = 9;
    let debug: Box<Mutex<dyn std::fmt::Debug>> = Box::new(Mutex::new(5));
    assert_eq!(format!("{:?} {debug:?}", &*mutex.try_lock().unwrap()), "[9, 2, 3] Mutex { value: 5 }");
    let guard = mutex.try_lock();
    assert_eq!(format!("{mutex:?}"), "Mutex { value: <locked> }");
    drop(guard);
}

#[test]
fn a_value_that_is_not_send_is_locked_on_one_thread() {
    let mutex = Mutex::new(std::rc::Rc::new(Cell::new(1)));
    let mut workers = [(); 2].map(|()| {
        ByHand::new(async {
            let guard = mutex.lock().await;
            yield_now().await;
            guard.set(guard.get() * 2);
        })
    });
    for worker in &mut workers {
        assert!(worker.poll().is_none());
    }
    finish(&mut workers);
    drop(workers);
    assert_eq!(mutex.into_inner().get(), 4);
}

#[test]
fn guards_are_send_and_sync_where_the_value_is() {
    fn send<T: Send>(_: &T) {}
    fn sync<T: Sync>(_: &T) {}
    let mutex = Arc::new(Mutex::new(Cell::new(0)));
    send(&mutex);
    sync(&mutex);
    send(&mutex.lock());
    send(&mutex.clone().lock_owned());
    let guard = mutex.try_lock().unwrap();
    send(&guard);
    drop(guard);
    let owned = mutex.clone().try_lock_owned().unwrap();
    send(&owned);
    let plain = Mutex::new(0);
    sync(&plain.try_lock().unwrap());
}

#[test]
fn dropped_at_any_point_the_mutex_is_free() {
    let mutex = &Mutex::new(0);
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                for _ in 0..3 {
                    s.spawn(async {
                        let mut guard = mutex.lock().await;
                        yield_now().await;
                        *guard += 1;
                        drop(guard);
                        yield_now().await;
                    });
                }
            })
        },
        || assert!(!mutex.is_locked() && mutex.statistics().waiting() == 0),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("mutex")), "{report:?}");
}

#[test]
fn under_every_schedule_nothing_is_lost() {
    let explored = explore_all(|| async {
        let mutex = Arc::new(Mutex::new(0));
        scope(async |s| {
            for _ in 0..3 {
                let mutex = mutex.clone();
                s.spawn_parallel(async move {
                    let mut guard = mutex.lock().await;
                    let read = *guard;
                    yield_now().await;
                    *guard = read + 1;
                });
            }
        })
        .await;
        assert_eq!(*mutex.lock().await, 3);
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

// C283: who locks again what it has waits for itself. A simulation reports that, and says for what.
#[test]
fn the_report_on_a_program_that_waits_for_itself_names_the_mutex() {
    let failure = Explore::new().seeds(0..1).run(|| async {
        let mutex = Mutex::new(());
        let _guard = mutex.lock().await;
        drop(mutex.lock().await);
    });
    let report = failure.unwrap_err().to_string();
    assert!(report.contains("mutex"), "{report}");
}
