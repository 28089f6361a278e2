//! Pools with a key for each resource.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::resource::{KeyedPool, PoolOptions};
use foster::scope::Spawner;
use foster::testing::{CountingWaker, explore};
use foster::{now, scope, sleep, timeout};

use crate::harness::{T, watched};
use crate::server::{Does, Server};

const SECOND: Duration = Duration::from_secs(1);

/// A server for each key.
#[derive(Clone, Default)]
struct Servers(Arc<Mutex<HashMap<u32, Server>>>);

impl Servers {
    fn of(&self, key: u32) -> Server {
        self.0.lock().unwrap().entry(key).or_insert_with(Server::new).clone()
    }

    fn pool(&self, options: PoolOptions, spawner: Spawner) -> KeyedPool<u32, Server> {
        let servers = self.clone();
        options.build_keyed(move |key| servers.of(*key), spawner)
    }

    fn open(&self) -> usize {
        self.0.lock().unwrap().values().map(Server::open).sum()
    }
}

matrix! {
    async fn each_key_has_its_own_resources_and_its_own_limit() {
        let servers = Servers::default();
        scope(async |s| {
            let pool = servers.pool(PoolOptions::new().max_per_key(2), s.spawner());
            let waker = CountingWaker::new();
            let (one, _other) = (pool.get(1).await.unwrap(), pool.get(1).await.unwrap());
            let mut third = Box::pin(pool.get(1));
            assert!(waker.poll(third.as_mut()).is_pending());
            assert_eq!(pool.get(2).await.unwrap().id, 0, "the limit of one key is not that of another");
            assert!(waker.poll(third.as_mut()).is_pending(), "the resource of another key is of no use");
            drop(one);
            assert_eq!(third.await.unwrap().id, 0);
            assert_eq!((servers.of(1).created(), servers.of(2).created()), (2, 1));
            assert!(pool.try_get(2).is_ok() && pool.try_get(3).is_err());
            drop(pool.close());
            assert!(pool.try_get(2).unwrap_err().is_closed() && pool.get(2).await.unwrap_err().is_closed());
        })
        .await;
        assert_eq!(servers.open(), 0);
    }

    async fn an_idle_resource_of_another_key_makes_room() {
        let servers = Servers::default();
        scope(async |s| {
            let pool = servers.pool(PoolOptions::new().max_size(2), s.spawner());
            drop(pool.get(1).await.unwrap());
            sleep(T).await;
            drop(pool.get(2).await.unwrap());
            let third = pool.get(3).await.unwrap();
            assert_eq!((servers.of(1).closed(), servers.of(2).closed()), (1, 0), "the one that was idle longest");
            let _fourth = pool.get(4).await.unwrap();
            assert_eq!((servers.of(2).closed(), pool.statistics().size(), pool.statistics().peak()), (1, 2, 2));
            drop(third);
        })
        .await;
    }

    async fn a_resource_that_comes_back_makes_room_for_who_has_waited_longer() {
        let servers = Servers::default();
        scope(async |s| {
            let pool = &servers.pool(PoolOptions::new().max_size(1), s.spawner());
            let held = pool.get(1).await.unwrap();
            let waker = CountingWaker::new();
            let (mut second, mut first) = (Box::pin(pool.get(2)), Box::pin(pool.get(1)));
            assert!(waker.poll(second.as_mut()).is_pending() && waker.poll(first.as_mut()).is_pending());
            drop(held);
            let second = second.await.unwrap();
            assert_eq!(servers.of(1).closed(), 1);
            assert!(waker.poll(first.as_mut()).is_pending());
            drop(second);
            assert_eq!((first.await.unwrap().id, servers.of(2).closed()), (1, 1));
        })
        .await;
    }

    async fn a_key_that_nobody_uses_is_forgotten() {
        let servers = Servers::default();
        scope(async |s| {
            let pool = servers.pool(PoolOptions::new().max_size(2), s.spawner());
            assert!(pool.is_empty());
            let _held = pool.get(0).await.unwrap();
            for key in 1..1_000 {
                pool.get(key).await.unwrap().discard();
            }
            assert!(pool.len() < 200, "{}", pool.len());
            assert!(pool.holders().len() == 1);
        })
        .await;
    }
}

