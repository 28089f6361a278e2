//! How a pool ends, and what its scope has to do with it.

use std::sync::Arc;
use std::time::Duration;

use foster::resource::{Pool, PoolOptions};
use foster::runtimes::Sim;
use foster::sync::Event;
use foster::testing::CountingWaker;
use foster::{Reason, gather, now, scope, sleep, timeout, yield_now};

use crate::cancelled::in_a_cancelled_region;
use crate::harness::{T, watched};
use crate::server::{Does, Server};

const SECOND: Duration = Duration::from_secs(1);

matrix! {
    async fn closing_waits_until_what_is_in_use_has_come_back_and_is_closed() {
        let server = Server::new();
        server.close_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = PoolOptions::new().max_size(2).build(server.clone(), s.spawner());
            let (one, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
            let (waker, mut waiting) = (CountingWaker::new(), Box::pin(pool.get()));
            assert!(waker.poll(waiting.as_mut()).is_pending());
            drop(one);
            let mut close = Box::pin(pool.close());
            assert!(pool.is_closed() && waker.poll(close.as_mut()).is_pending());
            assert!(waiting.await.is_ok(), "it had its turn before");
            assert!(pool.get().await.unwrap_err().is_closed());
            drop(other);
            close.await;
            assert_eq!((server.open(), server.closed(), pool.statistics().size()), (0, 2, 0));
            pool.close().await;
        })
        .await;
    }

    async fn those_who_wait_get_an_error_when_the_pool_is_closed() {
        scope(async |s| {
            let pool = &PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
            let _held = pool.get().await.unwrap();
            let (waited, ()) = gather((pool.get(), async { drop(pool.close()) })).await;
            let error = waited.unwrap_err();
            assert!(error.is_closed());
            assert_eq!(error.to_string(), "the pool is closed");
        })
        .await;
    }

    async fn the_last_handle_closes_the_pool() {
        let server = Server::new();
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            let clone = pool.clone();
            let held = pool.get().await.unwrap();
            drop(pool.get().await.unwrap());
            drop(pool);
            assert!(!clone.is_closed());
            drop(clone);
            while server.closed() == 0 {
                sleep(T).await;
            }
            drop(held);
        })
        .await;
        assert_eq!((server.closed(), server.open()), (2, 0), "the scope waits for both");
    }

    async fn what_is_being_created_is_dropped_when_the_pool_is_closed() {
        let server = Server::new();
        server.create_does(Does::Hang);
        let options = PoolOptions::new().min_idle(1).create_timeout(Duration::MAX);
        scope(async |s| {
            let pool = options.build(server.clone(), s.spawner());
            let mut fill = Box::pin(pool.fill());
            assert!(timeout(SECOND, &mut fill).await.is_err());
            pool.close().await;
            assert!(fill.await.unwrap_err().is_closed());
        })
        .await;
        // The last handle closes the pool, and the scope waits for nothing.
        scope(async |s| {
            let pool = options.build(server.clone(), s.spawner());
            assert!(timeout(SECOND, pool.get()).await.is_err());
        })
        .await;
    }

    async fn nobody_waits_for_the_pause_after_a_failure_to_close_a_pool() {
        let server = Server::new();
        server.create_does(Does::Fail);
        scope(async |s| {
            let pool = PoolOptions::new().build(server.clone(), s.spawner());
            for _ in 0..7 {
                assert!(pool.get().await.is_err());
            }
            let start = now();
            let waker = CountingWaker::new();
            assert!(waker.poll(Box::pin(pool.get()).as_mut()).is_pending());
            pool.close().await;
            assert!(now() - start < SECOND / 2);
            assert_eq!(server.attempts(), 7);
        })
        .await;
    }

    async fn a_pool_outside_does_not_keep_its_scope_from_completing() {
        let server = Server::new();
        scope(async |_| {
            let pool = scope(async |s| {
                let options = PoolOptions::new().min_idle(2).idle_timeout(Duration::from_secs(3600));
                let pool = options.build(server.clone(), s.spawner());
                pool.fill().await.unwrap();
                pool
            })
            .await;
            assert_eq!(pool.statistics().idle(), 2);
            pool.get().await.unwrap().discard();
            assert!(pool.is_closed() && pool.get().await.unwrap_err().is_closed());
        })
        .await;
        assert_eq!((server.open(), server.closed()), (0, 2), "the enclosing scope has closed them");
    }

    async fn a_pool_of_a_scope_that_has_ended_says_so() {
        let spawner = scope(async |s| s.spawner()).await;
        let server = Server::new();
        let pool = Pool::new(server.clone(), spawner);
        let error = pool.get().await.unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.to_string(), "the scope of the pool has ended; create the pool in one that lasts");
        assert!(pool.is_closed() && pool.fill().await.is_err());
        pool.close().await;
        assert_eq!((server.attempts(), pool.statistics().size()), (0, 0));
    }

    async fn who_still_has_a_resource_is_known_by_name() {
        async fn hold(pool: Pool<Server>, event: Arc<Event>) {
            let _resource = pool.get().await.unwrap();
            event.wait().await;
        }

        scope(async |s| {
            let (pool, event) = (Pool::new(Server::new(), s.spawner()), Arc::new(Event::new()));
            scope(async |s| {
                s.named("report").spawn(hold(pool.clone(), event.clone()));
                s.named("import").spawn(async {
                    scope(async |_| hold(pool.clone(), event.clone()).await).await;
                });
                s.named("export").spawn_parallel(hold(pool.clone(), event.clone()));
                while pool.statistics().in_use() < 3 {
                    sleep(T).await;
                }
                let close = pool.close();
                let mut holders: Vec<String> = pool.holders().iter().map(ToString::to_string).collect();
                holders.sort();
                assert_eq!(holders, ["export", "import", "report"]);
                event.set();
                close.await;
                assert!(pool.holders().is_empty());
            })
            .await;
        })
        .await;
    }

    async fn a_cancelled_scope_closes_what_its_pool_has() {
        let server = Server::new();
        server.close_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            let _held = pool.get().await.unwrap();
            drop(gather((pool.get(), pool.get())).await);
            s.cancel("enough");
            std::future::pending::<()>().await
        })
        .await;
        assert_eq!((server.open(), server.closed()), (0, 3), "by the manager, although the scope was cancelled");
    }

    // It was dropped without the manager's knowledge, as in the two tests below.
    async fn a_cancelled_scope_closes_what_comes_back_and_would_be_reset() {
        let server = Server::new();
        server.reset_does(Does::SucceedAfter(T)).close_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            let _held = pool.get().await.unwrap();
            s.cancel("enough");
            std::future::pending::<()>().await
        })
        .await;
        assert_eq!((server.open(), server.closed()), (0, 1));
    }

    async fn a_cancelled_scope_closes_what_is_being_reset() {
        let server = Server::new();
        server.reset_does(Does::Hang).close_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            while server.resets() == 0 {
                yield_now().await;
            }
            s.cancel("enough");
            std::future::pending::<()>().await
        })
        .await;
        assert_eq!((server.open(), server.closed()), (0, 1));
    }

    async fn a_cancelled_scope_closes_what_is_being_checked() {
        let server = Server::new();
        server.check_does(Does::Hang).close_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = PoolOptions::new().check_after(Duration::ZERO).build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            let (waker, mut waiting) = (CountingWaker::new(), Box::pin(pool.get()));
            assert!(waker.poll(waiting.as_mut()).is_pending());
            while server.checks() == 0 {
                yield_now().await;
            }
            s.cancel("enough");
            std::future::pending::<()>().await
        })
        .await;
        assert_eq!((server.open(), server.closed()), (0, 1));
    }

    async fn in_a_cancelled_region_the_end_of_a_pool_that_has_nothing_is_seen() {
        scope(async |s| {
            let pool = Pool::new(Server::new(), s.spawner());
            assert!(in_a_cancelled_region(async { pool.fill().await.unwrap() }).await);
            assert!(in_a_cancelled_region(async { pool.close().await }).await);
        })
        .await;
    }

    async fn a_stopped_scope_goes_on_to_use_its_pool() {
        let server = Server::new();
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            s.stop("closing time", Duration::from_secs(60));
            pool.get().await.unwrap().discard();
            assert!(pool.get().await.is_ok());
        })
        .await;
        assert_eq!(server.closed(), 2);
    }
}

