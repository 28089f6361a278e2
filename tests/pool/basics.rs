//! What a pool gives, and when.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use foster::resource::{Pool, PoolOptions, Pooled};
use foster::testing::CountingWaker;
use foster::{scope, timeout};
use futures::FutureExt as _;

use crate::harness::{T, watched};
use crate::server::{Does, Server};

matrix! {
    async fn a_resource_that_came_back_is_given_out_again() {
        let server = Server::new();
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            assert_eq!(server.attempts(), 0, "a pool is lazy");
            for _ in 0..3 {
                assert_eq!(pool.get().await.unwrap().id, 0);
            }
        })
        .await;
        assert_eq!((server.created(), server.closed(), server.open()), (1, 1, 0));
    }

    async fn as_many_resources_are_created_as_are_needed_and_no_more_than_the_maximum() {
        let server = Server::new();
        server.create_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = &PoolOptions::new().max_size(3).build(server.clone(), s.spawner());
            scope(async |s| {
                for _ in 0..10 {
                    s.spawn(async move {
                        let resource = pool.get().await.unwrap();
                        foster::sleep(T).await;
                        drop(resource);
                    });
                }
            })
            .await;
            let statistics = pool.statistics();
            assert_eq!((statistics.size(), statistics.idle(), statistics.in_use()), (3, 3, 0));
            assert_eq!((statistics.waiting(), statistics.connecting(), statistics.peak()), (0, 0, 3));
        })
        .await;
        assert_eq!((server.created(), server.most_open(), server.closed()), (3, 3, 3));
    }

    async fn many_threads_share_a_pool() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(3).build(server.clone(), s.spawner());
            scope(async |s| {
                for _ in 0..8 {
                    let pool = pool.clone();
                    s.spawn_parallel(async move {
                        for round in 0..200 {
                            let mut resource = pool.get().await.unwrap();
                            resource.unanswered.push(round);
                            if round % 3 == 0 {
                                foster::yield_now().await;
                            }
                            assert_eq!(resource.unanswered.pop(), Some(round), "another one has it, too");
                            match round % 50 {
                                7 => resource.discard(),
                                8 => drop(resource.into_inner()),
                                _ => drop(resource),
                            }
                        }
                    });
                }
            })
            .await;
            let statistics = pool.statistics();
            assert_eq!((statistics.in_use(), statistics.waiting()), (0, 0));
            pool.close().await;
            assert_eq!(pool.statistics().size(), 0);
        })
        .await;
        assert_eq!(server.open(), 0);
        // Those that were taken out count as well, since they are in no pool.
        assert!(server.most_open() <= 3 + 8);
    }

    async fn a_resource_that_is_taken_out_leaves_its_place_to_others() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let own = pool.get().await.unwrap().into_inner();
            assert_eq!((own.id, pool.statistics().size()), (0, 0));
            assert_eq!(pool.get().await.unwrap().id, 1);
        })
        .await;
        assert_eq!(server.closed(), 1, "the other one is the caller's");
    }

    async fn a_resource_that_is_discarded_is_closed_and_replaced() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            pool.get().await.unwrap().discard();
            assert_eq!(pool.get().await.unwrap().id, 1);
            assert_eq!((server.closed(), server.most_open()), (1, 1));
        })
        .await;
    }

    async fn a_resource_is_reset_before_the_next_one_gets_it() {
        let server = Server::new();
        server.reset_does(Does::SucceedAfter(T));
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            assert!(pool.try_get().is_err(), "it is being reset");
            let resource = pool.get().await.unwrap();
            assert_eq!((resource.id, server.resets()), (0, 1));
        })
        .await;
    }

    async fn trying_takes_what_is_idle_and_creates_nothing() {
        let server = Server::new();
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            let error = pool.try_get().unwrap_err();
            assert!(!error.is_closed());
            assert_eq!(error.to_string(), "no resource is available at once; `get` waits for one");
            drop(pool.get().await.unwrap());
            let taken = pool.try_get().unwrap();
            assert!(pool.try_get().is_err());
            drop(taken);
            assert_eq!(server.created(), 1);
            drop(pool.close());
            assert!(pool.try_get().unwrap_err().is_closed());
        })
        .await;
    }

    async fn a_connection_does_not_have_the_deadline_of_who_waits_for_it() {
        let server = Server::new();
        scope(async |s| {
            let pool = Pool::new(server.clone(), s.spawner());
            assert!(timeout(1_000 * T, pool.get()).await.unwrap().is_ok());
            assert_eq!((server.attempts(), server.hurried()), (1, 0));
        })
        .await;
    }

    async fn an_idle_resource_is_there_in_the_first_poll() {
        scope(async |s| {
            let pool = Pool::new(Server::new(), s.spawner());
            drop(pool.get().await.unwrap());
            assert!(pool.get().now_or_never().unwrap().is_ok());
        })
        .await;
    }

    async fn those_who_have_a_resource_are_known_by_the_place_of_their_call() {
        scope(async |s| {
            let pool = Pool::new(Server::new(), s.spawner());
            let _resource = pool.get().await.unwrap();
            let names: Vec<String> = pool.holders().iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), 1);
            // Under sim each child has a name, and so has the root.
            assert!(foster::Handle::current().name() == "sim" || names[0].contains("basics.rs:"), "{names:?}");
        })
        .await;
    }
}

