//! Exploring schedules: the same seed is the same run, every schedule is seen once, and a failure
//! can be run again.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::env;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::harness::Test;
use foster::testing::{EveryAwait, Explore, Faults, Trace, explore, explore_all};
use foster::{local, scope, sleep, timeout, yield_now};

mod clock;
mod deadlocks;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `test` on a thread of its own; one that hangs fails.
fn watched(test: impl FnOnce() + Send + 'static) {
    Test::new(60_000, false).call(test);
}

/// Tasks, children on one task, timers and jobs.
async fn busy() {
    scope(async |s| {
        for i in 0..4 {
            s.spawn_parallel(async move {
                for _ in 0..i {
                    yield_now().await;
                }
                sleep(i * SECOND).await;
            });
            s.named(format!("child {i}")).spawn(async move {
                yield_now().await;
                drop(timeout(SECOND, sleep(i * SECOND)).await);
            });
        }
        s.spawn_blocking(|| 7).await
    })
    .await;
}

fn trace(seed: u64, priority: bool) -> Trace {
    let builder = Sim::builder().seed(seed).faults(Faults::none().delay_timers(SECOND).spurious_wakes(0.1)).strict();
    let sim = if priority { builder.priority(3).build() } else { builder.build() };
    sim.run(busy());
    sim.trace()
}

#[test]
fn the_same_seed_is_the_same_run_to_the_last_step() {
    watched(|| {
        for seed in 0..50 {
            for priority in [false, true] {
                let (one, other) = (trace(seed, priority), trace(seed, priority));
                assert_eq!(one, other);
                assert_eq!(one.to_string(), other.to_string());
            }
            assert_ne!(trace(seed, false), trace(seed + 1, false));
        }
    });
}

#[test]
fn the_steps_have_names() {
    watched(|| {
        let text = Sim::new(3);
        text.run(busy());
        let text = text.trace().to_string();
        for part in [
            "main > ",
            "`child 2` #",
            "`tests/explore/main.rs:",
            "` (task ",
            "job `tests/explore/main.rs:",
            "the clock moves to 1s",
        ] {
            assert!(text.contains(part), "no {part} in:\n{text}");
        }
    });
}

/// The order in which the children of one scope, on one task, are polled first.
async fn order_of(n: usize) -> Vec<usize> {
    let order = Rc::new(Cell::new(Vec::new()));
    local::scope(|s| {
        let order = order.clone();
        async move {
            for i in 0..n {
                let order = order.clone();
                s.spawn(async move {
                    let mut seen = order.take();
                    seen.push(i);
                    order.set(seen);
                });
            }
        }
    })
    .await;
    order.take()
}

#[test]
fn a_scope_shuffles_its_children_into_every_order() {
    watched(|| {
        let seen = Mutex::new(BTreeSet::new());
        let explored = explore_all(|| async {
            let order = order_of(4).await;
            seen.lock().unwrap().insert(order);
        });
        assert_eq!((explored.schedules(), seen.lock().unwrap().len()), (24, 24));
        let seen = Mutex::new(BTreeSet::new());
        explore(0..500, || async {
            let order = order_of(4).await;
            seen.lock().unwrap().insert(order);
        });
        assert_eq!(seen.into_inner().unwrap().len(), 24);
        // More than one block of them.
        assert_eq!(Sim::new(1).run(order_of(200)).into_iter().collect::<BTreeSet<_>>().len(), 200);
    });
}

#[test]
fn without_a_simulation_the_order_is_that_of_spawning() {
    watched(|| {
        assert_eq!(futures::executor::block_on(order_of(5)), [0, 1, 2, 3, 4]);
    });
}

/// Tasks of so many steps each interleave in as many ways as there are words of their letters.
fn interleavings(steps: &'static [usize]) -> (usize, usize) {
    let seen = Mutex::new(BTreeSet::new());
    let explored = explore_all(|| async {
        let log = Arc::new(Mutex::new(String::new()));
        scope(|s| {
            let log = log.clone();
            async move {
                for (i, &steps) in steps.iter().enumerate() {
                    let log = log.clone();
                    s.spawn_parallel(async move {
                        for step in 0..steps {
                            if step > 0 {
                                yield_now().await;
                            }
                            log.lock().unwrap().push(char::from(b'a' + i as u8));
                        }
                    });
                }
            }
        })
        .await;
        let word = log.lock().unwrap().clone();
        seen.lock().unwrap().insert(word);
    });
    (explored.schedules(), seen.into_inner().unwrap().len())
}

