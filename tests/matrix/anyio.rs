//! The rows that users of anyio rely on.

use std::future::pending;
use std::sync::Arc;
use std::thread;

use foster::{Reason, Token, deadline, remaining, scope, shield, timeout, try_scope, yield_now};

use crate::harness::{self, T, ok};
use crate::probes::{Gate, Log, Probe, turns, until};

matrix! {
    // C322
    async fn a_failing_child_cancels_its_host() {
        let probe = Probe::new();
        let host = probe.endless();
        let result = try_scope(|s| async move {
            s.spawn_parallel(async {
                yield_now().await;
                Err::<(), _>("failed")
            });
            host.await;
            Ok(())
        })
        .await;
        assert_eq!(result, Err("failed"));
        probe.assert_all_gone();
    }

    // C322
    async fn a_failing_host_cancels_its_children() {
        let probe = Probe::new();
        let (child, parallel) = (probe.endless(), probe.endless());
        let result = try_scope(|s| async move {
            s.spawn(ok(child));
            s.spawn_parallel(ok(parallel));
            turns().await;
            Err::<(), _>("failed")
        })
        .await;
        assert_eq!(result, Err("failed"));
        probe.assert_all_gone();
    }

    // C323
    async fn a_scope_may_be_cancelled_from_another_task() {
        let probe = Probe::new();
        let body = probe.endless();
        let cancelled = scope(|s| async move {
            let canceller = s.clone();
            s.spawn_parallel(async move {
                turns().await;
                canceller.cancel("from another task");
            });
            body.await;
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("from another task"));
        probe.assert_all_gone();
    }

    // C325
    async fn a_cancel_within_a_timeout_is_not_taken_for_its_end() {
        let outcome = timeout(1_000 * T, scope(|s| async move {
            s.cancel("enough");
            pending::<()>().await
        })
        .outcome())
        .await;
        assert_eq!(outcome.expect("not elapsed").unwrap_err().reason(), &Reason::from("enough"));
    }

    // C327
    async fn the_first_reason_wins_and_the_child_sees_it() {
        let seen = Log::new();
        let (noting, begun) = (seen.clone(), Gate::new());
        let cancelled = scope(|s| async move {
            let began = begun.clone();
            s.spawn(async move {
                let token = Token::current().unwrap();
                shield(async {
                    began.open();
                    assert_eq!(token.cancelled().await, Reason::from("first"));
                })
                .await;
                noting.note("seen");
            });
            begun.wait().await;
            s.cancel("first");
            s.cancel("second");
            pending::<()>().await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("first"));
        assert_eq!(seen.entries(), ["seen"]);
    }

    // C327
    async fn what_a_timeout_ends_sees_that_it_was_the_deadline() {
        let mut seen = None;
        let out = &mut seen;
        let elapsed = timeout(T, async {
            let token = Token::current().unwrap();
            *out = Some(shield(token.cancelled()).await);
            pending::<()>().await
        })
        .await;
        assert!(elapsed.is_err());
        assert_eq!(seen, Some(Reason::Deadline));
    }

    // C328
    async fn the_cause_is_that_of_the_outermost_cancelled_scope() {
        let mut seen = None;
        let out = &mut seen;
        let cancelled = scope(|outer| async move {
            scope(|inner| async move {
                let token = inner.stop_token();
                shield(async {
                    outer.cancel("outer");
                    yield_now().await;
                    *out = Some(token.cancelled().await);
                    inner.cancel("inner");
                })
                .await;
                pending::<()>().await
            })
            .await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("outer"));
        assert_eq!(seen, Some(Reason::from("outer")));
    }

    // C328
    async fn under_a_shield_the_cause_is_that_of_the_scope_within() {
        let cancelled = scope(|outer| async move {
            shield(async {
                outer.cancel("outer");
                let inner = scope(|inner| async move {
                    turns().await;
                    inner.cancel("inner");
                    pending::<()>().await
                });
                assert_eq!(inner.outcome().await.unwrap_err().reason(), &Reason::from("inner"));
            })
            .await;
            pending::<()>().await
        })
        .outcome()
        .await;
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("outer"));
    }

    // C330
    async fn a_deadline_ends_at_a_shield() {
        timeout(1_000 * T, async {
            assert!(deadline().is_some() && remaining().is_some());
            shield(async {
                assert_eq!(deadline(), None);
                timeout(2_000 * T, async { assert!(remaining().unwrap() > 1_000 * T) }).await.unwrap();
            })
            .await;
            scope(|s| async move {
                s.spawn(async { assert!(deadline().is_some()) });
                s.spawn_parallel(async { assert!(deadline().is_some()) });
                s.defer(async { assert_eq!(deadline(), None) });
            })
            .await;
        })
        .await
        .unwrap();
    }

    // C332
    async fn a_shield_of_the_host_does_not_protect_the_children_of_the_scope_around() {
        let probe = Probe::new();
        let (child, gone) = (probe.endless(), probe.clone());
        let cancelled = scope(|s| async move {
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

    // C333
    async fn a_task_gives_the_value_or_says_who_failed_and_the_scope_has_the_error() {
        let errors = try_scope(|s| async move {
            let fine = s.spawn(async { Ok(1) });
            let failing = s.named("failing").spawn(async { Err::<(), _>("failed") });
            assert_eq!(fine.await, 1);
            let cancelled = failing.outcome().await.unwrap_err();
            assert_eq!(cancelled.reason(), &Reason::Failed("failing".into()));
            Ok(())
        })
        .keep_going()
        .await
        .unwrap_err();
        assert_eq!(errors.into_vec(), ["failed"]);
    }
}

// C323; sim, which knows nothing of threads, would call the wait for one a deadlock.
#[test]
fn a_scope_may_be_cancelled_from_another_thread() {
    harness::each(&harness::REAL, |runtime| {
        let probe = Probe::new();
        let body = probe.endless();
        let cancelled = scope(|s| async move {
            thread::spawn(move || s.cancel("from another thread"));
            body.await;
        });
        let cancelled = runtime.run(cancelled.outcome()).unwrap_err();
        assert_eq!(cancelled.reason(), &Reason::from("from another thread"));
        probe.assert_all_gone();
    });
}

// C323
#[test]
fn a_task_may_be_cancelled_from_another_thread() {
    harness::each(&harness::REAL, |runtime| {
        let probe = Probe::new();
        let (child, parallel) = (probe.endless(), probe.endless());
        runtime.run(scope(|s| async move {
            for task in [s.spawn(child), s.spawn_parallel(parallel)] {
                yield_now().await;
                let task = Arc::new(task);
                let canceller = Arc::clone(&task);
                let thread = thread::spawn(move || canceller.cancel());
                until(|| task.is_finished()).await;
                thread.join().unwrap();
                let task = Arc::into_inner(task).unwrap();
                assert!(matches!(task.outcome().await.unwrap_err().reason(), Reason::Requested(_)));
            }
        }));
        probe.assert_all_gone();
    });
}
