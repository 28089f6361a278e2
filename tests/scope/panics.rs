//! A panic is resumed in the caller, after everything else has ended, and wins over errors.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread;

use foster::runtimes::Basic;
use foster::scope::Notice;
use foster::testing::CountingWaker;
use foster::{Handle, Reason, Task, TryScope, scope, shield, sleep, try_scope, yield_now};
use futures::executor::block_on;
use futures::future::{BoxFuture, poll_immediate};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, poll};

use crate::harness::{self, T, bare, ok, run, watched};
use crate::probes::{Late, Log, Probe, boom, caught, turns};

struct BoomOnDrop(&'static str);

impl Drop for BoomOnDrop {
    fn drop(&mut self) {
        boom(self.0);
    }
}

// S3, where only the root is around. A parallel child outlived `run`.
fn a_panic_in_hand_at_the_root(rt: Handle) {
    let log = Log::new();
    let over = log.on_drop("child over");
    let run = std::panic::AssertUnwindSafe(|| {
        rt.run(async {
            let panicked = scope(async |s| {
                s.spawn_parallel(async move {
                    let _over = over;
                    shield(sleep(T)).await;
                });
                turns().await;
                s.spawn(async { boom("in hand") });
                pending::<()>().await
            });
            let mut panicked = Box::pin(panicked);
            for _ in 0..20 {
                assert!(poll_immediate(&mut panicked).await.is_none());
                yield_now().await;
            }
            drop(panicked);
            pending::<()>().await
        })
    });
    let payload = std::panic::catch_unwind(run).unwrap_err();
    log.note("run over");
    assert_eq!(crate::probes::what(&*payload), "in hand");
    assert_eq!(log.entries(), ["child over", "run over"]);
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("bomb")
        }
    }
}

