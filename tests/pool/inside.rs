//! What other people's code does inside of a pool: the methods and the destructors of the manager,
//! the destructors of its resources and errors, and wakers.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;

use foster::future::catch_panic;
use foster::resource::{Manager, Pool, PoolOptions};
use foster::runtimes::Sim;
use foster::testing::CountingWaker;
use foster::{gather, scope, sleep, timeout};

use crate::faulty_wakers::{self, Waited};
use crate::harness::{T, watched};
use crate::server::{Does, Server};

/// Where other people's code runs.
const PLACES: [&str; 13] = [
    "create",
    "created",
    "check",
    "checked",
    "is broken",
    "reset",
    "was reset",
    "close",
    "closed",
    "drop resource",
    "drop error",
    "drop check",
    "drop reset",
];

/// What that code does there, once.
type Deed = fn(&Pool<Meddler>);

fn panics(_: &Pool<Meddler>) {
    panic!("a deed");
}

fn looks(pool: &Pool<Meddler>) {
    drop((pool.statistics(), pool.holders(), format!("{pool:?}")));
}

fn takes(pool: &Pool<Meddler>) {
    drop(pool.try_get());
}

fn waits_in_vain(pool: &Pool<Meddler>) {
    let waker = CountingWaker::new();
    drop(waker.poll(Box::pin(pool.get()).as_mut()));
    drop(waker.poll(Box::pin(pool.fill()).as_mut()));
}

fn closes(pool: &Pool<Meddler>) {
    drop(pool.close());
}

/// A manager whose methods do a deed. Each fifth resource cannot be created.
#[derive(Clone)]
struct Meddler(Arc<Plan>);

struct Plan {
    place: &'static str,
    deed: Deed,
    /// How often the place is passed before the deed is done.
    before: AtomicUsize,
    done: AtomicUsize,
    pool: Mutex<Option<Pool<Meddler>>>,
    attempts: AtomicUsize,
    open: AtomicUsize,
}

impl Meddler {
    fn new(place: &'static str, deed: Deed, before: usize) -> Self {
        Meddler(Arc::new(Plan {
            place,
            deed,
            before: before.into(),
            done: 0.into(),
            pool: Mutex::default(),
            attempts: 0.into(),
            open: 0.into(),
        }))
    }

    fn pass(&self, place: &str) {
        // A destructor must not panic while another panic unwinds.
        if place != self.0.place || thread::panicking() || self.0.done.load(SeqCst) > 0 {
            return;
        }
        if self.0.before.fetch_update(SeqCst, SeqCst, |before| before.checked_sub(1)).is_ok() {
            return;
        }
        let pool = self.0.pool.lock().unwrap().clone();
        if let Some(pool) = pool {
            self.0.done.fetch_add(1, SeqCst);
            (self.0.deed)(&pool);
        }
    }
}

struct Passing(Meddler, &'static str);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.pass(self.1);
    }
}

struct Resource(Meddler);

impl Drop for Resource {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, SeqCst);
        self.0.pass("drop resource");
    }
}

impl Manager for Meddler {
    type Resource = Resource;
    type Error = Passing;

    fn create(&self) -> impl Future<Output = Result<Resource, Passing>> + Send {
        self.pass("create");
        async {
            sleep(T).await;
            self.pass("created");
            if self.0.attempts.fetch_add(1, SeqCst) % 5 == 4 {
                return Err(Passing(self.clone(), "drop error"));
            }
            self.0.open.fetch_add(1, SeqCst);
            Ok(Resource(self.clone()))
        }
    }

    fn check(&self, _: &mut Resource) -> impl Future<Output = Result<(), Passing>> + Send {
        self.pass("check");
        async {
            let _dropped = Passing(self.clone(), "drop check");
            sleep(T).await;
            self.pass("checked");
            Ok(())
        }
    }

    fn is_broken(&self, _: &Resource) -> bool {
        self.pass("is broken");
        false
    }

    fn reset(&self, _: &mut Resource) -> Option<impl Future<Output = Result<(), Passing>> + Send> {
        self.pass("reset");
        Some(async {
            let _dropped = Passing(self.clone(), "drop reset");
            sleep(T).await;
            self.pass("was reset");
            Ok(())
        })
    }

