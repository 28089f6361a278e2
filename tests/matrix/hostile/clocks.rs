//! Timeouts, graces and deadlines that end, move or nest at the worst moment.

use super::*;

#[test]
fn a_scope_whose_grace_ended_lets_a_timeout_return() {
    basic(|| async {
        let (tx, rx) = mpsc::channel::<()>();
        let out = timeout(
            Duration::from_millis(10),
            scope(|s| async move {
                s.spawn_blocking(move || {
                    let _ = rx.recv_timeout(Duration::from_millis(300));
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
    sim(|| async {
        scope(|_| async {
            let out = scope(|s| async move {
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

#[test]
fn a_timeout_in_a_parallel_child_fires_though_the_deadline_around_was_moved() {
    sim(|| async {
        let d = Deadline::after(S);
        let d2 = d.clone();
        let out = d
            .timeout(scope(|s| async move {
                let t = s.spawn_parallel(async { timeout(2 * S, pending::<()>()).await.is_err() });
                yield_now().await;
                d2.set(None).unwrap();
                t.await
            }))
            .await;
        assert_eq!(out, Ok(true));
    });
}

#[test]
fn a_drop_that_runs_a_runtime_in_a_region_that_is_wound_down_is_no_hang() {
    sim(|| async {
        let out = timeout(
            S,
            scope(|s| async move {
                let _d = OnDrop(|| {
                    Sim::new(2).run(async {
                        sleep(S).await;
                        scope(|_| async {}).await
                    });
                });
                s.defer(async {});
                pending::<()>().await
            }),
        )
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn the_outer_of_two_timeouts_reports_also_when_the_inner_one_has_to_clean_up() {
    sim(|| async {
        let inner = timeout(
            S,
            scope(|s| async move {
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
    sim(|| async {
        let (tx, rx) = futures::channel::oneshot::channel();
        scope(|a| async move {
            a.spawn(async move {
                let mut t = Box::pin(timeout(
                    2 * S,
                    scope(|s| async move {
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

#[test]
fn a_deadline_that_was_moved_at_the_last_moment_does_not_expire() {
    watched(|| {
        for i in 0..400u64 {
            let deadline = Deadline::after(Duration::from_micros(500));
            let other = deadline.clone();
            let start = Instant::now();
            let helper = thread::spawn(move || {
                let moment = Duration::from_micros(500 + i);
                while start.elapsed() < moment {
                    std::hint::spin_loop()
                }
                other.set(Instant::now() + 3600 * S).is_ok()
            });
            let out = block_on(deadline.timeout(poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if start.elapsed() > Duration::from_millis(2) { Poll::Ready(()) } else { Poll::Pending }
            })));
            let set = helper.join().unwrap();
            assert!(!set || out.is_ok(), "{i}: moved, and yet it expired");
        }
    });
}

#[test]
fn a_sleep_of_no_time_that_has_begun_goes_on_in_a_wind_down() {
    sim(|| async {
        let went_on = AtomicBool::new(false);
        let w = &went_on;
        let out = scope(|s| async move {
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
