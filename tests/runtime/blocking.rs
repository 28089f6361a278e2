//! `blocking`: one job outside a scope.

use std::sync::mpsc;
use std::time::Duration;

use foster::testing::Drops;
use foster::{blocking, scope, timeout, yield_now};
use futures::future::poll_immediate;

use crate::harness::{REAL, each};
use crate::probes::{Log, boom, caught};

/// A job that tells that it has begun, and then blocks until it is told to end.
fn gated(log: &Log) -> (impl Future<Output = ()> + Send, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (begin, begun) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let log = log.clone();
    let job = blocking(move || {
        begin.send(()).unwrap();
        ended.recv().unwrap();
        log.note("the job has ended");
    });
    (job, begun, end)
}

matrix! {
    async fn a_job_is_its_value_and_may_borrow_nothing() {
        let words = ["a".to_string(), "job".to_string()];
        assert_eq!(blocking(move || words.concat()).await, "ajob");
        assert_eq!(foster::gather((0..20).map(|n| blocking(move || n))).await, Vec::from_iter(0..20));
    }

    // S3
    async fn a_jobs_panic_is_the_callers() {
        assert_eq!(caught(blocking(|| boom("in the job"))).await, Err("in the job"));
        assert_eq!(blocking(|| 7).await, 7);
    }

    async fn a_job_that_was_not_polled_is_dropped_with_its_future() {
        let drops = Drops::new();
        let guard = drops.guard();
        let job = blocking(move || drop(guard));
        assert_eq!(drops.count(), 0);
        drop(job);
        assert_eq!(drops.count(), 1);
    }
}

// S4: it cannot be interrupted, and nothing escapes
#[test]
fn a_cancellation_waits_for_a_job_that_has_begun() {
    each(&REAL, |rt| {
        let log = Log::new();
        let (job, begun, end) = gated(&log);
        rt.run(async {
            let late = timeout(Duration::ZERO, async move {
                let mut job = std::pin::pin!(job);
                assert!(poll_immediate(&mut job).await.is_none());
                begun.recv().unwrap();
                job.await
            });
            scope(async |s| {
                s.spawn(async {
                    drop(late.await);
                    log.note("the timeout is over");
                });
                for _ in 0..10 {
                    yield_now().await;
                }
                assert!(log.entries().is_empty(), "the timeout did not wait");
                end.send(()).unwrap();
            })
            .await;
        });
        assert_eq!(log.entries(), ["the job has ended", "the timeout is over"]);
    });
}

// S4
#[test]
fn a_job_whose_future_is_dropped_is_waited_for_by_the_scope_around() {
    each(&REAL, |rt| {
        let log = Log::new();
        rt.run(async {
            let (job, begun, end) = gated(&log);
            scope(async |_| {
                let mut job = Box::pin(job);
                assert!(poll_immediate(&mut job).await.is_none());
                begun.recv().unwrap();
                drop(job);
                end.send(()).unwrap();
            })
            .await;
            log.note("the scope is over");
        });
        assert_eq!(log.entries(), ["the job has ended", "the scope is over"]);
    });
}
