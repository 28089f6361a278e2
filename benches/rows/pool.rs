//! Row 24: pools, with an idle resource, and with more tasks than resources.

use std::convert::Infallible;
use std::future::Future;

use foster::resource::PoolOptions;

use super::{CALLS, on_tokio, one_by_one};
use crate::children::YieldOnce;
use crate::measure::Role::{Foster, Peer};
use crate::measure::{Cost, Lap};
use crate::report::{Goal, Row, Unit};

/// The resources of a pool, and the tasks that want one.
const SIZE: usize = 10;
const TASKS: usize = 100;

/// What all pools share.
struct Numbers;

impl foster::resource::Manager for Numbers {
    type Resource = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }
}

impl deadpool::managed::Manager for Numbers {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl bb8::ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

fn deadpool() -> deadpool::managed::Pool<Numbers> {
    deadpool::managed::Pool::builder(Numbers).max_size(SIZE).build().expect("it needs no runtime")
}

async fn bb8() -> bb8::Pool<Numbers> {
    let builder = bb8::Pool::builder().max_size(SIZE as u32).test_on_check_out(false);
    builder.build(Numbers).await.expect("it connects to nothing")
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "24",
            work: "pool: get and return, one is idle",
            unit: Unit::Nanos,
            contenders: vec![
                on_tokio(Peer, "deadpool", |_| async {
                    let pool = &deadpool();
                    idle(|| pool.get()).await
                }),
                on_tokio(Peer, "bb8", |_| async {
                    let pool = &bb8().await;
                    idle(|| pool.get()).await
                }),
                on_tokio(Foster, "foster", |_| {
                    foster::scope(async |s| {
                        let pool = &PoolOptions::new().max_size(SIZE).build(Numbers, s.spawner());
                        idle(|| pool.get()).await
                    })
                }),
            ],
            goals: vec![Goal::Times(1.0, "deadpool"), Goal::Allocations(0.0)],
        },
        Row {
            id: "24-crowd",
            work: "pool: 100 at 10 resources, each yields once with one",
            unit: Unit::Nanos,
            contenders: vec![
                on_tokio(Peer, "deadpool", |_| async {
                    let pool = &deadpool();
                    crowd(|| pool.get()).await
                }),
                on_tokio(Peer, "bb8", |_| async {
                    let pool = &bb8().await;
                    crowd(|| pool.get()).await
                }),
                on_tokio(Foster, "foster", |_| {
                    foster::scope(async |s| {
                        let pool = &PoolOptions::new().max_size(SIZE).build(Numbers, s.spawner());
                        crowd(|| pool.get()).await
                    })
                }),
            ],
            goals: vec![Goal::Times(1.0, "deadpool")],
        },
    ]
}

/// One task that gets and returns.
async fn idle<F: Future>(get: impl Fn() -> F) -> Cost {
    drop(get().await);
    let lap = Lap::start();
    one_by_one(|_| get()).await;
    lap.stop()
}

/// As many tasks that get, hold and return, again and again.
async fn crowd<F: Future>(get: impl Fn() -> F) -> Cost {
    let round = async || {
        let hold = async |i| {
            let resource = get().await;
            YieldOnce::new(i).await;
            drop(resource);
        };
        foster::gather((0..TASKS).map(hold)).await.len()
    };
    round().await;
    let lap = Lap::start();
    for _ in 0..CALLS / TASKS {
        round().await;
    }
    lap.stop()
}
