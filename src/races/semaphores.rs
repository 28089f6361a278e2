//! Permits that go from one thread to another, with and without the lock.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::{block_on, model, thread};
use crate::engine::atomics::UnsafeCell;
use crate::sync::Semaphore;

/// A number that is changed without any synchronisation of its own.
struct Guarded(UnsafeCell<usize>);

// SAFETY: what these tests are about: the semaphore orders the accesses.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Guarded(UnsafeCell::new(0)))
    }

    fn add(&self) -> usize {
        // SAFETY: as for `Sync`.
        self.0.with_mut(|number| unsafe {
            *number += 1;
            *number
        })
    }
}

#[test]
fn who_has_the_only_permit_is_alone() {
    model(|| {
        let (semaphore, guarded) = (Arc::new(Semaphore::new(1)), Guarded::new());
        let work = {
            let (semaphore, guarded) = (semaphore.clone(), guarded.clone());
            move || {
                let _permit = block_on(semaphore.acquire(1)).unwrap();
                guarded.add();
            }
        };
        let threads = [thread::spawn(work.clone()), thread::spawn(work.clone())];
        work();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!((guarded.add(), semaphore.available()), (4, 1));
        assert_eq!(semaphore.statistics().waiting(), 0);
    });
}

#[test]
fn a_permit_that_is_tried_for_is_not_lost() {
    model(|| {
        let (semaphore, guarded) = (Arc::new(Semaphore::new(1)), Guarded::new());
        let (other, theirs) = (semaphore.clone(), guarded.clone());
        let thread = thread::spawn(move || {
            if let Ok(_permit) = other.try_acquire(1) {
                theirs.add();
            }
        });
        let permit = block_on(semaphore.acquire(1)).unwrap();
        guarded.add();
        drop(permit);
        thread.join().unwrap();
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.try_acquire(1).is_ok());
    });
}

#[test]
fn a_waiter_that_leaves_while_it_is_answered_passes_its_permit_on() {
    model(|| {
        let (semaphore, guarded) = (Arc::new(Semaphore::new(1)), Guarded::new());
        let permit = semaphore.clone().try_acquire_owned(1).unwrap();
        let leaving = semaphore.clone();
        let leaver = thread::spawn(move || {
            let mut acquire = pin!(leaving.acquire(1));
            drop(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        });
        let theirs = guarded.clone();
        let releaser = thread::spawn(move || {
            theirs.add();
            drop(permit);
        });
        let permit = block_on(semaphore.acquire(1)).unwrap();
        assert_eq!(guarded.add(), 2, "what the last holder did is seen, whichever way the permit took");
        drop(permit);
        leaver.join().unwrap();
        releaser.join().unwrap();
        assert_eq!((semaphore.available(), semaphore.statistics().waiting()), (1, 0));
        assert!(semaphore.try_acquire(1).is_ok(), "nothing keeps it shut");
    });
}

#[test]
fn a_large_waiter_gets_what_others_give_back_one_by_one() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let permits = [(); 2].map(|()| semaphore.clone().try_acquire_owned(1).unwrap());
        let threads = permits.map(|permit| thread::spawn(move || drop(permit)));
        assert_eq!(block_on(semaphore.acquire(2)).unwrap().count(), 2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(semaphore.available(), 2);
    });
}

#[test]
fn an_answer_is_not_lost_while_another_waker_is_left() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.clone().try_acquire_owned(1).unwrap();
        let releaser = thread::spawn(move || drop(permit));
        let mut acquire = Box::pin(semaphore.acquire(1));
        if acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            drop(block_on(acquire.as_mut()).unwrap());
        }
        releaser.join().unwrap();
    });
}

#[test]
fn the_number_of_permits_changes_while_they_are_used() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let other = semaphore.clone();
        let user = thread::spawn(move || drop(other.try_acquire(2)));
        let other = semaphore.clone();
        let sizer = thread::spawn(move || {
            other.resize(1);
            other.add(2);
        });
        drop(block_on(semaphore.acquire(1)).unwrap());
        user.join().unwrap();
        sizer.join().unwrap();
        assert_eq!((semaphore.available(), semaphore.statistics().in_use()), (3, 0));
    });
}

#[test]
fn a_semaphore_that_is_closed_leaves_nobody_waiting() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(1));
        let permit = semaphore.clone().try_acquire_owned(1).unwrap();
        let other = semaphore.clone();
        let closer = thread::spawn(move || other.close());
        let releaser = thread::spawn(move || drop(permit));
        if let Err(error) = block_on(semaphore.acquire(1)).map(drop) {
            assert!(error.is_closed());
        }
        closer.join().unwrap();
        releaser.join().unwrap();
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.try_acquire(1).unwrap_err().is_closed());
    });
}
