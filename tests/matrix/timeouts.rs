//! Timeouts: the rows that users of asyncio's `timeout` rely on.

use std::future::pending;
use std::time::{Duration, Instant};

use foster::runtimes::Sim;
use foster::testing::Polls;
use foster::{
    Deadline, Reason, deadline, now, remaining, scope, shield, sleep, timeout, timeout_at, try_scope, yield_now,
};
use futures::StreamExt;
use futures::future::poll_immediate;
use futures::stream::FuturesUnordered;

use crate::harness::T;
use crate::probes::{Log, poll_by_hand, secs};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

sim! {
    // C042
    async fn an_absolute_deadline_fires_at_its_instant() {
        let at = now() + secs(5);
        let inside = timeout_at(at, async {
            assert_eq!(deadline(), Some(at));
            assert_eq!(remaining(), Some(secs(5)));
            pending::<()>().await
        });
        assert!(inside.await.is_err());
        assert_eq!(now(), at);
        assert_eq!(deadline(), None);
    }

    // C043
    async fn of_two_timeouts_with_one_deadline_the_outer_one_reports() {
        let at = now() + secs(1);
        let (inner, outer) = (Deadline::at(at), Deadline::at(at));
        let mut inner_reported = false;
        let both = outer.timeout(async {
            inner_reported = inner.timeout(pending::<()>()).await.is_err();
            pending::<()>().await
        });
        assert!(both.await.is_err());
        assert!(!inner_reported);
        assert!(inner.is_expired() && outer.is_expired());
        assert_eq!(now(), at);
    }

    // C043
    async fn also_where_what_lies_between_them_polls_more_than_once() {
        let at = now() + secs(1);
        let both = timeout_at(at, async {
            let mut all = FuturesUnordered::from_iter([at, at + secs(1)].map(|at| timeout_at(at, pending::<()>())));
            all.next().await
        });
        assert!(both.await.is_err());
    }

    // C045
    async fn a_timeout_that_is_not_needed_is_not_expired() {
        let start = now();
        let deadline = Deadline::after(secs(10));
        assert_eq!(deadline.timeout(async { sleep(secs(1)).await; 7 }).await, Ok(7));
        assert!(!deadline.is_expired());
        assert_eq!(deadline.when(), Some(start + secs(10)));
        assert_eq!(now(), start + secs(1));
    }

    // C047
    async fn a_deadline_that_is_switched_off_never_fires() {
        let deadline = Deadline::never();
        let inside = deadline.timeout(async {
            assert_eq!(foster::deadline(), None);
            sleep(CENTURY).await;
        });
        assert_eq!(inside.await, Ok(()));
        assert!(!deadline.is_expired());
        assert_eq!(deadline.when(), None);
    }

    // C048
    async fn a_timeout_of_zero_ends_what_is_not_ready() {
        let entry = now();
        let mut seen = None;
        let inside = timeout(Duration::ZERO, async {
            seen = deadline();
            pending::<()>().await
        });
        assert!(inside.await.is_err());
        let seen = seen.expect("a deadline inside");
        assert!(entry <= seen && seen <= now());
    }

    // C050
    async fn a_deadline_in_the_past_ends_what_yields_once() {
        let past = now();
        sleep(secs(2)).await;
        let mut after = false;
        let inside = timeout_at(past, async {
            assert_eq!(remaining(), Some(Duration::ZERO));
            sleep(Duration::ZERO).await;
            after = true;
        });
        assert!(inside.await.is_err());
        assert!(!after);
        assert_eq!(now(), past + secs(2));
    }

    // C057
    async fn a_deadline_moved_by_another_task_is_the_one_that_counts() {
        let start = now();
        let deadline = &Deadline::after(secs(2));
        scope(|s| async move {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            sleep(secs(1)).await;
            deadline.set(start + secs(10)).unwrap();
            assert_eq!(deadline.when(), Some(start + secs(10)));
            sleep(secs(8)).await;
            assert!(!guarded.is_finished());
            deadline.set(None).unwrap();
            sleep(secs(100)).await;
            assert!(!guarded.is_finished());
            guarded.cancel();
            let cancelled = guarded.outcome().await.unwrap_err();
            assert!(matches!(cancelled.reason(), Reason::Requested(_)), "{cancelled}");
        }).await;
        assert!(!deadline.is_expired());
    }

    // C057
    async fn a_deadline_moved_earlier_fires_earlier() {
        let start = now();
        let deadline = &Deadline::after(secs(100));
        scope(|s| async move {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            sleep(secs(1)).await;
            deadline.set(start + secs(3)).unwrap();
            assert!(guarded.await.is_err());
            assert_eq!(now(), start + secs(3));
        }).await;
    }

    // C235
    async fn a_deadline_moved_into_the_past_fires_now() {
        let start = now();
        let deadline = &Deadline::never();
        scope(|s| async move {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            sleep(secs(5)).await;
            deadline.set(start).unwrap();
            assert!(guarded.await.is_err());
            assert_eq!(now(), start + secs(5));
        }).await;
    }

    // C058
    async fn debug_shows_whether_a_deadline_is_active_expired_finished_or_disabled() {
        assert_eq!(format!("{:?}", Deadline::never()), "Deadline(disabled)");
        assert_eq!(format!("{:?}", Deadline::at(now() + secs(3))), "Deadline(active, in 3s)");
        let fresh = Deadline::after(secs(2));
        assert_eq!(format!("{fresh:?}"), "Deadline(active, 2s after the first poll)");
        fresh.timeout(async { assert_eq!(format!("{fresh:?}"), "Deadline(active, in 2s)") })
            .await.unwrap();
        assert_eq!(format!("{fresh:?}"), "Deadline(finished)");
        let expired = Deadline::after(secs(2));
        expired.timeout(pending::<()>()).await.unwrap_err();
        assert_eq!(format!("{expired:?}"), "Deadline(expired)");
    }

    // C258
    async fn hundreds_of_thousands_of_deadline_moves_leave_one_timer() {
        let start = now();
        let deadline = &Deadline::after(secs(1));
        scope(|s| async move {
            let guarded = s.spawn(deadline.timeout(pending::<()>()));
            for i in 0..200_000u64 {
                deadline.set(start + secs(1000) + Duration::from_nanos(i)).unwrap();
                if i % 100 == 0 {
                    yield_now().await;
                }
            }
            deadline.set(None).unwrap();
            yield_now().await;
            sleep(secs(2000)).await;
            assert!(!guarded.is_finished());
            deadline.set(now() + secs(1)).unwrap();
            assert!(guarded.await.is_err());
        }).await;
        assert_eq!(now(), start + secs(2001));
    }

    async fn a_deadline_moved_from_inside_counts() {
        let start = now();
        let deadline = Deadline::after(secs(1));
        let moved = deadline.timeout(async {
            deadline.set(start + secs(10)).unwrap();
            sleep(secs(5)).await;
            assert_eq!(remaining(), Some(secs(5)));
            deadline.set(None).unwrap();
            sleep(secs(50)).await;
            deadline.set(now() + secs(1)).unwrap();
            pending::<()>().await
        });
        assert!(moved.await.is_err());
        assert_eq!(now(), start + secs(56));
    }

    async fn a_timeout_leaves_no_timer_behind() {
        let start = now();
        timeout(secs(1000), sleep(secs(1))).await.unwrap();
        drop(poll_immediate(timeout(secs(1000), sleep(secs(500)))).await);
        sleep(secs(2)).await;
        assert_eq!(now(), start + secs(3));
    }
}

