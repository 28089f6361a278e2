//! Shields: what is inside completes under every cancellation of ours.

use std::future::pending;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use foster::{
    Deadline, Reason, Token, adopt, gather, now, remaining, scope, shield, sleep, timeout, timeout_detach, yield_now,
};
use futures::FutureExt;
use futures::future::{join_all, poll_immediate};

use crate::harness::{T, bare};
use crate::probes::{Gate, Log, Probe, secs, turns};

matrix! {
    // C332
    async fn a_shield_of_the_host_does_not_protect_the_children_of_the_scope_around() {
        let probe = Probe::new();
        let (child, gone) = (probe.endless(), probe.clone());
        let cancelled = scope(async |s| {
            s.spawn(child);
            yield_now().await;
            shield(async {
                s.cancel("enough");
                turns().await;
                assert_eq!(gone.dropped(), 1);
            })
            .await;
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        probe.assert_all_gone();
    }

    async fn what_has_completed_but_is_not_dropped_holds_nothing_up() {
        let late = timeout(T, async {
            let mut shielded = pin!(shield(turns()));
            shielded.as_mut().await;
            let mut adopted = pin!(adopt(turns()));
            adopted.as_mut().await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
    }

    // C067
    async fn a_timed_out_wait_for_a_shielded_child_returns_when_the_child_has_ended() {
        let log = &Log::new();
        let late = timeout(T, async {
            shield(async { sleep(3 * T).await; log.note("the child ended") }).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        log.note("returned");
        assert_eq!(log.entries(), ["the child ended", "returned"]);
    }

    // C082
    async fn a_shielded_child_runs_on_after_elapsed_and_completes() {
        let log = Log::new();
        scope(|_| async {
            let (noting, gate) = (log.clone(), Gate::new());
            let opened = gate.wait();
            let child = shield(async move { opened.await; noting.note("completed") });
            assert!(timeout_detach(Duration::ZERO, child).await.is_err());
            log.note("elapsed");
            gate.open();
        }).await;
        assert_eq!(log.entries(), ["elapsed", "completed"]);
    }

    // C083
    async fn a_shielded_child_without_a_timeout_is_its_value() {
        assert_eq!(Deadline::never().timeout(shield(async { sleep(T).await; 7 })).await, Ok(7));
        assert_eq!(shield(async { 8 }).await, 8);
    }

    // C180
    async fn whoever_shields_a_cancelled_task_sees_that_it_was_cancelled() {
        scope(async |s| {
            let inner = s.spawn(pending::<()>());
            inner.cancel();
            assert!(shield(inner.outcome()).await.is_err());
        }).await;
    }

    // C182
    async fn a_shield_around_a_join_lets_the_children_complete() {
        let log = &Log::new();
        let late = timeout(T, async {
            shield(gather((0..3).map(|_| async { sleep(2 * T).await; log.note("child") }))).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["child"; 3]);
    }

    // C183
    async fn a_join_of_shields_in_a_timeout_lets_them_complete() {
        let log = &Log::new();
        let late = timeout(T, async {
            join_all((0..3).map(|_| shield(async { sleep(2 * T).await; log.note("child") }))).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["child"; 3]);
    }

    // C228
    async fn a_cancelled_body_goes_on_through_suspensions_under_a_shield() {
        let log = Log::new();
        let noting = log.clone();
        let cancelled = scope(async |s| {
            shield(async {
                s.cancel("enough");
                turns().await;
                noting.note("in the shield");
            })
            .await;
            noting.note("up to here");
            yield_now().await;
            noting.note("too far");
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(log.entries(), ["in the shield", "up to here"]);
    }

    // C232
    async fn a_shield_keeps_a_cancel_from_around_out_but_not_one_from_within() {
        let log = Log::new();
        let noting = log.clone();
        let cancelled = scope(async |outer| {
            shield(async {
                outer.cancel("from around");
                let inner = scope(async |inner| {
                    turns().await;
                    assert!(!inner.stop_token().is_cancelled());
                    noting.note("shielded");
                    inner.cancel("from within");
                    yield_now().await;
                    noting.note("too far");
                });
                let reason = inner.outcome().await.unwrap_err();
                assert_eq!(reason.reason(), &Reason::from("from within"));
            })
            .await;
            pending::<()>().await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("from around"));
        assert_eq!(log.entries(), ["shielded"]);
    }

    // C237
    async fn a_shield_that_is_put_up_after_the_cancel_does_not_hold_it() {
        let (log, probe) = (Log::new(), Probe::new());
        let (noting, late) = (log.clone(), probe.endless());
        let cancelled = scope(async |s| {
            shield(async { s.cancel("enough") }).await;
            noting.note("between");
            shield(late).await;
            noting.note("too far");
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(log.entries(), ["between"]);
        assert_eq!(probe.polls(), 0);
        probe.assert_all_gone();
    }

    // S9
    async fn a_loop_of_shields_ends() {
        let log = &Log::new();
        let late: Result<(), _> = timeout(T, async {
            loop {
                shield(async { sleep(T / 4).await; log.note("turn") }).await;
            }
        }).await;
        assert!(late.is_err());
        let turns = log.entries().len();
        sleep(2 * T).await;
        assert_eq!(log.entries().len(), turns);
    }

    // S9
    async fn a_shield_borrows_and_completes_under_every_cancellation() {
        let mut saved = [0; 3];
        let [first, second, third] = &mut saved;
        let late = timeout(T, async {
            shield(async { sleep(2 * T).await; *first = 1 }).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        let outcome = scope(async |s| {
            s.spawn(shield(async { sleep(2 * T).await; *second = 2 }));
            sleep(T / 2).await;
            s.cancel("enough");
            pending::<()>().await
        }).outcome().await;
        assert!(outcome.is_err());
        scope(async |s| {
            let child = s.spawn(async { shield(async { sleep(2 * T).await; *third = 3 }).await; pending::<()>().await });
            sleep(T / 2).await;
            child.cancel();
            assert!(child.outcome().await.is_err());
        }).await;
        assert_eq!(saved, [1, 2, 3]);
    }
}

sim! {
    // S9
    async fn a_shield_ends_in_its_own_time() {
        let start = now();
        let token = Token::new();
        let elapsed = timeout(T, token.run_until_cancelled(async {
            shield(sleep(4 * T)).await;
            pending::<()>().await
        }))
        .await;
        assert!(elapsed.is_err());
        assert_eq!(now() - start, 4 * T);
    }

    // C268, C270
    async fn a_shielded_timeout_ignores_the_deadline_around_and_keeps_its_own() {
        let start = now();
        let mut ended = None;
        let late = timeout(secs(1), async {
            let inner = shield(timeout(secs(3), pending::<()>())).await;
            ended = Some((inner.is_err(), now() - start));
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(ended, Some((true, secs(3))));
        assert_eq!(now(), start + secs(3));
    }

    // C268
    async fn a_shield_over_in_time_changes_nothing() {
        let start = now();
        let late = timeout(secs(2), async {
            shield(sleep(secs(1))).await;
            assert_eq!(remaining(), Some(secs(1)));
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(now(), start + secs(2));
    }
}

#[test]
fn a_shield_that_has_moved_out_of_a_region_does_not_hold_it_up() {
    bare(|| async {
        let shielded = Mutex::new(Box::pin(shield(pending::<()>())));
        let token = Token::new();
        let mut inside = pin!(token.run_until_cancelled(async {
            assert!(shielded.lock().unwrap().as_mut().now_or_never().is_none());
            pending::<()>().await
        }));
        assert!(poll_immediate(inside.as_mut()).await.is_none());
        token.cancel("enough");
        assert!(poll_immediate(inside.as_mut()).await.is_none(), "the shield holds it up");
        // No region encloses this.
        assert!(shielded.lock().unwrap().as_mut().now_or_never().is_none());
        assert!(inside.await.is_err());
    });
}
