//! Rows 1, 2 and 3: waiting for all of many futures.

use std::future::{Future, ready};

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use futures_concurrency::future::Join;

use super::on_futures;
use crate::children::YieldOnce;
use crate::floor;
use crate::measure::Contender;
use crate::measure::Role::{Floor, Foster, Peer, Yardstick};
use crate::report::{Goal, Row, Unit};

const MILLION: usize = 1_000_000;

pub(crate) fn rows() -> Vec<Row> {
    let mut million = vec![
        on_futures(Floor, "floor", MILLION, || floor::gather((0..MILLION).map(YieldOnce::new))),
        on_futures(Peer, "futures-buffered", MILLION, || futures_buffered::join_all((0..MILLION).map(YieldOnce::new))),
        on_futures(Foster, "gather", MILLION, || foster::gather((0..MILLION).map(YieldOnce::new))),
    ];
    million.push(on_futures(Yardstick, "gather of 1,000", 1000, || foster::gather((0..1000).map(YieldOnce::new))));
    vec![
        Row {
            id: "1",
            work: "gather 1,000 that yield once",
            unit: Unit::Nanos,
            contenders: contenders(1000, YieldOnce::new),
            goals: vec![Goal::Times(1.5, "floor"), Goal::Allocations(0.05)],
        },
        Row {
            id: "1-million",
            work: "gather 1,000,000 that yield once",
            unit: Unit::Nanos,
            contenders: million,
            goals: vec![Goal::Times(1.2, "gather of 1,000"), Goal::Times(1.5, "floor")],
        },
        Row {
            id: "2",
            work: "gather 10 that yield once",
            unit: Unit::Nanos,
            contenders: contenders(10, YieldOnce::new),
            goals: vec![Goal::Times(1.5, "join_all")],
        },
        Row {
            id: "3",
            work: "gather 1,000 that are ready",
            unit: Unit::Nanos,
            contenders: contenders(1000, |i| ready(i as u64)),
            goals: vec![Goal::Times(3.0, "floor")],
        },
    ]
}

/// Everybody, with `n` of what `make` makes.
fn contenders<F>(n: usize, make: fn(usize) -> F) -> Vec<Contender>
where
    F: Future<Output = u64> + 'static,
{
    vec![
        on_futures(Floor, "floor", n, move || floor::gather((0..n).map(make))),
        on_futures(Peer, "join_all", n, move || join_all((0..n).map(make))),
        on_futures(Peer, "FuturesUnordered", n, move || {
            (0..n).map(make).collect::<FuturesUnordered<_>>().collect::<Vec<_>>()
        }),
        on_futures(Peer, "futures-buffered", n, move || futures_buffered::join_all((0..n).map(make))),
        on_futures(Peer, "futures-concurrency", n, move || (0..n).map(make).collect::<Vec<_>>().join()),
        on_futures(Foster, "gather", n, move || foster::gather((0..n).map(make))),
    ]
}
