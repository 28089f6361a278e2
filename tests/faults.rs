//! Scopes keep their contract whatever the runtime does: random programs, under every fault, by
//! many seeds.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::harness::Test;
use foster::testing::{Drops, Explore, Fault, Faults, Moment};
use foster::{Reason, adopt, blocking, local, scope, shield, sleep, timeout, yield_now};

const MILLI: Duration = Duration::from_millis(1);

/// splitmix64.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn next(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn another(&mut self) -> Self {
        Dice(self.next(u64::MAX))
    }
}

/// How many have been made, and how many of them dropped.
#[derive(Clone, Default)]
struct Alive(Arc<(AtomicUsize, AtomicUsize)>);

struct Guard(Alive);

impl Alive {
    fn guard(&self) -> Guard {
        self.0.0.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }

    fn count(&self) -> usize {
        self.0.0.load(Ordering::SeqCst) - self.0.1.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// A scope with children of every kind, which do the same one level further down; when it is over,
/// so are they.
fn program(mut dice: Dice, depth: u32, outside: Alive) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let _guard = outside.guard();
        let mine = Alive::default();
        let inside = mine.clone();
        scope(async |s| {
            let mut tasks = Vec::new();
            for _ in 0..dice.next(6) + 2 {
                let (kind, child) = (dice.next(7), work(dice.another(), depth, inside.clone()));
                match kind {
                    0 | 1 => tasks.push(s.spawn(child)),
                    2 | 3 => tasks.push(s.spawn_parallel(child)),
                    4 => {
                        let guard = inside.guard();
                        tasks.push(s.spawn_blocking(move || drop(guard)));
                    }
                    5 => s.defer(child),
                    _ => tasks.push(s.spawn(async move { drop(timeout(2 * MILLI, child).await) })),
                }
            }
            match dice.next(5) {
                0 => s.cancel("a throw of the dice"),
                1 => s.stop("a throw of the dice", MILLI),
                2 => tasks.iter().for_each(foster::Task::cancel),
                _ => {}
            }
            for task in tasks {
                if dice.next(2) == 0 {
                    drop(task.outcome().await);
                }
            }
        })
        .outcome()
        .await
        .unwrap_or_default();
        assert_eq!(mine.count(), 0, "alive although their scope is over");
    })
}

async fn work(mut dice: Dice, depth: u32, alive: Alive) {
    let _guard = alive.guard();
    for _ in 0..dice.next(5) {
        match dice.next(6) {
            0 => yield_now().await,
            1 => sleep(dice.next(4) as u32 * MILLI).await,
            2 => shield(sleep(MILLI)).await,
            3 => adopt(sleep(MILLI)).await,
            4 => drop(timeout(MILLI, std::future::pending::<()>()).await),
            _ if depth > 0 => program(dice.another(), depth - 1, alive.clone()).await,
            _ => {}
        }
    }
}

/// Random programs under `faults`: nothing of them is alive after a run, and none hangs.
#[track_caller]
fn holds(faults: Faults) {
    watched(move || try_programs(&faults));
}

/// Runs `test` on a thread of its own; one that hangs fails.
#[track_caller]
fn watched(test: impl FnOnce() + Send + 'static) {
    Test::new(60_000, false).call(test);
}

fn try_programs(faults: &Faults) {
    let mut longest = 0;
    for (explore, seeds) in [(Explore::new(), 300), (Explore::new().priority(3), 100)] {
        for first in 0..seeds {
            let explore = explore.clone().seeds(first..first + 1).faults(faults.clone()).steps(100_000);
            let alive = Alive::default();
            match explore.run(|| program(Dice(first), 3, alive.clone())) {
                Ok(explored) => longest = longest.max(explored.longest()),
                Err(failure) => panic!("{faults:?}: {failure}"),
            }
            assert_eq!(alive.count(), 0, "futures of the program of seed {first} that are alive after its run");
        }
    }
    assert!(longest > 50, "the programs are too short to tell: {longest} steps");
}

#[test]
fn scopes_hold_without_any_fault() {
    holds(Faults::none());
}

#[test]
fn scopes_hold_when_spawns_are_refused() {
    holds(Faults::none().refuse_spawns(0.3));
}

#[test]
fn scopes_hold_when_tasks_are_thrown_away() {
    holds(Faults::none().drop_tasks(0.1));
}

#[test]
fn scopes_hold_when_timers_are_late() {
    holds(Faults::none().delay_timers(5 * MILLI));
    holds(Faults::none().coalesce_timers(3 * MILLI));
}

#[test]
fn scopes_hold_when_tasks_are_woken_for_nothing() {
    holds(Faults::none().spurious_wakes(1.0));
}

#[test]
fn scopes_hold_when_blocking_jobs_are_late() {
    holds(Faults::none().late_blocking());
}

#[test]
fn scopes_hold_when_everything_goes_wrong() {
    let all = Faults::none().refuse_spawns(0.1).drop_tasks(0.05).spurious_wakes(0.3).late_blocking();
    holds(all.delay_timers(3 * MILLI).coalesce_timers(MILLI));
}