sim! {
    async fn a_key_that_cannot_be_reached_holds_up_no_other() {
        let servers = Servers::default();
        servers.of(1).create_does(Does::FailAfter(SECOND));
        scope(async |s| {
            let pool = &servers.pool(PoolOptions::new().max_size(1), s.spawner());
            let start = now();
            s.spawn({
                let pool = pool.clone();
                async move { assert!(pool.get(1).await.is_err()) }
            });
            sleep(SECOND / 2).await;
            assert!(pool.get(2).await.is_ok());
            assert_eq!(now() - start, SECOND);
        })
        .await;
    }

    async fn a_key_is_not_forgotten_while_it_pauses_after_a_failure() {
        let servers = Servers::default();
        servers.of(0).create_does(Does::Fail);
        scope(async |s| {
            let (pool, start) = (servers.pool(PoolOptions::new().max_size(1), s.spawner()), now());
            assert!(pool.get(0).await.is_err());
            servers.of(0).create_does(Does::Succeed);
            for key in 1..500 {
                pool.get(key).await.unwrap().discard();
            }
            assert!(pool.len() < 200 && now() == start, "others are forgotten");
            drop(pool.get(0).await.unwrap());
            assert_eq!(now() - start, T, "the pause is that of the first failure");
        })
        .await;
    }

    async fn those_who_wait_have_their_turn_in_order_unless_their_key_is_at_its_limit() {
        let servers = Servers::default();
        let served = &Mutex::new(Vec::new());
        scope(async |s| {
            let pool = &servers.pool(PoolOptions::new().max_size(2).max_per_key(1), s.spawner());
            scope(async |s| {
                for (i, key) in [1, 1, 2, 3, 1, 2].into_iter().enumerate() {
                    s.spawn(async move {
                        sleep(T * i as u32).await;
                        let _resource = pool.get(key).await.unwrap();
                        served.lock().unwrap().push((i, key));
                        sleep(SECOND).await;
                    });
                }
            })
            .await;
        })
        .await;
        assert_eq!(*served.lock().unwrap(), [(0, 1), (2, 2), (1, 1), (3, 3), (4, 1), (5, 2)]);
    }
}

/// A key whose `Hash` panics at the call that is set to.
struct Touchy(u32, Arc<AtomicUsize>);

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Touchy {}

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.1.fetch_sub(1, SeqCst) == 1 {
            panic!("a hash that panics");
        }
        self.0.hash(state);
    }
}

#[test]
fn a_hash_that_panics_loses_no_key_and_no_resource() {
    watched(|| {
        foster::runtimes::Sim::default().run(scope(async |s| {
            let servers = Servers::default();
            let made_by = servers.clone();
            let options = PoolOptions::new().max_size(1_000).check_after(Duration::MAX);
            let pool = options.build_keyed(move |key: &Touchy| made_by.of(key.0), s.spawner());
            let left = Arc::new(AtomicUsize::new(usize::MAX));
            let key = |number| Touchy(number, left.clone());
            let known = 500;
            for number in 0..known {
                drop(pool.get(key(number)).await.unwrap());
            }
            let mut panicked = 0;
            // Each may look for keys that can go, in which it finds none.
            for number in known..2 * known {
                left.store(1 + number as usize % 9, SeqCst);
                let got = catch_unwind(AssertUnwindSafe(|| drop(pool.get(key(number)))));
                panicked += usize::from(got.is_err());
                left.store(usize::MAX, SeqCst);
            }
            assert!(panicked > 50, "{panicked}");
            for number in 0..known {
                drop(pool.get(key(number)).await.unwrap());
                assert_eq!(servers.of(number).created(), 1, "{number} is still known");
            }
        }));
    });
}

#[test]
fn a_keyed_pool_keeps_its_limits_under_any_schedule() {
    explore(0..300, || {
        let servers = Servers::default();
        let pool_of = servers.clone();
        scope(async move |s| {
            let pool = pool_of.pool(PoolOptions::new().max_size(3).max_per_key(2), s.spawner());
            scope(async |s| {
                for i in 0..9_u32 {
                    let (pool, servers) = (pool.clone(), servers.clone());
                    s.spawn_parallel(async move {
                        for round in 0..3 {
                            let key = (i + round) % 4;
                            let got = timeout(T * (i % 4), pool.get(key)).await;
                            assert!(servers.open() <= 3 && servers.of(key).most_open() <= 2);
                            let Ok(got) = got else { continue };
                            let resource = got.unwrap();
                            sleep(T).await;
                            if i == 5 { resource.discard() } else { drop(resource) }
                        }
                    });
                }
            })
            .await;
            let statistics = pool.statistics();
            assert_eq!((statistics.waiting(), statistics.in_use()), (0, 0));
            pool.close().await;
            assert_eq!(servers.open(), 0);
        })
    });
}

#[test]
fn options_that_make_no_keyed_pool_panic_where_they_are_given() {
    watched(|| {
        let panics = |make: &dyn Fn()| catch_unwind(AssertUnwindSafe(make)).is_err();
        assert!(panics(&|| _ = PoolOptions::new().max_per_key(0)));
        futures::executor::block_on(scope(async |s| {
            let spawner = s.spawner();
            assert!(panics(&|| _ = Servers::default().pool(PoolOptions::new().min_idle(1), spawner.clone())));
        }));
    });
}
