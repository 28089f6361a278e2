//! Exploring schedules: the same seed is the same run, every schedule is seen once, and a failure
//! can be run again.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::env;
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::harness::Test;
use foster::testing::{EveryAwait, Explore, Faults, Gate, Trace, advance, explore, explore_all, settle};
use foster::{adopt, local, now, scope, sleep, timeout, yield_now};
use futures::FutureExt;
use futures::task::SpawnExt;

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
            "`tests/explore.rs:",
            "` (task ",
            "job `tests/explore.rs:",
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

// Nobody reported a loop that is ready for ever at one instant.
#[test]
fn a_clock_that_stands_for_too_long_is_an_error_that_names_who_is_busy() {
    watched(|| {
        let program = || {
            scope(async |s| {
                s.spawn_parallel(sleep(SECOND));
                let spinner = async {
                    loop {
                        yield_now().await;
                    }
                };
                s.named("spinner").spawn_on(spinner, &Sim::current());
                sleep(SECOND).await;
            })
        };
        let error =
            |builder: foster::runtimes::sim::Builder| builder.build().try_run(program()).unwrap_err().to_string();
        let message = error(Sim::builder().seed(7).standstill(5_000));
        let said = "the simulation with seed 7 has taken 5000 steps at 0ns and no time has passed";
        assert!(message.starts_with(said), "{message}");
        assert!(message.contains("`spinner` (task 2), with 1000 of the last 1000 steps\n    yield\n"), "{message}");
        assert!(!message.contains("main"), "{message}");
        // By default, too; and with a limit for all steps, which says the same.
        assert!(error(Sim::builder()).contains("1000000 steps at 0ns"));
        assert!(error(Sim::builder().limit(2_000)).contains("`spinner`"));
    });
}

#[test]
fn time_that_passes_makes_a_standstill_none() {
    watched(|| {
        let patient = Sim::builder().standstill(100).build();
        patient.run(async {
            for _ in 0..50 {
                for _ in 0..90 {
                    yield_now().await;
                }
                sleep(SECOND).await;
            }
            for _ in 0..50 {
                for _ in 0..90 {
                    yield_now().await;
                }
                Sim::current().advance(SECOND);
            }
        });
        assert_eq!(patient.elapsed(), 100 * SECOND);
    });
}

// A protocol that wants each of its instants to be later than the one before never came to its end.
#[test]
fn steps_take_time_where_they_are_told_to() {
    watched(|| {
        let most = Duration::from_micros(10);
        let run = |seed, step_time| {
            let sim = Sim::builder().seed(seed).step_time(step_time).build();
            let instants = sim.run(async {
                let start = now();
                let mut instants = vec![Duration::ZERO];
                for _ in 0..100 {
                    yield_now().await;
                    instants.push(now() - start);
                }
                instants
            });
            (instants, sim.trace())
        };
        for seed in 0..20 {
            let (instants, trace) = run(seed, most);
            assert!(instants.windows(2).all(|two| two[0] < two[1] && two[1] - two[0] <= most), "{instants:?}");
            assert_eq!((&instants, &trace), (&run(seed, most).0, &run(seed, most).1));
            assert_ne!(instants, run(seed + 1, most).0);
            assert!(run(seed, Duration::ZERO).0.iter().all(Duration::is_zero));
        }
        // The smallest time there is.
        assert_eq!(run(0, Duration::from_nanos(1)).0[100], Duration::from_nanos(100));
    });
}

#[test]
fn timers_fire_while_something_is_ready_where_steps_take_time() {
    watched(|| {
        let spin = || {
            timeout(SECOND, async {
                loop {
                    yield_now().await;
                }
            })
        };
        let sim = Sim::builder().step_time(SECOND / 100).build();
        assert!(sim.run(spin()).is_err());
        assert!(sim.elapsed() >= SECOND);
        let explore = Explore::new().seeds(0..10).step_time(SECOND / 100);
        explore.check(async || assert!(spin().await.is_err()));
    });
}

#[test]
fn time_passes_while_the_thread_is_busy() {
    watched(|| {
        assert!(Sim::try_current().is_none());
        explore(0..20, async || {
            let start = now();
            let busy = async {
                yield_now().await;
                Sim::current().advance(3 * SECOND);
                yield_now().await;
            };
            assert!(timeout(2 * SECOND, busy).await.is_err());
            assert_eq!(now() - start, 3 * SECOND);
            // A job is busy, too.
            foster::blocking(|| Sim::current().advance(SECOND)).await;
            assert_eq!(now() - start, 4 * SECOND);
        });
        assert!(Sim::try_current().is_none());
    });
}

