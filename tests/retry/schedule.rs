//! How often an operation is tried, and when.

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::io;
use std::iter;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::CountingWaker;
use foster::{Elapsed, now, retry, shield, sleep};

use crate::Flaky;
use crate::harness::T;

matrix! {
    async fn an_operation_is_tried_until_it_succeeds() {
        let flaky = Flaky::new(2);
        assert_eq!(retry([T; 9], async || flaky.attempt()).await, Ok(3));
        assert_eq!(flaky.made(), 3);
    }

    async fn a_success_at_once_takes_nothing_from_the_schedule() {
        let schedule = iter::from_fn(|| panic!("no wait is needed"));
        assert_eq!(retry(schedule, async || Ok::<_, ()>(7)).await, Ok(7));
    }

    async fn the_error_of_the_last_attempt_is_returned_when_the_schedule_ends() {
        let broken = Flaky::broken();
        assert_eq!(retry([T, T], async || broken.attempt()).await, Err(3));
        let failure = retry([T], async || broken.attempt()).outcome().await.unwrap_err();
        assert!(failure.is_exhausted() && !failure.is_deadline());
        assert_eq!((failure.attempts(), *failure.error(), failure.into_error()), (2, 5, 5));
    }

    async fn an_empty_schedule_allows_one_attempt() {
        let broken = Flaky::broken();
        assert_eq!(retry([], async || broken.attempt()).await, Err(1));
        assert_eq!(retry([], async || Flaky::new(0).attempt()).await, Ok(1));
    }

    async fn attempts_are_capped_whatever_the_schedule_says() {
        let broken = Flaky::broken();
        let failure = retry(iter::repeat(T), async || broken.attempt()).max_attempts(3).outcome().await.unwrap_err();
        assert!(failure.is_exhausted());
        assert_eq!((failure.attempts(), broken.made()), (3, 3));
        assert_eq!(retry(iter::repeat(T), async || broken.attempt()).max_attempts(1).await, Err(4));
    }

    async fn an_error_that_is_refused_is_returned_at_once() {
        let broken = Flaky::broken();
        let call = retry([T; 9], async || broken.attempt()).when(|&error| error < 4).when(|&error| error != 3);
        let failure = call.outcome().await.unwrap_err();
        assert!(failure.is_refused());
        assert_eq!((failure.attempts(), failure.into_error()), (3, 3), "all closures must agree");
        let call = retry([T; 9], async || broken.attempt()).when(|&error| error != 5).when(|&error| error < 9);
        assert_eq!(call.await, Err(5), "the first one, too");
    }

    async fn each_wait_is_told_before_it_begins_and_the_last_failure_is_not() {
        let (broken, told) = (Flaky::broken(), RefCell::new(Vec::new()));
        let call = retry([T, 2 * T], async || broken.attempt());
        let call = call.notify(|&error, wait| told.borrow_mut().push((error, wait, broken.made())));
        assert_eq!(call.await, Err(3));
        assert_eq!(told.take(), [(1, T, 1), (2, 2 * T, 2)]);
    }

    async fn those_who_are_told_are_told_in_the_order_in_which_they_were_given() {
        let (broken, told) = (Flaky::broken(), RefCell::new(Vec::new()));
        let call = retry([T], async || broken.attempt()).notify(|_, _| told.borrow_mut().push("first"));
        assert_eq!(call.notify(|_, _| told.borrow_mut().push("second")).await, Err(2));
        assert_eq!(told.take(), ["first", "second"]);
    }

    async fn an_attempt_that_hangs_has_failed_when_its_time_is_up() {
        // iceberg-rust#2455: a connection that was dropped in silence held the first attempt for
        // ever.
        let made = Cell::new(0);
        let call = retry([T; 3], async || {
            made.set(made.get() + 1);
            if made.get() < 3 { pending().await } else { Ok::<_, io::Error>(made.get()) }
        });
        assert_eq!(call.attempt_timeout(T).await.unwrap(), 3);
        let hangs = retry([T], pending::<Result<(), io::Error>>).attempt_timeout(T);
        assert_eq!(hangs.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    async fn a_wait_of_zero_lets_others_go_on() {
        let (broken, ticks) = (Flaky::broken(), Cell::new(0));
        let spin = retry(iter::repeat(Duration::ZERO), async || broken.attempt()).when(|_| ticks.get() < 3);
        let others = async {
            for _ in 0..3 {
                foster::yield_now().await;
                ticks.set(ticks.get() + 1);
            }
        };
        assert!(foster::gather((spin, others)).await.0.is_err());
    }

    async fn an_attempt_is_dropped_before_its_error_is_looked_at() {
        let alive = Cell::new(0);
        struct Alive<'a>(&'a Cell<u32>);
        impl Drop for Alive<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let call = retry([T; 2], || {
            alive.set(alive.get() + 1);
            let guard = Alive(&alive);
            std::future::poll_fn(move |_| {
                let _guard = &guard;
                std::task::Poll::Ready(Err::<(), _>(()))
            })
        });
        let call = call.when(|()| alive.get() == 0).notify(|(), _| assert_eq!(alive.get(), 0));
        assert!(call.outcome().await.unwrap_err().is_exhausted());
    }

    async fn the_future_is_send_where_its_parts_are() {
        fn is_send<F: Send>(future: F) -> F {
            future
        }
        let call = retry([T], || ready(Ok::<_, Elapsed>(1))).when(|_| true).notify(|_, _| ()).attempt_timeout(T);
        assert_eq!(is_send(is_send(call).jitter().outcome()).await, Ok(1));
    }
}

sim! {
    async fn waits_count_from_the_failure() {
        let (start, broken, at) = (now(), Flaky::broken(), RefCell::new(Vec::new()));
        let call = retry([T, 3 * T, Duration::ZERO], async || {
            at.borrow_mut().push(now() - start);
            sleep(2 * T).await;
            broken.attempt()
        });
        assert_eq!(call.await, Err(4));
        assert_eq!(at.take(), [0, 3, 8, 10].map(|n| n * T));
    }

    async fn no_attempt_begins_after_the_time_that_is_allowed_for_all() {
        let (start, broken) = (now(), Flaky::broken());
        let call = || retry(iter::repeat(T), async || {
            sleep(T).await;
            broken.attempt()
        });
        // Attempts begin at 0, 2 and 4.
        let failure = call().max_elapsed(5 * T).outcome().await.unwrap_err();
        assert!(failure.is_elapsed());
        assert_eq!((failure.attempts(), now() - start), (3, 5 * T));
        // One that would begin at the very end does not.
        assert_eq!(call().max_elapsed(4 * T).outcome().await.unwrap_err().attempts(), 2);
        assert_eq!(call().max_elapsed(Duration::ZERO).outcome().await.unwrap_err().attempts(), 1);
        assert_eq!(call().max_elapsed(Duration::MAX).max_attempts(9).outcome().await.unwrap_err().attempts(), 9);
    }

    async fn the_longer_one_of_what_the_server_says_and_of_the_schedule_counts() {
        let (start, broken) = (now(), Flaky::broken());
        let call = retry([5 * T, 5 * T, 5 * T], async || broken.attempt());
        let call = call.after(|&error| [None, Some(T), Some(9 * T)][error as usize - 1]).after(|_| Some(2 * T));
        assert_eq!(call.await, Err(4));
        assert_eq!(now() - start, (5 + 5 + 9) * T);
    }

    async fn a_wind_down_of_an_attempt_ends_before_the_next_one_begins() {
        let (start, at) = (now(), RefCell::new(Vec::new()));
        let call = retry([T], async || {
            at.borrow_mut().push(now() - start);
            shield(sleep(5 * T)).await;
            pending::<Result<(), Elapsed>>().await
        });
        assert!(call.attempt_timeout(T).await.is_err());
        assert_eq!(at.take(), [0, 6].map(|n| n * T));
    }

    async fn a_wait_without_end_waits() {
        let broken = Flaky::broken();
        let call = retry([Duration::MAX], async || broken.attempt());
        assert!(foster::future::race((async { call.await.is_ok() }, async {
            sleep(100 * T).await;
            true
        })).await);
        assert_eq!(broken.made(), 1);
    }
}

/// The waits of three failures, as jitter makes them.
fn drawn(seed: u64) -> Vec<Duration> {
    Sim::new(seed).run(async {
        let waits = RefCell::new(Vec::new());
        let call = retry([T, T, T], async || Err::<(), _>(())).jitter();
        assert!(call.notify(|(), wait| waits.borrow_mut().push(wait)).await.is_err());
        waits.take()
    })
}

#[test]
fn a_seed_draws_the_same_jitter_each_time_and_another_seed_another() {
    let all: Vec<_> = (0..20).map(drawn).collect();
    assert!(all.iter().flatten().all(|wait| *wait <= T));
    assert!(all.iter().flatten().any(|wait| *wait < T / 4) && all.iter().flatten().any(|wait| *wait > T / 4 * 3));
    assert_eq!(drawn(7), all[7]);
    assert!(all.iter().any(|waits| *waits != all[0]));
}

#[test]
fn without_a_simulation_jitter_draws_from_all_parts() {
    let long = Duration::from_secs(1_000_000);
    let draw = || {
        let mut drawn = Duration::ZERO;
        let mut call = Box::pin(retry([long], async || Err::<(), _>(())).jitter().notify(|(), wait| drawn = wait));
        assert!(CountingWaker::new().poll(call.as_mut()).is_pending());
        drop(call);
        drawn
    };
    let mut draws: Vec<_> = (0..200).map(|_| draw()).collect();
    draws.sort_unstable();
    assert!(draws[0] < long / 10 && draws[199] > long / 10 * 9 && draws[199] <= long, "{draws:?}");
    draws.dedup();
    assert!(draws.len() > 150);
}

sim! {
    async fn jitter_comes_on_top_of_what_the_server_says() {
        let (start, broken, at) = (now(), Flaky::broken(), RefCell::new(Vec::new()));
        let call = retry([T; 20], async || {
            at.borrow_mut().push(now() - start);
            broken.attempt()
        });
        assert!(call.jitter().after(|_| Some(4 * T)).await.is_err());
        let at = at.take();
        let waits: Vec<_> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.iter().all(|wait| (4 * T..=5 * T).contains(wait)));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}

#[test]
#[should_panic(expected = "maximum of 0 attempts")]
fn a_maximum_of_no_attempt_is_refused() {
    drop(retry([T], async || Ok::<_, ()>(())).max_attempts(0));
}
