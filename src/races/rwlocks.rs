//! A value that goes from writers to readers, from thread to thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::{block_on, model, thread};
use crate::engine::atomics::UnsafeCell;
use crate::sync::{RwLock, RwLockWriteGuard};

/// A number of which loom sees each access.
struct Number(UnsafeCell<usize>);

// SAFETY: who shares it only reads it, which `get` does.
unsafe impl Sync for Number {}

impl Number {
    fn new() -> Arc<RwLock<Self>> {
        Arc::new(RwLock::new(Number(UnsafeCell::new(0))))
    }

    fn add(&mut self) {
        // SAFETY: it is borrowed exclusively. That this is true is what these tests are about.
        self.0.with_mut(|number| unsafe { *number += 1 });
    }

    fn get(&self) -> usize {
        // SAFETY: it is shared, so nobody changes it. That this is true is what these tests are
        // about.
        self.0.with(|number| unsafe { *number })
    }
}

#[test]
fn a_reader_sees_what_writers_did_before_it_and_nobody_changes_it_meanwhile() {
    model(|| {
        let lock = Number::new();
        let (writing, reading) = (lock.clone(), lock.clone());
        let writer = thread::spawn(move || block_on(writing.write()).add());
        let reader = thread::spawn(move || assert!(block_on(reading.read()).get() <= 2));
        block_on(lock.write()).add();
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(block_on(lock.read()).get(), 2);
    });
}

#[test]
fn a_writer_that_goes_on_as_a_reader_is_seen_by_readers_and_leaves_to_a_writer() {
    model(|| {
        let lock = Number::new();
        let (writing, reading) = (lock.clone(), lock.clone());
        let mut guard = lock.try_write().unwrap();
        let reader = thread::spawn(move || assert!(block_on(reading.read()).get() >= 1));
        let writer = thread::spawn(move || block_on(writing.write()).add());
        guard.add();
        let guard = RwLockWriteGuard::downgrade(guard);
        assert_eq!(guard.get(), 1);
        drop(guard);
        reader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(lock.try_read().unwrap().get(), 2);
    });
}

#[test]
fn readers_behind_a_writer_that_leaves_are_not_forgotten() {
    model(|| {
        let lock = Number::new();
        let (leaving, reading) = (lock.clone(), lock.clone());
        let guard = lock.clone().try_read_owned().unwrap();
        let leaver = thread::spawn(move || {
            let mut write = pin!(leaving.write());
            drop(write.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        });
        let reader = thread::spawn(move || block_on(reading.read()).get());
        leaver.join().unwrap();
        assert_eq!(reader.join().unwrap(), 0);
        drop(guard);
        assert_eq!(lock.statistics().in_use(), 0);
    });
}