#[test]
fn an_hour_of_virtual_time_passes_at_once() {
    watched(|| {
        let sim = Sim::new(1);
        let start = std::time::Instant::now();
        sim.run(async {
            let began = now();
            for _ in 0..450 {
                sleep(SECOND).await;
            }
            assert_eq!(now() - began, 450 * SECOND);
        });
        assert_eq!(sim.elapsed(), 450 * SECOND);
        assert!(start.elapsed() < 100 * SECOND);
    });
}

#[test]
fn settling_and_advancing_let_others_come_to_rest() {
    watched(|| {
        explore(0..100, || async {
            let log = Arc::new(Mutex::new(Vec::new()));
            let seen = log.clone();
            scope(async |s| {
                s.spawn_parallel(async move {
                    for second in 0..5 {
                        for _ in 0..second {
                            yield_now().await;
                        }
                        log.lock().unwrap().push(second);
                        sleep(SECOND).await;
                    }
                });
                let start = now();
                settle().await;
                assert_eq!(*seen.lock().unwrap(), [0]);
                assert_eq!(now(), start);
                advance(2 * SECOND).await;
                assert_eq!(*seen.lock().unwrap(), [0, 1, 2]);
                assert_eq!(now(), start + 2 * SECOND);
            })
            .await;
        });
    });
}

#[test]
fn who_settles_when_a_run_ends_settles_in_the_next_one() {
    watched(|| {
        let sim = Sim::new(1);
        let done = Gate::new();
        let told = done.clone();
        let task = async move {
            settle().await;
            told.open();
        };
        sim.spawn(task).unwrap();
        sim.run(async {
            for _ in 0..50 {
                yield_now().await;
            }
        });
        sim.run(async {
            sleep(SECOND).await;
            settle().await;
            sleep(SECOND).await;
        });
        assert!(done.is_open());
    });
}

#[test]
fn settling_waits_for_late_jobs_but_not_for_those_that_a_timer_holds_back() {
    watched(|| {
        Explore::new().seeds(0..50).faults(Faults::none().late_blocking()).check(|| async {
            let done = Gate::new();
            let told = done.clone();
            scope(async |s| {
                s.spawn_blocking(move || told.open());
                settle().await;
                assert!(done.is_open());
            })
            .await;
        });
    });
}

#[test]
fn the_limits_are_those_of_one_run() {
    watched(|| {
        async fn yields(n: usize) {
            for _ in 0..n {
                yield_now().await;
            }
        }
        for sim in [Sim::builder().limit(1_000).build(), Sim::builder().standstill(1_000).build()] {
            for _ in 0..3 {
                sim.run(yields(600));
            }
            assert!(sim.try_run(yields(1_200)).is_err());
            sim.run(yields(600));
        }
    });
}

#[test]
fn an_exploration_may_allow_more_steps_than_a_simulation_does() {
    watched(|| {
        let long = || async {
            for _ in 0..1_200_000 {
                yield_now().await;
            }
        };
        let failure = Explore::new().seeds(0..1).run(long).unwrap_err();
        assert!(failure.message().contains("after 1000000 steps"), "{}", failure.message());
        assert!(failure.message().contains("`Explore::steps`"), "{}", failure.message());
        assert!(Explore::new().seeds(0..1).steps(3_000_000).run(long).is_ok());
    });
}

#[test]
fn the_run_that_measures_a_program_may_fail_as_well() {
    watched(|| {
        let runs = Cell::new(0);
        let explore = Explore::new().seeds(3..7).priority(2);
        let failure = explore.run(|| async {
            runs.set(runs.get() + 1);
            assert_ne!(runs.get(), 1, "the first run");
        });
        let failure = failure.unwrap_err();
        assert!(failure.message().contains("the first run"), "{failure}");
        // The environment replays it: a run of seed 0 alone begins with the same measurement.
        assert_eq!((failure.schedules(), failure.replay()), (1, "FOSTER_SEED=0".to_string()));
    });
}