#[test]
fn every_schedule_is_seen_once() {
    watched(|| {
        assert_eq!(interleavings(&[1, 1]).1, 2);
        assert_eq!(interleavings(&[2, 2]).1, 6);
        assert_eq!(interleavings(&[3, 3]).1, 20);
        let (schedules, words) = interleavings(&[2, 2, 2]);
        assert_eq!(words, 90);
        assert!(schedules >= words);
    });
}

#[test]
fn more_schedules_than_the_limit_are_an_error() {
    watched(|| {
        let failure = Explore::new().all(10).run(|| async { drop(order_of(4).await) }).unwrap_err();
        assert!(failure.message().contains("more than 10 schedules"), "{failure}");
        assert!(Explore::new().all(23).run(|| async { drop(order_of(4).await) }).is_err());
        assert_eq!(Explore::new().all(24).run(|| async { drop(order_of(4).await) }).unwrap().schedules(), 24);
    });
}

#[test]
fn a_test_that_is_not_deterministic_is_an_error() {
    watched(|| {
        let runs = AtomicUsize::new(0);
        let test = || {
            let n = 3 - runs.fetch_add(1, Ordering::Relaxed) % 2;
            async move { drop(order_of(n).await) }
        };
        let failure = Explore::new().all(100).run(test).unwrap_err();
        assert!(failure.message().contains("not deterministic"), "{failure}");
    });
}

/// Fails in one of six orders.
async fn unlucky() {
    assert_ne!(order_of(3).await, [2, 0, 1], "unlucky");
}

#[test]
fn a_failure_says_how_to_run_it_again() {
    watched(|| {
        let failure = Explore::new().run(unlucky).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("unlucky") && text.contains("main > "), "{text}");
        assert!(
            text.ends_with(&format!("FOSTER_SEED={} cargo test a_failure_says_how_to_run_it_again", failure.seed()))
        );
        let failure = Explore::new().all(100).run(unlucky).unwrap_err();
        assert!(failure.replay().starts_with("FOSTER_TAPE="), "{failure}");
    });
}

/// The test below, in a process of its own, with a replay in the environment.
fn in_child(replay: &str) -> String {
    test_in_child("explores_as_the_environment_says", replay)
}

