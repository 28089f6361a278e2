//! Row 7: children on a runtime.

use std::future::Future;

use foster::Handle;
use foster::runtimes::{AsyncStd, Smol, Tokio};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

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
            contenders: on_tokio(|| Builder::new_current_thread().build().expect("tokio starts")),
            goals: vec![Goal::Times(0.75, "JoinSet"), Goal::Allocations(2.0)],
        },
        Row {
            id: "7-tokio2",
            work: "spawn_on tokio (2 threads), await each",
            unit: Unit::Nanos,
            contenders: on_tokio(|| Builder::new_multi_thread().worker_threads(2).build().expect("tokio starts")),
            goals: vec![Goal::Times(0.75, "JoinSet"), Goal::Allocations(2.0)],
        },
        Row {
            id: "7-smol",
            work: "spawn_on smol, await each",
            unit: Unit::Nanos,
            contenders: vec![
                Contender::new(Peer, "smol::spawn", N, || timed(|| smol::block_on(smol_tasks()))),
                Contender::new(Foster, "scope", N, || timed(|| smol::block_on(scope(Smol::global().into())))),
            ],
            goals: vec![Goal::Times(1.3, "smol::spawn")],
        },
        Row {
            id: "7-async-std",
            work: "spawn_on async-std, await each",
            unit: Unit::Nanos,
            contenders: vec![
                Contender::new(Peer, "async_std spawn", N, || timed(|| async_std::task::block_on(async_std_tasks()))),
                Contender::new(Foster, "scope", N, || {
                    timed(|| async_std::task::block_on(scope(AsyncStd::global().into())))
                }),
            ],
            goals: vec![Goal::Times(1.3, "async_std spawn")],
        },
    ]
}

fn on_tokio(runtime: fn() -> Runtime) -> Vec<Contender> {
    fn on<F: Future>(role: Role, name: &'static str, runtime: Runtime, work: impl Fn() -> F + 'static) -> Contender {
        Contender::new(role, name, N, move || timed(|| runtime.block_on(work())))
    }
    let mine = runtime();
    let handle = {
        let _entered = mine.enter();
        Handle::from(Tokio::current())
    };
    vec![
        on(Yardstick, "spawn", runtime(), tokio_tasks),
        on(Peer, "JoinSet", runtime(), join_set),
        on(Foster, "scope", mine, move || scope(handle.clone())),
    ]
}

fn scope(runtime: Handle) -> impl Future<Output = u64> {
    foster::scope(move |s| async move {
        let tasks: Vec<_> = (0..N as u64).map(|i| s.spawn_on(&runtime, async move { i })).collect();
        let mut total = 0;
        for task in tasks {
            total += task.await;
        }
        total
    })
}

async fn join_set() -> u64 {
    let mut set = JoinSet::new();
    for i in 0..N as u64 {
        set.spawn(async move { i });
    }
    let mut total = 0;
    while let Some(value) = set.join_next().await {
        total += value.expect("it does not panic");
    }
    total
}

async fn tokio_tasks() -> u64 {
    let tasks: Vec<_> = (0..N as u64).map(|i| tokio::spawn(async move { i })).collect();
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
