//! Row 16: waiting for all of a few futures, each of a type of its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::select_ok;
use futures_concurrency::future::{Join, RaceOk, TryJoin};

use super::repeatedly;
use crate::children::YieldOnce;
use crate::measure::Role::{Foster, Peer};
use crate::report::{Goal, Row, Unit};

pub(crate) fn rows() -> Vec<Row> {
    let row = |id, work, contenders| Row {
        id,
        work,
        unit: Unit::Nanos,
        contenders,
        goals: vec![Goal::Instructions(1.2, "join!"), Goal::Allocations(0.0)],
    };
    vec![
        row(
            "16",
            "gather of two that yield once",
            vec![
                repeatedly(Peer, "join!", |i| async move { tokio::join!(YieldOnce::new(i), YieldOnce::new(i + 1)) }),
                repeatedly(Peer, "futures::join!", |i| async move {
                    futures::join!(YieldOnce::new(i), YieldOnce::new(i + 1))
                }),
                repeatedly(Peer, "futures-concurrency", |i| (YieldOnce::new(i), YieldOnce::new(i + 1)).join()),
                repeatedly(Foster, "gather", |i| foster::gather((YieldOnce::new(i), YieldOnce::new(i + 1)))),
            ],
        ),
        row(
            "16-array",
            "the same in an array",
            vec![
                repeatedly(Peer, "join!", |i| async move { tokio::join!(YieldOnce::new(i), YieldOnce::new(i + 1)) }),
                repeatedly(Peer, "futures-concurrency", |i| [YieldOnce::new(i), YieldOnce::new(i + 1)].join()),
                repeatedly(Foster, "gather", |i| foster::gather([YieldOnce::new(i), YieldOnce::new(i + 1)])),
            ],
        ),
        row(
            "16-twelve",
            "gather of twelve that yield once",
            vec![
                repeatedly(Peer, "join!", |i| async move {
                    let f = |n| YieldOnce::new(i + n);
                    tokio::join!(f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11))
                }),
                repeatedly(Peer, "futures-concurrency", |i| {
                    let f = |n| YieldOnce::new(i + n);
                    (f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11)).join()
                }),
                repeatedly(Foster, "gather", |i| {
                    let f = |n| YieldOnce::new(i + n);
                    foster::gather((f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11)))
                }),
            ],
        ),
        row(
            "16-try",
            "try_gather of two that succeed",
            vec![
                repeatedly(Peer, "join!", |i| async move { tokio::try_join!(Fallible::new(i), Fallible::new(i + 1)) }),
                repeatedly(Peer, "futures-concurrency", |i| (Fallible::new(i), Fallible::new(i + 1)).try_join()),
                repeatedly(Foster, "try_gather", |i| foster::try_gather((Fallible::new(i), Fallible::new(i + 1)))),
            ],
        ),
        row(
            "16-results",
            "gather of two that return a Result",
            vec![
                repeatedly(Peer, "join!", |i| async move { tokio::join!(Fallible::new(i), Fallible::new(i + 1)) }),
                repeatedly(Peer, "futures-concurrency", |i| (Fallible::new(i), Fallible::new(i + 1)).join()),
                repeatedly(Foster, "gather", |i| foster::gather((Fallible::new(i), Fallible::new(i + 1)))),
            ],
        ),
        row(
            "16-race-ok",
            "race_ok of two that succeed",
            vec![
                repeatedly(Peer, "join!", |i| async move { tokio::join!(Fallible::new(i), Fallible::new(i + 1)) }),
                repeatedly(Peer, "select_ok", |i| select_ok([Fallible::new(i), Fallible::new(i + 1)])),
                repeatedly(Peer, "futures-concurrency", |i| (Fallible::new(i), Fallible::new(i + 1)).race_ok()),
                repeatedly(Foster, "race_ok", |i| foster::race_ok((Fallible::new(i), Fallible::new(i + 1)))),
            ],
        ),
    ]
}

/// Succeeds after one yield.
struct Fallible(YieldOnce);

impl Fallible {
    fn new(value: usize) -> Self {
        Fallible(YieldOnce::new(value))
    }
}

impl Future for Fallible {
    type Output = Result<u64, u32>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}
