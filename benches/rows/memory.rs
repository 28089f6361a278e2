//! Row 12: what a million pending futures of 16 bytes occupy.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use futures::stream::{FuturesUnordered, StreamExt};
use futures_concurrency::future::Join;

use crate::children::Never;
use crate::measure::Role::{Floor, Foster, Peer};
use crate::measure::{Contender, Role, timed};
use crate::report::{Goal, Row, Unit};

const N: usize = 1_000_000;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "12",
            work: "gather: bytes a pending future of 16 bytes",
            unit: Unit::Bytes,
            contenders: vec![
                pending(Floor, "floor", || crate::floor::gather((0..N).map(Never::new))),
                pending(Peer, "futures-buffered", || futures_buffered::join_all((0..N).map(Never::new))),
                pending(Peer, "futures-concurrency", || (0..N).map(Never::new).collect::<Vec<_>>().join()),
                pending(Peer, "FuturesUnordered", || {
                    (0..N).map(Never::new).collect::<FuturesUnordered<_>>().collect::<Vec<_>>()
                }),
                pending(Foster, "gather", || foster::gather((0..N).map(Never::new))),
            ],
            goals: vec![Goal::Absolute(24.0)],
        },
        Row {
            id: "12-scope",
            work: "scope: bytes a pending child of 16 bytes",
            unit: Unit::Bytes,
            contenders: vec![Contender::new(Peer, "tokio::spawn", N, spawned), pending(Foster, "scope", scope)],
            goals: vec![Goal::Absolute(96.0)],
        },
    ]
}

/// What a future occupies once all in it are pending.
fn pending<F>(role: Role, name: &'static str, make: fn() -> F) -> Contender
where
    F: Future + 'static,
{
    Contender::new(role, name, N, move || {
        timed(|| {
            let mut future = Box::pin(make());
            poll_all(future.as_mut());
            future
        })
    })
}

/// Polls until everybody who wants to has been polled: engines may do that in several steps.
fn poll_all<F: Future>(mut future: Pin<&mut F>) {
    for _ in 0..N / 16 {
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}

fn scope() -> impl Future<Output = ()> {
    foster::scope(async |s| {
        for i in 0..N {
            s.spawn(Never::new(i));
        }
    })
}

fn spawned() -> crate::measure::Cost {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("tokio starts");
    timed(|| {
        runtime.block_on(async {
            for i in 0..N {
                tokio::spawn(Never::new(i));
            }
            // Behind all of them.
            tokio::spawn(async {}).await.expect("it does not panic");
        });
    })
}
