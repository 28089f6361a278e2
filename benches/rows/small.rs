//! Rows 17 and 18: a scope of two children, with a timeout around it and without one.

use std::future::Future;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::task::JoinSet;

use super::{in_a_root, in_a_task};
use crate::children::YieldOnce;
use crate::measure::Role::{Foster, Peer, Yardstick};
use crate::report::{Goal, Row, Unit};

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "17",
            work: "scope of two children that yield once",
            unit: Unit::Nanos,
            contenders: vec![
                in_a_task(Yardstick, "join!", join),
                in_a_task(Peer, "FuturesUnordered", unordered),
                in_a_task(Peer, "JoinSet", join_set),
                in_a_task(Foster, "scope", scope),
            ],
            goals: vec![Goal::InstructionsOver(2000.0, "join!"), Goal::Allocations(3.0)],
        },
        Row {
            id: "17-try",
            work: "try_scope of two children that yield once",
            unit: Unit::Nanos,
            contenders: vec![
                in_a_task(Yardstick, "join!", join),
                in_a_task(Peer, "FuturesUnordered", unordered),
                in_a_task(Peer, "JoinSet", join_set),
                in_a_task(Foster, "try_scope", try_scope),
            ],
            goals: vec![Goal::InstructionsOver(2000.0, "join!"), Goal::Allocations(3.0)],
        },
        Row {
            id: "18",
            work: "scope of two children, with a timeout (tokio)",
            unit: Unit::Nanos,
            contenders: vec![
                in_a_task(Peer, "timeout(join!)", |i| tokio::time::timeout(LONG, join(i))),
                in_a_root(Foster, "timeout(scope)", |i| foster::timeout(LONG, scope(i))),
            ],
            goals: vec![Goal::Times(2.0, "timeout(join!)")],
        },
    ]
}

async fn join(i: usize) -> u64 {
    let (a, b) = tokio::join!(YieldOnce::new(i), YieldOnce::new(i + 1));
    a + b
}

async fn unordered(i: usize) -> u64 {
    let set = FuturesUnordered::new();
    set.push(YieldOnce::new(i));
    set.push(YieldOnce::new(i + 1));
    set.fold(0, async |sum, value| sum + value).await
}

async fn join_set(i: usize) -> u64 {
    let mut set = JoinSet::new();
    set.spawn(YieldOnce::new(i));
    set.spawn(YieldOnce::new(i + 1));
    let mut sum = 0;
    while let Some(value) = set.join_next().await {
        sum += value.expect("it does not panic");
    }
    sum
}

fn scope(i: usize) -> impl Future<Output = u64> + Send {
    foster::scope(async move |s| {
        let a = s.spawn(YieldOnce::new(i));
        let b = s.spawn(YieldOnce::new(i + 1));
        a.await + b.await
    })
}

fn try_scope(i: usize) -> impl Future<Output = Result<u64, u32>> + Send {
    foster::try_scope(async move |s| {
        let a = s.spawn(async move { Ok(YieldOnce::new(i).await) });
        let b = s.spawn(async move { Ok(YieldOnce::new(i + 1).await) });
        Ok(a.await + b.await)
    })
}
