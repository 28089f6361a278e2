//! Blocking jobs of a scope.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use foster::{scope, sleep};

use crate::harness::{self, REAL, T};
use crate::probes::{Gate, boom, caught, until};

matrix! {
    // C213
    async fn a_job_gives_its_value_its_error_or_its_panic_and_runs_once() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&runs);
        let (value, error) = scope(async |s| {
            let value = s.spawn_blocking(move || {
                counting.fetch_add(1, Ordering::SeqCst);
                1
            });
            (value.await, s.spawn_blocking(|| Err::<(), _>("failed")).await)
        })
        .await;
        assert_eq!((value, error), (1, Err("failed")));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let panicked = caught(scope(async |s| { s.spawn_blocking(|| boom("job")).await }));
        assert_eq!(panicked.await, Err::<(), _>("job"));
    }
}

// C240; under sim a job is a task, and would hold up the whole simulation.
#[test]
fn a_cancel_waits_for_a_job_that_cannot_be_dropped_and_runs_it_once() {
    crate::harness::each(&crate::harness::REAL, |runtime| {
        let runs = Arc::new(AtomicUsize::new(0));
        let (started, counting) = (Gate::new(), runs.clone());
        let (release, blocked) = mpsc::channel();
        let over = Gate::new();
        let (in_job, in_scope) = (started.clone(), over.clone());
        runtime.run(scope(async |outer| {
            let ended = in_scope.clone();
            outer.spawn(async move {
                let cancelled = scope(async |s| {
                    s.spawn_blocking(move || {
                        counting.fetch_add(1, Ordering::SeqCst);
                        in_job.open();
                        blocked.recv().unwrap();
                    });
                    started.wait().await;
                    s.cancel("once");
                    s.cancel("twice");
                    pending::<()>().await
                });
                assert!(cancelled.outcome().await.is_err());
                ended.open();
            });
            sleep(2 * T).await;
            assert!(!in_scope.is_open());
            release.send(()).unwrap();
            until(|| in_scope.is_open()).await;
        }));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

// C213; under sim a job is a task, and would hold up the whole simulation.
#[test]
fn ten_jobs_run_in_parallel() {
    harness::each(&REAL, |runtime| {
        let all = Arc::new(Barrier::new(10));
        runtime.run(scope(async |s| {
            for _ in 0..10 {
                let all = Arc::clone(&all);
                s.spawn_blocking(move || all.wait().is_leader());
            }
        }));
    });
}
