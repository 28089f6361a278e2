//! Row 4: leaf futures that answer `Pending` when their runtime's budget for one poll is used up.

use std::cell::LazyCell;
use std::future::Future;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use futures_concurrency::future::Join;
use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, Receiver};

use crate::measure::Role::{Floor, Foster, Peer};
use crate::measure::{Contender, Lap, Role};
use crate::report::{Goal, Row, Unit};

const N: usize = 100_000;

pub(crate) fn rows() -> Vec<Row> {
    vec![Row {
        id: "4",
        work: "gather 100,000 ready oneshots in a tokio task",
        unit: Unit::Nanos,
        contenders: vec![
            in_a_task(Floor, "one by one", |receivers| async {
                for receiver in receivers {
                    _ = std::hint::black_box(receiver.await);
                }
            }),
            in_a_task(Peer, "futures-buffered", futures_buffered::join_all),
            in_a_task(Peer, "futures-concurrency", |receivers| receivers.join()),
            in_a_task(Peer, "FuturesUnordered", |receivers| {
                receivers.into_iter().collect::<FuturesUnordered<_>>().collect::<Vec<_>>()
            }),
            in_a_task(Peer, "join_all", join_all),
            in_a_task(Foster, "gather", foster::gather),
        ],
        goals: vec![Goal::Absolute(70.0)],
    }]
}

/// What waiting for receivers costs inside one task of a current-thread runtime. The channels are
/// made before that.
fn in_a_task<F>(role: Role, name: &'static str, wait: fn(Vec<Receiver<usize>>) -> F) -> Contender
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let runtime = LazyCell::new(|| Builder::new_current_thread().build().expect("tokio starts"));
    Contender::new(role, name, N, move || {
        let receivers = (0..N).map(|i| {
            let (sender, receiver) = oneshot::channel();
            sender.send(i).expect("the receiver is there");
            receiver
        });
        let receivers: Vec<_> = receivers.collect();
        let task = async move {
            let lap = Lap::start();
            drop(wait(receivers).await);
            lap.stop()
        };
        runtime.block_on(async { tokio::spawn(task).await }).expect("it does not panic")
    })
}
