//! What happens when the manager fails, hangs or panics.

use std::time::Duration;

use foster::resource::{Pool, PoolOptions};
use foster::testing::CountingWaker;
use foster::{gather, now, scope, sleep, timeout, yield_now};

use crate::harness::T;
use crate::server::{Broken, Does, Down, Server};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

matrix! {
    async fn all_who_wait_get_the_error_if_nothing_can_be_created() {
        let server = Server::new();
        server.create_does(Does::FailAfter(T));
        scope(async |s| {
            let pool = PoolOptions::new().max_size(2).build(server.clone(), s.spawner());
            let errors = gather([0; 5].map(|_| pool.get())).await.map(Result::unwrap_err);
            for error in &errors {
                assert_eq!(error.error(), Some(&Down));
                assert!(!error.is_closed() && !error.is_panicked() && !error.is_timed_out());
                assert_eq!(error.to_string(), "no resource could be created: the server is down");
            }
            assert!(server.attempts() <= 2);
            assert_eq!(pool.statistics().size(), 0);
            server.create_does(Does::Succeed);
            assert!(pool.get().await.is_ok());
        })
        .await;
    }

    async fn a_manager_that_panics_harms_nobody_else() {
        let server = Server::new();
        server.create_does(Does::Panic);
        scope(async |s| {
            let options = PoolOptions::new().max_size(1).check_after(Duration::ZERO);
            let pool = options.build(server.clone(), s.spawner());
            let error = pool.get().await.unwrap_err();
            assert!(error.is_panicked());
            assert_eq!(
                error.to_string(),
                "no resource could be created: the manager panicked: a method of the manager"
            );
            server.create_does(Does::Succeed).check_does(Does::Panic);
            drop(pool.get().await.unwrap());
            assert_eq!(pool.get().await.unwrap().id, 1, "the check of the first has panicked");
            server.check_does(Does::Succeed).reset_does(Does::Panic);
            drop(pool.get().await.unwrap());
            while pool.statistics().size() > 0 {
                sleep(T).await;
            }
            server.reset_does(Does::Succeed);
            assert_eq!(pool.get().await.unwrap().id, 2, "the reset of the second has panicked");
            server.close_does(Does::Panic);
            pool.get().await.unwrap().discard();
            assert_eq!(pool.get().await.unwrap().id, 3, "to close the third has panicked");
            pool.close().await;
            assert_eq!((pool.statistics().size(), server.open()), (0, 0));
        })
        .await;
    }

    async fn a_resource_that_is_found_unfit_is_replaced() {
        let server = Server::new();
        scope(async |s| {
            let options = PoolOptions::new().max_size(1).check_after(Duration::ZERO);
            let pool = options.build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            assert_eq!(pool.get().await.unwrap().id, 0);
            assert_eq!(server.checks(), 1);
            server.check_does(Does::Fail);
            assert_eq!(pool.get().await.unwrap().id, 1);
            assert_eq!((server.closed(), server.most_open()), (1, 1));
        })
        .await;
    }

    async fn a_resource_that_breaks_while_it_is_idle_is_not_given_out() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(2).check_after(Duration::MAX).build(server.clone(), s.spawner());
            let two = async || {
                let (one, other) = gather((pool.get(), pool.get())).await;
                let (one, other) = (one.unwrap(), other.unwrap());
                one.id.min(other.id)..=one.id.max(other.id)
            };
            assert_eq!(two().await, 0..=1);
            server.set_broken(Broken::Number(1));
            assert_eq!(two().await, 0..=2);
            server.set_broken(Broken::All);
            assert!(pool.try_get().is_err());
            server.set_broken(Broken::No);
            assert_eq!(pool.get().await.unwrap().id, 3);
            pool.close().await;
            assert_eq!((server.closed(), server.checks()), (4, 0));
        })
        .await;
    }

    async fn a_resource_that_comes_back_broken_is_replaced_also_for_who_waits() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let held = pool.get().await.unwrap();
            server.set_broken(Broken::All);
            let (waker, mut waits) = (CountingWaker::new(), Box::pin(pool.get()));
            assert!(waker.poll(waits.as_mut()).is_pending());
            drop(held);
            let replaced = waits.await.unwrap();
            assert_eq!((replaced.id, server.closed()), (1, 1));
            drop(replaced);
            assert_eq!(pool.get().await.unwrap().id, 2, "each is used once, since each comes back broken");
        })
        .await;
    }

    async fn a_resource_that_is_broken_after_a_check_or_a_reset_is_replaced() {
        let server = Server::new();
        scope(async |s| {
            let options = PoolOptions::new().max_size(1).check_after(Duration::ZERO);
            let pool = options.build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            server.set_broken(Broken::Number(0));
            assert_eq!((pool.get().await.unwrap().id, server.checks()), (1, 1));
            let held = pool.get().await.unwrap();
            server.reset_does(Does::SucceedAfter(T));
            drop(held);
            server.set_broken(Broken::Number(1));
            assert_eq!((pool.get().await.unwrap().id, server.resets()), (2, 1));
        })
        .await;
    }

    async fn a_manager_that_panics_when_it_looks_for_what_is_broken_loses_the_resource_alone() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let held = pool.get().await.unwrap();
            server.set_broken(Broken::Panics);
            drop(held);
            server.set_broken(Broken::No);
            drop(pool.get().await.unwrap());
            server.set_broken(Broken::Panics);
            assert!(pool.try_get().is_err());
            server.set_broken(Broken::No);
            assert_eq!((pool.get().await.unwrap().id, server.most_open()), (2, 1));
        })
        .await;
    }

    async fn a_resource_that_cannot_be_reset_is_replaced() {
        let server = Server::new();
        server.reset_does(Does::Fail);
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            let resource = pool.get().await.unwrap();
            assert_eq!((resource.id, server.closed()), (1, 1));
        })
        .await;
    }
}

