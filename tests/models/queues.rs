//! Queues: where each item is, and whose turn it is, after any operations in any order.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::Poll;

use foster::queue::{self, Item, Join, Receiver, Recv, RecvMany, Reserve, SendItem, Sender, Slot};
use foster::testing::{CountingWaker, DropGuard, Drops};
use proptest::prelude::*;

use crate::{config, watched};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Send,
    TrySend,
    Reserve,
    TryReserve,
    Recv,
    TryRecv,
    RecvMany(usize),
    Join,
    /// Polls one of the futures, with the waker that it has or with another one.
    Poll(usize, bool),
    Cancel(usize),
    Fill(usize),
    DropSlot(usize),
    Done(usize),
    PutBack(usize),
    Close,
    CloseNow,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let index = 0..8_usize;
    let operation = prop_oneof![
        8 => Just(Operation::Send),
        4 => Just(Operation::TrySend),
        3 => Just(Operation::Reserve),
        2 => Just(Operation::TryReserve),
        8 => Just(Operation::Recv),
        3 => Just(Operation::TryRecv),
        3 => (1..4_usize).prop_map(Operation::RecvMany),
        2 => Just(Operation::Join),
        14 => (index.clone(), any::<bool>()).prop_map(|(index, other)| Operation::Poll(index, other)),
        6 => index.clone().prop_map(Operation::Cancel),
        3 => index.clone().prop_map(Operation::Fill),
        1 => index.clone().prop_map(Operation::DropSlot),
        7 => index.clone().prop_map(Operation::Done),
        3 => index.clone().prop_map(Operation::PutBack),
    ];
    let operations = prop::collection::vec(operation, 1..60);
    // At most one in a few programs, and near the end.
    (operations, prop::option::weighted(0.3, (0..12_usize, any::<bool>()))).prop_map(|(mut operations, close)| {
        if let Some((close, now)) = close {
            let operation = if now { Operation::CloseNow } else { Operation::Close };
            operations.insert(operations.len().saturating_sub(close), operation);
        }
        operations
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fifo,
    Lifo,
    Priority,
    Rendezvous,
}

/// An item, which is compared by its key alone.
#[derive(Debug)]
struct Job {
    key: u32,
    id: u32,
    _alive: DropGuard,
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Job {}

enum Future {
    Send(Pin<Box<SendItem<'static, Job>>>, u32),
    Reserve(Pin<Box<Reserve<'static, Job>>>),
    Recv(Pin<Box<Recv<'static, Job>>>),
    RecvMany(Pin<Box<RecvMany<'static, Job>>>, usize),
    Join(Pin<Box<Join<'static, Job>>>),
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It may take or put, or its item was taken, or all is done.
    Turn,
    End,
}

struct Waiter {
    future: Future,
    waker: CountingWaker,
    /// What it has been told, though it has not been polled since.
    told: Option<Told>,
}

impl Waiter {
    fn is_sender(&self) -> bool {
        matches!(self.future, Future::Send(..))
    }

    fn is_reserver(&self) -> bool {
        matches!(self.future, Future::Reserve(_))
    }

    fn is_receiver(&self) -> bool {
        matches!(self.future, Future::Recv(_) | Future::RecvMany(..))
    }

    fn is_joiner(&self) -> bool {
        matches!(self.future, Future::Join(_))
    }
}

/// The queue, and what is known of it.
struct World {
    jobs: &'static Sender<Job>,
    work: &'static Receiver<Job>,
    kind: Kind,
    capacity: usize,
    drops: Drops,
    /// The items in the queue, as key and number, in the order in which they leave it.
    items: VecDeque<(u32, u32)>,
    held: Vec<Item<Job>>,
    slots: Vec<Slot<'static, Job>>,
    waiters: Vec<Waiter>,
    closed: bool,
    next: u32,
}

impl World {
    fn new(kind: Kind, capacity: usize) -> Self {
        let (jobs, work) = match kind {
            Kind::Fifo if capacity == usize::MAX => queue::unbounded(),
            Kind::Fifo => queue::bounded(capacity),
            Kind::Lifo => queue::lifo(capacity),
            Kind::Priority => queue::priority(capacity),
            Kind::Rendezvous => queue::rendezvous(),
        };
        World {
            // Lent for good, because futures borrow them.
            jobs: Box::leak(Box::new(jobs)),
            work: Box::leak(Box::new(work)),
            kind,
            capacity,
            drops: Drops::new(),
            items: VecDeque::new(),
            held: Vec::new(),
            slots: Vec::new(),
            waiters: Vec::new(),
            closed: false,
            next: 0,
        }
    }

    fn job(&mut self) -> Job {
        let id = self.next;
        self.next += 1;
        Job { key: id % 3, id, _alive: self.drops.guard() }
    }

    fn count(&self, told: Option<Told>, which: impl Fn(&Waiter) -> bool) -> usize {
        self.waiters.iter().filter(|waiter| waiter.told == told && which(waiter)).count()
    }

    fn offers(&self) -> usize {
        if self.kind == Kind::Rendezvous { self.count(None, Waiter::is_sender) } else { 0 }
    }

    fn available(&self) -> usize {
        let promised = self.count(Some(Told::Turn), Waiter::is_receiver);
        (self.items.len() + self.offers()).saturating_sub(promised)
    }

    fn room(&self) -> usize {
        let taken = self.slots.len() + self.count(Some(Told::Turn), Waiter::is_reserver);
        if self.kind == Kind::Rendezvous {
            return self.count(None, Waiter::is_receiver).saturating_sub(self.available() + taken);
        }
        let let_in = self.count(Some(Told::Turn), Waiter::is_sender);
        self.capacity.saturating_sub(self.items.len() + taken + let_in)
    }

    fn put(&mut self, id: u32) {
        let item = (id % 3, id);
        let at = match self.kind {
            Kind::Fifo | Kind::Rendezvous => self.items.len(),
            Kind::Lifo => 0,
            Kind::Priority => self.items.partition_point(|other| other.0 <= item.0),
        };
        self.items.insert(at, item);
    }

    fn put_back(&mut self, id: u32) {
        let item = (id % 3, id);
        let at = if self.kind == Kind::Priority { self.items.partition_point(|other| other.0 < item.0) } else { 0 };
        self.items.insert(at, item);
    }

    /// Takes the next item, from a sender that offers it if there is none else.
    fn take(&mut self) -> Option<u32> {
        if let Some((_, id)) = self.items.pop_front() {
            return Some(id);
        }
        if self.kind != Kind::Rendezvous {
            return None;
        }
        let sender = self.waiters.iter_mut().find(|waiter| waiter.is_sender() && waiter.told.is_none())?;
        sender.told = Some(Told::Turn);
        let Future::Send(_, id) = sender.future else { unreachable!("it sends") };
        Some(id)
    }

    fn tell(&mut self, told: Told, which: impl Fn(&Waiter) -> bool) -> bool {
        let first = self.waiters.iter_mut().find(|waiter| waiter.told.is_none() && which(waiter));
        first.map(|waiter| waiter.told = Some(told)).is_some()
    }

    fn settle(&mut self) {
        while self.available() > 0 && self.tell(Told::Turn, Waiter::is_receiver) {}
        if self.closed {
            while self.items.is_empty() && self.tell(Told::End, Waiter::is_receiver) {}
            while self.tell(Told::End, |waiter| waiter.is_sender() || waiter.is_reserver()) {}
        }
        let waits_for_room =
            |kind| move |waiter: &Waiter| waiter.is_reserver() || kind != Kind::Rendezvous && waiter.is_sender();
        while self.room() > 0 && self.tell(Told::Turn, waits_for_room(self.kind)) {}
        while self.items.is_empty() && self.held.is_empty() && self.tell(Told::Turn, Waiter::is_joiner) {}
    }

    /// What a newcomer is told.
    fn told(&self, future: &Future) -> Option<Told> {
        let may_put = || if self.room() > 0 { Some(Told::Turn) } else { None };
        match future {
            Future::Send(..) | Future::Reserve(_) if self.closed => Some(Told::End),
            Future::Send(..) if self.kind == Kind::Rendezvous => None,
            Future::Send(..) | Future::Reserve(_) => may_put(),
            Future::Recv(_) | Future::RecvMany(..) if self.available() > 0 => Some(Told::Turn),
            Future::Recv(_) | Future::RecvMany(..) => (self.closed && self.items.is_empty()).then_some(Told::End),
            Future::Join(_) => (self.items.is_empty() && self.held.is_empty()).then_some(Told::Turn),
        }
    }

    fn step(&mut self, operation: Operation) {
        match operation {
            Operation::Send => {
                let job = self.job();
                let id = job.id;
                self.begin(Future::Send(Box::pin(self.jobs.send(job)), id));
            }
            Operation::Reserve => self.begin(Future::Reserve(Box::pin(self.jobs.reserve()))),
            Operation::Recv => self.begin(Future::Recv(Box::pin(self.work.recv()))),
            Operation::RecvMany(max) => self.begin(Future::RecvMany(Box::pin(self.work.recv_many(max)), max)),
            Operation::Join => self.begin(Future::Join(Box::pin(self.jobs.join()))),
            Operation::TrySend => {
                let job = self.job();
                let id = job.id;
                match self.jobs.try_send(job) {
                    Ok(()) => {
                        assert!(!self.closed && self.room() > 0);
                        self.put(id);
                    }
                    Err(error) if error.is_closed() => assert!(self.closed),
                    Err(error) => assert_eq!((self.room(), error.into_inner().id), (0, id)),
                }
            }
            Operation::TryReserve => match self.jobs.try_reserve() {
                Ok(slot) => {
                    assert!(!self.closed && self.room() > 0);
                    self.slots.push(slot);
                }
                Err(error) => assert!(self.closed && error.is_closed() || self.room() == 0 && error.is_full()),
            },
            Operation::TryRecv => match self.work.try_recv() {
                Ok(item) => {
                    assert!(self.available() > 0);
                    self.receive(item);
                }
                Err(error) => {
                    let has_ended = self.closed && self.items.is_empty();
                    assert_eq!((self.available(), error.is_closed()), (0, has_ended));
                }
            },
            Operation::Poll(index, other) if !self.waiters.is_empty() => self.poll(index % self.waiters.len(), other),
            Operation::Cancel(index) if !self.waiters.is_empty() => {
                drop(self.waiters.remove(index % self.waiters.len()));
            }
            Operation::Fill(index) if !self.slots.is_empty() => {
                let slot = self.slots.swap_remove(index % self.slots.len());
                let job = self.job();
                let id = job.id;
                match slot.send(job) {
                    Ok(()) => self.put(id),
                    Err(error) => assert_eq!((self.closed, error.into_inner().id), (true, id)),
                }
            }
            Operation::DropSlot(index) if !self.slots.is_empty() => {
                drop(self.slots.swap_remove(index % self.slots.len()));
            }
            Operation::Done(index) if !self.held.is_empty() => drop(self.held.swap_remove(index % self.held.len())),
            Operation::PutBack(index) if !self.held.is_empty() => {
                let item = self.held.swap_remove(index % self.held.len());
                self.put_back(item.id);
                item.put_back();
            }
            Operation::Close => {
                self.jobs.close();
                self.closed = true;
            }
            Operation::CloseNow => {
                let left: Vec<_> = self.work.close_now().iter().map(|job| job.id).collect();
                assert_eq!(left, self.items.drain(..).map(|(_, id)| id).collect::<Vec<_>>());
                self.closed = true;
            }
            _ => {}
        }
        self.settle();
    }

    fn receive(&mut self, item: Item<Job>) {
        assert_eq!(self.take(), Some(item.id));
        self.held.push(item);
    }

    fn begin(&mut self, future: Future) {
        let told = self.told(&future);
        self.waiters.push(Waiter { future, waker: CountingWaker::new(), told });
        let last = self.waiters.len() - 1;
        self.look(last);
    }

    fn poll(&mut self, index: usize, other: bool) {
        if other {
            // The old one is no longer called.
            self.waiters[index].waker = CountingWaker::new();
        }
        self.look(index);
    }

    /// Polls a future, and compares what it gives with what it was told.
    fn look(&mut self, index: usize) {
        let mut waiter = self.waiters.remove(index);
        let waker = &waiter.waker;
        let is_ready = match (&mut waiter.future, waiter.told) {
            (Future::Send(future, id), told) => match (waker.poll(future.as_mut()), told) {
                (Poll::Pending, None) => false,
                (Poll::Ready(Ok(())), Some(Told::Turn)) => {
                    if self.kind != Kind::Rendezvous {
                        assert!(!self.closed);
                        self.put(*id);
                    }
                    true
                }
                (Poll::Ready(Err(error)), Some(_)) => {
                    assert_eq!((self.closed, error.into_inner().id), (true, *id));
                    true
                }
                (polled, told) => panic!("{polled:?} for {told:?}"),
            },
            (Future::Reserve(future), told) => match (waker.poll(future.as_mut()), told) {
                (Poll::Pending, None) => false,
                (Poll::Ready(Ok(slot)), Some(Told::Turn)) => {
                    self.slots.push(slot);
                    true
                }
                (Poll::Ready(Err(_)), Some(Told::End)) => true,
                (polled, told) => panic!("{polled:?} for {told:?}"),
            },
            (Future::Join(future), told) => {
                assert_eq!(waker.poll(future.as_mut()).is_ready(), told.is_some());
                told.is_some()
            }
            (Future::Recv(future), told) => match (waker.poll(future.as_mut()), told) {
                (Poll::Ready(Some(item)), Some(Told::Turn)) => {
                    self.receive(item);
                    true
                }
                (Poll::Ready(None), Some(told)) => {
                    assert!(self.closed && (told == Told::End || self.items.is_empty()));
                    true
                }
                (Poll::Pending, None) => false,
                (Poll::Pending, Some(Told::Turn)) => {
                    assert_eq!(self.items.len() + self.offers(), 0, "it has been withdrawn");
                    false
                }
                (polled, told) => panic!("{polled:?} for {told:?}"),
            },
            (Future::RecvMany(future, max), told) => match (waker.poll(future.as_mut()), told) {
                (Poll::Ready(items), Some(told)) => {
                    // Its own one, if it is there, and those that are promised to nobody.
                    let there = self.items.len() + self.offers();
                    let count = if told == Told::Turn { self.available().clamp(1, *max).min(there) } else { 0 };
                    assert_eq!(items.len(), count);
                    assert!(count > 0 || self.closed);
                    items.into_iter().for_each(|item| self.receive(item));
                    true
                }
                (Poll::Pending, None) => false,
                (Poll::Pending, Some(Told::Turn)) => {
                    assert_eq!(self.items.len() + self.offers(), 0, "it has been withdrawn");
                    false
                }
                (polled, told) => panic!("{polled:?} for {told:?}"),
            },
        };
        if is_ready {
            return;
        }
        if waiter.told.take().is_some() {
            // It waits once more, before all others.
            assert_eq!(self.kind, Kind::Rendezvous);
            waiter.waker = CountingWaker::new();
            let future = match &mut waiter.future {
                Future::Recv(future) => waiter.waker.poll(future.as_mut()).is_pending(),
                Future::RecvMany(future, _) => waiter.waker.poll(future.as_mut()).is_pending(),
                _ => unreachable!("only receivers wait once more"),
            };
            assert!(future);
            self.waiters.insert(0, waiter);
        } else {
            self.waiters.insert(index, waiter);
        }
    }

    fn check(&self) {
        let statistics = self.jobs.statistics();
        assert_eq!((self.work.len(), self.work.is_closed()), (self.items.len(), self.closed));
        assert_eq!(self.jobs.unfinished(), self.items.len() + self.held.len());
        assert_eq!(statistics.waiting_receivers(), self.count(None, Waiter::is_receiver));
        let senders = self.count(None, |waiter| waiter.is_sender() || waiter.is_reserver());
        assert_eq!(statistics.waiting_senders(), senders);
        let sending = self.waiters.iter().filter(|waiter| waiter.is_sender());
        let taken = self.kind == Kind::Rendezvous;
        let unsent = sending.filter(|waiter| !(taken && waiter.told == Some(Told::Turn))).count();
        assert_eq!(self.drops.alive(), self.items.len() + self.held.len() + unsent, "each item is somewhere, once");
        for waiter in &self.waiters {
            assert_eq!(waiter.waker.count(), usize::from(waiter.told.is_some()), "woken when told, once");
            assert_eq!(waiter.waker.held(), usize::from(waiter.told.is_none()));
        }
    }
}

fn check(kind: Kind, capacity: usize, operations: &[Operation]) {
    let mut world = World::new(kind, capacity);
    for operation in operations {
        world.step(*operation);
        world.check();
    }
    // All go, and what is left is received.
    world.slots.clear();
    world.settle();
    world.check();
    while !world.waiters.is_empty() {
        world.waiters.remove(0);
        world.settle();
        world.check();
    }
    while let Ok(item) = world.work.try_recv() {
        world.receive(item);
    }
    assert!(world.items.is_empty());
    world.held.clear();
    world.check();
}

fn kinds() -> impl Strategy<Value = (Kind, usize)> {
    prop_oneof![
        4 => (1..4_usize).prop_map(|capacity| (Kind::Fifo, capacity)),
        1 => Just((Kind::Fifo, usize::MAX)),
        2 => (1..4_usize).prop_map(|capacity| (Kind::Lifo, capacity)),
        2 => (1..4_usize).prop_map(|capacity| (Kind::Priority, capacity)),
        4 => Just((Kind::Rendezvous, 0)),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn items_are_where_the_model_says_and_waiters_have_their_turns_in_order(
        (kind, capacity) in kinds(),
        operations in operations(),
    ) {
        watched(move || check(kind, capacity, &operations));
    }
}
