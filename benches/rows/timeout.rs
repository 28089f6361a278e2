//! Rows 9, 20 and 21: a timeout that does not expire.

use std::future::{Future, Ready, ready};
use std::time::Duration;

use foster::runtimes::Smol;
use smol::future::or;

use super::{CALLS, in_a_root, in_a_task, one_by_one};
use crate::children::YieldOnce;
use crate::measure::Role::{Floor, Foster, Peer, Yardstick};
use crate::measure::{Contender, Role, timed};
use crate::report::{Goal, Row, Unit};

const LONG: Duration = Duration::from_secs(60);

pub(crate) fn rows() -> Vec<Row> {
    let ready: fn(usize) -> Ready<u64> = |i| ready(i as u64);
    vec![
        Row {
            id: "9-tokio",
            work: "timeout around one that yields once (tokio)",
            unit: Unit::Nanos,
            contenders: vec![
                in_a_task(Floor, "no timeout", YieldOnce::new),
                in_a_root(Peer, "tokio timeout, in a root", |i| tokio::time::timeout(LONG, YieldOnce::new(i))),
                in_a_root(Foster, "timeout", |i| foster::timeout(LONG, YieldOnce::new(i))),
            ],
            goals: vec![Goal::Times(1.1, "tokio timeout, in a root"), Goal::Allocations(0.0)],
        },
        Row {
            id: "9-smol",
            work: "timeout around one that yields once (smol)",
            unit: Unit::Nanos,
            contenders: on_smol(YieldOnce::new),
            goals: vec![Goal::Times(1.1, "or(Timer), in a root"), Goal::AllocationsOf("or(Timer), in a root")],
        },
        Row {
            id: "20",
            work: "timeout in a root, tokio's without one",
            unit: Unit::Nanos,
            contenders: beside_tokio(
                YieldOnce::new,
                in_a_root(Foster, "timeout", |i| foster::timeout(LONG, YieldOnce::new(i))),
            ),
            goals: vec![Goal::Times(1.05, "tokio timeout"), Goal::Allocations(0.0)],
        },
        Row {
            id: "20-ready",
            work: "timeout around a ready future, in a root",
            unit: Unit::Nanos,
            contenders: beside_tokio(ready, in_a_root(Foster, "timeout", move |i| foster::timeout(LONG, ready(i)))),
            goals: vec![Goal::Absolute(8.0), Goal::Allocations(0.0)],
        },
        Row {
            id: "21",
            work: "timeout in a bare tokio task",
            unit: Unit::Nanos,
            contenders: beside_tokio(
                YieldOnce::new,
                in_a_task(Foster, "timeout", |i| foster::timeout(LONG, YieldOnce::new(i))),
            ),
            goals: vec![Goal::Times(1.05, "tokio timeout"), Goal::Allocations(0.0)],
        },
        Row {
            id: "21-ready",
            work: "timeout around a ready future, in a bare task",
            unit: Unit::Nanos,
            contenders: beside_tokio(ready, in_a_task(Foster, "timeout", move |i| foster::timeout(LONG, ready(i)))),
            goals: vec![Goal::Absolute(8.0), Goal::Allocations(0.0)],
        },
    ]
}

/// A foster's timeout beside tokio's in a task of its own.
fn beside_tokio<F>(make: fn(usize) -> F, mine: Contender) -> Vec<Contender>
where
    F: Future<Output = u64> + Send + 'static,
{
    vec![
        in_a_task(Floor, "no timeout", make),
        in_a_task(Peer, "tokio timeout", move |i| tokio::time::timeout(LONG, make(i))),
        mine,
    ]
}

fn on_smol<F>(make: fn(usize) -> F) -> Vec<Contender>
where
    F: Future<Output = u64> + 'static,
{
    fn on<F: Future>(role: Role, name: &'static str, work: impl Fn() -> F + 'static) -> Contender {
        Contender::new(role, name, CALLS, move || timed(|| smol::block_on(work())))
    }
    let native = move |i| {
        let late = async {
            smol::Timer::after(LONG).await;
            None
        };
        or(async move { Some(make(i).await) }, late)
    };
    vec![
        on(Floor, "no timeout", move || one_by_one(make)),
        on(Peer, "smol or(Timer)", move || one_by_one(native)),
        on(Yardstick, "or(Timer), in a root", move || Smol::global().enter(one_by_one(native))),
        on(Foster, "timeout", move || Smol::global().enter(one_by_one(move |i| foster::timeout(LONG, make(i))))),
    ]
}
