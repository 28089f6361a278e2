//! Rows 14 and 15: a race of two arms, of which the second never ends.

use std::future::{Future, Pending, pending, ready};

use futures::future::{Either, select};
use futures_concurrency::future::Race;
use smol::future::or;

use super::repeatedly;
use crate::children::YieldOnce;
use crate::measure::Contender;
use crate::measure::Role::{Floor, Foster, Peer};
use crate::report::{Goal, Row, Unit};

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "14",
            work: "race of two arms, the first is ready",
            unit: Unit::Nanos,
            contenders: contenders(|i| ready(i as u64)),
            goals: vec![Goal::Times(1.0, "tokio::select!"), Goal::Allocations(0.0)],
        },
        Row {
            id: "14-array",
            work: "the same arms in an array",
            unit: Unit::Nanos,
            contenders: array(),
            goals: vec![Goal::Times(1.0, "tokio::select!"), Goal::Allocations(0.0)],
        },
        Row {
            id: "15",
            work: "race of two arms, the first yields once",
            unit: Unit::Nanos,
            contenders: contenders(YieldOnce::new),
            goals: vec![Goal::Times(1.3, "tokio::select!"), Goal::Allocations(0.0)],
        },
    ]
}

fn never() -> Pending<u64> {
    pending()
}

fn contenders<F>(make: fn(usize) -> F) -> Vec<Contender>
where
    F: Future<Output = u64> + Unpin + 'static,
{
    vec![
        repeatedly(Floor, "the first arm alone", make),
        repeatedly(Peer, "futures::select", move |i| async move {
            match select(make(i), never()).await {
                Either::Left((value, _)) | Either::Right((value, _)) => value,
            }
        }),
        repeatedly(Peer, "futures_lite::or", move |i| or(make(i), never())),
        repeatedly(Peer, "futures-concurrency", move |i| (make(i), never()).race()),
        repeatedly(Peer, "tokio::select!", move |i| async move {
            tokio::select! {
                value = make(i) => value,
                value = never() => value,
            }
        }),
        repeatedly(Foster, "race", move |i| foster::race((make(i), never()))),
    ]
}

fn array() -> Vec<Contender> {
    /// Ready, or never.
    fn arm(i: Option<usize>) -> impl Future<Output = u64> + Unpin {
        match i {
            Some(i) => Either::Left(ready(i as u64)),
            None => Either::Right(never()),
        }
    }
    vec![
        repeatedly(Peer, "futures-concurrency", |i| [arm(Some(i)), arm(None)].race()),
        repeatedly(Peer, "tokio::select!", |i| async move {
            tokio::select! {
                value = arm(Some(i)) => value,
                value = arm(None) => value,
            }
        }),
        repeatedly(Foster, "race", |i| foster::race([arm(Some(i)), arm(None)])),
    ]
}
