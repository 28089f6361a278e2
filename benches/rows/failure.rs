//! Row 8: the first error ends a thousand children that are pending.

use std::future::Future;

use foster::Handle;
use foster::runtimes::Tokio;
use futures_concurrency::future::TryJoin;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::on_futures;
use crate::children::Doomed;
use crate::floor;
use crate::measure::Role::{Floor, Foster, Peer};
use crate::measure::{Contender, Role, timed};
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
        on_tokio("8-tokio", "the same on tokio (current thread)", Unit::Nanos, || {
            Builder::new_current_thread().build()
        }),
        on_tokio("8-tokio2", "the same on tokio (2 threads)", Unit::Elapsed, || {
            Builder::new_multi_thread().worker_threads(2).build()
        }),
    ]
}

fn on_tokio(id: &'static str, work: &'static str, unit: Unit, runtime: fn() -> std::io::Result<Runtime>) -> Row {
    fn on<F: Future>(role: Role, name: &'static str, runtime: Runtime, work: impl Fn() -> F + 'static) -> Contender {
        Contender::new(role, name, N, move || timed(|| runtime.block_on(work())))
    }
    let runtime = || runtime().expect("tokio starts");
    let mine = runtime();
    let handle = {
        let _entered = mine.enter();
        Handle::from(Tokio::current())
    };
    let contenders =
        vec![on(Peer, "JoinSet", runtime(), join_set), on(Foster, "try_scope", mine, move || parallel(handle.clone()))];
    Row { id, work, unit, contenders, goals: vec![Goal::Times(1.0, "JoinSet")] }
}

fn in_task() -> impl Future<Output = Result<(), u64>> {
    foster::try_scope(async |s| {
        for child in Doomed::all(N) {
            s.try_spawn(child);
        }
        Ok(())
    })
}

fn parallel(runtime: Handle) -> impl Future<Output = Result<(), u64>> {
    foster::try_scope(async move |s| {
        for child in Doomed::all(N) {
            s.try_spawn_on(&runtime, child);
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
