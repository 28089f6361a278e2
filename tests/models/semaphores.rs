//! Semaphores: who has which permits, after any operations in any order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use foster::sync::{AcquireOwned, OwnedPermit, Semaphore};
use foster::testing::CountingWaker;
use proptest::prelude::*;

use crate::{config, watched};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Acquire(usize),
    Try(usize),
    /// Polls one of the futures, with the waker that it has or with another one.
    Poll(usize, bool),
    Cancel(usize),
    Release(usize),
    ForgetPermit(usize),
    Detach(usize),
    /// Gives some of the detached ones back.
    ReleaseDetached(usize),
    Split(usize, usize),
    Merge(usize, usize),
    Add(usize),
    Forget(usize),
    Resize(usize),
    Close,
}

use Operation::*;

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let (index, count) = (0..8_usize, 0..5_usize);
    let operation = prop_oneof![
        12 => count.clone().prop_map(Acquire),
        4 => count.clone().prop_map(Try),
        6 => (index.clone(), any::<bool>()).prop_map(|(index, other)| Poll(index, other)),
        6 => index.clone().prop_map(Cancel),
        10 => index.clone().prop_map(Release),
        1 => index.clone().prop_map(ForgetPermit),
        1 => index.clone().prop_map(Detach),
        2 => count.clone().prop_map(ReleaseDetached),
        1 => (index.clone(), count.clone()).prop_map(|(index, count)| Split(index, count)),
        1 => (index.clone(), index.clone()).prop_map(|(one, other)| Merge(one, other)),
        2 => count.clone().prop_map(Add),
        1 => count.clone().prop_map(Forget),
        3 => (0..7_usize).prop_map(Resize),
    ];
    let operations = prop::collection::vec(operation, 1..60);
    // At most one in a few programs, and near the end.
    (operations, prop::option::weighted(0.2, 0..10_usize)).prop_map(|(mut operations, close)| {
        if let Some(close) = close {
            operations.insert(operations.len().saturating_sub(close), Close);
        }
        operations
    })
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Permits,
    TooMany,
    Closed,
}

struct Waiter {
    future: Pin<Box<AcquireOwned>>,
    waker: CountingWaker,
    count: usize,
    /// What it has been told, though it has not been polled since.
    answer: Option<Answer>,
}

/// The semaphore, and what is known of it.
struct World {
    semaphore: Arc<Semaphore>,
    bound: Option<usize>,
    permits: Vec<OwnedPermit>,
    /// How many have no guard.
    detached: usize,
    /// Those that wait, in order, and those that have been answered and not been polled since.
    waiters: VecDeque<Waiter>,
    total: usize,
    closed: bool,
}

impl World {
    fn new(total: usize, bounded: bool) -> Self {
        let semaphore = Arc::new(if bounded { Semaphore::bounded(total) } else { Semaphore::new(total) });
        World {
            semaphore,
            bound: bounded.then_some(total),
            permits: Vec::new(),
            detached: 0,
            waiters: VecDeque::new(),
            total,
            closed: false,
        }
    }

    fn in_use(&self) -> usize {
        let given = self.waiters.iter().filter(|waiter| waiter.answer == Some(Answer::Permits));
        self.permits.iter().map(OwnedPermit::count).chain(given.map(|waiter| waiter.count)).sum::<usize>()
            + self.detached
    }

    fn free(&self) -> usize {
        self.total.saturating_sub(self.in_use())
    }

    fn waiting(&self) -> usize {
        self.waiters.iter().filter(|waiter| waiter.answer.is_none()).count()
    }

    /// What a newcomer is told.
    fn answer(&self, count: usize) -> Option<Answer> {
        if self.closed {
            Some(Answer::Closed)
        } else if self.total > 0 && count > self.total {
            Some(Answer::TooMany)
        } else {
            (self.waiting() == 0 && count <= self.free()).then_some(Answer::Permits)
        }
    }

    fn let_in(&mut self) {
        loop {
            let free = self.free();
            let Some(first) = self.waiters.iter_mut().find(|waiter| waiter.answer.is_none()) else { return };
            if first.count > free {
                return;
            }
            first.answer = Some(Answer::Permits);
        }
    }

    /// Sets the total, and turns away those who wait for more. That is not so if permits are added.
    fn settle_at(&mut self, total: usize) {
        if total > 0 {
            for waiter in self.waiters.iter_mut().filter(|waiter| waiter.answer.is_none() && waiter.count > total) {
                waiter.answer = Some(Answer::TooMany);
            }
        }
        self.total = total;
    }

