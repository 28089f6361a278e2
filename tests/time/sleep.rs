//! Sleeps.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::CountingWaker;
use foster::{Token, gather, now, scope, shield, sleep, sleep_until, timeout, timeout_at, yield_now};
use futures::future::poll_immediate;

use crate::harness::{self, T, run};
use crate::probes::secs;

const S: Duration = Duration::from_secs(1);

matrix! {
    // C202
    async fn a_cancelled_sleep_ends_at_once() {
        let start = now();
        scope(async |s| {
            let sleeper = s.spawn(sleep(100_000 * T));
            yield_now().await;
            sleeper.cancel();
            assert!(sleeper.outcome().await.is_err());
        }).await;
        assert!(now() - start < 10_000 * T);
    }

    // C203
    async fn a_sleep_of_zero_yields_exactly_once() {
        let waker = CountingWaker::new();
        for mut zero in [Box::pin(sleep(Duration::ZERO)), Box::pin(sleep_until(now()))] {
            let before = waker.count();
            assert!(waker.poll(zero.as_mut()).is_pending());
            assert_eq!(waker.count(), before + 1);
            assert!(waker.poll(zero.as_mut()).is_ready());
        }
    }

    async fn a_sleep_is_moved_before_while_and_after_it_waits() {
        let mut sleep = pin!(sleep(10_000 * T));
        sleep.as_mut().reset(now() + T);
        sleep.as_mut().await;
        sleep.as_mut().reset(now() + 10_000 * T);
        assert!(poll_immediate(sleep.as_mut()).await.is_none());
        let at = now() + T;
        sleep.as_mut().reset(at);
        sleep.as_mut().await;
        assert!(now() >= at);
        sleep.as_mut().reset(now());
        assert!(poll_immediate(sleep.as_mut()).await.is_none(), "an instant that has passed yields once");
        sleep.await;
    }

    async fn no_sleep_begins_in_a_cancelled_region_that_is_still_polled() {
        let (token, over) = (&Token::new(), &Cell::new(false));
        let late = async {
            yield_now().await;
            sleep(T).await;
            over.set(true);
        };
        let cleanup = shield(async {
            token.cancel("while it runs");
            sleep(5 * T).await;
        });
        assert!(token.run_until_cancelled(gather((late, cleanup))).await.is_err());
        assert!(!over.get());
    }

    async fn a_sleep_that_has_completed_stays_ready_until_it_is_moved() {
        for mut sleep in [Box::pin(sleep(T)), Box::pin(sleep(Duration::ZERO))] {
            sleep.as_mut().await;
            for _ in 0..2 {
                assert!(poll_immediate(sleep.as_mut()).await.is_some());
            }
            sleep.as_mut().reset(now() + 10_000 * T);
            assert!(poll_immediate(sleep.as_mut()).await.is_none());
        }
    }

    async fn a_sleep_that_began_on_another_runtime_is_moved_to_the_clock_of_this_one() {
        for other in harness::REAL {
            let (other, mut sleep) = (other(), pin!(sleep(10_000 * T)));
            assert!(other.enter(poll_immediate(sleep.as_mut())).await.is_none());
            let at = now() + T;
            sleep.as_mut().reset(at);
            sleep.await;
            assert!(now() >= at);
        }
    }
}

sim! {
    // C073
    async fn a_sleep_as_long_as_its_timeout_is_over_in_time() {
        let start = now();
        assert_eq!(timeout(secs(10), sleep(secs(10))).await, Ok(()));
        assert_eq!(timeout_at(start + secs(20), sleep_until(start + secs(20))).await, Ok(()));
        assert!(timeout(secs(10), sleep(secs(10) + Duration::from_nanos(1))).await.is_err());
    }

    // C202
    async fn a_sleep_ends_after_its_delay() {
        let start = now();
        sleep(secs(3)).await;
        assert_eq!(now(), start + secs(3));
        let later = sleep(secs(3));
        sleep(secs(3)).await;
        later.await;
        assert_eq!(now(), start + secs(9));
    }

    async fn a_sleep_counts_from_its_first_poll() {
        let start = now();
        let later = sleep(secs(5));
        sleep(secs(3)).await;
        later.await;
        assert_eq!(now(), start + secs(8));
    }
}

// C202
#[test]
fn a_cancelled_sleep_leaves_no_timer() {
    let sim = Sim::default();
    let stuck = sim.try_run(async {
        scope(async |s| {
            let sleeper = s.spawn(sleep(secs(100)));
            yield_now().await;
            sleeper.cancel();
            assert!(sleeper.outcome().await.is_err());
        })
        .await;
        pending::<()>().await
    });
    assert!(stuck.is_err());
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn a_sleep_of_no_time_that_has_begun_goes_on_in_a_wind_down() {
    run(harness::sim, || async {
        let went_on = AtomicBool::new(false);
        let w = &went_on;
        let out = scope(async |s| {
            let s2 = s.clone();
            s.spawn(async move {
                let moment = async {
                    sleep(Duration::ZERO).await;
                    w.store(true, Ordering::SeqCst)
                };
                futures::join!(shield(sleep(S)), moment, async { s2.cancel("x") });
            });
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
        assert!(went_on.load(Ordering::SeqCst));
    });
}
