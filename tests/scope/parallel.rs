//! Parallel children, and what the scope promises about them.

use std::future::{Future, pending};

use foster::{Deadline, Reason, now, scope, shield, sleep, timeout, try_scope, yield_now};

use crate::harness::{T, ok};
use crate::probes::{Gate, Log, Probe, boom, caught, turns, until};

async fn shielded<F: Future>(future: F) -> F::Output {
    shield(future).await
}

matrix! {
    // C213
    async fn many_jobs_and_parallel_children_all_end_and_are_counted() {
        let sum = scope(async |s| {
            let jobs: Vec<_> = (0..20).map(|n| s.spawn_blocking(move || n)).collect();
            let children: Vec<_> = (0..20)
                .map(|n| {
                    s.spawn_parallel(async move {
                        turns().await;
                        n
                    })
                })
                .collect();
            assert!(s.len() <= 40);
            let mut sum = 0;
            for task in jobs.into_iter().chain(children) {
                sum += task.await;
            }
            until(|| s.is_empty()).await;
            sum
        })
        .await;
        assert_eq!(sum, 2 * 190);
    }

    // S1
    async fn the_scope_waits_for_parallel_children_that_nobody_awaits() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(async |s| {
            for _ in 0..50 {
                s.spawn_parallel(inside.watch(turns()));
            }
        })
        .await;
        assert_eq!(probe.ended(), 50);
        probe.assert_all_gone();
    }

    // S4
    async fn a_timeout_waits_for_the_end_of_the_parallel_children_that_it_cancels() {
        let probe = Probe::new();
        let inside = probe.clone();
        let elapsed = timeout(T, scope(|s| async move {
            for _ in 0..10 {
                s.spawn_parallel(inside.endless());
                s.spawn_parallel(shielded(inside.watch(sleep(2 * T))));
            }
            yield_now().await;
            inside.endless().await
        }))
        .await;
        assert!(elapsed.is_err());
        probe.assert_all_gone();
    }

    // S4
    async fn parallel_children_may_have_scopes_with_finalizers_of_their_own() {
        let (log, begun, deadline) = (Log::new(), Gate::new(), Deadline::never());
        let (inside, due) = (log.clone(), deadline.clone());
        let elapsed = deadline.timeout(scope(|s| async move {
            let (noting, beginning) = (inside.clone(), begun.clone());
            s.defer(async move { inside.note("outer") });
            s.spawn_parallel(scope(|inner| async move {
                inner.defer(async move {
                    sleep(T / 2).await;
                    noting.note("inner");
                });
                beginning.open();
                pending::<()>().await
            }));
            begun.wait().await;
            due.set(now()).unwrap();
            pending::<()>().await
        }))
        .await;
        assert!(elapsed.is_err());
        assert_eq!(log.entries(), ["inner", "outer"]);
    }

    // S6
    async fn a_parallel_child_may_be_cancelled_alone() {
        let probe = Probe::new();
        let (child, cancelled_first) = (probe.endless(), probe.watch(turns()));
        scope(async |s| {
            let task = s.spawn_parallel(child);
            yield_now().await;
            task.cancel();
            assert!(matches!(task.outcome().await.unwrap_err().reason(), Reason::Requested(_)));
            let task = s.spawn_parallel(cancelled_first);
            task.cancel();
            drop(task.outcome().await);
            assert!(!s.stop_token().is_cancelled());
            assert_eq!(s.spawn_parallel(async { 1 }).await, 1);
        })
        .await;
        probe.assert_all_gone();
    }

    // S5
    async fn a_parallel_child_may_spawn_into_its_scope_while_that_joins() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(async |s| {
            let spawner = s.clone();
            s.spawn_parallel(async move {
                turns().await;
                spawner.spawn(inside.watch(turns()));
                spawner.spawn_parallel(inside.watch(turns()));
                spawner.defer(inside.watch(turns()));
            });
        })
        .await;
        assert_eq!(probe.ended(), 3);
        probe.assert_all_gone();
    }

    // S3
    async fn the_first_of_several_panics_is_resumed_once_and_the_runtime_lives_on() {
        let probe = Probe::new();
        let inside = probe.clone();
        let panicked = caught(scope(async |s| {
            for _ in 0..10 {
                s.spawn_parallel(inside.watch(async { boom("child") }));
                s.spawn_blocking(|| boom("child"));
            }
        }))
        .await;
        assert_eq!(panicked, Err("child"));
        probe.assert_all_gone();
        assert_eq!(scope(async |s| { s.spawn_parallel(async { 1 }).await }).await, 1);
    }

    // S2
    async fn an_error_of_a_parallel_child_is_told_to_the_others() {
        let probe = Probe::new();
        let inside = probe.clone();
        let result: Result<(), _> = try_scope(async |s| {
            for _ in 0..10 {
                s.spawn_parallel(ok(inside.endless()));
            }
            s.spawn_parallel(async {
                turns().await;
                Err::<(), _>("failed")
            });
            pending().await
        })
        .await;
        assert_eq!(result, Err("failed"));
        probe.assert_all_gone();
    }

    // A runtime keeps what it has polled to its end for a moment, and drops it then. By that time
    // the child's task may be gone: it was dropped at once here, and after the value has been read
    // below. The object used to be freed with it.
    async fn a_child_that_nobody_reads_may_be_dropped_late_by_its_runtime() {
        scope(async |s| {
            for n in 0..10_000_usize {
                drop(s.spawn_parallel(async move { vec![n; 20] }));
                if n % 100 == 0 {
                    yield_now().await;
                }
            }
        })
        .await;
    }

    async fn a_child_that_has_been_read_may_be_dropped_late_by_its_runtime() {
        scope(async |s| {
            for n in 0..1_000_usize {
                assert_eq!(s.spawn_parallel(async move { vec![n; 20] }).await.len(), 20);
                assert_eq!(s.spawn_blocking(move || vec![n; 30]).await.len(), 30);
            }
        })
        .await;
    }
}
