//! Rows that only Rust needs: dropping cancels synchronously, and everything may panic.

use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use foster::scope::Notice;
use foster::{
    ConcurrentIterator, Reason, Token, adopt, gather, local, now, scope, shield, sleep, timeout, try_gather, try_scope,
    yield_now,
};
use futures::{FutureExt, poll};

use crate::harness::{self, T, ok};
use crate::probes::{Gate, Log, Probe, boom, caught, dropping, turns};

struct BoomOnDrop(&'static str);

impl Drop for BoomOnDrop {
    fn drop(&mut self) {
        boom(self.0);
    }
}

/// Is woken whenever it has been polled, and never ends.
fn always_ready() -> impl Future<Output = ()> + Send {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Spawns its like for ever.
fn successors(s: foster::Scope<'static>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let next = successors(s.clone());
        s.spawn(next);
    })
}

/// Keeps the waker that it is polled with.
async fn keeping_its_waker(into: Arc<std::sync::Mutex<Option<Waker>>>) {
    let mut first = true;
    poll_fn(|cx| {
        *into.lock().unwrap() = Some(cx.waker().clone());
        match std::mem::take(&mut first) {
            true => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        }
    })
    .await
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

matrix! {
    // C340
    async fn a_scope_that_is_dropped_before_its_first_poll_runs_nothing() {
        let probe = Probe::new();
        let mut task = None;
        drop(scope(|s| {
            task = Some(s.spawn(probe.endless()));
            s.spawn(probe.endless());
            s.defer(probe.endless());
            probe.endless()
        }));
        assert_eq!(probe.polls(), 0);
        probe.assert_all_gone();
        assert_eq!(task.unwrap().outcome().await.unwrap_err().reason(), &Reason::Dropped);
    }

    // C342
    async fn a_panic_in_a_drop_does_not_keep_the_others_from_being_dropped() {
        let probe = Probe::new();
        let inside = probe.clone();
        let panicked = caught(scope(|s| async move {
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
        let mut future = Box::pin(scope(|s| async move {
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
        let panicked = caught(scope(|s| async move {
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
        let panicked = caught(scope(|s| async move {
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
            let panicked = caught(scope(|s| async move {
                s.spawn(inside.endless());
                s.spawn_parallel(inside.endless());
                let panicking = async {
                    yield_now().await;
                    boom("child")
                };
                *out = Some(match parallel {
                    false => s.spawn(panicking),
                    true => s.spawn_parallel(panicking),
                });
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
            try_scope(|s| async move {
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

    // C345
    async fn a_waker_that_is_kept_too_long_does_nothing() {
        let (finished, dropped) = (Arc::default(), Arc::default());
        let (inside, abandoned) = (Arc::clone(&finished), Arc::clone(&dropped));
        scope(|s| async move {
            s.spawn(keeping_its_waker(inside)).await;
            let child = s.spawn(async {
                keeping_its_waker(abandoned).await;
                pending::<()>().await
            });
            turns().await;
            child.cancel();
        })
        .await;
        let probe = Probe::new();
        let inside = probe.clone();
        scope(|s| async move {
            s.spawn(inside.watch(turns()));
            for kept in [finished, dropped] {
                let waker: Waker = kept.lock().unwrap().take().unwrap();
                waker.wake_by_ref();
                waker.wake();
            }
        })
        .await;
        probe.assert_all_gone();
    }

    // C347
    async fn a_child_that_is_always_ready_starves_neither_its_siblings_nor_the_body() {
        let probe = Probe::new();
        let greedy = probe.watch(always_ready());
        scope(|s| async move {
            s.spawn(greedy);
            s.spawn(turns()).await;
            turns().await;
            s.cancel("enough");
        })
        .await;
        probe.assert_all_gone();
    }

    // C350
    async fn a_scope_that_is_polled_after_its_end_panics_cleanly() {
        let mut over = pin!(scope(|s| async move { s.spawn(async { 1 }).await }));
        assert_eq!(over.as_mut().await, 1);
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| over.as_mut().now_or_never())).is_err());

        let mut over = pin!(try_scope(|_| async { Err::<(), _>(1) }).outcome());
        assert_eq!(over.as_mut().await, Ok(Err(1)));
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| over.as_mut().now_or_never())).is_err());
    }

    // C352
    async fn a_value_is_handed_over_or_dropped_exactly_once() {
        for cancelled_at in 0..6 {
            for read in [false, true] {
                for parallel in [false, true] {
                    let values = Probe::new();
                    let value = values.endless();
                    scope(|s| async move {
                        let child = async move {
                            yield_now().await;
                            yield_now().await;
                            value
                        };
                        let task = match parallel {
                            false => s.spawn(child),
                            true => s.spawn_parallel(child),
                        };
                        for _ in 0..cancelled_at {
                            yield_now().await;
                        }
                        task.cancel();
                        if read {
                            drop(task.outcome().await);
                        }
                    })
                    .await;
                    values.assert_all_gone();
                }
            }
        }
    }

    // C352
    async fn a_value_that_a_child_produces_as_it_is_cancelled_is_delivered() {
        scope(|s| async move {
            let cancelling = Arc::new(std::sync::Mutex::new(None::<Arc<foster::Task<u32>>>));
            let own = Arc::clone(&cancelling);
            let task = Arc::new(s.spawn(async move {
                own.lock().unwrap().take().unwrap().cancel();
                7
            }));
            *cancelling.lock().unwrap() = Some(Arc::clone(&task));
            turns().await;
            assert_eq!(Arc::into_inner(task).unwrap().outcome().await, Ok(7));
        })
        .await;
    }

    // C340, S4
    async fn a_drop_takes_in_task_children_newest_first() {
        let log = Log::new();
        let inside = log.clone();
        let mut future = Box::pin(scope(|s| async move {
            let _body = inside.on_drop("body");
            let over = s.spawn(async {});
            for what in ["first", "second", "third"] {
                s.spawn(dropping(inside.on_drop(what)));
            }
            over.await;
            // Its place is that of the child that is over, before the others.
            s.spawn(dropping(inside.on_drop("fourth")));
            pending::<()>().await
        }));
        for _ in 0..20 {
            assert!(poll!(future.as_mut()).is_pending());
        }
        drop(future);
        assert_eq!(log.entries(), ["fourth", "third", "second", "first", "body"]);
    }

    // S2
    async fn a_failure_drops_children_newest_first_then_runs_finalizers_last_in_first_out() {
        let log = Log::new();
        let inside = log.clone();
        let result: Result<(), _> = try_scope(|s| async move {
            for what in ["finalized last", "finalized first"] {
                let log = inside.clone();
                s.defer(ok(async move {
                    yield_now().await;
                    log.note(what);
                }));
            }
            for what in ["first", "second", "third"] {
                s.spawn(ok(dropping(inside.on_drop(what))));
            }
            s.spawn(async {
                turns().await;
                Err::<(), _>("failed")
            });
            pending().await
        })
        .await;
        assert_eq!(result, Err("failed"));
        assert_eq!(log.entries(), ["third", "second", "first", "finalized first", "finalized last"]);
    }

    // S6
    async fn awaiting_a_cancelled_task_panics_with_its_name_and_reason() {
        let task = scope(|s| async move {
            let task = s.named("fetch").spawn(pending::<()>());
            task.cancel();
            task
        })
        .await;
        let payload = AssertUnwindSafe(task).catch_unwind().await.unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert!(message.contains("fetch") && message.contains("cancelled"), "{message}");
    }

    // S9
    async fn an_adopted_future_survives_a_panic_around_it() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(|_| async move {
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

    // S4
    async fn a_lost_race_of_foreign_code_leaves_its_parallel_children_to_the_scope_around() {
        let probe = Probe::new();
        let inside = probe.clone();
        scope(|_| async move {
            let loser = scope(|s| async move {
                s.spawn_parallel(inside.endless());
                s.spawn_blocking(|| ());
                inside.endless().await
            });
            let turns = pin!(turns());
            drop(futures::future::select(Box::pin(loser), turns).await);
        })
        .await;
        probe.assert_all_gone();
    }

    // S4
    async fn an_error_in_a_gather_waits_for_what_winds_down_in_the_others() {
        let log = Log::new();
        let inside = log.clone();
        let work = |fails: bool| {
            let log = inside.clone();
            async move {
                match fails {
                    true => {
                        turns().await;
                        Err("failed")
                    }
                    false => {
                        scope(|s| async move {
                        s.defer(async move {
                            turns().await;
                            log.note("closed");
                        });
                        pending::<()>().await
                    })
                    .await;
                        Ok(())
                    }
                }
            }
        };
        assert_eq!(try_gather([work(false), work(true), work(false)]).await, Err("failed"));
        assert_eq!(log.entries(), ["closed", "closed"]);
    }

    // S12
    async fn only_what_was_woken_is_polled() {
        let (probe, busy) = (Probe::new(), Probe::new());
        let idle: Vec<_> = (0..200).map(|_| probe.endless()).collect();
        let working = busy.watch(turns());
        scope(|s| async move {
            for child in idle {
                s.spawn(child);
            }
            s.spawn(working).await;
            s.cancel("over");
        })
        .await;
        assert_eq!(probe.polls(), 200);
        probe.assert_all_gone();
    }

    // S12
    async fn a_scope_may_move_from_one_waker_to_another() {
        let gate = Gate::new();
        let waiting = gate.wait();
        let mut future = Box::pin(scope(|s| async move { s.spawn(waiting).await }));
        let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        for wakes in [&first, &second] {
            let waker = Waker::from(Arc::clone(wakes));
            // More than once: the first polls may wake themselves.
            for _ in 0..3 {
                assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        let before = second.0.load(Ordering::SeqCst);
        gate.open();
        assert!(second.0.load(Ordering::SeqCst) > before);
        future.await;
    }

    // C218
    async fn what_is_ready_at_once_is_over_within_one_poll() {
        assert_eq!(gather([1, 2].map(std::future::ready)).now_or_never(), Some([1, 2]));
        let children = scope(|s| async move {
            s.spawn(async { 1 });
            s.defer(async {});
            2
        });
        assert_eq!(children.now_or_never(), Some(2));
        assert_eq!(timeout(T, async { 1 }).now_or_never(), Some(Ok(1)));
    }

    // C220
    async fn scopes_within_children_within_scopes_do_not_overflow() {
        fn tree(depth: u32) -> std::pin::Pin<Box<dyn Future<Output = u32> + Send>> {
            Box::pin(scope(move |s| async move {
                match depth {
                    0 => 1,
                    _ => s.spawn(tree(depth - 1)).await + 1,
                }
            }))
        }
        assert_eq!(tree(500).await, 501);
    }

    // C353
    async fn a_local_scope_keeps_what_is_not_send() {
        let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let inside = std::rc::Rc::clone(&log);
        let failed = local::try_scope(|s| async move {
            let (one, two) = (inside.clone(), inside.clone());
            s.defer(ok(async move { two.borrow_mut().push("finalized") }));
            s.spawn(ok(async move {
                one.borrow_mut().push("spawned");
                pending::<()>().await
            }));
            turns().await;
            Err::<(), _>("failed")
        })
        .await;
        assert_eq!(failed, Err("failed"));
        assert_eq!(*log.borrow(), ["spawned", "finalized"]);
        assert_eq!(std::rc::Rc::strong_count(&log), 1);
    }

    // C348
    async fn children_borrow_what_outlives_the_scope() {
        let words = vec!["one".to_string(), "three".to_string()];
        let mut longest = String::new();
        let (borrowed, out) = (&words, &mut longest);
        scope(|s| async move {
            s.spawn(async move { *out = borrowed.iter().max_by_key(|word| word.len()).unwrap().clone() });
        })
        .await;
        assert_eq!(longest, "three");
    }

    // S4
    async fn a_limited_stream_drops_what_runs_and_leaves_the_rest() {
        let probe = Probe::new();
        let mut items = 0..10;
        let failed = items
            .by_ref()
            .try_each_concurrent(3, |n| {
                probe.watch(async move {
                    yield_now().await;
                    if n == 1 { Err(n) } else { pending().await }
                })
            })
            .await;
        assert_eq!(failed, Err(1));
        assert!(items.len() >= 6);
        probe.assert_all_gone();
    }
}

// C347; virtual time stands still while something is ready.
#[test]
fn a_child_that_is_always_ready_does_not_keep_a_deadline_from_passing() {
    harness::each(&harness::REAL, |runtime| {
        let greedy = scope(|s| async move {
            s.spawn(always_ready());
        });
        assert!(runtime.run(timeout(2 * T, greedy)).is_err());
        let breeding = scope(|s| async move { successors(s).await });
        assert!(runtime.run(timeout(2 * T, breeding)).is_err());
    });
}

sim! {
    // C355
    async fn a_finalizer_that_overruns_its_grace_is_reported_and_the_rest_still_run() {
        let (log, overrun) = (Log::new(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (inside, noting) = (log.clone(), Arc::clone(&overrun));
        let start = now();
        let line = line!() + 8;
        let cancelled = scope(|s| async move {
            let first = inside.clone();
            s.defer(async move {
                sleep(T).await;
                first.note("finalized");
            });
            let stuck = inside.on_drop("dropped");
            s.defer(dropping(stuck));
            s.cancel("enough");
            pending::<()>().await
        })
        .grace(5 * T)
        .observe(move |event| {
            if let Notice::Overrun { task } = event {
                noting.lock().unwrap().push(task.to_string());
            }
        })
        .outcome()
        .await;
        assert!(cancelled.is_err());
        assert_eq!(log.entries(), ["dropped", "finalized"]);
        assert_eq!(*overrun.lock().unwrap(), [format!("{}:{line}", file!())]);
        assert_eq!(now() - start, 6 * T);
    }

    // C355
    async fn a_timeouts_grace_names_what_overran_and_gives_the_rest_one_poll() {
        let log = Log::new();
        let inside = log.clone();
        let start = now();
        let elapsed = timeout(T, scope(|s| async move {
            let last = inside.clone();
            s.defer(async move { last.note("one poll") });
            s.defer(dropping(inside.on_drop("dropped")));
            pending::<()>().await
        }))
        .grace(2 * T)
        .await
        .unwrap_err();
        assert_eq!(elapsed.overrun().len(), 1);
        assert_eq!(log.entries(), ["dropped", "one poll"]);
        assert_eq!(now() - start, 3 * T);
    }

    // S8
    async fn a_stop_asks_first_and_cancels_what_is_left_when_the_grace_ends() {
        let log = Log::new();
        let inside = log.clone();
        let start = now();
        scope(|s| async move {
            let (token, polite) = (s.stop_token(), inside.clone());
            s.spawn(async move {
                token.cancelled().await;
                sleep(T).await;
                polite.note("ended by itself");
            });
            s.spawn(dropping(inside.on_drop("dropped")));
            s.stop("enough", 3 * T);
        })
        .await;
        assert_eq!(log.entries(), ["ended by itself", "dropped"]);
        assert_eq!(now() - start, 3 * T);
    }

    // S9
    async fn a_shield_ends_in_its_own_time() {
        let start = now();
        let token = Token::new();
        let elapsed = timeout(T, token.run_until_cancelled(async {
            shield(sleep(4 * T)).await;
            pending::<()>().await
        }))
        .await;
        assert!(elapsed.is_err());
        assert_eq!(now() - start, 4 * T);
    }
}
