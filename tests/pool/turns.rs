//! Whose turn it is.

use std::sync::Mutex;
use std::time::Duration;

use foster::resource::{Pool, PoolOptions};
use foster::testing::{CountingWaker, cancel_at_every_await, explore, explore_all};
use foster::{gather, local, scope, sleep, timeout, yield_now};

use crate::harness::{T, watched};
use crate::server::{Does, Server};

/// A pool of one, whose resource exists.
async fn pool_of_one(spawner: foster::scope::Spawner) -> Pool<Server> {
    let pool = PoolOptions::new().max_size(1).build(Server::new(), spawner);
    drop(pool.get().await.unwrap());
    pool
}

matrix! {
    async fn who_came_first_has_the_resource_that_comes_back() {
        scope(async |s| {
            let (pool, waker) = (pool_of_one(s.spawner()).await, CountingWaker::new());
            let held = pool.get().await.unwrap();
            let (mut first, mut second) = (Box::pin(pool.get()), Box::pin(pool.get()));
            assert!(waker.poll(first.as_mut()).is_pending() && waker.poll(second.as_mut()).is_pending());
            drop(held);
            assert!(pool.try_get().is_err(), "it is the first one's, whenever that is polled");
            assert!(waker.poll(Box::pin(pool.get()).as_mut()).is_pending(), "a newcomer waits");
            assert!(waker.poll(second.as_mut()).is_pending());
            assert!(waker.poll(first.as_mut()).is_ready());
            assert!(waker.poll(second.as_mut()).is_ready());
        })
        .await;
    }

    async fn who_is_dropped_with_the_resource_passes_it_on() {
        scope(async |s| {
            let (pool, waker) = (pool_of_one(s.spawner()).await, CountingWaker::new());
            let held = pool.get().await.unwrap();
            let [mut first, mut second, mut third] = [0; 3].map(|_| Box::pin(pool.get()));
            for get in [&mut first, &mut second, &mut third] {
                assert!(waker.poll(get.as_mut()).is_pending());
            }
            assert_eq!(pool.statistics().waiting(), 3);
            drop(second);
            drop(held);
            assert_eq!((pool.statistics().waiting(), pool.statistics().in_use()), (1, 1));
            drop(first);
            assert_eq!((pool.statistics().waiting(), pool.statistics().in_use()), (0, 1));
            assert!(waker.poll(third.as_mut()).is_ready());
            drop(third);
            assert_eq!((pool.statistics().idle(), pool.statistics().in_use()), (1, 0));
        })
        .await;
    }

    async fn what_comes_back_is_taken_before_what_is_being_created() {
        let server = Server::new();
        scope(async |s| {
            let pool = PoolOptions::new().max_size(2).build(server.clone(), s.spawner());
            let held = pool.get().await.unwrap();
            server.create_does(Does::SucceedAfter(1000 * T));
            let (waker, mut get) = (CountingWaker::new(), Box::pin(pool.get()));
            assert!(waker.poll(get.as_mut()).is_pending());
            drop(held);
            let std::task::Poll::Ready(Ok(resource)) = waker.poll(get.as_mut()) else { panic!("it came back") };
            assert_eq!(resource.id, 0);
            s.cancel("the connection that nobody needs would take too long");
        })
        .await;
    }
}

sim! {
    async fn nobody_overtakes_one_for_whom_a_resource_is_checked() {
        let second = Duration::from_secs(1);
        scope(async |s| {
            let server = Server::new();
            server.check_does(Does::SucceedAfter(T));
            let options = PoolOptions::new().max_lifetime(100 * second).idle_timeout(100 * second);
            let pool = options.check_after(Duration::MAX).build(server, s.spawner());
            // In a scope that is joining, what is too old stays until somebody asks.
            s.spawn(async move {
                let old = pool.get().await.unwrap();
                sleep(50 * second).await;
                drop(gather([pool.get(), pool.get()]).await);
                drop(old);
                sleep(51 * second).await;
                let (waker, [mut first, mut other]) = (CountingWaker::new(), [0; 2].map(|_| Box::pin(pool.get())));
                assert!(waker.poll(first.as_mut()).is_pending(), "the next one is checked, as the last was too old");
                assert!(waker.poll(other.as_mut()).is_pending(), "there is one more, which nobody checks");
                drop(first.await.unwrap());
                drop(other.await.unwrap());
            });
        })
        .await;
    }
}