sim! {
    async fn the_task_that_closes_idle_resources_ends_with_the_body_of_the_scope() {
        let (server, start) = (Server::new(), now());
        let _pool = scope(async |s| {
            let pool = PoolOptions::new().min_idle(1).build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            s.spawn(sleep(SECOND));
            pool
        })
        .await;
        assert_eq!(now() - start, SECOND);
    }

    async fn a_pool_in_the_children_alone_lives_as_long_as_they_do() {
        let (server, start) = (Server::new(), now());
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            s.spawn(async move {
                for _ in 0..10 {
                    sleep(SECOND).await;
                    drop(pool.get().await.unwrap());
                }
            });
        })
        .await;
        assert_eq!((now() - start, server.created(), server.closed()), (10 * SECOND, 1, 1));
    }
}

#[test]
fn a_deadlock_names_those_who_have_the_resources() {
    watched(|| {
        let error = Sim::default()
            .try_run(scope(async |s| {
                let pool = PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
                let waits = pool.clone();
                s.named("holder").spawn(async move {
                    let _resource = pool.get().await.unwrap();
                    std::future::pending::<()>().await;
                });
                s.named("waiter").spawn(async move {
                    sleep(SECOND).await;
                    drop(waits.get().await);
                });
            }))
            .unwrap_err()
            .to_string();
        assert!(error.contains("pool, of whose 1 resources 1 are in use, held by `holder`"), "{error}");
    });
}

#[test]
fn what_the_scope_was_cancelled_for_is_not_hidden_by_a_pool() {
    watched(|| {
        let outcome = Sim::default().run(
            scope(async |s| {
                let pool = Pool::new(Server::new(), s.spawner());
                s.cancel("enough");
                pool.get().await.map(drop)
            })
            .outcome(),
        );
        assert!(outcome.map_or_else(|cancelled| cancelled.reason() == &Reason::from("enough"), |got| got.is_err()));
    });
}
