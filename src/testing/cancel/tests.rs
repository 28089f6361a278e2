use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;

use super::*;
use crate::testing::{Drops, Gate};
use crate::{adopt, scope, shield, sleep, timeout, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn panic_quietly(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

#[test]
fn suspensions_are_named_by_who_waits_for_what() {
    let gate = Gate::named("reply");
    let body = || async {
        scope(async |s| {
            let child = s.named("reader").spawn(gate.wait());
            sleep(SECOND).await;
            gate.open();
            child.await;
        })
        .named("outer")
        .await;
        gate.close();
        sleep(2 * SECOND).await;
    };
    let report = cancel_at_every_await(body, || gate.close());
    let names = report.suspensions();
    assert_eq!(names[0], "scope `outer` > sleep of 1s > `reader` > gate `reply`");
    assert_eq!(names[1], "scope `outer` > task `reader`");
    assert_eq!(names.last().map(String::as_str), Some("sleep of 2s"));
    assert_eq!(report.runs(), names.len() + 1);
}

#[test]
fn a_drop_finds_what_a_wind_down_forgives() {
    let (saved, begun) = (Cell::new(0), Cell::new(0));
    let body = || async {
        begun.set(1);
        shield(sleep(SECOND)).await;
        saved.set(1);
    };
    let check = || {
        let (saved, begun) = (saved.take(), begun.take());
        if saved != begun {
            panic_quietly("not saved")
        }
    };
    let failure = EveryAwait::new().run(body, check).unwrap_err();
    assert_eq!((failure.suspension(), failure.what()), (Some(1), "the check panicked: not saved"));
    assert_eq!(EveryAwait::new().wind_down().run(body, check).unwrap().runs(), 2);
}

#[test]
fn adopted_futures_and_parallel_children_have_ended_when_the_check_runs() {
    let drops = Drops::new();
    let body = || async {
        let (adopted, parallel) = (drops.guard(), drops.guard());
        scope(async |s| {
            s.spawn_parallel(async move {
                let _parallel = parallel;
                shield(sleep(SECOND)).await;
            });
            adopt(async move {
                sleep(2 * SECOND).await;
                drop(adopted);
            })
            .await;
        })
        .await;
    };
    let report = EveryAwait::new().seeds(0..20).run(body, || assert_eq!(drops.alive(), 0)).unwrap();
    assert!(report.runs() >= 40, "{report}");
    EveryAwait::new().seeds(0..20).wind_down().run(body, || assert_eq!(drops.alive(), 0)).unwrap();
}

#[test]
fn a_hang_is_an_error_that_names_who_hangs() {
    let runs = Cell::new(0);
    let lost = || {
        runs.set(runs.get() + 1);
        Gate::named("lost").wait()
    };
    let failure = EveryAwait::new().run(lost, || ()).unwrap_err();
    assert_eq!((failure.suspension(), runs.get()), (None, 2), "{failure}");
    assert!(failure.what().contains("deadlock") && failure.what().contains("gate `lost`"), "{failure}");
    let stuck = || timeout(SECOND, shield(pending::<()>()));
    let failure = EveryAwait::new().wind_down().run(stuck, || ()).unwrap_err();
    assert_eq!(failure.suspension(), Some(1));
    assert!(failure.what().contains("deadlock"), "{failure}");
}

#[test]
fn a_task_that_is_left_behind_is_an_error() {
    use futures_util::task::SpawnExt;
    let body = || async {
        let runtime = crate::context::with(|ambient| ambient.runtime()).unwrap();
        runtime.spawn(pending()).unwrap();
        yield_now().await;
    };
    let failure = EveryAwait::new().run(body, || ()).unwrap_err();
    assert_eq!((failure.suspension(), failure.what()), (Some(1), "it left tasks behind: task 1"));
}

#[test]
fn a_panic_comes_before_the_tasks_that_are_left_behind_by_it() {
    use futures_util::task::SpawnExt;
    let body = || async {
        crate::Handle::current().spawn(pending()).unwrap();
        panic_quietly("early");
    };
    let failure = EveryAwait::new().run(body, || ()).unwrap_err();
    assert_eq!((failure.suspension(), failure.what()), (None, "the future panicked: early"));
}

#[test]
fn a_wind_down_is_named_by_the_await_at_which_it_began() {
    let body = || {
        shield(async {
            yield_now().await;
            sleep(SECOND).await;
        })
    };
    let report = EveryAwait::new().wind_down().run(body, || ()).unwrap();
    let names = report.suspensions();
    assert_eq!(names.len(), 2, "{report}");
    assert!(names[0].ends_with(" > yield") && names[1].ends_with(" > sleep of 1s"), "{report}");
}

#[test]
fn a_child_that_is_dropped_before_its_first_poll_is_not_left_behind() {
    // Its task is empty then, and still waits for its turn: that was reported as a task left
    // behind.
    let body = || {
        scope(async |s| {
            drop(s.spawn_parallel(pending::<()>()));
            yield_now().await;
            s.cancel("enough");
        })
        .outcome()
    };
    let report = EveryAwait::new().seeds(0..20).run(body, || ()).unwrap();
    assert!(report.runs() >= 40, "{report}");
}

#[test]
fn panics_of_the_future_and_of_its_destructors_are_told_apart_by_their_suspension() {
    let early = || async { panic_quietly("early") };
    let failure = EveryAwait::new().run(early, || ()).unwrap_err();
    assert_eq!((failure.suspension(), failure.what()), (None, "the future panicked: early"));

    struct Bomb<'a>(&'a Cell<bool>);
    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            if !self.0.get() {
                panic_quietly("not disarmed");
            }
        }
    }
    let disarmed = Cell::new(false);
    let late = || async {
        let _bomb = Bomb(&disarmed);
        yield_now().await;
        disarmed.set(true);
    };
    let failure = EveryAwait::new().run(late, || ()).unwrap_err();
    assert_eq!((failure.suspension(), failure.waiting_for()), (Some(1), "yield"));
}

#[test]
fn a_future_without_end_meets_the_limit() {
    let endless = || async {
        loop {
            yield_now().await
        }
    };
    let failure = EveryAwait::new().limit(20).run(endless, || ()).unwrap_err();
    assert!(failure.what().contains("more than 20 times"), "{failure}");
}

#[test]
fn as_many_suspensions_as_the_limit_allows_are_none_too_many() {
    let suspended = |times: usize| {
        EveryAwait::new().limit(3).run(
            || async move {
                for _ in 0..times {
                    yield_now().await
                }
            },
            || (),
        )
    };
    assert_eq!(suspended(3).unwrap().runs(), 4);
    assert!(suspended(4).unwrap_err().what().contains("more than 3 times"));
}

#[test]
fn the_undisturbed_run_is_checked_too_and_seeds_are_all_taken() {
    let checks = RefCell::new(0);
    let report = EveryAwait::new().seeds(3..6).run(yield_now, || *checks.borrow_mut() += 1).unwrap();
    assert_eq!((report.runs(), checks.into_inner()), (6, 6));
    assert!(catch_unwind(|| EveryAwait::new().seeds(4..4)).is_err());
}
