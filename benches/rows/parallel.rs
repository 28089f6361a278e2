//! Rows 7 and 22: children on a runtime.

use std::cell::LazyCell;
use std::future::Future;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Instant;

use foster::Handle;
use foster::runtimes::{AsyncStd, Smol};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::handle_of;
use crate::measure::Role::{Foster, Peer, Yardstick};
use crate::measure::{Contender, Role, timed};
use crate::report::{Goal, Row, Unit};

const N: usize = 1000;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "7-tokio",
            work: "spawn_on tokio (current thread), await each",
            unit: Unit::Nanos,
            contenders: on_tokio(one_thread, |i| async move { i }),
            goals: vec![Goal::Times(0.75, "JoinSet"), Goal::Allocated(256.0), Goal::Allocations(2.0)],
        },
        Row {
            id: "7-tokio2",
            work: "spawn_on tokio (2 threads), await each",
            unit: Unit::Elapsed,
            contenders: on_tokio(two_threads, |i| async move { i }),
            goals: vec![Goal::Times(1.0, "JoinSet"), Goal::Allocated(256.0), Goal::Allocations(2.0)],
        },
        Row {
            id: "22-1us",
            work: "spawn_on tokio (2 threads), each works for 1 µs",
            unit: Unit::Elapsed,
            contenders: on_tokio(two_threads, |i| async move { work(i, 1) }),
            goals: vec![Goal::Times(1.0, "JoinSet")],
        },
        Row {
            id: "22-10us",
            work: "spawn_on tokio (2 threads), each works for 10 µs",
            unit: Unit::Elapsed,
            contenders: on_tokio(two_threads, |i| async move { work(i, 10) }),
            goals: vec![Goal::Times(1.0, "JoinSet")],
        },
        Row {
            id: "7-smol",
            work: "spawn_on smol, await each",
            unit: Unit::Elapsed,
            contenders: vec![
                Contender::new(Peer, "smol::spawn", N, || timed(|| smol::block_on(smol_tasks()))),
                Contender::new(Foster, "scope", N, || {
                    timed(|| smol::block_on(scope(Smol::global().into(), |i| async move { i })))
                }),
            ],
            goals: vec![Goal::Times(1.2, "smol::spawn")],
        },
        Row {
            id: "7-async-std",
            work: "spawn_on async-std, await each",
            unit: Unit::Elapsed,
            contenders: vec![
                Contender::new(Peer, "async_std spawn", N, || timed(|| async_std::task::block_on(async_std_tasks()))),
                Contender::new(Foster, "scope", N, || {
                    timed(|| async_std::task::block_on(scope(AsyncStd::global().into(), |i| async move { i })))
                }),
            ],
            goals: vec![Goal::Times(1.2, "async_std spawn")],
        },
    ]
}

pub(super) fn one_thread() -> Runtime {
    Builder::new_current_thread().build().expect("tokio starts")
}

pub(super) fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().expect("tokio starts")
}

/// Keeps a thread busy for about so many microseconds: the number of steps is found out once.
fn work(mut value: u64, micros: u64) -> u64 {
    static STEPS: LazyLock<u64> = LazyLock::new(|| {
        const SAMPLE: u64 = 1_000_000;
        let start = Instant::now();
        black_box(steps(black_box(1), SAMPLE));
        SAMPLE * 1000 / start.elapsed().as_nanos() as u64
    });
    value = steps(value, *STEPS * micros);
    black_box(value)
}

fn steps(mut value: u64, n: u64) -> u64 {
    for _ in 0..n {
        value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    value
}

fn on_tokio<F>(runtime: fn() -> Runtime, child: fn(u64) -> F) -> Vec<Contender>
where
    F: Future<Output = u64> + Send + 'static,
{
    vec![
        in_runtime(Yardstick, "spawn", runtime, move |_| tokio_tasks(child)),
        in_runtime(Peer, "JoinSet", runtime, move |_| join_set(child)),
        in_runtime(Foster, "scope", runtime, move |handle| scope(handle, child)),
    ]
}

/// A contender that runs on a runtime of its own, which it gets a handle to.
pub(super) fn in_runtime<F: Future>(
    role: Role,
    name: &'static str,
    runtime: fn() -> Runtime,
    work: impl Fn(Handle) -> F + 'static,
) -> Contender {
    let surroundings = LazyCell::new(move || {
        let runtime = runtime();
        let handle = handle_of(&runtime);
        (runtime, handle)
    });
    Contender::new(role, name, N, move || {
        let (runtime, handle) = &*surroundings;
        timed(|| runtime.block_on(work(handle.clone())))
    })
}

fn scope<F>(runtime: Handle, child: fn(u64) -> F) -> impl Future<Output = u64>
where
    F: Future<Output = u64> + Send + 'static,
{
    foster::scope(async move |s| {
        let tasks: Vec<_> = (0..N as u64).map(|i| s.spawn_on(child(i), &runtime)).collect();
        let mut total = 0;
        for task in tasks {
            total += task.await;
        }
        total
    })
}

async fn join_set<F>(child: fn(u64) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let mut set = JoinSet::new();
    for i in 0..N as u64 {
        set.spawn(child(i));
    }
    let mut total = 0;
    while let Some(value) = set.join_next().await {
        total += value.expect("it does not panic");
    }
    total
}

async fn tokio_tasks<F>(child: fn(u64) -> F) -> u64
where
    F: Future<Output = u64> + Send + 'static,
{
    let tasks: Vec<_> = (0..N as u64).map(|i| tokio::spawn(child(i))).collect();
    let mut total = 0;
    for task in tasks {
        total += task.await.expect("it does not panic");
    }
    total
}

async fn smol_tasks() -> u64 {
    let tasks: Vec<_> = (0..N as u64).map(|i| smol::spawn(async move { i })).collect();
    let mut total = 0;
    for task in tasks {
        total += task.await;
    }
    total
}

async fn async_std_tasks() -> u64 {
    let tasks: Vec<_> = (0..N as u64).map(|i| async_std::task::spawn(async move { i })).collect();
    let mut total = 0;
    for task in tasks {
        total += task.await;
    }
    total
}