matrix! {
    // C342
    async fn a_panic_in_a_drop_does_not_keep_the_others_from_being_dropped() {
        let probe = Probe::new();
        let inside = probe.clone();
        let panicked = caught(scope(async |s| {
            s.spawn(inside.endless());
            for what in ["oldest", "middle", "newest"] {
                let bomb = BoomOnDrop(what);
                s.spawn(inside.watch(async move {
                    let _bomb = bomb;
                    pending::<()>().await
                }));
            }
            s.spawn(inside.endless());
            s.defer(inside.watch(turns()));
            yield_now().await;
            s.cancel("enough");
            pending::<()>().await
        }))
        .await;
        assert_eq!(panicked, Err("newest"));
        assert_eq!(probe.ended(), 1, "the finalizer ran");
        probe.assert_all_gone();
    }

    // C342
    async fn a_panic_in_a_drop_by_foreign_code_does_not_keep_the_others_from_being_dropped() {
        let probe = Probe::new();
        let inside = probe.clone();
        let mut future = Box::pin(scope(async |s| {
            for what in ["older", "newer"] {
                let bomb = BoomOnDrop(what);
                s.spawn(inside.watch(async move {
                    let _bomb = bomb;
                    pending::<()>().await
                }));
            }
            s.spawn_parallel(inside.endless());
            inside.endless().await
        }));
        let enclosing = scope(async |_| {
            assert!(poll!(future.as_mut()).is_pending());
            assert!(poll!(future.as_mut()).is_pending());
            drop(future);
            pending::<()>().await
        });
        assert_eq!(caught(enclosing).await, Err("newer"));
        crate::probes::until(|| probe.dropped() == probe.made()).await;
        probe.assert_all_gone();
    }

    // C342
    async fn a_payload_that_panics_when_it_is_dropped_does_no_more_harm() {
        let probe = Probe::new();
        let inside = probe.clone();
        let panicked = caught(scope(async |s| {
            s.defer(inside.watch(async { std::panic::resume_unwind(Box::new(BoomOnDrop("a payload"))) }));
            s.spawn(inside.watch(async { boom("first") }));
            inside.endless().await
        }))
        .await;
        assert_eq!(panicked, Err("first"));
        probe.assert_all_gone();
    }

    // C343
    async fn the_children_are_gone_before_a_panic_of_the_body_goes_on() {
        let probe = Probe::new();
        let inside = probe.clone();
        let panicked = caught(scope(async |s| {
            s.spawn(inside.endless());
            s.spawn_parallel(inside.endless());
            s.defer(inside.watch(turns()));
            turns().await;
            boom("body")
        }))
        .await;
        assert_eq!(panicked, Err::<(), _>("body"));
        assert_eq!(probe.ended(), 1, "the finalizer ran");
        probe.assert_all_gone();
    }

    // C343
    async fn a_child_that_panics_is_a_failure_for_its_siblings_and_its_task() {
        for parallel in [false, true] {
            let probe = Probe::new();
            let inside = probe.clone();
            let mut task = None;
            let out = &mut task;
            let panicked = caught(scope(async |s| {
                s.spawn(inside.endless());
                s.spawn_parallel(inside.endless());
                let panicking = async {
                    yield_now().await;
                    boom("child")
                };
                *out = Some(if parallel { s.spawn_parallel(panicking) } else { s.spawn(panicking) });
                inside.endless().await
            }))
            .await;
            assert_eq!(panicked, Err("child"));
            probe.assert_all_gone();
            let cancelled = task.unwrap().outcome().await.map(|(): ()| ()).unwrap_err();
            assert!(matches!(cancelled.reason(), Reason::Failed(_)), "{cancelled:?}");
        }
    }

    // C343
    async fn a_panic_wins_over_an_error() {
        let late = Log::new();
        let noting = late.clone();
        let panicked = caught(
            try_scope(async |s| {
                s.defer(async {
                    yield_now().await;
                    boom("finalizer")
                });
                Err::<(), _>("body")
            })
            .observe(move |event: Notice<&'static str>| {
                if let Notice::LateError { error, .. } = event {
                    noting.note(error);
                }
            }),
        )
        .await;
        assert_eq!(panicked, Err("finalizer"));
        assert_eq!(late.entries(), ["body"]);
    }

    // S3. Likewise for a panic.
    async fn a_panic_of_a_cleanup_is_resumed_whoever_cancels_in_the_same_poll() {
        let outcome = scope(async |outer| {
            let inner = scope(async |inner| {
                inner.defer(async { boom("not closed") });
                outer.cancel("enough");
            });
            inner.await
        });
        assert_eq!(caught(outcome.outcome()).await.err(), Some("not closed"));
    }

    // S3. It panicked in `drop`, in the middle of what the foreign combinator was dropping, which
    // leaked the rest.
    async fn a_scope_dropped_with_a_panic_in_hand_passes_it_to_the_enclosing_scope() {
        let log = &Log::new();
        let enclosing = scope(async |_| {
            let panicked = scope(async |s| {
                s.spawn(async { boom("in hand") });
                shield(pending::<()>()).await
            });
            let others = ["one", "two"].map(|name| async move {
                let _over = log.on_drop(name);
                pending().await
            });
            let mut members: FuturesUnordered<BoxFuture<'_, ()>> = others.map(|other| other.boxed()).into_iter().collect();
            members.push(panicked.boxed());
            assert!(poll_immediate(members.next()).await.is_none());
            drop(members);
            log.note("went on");
            pending::<()>().await
        });
        assert_eq!(caught(enclosing).await.err(), Some("in hand"));
        let entries = log.entries();
        assert!(log.has("one") && log.has("two"), "{entries:?}");
        assert_eq!(entries.last().unwrap(), "went on");
    }

    // S3, S8. A panic cancels also where an error does not.
    async fn a_panic_cancels_a_scope_that_keeps_going() {
        let going = try_scope(async |s: TryScope<'_, ()>| {
            s.spawn(pending::<Result<(), ()>>());
            drop::<Task<()>>(s.spawn(async { boom("a child") }));
            Ok(())
        });
        assert_eq!(caught(going.keep_going()).await.err(), Some("a child"));
    }

    // C020
    async fn a_panic_of_the_bodys_cleanup_wins_and_the_childs_error_is_not_lost() {
        struct Cleanup;
        impl Drop for Cleanup {
            fn drop(&mut self) {
                boom("cleanup");
            }
        }
        let late = Late::default();
        let panicked = caught(
            try_scope(async |s| {
                s.spawn(async {
                    yield_now().await;
                    Err::<(), _>("failed")
                });
                let _cleanup = Cleanup;
                pending::<Result<(), _>>().await
            })
            .observe(late.observer()),
        )
        .await;
        assert_eq!(panicked, Err("cleanup"));
        assert_eq!(late.errors(), ["failed"]);
    }

    // C022
    async fn a_childs_panic_wins_and_the_finalizers_error_is_not_lost() {
        let late = Late::default();
        let panicked = caught(
            try_scope(async |s| {
                s.defer(async {
                    yield_now().await;
                    Err("failed")
                });
                s.spawn(ok(async { boom("child") }));
                pending::<Result<(), _>>().await
            })
            .observe(late.observer()),
        )
        .await;
        assert_eq!(panicked, Err("child"));
        assert_eq!(late.errors(), ["failed"]);
    }
}

