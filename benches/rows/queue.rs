//! Row 11: queues between producers and consumers, and their memory.

use std::cell::LazyCell;
use std::future::Future;
use std::hint::black_box;
use std::task::{Context, Waker};

use foster::queue;
use foster::sync::oneshot;
use futures::executor::block_on;
use futures::future::join;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::repeatedly;
use crate::measure::Role::{Foster, Peer};
use crate::measure::{Contender, Role, timed};
use crate::report::{Goal, Row, Unit};

const CAPACITY: usize = 128;

/// How many items each producer sends.
const EACH: u64 = 25_000;

/// How many producers, and how many consumers, there are where there are several.
const SEVERAL: usize = 4;

/// How many items lie in a queue whose memory is measured.
const LYING: usize = 1_000_000;

/// How many futures wait at a queue whose memory is measured.
const WAITING: usize = 100_000;

/// Sends numbers, and drops the sender.
macro_rules! produce {
    ($jobs:ident) => {
        produce!($jobs, send)
    };
    ($jobs:ident, $send:ident) => {
        async move {
            for i in 0..EACH {
                if $jobs.$send(black_box(i)).await.is_err() {
                    unreachable!("nobody closes it");
                }
            }
        }
    };
}

/// Receives until the end, and sums up.
macro_rules! consume {
    ($work:ident, $some:ident) => {
        consume!($work, $some, recv)
    };
    ($work:ident, $some:ident, $recv:ident) => {
        async move {
            let mut sum = 0;
            while let $some(i) = $work.$recv().await {
                sum += i.number();
            }
            black_box(sum);
        }
    };
}

macro_rules! spawn_all {
    ($tasks:ident, $jobs:ident, $work:ident, $some:ident, $send:ident, $recv:ident) => {
        for _ in 0..SEVERAL {
            let (jobs, work) = ($jobs.clone(), $work.clone());
            $tasks.spawn(produce!(jobs, $send));
            $tasks.spawn(consume!(work, $some, $recv));
        }
    };
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "11",
            work: "queue of 128: a producer and a consumer on one thread",
            unit: Unit::Nanos,
            contenders: vec![
                Contender::new(Peer, "kanal", EACH as usize, || {
                    let (jobs, work) = kanal::bounded_async(CAPACITY);
                    timed(|| one_thread(produce!(jobs), consume!(work, Ok)))
                }),
                Contender::new(Peer, "thingbuf", EACH as usize, || {
                    let (jobs, work) = thingbuf::mpsc::channel(CAPACITY);
                    timed(|| one_thread(produce!(jobs), consume!(work, Some)))
                }),
                Contender::new(Peer, "flume", EACH as usize, || {
                    let (jobs, work) = flume::bounded(CAPACITY);
                    timed(|| one_thread(produce!(jobs, send_async), consume!(work, Ok, recv_async)))
                }),
                Contender::new(Peer, "tokio mpsc", EACH as usize, || {
                    let (jobs, mut work) = tokio::sync::mpsc::channel(CAPACITY);
                    timed(|| one_thread(produce!(jobs), consume!(work, Some)))
                }),
                Contender::new(Peer, "async-channel", EACH as usize, || {
                    let (jobs, work) = async_channel::bounded(CAPACITY);
                    timed(|| one_thread(produce!(jobs), consume!(work, Ok)))
                }),
                Contender::new(Foster, "queue", EACH as usize, || {
                    let (jobs, work) = queue::bounded(CAPACITY);
                    timed(|| one_thread(produce!(jobs), consume!(work, Some)))
                }),
            ],
            goals: vec![Goal::Times(1.15, "async-channel")],
        },
        Row {
            id: "11-two-threads",
            work: "queue of 128: 4 producers and 4 consumers on two threads of tokio",
            unit: Unit::Elapsed,
            contenders: vec![
                on_two_threads(Peer, "kanal", |tasks| {
                    let (jobs, work) = kanal::bounded_async(CAPACITY);
                    spawn_all!(tasks, jobs, work, Ok, send, recv);
                }),
                on_two_threads(Peer, "flume", |tasks| {
                    let (jobs, work) = flume::bounded(CAPACITY);
                    spawn_all!(tasks, jobs, work, Ok, send_async, recv_async);
                }),
                on_two_threads(Peer, "async-channel", |tasks| {
                    let (jobs, work) = async_channel::bounded(CAPACITY);
                    spawn_all!(tasks, jobs, work, Ok, send, recv);
                }),
                on_two_threads(Foster, "queue", |tasks| {
                    let (jobs, work) = queue::bounded(CAPACITY);
                    spawn_all!(tasks, jobs, work, Some, send, recv);
                }),
            ],
            goals: vec![Goal::Times(1.15, "async-channel")],
        },
        Row {
            id: "11-items",
            work: "bytes of an unbounded queue for each of 1,000,000 numbers in it",
            unit: Unit::Bytes,
            contenders: vec![
                lying(Peer, "kanal", kanal::unbounded_async, |(jobs, _), i| jobs.try_send(i).is_ok()),
                lying(Peer, "flume", flume::unbounded, |(jobs, _), i| jobs.send(i).is_ok()),
                lying(Peer, "tokio mpsc", tokio::sync::mpsc::unbounded_channel, |(jobs, _), i| jobs.send(i).is_ok()),
                lying(Peer, "async-channel", async_channel::unbounded, |(jobs, _), i| jobs.try_send(i).is_ok()),
                lying(Foster, "queue", queue::unbounded, |(jobs, _), i| jobs.try_send(i).is_ok()),
            ],
            goals: vec![Goal::Times(1.15, "async-channel")],
        },
        Row {
            id: "11-waiters",
            work: "bytes of a queue for each of 100,000 futures that wait at it",
            unit: Unit::Bytes,
            contenders: vec![
                waiting(Peer, "kanal", kanal::bounded_async::<u64>(1), |(_, work)| work.recv()),
                waiting(Peer, "flume", flume::bounded::<u64>(1), |(_, work)| work.recv_async()),
                waiting(Peer, "async-channel", async_channel::bounded::<u64>(1), |(_, work)| work.recv()),
                waiting(Foster, "queue", queue::bounded::<u64>(1), |(_, work)| work.recv()),
            ],
            goals: vec![Goal::Times(1.15, "async-channel")],
        },
        Row {
            id: "11-oneshot",
            work: "oneshot: a value for which its receiver waits",
            unit: Unit::Nanos,
            contenders: vec![
                repeatedly(Peer, "futures", |i| async move {
                    let (sender, receiver) = futures::channel::oneshot::channel();
                    _ = black_box(join(receiver, async { sender.send(i) }).await);
                }),
                repeatedly(Peer, "tokio", |i| async move {
                    let (sender, receiver) = tokio::sync::oneshot::channel();
                    _ = black_box(join(receiver, async { sender.send(i) }).await);
                }),
                repeatedly(Foster, "foster", |i| async move {
                    let (sender, receiver) = oneshot::channel();
                    _ = black_box(join(receiver, async { sender.send(i) }).await);
                }),
            ],
            goals: vec![Goal::Times(1.1, "futures")],
        },
    ]
}

