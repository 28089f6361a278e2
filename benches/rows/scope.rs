//! Row 6: a scope's children on one task.

use std::future::Future;

use futures::StreamExt;
use futures::channel::oneshot;
use futures::stream::FuturesUnordered;

use super::{on_futures, sum};
use crate::measure::Role::{Foster, Peer, Yardstick};
use crate::report::{Goal, Row, Unit};

const THOUSAND: usize = 1000;
const MILLION: usize = 1_000_000;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "6",
            work: "scope: spawn 1,000, await each",
            unit: Unit::Nanos,
            contenders: vec![
                on_futures(Peer, "moro", THOUSAND, || moro(THOUSAND)),
                on_futures(Peer, "FuturesUnordered", THOUSAND, || unordered(THOUSAND)),
                on_futures(Foster, "scope", THOUSAND, || scope(THOUSAND)),
            ],
            goals: vec![Goal::Times(0.45, "FuturesUnordered"), Goal::Allocations(1.0)],
        },
        Row {
            id: "6-million",
            work: "scope: spawn 1,000,000, await each",
            unit: Unit::Nanos,
            contenders: vec![
                on_futures(Peer, "moro", MILLION, || moro(MILLION)),
                on_futures(Foster, "scope", MILLION, || scope(MILLION)),
                on_futures(Yardstick, "scope of 1,000", THOUSAND, || scope(THOUSAND)),
            ],
            goals: vec![Goal::Times(1.2, "scope of 1,000"), Goal::Allocations(1.0)],
        },
    ]
}

fn scope(n: usize) -> impl Future<Output = u64> {
    foster::scope(async move |s| {
        let tasks: Vec<_> = (0..n as u64).map(|i| s.spawn(async move { i })).collect();
        let mut total = 0;
        for task in tasks {
            total += task.await;
        }
        total
    })
}

async fn moro(n: usize) -> u64 {
    moro::async_scope!(|s| {
        let tasks: Vec<_> = (0..n as u64).map(|i| s.spawn(async move { i })).collect();
        let mut total = 0;
        for task in tasks {
            total += task.await;
        }
        total
    })
    .await
}

/// What one writes without a scope: a set, a channel for each value, and both polled together.
async fn unordered(n: usize) -> u64 {
    let set = FuturesUnordered::new();
    let mut receivers = Vec::with_capacity(n);
    for i in 0..n as u64 {
        let (sender, receiver) = oneshot::channel();
        set.push(async move { _ = sender.send(i) });
        receivers.push(receiver);
    }
    let values = async {
        let mut values = Vec::with_capacity(n);
        for receiver in receivers {
            values.extend(receiver.await);
        }
        values
    };
    let (values, ()) = futures::future::join(values, set.for_each(|()| async {})).await;
    sum(values)
}
