//! Timeout, retry, hedge, bulkhead, rate limit, breaker, budget and pool around one call, in the
//! order that `foster::rate` recommends, against a server that fails in all ways.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use foster::future::hedge;
use foster::rate::{CircuitBreaker, CircuitOpen, CircuitState, RateLimited, RateLimiter};
use foster::resource::{GetError, Manager, Pool, PoolOptions};
use foster::retry::RetryBudget;
use foster::runtimes::Sim;
use foster::scope::Spawner;
use foster::sync::Semaphore;
use foster::{Elapsed, Instant, local, now, retry, scope, sleep, sleep_until, timeout};
use proptest::prelude::*;

use crate::{config, watched};

const MS: Duration = Duration::from_millis(1);

/// How the server answers in a time.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Slow,
    Down,
    Hangs,
}

#[derive(Clone, Debug)]
struct Program {
    /// How long the server is in which mood. In the end it is well.
    moods: Vec<(u32, Mood)>,
    /// When each request comes, and when it is cancelled.
    requests: Vec<(u32, Option<u32>)>,
    slots: usize,
    connections: usize,
    burst: u32,
    probes: u32,
    seed: u64,
}

fn programs() -> impl Strategy<Value = Program> {
    let mood = prop_oneof![Just(Mood::Well), Just(Mood::Slow), Just(Mood::Down), Just(Mood::Hangs)];
    let moods = prop::collection::vec((1..400_u32, mood), 1..6);
    let requests = prop::collection::vec((0..1_000_u32, prop::option::weighted(0.3, 0..300_u32)), 1..40);
    (moods, requests, (1..5_usize, 1..5_usize), 1..5_u32, 1..4_u32, any::<u64>()).prop_map(
        |(moods, requests, (slots, connections), burst, probes, seed)| Program {
            moods,
            requests,
            slots,
            connections,
            burst,
            probes,
            seed,
        },
    )
}

#[derive(Debug)]
enum Error {
    Down,
    Late,
    Limited,
    Open(CircuitOpen),
}

impl From<Elapsed> for Error {
    fn from(_: Elapsed) -> Self {
        Error::Late
    }
}

impl From<RateLimited> for Error {
    fn from(_: RateLimited) -> Self {
        Error::Limited
    }
}

impl From<CircuitOpen> for Error {
    fn from(open: CircuitOpen) -> Self {
        Error::Open(open)
    }
}

impl From<GetError<()>> for Error {
    fn from(_: GetError<()>) -> Self {
        Error::Down
    }
}

/// Which mood the server is in.
#[derive(Clone)]
struct Moods {
    moods: Vec<(u32, Mood)>,
    start: Instant,
}

/// Connects to the server, which takes no connections while it is down.
impl Manager for Moods {
    type Resource = ();
    type Error = ();

    async fn create(&self) -> Result<(), ()> {
        sleep(MS).await;
        match self.now() {
            Mood::Well | Mood::Slow => Ok(()),
            Mood::Down => Err(()),
            Mood::Hangs => {
                sleep(100 * MS).await;
                Err(())
            }
        }
    }
}

struct Server {
    moods: Moods,
    under_way: Cell<usize>,
    most: Cell<usize>,
    /// When each call has begun. It may then wait for a connection.
    calls: RefCell<Vec<Instant>>,
}

impl Moods {
    fn now(&self) -> Mood {
        let (at, mut end) = ((now() - self.start).as_millis(), 0);
        let is_now = |(time, _): &&(u32, Mood)| {
            end += u128::from(*time);
            at < end
        };
        self.moods.iter().find(is_now).map_or(Mood::Well, |(_, mood)| *mood)
    }
}

impl Server {
    async fn answer(&self) -> Result<(), Error> {
        struct UnderWay<'a>(&'a Cell<usize>);
        impl Drop for UnderWay<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        self.under_way.set(self.under_way.get() + 1);
        let _under_way = UnderWay(&self.under_way);
        self.most.set(self.most.get().max(self.under_way.get()));
        let call = self.calls.borrow().len() as u32;
        match self.moods.now() {
            Mood::Well => sleep(MS).await,
            Mood::Slow => sleep(call % 8 * 10 * MS).await,
            Mood::Down => return Err(Error::Down),
            Mood::Hangs => std::future::pending().await,
        }
        Ok(())
    }
}

