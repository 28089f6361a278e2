//! Row 9: a timeout that does not expire.

use std::future::{Future, ready};
use std::time::Duration;

use foster::Handle;
use foster::runtimes::{Smol, Tokio};
use smol::future::or;
use tokio::runtime::{Builder, Runtime};

use crate::children::YieldOnce;
use crate::measure::Role::{Floor, Foster, Peer, Yardstick};
use crate::measure::{Contender, Role, timed};
use crate::report::{Goal, Row, Unit};

const N: usize = 1000;
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "9-ready",
            work: "timeout around a ready future (tokio)",
            unit: Unit::Nanos,
            contenders: on_tokio(|i| ready(i as u64)),
            goals: vec![Goal::Absolute(6.0), Goal::Allocations(0.0)],
        },
        Row {
            id: "9-tokio",
            work: "timeout around one that yields once (tokio)",
            unit: Unit::Nanos,
            contenders: on_tokio(YieldOnce::new),
            goals: vec![Goal::Times(1.1, "tokio timeout, in a root"), Goal::Allocations(0.0)],
        },
        Row {
            id: "9-smol",
            work: "timeout around one that yields once (smol)",
            unit: Unit::Nanos,
            contenders: on_smol(YieldOnce::new),
            goals: vec![Goal::Times(1.1, "or(Timer), in a root"), Goal::AllocationsOf("or(Timer), in a root")],
        },
    ]
}

fn on_tokio<F>(make: fn(usize) -> F) -> Vec<Contender>
where
    F: Future<Output = u64> + 'static,
{
    fn on<F: Future>(role: Role, name: &'static str, work: impl Fn(Handle) -> F + 'static) -> Contender {
        let (runtime, handle) = runtime();
        Contender::new(role, name, N, move || timed(|| runtime.block_on(work(handle.clone()))))
    }
    vec![
        on(Floor, "no timeout", move |_| one_by_one(make, |value| value)),
        on(Peer, "tokio timeout", move |_| {
            one_by_one(move |i| tokio::time::timeout(LONG, make(i)), |value| value.unwrap_or(0))
        }),
        on(Yardstick, "tokio timeout, in a root", move |handle| {
            handle.enter(one_by_one(move |i| tokio::time::timeout(LONG, make(i)), |value| value.unwrap_or(0)))
        }),
        on(Foster, "timeout", move |handle| {
            handle.enter(one_by_one(move |i| foster::timeout(LONG, make(i)), |value| value.unwrap_or(0)))
        }),
    ]
}

fn on_smol<F>(make: fn(usize) -> F) -> Vec<Contender>
where
    F: Future<Output = u64> + 'static,
{
    fn on<F: Future>(role: Role, name: &'static str, work: impl Fn() -> F + 'static) -> Contender {
        Contender::new(role, name, N, move || timed(|| smol::block_on(work())))
    }
    let native = move |i| {
        let late = async {
            smol::Timer::after(LONG).await;
            None
        };
        or(async move { Some(make(i).await) }, late)
    };
    vec![
        on(Floor, "no timeout", move || one_by_one(make, |value| value)),
        on(Peer, "smol or(Timer)", move || one_by_one(native, |value| value.unwrap_or(0))),
        on(Yardstick, "or(Timer), in a root", move || {
            Smol::global().enter(one_by_one(native, |value| value.unwrap_or(0)))
        }),
        on(Foster, "timeout", move || {
            Smol::global().enter(one_by_one(move |i| foster::timeout(LONG, make(i)), |value| value.unwrap_or(0)))
        }),
    ]
}

fn runtime() -> (Runtime, Handle) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("tokio starts");
    let handle = {
        let _entered = runtime.enter();
        Handle::from(Tokio::current())
    };
    (runtime, handle)
}

/// Awaits so many futures on one task, one after the other.
async fn one_by_one<F: Future>(make: impl Fn(usize) -> F, value: impl Fn(F::Output) -> u64) -> u64 {
    let mut total = 0;
    for i in 0..N {
        total += value(make(i).await);
    }
    total
}
