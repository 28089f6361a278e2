//! `blocking`: one job outside a scope. And the pool for those who have none.

use std::sync::mpsc;
use std::time::Duration;

use foster::testing::Drops;
use foster::{Handle, blocking, scope, timeout, yield_now};
use futures::executor::block_on;
use futures::future::poll_immediate;

use crate::harness::{REAL, T, each, watched};
use crate::probes::{Log, boom, caught};

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

#[test]
fn without_a_runtime_a_job_runs_in_the_pool_of_foster() {
    watched(|| {
        let name = block_on(blocking(|| std::thread::current().name().map(String::from)));
        assert_eq!(name.as_deref(), Some("foster-blocking"));
    });
}

// Each held a thread of a pool of 256, and waited for one that would never be free.
#[test]
fn three_hundred_jobs_may_wait_for_a_job_each_in_the_pool_of_foster() {
    watched(|| {
        let all = async || {
            scope(async |s| {
                let jobs: Vec<_> = (0..300).map(|n| s.spawn_blocking(move || block_on(blocking(move || n)))).collect();
                let mut sum = 0;
                for job in jobs {
                    sum += job.await;
                }
                sum
            })
            .await
        };
        assert_eq!(block_on(all()), 300 * 299 / 2);
        assert_eq!(crate::harness::basic().run(all()), 300 * 299 / 2);
    });
}

/// What a `run` on a thread that must not block says.
fn refused(rt: &Handle) -> String {
    rt.try_run(async {}).expect_err("a `run` inside of `run`, on a thread of the runtime").to_string()
}

roots! {
    // On smol and async-std it blocked the thread that was to run what it waited for.
    fn a_run_inside_of_a_parallel_child_is_refused(rt) {
        let inner = rt.clone();
        let said = rt.run(scope(async |s| {
            s.spawn_parallel(async move {
                let before = refused(&inner);
                yield_now().await;
                assert_eq!(refused(&inner), before);
                before
            }).await
        }));
        assert!(said.contains("await the future, in `enter`"), "{said}");
        // And the runtime goes on.
        assert_eq!(rt.run(scope(async |s| { s.spawn_parallel(async { 7 }).await })), 7);
    }
}

#[test]
fn a_run_inside_of_a_blocking_job_works() {
    each(&REAL, |rt| {
        let inner = rt.clone();
        let job = move || inner.run(scope(async |s| s.spawn_parallel(foster::sleep(T)).await));
        rt.run(blocking(job));
    });
}
