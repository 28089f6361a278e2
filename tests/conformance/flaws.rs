//! What the conformance says of a runtime that is wrong in one way.

use std::panic::catch_unwind;
use std::time::Duration;

use foster::testing::conformance::{Conformance, checks};

use super::executor::{Flaw, start};

fn conformance(flaw: Flaw) -> Conformance {
    Conformance::of(move || start(flaw).0).ends_with_last_handle().ended_by(move || start(flaw))
}

#[test]
fn without_a_flaw_it_keeps_the_contract() {
    conformance(Flaw::None).run();
}

// What waits for a drop had five seconds, and so the check hung that had less.
#[test]
fn a_check_with_less_patience_still_says_what_it_has_seen() {
    let check = checks().find(|check| check.name() == "leftovers_are_dropped_at_the_end").unwrap();
    let failure = check.run(&conformance(Flaw::LeaksLeftovers).patience(Duration::from_secs(4))).unwrap_err();
    assert!(failure.what().contains("left over"), "{failure}");
}

/// A test for each flaw: the check of that name fails, its clause is the one that is broken, and
/// what was seen is told.
macro_rules! flaws {
    ($($test:ident: $flaw:ident breaks $clause:literal, $check:literal sees $seen:literal;)*) => {$(
        #[test]
        fn $test() {
            found(Flaw::$flaw, $clause, $check, $seen);
        }
    )*};
}

fn found(flaw: Flaw, clause: &str, name: &str, seen: &str) {
    let check = checks().find(|check| check.name() == name).unwrap_or_else(|| panic!("no check named {name}"));
    let patience = if ["hangs", ""].contains(&seen) { Duration::from_secs(1) } else { Duration::from_secs(20) };
    let failure = check.run(&conformance(flaw).patience(patience));
    let failure = failure.expect_err("the flaw was not found");
    assert!(check.clause().starts_with(&format!("{clause}:")), "{failure}");
    assert!(failure.what().contains(seen), "{failure}");
    assert!(failure.to_string().contains(name), "{failure}");
}

flaws! {
    tasks_that_are_dropped: DropsTasks breaks "S1", "tasks_run_to_their_end_and_are_dropped" sees "hangs";
    children_that_are_dropped: DropsTasks breaks "S1", "nested_scopes_join_their_parallel_children" sees "refused it or ended";
    tasks_that_are_kept: KeepsFinishedTasks breaks "S1", "tasks_run_to_their_end_and_are_dropped" sees "every future that is over";
    tasks_that_are_polled_after_their_end: PollsFinishedTasks breaks "S12", "a_waker_kept_too_long_does_nothing" sees "polls of a future";
    tasks_that_are_never_set_aside: PollsWhileReady breaks "S11", "a_task_that_is_always_ready_starves_nobody" sees "hangs";
    wakes_that_are_lost: LosesForeignWakes breaks "S12", "tasks_may_be_woken_from_any_thread" sees "hangs";
    children_that_nobody_can_tell: LosesForeignWakes breaks "S4", "a_cancelled_child_is_told_and_waited_for" sees "hangs";
    tasks_that_are_refused: RefusesForeignTasks breaks "Runtime", "tasks_spawned_on_other_threads_run" sees "panicked";
    panics_that_end_the_worker: PanicsEndTheThread breaks "S3", "a_task_that_panics_takes_none_with_it" sees "";
    leftovers_that_are_leaked: LeaksLeftovers breaks "S13", "leftovers_are_dropped_with_the_last_handle" sees "left over";
    leftovers_that_are_leaked_at_an_end: LeaksLeftovers breaks "S13", "leftovers_are_dropped_at_the_end" sees "left over";
    children_whose_end_is_not_told: LeaksLeftovers breaks "S13", "a_scope_hears_that_the_runtime_has_ended" sees "hangs";
    children_that_outlive_the_last_handle: LeaksLeftovers breaks "S13", "a_scope_hears_that_the_last_handle_is_gone" sees "hangs";
    late_tasks_that_are_leaked: LeaksLateTasks breaks "S13", "what_comes_after_the_end_is_dropped_unrun" sees "came too late";
    late_tasks_that_are_run: RunsLateTasks breaks "S13", "what_comes_after_the_end_is_dropped_unrun" sees "after the end";
    roots_that_are_left: ReturnsEarly breaks "Runtime", "a_root_runs_to_its_end_and_may_borrow" sees "before its root";
    panics_that_are_swallowed: SwallowsPanics breaks "S3", "a_root_that_panics_leaves_the_runtime_usable" sees "before its root";
    clocks_that_jump: ClockJumps breaks "Clock", "the_clock_never_goes_back" sees "went back";
    timers_that_are_early: TimersFireEarly breaks "S10", "timers_never_fire_early" sees "early";
    timers_that_are_capped: TimersAreCapped breaks "Clock", "a_far_timer_neither_fires_nor_panics" sees "has fired";
    timers_that_start_late: TimersCountFromTheirFirstPoll breaks "Clock", "a_timer_counts_from_when_it_was_made" sees "first poll";
    timers_that_keep_a_waker: TimersKeepTheFirstWaker breaks "S12", "a_timer_wakes_whoever_polled_it_last" sees "hangs";
    timers_that_panic: PastTimersPanic breaks "S10", "a_timer_of_the_past_fires_at_once" sees "has passed";
    jobs_on_the_callers_stack: RunsJobsInline breaks "Blocking", "jobs_run_off_the_callers_stack" sees "inside of the call";
    jobs_on_the_executors_thread: RunsJobsAsTasks breaks "Blocking", "a_job_may_wait_for_a_task" sees "hangs";
    jobs_that_end_the_pool: PanicsEndTheJobs breaks "S3", "a_job_that_panics_takes_none_with_it" sees "";
}

#[test]
fn every_check_has_a_name_of_its_own_and_a_clause() {
    let mut names: Vec<_> = checks().map(|check| check.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), checks().count());
    assert!(checks().all(|check| check.clause().contains(": ")));
}

#[test]
fn all_that_is_broken_is_listed_with_its_clause() {
    let payload = catch_unwind(|| conformance(Flaw::TimersFireEarly).run()).unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains("conformance checks failed"), "{message}");
    assert!(
        message.contains("timers_never_fire_early (S10: a timer never fires before its instant): a timer of"),
        "{message}"
    );
}