#[test]
fn the_last_one_that_came_back_is_the_first_to_be_given_out() {
    watched(|| {
        foster::runtimes::Sim::default().run(scope(async |s| {
            let pool = Pool::new(Server::new(), s.spawner());
            let (first, second) = (pool.get().await.unwrap(), pool.get().await.unwrap());
            let ids = (first.id, second.id);
            drop(second);
            drop(first);
            assert_eq!(pool.get().await.unwrap().id, ids.0);
        }));
    });
}

#[test]
fn sizes_and_times_that_make_no_pool_panic_where_they_are_given() {
    watched(|| {
        let panics = |make: &dyn Fn()| catch_unwind(AssertUnwindSafe(make)).is_err();
        assert!(panics(&|| _ = PoolOptions::new().max_size(0)));
        assert!(panics(&|| _ = PoolOptions::new().idle_timeout(Duration::ZERO)));
        assert!(panics(&|| _ = PoolOptions::new().max_lifetime(Duration::ZERO)));
        futures::executor::block_on(scope(async |s| {
            let spawner = s.spawner();
            let options = PoolOptions::new().max_size(2);
            assert!(panics(&|| _ = options.min_idle(3).build(Server::new(), spawner.clone())));
            assert!(!panics(&|| _ = options.min_idle(2).build(Server::new(), spawner.clone())));
        }));
    });
}

#[test]
fn the_shortest_durations_let_time_pass() {
    watched(|| {
        let nanosecond = Duration::from_nanos(1);
        foster::runtimes::Sim::default().run(scope(async |s| {
            let options = PoolOptions::new()
                .idle_timeout(nanosecond)
                .max_lifetime(nanosecond)
                .check_after(Duration::ZERO)
                .create_timeout(Duration::ZERO)
                .grace(Duration::ZERO);
            let pool = options.build(Server::new(), s.spawner());
            drop(pool.get().await.unwrap());
            drop(pool.get().await.unwrap());
            pool.close().await;
        }));
    });
}

#[test]
fn the_longest_durations_do_not_overflow() {
    watched(|| {
        foster::runtimes::Sim::default().run(scope(async |s| {
            let options = PoolOptions::new()
                .idle_timeout(Duration::MAX)
                .max_lifetime(Duration::MAX)
                .check_after(Duration::MAX)
                .create_timeout(Duration::MAX)
                .grace(Duration::MAX);
            let server = Server::new();
            server.reset_does(Does::Succeed);
            let pool = options.max_size(usize::MAX).build(server.clone(), s.spawner());
            drop(pool.get().await.unwrap());
            drop(pool.get().await.unwrap());
            let almost = options.idle_timeout(Duration::MAX - Duration::from_nanos(1)).build(server, s.spawner());
            drop(almost.get().await.unwrap());
        }));
    });
}

#[test]
fn a_pool_works_without_a_runtime() {
    watched(|| {
        let server = Server::new();
        futures::executor::block_on(scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(server.clone(), s.spawner());
            let first = pool.get().await.unwrap();
            let waker = CountingWaker::new();
            let mut second = Box::pin(pool.get());
            assert!(waker.poll(second.as_mut()).is_pending());
            drop(first);
            assert_eq!(second.await.unwrap().id, 0);
        }));
        assert_eq!((server.open(), server.closed()), (0, 1));
    });
}

#[test]
fn what_a_pool_is_made_of_can_be_sent_and_shown() {
    watched(|| {
        fn is_send<T: Send>(value: T) -> T {
            value
        }
        fn is_sync<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}
        fn is_error<T: std::error::Error + Send + Sync + 'static>(_: &T) {}
        foster::runtimes::Sim::default().run(scope(async |s| {
            let pool = Pool::new(Server::new(), s.spawner());
            is_sync(&pool);
            assert!(format!("{:?} {:?} {:?}", is_send(pool.get()), is_send(pool.fill()), pool).starts_with("Get"));
            let mut resource: Pooled<Server> = is_send(pool.get().await.unwrap());
            assert!(format!("{:?}", is_send(resource.busy())).starts_with("Busy"));
            assert!(format!("{resource:?}").starts_with("Pooled"));
            is_error(&pool.try_get().unwrap_err());
            let close = is_send(pool.close());
            assert_eq!(format!("{close:?}"), "Close { .. }");
            is_error(&pool.get().await.unwrap_err());
        }));
    });
}
