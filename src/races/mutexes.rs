//! A value that goes from one thread to another under a mutex.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::{block_on, model, thread};
use crate::engine::atomics::UnsafeCell;
use crate::sync::Mutex;

/// A number of which loom sees each access.
struct Number(UnsafeCell<usize>);

impl Number {
    fn add(&mut self) -> usize {
        // SAFETY: it is borrowed exclusively. That this is true is what these tests are about.
        self.0.with_mut(|number| unsafe {
            *number += 1;
            *number
        })
    }
}

#[test]
fn who_holds_the_guard_is_alone_and_sees_what_others_did() {
    model(|| {
        let mutex = Arc::new(Mutex::new(Number(UnsafeCell::new(0))));
        let work = {
            let mutex = mutex.clone();
            move || block_on(mutex.lock()).add()
        };
        let threads = [thread::spawn(work.clone()), thread::spawn(work.clone())];
        work();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(mutex.try_lock().unwrap().add(), 4);
    });
}

#[test]
fn a_lock_that_is_dropped_while_it_is_answered_is_passed_on() {
    model(|| {
        let mutex = Arc::new(Mutex::new(Number(UnsafeCell::new(0))));
        let mut guard = mutex.clone().try_lock_owned().unwrap();
        let leaving = mutex.clone();
        let leaver = thread::spawn(move || {
            let mut lock = pin!(leaving.lock());
            drop(lock.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        });
        let releaser = thread::spawn(move || {
            guard.add();
            drop(guard);
        });
        assert_eq!(block_on(mutex.lock()).add(), 2);
        leaver.join().unwrap();
        releaser.join().unwrap();
        assert!(!mutex.is_locked());
    });
}

#[test]
fn what_is_tried_without_waiting_is_ordered_as_well() {
    model(|| {
        let mutex = Arc::new(Mutex::new(Number(UnsafeCell::new(0))));
        let other = mutex.clone();
        let thread = thread::spawn(move || other.try_lock_owned().map_or(0, |mut guard| guard.add()));
        if let Some(mut guard) = mutex.try_lock() {
            guard.add();
        }
        thread.join().unwrap();
        assert!(mutex.try_lock().unwrap().add() <= 3);
    });
}
