//! Row 5: working off many items with a limited number of futures at a time.

use std::future::ready;

use foster::ConcurrentIterator;
use futures::stream::{self, StreamExt};
use futures_buffered::BufferedStreamExt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::on_futures;
use crate::children::YieldOnce;
use crate::floor;
use crate::measure::Role::{Floor, Foster, Peer};
use crate::report::{Goal, Row, Unit};

const N: usize = 100_000;
const LIMIT: usize = 100;

pub(crate) fn rows() -> Vec<Row> {
    let contenders = vec![
        on_futures(Floor, "floor", N, || floor::sum_by(LIMIT, (0..N).map(YieldOnce::new))),
        on_futures(Peer, "buffer_unordered", N, || {
            stream::iter(0..N).map(YieldOnce::new).buffer_unordered(LIMIT).fold(0, |sum, n| ready(sum + n))
        }),
        on_futures(Peer, "for_each_concurrent", N, || async {
            let sum = AtomicU64::new(0);
            let items = stream::iter(0..N);
            let add = |n| {
                let sum = &sum;
                async move { _ = sum.fetch_add(YieldOnce::new(n).await, Ordering::Relaxed) }
            };
            StreamExt::for_each_concurrent(items, LIMIT, add).await;
            sum.into_inner()
        }),
        on_futures(Peer, "futures-buffered", N, || {
            stream::iter(0..N).map(YieldOnce::new).buffered_unordered(LIMIT).fold(0, |sum, n| ready(sum + n))
        }),
        on_futures(Foster, "map_concurrent", N, || {
            (0..N).map_concurrent(LIMIT, YieldOnce::new).fold(0, |sum, n| ready(sum + n))
        }),
    ];
    vec![Row {
        id: "5",
        work: "map 100,000, 100 at a time, each yields once",
        unit: Unit::Nanos,
        contenders,
        goals: vec![Goal::Times(2.0, "floor"), Goal::Allocations(0.0)],
    }]
}
