//! What went wrong in the pools of others.

use std::time::Duration;

use foster::resource::PoolOptions;
use foster::testing::CountingWaker;
use foster::{gather, now, race, scope, sleep, timeout, yield_now};

use crate::harness::T;
use crate::server::{Does, Server};

const SECOND: Duration = Duration::from_secs(1);

sim! {
    /// A cancelled acquire lost its connection, until the pool was empty: sqlx#1869.
    async fn an_acquire_that_is_cancelled_loses_no_connection() {
        let server = Server::new();
        server.create_does(Does::SucceedAfter(SECOND));
        scope(async |s| {
            let pool = PoolOptions::new().max_size(2).build(server.clone(), s.spawner());
            for i in 0..40 {
                // Before, while and after it is connected.
                drop(timeout(SECOND * i / 10, pool.get()).await);
            }
            sleep(2 * SECOND).await;
            assert_eq!((pool.statistics().idle(), pool.statistics().size(), server.created()), (1, 1, 1));
            assert!(gather((pool.get(), pool.get())).await.1.is_ok());
        })
        .await;
    }

    /// Each caller connected by itself and threw the connection away when its time was up. A slow
    /// server had 20,000 connections a second: sqlx#3132.
    async fn a_thousand_callers_that_give_up_cost_no_more_connections_than_there_are_places() {
        let server = Server::new();
        server.create_does(Does::SucceedAfter(10 * SECOND));
        scope(async |s| {
            let pool = &PoolOptions::new().max_size(10).build(server.clone(), s.spawner());
            scope(async |s| {
                for _ in 0..1_000 {
                    s.spawn(async move { assert!(timeout(SECOND, pool.get()).await.is_err()) });
                }
            })
            .await;
            assert_eq!(server.attempts(), 10);
            sleep(10 * SECOND).await;
            assert_eq!((server.created(), pool.statistics().idle()), (10, 10));
        })
        .await;
    }

    /// A peer that had died kept the permit of a connection that was being returned for ever:
    /// sqlx#4349.
    async fn a_dead_peer_keeps_no_place_when_its_connection_is_returned() {
        let server = Server::new();
        for (reset, close) in [(Does::Hang, Does::Hang), (Does::Fail, Does::Hang), (Does::Fail, Does::HangShielded)] {
            server.reset_does(reset).close_does(close);
            scope(async |s| {
                let options = PoolOptions::new().max_size(1).grace(3 * SECOND);
                let pool = options.build(server.clone(), s.spawner());
                drop(pool.get().await.unwrap());
                let start = now();
                assert!(pool.get().await.is_ok());
                assert_eq!(now() - start, 3 * SECOND);
            })
            .await;
        }
        assert_eq!(server.open(), 0);
    }

    /// A waiter that was woken and dropped took the wake-up with it, and the next one slept beside
    /// a connection that was free: bb8#67, bb8#122.
    async fn a_waiter_that_is_dropped_when_it_is_woken_wakes_the_next_one() {
        scope(async |s| {
            let pool = &PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
            let held = pool.get().await.unwrap();
            let (waker, mut lost) = (CountingWaker::new(), Box::pin(pool.get()));
            assert!(waker.poll(lost.as_mut()).is_pending());
            let patient = s.spawn({
                let pool = pool.clone();
                async move { timeout(SECOND, pool.get()).await.is_ok() }
            });
            yield_now().await;
            drop(held);
            assert_eq!(waker.count(), 1);
            drop(lost);
            assert!(patient.await);
        })
        .await;
    }

    /// A task that gets and returns in a loop was always first, and those who waited never had
    /// their turn: sqlx#453.
    async fn who_is_always_there_again_overtakes_nobody() {
        scope(async |s| {
            let pool = &PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
            let greedy = async {
                loop {
                    let resource = pool.get().await.unwrap();
                    sleep(T).await;
                    drop(resource);
                }
            };
            let patient = async {
                for _ in 0..100 {
                    drop(pool.get().await.unwrap());
                    yield_now().await;
                }
            };
            let start = now();
            race((greedy, patient)).await;
            assert!(now() - start <= 110 * T, "it waited for {:?}", now() - start);
        })
        .await;
    }
}
