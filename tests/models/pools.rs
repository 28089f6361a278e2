//! A pool: nothing is lost, nothing is given out twice, and everyone has their turn.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foster::resource::{Close, Get, KeyedPool, Manager, Pool, PoolOptions, PoolStatistics};
use foster::runtimes::Sim;
use foster::{Instant, now, scope, sleep, timeout};
use proptest::prelude::*;

use crate::{config, watched};

/// What a method of the manager does, after a time.
#[derive(Clone, Copy, Debug)]
enum Does {
    Succeed(u64),
    Fail(u64),
    Panic,
    Hang,
}

/// What becomes of a resource.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Return,
    Discard,
    TakeOut,
    /// It is dropped in the middle of an operation.
    Break,
}

#[derive(Clone, Debug)]
struct Caller {
    key: usize,
    comes: u64,
    patience: Option<u64>,
    holds: u64,
    fate: Fate,
}

#[derive(Clone, Debug)]
struct Program {
    /// `None` for a pool without keys.
    max_per_key: Option<usize>,
    max_size: usize,
    min_idle: usize,
    idle_timeout: u64,
    check_after: u64,
    create: Vec<Does>,
    check: Vec<Does>,
    reset: Vec<Option<Does>>,
    close: Vec<Does>,
    /// After so long a resource says that it is broken.
    breaks: Vec<Option<u64>>,
    callers: Vec<Caller>,
    closes_at: Option<u64>,
    seed: u64,
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        6 => (0..8_u64).prop_map(Does::Succeed),
        2 => (0..8_u64).prop_map(Does::Fail),
        1 => Just(Does::Panic),
        1 => Just(Does::Hang),
    ]
}

fn callers() -> impl Strategy<Value = Caller> {
    let fate = prop_oneof![6 => Just(Fate::Return), 1 => Just(Fate::Discard), 1 => Just(Fate::TakeOut), 1 => Just(Fate::Break)];
    (0..3_usize, 0..80_u64, prop::option::of(0..20_u64), 0..12_u64, fate)
        .prop_map(|(key, comes, patience, holds, fate)| Caller { key, comes, patience, holds, fate })
}

fn programs() -> impl Strategy<Value = Program> {
    let script = || prop::collection::vec(does(), 1..6);
    let sizes =
        (prop::option::of(1..3_usize), 1..4_usize, 0..3_usize, 5..60_u64, prop_oneof![Just(0), 1..20_u64, Just(1_000)]);
    let resets = prop::collection::vec(prop::option::of(does()), 1..6);
    let breaks = prop::collection::vec(prop::option::of(1..30_u64), 1..6);
    let scripts = (script(), script(), resets, script(), breaks);
    (sizes, scripts, prop::collection::vec(callers(), 1..16), prop::option::of(0..120_u64), any::<u64>()).prop_map(
        |(
            (max_per_key, max_size, min_idle, idle_timeout, check_after),
            (create, check, reset, close, breaks),
            callers,
            closes_at,
            seed,
        )| {
            let min_idle = if max_per_key.is_none() { min_idle.min(max_size) } else { 0 };
            Program {
                max_per_key,
                max_size,
                min_idle,
                idle_timeout,
                check_after,
                create,
                check,
                reset,
                close,
                breaks,
                callers,
                closes_at,
                seed,
            }
        },
    )
}

const MS: Duration = Duration::from_millis(1);

/// What the manager has done.
#[derive(Default)]
struct Log {
    /// Those that exist.
    alive: BTreeSet<usize>,
    /// The keys of those that were created.
    keys: Vec<usize>,
    /// Those that callers have.
    held: BTreeSet<usize>,
    /// Those that must not be given out again.
    broken: BTreeSet<usize>,
    /// Those that callers have taken out of the pool.
    taken_out: BTreeSet<usize>,
    created: usize,
    calls: [usize; 5],
}

