//! The simulator: its clock, its schedules, and its reports.

use std::future::pending;
use std::time::{Duration, Instant};

use foster::runtime::Clock;
use foster::runtimes::Sim;
use foster::{gather, interval, now, scope, sleep, sleep_until, timeout, yield_now};

use crate::harness::{self, T};
use crate::probes::{Log, message, secs, turns};

/// Lets all others go as far as they can without the clock.
async fn settle() {
    sleep(Duration::from_nanos(1)).await;
}

sim! {
    // C227
    async fn the_clock_is_that_of_the_runtime() {
        let start = now();
        sleep(1_000_000 * T).await;
        assert_eq!(now() - start, 1_000_000 * T);
        let elapsed = scope(async |s| {
            s.spawn_parallel(async {
                let start = now();
                sleep(1_000 * T).await;
                now() - start
            })
            .await
        })
        .await;
        assert_eq!(elapsed, 1_000 * T);
    }

    // C317
    async fn a_short_sleep_ends_when_all_others_are_blocked_and_before_a_long_one() {
        let log = &Log::new();
        let start = now();
        scope(async |s| {
            let long = s.spawn(sleep(secs(100)));
            s.spawn(async move {
                for _ in 0..50 {
                    yield_now().await;
                }
                log.note("blocked");
            });
            settle().await;
            log.note("settled");
            assert!(!long.is_finished());
            assert_eq!(now() - start, Duration::from_nanos(1));
        }).await;
        assert_eq!(log.entries(), ["blocked", "settled"]);
        assert_eq!(now() - start, secs(100));
    }

    // C227
    async fn whatever_a_runtime_runs_is_on_its_clock() {
        let start = now();
        scope(async |s| {
            s.spawn_parallel(async move {
                sleep(secs(1000)).await;
                assert_eq!(now() - start, secs(1000));
            });
            s.spawn(gather((0..10).map(|n| async move {
                sleep(secs(n)).await;
                assert_eq!(now() - start, secs(n));
            })));
            let mut ticks = interval(secs(500));
            ticks.tick().await;
            assert_eq!(ticks.tick().await, start + secs(500));
        }).await;
        assert_eq!(now() - start, secs(1000));
    }

    async fn timers_of_one_instant_fire_at_one_instant() {
        let log = &Log::new();
        let start = now();
        scope(async |s| {
            for n in 0..5 {
                s.spawn(async move {
                    sleep_until(start + secs(7)).await;
                    assert_eq!(now() - start, secs(7));
                    log.note(n.to_string());
                });
            }
        }).await;
        let mut entries = log.entries();
        entries.sort();
        assert_eq!(entries, ["0", "1", "2", "3", "4"]);
    }
}

// C260
#[test]
fn a_deadlock_names_the_tree_of_what_is_stuck() {
    let stuck = scope(async |s| {
        s.named("waiting").spawn(scope(async |inner| {
            inner.named("deeper").spawn(pending::<()>());
        }));
    })
    .named("outer");
    let error = harness::sim().try_run(stuck).unwrap_err().to_string();
    let place = |what: &str| error.find(what).unwrap_or_else(|| panic!("`{what}` is not in: {error}"));
    assert!(place("outer") < place("waiting") && place("waiting") < place("deeper"), "{error}");
}

// C312
#[test]
fn the_clock_moves_by_what_it_is_told_and_never_back() {
    let sim = Sim::default();
    let start = sim.now();
    sim.advance(Duration::ZERO);
    assert_eq!(sim.now(), start);
    sim.advance(secs(3600));
    assert_eq!(sim.now(), start + secs(3600));
    assert_eq!(sim.elapsed(), secs(3600));
    let far = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sim.advance(Duration::MAX)));
    assert!(message(far.unwrap_err()).contains("range of the clock"));
    assert_eq!(sim.elapsed(), secs(3600));
}

// C312
#[test]
fn a_jump_wakes_what_is_due_by_then() {
    let sim = Sim::default();
    let log = &Log::new();
    let clock = &sim;
    sim.run(scope(async |s| {
        for n in [1, 2, 20] {
            s.spawn(async move {
                sleep(secs(n)).await;
                log.note(n.to_string());
            });
        }
        settle().await;
        clock.advance(secs(5));
        settle().await;
        log.note("jumped");
    }));
    assert_eq!(log.entries(), ["1", "2", "jumped", "20"]);
    assert_eq!(sim.elapsed(), secs(20));
}

// C313
#[test]
fn hours_of_virtual_time_pass_in_no_time_at_exact_instants() {
    let began = Instant::now();
    let sim = Sim::default();
    sim.run(async {
        let start = now();
        for n in 1..=450 {
            sleep(secs(1)).await;
            assert_eq!(now(), start + secs(n));
        }
        for n in 1..=450 {
            timeout(secs(1), pending::<()>()).await.unwrap_err();
            assert_eq!(now(), start + secs(450 + n));
        }
        sleep_until(start + secs(100 * 365 * 24 * 3600)).await;
    });
    assert_eq!(sim.elapsed(), secs(100 * 365 * 24 * 3600));
    assert!(began.elapsed() < secs(10));
}

// C315
#[test]
fn a_clock_that_was_moved_before_the_run_starts_there() {
    let sim = Sim::default();
    let start = sim.now();
    sim.advance(secs(100));
    sim.run(async {
        assert_eq!(now(), start + secs(100));
        sleep(secs(1)).await;
    });
    sim.run(sleep(secs(1)));
    assert_eq!(sim.elapsed(), secs(102));
}

#[test]
fn a_seed_gives_one_schedule_and_another_seed_another() {
    let run = |seed| {
        let log = Log::new();
        let log = &log;
        Sim::new(seed).run(scope(async |s| {
            for n in 0..20 {
                let log = log.clone();
                s.spawn_parallel(async move { log.note(n.to_string()) });
            }
        }));
        log.entries()
    };
    assert_eq!(run(1), run(1));
    assert!((2..10).any(|seed| run(seed) != run(1)));
}

// A scope that has nothing but its body is polled in another way than others.
#[test]
fn a_deadlock_names_a_scope_without_children() {
    let stuck = scope(async |_| {
        turns().await;
        pending::<()>().await
    });
    let error = Sim::new(7).try_run(stuck.named("lonely")).unwrap_err().to_string();
    assert!(error.contains("scope `lonely`"), "{error}");
}

#[test]
fn a_deadlock_is_an_error_that_names_what_is_stuck() {
    let error = Sim::new(7).try_run(pending::<()>()).unwrap_err().to_string();
    assert!(error.contains("deadlock") && error.contains("seed 7") && error.contains("main"), "{error}");
}