struct Client {
    budget: RetryBudget,
    slots: Semaphore,
    limiter: RateLimiter,
    breaker: CircuitBreaker,
    pool: Pool<Moods>,
}

/// A token each five milliseconds.
const PERIOD: Duration = Duration::from_millis(5);
const TOTAL: Duration = Duration::from_millis(700);
const OPEN: Duration = Duration::from_millis(50);

impl Client {
    async fn fetch(&self, server: &Server) -> Result<(), Error> {
        let attempt = async || {
            let _slot = self.slots.acquire(1).await.expect("nobody closes it");
            self.limiter.acquire(1).await?;
            let call = async || {
                server.calls.borrow_mut().push(now());
                let mut connection = self.pool.get().await?;
                let busy = connection.busy();
                server.answer().await?;
                busy.done();
                Ok(())
            };
            self.breaker.call(async || timeout(60 * MS, call()).await?).await
        };
        let retries =
            retry([5 * MS, 10 * MS, 20 * MS, 40 * MS], || hedge(30 * MS, 2, |_| attempt()).budget(&self.budget))
                .when(|error| !matches!(error, Error::Limited))
                .after(|error| if let Error::Open(open) = error { open.wait() } else { None })
                .jitter()
                .budget(&self.budget);
        timeout(TOTAL, retries).await?
    }
}

async fn check(program: &Program, spawner: Spawner) {
    let moods = Moods { moods: program.moods.clone(), start: now() };
    let client = &Client {
        budget: RetryBudget::with_ratio(20, 1, 2),
        slots: Semaphore::new(program.slots),
        limiter: RateLimiter::with_burst(1, PERIOD, program.burst),
        breaker: CircuitBreaker::new(4, OPEN).of_last(8).probes(program.probes),
        pool: PoolOptions::new().max_size(program.connections).build(moods.clone(), spawner),
    };
    let (under_way, most, calls) = (Cell::new(0), Cell::new(0), RefCell::new(Vec::new()));
    let server = &Server { moods, under_way, most, calls };
    local::scope(async |s| {
        for (comes, leaves) in &program.requests {
            let comes = server.moods.start + *comes * MS;
            let task = s.spawn(async move {
                sleep_until(comes).await;
                _ = client.fetch(server).await;
                assert!(now() - comes <= TOTAL, "the deadline was respected");
            });
            if let Some(leaves) = leaves {
                s.spawn(async move {
                    sleep_until(comes + *leaves * MS).await;
                    task.cancel();
                });
            }
        }
    })
    .await;
    // All permits are home.
    assert_eq!((server.under_way.get(), client.slots.available()), (0, program.slots));
    assert_eq!((client.slots.statistics().waiting(), client.limiter.waiting()), (0, 0));
    // The server was well, or ill for a known time. The pool connects again after a second, and the
    // breaker does not stay open.
    let ill = program.moods.iter().map(|(time, _)| *time).sum::<u32>();
    sleep_until((server.moods.start + ill * MS).max(now()) + OPEN + Duration::from_secs(2)).await;
    assert_eq!(client.pool.statistics().in_use(), 0);
    for _ in 0..program.probes {
        assert_ne!(client.breaker.state(), CircuitState::Open);
        client.fetch(server).await.expect("the server is well");
    }
    assert_eq!(client.breaker.state(), CircuitState::Closed);
    // Two successes give back what a failure has cost.
    for _ in 0..40 {
        client.fetch(server).await.expect("the server is well");
    }
    assert_eq!(client.budget.tokens(), 20);
    // The server never had more calls than slots and connections, and none began beyond the rate.
    assert!(server.most.get() <= program.slots.min(program.connections));
    assert!(client.pool.statistics().peak() <= program.connections);
    let calls = server.calls.take();
    for (last, end) in calls.iter().enumerate() {
        for (first, begin) in calls[..last].iter().enumerate() {
            let passed = end.duration_since(*begin).as_nanos() / PERIOD.as_nanos();
            assert!(((last - first) as u128) < u128::from(program.burst) + passed, "{begin:?} to {end:?}");
        }
    }
    sleep(program.burst * PERIOD).await;
    assert_eq!(client.limiter.available(), program.burst);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn all_limits_hold_together_and_none_is_stuck_whatever_fails(program in programs()) {
        watched(move || Sim::new(program.seed).run(scope(async |s| check(&program, s.spawner()).await)));
    }
}