sim! {
    async fn there_is_one_attempt_at_a_time_after_a_failure_and_a_pause_before_each() {
        let server = Server::new();
        server.create_does(Does::Fail);
        scope(async |s| {
            let pool = PoolOptions::new().max_size(20).build(server.clone(), s.spawner());
            assert!(pool.get().await.is_err());
            for pause in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
                let (before, start) = (server.attempts(), now());
                let all = gather([0; 10].map(|_| pool.get())).await;
                assert!(all.iter().all(Result::is_err));
                assert_eq!((server.attempts() - before, now() - start), (1, pause * MS));
            }
            // A success ends the pauses.
            server.create_does(Does::Succeed);
            pool.get().await.unwrap().discard();
            server.create_does(Does::Fail);
            assert!(pool.get().await.is_err());
            let start = now();
            assert!(pool.get().await.is_err());
            assert_eq!(now() - start, 10 * MS);
        })
        .await;
    }

    async fn who_comes_when_the_pause_is_over_does_not_wait() {
        let server = Server::new();
        server.create_does(Does::Fail);
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            assert!(pool.get().await.is_err());
            sleep(SECOND).await;
            let start = now();
            assert!(pool.get().await.is_err());
            assert_eq!(now(), start);
        })
        .await;
    }

    async fn who_has_no_time_for_the_pause_gets_the_error_at_once() {
        let server = Server::new();
        server.create_does(Does::Fail);
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            assert!(pool.get().await.is_err());
            let (start, attempts) = (now(), server.attempts());
            let hasty = timeout(10 * MS, pool.get()).await;
            assert_eq!(hasty.unwrap().unwrap_err().error(), Some(&Down));
            assert_eq!((now(), server.attempts()), (start, attempts));
            assert!(timeout(11 * MS, pool.get()).await.unwrap().is_err());
            assert_eq!(server.attempts(), attempts + 1);
        })
        .await;
    }

    async fn who_has_no_time_gets_the_error_at_once_also_while_another_waits_for_the_only_place() {
        let server = Server::new();
        server.create_does(Does::Fail);
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            assert!(pool.get().await.is_err());
            let (start, mut waits, waker) = (now(), Box::pin(pool.get()), CountingWaker::new());
            assert!(waker.poll(waits.as_mut()).is_pending());
            let hasty = timeout(5 * MS, pool.get()).await;
            assert_eq!((hasty.unwrap().unwrap_err().error(), now()), (Some(&Down), start));
            assert!(waits.await.is_err());
        })
        .await;
    }

    async fn a_failure_is_nobodys_while_others_have_resources_that_come_back() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(3).build(server.clone(), s.spawner());
            let held = pool.get().await.unwrap();
            server.create_does(Does::Fail);
            s.spawn(async move {
                sleep(SECOND).await;
                drop(held);
            });
            let both = gather([0; 2].map(|_| async { pool.get().await.map(|resource| resource.id) })).await;
            assert_eq!(both.map(Result::unwrap), [0, 0]);
            // One attempt after each pause, and not one for each waiter.
            assert!(server.attempts() <= 10, "{}", server.attempts());
        })
        .await;
    }

    async fn those_who_wait_are_told_when_the_last_resource_is_gone() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let held = pool.get().await.unwrap();
            server.create_does(Does::Fail);
            s.spawn(async move {
                sleep(SECOND).await;
                held.discard();
            });
            assert_eq!(pool.get().await.unwrap_err().error(), Some(&Down));
        })
        .await;
    }

    async fn a_creation_that_hangs_is_given_up() {
        let server = Server::new();
        for hangs in [Does::Hang, Does::HangShielded] {
            server.create_does(hangs);
            scope(async |s| {
                let pool = PoolOptions::new().create_timeout(3 * SECOND).build(server.clone(), s.spawner());
                let start = now();
                let error = pool.get().await.unwrap_err();
                assert!(error.is_timed_out());
                assert_eq!((now() - start, pool.statistics().size()), (3 * SECOND, 0));
            })
            .await;
        }
    }

    async fn a_check_or_a_reset_that_hangs_is_given_up_and_its_place_is_free() {
        let server = Server::new();
        let options = PoolOptions::new().max_size(1).grace(2 * SECOND).check_after(Duration::ZERO);
        for hangs in [Does::Hang, Does::HangShielded] {
            scope(async |s| {
                let pool = options.build(server.clone(), s.spawner());
                server.reset_does(hangs);
                drop(pool.get().await.unwrap());
                let start = now();
                let resource = pool.get().await.unwrap();
                assert_eq!((now() - start, resource.id % 3), (2 * SECOND, 1));
                server.reset_does(Does::Succeed);
                drop(resource);
                server.check_does(hangs);
                while pool.statistics().idle() == 0 {
                    yield_now().await;
                }
                let resource = pool.get().await.unwrap();
                assert_eq!((now() - start, resource.id % 3), (4 * SECOND, 2));
                server.check_does(Does::Succeed);
            })
            .await;
        }
        assert_eq!(server.open(), 0);
    }
    async fn a_method_that_is_given_up_and_panics_when_it_is_dropped_harms_nobody_else() {
        let server = Server::new();
        server.create_does(Does::HangAndPanic);
        let options = PoolOptions::new().max_size(1).create_timeout(SECOND).grace(SECOND).check_after(Duration::ZERO);
        scope(async |s| {
            let pool = options.build(server.clone(), s.spawner());
            assert!(pool.get().await.unwrap_err().is_panicked());
            server.create_does(Does::Succeed).check_does(Does::HangAndPanic);
            drop(pool.get().await.unwrap());
            assert_eq!(pool.get().await.unwrap().id, 1, "the check of the first was given up");
            server.check_does(Does::Succeed).reset_does(Does::HangAndPanic);
            drop(pool.get().await.unwrap());
            assert_eq!(pool.get().await.unwrap().id, 2, "the reset of the second was given up");
            server.reset_does(Does::Succeed).close_does(Does::HangAndPanic);
            pool.get().await.unwrap().discard();
            assert!(!pool.is_closed());
            pool.close().await;
            assert_eq!((pool.statistics().size(), server.open()), (0, 0));
        })
        .await;
    }
}
