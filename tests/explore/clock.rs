//! The clock of a simulation, and the limits of its runs.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::{Explore, Faults, Gate, advance, explore, settle};
use foster::{now, scope, sleep, timeout, yield_now};
use futures::task::SpawnExt;

use crate::{SECOND, watched};

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