/// The log, which a failed assertion does not poison.
#[derive(Default)]
struct Shared(Mutex<Log>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Scripted {
    key: usize,
    program: Arc<Program>,
    log: Arc<Shared>,
}

struct Resource {
    id: usize,
    breaks_at: Option<Instant>,
    log: Arc<Shared>,
}

impl Resource {
    fn is_broken(&self) -> bool {
        self.breaks_at.is_some_and(|at| at <= now())
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        let mut log = self.log.lock();
        let (was_alive, is_held) = (log.alive.remove(&self.id), log.held.contains(&self.id));
        if !std::thread::panicking() {
            assert!(was_alive && !is_held, "{} is dropped while somebody has it, or twice", self.id);
        }
    }
}

impl Scripted {
    fn next<T: Copy>(&self, method: usize, script: &[T]) -> T {
        let call = &mut self.log.lock().calls[method];
        *call += 1;
        script[(*call - 1) % script.len()]
    }
}

async fn act(does: Does) -> Result<(), ()> {
    match does {
        Does::Succeed(after) => {
            sleep(MS * after as u32).await;
            Ok(())
        }
        Does::Fail(after) => {
            sleep(MS * after as u32).await;
            Err(())
        }
        Does::Panic => std::panic::resume_unwind(Box::new("scripted")),
        Does::Hang => std::future::pending().await,
    }
}

impl Manager for Scripted {
    type Resource = Resource;
    type Error = ();

    async fn create(&self) -> Result<Resource, ()> {
        act(self.next(0, &self.program.create)).await?;
        let breaks_at = self.next(4, &self.program.breaks).map(|after| now() + MS * after as u32);
        let mut log = self.log.lock();
        let id = log.created;
        log.created += 1;
        log.keys.push(self.key);
        log.alive.insert(id);
        Ok(Resource { id, breaks_at, log: self.log.clone() })
    }

    async fn check(&self, resource: &mut Resource) -> Result<(), ()> {
        assert!(!self.log.lock().held.contains(&resource.id));
        let checked = act(self.next(1, &self.program.check)).await;
        if checked.is_err() {
            self.log.lock().broken.insert(resource.id);
        }
        checked
    }

    fn reset(&self, resource: &mut Resource) -> Option<impl Future<Output = Result<(), ()>> + Send> {
        let does = self.next(2, &self.program.reset)?;
        let id = resource.id;
        Some(async move {
            self.log.lock().broken.insert(id);
            act(does).await?;
            self.log.lock().broken.remove(&id);
            Ok(())
        })
    }

    fn is_broken(&self, resource: &Resource) -> bool {
        resource.is_broken()
    }

    async fn close(&self, resource: Resource) {
        _ = act(self.next(3, &self.program.close)).await;
        drop(resource);
    }
}

/// One with keys or without.
enum AnyPool {
    Plain(Pool<Scripted>),
    Keyed(KeyedPool<usize, Scripted>),
}

impl AnyPool {
    fn get(&self, key: usize) -> Get<'_, Scripted> {
        match self {
            AnyPool::Plain(pool) => pool.get(),
            AnyPool::Keyed(pool) => pool.get(key),
        }
    }

    fn close(&self) -> Close<'_, Scripted> {
        match self {
            AnyPool::Plain(pool) => pool.close(),
            AnyPool::Keyed(pool) => pool.close(),
        }
    }

    fn statistics(&self) -> PoolStatistics {
        match self {
            AnyPool::Plain(pool) => pool.statistics(),
            AnyPool::Keyed(pool) => pool.statistics(),
        }
    }
}

/// What holds between any two steps.
fn assert_invariants(program: &Program, pool: &AnyPool, log: &Log) {
    let statistics = pool.statistics();
    let in_pool = log.alive.len() - log.taken_out.len();
    assert!(in_pool <= statistics.size(), "{in_pool} resources have {statistics:?}");
    assert!(statistics.size() <= program.max_size, "{statistics:?}");
    assert!(statistics.peak() <= program.max_size);
    assert!(statistics.idle() + statistics.in_use() + statistics.connecting() <= statistics.size());
    assert!(log.held.len() <= statistics.in_use(), "{:?} are held of {statistics:?}", log.held);
    for key in 0..3 {
        let open = log.alive.iter().filter(|id| log.keys[**id] == key && !log.taken_out.contains(id)).count();
        assert!(open <= program.max_per_key.unwrap_or(usize::MAX), "{open} of key {key}");
    }
    if statistics.waiting() > 0 && program.max_per_key.is_none() {
        assert!(statistics.idle() == 0 || statistics.connecting() >= statistics.waiting(), "{statistics:?}");
        assert!(statistics.size() > 0, "nobody does anything for those who wait: {statistics:?}");
    }
}

