//! Retries under a deadline.

use std::cell::RefCell;
use std::iter;
use std::pin::pin;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::runtimes::sim::{Fault, Faults, Moment};
use foster::testing::poll_once;
use foster::{Deadline, gather, now, retry, shield, sleep, timeout};

use crate::Flaky;
use crate::harness::T;

matrix! {
    async fn an_error_is_returned_at_once_where_the_deadline_comes_before_the_next_attempt() {
        let broken = Flaky::broken();
        // The wait is longer than the watchdog lets it be.
        let hour = Duration::from_secs(3600);
        let failure = timeout(hour, retry([hour], async || broken.attempt()).outcome()).await;
        let failure = failure.expect("there was no wait").unwrap_err();
        assert!(failure.is_deadline());
        assert_eq!(failure.to_string(), "1 (attempt 1 was the last one, since the deadline comes before the next, which has to wait 3600s)");
    }

    async fn a_wait_without_end_is_forbidden_by_any_deadline() {
        let broken = Flaky::broken();
        let call = retry([Duration::MAX], async || broken.attempt()).outcome();
        assert!(timeout(Duration::from_secs(3600), call).await.unwrap().unwrap_err().is_deadline());
    }
}

sim! {
    async fn no_wait_starts_that_the_deadline_forbids() {
        let (start, broken) = (now(), Flaky::broken());
        let call = retry((1..).map(|n| n * T), async || broken.attempt()).outcome();
        // Attempts at 0, 1, 3, 6 and 10. The next one would begin at 15.
        let failure = timeout(15 * T, call).await.unwrap().unwrap_err();
        assert!(failure.is_deadline());
        assert_eq!((failure.attempts(), now() - start), (5, 10 * T));
    }

    async fn the_deadline_is_told_where_the_time_for_all_attempts_forbids_the_wait_too() {
        let broken = Flaky::broken();
        let call = retry([4 * T], async || broken.attempt()).max_elapsed(T).outcome();
        assert!(timeout(3 * T, call).await.unwrap().unwrap_err().is_deadline());
    }

    async fn the_nearest_of_several_deadlines_counts_and_a_shield_hides_them() {
        let broken = Flaky::broken();
        let call = || retry(iter::repeat_n(4 * T, 3), async || broken.attempt()).outcome();
        let near = timeout(90 * T, timeout(5 * T, call())).await.unwrap().unwrap().unwrap_err();
        assert!(near.is_deadline());
        assert_eq!(near.attempts(), 2);
        let hidden = timeout(5 * T, shield(call())).await.unwrap().unwrap_err();
        assert!(hidden.is_exhausted());
        assert_eq!(hidden.attempts(), 4);
    }

    async fn a_deadline_that_is_moved_counts_where_it_is() {
        let (deadline, start, broken) = (Deadline::after(2 * T), now(), Flaky::broken());
        let call = retry([4 * T; 3], async || {
            if broken.made() == 0 {
                deadline.set(start + 10 * T).unwrap();
            }
            broken.attempt()
        });
        let failure = deadline.timeout(call.outcome()).await.unwrap().unwrap_err();
        assert!(failure.is_deadline());
        assert_eq!((failure.attempts(), now() - start), (3, 8 * T));
    }

    async fn what_the_server_asks_for_is_weighed_against_the_deadline() {
        let (start, broken) = (now(), Flaky::broken());
        let call = retry([T; 9], async || broken.attempt()).after(|&error| (error == 2).then_some(60 * T));
        let failure = timeout(50 * T, call.outcome()).await.unwrap().unwrap_err();
        assert!(failure.is_deadline());
        assert_eq!((failure.attempts(), now() - start), (2, T));
    }

    async fn an_attempt_that_fails_while_it_is_wound_down_is_the_last_one() {
        let broken = Flaky::broken();
        let call = retry([T; 9], async || {
            shield(sleep(5 * T)).await;
            broken.attempt()
        });
        let failure = timeout(3 * T, call.outcome()).await.expect("it has a value").unwrap_err();
        assert!(failure.is_cancelled());
        assert_eq!(broken.made(), 1);
    }

    async fn a_wait_that_is_cancelled_is_followed_by_no_attempt() {
        let broken = Flaky::broken();
        let call = retry([2 * T], async || broken.attempt());
        // The shield keeps the region for longer than the wait takes.
        let both = foster::gather((call, shield(sleep(9 * T))));
        assert!(foster::timeout_at(now() + 90 * T, foster::race((async { _ = both.await }, sleep(T)))).await.is_ok());
        assert_eq!(broken.made(), 1);
    }
}

/// The task was not polled in time.
#[test]
fn no_attempt_begins_after_a_wait_that_has_ended_later_than_the_deadline() {
    Sim::default().run(async {
        let (start, made) = (now(), RefCell::new(Vec::new()));
        let attempt = async || {
            made.borrow_mut().push(now() - start);
            sleep(T / 2).await;
            Err::<(), _>("no")
        };
        let mut call = pin!(timeout(3 * T, retry([T; 5], attempt)));
        for pause in [T / 2, 10 * T] {
            assert!(poll_once(call.as_mut()).await.is_pending());
            sleep(pause).await;
        }
        assert!(call.await.is_err());
        assert_eq!(*made.borrow(), [Duration::ZERO]);
    });
}

#[test]
fn a_retry_whose_wait_has_ended_late_lets_time_pass_while_it_is_wound_down() {
    Sim::default().run(async {
        let attempt = async || {
            sleep(T / 2).await;
            Err::<(), _>("no")
        };
        let both = gather((retry([T; 5], attempt), shield(sleep(20 * T))));
        let (start, mut call) = (now(), pin!(timeout(3 * T, both)));
        for pause in [T / 2, 10 * T] {
            assert!(poll_once(call.as_mut()).await.is_pending());
            sleep(pause).await;
        }
        assert!(call.await.is_err());
        assert_eq!(now() - start, 20 * T);
    });
}

#[test]
fn a_retry_whose_wait_has_ended_late_lets_time_pass_where_the_deadline_is_late_too() {
    let late = Faults::none().plan(|moment| match moment {
        Moment::Timer { number: 1 } => Some(Fault::Delay(3 * T)),
        Moment::Timer { number: 2 } => Some(Fault::Delay(5 * T)),
        _ => None,
    });
    Sim::builder().faults(late).build().run(async {
        assert!(timeout(3 * T, retry([T], async || Err::<(), _>("no"))).await.is_err());
    });
}
