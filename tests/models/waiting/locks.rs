//! Semaphores, mutexes and read-write locks: who is let in has permits.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foster::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore, Statistics};
use proptest::prelude::*;

use super::{Counts, Model, Visitor, check, programs};
use crate::{config, watched};

/// As many permits has a writer.
const ALL: usize = 1_000;

/// Permits, which go to those who wait in the order in which they came.
struct Permits {
    free: usize,
    line: VecDeque<(usize, u8)>,
    inside: BTreeMap<usize, (u8, usize)>,
    /// How many one of this kind has at first, and how many after half of its stay.
    weights: fn(u8) -> (usize, usize),
    /// How many are added by an act.
    adds: fn(u8) -> usize,
}

impl Permits {
    fn new(free: usize, weights: fn(u8) -> (usize, usize)) -> Self {
        Permits { free, line: VecDeque::new(), inside: BTreeMap::new(), weights, adds: |_| 0 }
    }

    fn let_in(&mut self) -> Vec<usize> {
        let mut let_in = Vec::new();
        while let Some(&(user, kind)) = self.line.front() {
            let (count, _) = (self.weights)(kind);
            if count > self.free {
                break;
            }
            self.free -= count;
            self.inside.insert(user, (kind, count));
            self.line.pop_front();
            let_in.push(user);
        }
        let_in
    }
}

impl Model for Permits {
    fn come(&mut self, user: usize, kind: u8) -> Vec<usize> {
        self.line.push_back((user, kind));
        self.let_in()
    }

    fn half(&mut self, user: usize) -> Vec<usize> {
        let (kind, count) = self.inside.get_mut(&user).expect("it is inside");
        let (_, keeps) = (self.weights)(*kind);
        self.free += *count - keeps;
        *count = keeps;
        self.let_in()
    }

    fn leave(&mut self, user: usize) -> Vec<usize> {
        self.line.retain(|(other, _)| *other != user);
        self.free += self.inside.remove(&user).map_or(0, |(_, count)| count);
        self.let_in()
    }

    fn act(&mut self, act: u8) -> Vec<usize> {
        self.free += (self.adds)(act);
        self.let_in()
    }

    /// A writer counts as one.
    fn counts(&self) -> Counts {
        let inside = self.inside.values().map(|(_, count)| if *count == ALL { 1 } else { *count });
        Counts { waiting: self.line.len(), inside: inside.sum() }
    }
}

fn counts(statistics: Statistics) -> Counts {
    Counts { waiting: statistics.waiting(), inside: statistics.in_use() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn those_who_wait_for_permits_have_them_when_they_are_there(program in programs()) {
        watched(move || {
            let semaphore = Arc::new(Semaphore::new(3));
            let visit = async |visitor: &Visitor<'_>| {
                let count = usize::from(visitor.kind() % 4);
                let mut permits = semaphore.clone().acquire_owned(count).await.unwrap();
                visitor.is_let_in();
                visitor.half().await;
                drop(permits.split(count / 2));
                visitor.rest().await;
            };
            let act = async |act: u8| semaphore.add(usize::from(act / 128));
            let mut model = Permits::new(3, |kind| {
                let count = usize::from(kind % 4);
                (count, count - count / 2)
            });
            model.adds = |act| usize::from(act / 128);
            let added: usize = program.acts.iter().map(|(_, act)| usize::from(act / 128)).sum();
            check(program, model, visit, act, || counts(semaphore.statistics()));
            assert_eq!((semaphore.statistics().in_use(), semaphore.available()), (0, 3 + added));
        });
    }

    #[test]
    fn a_mutex_goes_from_one_to_the_next(program in programs()) {
        watched(move || {
            let mutex = Arc::new(Mutex::new([0]));
            let changes = Cell::new(0);
            let visit = async |visitor: &Visitor<'_>| {
                let guard = mutex.lock().await;
                visitor.is_let_in();
                let read = guard[0];
                visitor.half().await;
                let mut part = MutexGuard::map(guard, |values| &mut values[0]);
                *part = read + 1;
                changes.set(changes.get() + 1);
                visitor.rest().await;
            };
            check(program, Permits::new(1, |_| (1, 1)), visit, async |_| {}, || counts(mutex.statistics()));
            assert_eq!((mutex.is_locked(), mutex.try_lock().unwrap()[0]), (false, changes.get()));
        });
    }

    #[test]
    fn a_read_write_lock_goes_to_one_writer_or_to_the_readers_that_come_next(program in programs()) {
        watched(move || {
            let lock = Arc::new(RwLock::new([0]));
            let changes = Cell::new(0);
            // Two of four read, one of them by a part. One writes, and one does so and goes on as a
            // reader.
            let visit = async |visitor: &Visitor<'_>| match visitor.kind() % 4 {
                0 => {
                    let guard = lock.read().await;
                    visitor.is_let_in();
                    let read = guard[0];
                    visitor.half().await;
                    let part = RwLockReadGuard::map(guard, |values| &values[0]);
                    visitor.rest().await;
                    assert_eq!(*part, read);
                }
                1 => {
                    let guard = lock.clone().read_owned().await;
                    visitor.is_let_in();
                    let read = *guard;
                    visitor.stay().await;
                    assert_eq!(*guard, read);
                }
                kind => {
                    let mut guard = lock.write().await;
                    visitor.is_let_in();
                    let read = guard[0];
                    visitor.half().await;
                    guard[0] = read + 1;
                    changes.set(changes.get() + 1);
                    if kind == 2 {
                        let part = RwLockWriteGuard::map(guard, |values| &mut values[0]);
                        visitor.rest().await;
                        assert_eq!(*part, read + 1);
                    } else {
                        let guard = RwLockWriteGuard::downgrade(guard);
                        visitor.rest().await;
                        assert_eq!(guard[0], read + 1);
                    }
                }
            };
            let model = Permits::new(ALL, |kind| match kind % 4 {
                0 | 1 => (1, 1),
                2 => (ALL, ALL),
                _ => (ALL, 1),
            });
            check(program, model, visit, async |_| {}, || counts(lock.statistics()));
            assert_eq!((counts(lock.statistics()), lock.try_write().unwrap()[0]), (Counts::default(), changes.get()));
        });
    }
}
