//! Children on several runtimes in one scope, and runtimes that end or refuse.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use foster::runtime::{Blocking, Clock, Job, RunError, Runtime, Timer};
use foster::runtimes::Tokio;
use foster::{Deadline, Handle, Reason, adopt, gather, now, scope, shield, sleep, timeout, try_scope, yield_now};
use futures::FutureExt;
use futures::task::{FutureObj, Spawn, SpawnError};

use crate::harness::{self, REAL, T, ok};
use crate::probes::{Gate, Log, Probe, boom, caught, turns};

/// The runtimes that serve a scope together, whichever it is polled on.
fn guests() -> [Handle; 3] {
    [harness::tokio_multi(), harness::smol(), harness::basic()]
}

/// Runs `test` on every runtime but sim, which knows nothing of what goes on in others.
fn everywhere<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    for runtime in REAL {
        harness::run(runtime, test);
    }
}

/// A runtime that takes tasks and never runs them, or refuses them.
struct Closed {
    refuses: bool,
    dropped: Arc<AtomicUsize>,
}

impl Closed {
    fn handle(refuses: bool) -> (Handle, Arc<AtomicUsize>) {
        let dropped = Arc::new(AtomicUsize::new(0));
        (Handle::new(Closed { refuses, dropped: dropped.clone() }), dropped)
    }

    fn close<T>(&self, work: T) -> Result<(), SpawnError> {
        drop(work);
        self.dropped.fetch_add(1, Ordering::SeqCst);
        if self.refuses { Err(SpawnError::shutdown()) } else { Ok(()) }
    }
}

impl Spawn for Closed {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.close(future)
    }
}

impl Blocking for Closed {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.close(job)
    }
}

impl Clock for Closed {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        Timer::thread(at.saturating_duration_since(Instant::now()))
    }
}

impl Runtime for Closed {
    fn name(&self) -> &'static str {
        "closed"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        futures::executor::block_on(root);
        Ok(())
    }
}

// C353: two runtimes side by side in one scope
#[test]
fn every_runtime_serves_in_one_scope() {
    let runtimes: [Handle; 5] = [
        crate::harness::tokio_multi(),
        crate::harness::smol(),
        crate::harness::async_std(),
        crate::harness::basic(),
        crate::harness::tokio_multi(),
    ];
    futures::executor::block_on(scope(async |s| {
        let tasks: Vec<_> = runtimes
            .iter()
            .map(|rt| {
                s.spawn_on(
                    async {
                        assert!(timeout(T, pending::<()>()).await.is_err());
                        sleep(T).await;
                        7
                    },
                    rt,
                )
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await, 7);
        }
    }));
}

// S1, S6
#[test]
fn children_on_several_runtimes_are_joined_by_one_scope() {
    everywhere(|| async {
        let probe = Probe::new();
        let inside = probe.clone();
        let runtimes = &guests();
        let sum = scope(async |s| {
            let mut tasks = Vec::new();
            for runtime in runtimes {
                for n in 0..10 {
                    let steps = inside.watch(turns());
                    tasks.push(s.spawn_on(
                        async move {
                            steps.await;
                            sleep(T / 10).await;
                            n
                        },
                        runtime,
                    ));
                    s.spawn_on(inside.watch(turns()), runtime);
                }
            }
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        })
        .await;
        assert_eq!(sum, 3 * 45);
        assert_eq!(probe.ended(), probe.made());
        probe.assert_all_gone();
    });
}

// S2
#[test]
fn an_error_on_one_runtime_ends_the_children_on_the_others() {
    everywhere(|| async {
        let (probe, log) = (Probe::new(), Log::new());
        let (inside, noting) = (probe.clone(), log.clone());
        let runtimes = &guests();
        let result: Result<(), _> = try_scope(async |s| {
            s.defer(ok(async move { noting.note("finalized") }));
            for runtime in runtimes {
                s.spawn_on(ok(inside.endless()), runtime);
                s.spawn(ok(inside.endless()));
            }
            s.spawn_on(
                async {
                    turns().await;
                    Err::<(), _>("failed")
                },
                &runtimes[2],
            );
            pending().await
        })
        .await;
        assert_eq!(result, Err("failed"));
        assert_eq!(log.entries(), ["finalized"]);
        probe.assert_all_gone();
    });
}

// S3
#[test]
fn a_panic_on_one_runtime_ends_the_children_on_the_others_and_is_resumed() {
    everywhere(|| async {
        for which in 0..3 {
            let probe = Probe::new();
            let inside = probe.clone();
            let runtimes = &guests();
            let panicked = caught(scope(async |s| {
                for runtime in runtimes {
                    s.spawn_on(inside.endless(), runtime);
                }
                s.spawn_on(inside.watch(async { boom("child") }), &runtimes[which]);
                inside.endless().await
            }))
            .await;
            assert_eq!(panicked, Err("child"));
            probe.assert_all_gone();
        }
    });
}

// S4
#[test]
fn a_timeout_waits_for_cleanup_on_all_runtimes() {
    everywhere(|| async {
        let probe = Probe::new();
        let inside = probe.clone();
        let runtimes = &guests();
        let deadline = &Deadline::never();
        let elapsed = deadline.timeout(scope(async |s| {
            let begun = runtimes.each_ref().map(|runtime| {
                let (cleanup, gate) = (inside.watch(sleep(T)), Gate::new());
                let begun = gate.wait();
                s.spawn_on(
                    scope(async move |inner| {
                        inner.defer(cleanup);
                        gate.open();
                        shield(sleep(T)).await;
                        pending::<()>().await
                    }),
                    runtime,
                );
                begun
            });
            gather(begun).await;
            deadline.set(now()).unwrap();
            inside.endless().await
        }));
        let elapsed = elapsed.await;
        assert!(elapsed.is_err());
        assert_eq!(probe.ended(), 3);
        probe.assert_all_gone();
    });
}

