//! A circuit breaker: what it lets through, and what it counts.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use foster::rate::{CircuitBreaker, CircuitOpen, CircuitPermit, CircuitState};
use foster::testing::{CountingWaker, Drops, cancel_at_every_await, explore_all};
use foster::{Elapsed, local, retry, scope, sleep, timeout, yield_now};
use futures::FutureExt as _;

use crate::harness::T;

#[derive(Debug, PartialEq, Eq)]
enum Error {
    Down,
    NotFound,
    Late,
    Open(CircuitOpen),
}

impl From<CircuitOpen> for Error {
    fn from(open: CircuitOpen) -> Self {
        Error::Open(open)
    }
}

impl From<Elapsed> for Error {
    fn from(_: Elapsed) -> Self {
        Error::Late
    }
}

fn fail(breaker: &CircuitBreaker, times: u32) {
    (0..times).for_each(|_| breaker.try_acquire().unwrap().failure());
}

fn succeed(breaker: &CircuitBreaker, times: u32) {
    (0..times).for_each(|_| breaker.try_acquire().unwrap().success());
}

matrix! {
    async fn so_many_failures_in_a_row_open_it_and_a_success_begins_anew() {
        let breaker = CircuitBreaker::new(3, Duration::from_secs(3600));
        fail(&breaker, 2);
        succeed(&breaker, 1);
        fail(&breaker, 2);
        assert_eq!(breaker.state(), CircuitState::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.state(), CircuitState::Open);
        assert!(!breaker.try_acquire().unwrap_err().is_probing());
    }

    // It held the place of the probe for as long as it was kept, so all others were refused.
    async fn a_probe_that_panicked_and_is_kept_lets_another_call_probe() {
        for panics_early in [true, false] {
            let breaker = CircuitBreaker::new(1, Duration::from_nanos(1));
            fail(&breaker, 1);
            while breaker.state() == CircuitState::Open {
                sleep(T).await;
            }
            let drops = &Drops::new();
            let panics = || {
                let guard = drops.guard();
                assert!(!panics_early, "before there is a future");
                async move {
                    yield_now().await;
                    drop(guard);
                    let _held = drops.guard();
                    panic!("while it is polled")
                }
            };
            let mut kept = Box::pin(breaker.call::<_, _, (), Error>(panics));
            assert!(AssertUnwindSafe(kept.as_mut()).catch_unwind().await.is_err());
            assert_eq!(drops.alive(), 0, "the operation is dropped at once");
            assert_eq!(breaker.call(async || Ok::<_, Error>(1)).await, Ok(1));
            drop(kept);
        }
    }

    async fn tasks_on_other_threads_share_it() {
        let breaker = Arc::new(CircuitBreaker::new(20, Duration::from_secs(3600)));
        scope(async |s| {
            for _ in 0..20 {
                let breaker = breaker.clone();
                s.spawn_parallel(async move { breaker.try_acquire().unwrap().failure() });
            }
        }).await;
        assert_eq!((breaker.state(), breaker.statistics().failures()), (CircuitState::Open, 20));
    }

    async fn it_probes_when_the_time_is_up() {
        let breaker = CircuitBreaker::new(1, T);
        fail(&breaker, 1);
        sleep(2 * T).await;
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        succeed(&breaker, 1);
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    async fn the_future_of_a_call_is_send() {
        fn is_send<F: Send>(future: F) -> F {
            future
        }
        let breaker = CircuitBreaker::new(1, T);
        is_send(breaker.call(async || Ok::<_, Error>(()))).await.unwrap();
    }
}

sim! {
    async fn it_is_open_for_exactly_the_time_that_was_said() {
        let breaker = CircuitBreaker::new(1, 3 * T);
        fail(&breaker, 1);
        sleep(3 * T - Duration::from_nanos(1)).await;
        assert_eq!(breaker.try_acquire().unwrap_err().wait(), Some(Duration::from_nanos(1)));
        sleep(Duration::from_nanos(1)).await;
        assert!(breaker.try_acquire().is_ok());
    }

    async fn an_exact_part_of_the_last_calls_opens_it() {
        let breaker = CircuitBreaker::new(3, T).of_last(6);
        for round in 0..100 {
            // Two failures of six, wherever they are.
            for call in 0..6 {
                let is_failure = call == round % 6 || call == (round + 3) % 6;
                if is_failure && round % 6 < 3 { fail(&breaker, 1) } else { succeed(&breaker, 1) }
            }
        }
        assert_eq!(breaker.state(), CircuitState::Closed);
        succeed(&breaker, 6);
        fail(&breaker, 1);
        succeed(&breaker, 4);
        fail(&breaker, 1);
        // The first failure is the last but five, and leaves the window with this call.
        fail(&breaker, 1);
        assert_eq!(breaker.state(), CircuitState::Closed);
        succeed(&breaker, 3);
        fail(&breaker, 1);
        assert_eq!(breaker.state(), CircuitState::Open);
    }

    async fn all_probes_must_succeed_and_no_more_are_let_through() {
        let breaker = CircuitBreaker::new(1, T).probes(3);
        fail(&breaker, 1);
        sleep(T).await;
        let probes: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
        let refused = breaker.try_acquire().unwrap_err();
        assert!(refused.is_probing() && refused.wait().is_none());
        for (n, probe) in probes.into_iter().enumerate() {
            assert_eq!(breaker.state(), CircuitState::HalfOpen, "{n} have succeeded");
            assert!(breaker.try_acquire().is_err(), "one that has succeeded keeps its place");
            probe.success();
        }
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    async fn one_probe_that_fails_opens_it_whatever_the_others_do() {
        let breaker = CircuitBreaker::new(1, T).probes(3);
        fail(&breaker, 1);
        sleep(T).await;
        let [first, second, third] = [(); 3].map(|()| breaker.try_acquire().unwrap());
        first.success();
        second.failure();
        assert_eq!(breaker.try_acquire().unwrap_err().wait(), Some(T));
        third.success();
        assert_eq!(breaker.state(), CircuitState::Open);
        assert_eq!(breaker.statistics().opened(), 2);
    }

    async fn a_probe_that_is_abandoned_makes_room_for_another() {
        // resilience4j#903 and #1389: permits that nobody gave back left it half open for ever.
        let breaker = CircuitBreaker::new(1, T).probes(2);
        fail(&breaker, 1);
        sleep(T).await;
        for _ in 0..100 {
            let probes = [(); 2].map(|()| breaker.try_acquire().unwrap());
            assert!(breaker.try_acquire().unwrap_err().is_probing());
            drop(probes);
        }
        succeed(&breaker, 2);
        assert_eq!(breaker.state(), CircuitState::Closed);
        assert_eq!(breaker.statistics().abandoned(), 200);
    }

    async fn what_was_let_through_before_says_nothing_about_what_comes_after() {
        let breaker = CircuitBreaker::new(2, T);
        let [late, later, latest, never] = [(); 4].map(|()| breaker.try_acquire().unwrap());
        fail(&breaker, 2);
        late.success();
        assert_eq!(breaker.state(), CircuitState::Open);
        sleep(T).await;
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        later.success();
        assert_eq!(breaker.state(), CircuitState::HalfOpen, "it was no probe");
        let probe = breaker.try_acquire().unwrap();
        drop(never);
        assert!(breaker.try_acquire().is_err(), "the probe is under way, and was not what was dropped");
        probe.success();
        fail(&breaker, 1);
        latest.failure();
        assert_eq!(breaker.state(), CircuitState::Closed, "one failure has come since it was closed");
        assert_eq!(breaker.statistics().failures(), 4);
    }

    async fn abandoned_calls_are_neither_successes_nor_failures() {
        let breaker = CircuitBreaker::new(2, T);
        fail(&breaker, 1);
        drop(breaker.try_acquire());
        fail(&breaker, 1);
        assert_eq!(breaker.state(), CircuitState::Open, "nothing came between two failures");
    }

    async fn the_times_grow_as_the_schedule_says_and_begin_anew_when_it_was_closed() {
        let endless = iter::successors(Some(2 * T), |time| Some((2 * *time).min(16 * T)));
        let breaker = CircuitBreaker::new(1, T).then_open_for(endless);
        for _ in 0..2 {
            for open_for in [1, 2, 4, 8, 16, 16, 16] {
                fail(&breaker, 1);
                assert_eq!(breaker.try_acquire().unwrap_err().wait(), Some(open_for * T));
                sleep(open_for * T).await;
            }
            succeed(&breaker, 1);
        }
    }

    async fn one_that_is_open_for_ever_is_closed_by_hand() {
        let breaker = CircuitBreaker::new(1, Duration::MAX);
        let late = breaker.try_acquire().unwrap();
        fail(&breaker, 1);
        sleep(Duration::from_secs(1 << 40)).await;
        let open = breaker.try_acquire().unwrap_err();
        assert_eq!((open.wait(), open.is_probing()), (None, false));
        assert!(open.to_string().contains("by hand"));
        breaker.close();
        late.failure();
        assert_eq!(breaker.state(), CircuitState::Closed);
        succeed(&breaker, 1);
    }

    async fn a_call_counts_errors_as_failures_and_is_not_made_while_it_is_open() {
        let breaker = CircuitBreaker::new(2, 10 * T);
        let (made, drops) = (Cell::new(0), Drops::new());
        let call = |error: Error| {
            let (made, drops) = (&made, &drops);
            breaker.call(move || {
                made.set(made.get() + 1);
                // It keeps what it has until it is dropped.
                let (alive, mut error) = (drops.guard(), Some(error));
                poll_fn(move |_| {
                    let _ = &alive;
                    Poll::Ready(Err::<(), _>(error.take().expect("it is polled once")))
                })
            })
        };
        let is_failure = |error: &Error| {
            assert_eq!(drops.alive(), 0, "the attempt is gone");
            *error == Error::Down
        };
        for error in [Error::NotFound, Error::NotFound, Error::Down, Error::NotFound, Error::Down] {
            assert!(call(error).when(is_failure).await.is_err());
        }
        assert_eq!(breaker.state(), CircuitState::Closed, "an answer came between the failures");
        assert_eq!(call(Error::NotFound).await, Err(Error::NotFound));
        assert_eq!(breaker.state(), CircuitState::Open, "without a closure all errors are failures");
        let Err(Error::Open(open)) = call(Error::Down).await else { panic!("it is open") };
        assert_eq!((open.wait(), made.get()), (Some(10 * T), 6));
    }

    async fn a_timeout_inside_of_a_call_counts_and_one_outside_does_not() {
        let breaker = CircuitBreaker::new(1, 10 * T);
        let slow = async || {
            sleep(100 * T).await;
            Ok::<_, Error>(())
        };
        assert!(timeout(T, breaker.call(slow)).await.is_err());
        assert_eq!(breaker.state(), CircuitState::Closed);
        assert_eq!(breaker.call(async || timeout(T, slow()).await?).await, Err(Error::Late));
        assert_eq!(breaker.state(), CircuitState::Open);
    }

    async fn a_retry_waits_until_the_circuit_lets_calls_through() {
        let (breaker, made) = (CircuitBreaker::new(2, 30 * T), Cell::new(0));
        let call = retry([T; 10], || {
            breaker.call(async || {
                made.set(made.get() + 1);
                if made.get() > 3 { Ok(foster::now()) } else { Err(Error::Down) }
            })
        });
        let start = foster::now();
        let after = |error: &Error| if let Error::Open(open) = error { open.wait() } else { None };
        let end = call.after(after).await.unwrap();
        // Two failures, a refusal, a probe that fails, a refusal, and a probe that succeeds.
        assert_eq!((made.get(), end - start), (4, T + T + 29 * T + T + 29 * T));
    }
}

#[test]
fn a_probe_that_is_cancelled_anywhere_leaves_room_for_the_next() {
    let made = RefCell::new(Vec::new());
    let make = || async {
        let breaker = Arc::new(CircuitBreaker::new(1, T));
        made.borrow_mut().push(breaker.clone());
        fail(&breaker, 1);
        sleep(T).await;
        let probe = async || {
            yield_now().await;
            sleep(T).await;
            Ok::<_, Error>(())
        };
        breaker.call(probe).await.unwrap();
    };
    let check = || {
        let breaker = made.take().pop().expect("each run makes one");
        match breaker.state() {
            CircuitState::Closed => {}
            CircuitState::Open => assert_eq!(breaker.statistics().opened(), 1),
            CircuitState::HalfOpen => assert!(breaker.try_acquire().is_ok()),
        }
        breaker.close();
        assert!(breaker.try_acquire().is_ok());
    };
    let report = cancel_at_every_await(make, check);
    assert_eq!(report.suspensions().len(), 3, "{report:?}");
}

#[test]
fn in_no_order_do_several_callers_leave_it_half_open() {
    explore_all(|| async {
        let breaker = &CircuitBreaker::new(1, T);
        fail(breaker, 1);
        sleep(T).await;
        local::scope(async |s| {
            for caller in 0..3 {
                s.spawn(async move {
                    let call = breaker.call(async || {
                        yield_now().await;
                        if caller == 0 { Err(Error::Down) } else { Ok(()) }
                    });
                    if caller == 1 { _ = race_with_a_yield(call).await } else { _ = call.await }
                });
            }
        })
        .await;
        sleep(T).await;
        succeed(breaker, 1);
        assert_eq!(breaker.state(), CircuitState::Closed);
    });
}

/// Drops the call at some point, unless it is faster.
async fn race_with_a_yield<F: Future<Output = Result<(), Error>>>(call: F) -> Result<(), Error> {
    foster::race((call, yield_now().map(Ok))).await
}

#[test]
fn a_panic_of_a_call_is_the_callers_and_counts_as_abandoned() {
    let breaker = CircuitBreaker::new(1, T);
    let call = breaker.call(async || -> Result<(), Error> { panic!("attempt") });
    assert!(catch_unwind(AssertUnwindSafe(|| call.now_or_never())).is_err());
    let closure = breaker.call(async || Err::<(), _>(Error::Down)).when(|_| panic!("closure"));
    assert!(catch_unwind(AssertUnwindSafe(|| closure.now_or_never())).is_err());
    assert_eq!((breaker.state(), breaker.statistics().abandoned()), (CircuitState::Closed, 2));
}

#[test]
fn a_call_is_not_polled_after_it_has_completed() {
    let (breaker, waker) = (CircuitBreaker::new(1, T), CountingWaker::new());
    let mut call = Box::pin(breaker.call(async || Err::<(), _>(Error::Down)));
    let mut refused = Box::pin(breaker.call(async || Ok::<_, Error>(())));
    for call in [waker.poll(call.as_mut()), waker.poll(refused.as_mut())] {
        assert!(call.is_ready());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| waker.poll(call.as_mut()))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| waker.poll(refused.as_mut()))).is_err());
}

#[test]
fn breakers_that_would_never_open_or_never_close_are_refused() {
    let breaker = || CircuitBreaker::new(2, T);
    assert!(catch_unwind(|| CircuitBreaker::new(0, T)).is_err());
    assert!(catch_unwind(|| CircuitBreaker::new(1, Duration::ZERO)).is_err());
    assert!(catch_unwind(|| breaker().of_last(1)).is_err());
    assert!(catch_unwind(|| breaker().probes(0)).is_err());
    assert!(catch_unwind(|| breaker().then_open_for([T, Duration::ZERO])).is_err());
    let huge = CircuitBreaker::new(u32::MAX, Duration::MAX).of_last(u32::MAX).probes(u32::MAX).then_open_for([]);
    (0..100).for_each(|_| fail(&huge, 10));
    assert_eq!(huge.state(), CircuitState::Closed);
}

#[test]
fn permits_and_breakers_may_go_to_other_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<CircuitBreaker>();
    assert_send_sync::<CircuitPermit<'_>>();
    assert_send_sync::<CircuitOpen>();
}
