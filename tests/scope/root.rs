//! `blocking`: one job outside a scope. And the pool for those who have none.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::{
    Handle, Inherited, Reason, Task, Token, adopt, blocking, deadline, now, scope, shield, sleep, timeout,
    timeout_detach, yield_now,
};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::poll_immediate;
use futures::task::{FutureObj, Spawn};

use crate::harness::{self, ALL, REAL, T, each, watched};
use crate::probes::{Gate, Log, OnDrop, Probe, boom, dropping, message, poll_by_hand, secs, turns, what, why};
use crate::remote_child::Busy;

static NAME: Inherited<&str> = Inherited::new();

/// What a `run` on a thread that must not block says.
fn refused(rt: &Handle) -> String {
    rt.try_run(async {}).expect_err("a `run` inside of `run`, on a thread of the runtime").to_string()
}

/// Drops a scope that has begun, and keeps the task of its child.
async fn start_and_drop_scope(kept: &Mutex<Option<Task<()>>>) {
    let mut dropped = Box::pin(scope(async |s| {
        *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
        pending::<()>().await
    }));
    assert!(poll_immediate(&mut dropped).await.is_none());
}

/// Starts `future` and drops it, so that whatever is around has to finish it.
async fn start_and_drop(future: impl Future<Output = ()> + Send + 'static) {
    assert!(poll_immediate(Box::pin(adopt(future))).await.is_none());
}

