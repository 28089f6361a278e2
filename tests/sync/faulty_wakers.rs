//! Locks and signals of which one waiter has a waker that panics.

use std::cell::RefCell;

use foster::sync::{Condition, Event, Mutex, RwLock, Semaphore, watch};

use crate::faulty::{Waited, check};

#[test]
fn a_semaphore_survives_wakers_that_panic() {
    check(|trial| {
        let slots = Semaphore::new(1);
        let held = slots.try_acquire(1).unwrap();
        trial(Waited {
            wait: &|| Box::pin(async { slots.acquire(1).await.unwrap().forget() }),
            go: &|| slots.add(1),
            waiting: &|| slots.statistics().waiting(),
        });
        drop(held);
        assert!(slots.try_acquire(1).is_ok());
    });
}

#[test]
fn a_mutex_survives_wakers_that_panic() {
    check(|trial| {
        let mutex = Mutex::new(0);
        let held = RefCell::new(mutex.try_lock());
        trial(Waited {
            wait: &|| Box::pin(async { *mutex.lock().await += 1 }),
            go: &|| drop(held.take()),
            waiting: &|| mutex.statistics().waiting(),
        });
        assert!(*mutex.try_lock().expect("nobody has it") >= 2);
    });
}

#[test]
fn a_read_write_lock_survives_wakers_that_panic() {
    check(|trial| {
        let lock = RwLock::new(0);
        let held = RefCell::new(lock.try_write());
        trial(Waited {
            wait: &|| Box::pin(async { drop(lock.read().await) }),
            go: &|| drop(held.take()),
            waiting: &|| lock.statistics().waiting(),
        });
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn an_event_survives_wakers_that_panic() {
    check(|trial| {
        let event = Event::new();
        trial(Waited {
            wait: &|| Box::pin(event.wait()),
            go: &|| event.set(),
            waiting: &|| event.statistics().waiting(),
        });
        assert!(event.is_set());
    });
}

#[test]
fn a_condition_survives_wakers_that_panic() {
    check(|trial| {
        let (mutex, condition) = (Mutex::new(()), Condition::new());
        trial(Waited {
            wait: &|| {
                Box::pin(async {
                    let guard = mutex.lock().await;
                    drop(condition.wait(guard).await);
                })
            },
            go: &|| condition.notify(1),
            waiting: &|| condition.statistics().waiting() + mutex.statistics().waiting(),
        });
        assert!(!mutex.is_locked());
    });
}

#[test]
fn a_watch_survives_wakers_that_panic() {
    check(|trial| {
        let (sender, receiver) = watch::channel(0);
        trial(Waited {
            wait: &|| {
                let mut receiver = receiver.clone();
                Box::pin(async move { drop(receiver.changed().await) })
            },
            go: &|| sender.send(1),
            waiting: &|| sender.statistics().waiting(),
        });
        assert_eq!(*receiver.get(), 1);
    });
}