matrix! {
    // C052
    async fn an_error_raised_by_the_cleanup_wins_over_elapsed() {
        let late = timeout(T, try_scope(|s| async move {
            s.defer(async { sleep(T).await; Err("cleanup") });
            pending::<Result<(), &str>>().await
        }));
        assert_eq!(late.await, Ok(Err("cleanup")));
    }

    // C053, C325
    async fn a_cancellation_inside_an_unexpired_timeout_is_not_elapsed() {
        let inside = timeout(1000 * T, scope(|s| async move {
            s.cancel("enough");
            pending::<()>().await
        }).outcome());
        let cancelled = inside.await.expect("not elapsed").unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("enough"));
    }

    // C053
    async fn a_child_cancelled_inside_an_unexpired_timeout_is_cancelled() {
        scope(|s| async move {
            let child = s.spawn(timeout(1000 * T, pending::<()>()));
            yield_now().await;
            child.cancel();
            assert!(matches!(child.outcome().await.unwrap_err().reason(), Reason::Requested(_)));
        }).await;
    }

    // C060
    async fn a_timeout_works_inside_the_cleanup_of_a_cancelled_task() {
        let log = &Log::new();
        let outcome = scope(|s| async move {
            s.defer(async move {
                assert!(timeout(T, pending::<()>()).await.is_err());
                assert_eq!(timeout(1000 * T, async { sleep(T).await; 7 }).await, Ok(7));
                log.note("cleaned");
            });
            s.cancel("enough");
            pending::<()>().await
        }).outcome().await;
        assert!(outcome.is_err());
        assert_eq!(log.entries(), ["cleaned"]);
    }

    // C062
    async fn a_deadline_cannot_be_moved_after_its_timeout_is_over() {
        let deadline = Deadline::after(1000 * T);
        deadline.timeout(async {}).await.unwrap();
        let refused = deadline.set(now() + T).unwrap_err();
        assert!(!refused.is_expired());
        assert!(!deadline.is_expired());
    }

    // C063
    async fn a_deadline_cannot_be_moved_after_it_expired() {
        let deadline = Deadline::after(T);
        deadline.timeout(pending::<()>()).await.unwrap_err();
        assert!(deadline.set(None).unwrap_err().is_expired());
        assert!(deadline.set(now() + T).unwrap_err().is_expired());
    }

    // C063
    async fn a_deadline_cannot_be_moved_while_what_expired_is_winding_down() {
        let deadline = &Deadline::after(T);
        let log = &Log::new();
        let late = deadline.timeout(scope(|s| async move {
            s.defer(async move {
                sleep(T).await;
                assert!(deadline.set(now() + 1000 * T).unwrap_err().is_expired());
                log.note("refused");
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["refused"]);
    }

    // C065
    async fn a_child_that_fails_in_its_cleanup_wins_over_elapsed() {
        let late = timeout(T, try_scope(|s| async move {
            s.spawn(try_scope(|s| async move {
                s.defer(async { sleep(T).await; Err("cleanup") });
                pending::<Result<(), &str>>().await
            }));
            pending::<Result<(), &str>>().await
        }));
        assert_eq!(late.await, Ok(Err("cleanup")));
    }

    async fn a_deadline_moved_from_another_thread_counts() {
        let deadline = Deadline::after(1000 * T);
        let moving = deadline.clone();
        let at = now() + T;
        let (go, gone) = std::sync::mpsc::channel();
        let mover = std::thread::spawn(move || {
            gone.recv().unwrap();
            moving.set(at).unwrap();
        });
        let late = deadline.timeout(async {
            go.send(()).unwrap();
            // Keeps the clock of a simulation, which waits for no other thread, where it is.
            while deadline.when() != Some(at) {
                yield_now().await;
            }
            pending::<()>().await
        });
        assert!(late.await.is_err());
        mover.join().unwrap();
    }

    async fn a_timeout_for_ever_makes_no_timer_that_overflows() {
        assert_eq!(timeout(Duration::MAX, async { sleep(T).await; 1 }).await, Ok(1));
        assert_eq!(timeout(CENTURY, async { sleep(T).await; 2 }).await, Ok(2));
        assert_eq!(timeout_at(now() + CENTURY, async { sleep(T).await; 3 }).await, Ok(3));
        let deadline = Deadline::at(now() + CENTURY);
        assert_eq!(deadline.timeout(async { sleep(T).await; 4 }).await, Ok(4));
        assert!(timeout(T, timeout(Duration::MAX, pending::<()>())).await.is_err());
        assert!(timeout(T, sleep(Duration::MAX)).await.is_err());
        assert!(timeout(T, sleep(CENTURY)).await.is_err());
        assert!(timeout(T, foster::sleep_until(now() + CENTURY)).await.is_err());
        assert!(timeout(T, pending::<()>()).grace(Duration::MAX).await.is_err());
        assert!(timeout(T, pending::<()>()).grace(CENTURY).await.is_err());
        let scoped = scope(|s| async move {
            s.stop("soon", Duration::MAX);
            7
        }).grace(Duration::MAX);
        assert_eq!(scoped.await, 7);
    }

    async fn grace_of_zero_ends_what_does_not_end_at_once() {
        let log = &Log::new();
        let late = timeout(T, scope(|s| async move {
            s.defer(async move { pending::<()>().await });
            s.defer(async move { log.note("polled once") });
            shield(pending::<()>()).await
        })).grace(Duration::ZERO);
        assert!(!late.await.unwrap_err().overrun().is_empty());
        assert_eq!(log.entries(), ["polled once"]);
    }

    async fn a_ready_future_is_polled_once_and_wins_against_any_deadline() {
        let polls = Polls::new();
        assert_eq!(timeout(Duration::ZERO, polls.of(async { 7 })).await, Ok(7));
        let long_ago = now().checked_sub(T).unwrap_or_else(Instant::now);
        assert_eq!(timeout_at(long_ago, polls.of(async { 8 })).await, Ok(8));
        assert_eq!(polls.count(), 2);
    }

    async fn what_is_inside_is_polled_before_the_clock_is_read() {
        // A future that became ready while nobody polled, after the deadline: the value wins.
        let (send, receive) = futures::channel::oneshot::channel();
        let mut late = Box::pin(timeout(T, receive));
        assert!(poll_immediate(&mut late).await.is_none());
        sleep(2 * T).await;
        send.send(7).unwrap();
        assert_eq!(late.await, Ok(Ok(7)));
    }
}

// C055
#[test]
fn of_two_deadlines_that_passed_during_work_each_reports_to_its_own_handler() {
    let sim = Sim::default();
    let log = &Log::new();
    sim.run(async {
        let outer = timeout(secs(2), async {
            let inner = timeout(secs(1), async {
                yield_now().await;
                sim.advance(secs(3));
                pending::<()>().await
            });
            assert!(inner.await.is_err());
            log.note("inner");
            pending::<()>().await
        });
        assert!(outer.await.is_err());
        log.note("outer");
        assert_eq!(sim.elapsed(), secs(3));
    });
    assert_eq!(log.entries(), ["inner", "outer"]);
}

#[test]
fn a_timeout_works_without_any_runtime() {
    futures::executor::block_on(async {
        assert!(timeout(T, pending::<()>()).await.is_err());
        assert_eq!(
            timeout(1000 * T, async {
                sleep(T).await;
                7
            })
            .await,
            Ok(7)
        );
    });
}

#[test]
fn a_timeout_polled_after_it_was_over_stays_pending() {
    futures::executor::block_on(async {
        let mut over = Box::pin(timeout(Duration::ZERO, pending::<()>()));
        assert!(over.as_mut().await.is_err());
    });
    let mut over = Box::pin(timeout(secs(1), async { 7 }));
    assert!(poll_by_hand(&mut over).is_ready());
}

#[test]
fn a_deadline_guards_one_future_and_says_so() {
    let deadline = Deadline::after(secs(1));
    let _first = deadline.timeout(pending::<()>());
    let second = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(deadline.timeout(pending::<()>()))));
    assert!(crate::probes::message(second.unwrap_err()).contains("guards one future"));
}