const S: Duration = Duration::from_secs(1);

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

    // It has a context of its own, so the scope around the poll has nothing to do with it.
    fn what_overruns_the_grace_of_a_root_inside_a_poll_is_dropped_with_the_root(rt) {
        let (log, rt) = (Log::new(), rt.with_grace(Duration::ZERO));
        let mut around = Box::pin(scope(async |_| {
            rt.run(async {
                let dropped = log.on_drop("dropped");
                start_and_drop(async move {
                    let _dropped = dropped;
                    pending().await
                })
                .await;
            });
            log.note("the root is over");
            pending::<()>().await
        }));
        assert!(poll_by_hand(&mut around).is_pending());
        assert_eq!(log.entries(), ["dropped", "the root is over"]);
    }

    // The runtime runs them while the thread blocks in the middle of a poll.
    fn what_a_runtime_runs_beside_a_root_finds_nothing_of_what_encloses_the_root(rt) {
        let beside = rt.clone();
        let found = async move {
            rt.run(async move {
                let (tell, told) = oneshot::channel();
                let foreign = async move {
                    let is_busy = Handle::try_current().is_some_and(|rt| rt.name() == "busy");
                    let found = [NAME.get().is_some(), deadline().is_some(), Token::current().is_some(), is_busy];
                    tell.send(found).unwrap();
                };
                beside.spawn_obj(FutureObj::new(Box::new(foreign))).unwrap();
                told.await.unwrap()
            })
        };
        let busy = Handle::new(Busy::default());
        let enclosed = busy.enter(NAME.provide("enclosing", timeout(secs(3600), found)));
        assert_eq!(poll_by_hand(enclosed), Poll::Ready(Ok([false; 4])));
    }

    // Nor has what ends in a root the reason of what drops in the meantime.
    fn a_scope_that_is_dropped_in_a_root_inside_a_drop_has_its_own_reason(rt) {
        let log = Log::new();
        let (runs, noting) = (rt.clone(), log.clone());
        let cancelled = scope(async |s| {
            s.spawn(dropping(OnDrop(move || {
                let reason = runs.run(async {
                    let kept = Mutex::new(None);
                    start_and_drop_scope(&kept).await;
                    why(&kept).await
                });
                noting.note(reason.to_string());
            })));
            yield_now().await;
            s.cancel("enough");
            pending::<()>().await
        });
        let mut cancelled = Box::pin(cancelled.outcome());
        assert!((0..20).any(|_| poll_by_hand(&mut cancelled).is_ready()));
        assert_eq!(log.entries(), [Reason::Dropped.to_string()]);
    }

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

    // S4. A root whose body waits is polled as one that has nothing but its body, which what it
    // adopted is not.
    fn what_a_root_adopted_goes_on_while_the_body_waits_for_it(rt) {
        let gate = Gate::new();
        let opening = gate.clone();
        rt.run(async {
            start_and_drop(async move {
                for _ in 0..20 {
                    yield_now().await;
                }
                opening.open();
            })
            .await;
            gate.wait().await;
        });
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
        let (log, started, saving) = (Log::new(), Gate::new(), Gate::new());
        rt.run(async {
            let (noting, starting, saved) = (log.clone(), started.clone(), saving.clone());
            let mut inner = Box::pin(scope(async |s| {
                s.spawn_parallel(async move {
                    let _over = noting.on_drop("over");
                    shield(async {
                        noting.note("started");
                        starting.open();
                        saved.wait().await;
                        noting.note("saved");
                    }).await;
                    pending::<()>().await
                });
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
            started.wait().await;
            drop(inner);
            log.note("the root is over");
            saving.open();
        });
        assert_eq!(log.entries(), ["started", "the root is over", "saved", "over"]);
    }

    // S4
    fn a_root_waits_for_a_detached_timeout(rt) {
        let log = Log::new();
        rt.run(async {
            let noting = log.clone();
            let (go, gone) = oneshot::channel::<()>();
            let child = shield(async move {
                gone.await.unwrap();
                sleep(T).await;
                noting.note("completed");
            });
            assert!(timeout_detach(Duration::ZERO, child).await.is_err());
            go.send(()).unwrap();
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
        let mut entered = Box::pin(rt.enter(scope(async |s| {
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
            let value = rt.run(scope(async |s| {
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

#[test]
fn a_run_inside_of_a_blocking_job_works() {
    each(&REAL, |rt| {
        let inner = rt.clone();
        let job = move || inner.run(scope(async |s| s.spawn_parallel(foster::sleep(T)).await));
        rt.run(blocking(job));
    });
}

// C215
#[test]
fn a_run_returns_the_value_or_the_error_and_resumes_a_panic() {
    harness::each(&ALL, |runtime| {
        assert_eq!(runtime.run(async { 1 }), 1);
        assert_eq!(runtime.run(async { Err::<(), _>("failed") }), Err("failed"));
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.run(async { boom("root") })));
        assert_eq!(what(&*panicked.map(|(): ()| ()).unwrap_err()), "root");
        assert_eq!(runtime.run(async { 2 }), 2);
    });
}

// C215
#[test]
fn a_run_waits_for_what_was_adopted_and_drops_it_past_its_grace() {
    harness::each(&ALL, |runtime| {
        let probe = Probe::new();
        let left = probe.clone();
        runtime.run(async move {
            assert!(adopt(left.watch(turns())).now_or_never().is_none());
        });
        assert_eq!(probe.ended(), 1);
        probe.assert_all_gone();

        let probe = Probe::new();
        let endless = probe.clone();
        runtime.clone().with_grace(2 * T).run(async move {
            assert!(adopt(endless.endless()).now_or_never().is_none());
        });
        assert_eq!(probe.ended(), 0);
        probe.assert_all_gone();
    });
}

// C215
#[test]
fn a_panic_of_what_was_adopted_is_reported_by_the_run() {
    harness::each(&ALL, |runtime| {
        let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.run(async {
                let adopted = adopt(async {
                    turns().await;
                    boom("adopted")
                });
                assert!(adopted.map(|(): ()| ()).now_or_never().is_none());
            })
        }));
        assert_eq!(what(&*panicked.unwrap_err()), "adopted");
    });
}

// S4
#[test]
fn parallel_children_of_a_scope_that_is_dropped_at_the_root_end_before_the_run_returns() {
    harness::each(&ALL, |runtime| {
        let probe = Probe::new();
        let inside = probe.clone();
        runtime.run(async move {
            let left = scope(async |s| {
                for _ in 0..10 {
                    s.spawn_parallel(inside.endless());
                    s.spawn_parallel(inside.watch(turns()));
                }
                turns().await;
                pending::<()>().await
            });
            drop(futures::future::select(Box::pin(left), Box::pin(turns())).await);
        });
        probe.assert_all_gone();
    });
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

#[test]
fn a_root_whose_body_is_over_is_bounded_by_its_grace_also_when_an_adopted_future_panics() {
    watched(|| {
        let sim = Sim::new(1);
        let rt: Handle = sim.clone().into();
        let out = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rt.with_grace(S).run(async {
                let mut a = Box::pin(adopt(pending::<()>()));
                let mut b = Box::pin(adopt(async {
                    yield_now().await;
                    panic!("boo")
                }));
                assert!(a.as_mut().now_or_never().is_none());
                assert!(b.as_mut().now_or_never().is_none());
            })
        }));
        assert_eq!(out.unwrap_err().downcast_ref::<&str>(), Some(&"boo"));
        assert_eq!(sim.elapsed(), S);
    });
}