// S4
#[test]
fn a_drop_passes_the_children_on_all_runtimes_to_the_scope_around() {
    everywhere(|| async {
        let probe = Probe::new();
        let inside = probe.clone();
        let runtimes = &guests();
        scope(async |_| {
            let left = scope(async |s| {
                for runtime in runtimes {
                    s.spawn_on(inside.endless(), runtime);
                    s.spawn_on(inside.watch(turns()), runtime);
                }
                adopt(inside.watch(turns())).await;
                inside.endless().await
            });
            drop(futures::future::select(Box::pin(left), Box::pin(turns())).await);
        })
        .await;
        probe.assert_all_gone();
    });
}

// S5
#[test]
fn children_on_one_runtime_may_spawn_onto_another() {
    everywhere(|| async {
        let probe = Probe::new();
        let inside = probe.clone();
        let runtimes = guests();
        let [first, second, third] = runtimes.clone();
        scope(async |s| {
            let spawner = s.clone();
            s.spawn_on(
                async move {
                    let next = spawner.clone();
                    let last = inside.watch(turns());
                    spawner.spawn_on(
                        inside.watch(async move {
                            drop(next.spawn_on(last, &third));
                        }),
                        &second,
                    );
                },
                &first,
            );
        })
        .await;
        assert_eq!(probe.ended(), 2);
        probe.assert_all_gone();
    });
}

// S13
#[test]
fn a_runtime_that_ends_makes_its_children_cancelled_by_shutdown() {
    everywhere(|| async {
        let probe = Probe::new();
        let inside = probe.clone();
        let outcomes = scope(async |s| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
            let entered = runtime.enter();
            let handle = Handle::from(Tokio::current());
            drop(entered);
            let (begun, never) = (Gate::new(), Gate::new());
            let mut tasks = Vec::new();
            for _ in 0..5 {
                let (began, waiting) = (begun.clone(), never.wait());
                tasks.push(s.spawn_on(
                    inside.watch(async move {
                        began.open();
                        waiting.await;
                    }),
                    &handle,
                ));
            }
            begun.wait().await;
            runtime.shutdown_background();
            let mut outcomes = Vec::new();
            for task in tasks {
                outcomes.push(task.outcome().await);
            }
            // It refuses from here on.
            outcomes.push(s.spawn_on(inside.watch(async {}), &handle).outcome().await);
            assert!(!s.stop_token().is_cancelled());
            outcomes
        })
        .await;
        assert_eq!(outcomes.len(), 6);
        for outcome in outcomes {
            assert_eq!(outcome.unwrap_err().reason(), &Reason::Shutdown);
        }
        probe.assert_all_gone();
    });
}

// S13
#[test]
fn a_runtime_that_ends_while_a_child_cleans_up_hangs_nobody() {
    everywhere(|| async {
        let probe = Probe::new();
        let inside = probe.clone();
        let cancelled = scope(async |s| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
            let entered = runtime.enter();
            let handle = Handle::from(Tokio::current());
            drop(entered);
            let begun = Gate::new();
            let began = begun.clone();
            s.spawn_on(
                shield(inside.watch(async move {
                    began.open();
                    pending::<()>().await
                })),
                &handle,
            );
            begun.wait().await;
            let canceller = s.clone();
            shield(async {
                canceller.cancel("enough");
                yield_now().await;
            })
            .await;
            runtime.shutdown_background();
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        probe.assert_all_gone();
    });
}

// S13
#[test]
fn a_runtime_that_refuses_or_throws_away_makes_its_children_cancelled_by_shutdown() {
    everywhere(|| async {
        for refuses in [false, true] {
            let (closed, dropped) = Closed::handle(refuses);
            let probe = Probe::new();
            let inside = probe.clone();
            let inner = closed.clone();
            let seen = scope(async |s| {
                let task = s.spawn_on(inside.endless(), &closed);
                assert!(task.is_finished());
                let mut seen = vec![task.outcome().await];
                let (one, two) = (inside.endless(), inside.watch(async {}));
                let nested = inner.enter(scope(async |s| {
                    let child = s.spawn_parallel(one).outcome().await;
                    let job = s.spawn_blocking(move || drop(two)).outcome().await;
                    [child, job]
                }));
                seen.extend(nested.await);
                seen
            })
            .await;
            for outcome in seen {
                assert_eq!(outcome.unwrap_err().reason(), &Reason::Shutdown);
            }
            assert_eq!(dropped.load(Ordering::SeqCst), 3);
            assert_eq!(probe.polls(), 0);
            probe.assert_all_gone();
        }
    });
}

// S13
#[test]
fn a_task_that_a_refused_child_was_to_give_its_value_to_panics_cleanly() {
    let (closed, _) = Closed::handle(true);
    let panicked = std::panic::AssertUnwindSafe(scope(async |s| s.spawn_on(async {}, &closed).await));
    let payload = harness::smol().run(panicked.catch_unwind()).unwrap_err();
    assert!(payload.downcast_ref::<String>().unwrap().contains("runtime"));
}