#[test]
fn a_plan_says_exactly_what_goes_wrong() {
    watched(|| {
        let plan = |moment: &Moment<'_>| match moment {
            Moment::Spawn { task } if task.contains("refused") => Some(Fault::Refuse),
            Moment::Poll { step: 4, .. } => Some(Fault::Drop),
            Moment::Timer { number: 1 } => Some(Fault::Delay(MILLI)),
            _ => None,
        };
        let sim = Sim::builder().faults(Faults::none().plan(plan)).build();
        sim.run(async { sleep(MILLI).await });
        assert_eq!(sim.elapsed(), 2 * MILLI);
        let outcome = Sim::builder().faults(Faults::none().refuse_spawns(1.0)).build();
        let outcome = outcome.run(scope(async |s| s.spawn_parallel(async {}).outcome().await));
        assert!(matches!(outcome.unwrap_err().reason(), Reason::Shutdown));
    });
}

// It was waited for until the pool had come to it.
#[test]
fn a_job_that_has_not_begun_is_dropped_unrun_by_its_timeout() {
    watched(|| {
        let drops = Drops::new();
        Sim::builder().faults(Faults::none().late_blocking()).strict().build().run(async {
            let guard = drops.guard();
            let late = timeout(Duration::ZERO, blocking(move || panic!("a job that is late was run, with {guard:?}")));
            assert!(late.await.is_err());
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn the_trace_says_what_went_wrong() {
    watched(|| {
        let sim = Sim::builder().faults(Faults::none().drop_tasks(1.0)).build();
        let outcome = sim.run(scope(async |s| s.spawn_parallel(async {}).outcome().await));
        assert!(outcome.is_err());
        assert!(sim.trace().to_string().contains("fault: drop `tests/faults.rs:"), "{}", sim.trace());
    });
}

#[test]
fn timers_are_never_early() {
    watched(|| {
        for faults in [Faults::none().delay_timers(MILLI), Faults::none().coalesce_timers(3 * MILLI)] {
            for seed in 0..50 {
                let sim = Sim::builder().seed(seed).faults(faults.clone()).build();
                sim.run(async { sleep(10 * MILLI).await });
                assert!(sim.elapsed() >= 10 * MILLI && sim.elapsed() <= 12 * MILLI, "{:?}", sim.elapsed());
            }
        }
    });
}

#[test]
fn a_timer_that_is_late_for_ever_never_fires() {
    watched(|| {
        let planned = |moment: &Moment<'_>| match moment {
            Moment::Timer { .. } => Some(Fault::Delay(Duration::MAX)),
            _ => None,
        };
        for faults in [Faults::none().plan(planned), Faults::none().coalesce_timers(Duration::MAX)] {
            let sim = Sim::builder().faults(faults).build();
            let stuck = sim.try_run(sleep(MILLI)).unwrap_err().to_string();
            assert!(stuck.starts_with("deadlock "), "{stuck}");
            assert_eq!(sim.elapsed(), Duration::ZERO);
        }
    });
}

#[test]
fn a_task_that_is_thrown_away_for_the_report_of_a_deadlock_is_no_lost_wake_up() {
    watched(|| {
        let mut deadlocks = 0;
        for seed in 0..200 {
            let sim = Sim::builder().seed(seed).faults(Faults::none().drop_tasks(0.2)).build();
            let program = scope(async |s| {
                s.spawn_parallel(std::future::pending::<()>());
            });
            let Err(stuck) = sim.try_run(program) else { continue };
            deadlocks += 1;
            assert!(!stuck.to_string().contains("a wake-up was lost"), "{stuck}");
        }
        assert!(deadlocks > 100, "{deadlocks}");
    });
}

#[test]
#[should_panic(expected = "a chance is between 0 and 1, and not 1.5")]
fn a_chance_above_one_is_an_error() {
    watched(|| {
        drop(Faults::none().drop_tasks(1.5));
    });
}

/// What the guide says of its hall: two customers, 5 ms at the bank, and the second comes so late.
#[test]
fn a_race_between_different_instants_is_found_when_timers_are_late_and_only_then() {
    watched(|| {
        async fn evening(late: Duration) {
            let (free, sold) = (&Cell::new(1), &Cell::new(0));
            let book = || async {
                if free.get() > 0 {
                    sleep(Duration::from_millis(5)).await;
                    free.set(free.get() - 1);
                    sold.set(sold.get() + 1);
                }
            };
            local::scope(async |s| {
                s.spawn(book());
                s.spawn(async move {
                    sleep(late).await;
                    book().await
                });
            })
            .await;
            assert_eq!(sold.get(), 1);
        }
        let (five, six) = (Duration::from_millis(5), Duration::from_millis(6));
        assert!(Explore::new().seeds(0..200).run(move || evening(five)).is_err());
        assert!(Explore::new().seeds(0..200).run(move || evening(six)).is_ok());
        let late = Explore::new().seeds(0..200).faults(Faults::none().delay_timers(five));
        assert!(late.run(move || evening(six)).is_err());
    });
}