    fn close(&self, resource: Resource) -> impl Future<Output = ()> + Send {
        self.pass("close");
        async {
            sleep(T).await;
            self.pass("closed");
            drop(resource);
        }
    }
}

/// Takes a resource a few times, and gives it up in each way.
async fn call(pool: &Pool<Meddler>, caller: u32) {
    for round in 0..4 {
        let turn = catch_panic(async {
            let Ok(resource) = timeout(T * 1000, pool.get()).await.expect("nobody waits for ever") else { return };
            sleep(T * (caller % 3)).await;
            match (caller + round) % 5 {
                0 => resource.discard(),
                1 => drop(resource.into_inner()),
                _ => drop(resource),
            }
        });
        // A resource that was taken out may panic when it is dropped here.
        if let Err(panicked) = turn.await {
            let payload = panicked.into_payload();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"a deed"));
        }
        sleep(T * 5 * round).await;
    }
}

fn meddle(seed: u64, place: &'static str, deed: Deed, before: usize) -> usize {
    let meddler = Meddler::new(place, deed, before);
    Sim::new(seed).run(scope(async |s| {
        let options = PoolOptions::new().max_size(2).check_after(4 * T).idle_timeout(20 * T).max_lifetime(60 * T);
        let pool = options.build(meddler.clone(), s.spawner());
        *meddler.0.pool.lock().unwrap() = Some(pool.clone());
        gather((0..6).map(|caller| call(&pool, caller))).await;
        sleep(T * 30).await;
        let statistics = pool.statistics();
        assert_eq!((statistics.in_use(), statistics.waiting(), statistics.connecting()), (0, 0, 0));
        timeout(T * 1000, pool.close()).await.expect("nothing is left");
        assert_eq!(pool.statistics().size(), 0);
        drop(meddler.0.pool.lock().unwrap().take());
    }));
    assert_eq!(meddler.0.open.load(SeqCst), 0);
    meddler.0.done.load(SeqCst)
}

#[test]
fn whatever_the_manager_does_inside_of_the_pool_no_place_is_lost_and_nobody_waits_for_ever() {
    for place in PLACES {
        for (name, deed) in [
            ("panics", panics as Deed),
            ("looks", looks),
            ("takes", takes),
            ("waits", waits_in_vain),
            ("closes", closes),
        ] {
            let mut done = 0;
            for (before, seed) in [0, 1, 4].into_iter().zip(0..) {
                let meddled = catch_unwind(|| meddle(seed, place, deed, before));
                done += meddled.unwrap_or_else(|_| panic!("{name} in `{place}`, after {before}, seed {seed}"));
            }
            assert!(done > 0, "{name} in `{place}`");
        }
    }
}

#[test]
fn a_waker_that_panics_holds_up_nobody_who_waits() {
    watched(|| {
        Sim::default().run(scope(async |s| {
            let pool = &*Box::leak(Box::new(PoolOptions::new().max_size(1).build(Server::new(), s.spawner())));
            drop(pool.get().await.unwrap());
            faulty_wakers::check(|check| {
                let held = Mutex::new(Some(pool.try_get().unwrap()));
                let give_back = || {
                    let resource = held.lock().unwrap().take();
                    drop(resource);
                };
                check(Waited {
                    wait: &|| Box::pin(async { drop(pool.get().await.unwrap()) }),
                    go: &give_back,
                    waiting: &|| pool.statistics().waiting(),
                });
            });
            drop(pool.close());
        }));
    });
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_keeps_nothing_from_being_closed() {
    watched(|| {
        Sim::default().run(scope(async |s| {
            let server = Server::new();
            server.close_does(Does::SucceedAfter(T));
            let manager = server.clone();
            let pool = PoolOptions::new().max_per_key(1).build_keyed(move |_: &u32| manager.clone(), s.spawner());
            let held = pool.get(1).await.unwrap();
            drop(pool.get(2).await.unwrap());
            let mut waits = Box::pin(pool.get(1));
            assert!(waits.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::new(Panics)))).is_pending());
            _ = catch_unwind(AssertUnwindSafe(|| drop(pool.close())));
            drop((waits, held));
            timeout(T * 1000, pool.close()).await.expect("the resource of the other key was closed, too");
            assert_eq!((server.closed(), server.open()), (2, 0));
        }));
    });
}