#[test]
fn a_panic_in_hand_at_the_root_is_resumed_by_run_when_everything_has_ended() {
    crate::harness::each(&crate::harness::ALL, a_panic_in_hand_at_the_root);
}

// S3
#[test]
fn without_any_enclosing_scope_a_panic_in_hand_is_resumed_from_drop() {
    crate::harness::watched(|| {
        let panicked = scope(async |s| {
            s.spawn(shield(pending::<()>()));
            s.spawn(async { boom("in hand") });
            pending::<()>().await
        });
        let mut panicked = Box::pin(panicked);
        assert!(CountingWaker::new().poll(panicked.as_mut()).is_pending());
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(panicked))).unwrap_err();
        assert_eq!(crate::probes::what(&*payload), "in hand");
    });
}

#[test]
fn a_task_left_by_a_dropped_scope_hears_of_its_childs_panic() {
    watched(|| {
        let rt = Basic::thread_pool(1).unwrap();
        let (tx, rx) = mpsc::channel::<()>();
        let (tx2, rx2) = mpsc::channel::<()>();
        let mut task = None;
        {
            let t = &mut task;
            let rt = rt.clone();
            let mut f = Box::pin(scope(async |s| {
                *t = Some(s.spawn_on(
                    async move {
                        tx2.send(()).unwrap();
                        rx.recv().unwrap();
                        panic!("boo")
                    },
                    &rt,
                ));
                pending::<()>().await
            }));
            assert!(f.as_mut().now_or_never().is_none());
            rx2.recv().unwrap();
        }
        tx.send(()).unwrap();
        let out: Result<(), foster::TaskError> = block_on(task.unwrap().outcome());
        assert!(out.is_err());
    });
}

#[test]
fn a_value_that_panics_when_dropped_on_a_runtime_is_no_hang() {
    run(harness::basic, || async {
        let out = std::panic::AssertUnwindSafe(scope(async |s| {
            s.spawn_parallel(async { Bomb });
        }))
        .catch_unwind()
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_value_that_panics_when_dropped_leaves_no_sibling_running() {
    bare(|| async {
        let mut over = false;
        let o = &mut over;
        let mut f = Box::pin(
            std::panic::AssertUnwindSafe(scope(async |s| {
                s.defer(async move {
                    yield_now().await;
                    *o = true
                });
                s.spawn(async { Bomb });
            }))
            .catch_unwind(),
        );
        let out = f.as_mut().await;
        assert!(out.is_err());
        drop(f);
        assert!(over);
    });
}

#[test]
fn a_late_error_beside_a_panic_is_told_to_the_observer() {
    bare(|| async {
        let seen = Arc::new(AtomicBool::new(false));
        let seen2 = seen.clone();
        let run = try_scope(async |s| {
            s.defer(async { panic!("boo") });
            Err::<(), _>(1)
        })
        .observe(move |event| {
            if let Notice::LateError { error: 1, .. } = event {
                seen2.store(true, Ordering::SeqCst)
            }
        });
        assert!(std::panic::AssertUnwindSafe(run).catch_unwind().await.is_err());
        assert!(seen.load(Ordering::SeqCst));
    });
}

/// A payload that panics whenever it is dropped and no panic is under way.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        if !thread::panicking() {
            std::panic::resume_unwind(Box::new(Payload))
        }
    }
}

