//! Row 8: the first error ends a thousand children that are pending.

use std::future::Future;

use foster::Handle;
use futures_concurrency::future::TryJoin;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::on_futures;
use super::parallel::{in_runtime, one_thread, two_threads};
use crate::children::Doomed;
use crate::floor;
use crate::measure::Role::{Floor, Foster, Peer};
use crate::report::{Goal, Row, Unit};

const N: usize = 1000;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "8",
            work: "try_gather: an error drops 1,000 pending",
            unit: Unit::Nanos,
            contenders: vec![
                on_futures(Floor, "floor", N, || floor::first_error(Doomed::all(N))),
                on_futures(Peer, "futures-concurrency", N, || Doomed::all(N).collect::<Vec<_>>().try_join()),
                on_futures(Peer, "futures-buffered", N, || futures_buffered::try_join_all(Doomed::all(N))),
                on_futures(Foster, "try_gather", N, || foster::try_gather(Doomed::all(N))),
            ],
            goals: vec![Goal::Times(1.5, "floor")],
        },
        Row {
            id: "8-scope",
            work: "try_scope: an error drops 1,000 pending",
            unit: Unit::Nanos,
            contenders: vec![
                on_futures(Peer, "futures-concurrency", N, || {
                    Doomed::all(N).map(Box::pin).collect::<Vec<_>>().try_join()
                }),
                on_futures(Foster, "try_scope", N, in_task),
            ],
            goals: vec![],
        },
        on_tokio("8-tokio", "try_scope on tokio (current thread): the same", Unit::Nanos, one_thread),
        on_tokio("8-tokio2", "try_scope on tokio (2 threads): the same", Unit::Elapsed, two_threads),
    ]
}

fn on_tokio(id: &'static str, work: &'static str, unit: Unit, runtime: fn() -> Runtime) -> Row {
    let contenders =
        vec![in_runtime(Peer, "JoinSet", runtime, |_| join_set()), in_runtime(Foster, "try_scope", runtime, parallel)];
    Row { id, work, unit, contenders, goals: vec![Goal::Times(1.0, "JoinSet")] }
}

fn in_task() -> impl Future<Output = Result<(), u64>> {
    foster::try_scope(async |s| {
        for child in Doomed::all(N) {
            s.spawn(child);
        }
        Ok(())
    })
}

fn parallel(runtime: Handle) -> impl Future<Output = Result<(), u64>> {
    foster::try_scope(async move |s| {
        for child in Doomed::all(N) {
            s.spawn_on(child, &runtime);
        }
        Ok(())
    })
}

async fn join_set() -> Result<(), u64> {
    let mut set = JoinSet::new();
    for child in Doomed::all(N) {
        set.spawn(child);
    }
    while let Some(ended) = set.join_next().await {
        if let Err(error) = ended.expect("it does not panic") {
            set.shutdown().await;
            return Err(error);
        }
    }
    Ok(())
}
