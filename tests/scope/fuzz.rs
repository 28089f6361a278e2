//! Random programs: whatever they do, nothing escapes and nothing hangs.
//!
//! `SEED=1000 SEEDS=100000` runs others than the few that are run by default.

use crate::harness::ok;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use foster::runtimes::{Basic, Sim, Smol, Tokio};
use foster::{
    Handle, Task, Token, adopt, gather, shield, sleep, timeout, timeout_detach, try_gather, try_scope, yield_now,
};
use futures::FutureExt;
use futures::future::{Either, select};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// xorshift*
#[derive(Clone)]
struct Rng(u64);

impl Rng {
    fn next(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    fn fork(&mut self) -> Rng {
        Rng(self.next(u64::MAX >> 1) * 2 + 1)
    }
}

/// How many futures are alive in a scope: the innermost one first.
#[derive(Clone, Default)]
struct World {
    counts: Vec<Arc<AtomicUsize>>,
    graces: bool,
}

struct Guard(World);

impl World {
    fn enter(&self) -> Guard {
        for count in &self.counts {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Guard(self.clone())
    }

    fn inner(&self) -> (World, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let mut world = self.clone();
        world.counts.push(count.clone());
        (world, count)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for count in &self.0.counts {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn ms(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.next(4) * 500)
}

/// A random future. It ends by itself unless `endless` allows that it does not.
fn node(mut rng: Rng, depth: u32, endless: bool, world: World) -> Boxed {
    let guard = world.enter();
    let d = depth.saturating_sub(1);
    let kind = if depth == 0 { rng.next(5) } else { rng.next(20) };
    let body: Boxed = match kind {
        0 => Box::pin(yield_now()),
        1 => Box::pin(sleep(ms(&mut rng))),
        2 if endless => Box::pin(pending()),
        2 | 3 => Box::pin(async {}),
        4 => Box::pin(async {
            let _ = Token::current();
            yield_now().await
        }),
        5 | 6 => {
            let inner = node(rng.fork(), d, true, world.clone());
            let mut t = timeout(ms(&mut rng), inner);
            if world.graces && rng.next(2) == 0 {
                t = t.grace(ms(&mut rng))
            }
            Box::pin(async move { drop(t.await) })
        }
        7 => Box::pin(shield(node(rng.fork(), d, false, world.clone()))),
        8 => Box::pin(adopt(node(rng.fork(), d, false, world.clone()))),
        9 => {
            let inner = node(rng.fork(), d, true, world.clone());
            let t = ms(&mut rng);
            Box::pin(async move {
                if let Either::Right((_, rest)) = select(inner, Box::pin(sleep(t))).await {
                    drop(rest)
                }
            })
        }
        10 => {
            let all: Vec<Boxed> = (0..rng.next(4)).map(|_| node(rng.fork(), d, endless, world.clone())).collect();
            Box::pin(async move { drop(gather(all).await) })
        }
        11 => {
            let n = rng.next(4);
            let all: Vec<_> = (0..n)
                .map(|i| {
                    let node = node(rng.fork(), d, endless, world.clone());
                    Box::pin(async move {
                        node.await;
                        if i == 1 { Err(()) } else { Ok(()) }
                    })
                })
                .collect();
            Box::pin(async move { drop(try_gather(all).await) })
        }
        12 => {
            let token = Token::new();
            let inner = node(rng.fork(), d, true, world.clone());
            let t = ms(&mut rng);
            Box::pin(async move {
                let run = token.run_until_cancelled(inner);
                drop(futures::join!(run, async {
                    sleep(t).await;
                    token.cancel("x")
                }))
            })
        }
        13 => {
            let inner = node(rng.fork(), d, true, world.clone());
            Box::pin(timeout_detach(ms(&mut rng), inner).map(drop))
        }
        14 => {
            let a = node(rng.fork(), d, endless, world.clone());
            let b = node(rng.fork(), d, endless, world.clone());
            Box::pin(async move {
                futures::join!(a, b);
            })
        }
        15 => {
            let a = node(rng.fork(), d, endless, world.clone());
            Box::pin(async move {
                a.await;
                resume_unwind(Box::new("on purpose"))
            })
        }
        _ => scoped(rng, d, endless, world.clone()),
    };
    Box::pin(async move {
        let _guard = guard;
        drop(AssertUnwindSafe(body).catch_unwind().await);
    })
}

/// A random scope, over which nothing in it may be alive. With graces, what overruns passes to the
/// scope around.
fn scoped(mut rng: Rng, d: u32, endless: bool, around: World) -> Boxed {
    let (world, count) = around.inner();
    let graces = world.graces && rng.next(2) == 0;
    let grace = ms(&mut rng);
    let strict = !world.graces;
    Box::pin(async move {
        {
            let run = try_scope(|s| {
                let world = world.clone();
                async move {
                    let _guard = world.enter();
                    let mut tasks = Vec::new();
                    let ends = rng.next(6);
                    let wild = ends < 3 || endless;
                    for _ in 0..rng.next(5) {
                        match rng.next(9) {
                            0 => s.defer(ok(node(rng.fork(), d, false, world.clone()))),
                            1 => tasks.push(s.spawn_parallel(ok(node(rng.fork(), d, wild, world.clone())))),
                            2 => {
                                let guard = world.enter();
                                s.spawn_blocking(move || {
                                    let _guard = guard;
                                    thread::yield_now();
                                    Ok(())
                                });
                            }
                            3 => yield_now().await,
                            4 => {
                                let node = node(rng.fork(), d, wild, world.clone());
                                let world = world.clone();
                                tasks.push(s.spawn(async move {
                                    let _g = world.enter();
                                    node.await;
                                    Err::<(), u32>(1)
                                }));
                            }
                            5 => {
                                let node = node(rng.fork(), d, wild, world.clone());
                                tasks.push(s.spawn_parallel(async move {
                                    node.await;
                                    Err::<(), u32>(1)
                                }));
                            }
                            6 => tasks.iter().take(1).for_each(Task::cancel),
                            7 => {
                                let (s2, node) = (s.clone(), node(rng.fork(), d, wild, world.clone()));
                                s.spawn_parallel(ok(async move {
                                    node.await;
                                    s2.cancel("parallel")
                                }));
                            }
                            _ => tasks.push(s.spawn(ok(node(rng.fork(), d, wild, world.clone())))),
                        }
                    }
                    match ends {
                        0 => s.cancel("fuzz"),
                        1 => s.stop("fuzz", ms(&mut rng)),
                        2 => return Err(2),
                        _ => {}
                    }
                    if rng.next(2) == 0 && wild == endless {
                        for task in tasks {
                            drop(task.outcome().await)
                        }
                    }
                    if rng.next(3) == 0 {
                        node(rng.fork(), d, endless || ends < 2, world.clone()).await
                    }
                    Ok(())
                }
            });
            if graces {
                drop(AssertUnwindSafe(run.grace(grace).outcome()).catch_unwind().await);
            } else {
                drop(AssertUnwindSafe(run.outcome()).catch_unwind().await);
            }
        }
        if strict && count.load(Ordering::SeqCst) != 0 {
            // A panic would be caught on the way.
            eprintln!("something outlived its scope");
            std::process::abort();
        }
    })
}

/// Runs a random program on `handle`, under a watchdog.
fn program(seed: u64, handle: Handle, graces: bool) {
    let (world, count) = World { counts: Vec::new(), graces }.inner();
    let (done, waiting) = mpsc::channel::<()>();
    let runner = thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let _done = done;
            let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            for _ in 0..8 {
                rng.next(2);
            }
            handle.run(node(rng, 5, false, world));
        })
        .unwrap();
    if let Err(mpsc::RecvTimeoutError::Timeout) = waiting.recv_timeout(Duration::from_secs(20)) {
        panic!("the program of seed {seed} hangs; SEED={seed} SEEDS=1 in the environment runs it alone");
    }
    if let Err(payload) = runner.join() {
        eprintln!("this was the program of seed {seed}; SEED={seed} SEEDS=1 in the environment runs it alone");
        resume_unwind(payload);
    }
    // A runtime may take its time to drop what is over.
    let patience = Instant::now() + Duration::from_secs(10);
    while count.load(Ordering::SeqCst) > 0 {
        let alive = count.load(Ordering::SeqCst);
        assert!(Instant::now() < patience, "{alive} futures of the program of seed {seed} have outlived their root");
        thread::yield_now();
    }
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let first: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(default);
    first..first + n
}

#[test]
fn random_programs_let_nothing_escape_under_sim() {
    for seed in seeds(300) {
        program(seed, Sim::new(seed).into(), false);
        program(seed, Sim::new(seed).into(), true);
    }
}

#[test]
fn random_programs_let_nothing_escape_on_threads() {
    let rt: Handle = Basic::thread_pool(2).unwrap().into();
    let smol: Handle = Smol::global().into();
    let tokio: Handle = Tokio::multi_thread(2).unwrap().into();
    for seed in seeds(60) {
        for rt in [&rt, &smol, &tokio] {
            program(seed, rt.clone(), false);
            program(seed, rt.clone(), true);
        }
    }
}