#[test]
fn a_wait_that_is_dropped_anywhere_loses_nothing() {
    let server = Server::new();
    server.reset_does(Does::SucceedAfter(T)).create_does(Does::SucceedAfter(T)).check_does(Does::SucceedAfter(T));
    let program = || async {
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).check_after(T).build(server.clone(), s.spawner());
            for _ in 0..2 {
                drop(pool.get().await.unwrap());
                drop(pool.get().await.unwrap());
                sleep(2 * T).await;
            }
            let mut resource = pool.get().await.unwrap();
            resource.double(7, T).await;
            drop(resource);
            pool.close().await;
        })
        .await;
    };
    let report = cancel_at_every_await(program, || assert_eq!(server.open(), 0));
    assert!(report.suspensions().len() >= 8, "{report:?}");
}

#[test]
fn a_get_that_is_dropped_anywhere_leaves_the_pool_as_it_was() {
    watched(|| {
        let server = Server::new();
        server.create_does(Does::SucceedAfter(T));
        // The pool outlives the cancelled part, as an application's does a request.
        let program = || async {
            scope(async |s| {
                let pool = PoolOptions::new().max_size(2).build(server.clone(), s.spawner());
                for steps in 0..12 {
                    let waker = CountingWaker::new();
                    let [mut one, mut other] = [0; 2].map(|_| Box::pin(pool.get()));
                    for step in 0..steps {
                        if step % 2 == 0 {
                            _ = waker.poll(one.as_mut()).is_ready() && {
                                one = Box::pin(pool.get());
                                true
                            };
                        } else {
                            _ = waker.poll(other.as_mut()).is_ready() && {
                                other = Box::pin(pool.get());
                                true
                            };
                        }
                        sleep(T / 4).await;
                    }
                    drop((one, other));
                    sleep(2 * T).await;
                    let statistics = pool.statistics();
                    assert_eq!((statistics.waiting(), statistics.in_use(), statistics.connecting()), (0, 0, 0));
                    assert_eq!(statistics.idle(), statistics.size());
                }
            })
            .await;
        };
        foster::runtimes::Sim::default().run(program());
        assert!(server.created() <= 2);
    });
}

#[test]
fn nobody_is_lost_under_any_schedule() {
    explore_all(|| {
        scope(async |s| {
            let pool = PoolOptions::new().max_size(1).build(Server::new(), s.spawner());
            for _ in 0..2 {
                let pool = pool.clone();
                s.spawn(async move { drop(pool.get().await.unwrap()) });
            }
        })
    });
    explore(0..500, || {
        local::scope(async |s| {
            let server = Server::new();
            server.create_does(Does::FailAfter(T)).reset_does(Does::SucceedAfter(T));
            let pool = PoolOptions::new().max_size(2).build(server.clone(), s.spawner());
            for i in 0..5 {
                let (pool, server) = (pool.clone(), server.clone());
                s.spawn(async move {
                    yield_now().await;
                    if i == 3 {
                        server.create_does(Does::SucceedAfter(T));
                    }
                    let got = timeout(T * i, pool.get()).await;
                    if let Ok(Ok(resource)) = got {
                        sleep(T).await;
                        if i % 2 == 0 { resource.discard() } else { drop(resource) }
                    }
                });
            }
        })
    });
}

#[test]
fn waiters_are_served_in_the_order_in_which_they_came() {
    watched(|| {
        foster::runtimes::Sim::new(3).run(async {
            let order = &Mutex::new(Vec::new());
            scope(async |s| {
                let pool = &PoolOptions::new().max_size(3).build(Server::new(), s.spawner());
                scope(async |s| {
                    for i in 0..50_u32 {
                        s.spawn(async move {
                            sleep(T * i).await;
                            let resource = pool.get().await.unwrap();
                            order.lock().unwrap().push(i);
                            sleep(20 * T).await;
                            if i % 7 == 0 { resource.discard() } else { drop(resource) }
                        });
                    }
                })
                .await;
            })
            .await;
            assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
        });
    });
}
