//! Timeouts: who reports, when, and after what.

use std::future::pending;
use std::time::{Duration, Instant};

use foster::runtimes::Sim;
use foster::testing::Polls;
use foster::{
    Deadline, Reason, deadline, now, remaining, scope, shield, sleep, timeout, timeout_at, timeout_detach, try_scope,
    yield_now,
};
use futures::StreamExt;
use futures::channel::oneshot;
use futures::future::poll_immediate;
use futures::stream::FuturesUnordered;

use crate::harness::{self, T, run};
use crate::probes::{Log, Probe, dropping, poll_by_hand, secs};

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const S: Duration = Duration::from_secs(1);

matrix! {
    // C325
    async fn a_cancel_within_a_timeout_is_not_taken_for_its_end() {
        let outcome = timeout(1_000 * T, scope(async |s| {
            s.cancel("enough");
            pending::<()>().await
        })
        .outcome())
        .await;
        assert_eq!(outcome.expect("not elapsed").unwrap_err().reason(), &Reason::from("enough"));
    }

    // C068
    async fn a_timeout_of_zero_on_what_is_ready_is_its_value() {
        assert_eq!(timeout(Duration::ZERO, async { "done" }).await, Ok("done"));
        assert_eq!(timeout_at(now(), std::future::ready("done")).await, Ok("done"));
    }

    // C070
    async fn a_timeout_of_zero_or_less_drops_the_child_before_it_returns() {
        let log = &Log::new();
        let past = now();
        sleep(T).await;
        for late in [timeout(Duration::ZERO, dropping(log.on_drop("dropped"))), timeout_at(past, dropping(log.on_drop("dropped")))] {
            assert!(late.await.is_err());
            log.note("returned");
        }
        assert_eq!(log.entries(), ["dropped", "returned", "dropped", "returned"]);
    }

    // C072
    async fn a_timeout_of_zero_ends_in_its_first_poll() {
        assert!(poll_immediate(timeout(Duration::ZERO, pending::<()>())).await.expect("no timer").is_err());
    }

    async fn no_timeout_is_the_value() {
        assert_eq!(Deadline::never().timeout(async { sleep(T).await; 7 }).await, Ok(7));
        assert_eq!(timeout(Duration::MAX, async { sleep(T).await; 7 }).await, Ok(7));
    }

    // C075
    async fn elapsed_comes_after_the_async_cleanup_of_the_child() {
        let log = &Log::new();
        let late = timeout(T, scope(async |s| {
            s.spawn(scope(async |s| {
                s.defer(async { sleep(2 * T).await; log.note("cleaned") });
                pending::<()>().await
            }));
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("returned");
        assert_eq!(log.entries(), ["cleaned", "returned"]);
    }

    // C077
    async fn an_error_of_the_cleanup_is_not_lost_to_elapsed() {
        let late = timeout(Duration::ZERO, try_scope(async |s| {
            s.defer(async { yield_now().await; Err("broken") });
            pending::<Result<(), _>>().await
        }));
        assert_eq!(late.await, Ok(Err("broken")));
    }

    // S4
    async fn a_detached_timeout_that_is_kept_is_the_value() {
        assert_eq!(timeout_detach(1000 * T, async { sleep(T).await; 7 }).await, Ok(7));
        assert_eq!(timeout_detach(Duration::ZERO, async { 8 }).await, Ok(8));
        assert_eq!(timeout_detach(Duration::MAX, async { sleep(T).await; 9 }).await, Ok(9));
        assert!(timeout_detach(T, pending::<()>()).await.is_err());
    }

    // C238
    async fn a_deadline_that_has_passed_counts_as_cancelled() {
        let probe = Probe::new();
        assert!(timeout_at(now(), probe.endless()).await.is_err());
        probe.assert_all_gone();
    }

    // C052
    async fn an_error_raised_by_the_cleanup_wins_over_elapsed() {
        let late = timeout(T, try_scope(async |s| {
            s.defer(async { sleep(T).await; Err("cleanup") });
            pending::<Result<(), &str>>().await
        }));
        assert_eq!(late.await, Ok(Err("cleanup")));
    }

    // C053, C325
    async fn a_cancellation_inside_an_unexpired_timeout_is_not_elapsed() {
        let inside = timeout(1000 * T, scope(async |s| {
            s.cancel("enough");
            pending::<()>().await
        }).outcome());
        let cancelled = inside.await.expect("not elapsed").unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("enough"));
    }

    // C053
    async fn a_child_cancelled_inside_an_unexpired_timeout_is_cancelled() {
        scope(async |s| {
            let child = s.spawn(timeout(1000 * T, pending::<()>()));
            yield_now().await;
            child.cancel();
            assert!(matches!(child.outcome().await.unwrap_err().reason(), Reason::Requested(_)));
        }).await;
    }

    // C060
    async fn a_timeout_works_inside_the_cleanup_of_a_cancelled_task() {
        let log = &Log::new();
        let outcome = scope(async |s| {
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

    // C065
    async fn a_child_that_fails_in_its_cleanup_wins_over_elapsed() {
        let late = timeout(T, try_scope(async |s| {
            s.spawn(try_scope(async |s| {
                s.defer(async { sleep(T).await; Err("cleanup") });
                pending::<Result<(), &str>>().await
            }));
            pending::<Result<(), &str>>().await
        }));
        assert_eq!(late.await, Ok(Err("cleanup")));
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
        let scoped = scope(async |s| {
            s.stop("soon", Duration::MAX);
            7
        }).grace(Duration::MAX);
        assert_eq!(scoped.await, 7);
    }

    async fn grace_of_zero_ends_what_does_not_end_at_once() {
        let log = &Log::new();
        let late = timeout(T, scope(async |s| {
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

sim! {
    // C073
    async fn a_value_set_before_the_deadline_is_the_value() {
        let (send, receive) = oneshot::channel();
        let value = scope(async |s| {
            s.spawn(async move {
                sleep(secs(10) - Duration::from_nanos(1)).await;
                send.send(7).unwrap();
            });
            timeout(secs(10), receive).await
        });
        assert_eq!(value.await, Ok(Ok(7)));
    }

    // C235
    async fn a_timeout_ends_at_its_instant() {
        let start = now();
        assert!(timeout(7 * T, pending::<()>()).await.is_err());
        assert_eq!(now() - start, 7 * T);
    }

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

    async fn a_timeout_leaves_no_timer_behind() {
        let start = now();
        timeout(secs(1000), sleep(secs(1))).await.unwrap();
        drop(poll_immediate(timeout(secs(1000), sleep(secs(500)))).await);
        sleep(secs(2)).await;
        assert_eq!(now(), start + secs(3));
    }

    // C267
    async fn a_timeout_returns_at_its_target_with_the_body_dropped() {
        let log = &Log::new();
        let start = now();
        let late = timeout(secs(1), async {
            let _body = log.on_drop("dropped");
            sleep(secs(100)).await;
            log.note("not reached");
        });
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["dropped"]);
        assert_eq!(now(), start + secs(1));

        assert!(timeout_at(start + secs(3), pending::<()>()).await.is_err());
        assert_eq!(now(), start + secs(3));
    }

    // C272
    async fn there_is_no_negative_timeout_and_a_deadline_that_has_passed_is_one_of_zero() {
        let start = now();
        sleep(secs(1)).await;
        assert!(timeout_at(start, pending::<()>()).await.is_err());
        assert!(Deadline::at(start).timeout(pending::<()>()).await.is_err());
        assert_eq!(timeout_at(start, async { 7 }).await, Ok(7));
        assert_eq!(now(), start + secs(1));
    }

    // C273
    async fn a_timeout_counts_from_its_first_poll() {
        let start = now();
        let movable = Deadline::after(secs(2));
        let late = timeout(secs(3), pending::<()>());
        let moved = movable.timeout(pending::<()>());
        sleep(secs(10)).await;
        assert_eq!(movable.when(), None);
        assert!(late.await.is_err());
        assert_eq!(now(), start + secs(13));
        assert!(moved.await.is_err());
        assert_eq!(now(), start + secs(15));
        assert_eq!(movable.when(), Some(start + secs(15)));
    }

    // C235
    async fn a_timeout_that_was_over_before_its_deadline_never_fires() {
        let start = now();
        let deadline = Deadline::after(secs(5));
        deadline.timeout(sleep(secs(1))).await.unwrap();
        sleep(secs(10)).await;
        assert!(!deadline.is_expired());
        assert_eq!(now(), start + secs(11));
    }

    async fn the_inner_of_two_deadlines_fires_first_and_the_outer_one_still_counts() {
        let start = now();
        let outer = timeout(secs(5), async {
            assert!(timeout(secs(2), pending::<()>()).await.is_err());
            assert_eq!(now(), start + secs(2));
            assert!(timeout(secs(100), pending::<()>()).await.is_err());
            unreachable!("the outer deadline comes first");
        });
        let outer: Result<(), _> = outer.await;
        assert!(outer.is_err());
        assert_eq!(now(), start + secs(5));
    }

    async fn an_outer_deadline_of_zero_wins_over_an_inner_one() {
        let late = timeout(Duration::ZERO, async {
            drop(timeout(Duration::ZERO, pending::<()>()).await);
            unreachable!("both expire at one instant, and the outer one reports it");
        });
        let late: Result<(), _> = late.await;
        assert!(late.is_err());
    }

    async fn a_timeout_may_be_none() {
        assert_eq!(timeout(None, async { foster::deadline() }).await, Ok(None));
        assert_eq!(foster::timeout_at(None, async { foster::remaining() }).await, Ok(None));
        let left = timeout(secs(5), async { timeout(foster::remaining(), sleep(secs(9))).await });
        assert!(left.await.is_err());
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

// Where the deadline was noticed late, the cleanup has its time nevertheless.
#[test]
fn a_grace_counts_from_the_beginning_of_the_wind_down() {
    let sim = Sim::default();
    sim.run(async {
        let late = timeout(secs(1), async {
            let cleanup = shield(async {
                yield_now().await;
                sim.advance(secs(5));
                sleep(secs(1)).await;
            });
            cleanup.await;
            pending::<()>().await
        });
        assert!(late.grace(secs(2)).await.unwrap_err().overrun().is_empty());
        assert_eq!(sim.elapsed(), secs(6));
    });
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
fn the_outer_of_two_timeouts_reports_also_when_the_inner_one_has_to_clean_up() {
    run(harness::sim, || async {
        let inner = timeout(
            S,
            scope(async |s| {
                s.defer(sleep(S));
                pending::<()>().await
            }),
        );
        let out = timeout(S, async { inner.await.is_err() }).await;
        assert!(out.is_err());
    });
}

#[test]
fn a_timeout_that_moves_between_scopes_is_polled_where_it_is() {
    run(harness::sim, || async {
        let (tx, rx) = futures::channel::oneshot::channel();
        scope(|a| async move {
            a.spawn(async move {
                let mut t = Box::pin(timeout(
                    2 * S,
                    scope(async |s| {
                        s.defer(sleep(S));
                        pending::<()>().await
                    }),
                ));
                assert!(futures::poll!(&mut t).is_pending());
                sleep(S).await;
                let _ = tx.send(t);
                pending::<()>().await
            });
            scope(|b| async move {
                let t = b.spawn(async move { rx.await.unwrap().await });
                sleep(S / 2 * 3).await;
                a.cancel("the first home");
                drop(t);
            })
            .await;
        })
        .outcome()
        .await
        .ok();
    });
}
