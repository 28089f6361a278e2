//! Adopted futures: the enclosing scope finishes them, whoever drops them.

use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::{Token, adopt, deadline, gather, scope, sleep, timeout, try_scope, yield_now};
use futures::future::{BoxFuture, join_all, poll_immediate, select};
use futures::{FutureExt, poll};

use crate::harness::{T, bare, ok};
use crate::probes::{Gate, Log, Probe, boom, caught, descend, message, turns};

matrix! {
    // C182
    async fn an_adopted_join_that_is_dropped_lets_the_children_complete() {
        let log = Log::new();
        scope(|_| async {
            let children = (0..3).map(|_| {
                let log = log.clone();
                async move { sleep(T).await; log.note("child") }
            });
            drop(poll_immediate(adopt(join_all(children))).await);
            log.note("dropped");
        }).await;
        assert_eq!(log.entries(), ["dropped", "child", "child", "child"]);
    }

    // C183
    async fn a_dropped_join_of_adopted_futures_lets_them_complete() {
        let log = Log::new();
        scope(|_| async {
            let children = (0..3).map(|_| {
                let log = log.clone();
                adopt(async move { sleep(T).await; log.note("child") })
            });
            drop(poll_immediate(gather(children)).await);
            log.note("dropped");
        }).await;
        assert_eq!(log.entries(), ["dropped", "child", "child", "child"]);
    }

    // S9
    async fn an_adopted_future_survives_a_drop() {
        let log = Log::new();
        scope(|_| async {
            let noting = log.clone();
            let saved = adopt(async move {
                sleep(2 * T).await;
                noting.note("saved");
                7
            });
            tokio::select! {
                // First, since both are due where the thread was held up.
                biased;
                () = sleep(T) => {}
                _ = saved => unreachable!(),
            }
            log.note("dropped");
        }).await;
        log.note("over");
        assert_eq!(log.entries(), ["dropped", "saved", "over"]);
    }

    // S9
    async fn an_adopted_future_that_has_moved_is_finished_by_the_scope_that_it_has_moved_to() {
        let (log, gate) = (Log::new(), Gate::new());
        let (noting, opened) = (log.clone(), gate.clone());
        let mut saved = Box::pin(adopt(async move {
            opened.wait().await;
            noting.note("saved");
        }));
        let saved = scope(|_| async move {
            assert!(poll!(saved.as_mut()).is_pending());
            saved
        }).await;
        log.note("first scope over");
        scope(|_| async move {
            assert!(poll_immediate(saved).await.is_none());
            gate.open();
        }).await;
        log.note("second scope over");
        assert_eq!(log.entries(), ["first scope over", "saved", "second scope over"]);
    }

    // S9
    async fn an_adopted_future_that_is_not_dropped_is_its_value() {
        assert_eq!(adopt(async { sleep(T).await; 7 }).await, 7);
        assert_eq!(scope(|_| async { adopt(async { 8 }).await }).await, 8);
    }

    // S9
    async fn an_adopted_future_that_was_never_polled_is_dropped() {
        let log = Log::new();
        scope(|_| async {
            let noting = log.clone();
            let held = log.on_drop("dropped");
            drop(adopt(async move {
                let _held = held;
                noting.note("ran");
            }));
        }).await;
        assert_eq!(log.entries(), ["dropped"]);
    }

    // S9
    async fn an_adopted_future_survives_a_panic_next_to_it() {
        let log = Log::new();
        let noting = log.clone();
        let panicking = AssertUnwindSafe(scope(async |s| {
            s.spawn(async {
                let saved = adopt(async move { sleep(2 * T).await; noting.note("saved") });
                let panics = async { yield_now().await; panic!("next to it") };
                futures::join!(saved, panics)
            });
            pending::<()>().await
        }));
        assert_eq!(message(panicking.catch_unwind().await.unwrap_err()), "next to it");
        assert_eq!(log.entries(), ["saved"]);
    }

    // S9
    async fn an_adopted_future_survives_an_error_of_its_scope() {
        let log = Log::new();
        let noting = log.clone();
        let failed = try_scope(async |s| {
            s.spawn(ok(async {
                adopt(async move { sleep(2 * T).await; noting.note("saved") }).await;
                pending::<()>().await
            }));
            sleep(T / 2).await;
            Err::<(), _>("failed")
        });
        assert_eq!(failed.await, Err("failed"));
        assert_eq!(log.entries(), ["saved"]);
    }

    // S9
    async fn an_adopted_future_is_finished_under_every_cancellation_of_ours() {
        let log = Log::new();
        let saving = |what: &'static str| {
            let log = log.clone();
            adopt(async move { sleep(2 * T).await; log.note(what) })
        };
        assert!(timeout(T, async { saving("timeout").await; pending::<()>().await }).await.is_err());
        log.place("timeout");
        let outcome = scope(|s| {
            let saved = saving("scope");
            async move {
                s.spawn(async { saved.await; pending::<()>().await });
                sleep(T / 2).await;
                s.cancel("enough");
                pending::<()>().await
            }
        }).outcome().await;
        assert!(outcome.is_err());
        log.place("scope");
        scope(|s| {
            let saved = saving("task");
            async move {
                let child = s.spawn(async { saved.await; pending::<()>().await });
                sleep(T / 2).await;
                child.cancel();
                assert!(child.outcome().await.is_err());
            }
        }).await;
        log.place("task");
    }

    // S9, S10: an adopted future is under no deadline of those that enclose it
    async fn an_adopted_future_sees_no_deadline_before_or_after_it_was_handed_over() {
        let log = Log::new();
        let noting = log.clone();
        let late = timeout(T, scope(async |_| {
            let mut saved = Box::pin(adopt(async move {
                assert_eq!(deadline(), None);
                assert!(timeout(T, pending::<()>()).await.is_err());
                assert_eq!(deadline(), None);
                sleep(2 * T).await;
                noting.note("saved");
            }));
            assert!(poll_immediate(&mut saved).await.is_none());
            drop(saved);
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["saved"]);
    }

    // S9
    async fn a_panic_in_an_adopted_future_is_resumed_by_the_scope_that_finishes_it() {
        let panicking = AssertUnwindSafe(scope(|_| async {
            let mut broken = Box::pin(adopt(async { yield_now().await; panic!("adopted") }));
            assert!(poll_immediate(&mut broken).await.is_none());
            drop(broken);
        }));
        assert_eq!(message(panicking.catch_unwind().await.unwrap_err()), "adopted");
    }

    // S9
    async fn an_adopted_future_survives_a_panic_around_it() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(async |_| {
            let panicked = caught(async {
                let gate = Gate::new();
                let mut adopted = pin!(adopt(inside.watch(turns())));
                assert!(poll!(adopted.as_mut()).is_pending());
                drop(gate);
                boom("around")
            });
            assert_eq!(panicked.await, Err::<(), _>("around"));
        })
        .await;
        assert_eq!(probe.ended(), 1);
        probe.assert_all_gone();
    }

    // S4, S9. Likewise.
    async fn an_adopted_future_that_comes_in_any_round_of_a_poll_is_finished() {
        for depth in 0..8 {
            let log = Log::new();
            let adopting = scope(async |s| {
                let log = log.clone();
                s.spawn(descend(s.clone(), depth, |s| {
                    s.spawn(async move {
                        let commit = adopt(async move {
                            log.note("begun");
                            turns().await;
                            log.note("finished");
                        });
                        select(commit, std::future::ready(())).await;
                        pending::<()>().await
                    });
                }));
                pending::<()>().await
            });
            assert!(timeout(Duration::ZERO, adopting).await.is_err());
            assert_ne!(log.entries(), ["begun"], "after {depth} children");
        }
    }

    // S9
    async fn an_adopted_future_has_a_region_of_its_own_before_and_after_it_is_handed_over() {
        let log = Log::new();
        let noting = log.clone();
        let late = timeout(T, scope(async |_| {
            let mut saved = Box::pin(adopt(async move {
                sleep(2 * T).await;
                assert!(Token::current().is_none_or(|token| !token.is_cancelled()));
                noting.note("saved");
            }));
            assert!(poll_immediate(&mut saved).await.is_none());
            drop(saved);
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["saved"]);
    }
}

#[test]
fn what_the_bodys_drop_adopts_is_finished_first() {
    bare(|| async {
        let ran = Arc::new(AtomicBool::new(false));
        let r = ran.clone();
        scope(|_| {
            let r = r.clone();
            let mut a = Box::pin(adopt(async move {
                yield_now().await;
                yield_now().await;
                r.store(true, Ordering::SeqCst)
            }));
            poll_fn(move |cx| {
                let _ = a.as_mut().poll(cx);
                Poll::Ready(())
            })
        })
        .await;
        assert!(ran.load(Ordering::SeqCst));
    });
}

#[test]
fn an_adopted_future_that_has_moved_out_of_all_scopes_is_finished_by_the_last_one() {
    bare(|| async {
        let (log, gate) = (Log::new(), Gate::new());
        let adopted = {
            let (log, gate) = (log.clone(), gate.clone());
            Mutex::new(Some(Box::pin(adopt(async move {
                gate.wait().await;
                log.note("saved");
            }))))
        };
        let mut last = pin!(scope(async |_| {
            assert!(adopted.lock().unwrap().as_mut().unwrap().now_or_never().is_none());
            yield_now().await;
        }));
        assert!(poll!(last.as_mut()).is_pending());
        let outside = adopted.lock().unwrap().take();
        assert!(poll_immediate(outside.unwrap()).await.is_none());
        gate.open();
        assert_eq!(log.entries(), [""; 0]);
        last.await;
        assert_eq!(log.entries(), ["saved"]);
    });
}

#[test]
fn an_adopted_future_that_panicked_is_not_polled_again() {
    bare(|| async {
        let caught = scope(|_| async {
            let adopted = adopt(async {
                yield_now().await;
                panic!("once")
            });
            std::panic::AssertUnwindSafe(adopted).catch_unwind().await.is_err()
        });
        assert!(caught.await);
    });
}

/// The panic left the scope's poll at once, and neither finalizers nor children had their end.
#[test]
fn an_adopted_future_that_panics_when_it_is_dropped_cancels_the_scope_that_finishes_it() {
    struct Bomb(bool);
    impl std::future::Future for Bomb {
        type Output = ();
        fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
            cx.waker().wake_by_ref();
            if std::mem::replace(&mut self.0, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            boom("in the destructor");
        }
    }
    crate::harness::bare(|| async {
        let log = &Log::new();
        let panicked = caught(scope(async |s| {
            s.defer(async { log.note("finalizer") });
            let mut left = Box::pin(adopt(Bomb(false)));
            assert!(poll_immediate(&mut left).await.is_none());
            drop(left);
            pending::<()>().await
        }));
        assert_eq!(panicked.await, Err("in the destructor"));
        assert_eq!(log.entries(), ["finalizer"]);
    });
}

// S9
#[test]
fn an_adopted_future_that_does_not_start_in_a_cancelled_region_starts_elsewhere() {
    bare(|| async {
        let mut saved = Box::pin(adopt(async { 7 }));
        let here = &mut saved;
        let cancelled = scope(async |s| {
            s.cancel("enough");
            assert_eq!(poll_immediate(here).await, None);
            pending::<()>().await
        });
        assert!(cancelled.outcome().await.is_err());
        assert_eq!(saved.await, 7);
    });
}

// S9. A scope that is woken by the end of the hold on it, on another thread or at once, completes
// if it has nothing left. The future has to be there by then.
#[test]
fn an_adopted_future_that_is_dropped_has_passed_to_its_scope_before_the_hold_ends() {
    struct PollsAtOnce(Mutex<BoxFuture<'static, ()>>);
    impl Wake for PollsAtOnce {
        fn wake(self: Arc<Self>) {
            // A poll that wakes is followed by another one below.
            if let Ok(mut polled) = self.0.try_lock() {
                _ = polled.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self))));
            }
        }
    }
    let log = Log::new();
    let kept = Arc::new(Mutex::new(None));
    let (noting, saving, keeping) = (log.clone(), log.clone(), Arc::clone(&kept));
    let cancelled = async move {
        let cancelled = scope(async |s| {
            s.spawn(async move {
                let mut saved = Box::pin(adopt(async move {
                    yield_now().await;
                    saving.note("saved");
                }));
                assert!(poll_immediate(&mut saved).await.is_none());
                *keeping.lock().unwrap() = Some(saved);
                pending::<()>().await
            });
            turns().await;
            s.cancel("enough");
            pending::<()>().await
        });
        assert!(cancelled.outcome().await.is_err());
        noting.note("over");
        pending().await
    };
    let polls = Arc::new(PollsAtOnce(Mutex::new(cancelled.boxed())));
    let several_times = || (0..20).for_each(|_| Arc::clone(&polls).wake());
    several_times();
    assert!(!log.has("over"), "the scope does not wait for the hold");
    let saved = kept.lock().unwrap().take();
    drop(saved);
    several_times();
    assert_eq!(log.entries(), ["saved", "over"]);
}