#[test]
fn payloads_that_panic_when_dropped_are_no_abort() {
    run(harness::basic, || async {
        let out = std::panic::AssertUnwindSafe(scope(async |s| {
            for _ in 0..3 {
                s.defer(async { std::panic::panic_any(Payload) });
                s.spawn(async { std::panic::panic_any(Payload) });
                s.spawn_parallel(async { std::panic::panic_any(Payload) });
            }
        }))
        .catch_unwind()
        .await;
        std::mem::forget(out.unwrap_err());
    });
}

// The second panic of a child left the poll, and its siblings were not dropped.
#[test]
fn a_child_that_panics_in_its_poll_and_in_its_destructor_is_one_failure() {
    struct Twice;
    impl Future for Twice {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            std::panic::panic_any("in the poll");
        }
    }
    impl Drop for Twice {
        fn drop(&mut self) {
            std::panic::panic_any(Payload);
        }
    }
    watched(|| {
        let probe = Probe::new();
        let panicked = caught(scope(async |s| {
            s.defer(probe.watch(async {}));
            s.spawn(Twice);
            probe.endless().await
        }));
        assert_eq!(block_on(panicked), Err("in the poll"));
        probe.assert_all_gone();
    });
}

/// The children are dropped, although there is no future of a scope yet.
#[test]
fn a_closure_that_panics_instead_of_making_the_body_leaves_none_of_its_children() {
    fn no_body(s: foster::Scope<'_>, kept: &Arc<()>) -> std::future::Ready<()> {
        let child = Arc::clone(kept);
        s.spawn(async move { drop(child) });
        boom("no body")
    }

    let kept = Arc::new(());
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(scope(|s| no_body(s, &kept)))));
    assert!(made.is_err());
    assert_eq!(Arc::strong_count(&kept), 1);
}

/// A body whose destructor panics. Its poll returns at once, or panics, too.
struct BoomingBody {
    poll_booms: bool,
}

impl Future for BoomingBody {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.poll_booms {
            boom("in the poll");
        }
        Poll::Ready(())
    }
}

impl Drop for BoomingBody {
    fn drop(&mut self) {
        boom("in the destructor");
    }
}

/// The siblings ran on, and the scope waited for them for ever.
#[test]
fn a_panic_of_the_bodys_destructor_cancels_the_children() {
    watched(|| {
        for (poll_booms, heard) in [(false, "in the destructor"), (true, "in the poll")] {
            let panicked = caught(scope(move |s| {
                s.spawn(pending::<()>());
                BoomingBody { poll_booms }
            }));
            assert_eq!(block_on(panicked), Err(heard));
        }
    });
}

/// Cancels a child whose destructor panics, before it begins, while it is pending or while it is
/// held. A sibling is pending, which the panic cancels.
async fn boom_by_cancel(begins: bool, held: bool, on: Option<Handle>) -> Result<(), &'static str> {
    caught(scope(async |s| {
        s.spawn(pending::<()>());
        let bomb = BoomOnDrop("by the destructor");
        let child = async move {
            let _bomb = bomb;
            if held {
                shield(turns()).await;
            }
            pending::<()>().await
        };
        let task = match &on {
            Some(rt) => s.spawn_on(child, rt),
            None => s.spawn(child),
        };
        if begins {
            yield_now().await;
        }
        task.cancel();
    }))
    .await
}

/// In a child on the scope's own task the panic was kept, and nobody was cancelled.
#[test]
fn a_destructor_that_panics_because_a_task_was_cancelled_cancels_the_siblings() {
    watched(|| {
        let rt = harness::basic();
        for on in [None, Some(rt.clone())] {
            for (begins, held) in [(false, false), (true, false), (true, true)] {
                let panicked = rt.run(boom_by_cancel(begins, held, on.clone()));
                assert_eq!(panicked, Err("by the destructor"), "{begins} {held} {}", on.is_some());
            }
        }
    });
}
