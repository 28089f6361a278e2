//! How long a wind-down lasts: as long as the cleanup, or a grace.

use std::cell::Cell;
use std::future::pending;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use foster::scope::Notice;
use foster::{Reason, adopt, gather, now, scope, shield, sleep, timeout, yield_now};
use futures::channel::oneshot;
use futures::future::{BoxFuture, poll_immediate};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::harness::{self, T, run};
use crate::probes::{Log, dropping, secs};

const S: Duration = Duration::from_secs(1);

sim! {
    // S4
    async fn a_timeout_returns_at_the_instant_at_which_the_last_cleanup_ends() {
        let start = now();
        let late = timeout(secs(1), scope(async |s| {
            s.defer(sleep(secs(2)));
            s.defer(sleep(secs(3)));
            s.spawn(scope(async |s| { s.defer(sleep(secs(4))); pending::<()>().await }));
            s.spawn(scope(async |s| { s.defer(sleep(secs(1))); pending::<()>().await }));
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(now() - start, secs(1 + 4 + 3 + 2));
    }

    // C355, S8
    async fn a_finalizer_past_its_grace_is_dropped_and_named_and_the_rest_still_run() {
        let (log, start) = (&Log::new(), now());
        let names = Log::new();
        let reported = names.clone();
        let outcome = scope(async |s| {
            s.defer(async move { sleep(secs(2)).await; log.note("first") });
            s.defer(async move {
                let _over = log.on_drop("second dropped");
                sleep(secs(100)).await;
                log.note("second");
            });
            s.defer(async move { sleep(secs(2)).await; log.note("third") });
            s.cancel("enough");
            pending::<()>().await
        }).grace(secs(3)).observe(move |event| {
            if let Notice::Overrun { task } = event {
                reported.note(task.to_string());
            }
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("enough"));
        assert_eq!(log.entries(), ["third", "second dropped", "first"]);
        assert_eq!(now() - start, secs(2 + 3 + 2));
        assert_eq!(names.entries().len(), 1);
        assert!(names.entries()[0].contains("grace.rs"), "{:?}", names.entries());
    }

    // S8
    async fn children_past_the_grace_are_dropped_and_named_before_the_finalizers_run() {
        let (log, start) = (&Log::new(), now());
        let names = Log::new();
        let reported = names.clone();
        let outcome = scope(async |s| {
            s.defer(async move { sleep(secs(2)).await; log.note("finalized") });
            s.named("stubborn").spawn(shield(async move {
                let _over = log.on_drop("stubborn dropped");
                sleep(secs(100)).await;
            }));
            s.named("quick").spawn(shield(async move { sleep(secs(1)).await; log.note("quick") }));
            yield_now().await;
            yield_now().await;
            s.cancel("enough");
            pending::<()>().await
        }).grace(secs(3)).observe(move |event| {
            if let Notice::Overrun { task } = event {
                reported.note(task.to_string());
            }
        }).outcome().await;
        assert!(outcome.is_err());
        assert_eq!(log.entries(), ["quick", "stubborn dropped", "finalized"]);
        assert_eq!(now() - start, secs(3 + 2));
        assert_eq!(names.entries(), ["stubborn"]);
    }

    // S8
    async fn the_grace_of_a_timeout_bounds_its_wind_down_and_names_what_overran() {
        let (log, start) = (&Log::new(), now());
        let late = timeout(secs(1), scope(async |s| {
            s.defer(async move { log.note("last polled"); sleep(secs(1)).await; log.note("not reached") });
            s.defer(async move {
                let _over = log.on_drop("dropped");
                sleep(secs(100)).await;
            });
            s.defer(async move { sleep(secs(1)).await; log.note("in time") });
            pending::<()>().await
        })).grace(secs(5));
        let elapsed = late.await.unwrap_err();
        assert_eq!(now() - start, secs(6));
        assert_eq!(log.entries(), ["in time", "dropped", "last polled"]);
        assert!(!elapsed.overrun().is_empty());
        assert!(elapsed.overrun().iter().all(|name| name.to_string().contains("grace.rs")), "{elapsed}");
        assert!(elapsed.to_string().contains("grace.rs"), "{elapsed}");
    }

    // S8
    async fn a_grace_that_is_kept_reports_nothing() {
        let late = timeout(secs(1), scope(async |s| {
            s.defer(sleep(secs(4)));
            pending::<()>().await
        })).grace(secs(5));
        assert!(late.await.unwrap_err().overrun().is_empty());
    }

    // S8
    async fn an_inner_grace_is_contained_in_the_outer_one() {
        let start = now();
        // The outer grace is the shorter one.
        let late = timeout(secs(1), scope(async |s| {
            s.defer(sleep(secs(1000)));
            pending::<()>().await
        }).grace(secs(100))).grace(secs(5));
        assert_eq!(late.await.unwrap_err().overrun().len(), 1);
        assert_eq!(now() - start, secs(6));
        // The inner one is.
        let start = now();
        let late = timeout(secs(1), scope(async |s| {
            s.defer(sleep(secs(1000)));
            pending::<()>().await
        }).grace(secs(5))).grace(secs(100));
        assert!(late.await.is_err());
        assert_eq!(now() - start, secs(6));
    }

    // S8
    async fn an_inner_timeouts_grace_is_contained_in_the_outer_ones() {
        let start = now();
        let late = timeout(secs(2), timeout(secs(1), scope(async |s| {
            s.defer(sleep(secs(1000)));
            pending::<()>().await
        })).grace(secs(100))).grace(secs(5));
        drop(late.await);
        assert_eq!(now() - start, secs(7));
    }

    // S8
    async fn a_shield_past_the_grace_is_dropped_and_named() {
        let (log, start) = (&Log::new(), now());
        let late = timeout(secs(1), async {
            shield(async {
                let _over = log.on_drop("dropped");
                sleep(secs(1000)).await;
            }).await;
        }).grace(secs(5));
        let elapsed = late.await.unwrap_err();
        assert_eq!(now() - start, secs(6));
        assert_eq!(log.entries(), ["dropped"]);
        assert_eq!(elapsed.overrun().len(), 1);
        assert!(elapsed.overrun()[0].to_string().contains("grace.rs"));
    }

    // S8
    async fn without_a_grace_a_wind_down_lasts_as_long_as_the_cleanup_does() {
        let start = now();
        let late = timeout(secs(1), scope(async |s| {
            s.defer(sleep(secs(100_000)));
            pending::<()>().await
        }));
        assert!(late.await.unwrap_err().overrun().is_empty());
        assert_eq!(now() - start, secs(100_001));
    }

    // S8
    async fn past_the_grace_a_finalizer_may_wait_for_what_it_gave_away() {
        let start = now();
        let (tell, told) = oneshot::channel();
        scope(|_| scope(async |s| {
            s.defer(async move {
                let (save, saved) = oneshot::channel();
                let saving = adopt(async move { sleep(secs(1)).await; save.send(7).unwrap(); });
                poll_immediate(saving).await;
                tell.send(saved.await).unwrap();
            });
            s.spawn(shield(pending::<()>()));
            yield_now().await;
            s.cancel("closing");
        }).grace(secs(2)))
        .await;
        assert_eq!((told.await, now() - start), (Ok(Ok(7)), secs(3)));
    }

    // C355
    async fn a_finalizer_that_overruns_its_grace_is_reported_and_the_rest_still_run() {
        let (log, overrun) = (Log::new(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (inside, noting) = (log.clone(), Arc::clone(&overrun));
        let start = now();
        let line = line!() + 8;
        let cancelled = scope(async |s| {
            let first = inside.clone();
            s.defer(async move {
                sleep(T).await;
                first.note("finalized");
            });
            let stuck = inside.on_drop("dropped");
            s.defer(dropping(stuck));
            s.cancel("enough");
            pending::<()>().await
        })
        .grace(5 * T)
        .observe(move |event| {
            if let Notice::Overrun { task } = event {
                noting.lock().unwrap().push(task.to_string());
            }
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(log.entries(), ["dropped", "finalized"]);
        assert_eq!(*overrun.lock().unwrap(), [format!("{}:{line}", file!())]);
        assert_eq!(now() - start, 6 * T);
    }

    // C355
    async fn a_timeouts_grace_names_what_overran_and_gives_the_rest_one_poll() {
        let log = Log::new();
        let inside = log.clone();
        let start = now();
        let elapsed = timeout(T, scope(async |s| {
            let last = inside.clone();
            s.defer(async move { last.note("one poll") });
            s.defer(dropping(inside.on_drop("dropped")));
            pending::<()>().await
        }))
        .grace(2 * T)
        .await
        .unwrap_err();
        assert_eq!(elapsed.overrun().len(), 1);
        assert_eq!(log.entries(), ["dropped", "one poll"]);
        assert_eq!(now() - start, 3 * T);
    }

    async fn the_overrun_of_an_inner_grace_is_named_to_the_inner_timeout() {
        let overrun = Mutex::new(Vec::new());
        let late = timeout(secs(5), async {
            let inner = timeout(secs(1), shield(sleep(secs(100)))).grace(secs(10)).await;
            overrun.lock().unwrap().extend(inner.unwrap_err().overrun().to_vec());
        });
        drop(late.await);
        assert_eq!(overrun.lock().unwrap().len(), 1);
    }

    async fn a_grace_ends_shields_that_are_polled_only_when_woken() {
        let start = now();
        let shields = async {
            let mut shields: FuturesUnordered<_> = (0..3).map(|_| shield(pending::<()>())).collect();
            shields.next().await
        };
        let elapsed = timeout(secs(1), shields).grace(secs(2)).await.unwrap_err();
        assert_eq!(elapsed.overrun().len(), 3);
        assert_eq!(now(), start + secs(3));
    }
}

sim! {
    // S8: a hold was waited for until its owner let go of it, and an owner that nobody polls never
    // does
    async fn a_grace_ends_the_wait_for_what_nobody_polls() {
        for shielded in [true, false] {
            let (log, start) = (Log::new(), now());
            let stored = log.on_drop("dropped");
            let late = timeout(secs(1), async {
                let mut held = held(shielded, stored);
                assert!(poll_immediate(&mut held).await.is_none());
                pending::<()>().await
            });
            assert!(late.grace(secs(1)).await.is_err());
            assert_eq!((now() - start, log.entries()), (secs(2), vec!["dropped".to_owned()]));
        }
    }

    // S8: the one poll that each finalizer gets past the grace takes several polls of what lies
    // around, as does one round through many scopes
    async fn a_grace_that_is_over_leaves_every_finalizer_its_turn() {
        let (polled, start) = (&Cell::new(0), now());
        let many: Vec<_> = (0..200).map(|_| scope_of_finalizers(20, polled)).collect();
        let late = timeout(secs(1), gather(many));
        let elapsed = late.grace(secs(1)).await.unwrap_err();
        assert_eq!((now() - start, polled.get(), elapsed.overrun().len()), (secs(2), 200 * 20, 200 * 20));
    }

    // S8
    async fn the_finalizers_inside_a_timeout_have_their_turn_past_the_grace_of_an_outer_one() {
        let (polled, start) = (&Cell::new(0), now());
        let late = timeout(secs(1), timeout(secs(1_000), scope_of_finalizers(3_000, polled)));
        let elapsed = late.grace(secs(1)).await.unwrap_err();
        assert_eq!((now() - start, polled.get(), elapsed.overrun().len()), (secs(2), 3_000, 3_000));
    }

    // S8: the outer scope dropped the inner one before that had seen that the grace was over
    async fn the_finalizers_of_a_scope_in_a_scope_have_their_turn_past_the_grace_of_a_timeout() {
        for in_a_child in [true, false] {
            let (polled, start) = (&Cell::new(0), now());
            let late = timeout(secs(1), foster::local::scope(async |s| {
                let inner = scope_of_finalizers(3_000, polled);
                if in_a_child { s.spawn(inner).await } else { inner.await }
            }));
            let elapsed = late.grace(secs(1)).await.unwrap_err();
            let overrun = elapsed.overrun().len();
            assert_eq!((now() - start, polled.get(), overrun), (secs(2), 3_000, 3_000), "{in_a_child}");
        }
    }

    // S8
    async fn a_stop_during_the_wind_down_does_not_extend_its_grace() {
        let start = now();
        let stopped = scope(async |s| {
            let again = s.clone();
            s.defer(async move {
                again.stop("later", secs(100));
                sleep(secs(5)).await;
            });
            s.cancel("now");
        });
        stopped.grace(secs(1)).await;
        assert_eq!(now() - start, secs(1));
    }

    // S8: a grace is for a wind-down
    async fn a_scope_that_is_not_cancelled_waits_for_its_finalizers_beyond_the_grace() {
        let start = now();
        scope(async |s| s.defer(sleep(secs(5)))).grace(secs(1)).await;
        assert_eq!(now() - start, secs(5));
    }
}

/// Waits for ever with a hold, that of a shield or of a scope, and owns `stored`.
pub(crate) fn held(shielded: bool, stored: impl Send + 'static) -> BoxFuture<'static, ()> {
    if shielded {
        return Box::pin(shield(async move {
            let _stored = stored;
            pending().await
        }));
    }
    Box::pin(scope(async move |s| {
        s.defer(async move { drop(stored) });
        pending().await
    }))
}

/// Waits in a scope with so many finalizers that never end, and counts those that are polled.
pub(crate) async fn scope_of_finalizers(count: usize, polled: &Cell<usize>) {
    foster::local::scope(async |s| {
        for _ in 0..count {
            s.defer(async {
                polled.set(polled.get() + 1);
                pending::<()>().await
            });
        }
        pending::<()>().await
    })
    .await
}

// S8: the root would wait for what an overdue wind-down left behind
#[test]
fn an_overdue_wind_down_leaves_nothing_to_wait_for() {
    let sim = foster::runtimes::Sim::default();
    for grace in [Duration::ZERO, secs(1)] {
        let before = sim.elapsed();
        sim.run(async {
            let late = timeout(
                secs(1),
                scope(async |s| {
                    s.defer(pending());
                    s.defer(async {});
                    shield(pending::<()>()).await
                }),
            );
            assert!(!late.grace(grace).await.unwrap_err().overrun().is_empty());
        });
        assert_eq!(sim.elapsed() - before, secs(1) + grace);
    }
}

#[test]
fn a_scope_whose_grace_ended_lets_a_timeout_return() {
    run(harness::basic, || async {
        let (tx, rx) = mpsc::channel::<()>();
        let out = timeout(
            Duration::from_millis(10),
            scope(async |s| {
                s.spawn_blocking(move || {
                    let _ = rx.recv();
                });
                pending::<()>().await
            })
            .grace(Duration::from_millis(10)),
        )
        .await;
        assert!(out.is_err());
        drop(tx);
    });
}

#[test]
fn two_overruns_of_one_scope_leave_nothing_to_wait_for() {
    run(harness::sim, || async {
        scope(|_| async {
            let out = scope(async |s| {
                s.defer(pending());
                s.defer(pending());
                s.spawn(shield(pending::<()>()));
                yield_now().await;
                s.cancel("x");
                pending::<()>().await
            })
            .grace(S)
            .outcome()
            .await;
            assert!(out.is_err());
        })
        .await;
    });
}