#[test]
fn a_simulation_inside_another_one_takes_none_of_its_steps() {
    watched(|| {
        let outer = Sim::new(1);
        outer.run(scope(async |s| {
            s.named("outer").spawn(async {
                let inner = Sim::new(2);
                inner.run(scope(async |s| s.named("inner").spawn(yield_now()).await));
                let inner = inner.trace().to_string();
                assert!(inner.contains("`inner`") && !inner.contains("`outer`"), "{inner}");
            });
        }));
        let outer = outer.trace().to_string();
        assert!(outer.contains("`outer`") && !outer.contains("`inner`"), "{outer}");
    });
}

/// Is pending once without a wake-up, and then ready.
async fn lost() {
    let mut polled = false;
    poll_fn(|_| if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn deadlock(program: impl Future<Output = ()>) -> String {
    Sim::new(1).try_run(program).unwrap_err().to_string()
}

#[test]
fn a_child_that_loses_its_wake_up_is_named_beside_one_that_is_stuck() {
    watched(|| {
        let message = deadlock(scope(async |s| {
            s.named("loses").spawn(lost());
            s.named("stuck").spawn(pending::<()>());
        }));
        let (stuck, over) = message.split_once("a wake-up was lost").unwrap_or((&message, ""));
        assert!(stuck.contains("`stuck`") && over.contains("`loses`") && !over.contains("`stuck`"), "{message}");
        let message = deadlock(scope(async |s| {
            s.named("stuck").spawn(pending::<()>());
            lost().await;
        }));
        let (_, over) = message.split_once("a wake-up was lost").unwrap_or((&message, ""));
        assert!(over.contains("\n  the body of a scope"), "{message}");
        let message = deadlock(lost());
        assert!(message.contains("a wake-up was lost:") && message.ends_with("\n  main"), "{message}");
    });
}

#[test]
fn a_panic_while_a_deadlock_is_drawn_leaves_the_depth_as_it_was() {
    watched(|| {
        let message = deadlock(async {
            Sim::current().spawn(pending()).unwrap();
            let panics = foster::shield(async {
                lost().await;
                panic!("polled for nothing");
            });
            assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
            pending().await
        });
        assert!(message.ends_with("\n  task 1"), "{message}");
    });
}

#[test]
fn a_deadlock_says_who_waits_for_what() {
    watched(|| {
        let error = Sim::new(1).try_run(scope(async |s| {
            let (_keep, never) = futures::channel::oneshot::channel::<()>();
            let stuck = s.named("stuck").spawn(never);
            s.named("waiter").spawn(async move { stuck.await.unwrap_or_default() });
            foster::shield(s.named("shielded").spawn(sleep(Duration::MAX))).await;
        }));
        let message = error.unwrap_err().to_string();
        for line in ["`stuck`", "`waiter`", "  task `stuck`", "shield `tests/explore.rs:", "  sleep without end"] {
            assert!(message.contains(line), "no {line} in {message}");
        }
    });
}

#[test]
fn what_a_run_leaves_behind_is_named() {
    watched(|| {
        let leaks = |sim: &Sim, test: fn(Sim) -> futures::future::BoxFuture<'static, ()>| {
            sim.try_run(test(sim.clone())).unwrap_err().to_string()
        };
        let strict = || Sim::builder().seed(1).strict().build();
        let task = leaks(&strict(), |sim| Box::pin(async move { sim.spawn(std::future::pending()).unwrap() }));
        assert!(task.ends_with("has left behind:\n  task 1"), "{task}");
        let child = leaks(&strict(), |_| {
            Box::pin(async {
                let mut forgotten =
                    Box::pin(scope(async |s| s.named("forgotten").spawn(std::future::pending::<()>()).await));
                assert!(futures::poll!(&mut forgotten).is_pending());
                std::mem::forget(forgotten);
            })
        });
        assert!(child.contains("`forgotten`, whose scope was forgotten"), "{child}");
        let adopted = leaks(&strict(), |_| {
            Box::pin(async { assert!(futures::poll!(Box::pin(adopt(sleep(1_000 * SECOND)))).is_pending()) })
        });
        assert!(adopted.contains("adopted `tests/explore.rs:"), "{adopted}");
        // What is about to end is no leak, nor what the root has waited for.
        strict().run(async {
            assert!(futures::poll!(Box::pin(adopt(sleep(SECOND)))).is_pending());
        });
        let sim = strict();
        let tasks = sim.clone();
        sim.run(async move { tasks.spawn(async { yield_now().await }).unwrap() });
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
