//! Who holds a lock, by name, while somebody observes. Today that is a simulation.

use foster::runtimes::Sim;
use foster::sync::{Mutex, RwLock, RwLockWriteGuard, Semaphore};
use foster::testing::{Explore, Gate};
use foster::{Name, local, scope, yield_now};

use crate::cancelled::in_a_cancelled_region;

/// The names where they are known, and none elsewhere.
fn known(names: &[&'static str]) -> Vec<Name> {
    let is_observed = Sim::try_current().is_some();
    if is_observed { names.iter().map(|name| Name::from(*name)).collect() } else { Vec::new() }
}

/// Waits until somebody waits at the gate.
async fn reached(gate: &Gate) {
    while gate.waiting() == 0 {
        yield_now().await;
    }
}

matrix! {
    async fn the_holders_of_permits_are_known_by_name_where_somebody_observes() {
        let (slots, gates) = (&Semaphore::new(4), &[Gate::new(), Gate::new()]);
        local::scope(async |s| {
            for (count, (name, gate)) in ["first", "second"].into_iter().zip(gates).enumerate() {
                s.named(name).spawn(async move {
                    let _permit = slots.acquire(count + 1).await.unwrap();
                    gate.wait().await;
                });
                reached(gate).await;
            }
            assert_eq!(slots.holders(), known(&["first", "second"]));
            assert_eq!((slots.available(), slots.statistics().in_use()), (1, 3));
            let third = slots.try_acquire(1).unwrap();
            assert!(slots.try_acquire(1).unwrap_err().is_no_permits());
            assert_eq!(slots.holders().len(), known(&["", "", ""]).len());
            drop(third);
            assert_eq!(slots.holders(), known(&["first", "second"]));
            gates[0].open();
            while slots.available() < 2 {
                yield_now().await;
            }
            assert_eq!(slots.holders(), known(&["second"]));
            gates[1].open();
        })
        .await;
        assert_eq!((slots.holders(), slots.available()), (Vec::new(), 4));
    }

    async fn a_waiter_holds_a_mutex_under_its_name_once_it_has_it() {
        let (mutex, gate) = (&Mutex::new(()), &Gate::new());
        local::scope(async |s| {
            let guard = mutex.lock().await;
            s.named("waiter").spawn(async {
                let _guard = mutex.lock().await;
                gate.wait().await;
            });
            while mutex.statistics().waiting() == 0 {
                yield_now().await;
            }
            assert_ne!(mutex.holder(), Some(Name::from("waiter")));
            drop(guard);
            reached(gate).await;
            assert_eq!(mutex.holder(), known(&["waiter"]).pop());
            gate.open();
        })
        .await;
        assert!(mutex.holder().is_none() && !mutex.is_locked());
    }

    async fn readers_and_writers_are_known_by_name() {
        let (lock, gates) = (&RwLock::new(0), &[Gate::new(), Gate::new(), Gate::new()]);
        local::scope(async |s| {
            s.named("writer").spawn(async {
                let mut writer = lock.write().await;
                gates[0].wait().await;
                *writer += 1;
                let _reader = RwLockWriteGuard::downgrade(writer);
                gates[1].wait().await;
            });
            reached(&gates[0]).await;
            assert_eq!((lock.holders(), lock.statistics().in_use()), (known(&["writer"]), 1));
            gates[0].open();
            reached(&gates[1]).await;
            s.named("reader").spawn(async {
                let _reader = lock.read().await;
                gates[2].wait().await;
            });
            reached(&gates[2]).await;
            assert_eq!((lock.holders(), lock.statistics().in_use()), (known(&["writer", "reader"]), 2));
            gates[1].open();
            while lock.statistics().in_use() > 1 {
                yield_now().await;
            }
            assert_eq!(lock.holders(), known(&["reader"]));
            gates[2].open();
        })
        .await;
        assert_eq!((lock.holders(), lock.statistics().in_use()), (Vec::new(), 0));
    }

    async fn a_parallel_child_holds_under_its_name() {
        let (mutex, gate) = (std::sync::Arc::new(Mutex::new(())), Gate::new());
        scope(async |s| {
            let (theirs, waits) = (mutex.clone(), gate.wait());
            s.named("parallel").spawn_parallel(async move {
                let _guard = theirs.lock().await;
                waits.await;
            });
            reached(&gate).await;
            assert_eq!(mutex.holder(), known(&["parallel"]).pop());
            gate.open();
        })
        .await;
        assert!(mutex.holder().is_none());
    }

    async fn a_permit_that_another_child_drops_is_no_longer_held_by_the_first() {
        let (slots, gate) = (&Semaphore::new(3), &Gate::new());
        local::scope(async |s| {
            let first = s.named("first").spawn(async { slots.acquire(1).await.unwrap() });
            let permit = first.await;
            s.named("second").spawn(async {
                let _other = slots.acquire(1).await.unwrap();
                gate.wait().await;
            });
            reached(gate).await;
            assert_eq!(slots.holders(), known(&["first", "second"]));
            drop(permit);
            assert_eq!(slots.holders(), known(&["second"]));
            let detached = slots.try_acquire(2).unwrap().detach();
            slots.release(detached);
            assert_eq!(slots.holders(), known(&["second"]));
            gate.open();
        })
        .await;
        slots.try_acquire(2).unwrap().forget();
        assert_eq!((slots.holders(), slots.available()), (Vec::new(), 1));
    }

    // While a holder is known, permits are not taken without the lock.
    async fn in_a_cancelled_region_what_is_free_is_taken_beside_a_holder() {
        let (slots, lock) = (Semaphore::new(2), RwLock::new(()));
        let (_permit, _reader) = (slots.acquire(1).await.unwrap(), lock.read().await);
        let takes = in_a_cancelled_region(async {
            drop(slots.acquire(1).await.unwrap());
            drop(lock.read().await);
        });
        assert!(takes.await);
        assert!(!in_a_cancelled_region(async { drop(slots.acquire(2).await) }).await);
        assert_eq!(slots.statistics().waiting(), 0);
    }

    async fn who_was_given_a_permit_and_left_was_no_holder() {
        let slots = &Semaphore::new(1);
        let permit = slots.acquire(1).await.unwrap();
        let mut waits = crate::by_hand::ByHand::waiting(slots.acquire(1));
        drop(permit);
        assert_eq!((slots.holders(), waits.wakes()), (Vec::new(), 1));
        drop(waits.poll());
        assert_eq!((slots.holders(), slots.available()), (Vec::new(), 1));
    }
}

#[test]
fn the_report_on_a_deadlock_says_who_holds_what_is_waited_for() {
    let failure = Explore::new().seeds(0..1).run(|| async {
        let (left, right) = (&Mutex::new(()), &Semaphore::new(1));
        scope(async |s| {
            s.named("leftist").spawn(async {
                let _left = left.lock().await;
                yield_now().await;
                drop(right.acquire(1).await);
            });
            s.named("rightist").spawn(async {
                let _right = right.acquire(1).await;
                yield_now().await;
                drop(left.lock().await);
            });
        })
        .await;
    });
    let report = failure.unwrap_err().to_string();
    assert!(report.contains("mutex, held by `leftist`"), "{report}");
    assert!(report.contains("semaphore, of which 0 are free, held by `rightist`"), "{report}");
}