/// What comes out of a queue: a number, or something that holds one.
trait Number {
    fn number(self) -> u64;
}

impl Number for u64 {
    fn number(self) -> u64 {
        self
    }
}

impl Number for queue::Item<u64> {
    fn number(self) -> u64 {
        *self
    }
}

/// Runs both until both have ended.
fn one_thread(producer: impl Future<Output = ()>, consumer: impl Future<Output = ()>) {
    block_on(join(producer, consumer));
}

fn on_two_threads(role: Role, name: &'static str, spawn: fn(&mut JoinSet<()>)) -> Contender {
    let runtime = LazyCell::new(|| Builder::new_multi_thread().worker_threads(2).build().expect("tokio starts"));
    Contender::new(role, name, SEVERAL * EACH as usize, move || {
        timed(|| {
            runtime.block_on(async {
                let mut tasks = JoinSet::new();
                spawn(&mut tasks);
                while tasks.join_next().await.is_some() {}
            })
        })
    })
}

/// The memory of a queue that nobody takes from.
fn lying<Q: 'static>(role: Role, name: &'static str, make: fn() -> Q, put: fn(&Q, u64) -> bool) -> Contender {
    Contender::new(role, name, LYING, move || {
        timed(|| {
            let queue = make();
            assert!((0..LYING as u64).all(|i| put(&queue, i)));
            queue
        })
    })
}

/// The memory of futures that wait, and of what the queue holds for them.
fn waiting<Q: 'static, F: Future + 'static>(
    role: Role,
    name: &'static str,
    queue: Q,
    wait: fn(&'static Q) -> F,
) -> Contender {
    // Lent for good, because the futures borrow it.
    let queue: &'static Q = Box::leak(Box::new(queue));
    Contender::new(role, name, WAITING, move || {
        timed(|| {
            let mut futures: Vec<_> = Vec::with_capacity(WAITING);
            futures.extend((0..WAITING).map(|_| Box::pin(wait(queue))));
            for future in &mut futures {
                assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
            futures
        })
    })
}