/// Runs one test in a process of its own. Returns what it prints.
fn test_in_child(test: &str, replay: &str) -> String {
    let variables = replay.split_whitespace().map(|variable| variable.split_once('=').unwrap());
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--include-ignored"]);
    let output = child.env("FOSTER_CHILD", "1").envs(variables).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn explores_as_the_environment_says() {
    watched(|| {
        if env::var_os("FOSTER_CHILD").is_none() {
            return;
        }
        match env::var_os("FOSTER_TAPE") {
            Some(_) => println!("schedules: {}", explore_all(unlucky).schedules()),
            None => println!("schedules: {}", explore(0..1_000, unlucky).schedules()),
        }
    });
}

#[test]
fn the_environment_replays_exactly_one_run() {
    watched(|| {
        for explore in [Explore::new(), Explore::new().all(100)] {
            let failure = explore.run(unlucky).unwrap_err();
            let text = in_child(&failure.replay());
            assert!(text.contains("schedule 1 failed"), "{text}");
            failure.trace().to_string().lines().for_each(|line| assert!(text.contains(line), "no {line} in {text}"));
        }
        let passing = (0..).find(|&seed| Explore::new().seeds(seed..seed + 1).run(unlucky).is_ok()).unwrap();
        assert!(in_child(&format!("FOSTER_SEED={passing}")).contains("schedules: 1"));
        assert!(in_child("FOSTER_TAPE=0").contains("schedules: 1"));
        assert!(in_child("FOSTER_SEED=x").contains("FOSTER_SEED=x is no seed"));
        assert!(in_child("FOSTER_SEED=18446744073709551615").contains("is too large for a seed"));
        assert!(in_child("FOSTER_TAPE=1.x").contains("FOSTER_TAPE=1.x is no tape"));
    });
}

#[test]
fn cancels_as_the_environment_says() {
    watched(|| {
        if env::var_os("FOSTER_CHILD").is_none() {
            return;
        }
        let body = || async {
            yield_now().await;
            sleep(SECOND).await;
        };
        println!("{}", EveryAwait::new().seeds(0..3).run(body, || ()).unwrap());
    });
}

#[test]
fn the_environment_replays_the_cancellation_at_one_await() {
    watched(|| {
        let in_child = |replay| test_in_child("cancels_as_the_environment_says", replay);
        let names = "suspended 2 times under the first seed\n  1: yield\n  2: sleep of 1s\n";
        let text = in_child("");
        assert!(text.contains(&format!("9 runs; {names}")), "{text}");
        let text = in_child("FOSTER_SEED=7");
        assert!(text.contains(&format!("3 runs; {names}")), "{text}");
        let text = in_child("FOSTER_SEED=7 FOSTER_SUSPENSION=2");
        assert!(text.contains("1 runs; suspended 0 times"), "{text}");
        let text = in_child("FOSTER_SUSPENSION=1");
        assert!(text.contains("3 runs; suspended 0 times"), "{text}");
        assert!(in_child("FOSTER_SUSPENSION=two").contains("FOSTER_SUSPENSION=\"two\" is no number"));
    });
}

#[test]
#[should_panic(expected = "there is no seed in 5..5")]
fn no_seed_at_all_is_an_error() {
    watched(|| {
        explore(5..5, || async {});
    });
}

#[test]
fn priorities_find_what_a_uniform_choice_hardly_does() {
    watched(|| {
        // A task must do all its steps before another does its second.
        let program = || async {
            let steps = Arc::new(AtomicUsize::new(0));
            scope(async |s| {
                let slow = steps.clone();
                s.spawn_parallel(async move {
                    yield_now().await;
                    assert_ne!(slow.load(Ordering::Relaxed), 30, "the slow one was overtaken");
                });
                s.spawn_parallel(async move {
                    for _ in 0..30 {
                        yield_now().await;
                        steps.fetch_add(1, Ordering::Relaxed);
                    }
                    // Still there, so that the other one may look.
                    yield_now().await;
                    steps.store(0, Ordering::Relaxed);
                });
            })
            .await;
        };
        assert!(Explore::new().run(program).is_ok());
        for explore in [Explore::new().priority(3), Explore::new().priority(3).seeds(0..1_000)] {
            let failure = explore.run(program).unwrap_err();
            assert!(failure.message().contains("overtaken"), "{failure}");
        }
        // One more to measure how long it runs is not counted.
        assert_eq!(Explore::new().seeds(3..7).priority(3).run(yield_now).unwrap().schedules(), 4);
    });
}

#[test]
fn what_never_ends_fails_after_so_many_steps() {
    watched(|| {
        let endless = || async {
            loop {
                yield_now().await;
            }
        };
        let failure = Explore::new().steps(1_000).run(endless).unwrap_err();
        assert!(failure.message().contains("after 1000 steps"), "{failure}");
    });
}

#[test]
fn a_run_leaves_no_memory_behind() {
    watched(|| {
        let alive = Arc::new(());
        explore(0..100, || {
            let alive = alive.clone();
            async move {
                busy().await;
                drop(alive);
            }
        });
        assert_eq!(Arc::strong_count(&alive), 1);
        // Not even one that fails with tasks that own their own wakers.
        let failure = Explore::new().run(|| {
            let alive = alive.clone();
            scope(async |s| {
                s.spawn_parallel(async move {
                    let _alive = alive;
                    std::future::pending::<()>().await
                });
            })
        });
        assert!(failure.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

/// What it costs is printed, and not asserted: `cargo test --release --features testing --test
/// explore speed -- --nocapture`.
#[test]
fn speed_of_a_thousand_seeds_of_twenty_tasks_with_fifty_awaits_each() {
    watched(|| {
        let start = std::time::Instant::now();
        let explored = explore(0..1_000, || {
            scope(async |s| {
                for _ in 0..20 {
                    s.spawn_parallel(async {
                        for _ in 0..50 {
                            yield_now().await;
                        }
                    });
                }
            })
        });
        let (took, steps) = (start.elapsed(), explored.longest() * explored.schedules());
        println!("{} schedules in {took:?}, {} ns a step", explored.schedules(), took.as_nanos() / steps as u128);
    });
}