fn run(program: &Program) {
    let log = Arc::new(Shared::default());
    let manager = Scripted { key: 0, program: Arc::new(program.clone()), log: log.clone() };
    Sim::new(program.seed).run(scope(async |s| {
        let options = PoolOptions::new()
            .max_size(program.max_size)
            .min_idle(program.min_idle)
            .idle_timeout(MS * program.idle_timeout as u32)
            .check_after(MS * program.check_after as u32)
            .max_lifetime(50 * MS)
            .create_timeout(10 * MS)
            .grace(10 * MS);
        let pool = &match program.max_per_key {
            None => AnyPool::Plain(options.build(manager, s.spawner())),
            Some(most) => {
                let make = move |key: &usize| Scripted { key: *key, ..manager.clone() };
                AnyPool::Keyed(options.max_per_key(most).build_keyed(make, s.spawner()))
            }
        };
        // In the order of the first poll, and in that in which they were served.
        let (joined, left) = (&Mutex::new(Vec::new()), &Mutex::new(BTreeSet::new()));
        let log = &log;
        let check = || assert_invariants(program, pool, &log.lock());
        scope(async |s| {
            for (i, caller) in program.callers.iter().enumerate() {
                let task = s.spawn(async move {
                    sleep(MS * caller.comes as u32).await;
                    joined.lock().unwrap().push(i);
                    let got = pool.get(caller.key).await;
                    left.lock().unwrap().insert(i);
                    check();
                    let Ok(mut resource) = got else { return };
                    let id = resource.id;
                    assert!(!resource.is_broken(), "{id} has broken, and was given out");
                    {
                        let mut log = log.lock();
                        assert!(program.max_per_key.is_none() || log.keys[id] == caller.key);
                        assert!(log.alive.contains(&id) && !log.broken.contains(&id), "{id} is not to be used");
                        assert!(log.held.insert(id), "{id} is given out twice");
                    }
                    // Also if this is cancelled.
                    struct Held<'a>(usize, &'a Shared);
                    impl Drop for Held<'_> {
                        fn drop(&mut self) {
                            self.1.lock().held.remove(&self.0);
                        }
                    }
                    let held = Held(id, log);
                    sleep(MS * caller.holds as u32).await;
                    match caller.fate {
                        Fate::Break => {
                            log.lock().broken.insert(id);
                            drop(resource.busy());
                            drop(held);
                            drop(resource);
                        }
                        Fate::Discard => {
                            log.lock().broken.insert(id);
                            drop(held);
                            resource.discard();
                        }
                        Fate::TakeOut => {
                            log.lock().taken_out.insert(id);
                            let resource = resource.into_inner();
                            drop(held);
                            check();
                            drop(resource);
                            log.lock().taken_out.remove(&id);
                        }
                        Fate::Return => {
                            drop(held);
                            drop(resource);
                        }
                    }
                    check();
                });
                if let Some(patience) = caller.patience {
                    s.spawn(async move {
                        sleep(MS * (caller.comes + patience) as u32).await;
                        task.cancel();
                        left.lock().unwrap().insert(i);
                    });
                }
            }
            if let Some(at) = program.closes_at {
                s.spawn(async move {
                    sleep(MS * at as u32).await;
                    pool.close().await;
                    assert_eq!(pool.statistics().size(), 0);
                });
            }
            s.spawn(async move {
                for _ in 0..100 {
                    sleep(MS).await;
                    check();
                }
            });
        })
        .await;
        let statistics = pool.statistics();
        assert_eq!((statistics.waiting(), statistics.in_use()), (0, 0));
        assert!(timeout(Duration::from_secs(60), pool.close()).await.is_ok(), "{:?}", pool.statistics());
        assert_eq!(pool.statistics().size(), 0);
        assert!(log.lock().alive.is_empty(), "what was created is gone");
        let joined = joined.lock().unwrap();
        assert!(joined.iter().all(|i| left.lock().unwrap().contains(i)), "somebody is still there");
    }));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_pool_loses_nothing_and_gives_out_nothing_twice(program in programs()) {
        watched(move || run(&program));
    }
}
