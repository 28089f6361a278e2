//! How long resources live, and how many are idle.

use std::time::Duration;

use foster::resource::{Pool, PoolOptions};
use foster::{gather, now, scope, sleep};

use crate::server::{Does, Server};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

sim! {
    async fn a_resource_is_checked_when_it_was_idle_for_half_a_second() {
        let server = Server::new();
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            sleep(499 * MS).await;
            drop(pool.get().await.unwrap());
            assert_eq!(server.checks(), 0);
            sleep(500 * MS).await;
            assert!(pool.try_get().is_err(), "trying checks nothing");
            drop(pool.get().await.unwrap());
            assert_eq!((server.checks(), server.created()), (1, 1));
        })
        .await;
    }

    async fn what_is_idle_for_too_long_is_closed_although_nobody_uses_the_pool() {
        let server = Server::new();
        scope(async |s| {
            let options = PoolOptions::new().idle_timeout(10 * SECOND).check_after(Duration::MAX);
            let pool = options.build(server.clone(), s.spawner());
            let (one, other) = (pool.get().await.unwrap(), pool.get().await.unwrap());
            drop(one);
            sleep(4 * SECOND).await;
            drop(other);
            sleep(6 * SECOND - MS).await;
            assert_eq!(server.open(), 2);
            sleep(2 * MS).await;
            assert_eq!(server.open(), 1);
            sleep(4 * SECOND).await;
            assert_eq!((server.open(), server.closed(), pool.statistics().size()), (0, 2, 0));
            // And again, after the task that does this has ended.
            drop(pool.get().await.unwrap());
            sleep(11 * SECOND).await;
            assert_eq!(server.closed(), 3);
        })
        .await;
    }

    async fn what_is_too_old_is_closed_when_it_is_idle_or_comes_back() {
        let server = Server::new();
        scope(async |s| {
            let options = PoolOptions::new().max_lifetime(100 * SECOND).idle_timeout(Duration::MAX);
            let pool = options.check_after(Duration::MAX).build(server.clone(), s.spawner());
            let (used, idle) = (pool.get().await.unwrap(), pool.get().await.unwrap());
            drop(idle);
            sleep(89 * SECOND).await;
            assert_eq!(server.closed(), 0);
            sleep(12 * SECOND).await;
            assert_eq!((server.closed(), used.id), (1, 0), "the one that is in use goes on");
            drop(used);
            sleep(MS).await;
            assert_eq!((server.closed(), pool.statistics().size()), (2, 0));
        })
        .await;
    }

    async fn resources_that_were_created_together_do_not_end_together() {
        let server = Server::new();
        scope(async |s| {
            let options = PoolOptions::new().max_size(50).max_lifetime(100 * SECOND).idle_timeout(Duration::MAX);
            let pool = options.build(server.clone(), s.spawner());
            drop(gather([0; 50].map(|_| pool.get())).await);
            assert_eq!(server.open(), 50);
            sleep(90 * SECOND - MS).await;
            assert_eq!(server.open(), 50);
            sleep(5 * SECOND).await;
            assert!((5..45).contains(&server.open()), "{}", server.open());
            sleep(5 * SECOND + 2 * MS).await;
            assert_eq!(server.open(), 0);
        })
        .await;
    }

    async fn a_pool_keeps_its_idle_resources_and_replaces_old_ones() {
        let server = Server::new();
        scope(async |s| {
            let options = PoolOptions::new().min_idle(2).max_size(3).idle_timeout(10 * SECOND);
            let pool = options.max_lifetime(100 * SECOND).build(server.clone(), s.spawner());
            pool.fill().await.unwrap();
            assert_eq!(pool.statistics().idle(), 2);
            sleep(50 * SECOND).await;
            assert_eq!((pool.statistics().idle(), server.closed()), (2, 0));
            sleep(60 * SECOND).await;
            assert_eq!((pool.statistics().idle(), server.closed()), (2, 2));
            let held = pool.get().await.unwrap();
            sleep(MS).await;
            assert_eq!((pool.statistics().idle(), pool.statistics().in_use()), (2, 1));
            let other = pool.get().await.unwrap();
            sleep(MS).await;
            assert_eq!((pool.statistics().idle(), pool.statistics().in_use()), (1, 2), "three are the maximum");
            drop((held, other));
            sleep(11 * SECOND).await;
            assert_eq!(pool.statistics().idle(), 2);
        })
        .await;
    }

    async fn filling_says_whether_the_server_is_there() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().min_idle(3).build(server.clone(), s.spawner());
            server.create_does(Does::FailAfter(SECOND));
            assert!(pool.fill().await.unwrap_err().error().is_some());
            server.create_does(Does::SucceedAfter(SECOND));
            let start = now();
            let both = gather((pool.fill(), pool.fill())).await;
            assert!(both.0.is_ok() && both.1.is_ok());
            assert_eq!((now() - start, server.created(), pool.statistics().idle()), (SECOND, 3, 3));
            assert!(pool.fill().await.is_ok());
            assert_eq!(server.created(), 3);
            drop(pool.close());
            assert!(pool.fill().await.unwrap_err().is_closed());
        })
        .await;
    }

    async fn who_waits_gets_an_idle_resource_although_another_one_is_being_created() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().min_idle(2).build(server.clone(), s.spawner());
            pool.fill().await.unwrap();
            sleep(SECOND).await;
            server.create_does(Does::SucceedAfter(100 * SECOND)).check_does(Does::SucceedAfter(MS));
            let start = now();
            let both = gather((pool.get(), pool.get())).await;
            assert!(both.0.is_ok() && both.1.is_ok());
            assert_eq!((now() - start, server.checks()), (MS, 2));
            s.cancel("what is being created is not needed");
        })
        .await;
    }
}
