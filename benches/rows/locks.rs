//! Rows 10 and 23: semaphores and mutexes, without waiting, in a crowd, and left by those who wait.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::{on_futures, repeatedly};
use crate::children::YieldOnce;
use crate::measure::Role::{Foster, Peer, Yardstick};
use crate::measure::{Contender, Cost, Role, timed};
use crate::report::{Goal, Row, Unit};

/// As many want something at once.
const CROWD: usize = 1_000;

/// As many wait, and are cancelled.
const WAITERS: usize = 100_000;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "10",
            work: "semaphore: acquire and release, nobody waits",
            unit: Unit::Nanos,
            contenders: vec![
                repeatedly(Peer, "async-lock", |_| async {
                    static SLOTS: async_lock::Semaphore = async_lock::Semaphore::new(1);
                    drop(black_box(SLOTS.acquire().await));
                }),
                repeatedly(Peer, "tokio", |_| async {
                    static SLOTS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);
                    drop(black_box(SLOTS.acquire().await));
                }),
                repeatedly(Foster, "foster", |_| async {
                    static SLOTS: foster::sync::Semaphore = foster::sync::Semaphore::new(1);
                    drop(black_box(SLOTS.acquire(1).await));
                }),
            ],
            goals: vec![Goal::Times(1.0, "async-lock"), Goal::Times(1.0, "tokio"), Goal::Allocations(0.0)],
        },
        Row {
            id: "10-crowd",
            work: "semaphore: 1,000 at 10 permits, each yields once with one",
            unit: Unit::Nanos,
            contenders: vec![
                crowd(
                    Peer,
                    "async-lock",
                    || async_lock::Semaphore::new(10),
                    async |slots, i| {
                        let _permit = slots.acquire().await;
                        black_box(YieldOnce::new(i).await);
                    },
                ),
                crowd(
                    Peer,
                    "tokio",
                    || tokio::sync::Semaphore::new(10),
                    async |slots, i| {
                        let _permit = slots.acquire().await;
                        black_box(YieldOnce::new(i).await);
                    },
                ),
                crowd(
                    Foster,
                    "foster",
                    || foster::sync::Semaphore::new(10),
                    async |slots, i| {
                        let _permit = slots.acquire(1).await;
                        black_box(YieldOnce::new(i).await);
                    },
                ),
            ],
            goals: vec![Goal::Times(1.0, "async-lock")],
        },
        Row {
            id: "10-cancel",
            work: "semaphore: cancel one of 100,000 that wait",
            unit: Unit::Nanos,
            contenders: waiters(cancelled),
            goals: vec![Goal::Instructions(1.1, "foster, of 1,000")],
        },
        Row {
            id: "10-bytes",
            work: "semaphore: bytes one of 100,000 that wait, its future included",
            unit: Unit::Bytes,
            contenders: waiters(occupied),
            goals: vec![Goal::Times(1.0, "tokio")],
        },
        Row {
            id: "23",
            work: "mutex: lock and unlock, nobody waits",
            unit: Unit::Nanos,
            contenders: vec![
                repeatedly(Peer, "async-lock", |i| async move {
                    static SUM: async_lock::Mutex<usize> = async_lock::Mutex::new(0);
                    *SUM.lock().await += i;
                }),
                repeatedly(Peer, "tokio", |i| async move {
                    static SUM: tokio::sync::Mutex<usize> = tokio::sync::Mutex::const_new(0);
                    *SUM.lock().await += i;
                }),
                repeatedly(Foster, "foster", |i| async move {
                    static SUM: foster::sync::Mutex<usize> = foster::sync::Mutex::new(0);
                    *SUM.lock().await += i;
                }),
            ],
            goals: vec![Goal::Times(1.1, "async-lock"), Goal::Times(1.1, "tokio"), Goal::Allocations(0.0)],
        },
        Row {
            id: "23-crowd",
            work: "mutex: 1,000 at one, each yields once in it",
            unit: Unit::Nanos,
            contenders: vec![
                crowd(
                    Peer,
                    "async-lock",
                    || async_lock::Mutex::new(0_u64),
                    async |sum, i| {
                        let mut sum = sum.lock().await;
                        *sum += YieldOnce::new(i).await;
                    },
                ),
                crowd(
                    Peer,
                    "tokio",
                    || tokio::sync::Mutex::new(0_u64),
                    async |sum, i| {
                        let mut sum = sum.lock().await;
                        *sum += YieldOnce::new(i).await;
                    },
                ),
                crowd(
                    Foster,
                    "foster",
                    || foster::sync::Mutex::new(0_u64),
                    async |sum, i| {
                        let mut sum = sum.lock().await;
                        *sum += YieldOnce::new(i).await;
                    },
                ),
            ],
            goals: vec![Goal::Times(1.1, "async-lock"), Goal::Times(1.1, "tokio")],
        },
    ]
}

/// A contender of which a thousand futures want the same thing, all in one task.
fn crowd<L, W>(role: Role, name: &'static str, lock: fn() -> L, work: W) -> Contender
where
    L: 'static,
    W: AsyncFn(&L, usize) + Copy + 'static,
{
    on_futures(role, name, CROWD, move || async move {
        let lock = lock();
        foster::gather((0..CROWD).map(|i| work(&lock, i))).await.len()
    })
}

/// The contenders of whom 100,000 futures wait. `measure` is given one that makes such a future.
fn waiters(measure: fn(usize, Box<dyn Fn() -> Waiter>) -> Cost) -> Vec<Contender> {
    let contender = |role, name, n, make: fn() -> Box<dyn Fn() -> Waiter>| {
        Contender::new(role, name, n, move || measure(n, make()))
    };
    let foster = || -> Box<dyn Fn() -> Waiter> {
        let slots = Arc::new(foster::sync::Semaphore::new(0));
        Box::new(move || Box::pin(drop_of(slots.clone().acquire_owned(1))))
    };
    vec![
        contender(Peer, "async-lock", WAITERS, || {
            let slots = Arc::new(async_lock::Semaphore::new(0));
            Box::new(move || Box::pin(drop_of(slots.acquire_arc())))
        }),
        contender(Peer, "tokio", WAITERS, || {
            let slots = Arc::new(tokio::sync::Semaphore::new(0));
            Box::new(move || Box::pin(drop_of(slots.clone().acquire_owned())))
        }),
        contender(Yardstick, "foster, of 1,000", CROWD, foster),
        contender(Foster, "foster", WAITERS, foster),
    ]
}

type Waiter = Pin<Box<dyn Future<Output = ()>>>;

async fn drop_of<F: Future>(future: F) {
    drop(future.await);
}

/// As many as wait, each polled once.
fn all_waiting(n: usize, make: &dyn Fn() -> Waiter) -> Vec<Option<Waiter>> {
    let mut waiters: Vec<_> = (0..n).map(|_| Some(make())).collect();
    for waiter in waiters.iter_mut().flatten() {
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    waiters
}

/// What it costs to drop them from all over the line.
fn cancelled(n: usize, make: Box<dyn Fn() -> Waiter>) -> Cost {
    let mut waiters = all_waiting(n, &*make);
    timed(|| {
        // A prime, so that each has its turn.
        for i in 0..n {
            waiters[i * 61_547 % n] = None;
        }
    })
}

/// What they occupy.
fn occupied(n: usize, make: Box<dyn Fn() -> Waiter>) -> Cost {
    timed(|| (all_waiting(n, &*make), make))
}