    fn step(&mut self, operation: Operation) {
        match operation {
            Acquire(count) => self.acquire(count),
            Try(count) => self.try_acquire(count),
            Poll(index, other) if !self.waiters.is_empty() => self.poll(index % self.waiters.len(), other),
            Cancel(index) if !self.waiters.is_empty() => drop(self.waiters.remove(index % self.waiters.len())),
            Release(index) if !self.permits.is_empty() => {
                drop(self.permits.swap_remove(index % self.permits.len()));
            }
            ForgetPermit(index) if !self.permits.is_empty() => {
                let permit = self.permits.swap_remove(index % self.permits.len());
                if permit.count() > 0 {
                    self.settle_at(self.total.saturating_sub(permit.count()));
                }
                permit.forget();
            }
            Detach(index) if !self.permits.is_empty() => {
                self.detached += self.permits.swap_remove(index % self.permits.len()).detach();
            }
            ReleaseDetached(count) => {
                let count = count.min(self.detached);
                self.semaphore.release(count);
                self.detached -= count;
            }
            Split(index, count) if !self.permits.is_empty() => {
                let len = self.permits.len();
                let permit = &mut self.permits[index % len];
                let before = permit.count();
                let part = permit.split(count);
                assert_eq!(part.is_some(), count <= before);
                self.permits.extend(part);
            }
            Merge(one, other) if self.permits.len() > 1 => {
                let other = self.permits.swap_remove(other % self.permits.len());
                let len = self.permits.len();
                self.permits[one % len].merge(other);
            }
            Add(count) => {
                let is_too_much = self.bound.is_some_and(|bound| self.total + count > bound);
                assert_eq!(self.semaphore.try_add(count).is_err(), is_too_much);
                if !is_too_much {
                    self.total += count;
                }
            }
            Forget(count) => {
                let gone = count.min(self.free());
                assert_eq!(self.semaphore.forget(count), gone);
                if gone > 0 {
                    self.settle_at(self.total - gone);
                }
            }
            Resize(total) => {
                self.semaphore.resize(total);
                self.bound = self.bound.map(|_| total);
                self.settle_at(total);
            }
            Close => {
                self.semaphore.close();
                self.closed = true;
                for waiter in self.waiters.iter_mut().filter(|waiter| waiter.answer.is_none()) {
                    waiter.answer = Some(Answer::Closed);
                }
            }
            _ => {}
        }
        self.let_in();
    }

    fn acquire(&mut self, count: usize) {
        let answer = self.answer(count);
        let future = Box::pin(self.semaphore.clone().acquire_owned(count));
        let mut waiter = Waiter { future, waker: CountingWaker::new(), count, answer: None };
        self.settle(waiter.waker.poll(waiter.future.as_mut()), answer, count);
        if answer.is_none() {
            self.waiters.push_back(waiter);
        }
    }

    /// Compares what a future gave with what it should, and keeps its permits.
    fn settle<E: std::fmt::Debug + Tells>(
        &mut self,
        polled: Poll<Result<OwnedPermit, E>>,
        answer: Option<Answer>,
        count: usize,
    ) {
        match (polled, answer) {
            (Poll::Pending, None) => {}
            (Poll::Ready(Ok(permit)), Some(Answer::Permits)) => {
                assert_eq!(permit.count(), count);
                self.permits.push(permit);
            }
            (Poll::Ready(Err(error)), Some(answer)) => assert_eq!(error.tells(), Some(answer)),
            (polled, answer) => panic!("{polled:?} for {answer:?}"),
        }
    }

    fn try_acquire(&mut self, count: usize) {
        let answer = self.answer(count);
        match self.semaphore.clone().try_acquire_owned(count) {
            Err(error) if answer.is_none() => assert!(error.is_no_permits()),
            tried => self.settle(Poll::Ready(tried), answer, count),
        }
    }

    fn poll(&mut self, index: usize, other: bool) {
        let mut waiter = self.waiters.remove(index).expect("it is one of them");
        assert_eq!(waiter.waker.count(), usize::from(waiter.answer.is_some()));
        if other {
            // The old one is no longer called.
            waiter.waker = CountingWaker::new();
        }
        let polled = waiter.waker.poll(waiter.future.as_mut());
        self.settle(polled, waiter.answer, waiter.count);
        if waiter.answer.is_none() {
            self.waiters.insert(index, waiter);
        }
    }

    fn check(&self) {
        let statistics = self.semaphore.statistics();
        assert_eq!(statistics.in_use(), self.in_use());
        assert_eq!(statistics.waiting(), self.waiting());
        assert_eq!((self.semaphore.available(), self.semaphore.is_closed()), (self.free(), self.closed));
        for waiter in &self.waiters {
            assert_eq!(waiter.waker.count(), usize::from(waiter.answer.is_some()), "woken when answered, once");
            assert_eq!(waiter.waker.held(), usize::from(waiter.answer.is_none()));
        }
    }
}

trait Tells {
    fn tells(&self) -> Option<Answer>;
}

impl Tells for foster::sync::AcquireError {
    fn tells(&self) -> Option<Answer> {
        Some(if self.is_closed() { Answer::Closed } else { Answer::TooMany })
    }
}

impl Tells for foster::sync::TryAcquireError {
    fn tells(&self) -> Option<Answer> {
        let answer = if self.is_closed() { Answer::Closed } else { Answer::TooMany };
        (!self.is_no_permits()).then_some(answer)
    }
}

fn check(total: usize, bounded: bool, operations: &[Operation]) {
    let mut world = World::new(total, bounded);
    for operation in operations {
        world.step(*operation);
        world.check();
    }
    world.step(ReleaseDetached(usize::MAX));
    // All go, those in the line first or last, and all is as if nobody had been there.
    if operations.len() % 2 == 0 {
        world.waiters.clear();
        world.let_in();
        world.check();
        world.permits.clear();
    } else {
        world.permits.clear();
        world.let_in();
        world.check();
        world.waiters.clear();
    }
    world.check();
    assert_eq!(world.semaphore.available(), world.total);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn permits_are_where_the_model_says_and_waiters_are_answered_in_order(
        total in 0..6_usize,
        bounded: bool,
        operations in operations(),
    ) {
        watched(move || check(total, bounded, &operations));
    }
}
