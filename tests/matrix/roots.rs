//! Roots: `Handle::run`, `try_run` and `enter`, and what they wait for.

use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use foster::{Handle, Token, adopt, deadline, now, scope, shield, sleep, timeout, timeout_detach, yield_now};
use futures::FutureExt;
use futures::future::poll_immediate;

use crate::harness::T;
use crate::probes::{Log, message, poll_by_hand, secs};

/// Starts `future` and drops it, so that whatever is around has to finish it.
async fn start_and_drop(future: impl Future<Output = ()> + Send + 'static) {
    assert!(poll_immediate(Box::pin(adopt(future))).await.is_none());
}

roots! {
    fn a_root_is_its_value(rt) {
        let local = String::from("borrowed");
        let not_send = std::rc::Rc::new(7);
        assert_eq!(rt.run(async { local.len() + *not_send }), 15);
        assert_eq!(rt.try_run(async { yield_now().await; 7 }), Ok(7));
    }

    fn a_roots_panic_is_the_callers(rt) {
        let panicked = catch_unwind(AssertUnwindSafe(|| rt.run(async {
            yield_now().await;
            panic!("in the root");
        })));
        assert_eq!(message(panicked.unwrap_err()), "in the root");
        // And the runtime goes on.
        assert_eq!(rt.run(async { sleep(T).await; 7 }), 7);
    }

    // S4
    fn a_root_waits_for_what_it_adopted(rt) {
        let log = Log::new();
        let noting = log.clone();
        let value = rt.run(async {
            start_and_drop(async move { sleep(2 * T).await; noting.note("saved") }).await;
            log.note("the root is over");
            7
        });
        assert_eq!(value, 7);
        assert_eq!(log.entries(), ["the root is over", "saved"]);
    }

    // S4
    fn a_root_drops_what_it_adopted_after_its_grace(rt) {
        for grace in [Duration::ZERO, T] {
            let log = Log::new();
            let (noting, over) = (log.clone(), log.on_drop("dropped"));
            rt.clone().with_grace(grace).run(async {
                start_and_drop(async move {
                    let _over = over;
                    sleep(10_000 * T).await;
                    noting.note("saved");
                }).await;
            });
            assert_eq!(log.entries(), ["dropped"], "{grace:?}");
        }
    }

    // S4
    fn a_grace_without_end_waits_for_as_long_as_it_takes(rt) {
        let log = Log::new();
        let noting = log.clone();
        rt.with_grace(Duration::MAX).run(async {
            start_and_drop(async move { sleep(5 * T).await; noting.note("saved") }).await;
        });
        assert_eq!(log.entries(), ["saved"]);
    }

    // S1, S4
    fn a_root_waits_for_the_parallel_orphans_of_a_dropped_scope(rt) {
        let log = Log::new();
        rt.run(async {
            let noting = log.clone();
            let mut inner = Box::pin(scope(|s| async move {
                s.spawn_parallel(async move {
                    let _over = noting.on_drop("over");
                    shield(async { noting.note("started"); sleep(2 * T).await; noting.note("saved") }).await;
                    pending::<()>().await
                });
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
            while !log.has("started") {
                sleep(T / 10).await;
            }
            drop(inner);
            log.note("the root is over");
        });
        assert_eq!(log.entries(), ["started", "the root is over", "saved", "over"]);
    }

    // S4
    fn a_root_waits_for_a_detached_timeout(rt) {
        let log = Log::new();
        rt.run(async {
            let noting = log.clone();
            let child = shield(async move { sleep(2 * T).await; noting.note("completed") });
            assert!(timeout_detach(Duration::ZERO, child).await.is_err());
        });
        assert_eq!(log.entries(), ["completed"]);
    }

    // S4: whoever enters without blocking has the same root
    fn entering_is_running_without_blocking(rt) {
        let log = Log::new();
        let noting = log.clone();
        let inner = rt.clone();
        let value = rt.run(async {
            let value = inner.enter(async {
                start_and_drop(async move { sleep(T).await; noting.note("saved") }).await;
                7
            }).await;
            log.note("entered");
            value
        });
        assert_eq!(value, 7);
        assert_eq!(log.entries(), ["saved", "entered"]);
    }

    fn a_root_is_no_region_and_has_no_deadline(rt) {
        rt.run(async {
            assert_eq!(deadline(), None);
            assert!(Token::current().is_none_or(|token| !token.is_cancelled()));
            let before = now();
            sleep(T).await;
            assert!(now() >= before + T);
        });
        assert_eq!(deadline(), None);
        assert!(Token::current().is_none());
    }

    // S13
    fn a_scope_on_a_runtime_is_over_when_the_root_is_dropped(rt) {
        let log = Log::new();
        let noting = log.clone();
        let mut entered = Box::pin(rt.enter(scope(|s| async move {
            s.spawn(async move {
                let _over = noting.on_drop("child over");
                pending::<()>().await
            });
            pending::<()>().await
        })));
        assert!(poll_by_hand(&mut entered).is_pending());
        drop(entered);
        assert_eq!(log.entries(), ["child over"]);
    }

    fn a_runtime_runs_one_root_after_another(rt) {
        for n in 0..10 {
            let value = rt.run(scope(|s| async move {
                let (a, b) = (s.spawn(async move { n }), s.spawn_parallel(async move { n }));
                a.await + b.await
            }));
            assert_eq!(value, 2 * n);
        }
    }

    fn an_ambient_is_left_as_it_was_by_a_panic(rt) {
        rt.run(async {
            let panicked = AssertUnwindSafe(timeout(1000 * T, async {
                drop(timeout(T, async { panic!("deep inside") }).await);
            })).catch_unwind().await;
            assert!(panicked.is_err());
            assert_eq!(deadline(), None);
        });
        assert!(Token::current().is_none());
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
    futures::executor::block_on(scope(|s| async move {
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

#[test]
fn a_roots_grace_is_ten_seconds_and_counts_from_its_end() {
    let sim = foster::runtimes::Sim::default();
    sim.run(async {
        sleep(secs(5)).await;
        start_and_drop(pending()).await;
    });
    assert_eq!(sim.elapsed(), secs(5) + Handle::DEFAULT_GRACE);
    assert_eq!(Handle::DEFAULT_GRACE, secs(10));
}

#[test]
fn a_deadlocked_root_is_an_error_and_a_panic_of_run() {
    let error = crate::harness::sim().try_run(pending::<()>()).unwrap_err();
    let panicked = catch_unwind(AssertUnwindSafe(|| crate::harness::sim().run(pending::<()>())));
    assert_eq!(message(panicked.unwrap_err()), error.to_string());
}

#[test]
fn a_simulation_that_runs_already_says_so() {
    let sim = foster::runtimes::Sim::default();
    sim.run(async {
        let error = sim.try_run(async {}).unwrap_err();
        assert!(error.to_string().contains("running already"), "{error}");
    });
}
