//! Every future of the page, dropped and wound down wherever it waits. It leaves nothing behind.
//!
//! The other files of this folder do so to programs in which several wait. Here each form has its
//! turn, the owned ones among them.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::sync::Arc;

use foster::sync::{Barrier, Condition, Event, Mutex, OnceCell, RwLock, Semaphore, oneshot, watch};
use foster::{gather, race, yield_now};

use crate::everywhere::everywhere;

/// Polls `second` while `first` has what it needs, and then lets it have that.
async fn one_after_the_other(first: impl Future, second: impl Future) {
    let first = async {
        let _held = first.await;
        yield_now().await;
    };
    let second = async {
        let _held = second.await;
        yield_now().await;
    };
    gather((first, second)).await;
}

#[test]
fn those_who_wait_for_permits() {
    let semaphore = Arc::new(Semaphore::new(2));
    let left = || (semaphore.statistics().in_use(), semaphore.statistics().waiting(), semaphore.available());
    let borrowed = || one_after_the_other(semaphore.acquire(2), semaphore.acquire(1));
    everywhere("semaphore", borrowed, left, (0, 0, 2));
    let owned = || one_after_the_other(semaphore.clone().acquire_owned(1), semaphore.clone().acquire_owned(2));
    everywhere("semaphore", owned, left, (0, 0, 2));
}

#[test]
fn those_who_wait_for_a_mutex() {
    let mutex = Arc::new(Mutex::new(()));
    let left = || (mutex.statistics().in_use(), mutex.statistics().waiting());
    everywhere("mutex", || one_after_the_other(mutex.lock(), mutex.lock()), left, (0, 0));
    let owned = || one_after_the_other(mutex.clone().lock_owned(), mutex.clone().lock_owned());
    everywhere("mutex", owned, left, (0, 0));
}

#[test]
fn those_who_wait_to_read_or_to_write() {
    let lock = Arc::new(RwLock::new(()));
    let left = || (lock.statistics().in_use(), lock.statistics().waiting());
    everywhere("read-write lock", || one_after_the_other(lock.read(), lock.write()), left, (0, 0));
    everywhere("read-write lock", || one_after_the_other(lock.write(), lock.read()), left, (0, 0));
    let owned = || one_after_the_other(lock.clone().read_owned(), lock.clone().write_owned());
    everywhere("read-write lock", owned, left, (0, 0));
    let owned = || one_after_the_other(lock.clone().write_owned(), lock.clone().read_owned());
    everywhere("read-write lock", owned, left, (0, 0));
}

#[test]
fn those_who_wait_for_an_event() {
    let event = Arc::new(Event::new());
    let sets = || async {
        yield_now().await;
        event.set();
        event.clear();
    };
    let left = || event.statistics().waiting();
    everywhere("event", || gather((event.wait(), sets())), left, 0);
    everywhere("event", || gather((event.clone().wait_owned(), sets())), left, 0);
}

#[test]
fn those_who_wait_for_a_condition() {
    let (condition, mutex) = (Condition::new(), Arc::new(Mutex::new(0)));
    let changes = || async {
        yield_now().await;
        let mut value = mutex.lock().await;
        *value += 1;
        condition.notify_all();
        // Those who are notified wait for the mutex.
        yield_now().await;
    };
    let left = || (condition.statistics().waiting(), mutex.statistics().waiting(), mutex.is_locked());
    let borrowed = || async {
        let waits = async { drop(condition.wait(mutex.lock().await).await) };
        gather((waits, changes())).await;
    };
    let owned = || async {
        let waits = async {
            let guard = mutex.clone().lock_owned().await;
            let before = *guard;
            drop(condition.wait_for(guard, |value| *value > before).await);
        };
        gather((waits, changes())).await;
    };
    for what in ["condition", "mutex"] {
        everywhere(what, borrowed, left, (0, 0, false));
        everywhere(what, owned, left, (0, 0, false));
    }
}

#[test]
fn those_who_wait_for_each_other() {
    let barrier = Barrier::new(3);
    let late = || async {
        yield_now().await;
        barrier.wait().await
    };
    everywhere("barrier", || gather((barrier.wait(), barrier.wait(), late())), || barrier.statistics().waiting(), 0);
}

#[test]
fn those_who_initialise_a_cell_and_those_who_wait_for_it() {
    let current = RefCell::new(Rc::new(OnceCell::new()));
    let left = || {
        let statistics = current.borrow().statistics();
        (statistics.in_use(), statistics.waiting())
    };
    let new = || {
        let cell = Rc::new(OnceCell::new());
        current.replace(cell.clone());
        cell
    };
    let computed = async || {
        yield_now().await;
        7
    };
    let infallible = || {
        let cell = new();
        async move { gather([cell.get_or_init(computed), cell.get_or_init(computed)]).await.len() }
    };
    everywhere("once cell", infallible, left, (0, 0));
    let fallible = || {
        let cell = new();
        async move {
            let fails = cell.get_or_try_init(async || {
                yield_now().await;
                Err(())
            });
            // Whoever begins first: the second one has a value in the end.
            assert_eq!(gather((fails, cell.get_or_init(computed))).await.1, &7);
        }
    };
    everywhere("once cell", fallible, left, (0, 0));
}

#[test]
fn both_sides_of_a_oneshot() {
    let receives = || async {
        let (sender, receiver) = oneshot::channel();
        let sends = async {
            yield_now().await;
            sender.send(7)
        };
        assert_eq!(gather((receiver, sends)).await, (Ok(7), Ok(())));
    };
    everywhere("the value of a oneshot", receives, || (), ());
    let closes = || async {
        let (mut sender, receiver) = oneshot::channel::<u32>();
        let closes = async {
            yield_now().await;
            drop(receiver);
        };
        gather((sender.closed(), closes)).await;
    };
    everywhere("the receiver of a oneshot to be dropped", closes, || (), ());
}

#[test]
fn those_who_wait_for_a_value_of_a_watch() {
    let (sender, receiver) = watch::channel(0);
    let left = || (sender.statistics().waiting(), sender.statistics().in_use());
    let sends = || async {
        for value in 1..=3 {
            yield_now().await;
            sender.send(value);
        }
    };
    let changed = || async {
        let mut receiver = receiver.clone();
        race((async { while receiver.changed().await.is_ok() {} }, async {
            sends().await;
            yield_now().await;
        }))
        .await;
    };
    everywhere("a new value of a watch", changed, left, (0, 1));
    let wanted = || async {
        let mut receiver = receiver.clone();
        sender.send(0);
        gather((async { assert!(receiver.wait_for(|value| *value == 3).await.is_ok()) }, sends())).await;
    };
    everywhere("a new value of a watch", wanted, left, (0, 1));
    let never = || async {
        let mut receiver = receiver.clone();
        race((async { drop(receiver.wait_for(|value| *value > 3).await) }, yield_now(), pending())).await;
    };
    everywhere("a new value of a watch", never, left, (0, 1));
}
