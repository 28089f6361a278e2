//! What a scope's own poll promises: who is told, who is waited for, in which order, and why.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use foster::testing::CountingWaker;
use foster::{
    Handle, Reason, Scope, Task, TryScope, adopt, gather, local, now, scope, shield, sleep, timeout, try_gather,
    try_scope, yield_now,
};
use futures::FutureExt;
use futures::future::{BoxFuture, poll_immediate, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::harness::T;
use crate::probes::{Gate, Log, boom, caught, descend, reason, secs, turns, why};

/// A shared place for a future that one task has begun and another one drops.
type Shelf = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

/// Begins what is on the shelf, and leaves it there.
async fn begin(shelf: &Shelf) {
    poll_fn(|cx| {
        let mut shelf = shelf.lock().unwrap();
        assert!(shelf.as_mut().unwrap().as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

matrix! {
    // S4. What a scope has been given in the last round of a poll counts: the timeout dropped it, finalizer and all.
    async fn a_finalizer_that_comes_in_any_round_of_a_poll_runs() {
        for depth in 0..8 {
            let log = &Log::new();
            let deferring = scope(async |s| {
                s.spawn(descend(s.clone(), depth, |s| {
                    log.note("deferred");
                    s.defer(async { log.note("finalized") });
                }));
                pending::<()>().await
            });
            assert!(timeout(Duration::ZERO, deferring).await.is_err());
            // What has not begun by then defers nothing.
            assert_ne!(log.entries(), ["deferred"], "after {depth} children");
        }
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

    // S2. The enclosing scope was cancelled in the poll in which the finalizer failed, and dropped the error.
    async fn an_error_of_a_cleanup_is_returned_whoever_cancels_in_the_same_poll() {
        let result = try_scope(async |outer| {
            let inner = try_scope(async |inner: TryScope<'_, &str>| {
                inner.defer(async { Err("not closed") });
                outer.cancel("enough");
                Ok(())
            });
            inner.await
        });
        assert_eq!(result.outcome().await.unwrap(), Err("not closed"));
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

    // S3. It panicked in `drop`, in the middle of what the foreign combinator was dropping, which leaked the rest.
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

    // S7. The task's own cancellation came second, and was given as the reason where the child needed time to end.
    async fn the_reason_of_a_child_is_the_first_cause_whichever_it_is() {
        for held in [false, true] {
                for first in ["scope", "task"] {
                    let gate = Gate::new();
                    let waiting = gate.clone();
                    let kept = scope(async |s| {
                        let child = async move {
                            if held {
                                shield(waiting.wait()).await;
                            }
                            pending::<()>().await
                        };
                        let task = s.spawn(child);
                        turns().await;
                        if first == "task" {
                            task.cancel();
                            s.cancel("first");
                        } else {
                            s.cancel("first");
                            task.cancel();
                        }
                        gate.open();
                        task
                    });
                    let expected = if first == "task" { "its task was cancelled" } else { "first" };
                    let reason = kept.await.outcome().await.unwrap_err().reason().clone();
                    assert_eq!(reason, expected.into(), "held: {held}");
                }
        }
    }

    // S7. Without a finalizer the scope had no token, and its tasks said `Dropped`.
    async fn the_reason_of_a_kept_task_does_not_depend_on_what_else_the_scope_contains() {
        for finalizer in [false, true] {
            let kept = Mutex::new(None);
            let keep = |s: &Scope<'_>| {
                if finalizer {
                    s.defer(async {});
                }
                *kept.lock().unwrap() = Some(s.spawn(pending::<()>()));
            };

            let inside = scope(async |s| { keep(&s); pending::<()>().await });
            assert!(timeout(T, inside).await.is_err());
            assert_eq!(why(&kept).await, Reason::Deadline, "finalizer: {finalizer}");

            let outer = scope(async |outer| {
                outer.spawn(async { scope(async |s| { keep(&s); pending::<()>().await }).await });
                yield_now().await;
                outer.cancel("enough");
            });
            outer.await;
            assert_eq!(why(&kept).await, "enough".into(), "finalizer: {finalizer}");

            let failing = async { yield_now().await; Err::<(), _>(()) };
            let inside = async { scope(async |s| { keep(&s); pending::<()>().await }).await; Ok(()) };
            assert!(try_gather((inside, failing)).await.is_err());
            assert!(matches!(why(&kept).await, Reason::Failed(_)), "finalizer: {finalizer}");

            assert!(poll_immediate(scope(async |s| { keep(&s); pending::<()>().await })).await.is_none());
            assert_eq!(why(&kept).await, Reason::Dropped, "finalizer: {finalizer}");
        }
    }

    // S4, S12. The outer scope's token is made, and tripped, while the inner one is being polled.
    async fn a_scope_that_cancels_the_enclosing_one_is_polled_again() {
        let log = &Log::new();
        let cancelled = scope(async |outer| {
            let inner = scope(async |s| {
                s.defer(async { log.note("finalized") });
                // The finalizer is taken in, and with it the scope has a token, before it goes on.
                yield_now().await;
                outer.cancel("enough");
                pending::<()>().await
            });
            let members: [BoxFuture<'_, ()>; 2] = [inner.boxed(), pending().boxed()];
            FuturesUnordered::from_iter(members).collect::<()>().await
        });
        assert_eq!(reason(cancelled.outcome().await), "enough".into());
        assert_eq!(log.entries(), ["finalized"]);
    }

    // S4. Nothing but the scope's own second look tells it that the last hold was let go of.
    async fn a_hold_that_somebody_else_lets_go_of_ends_the_wait_for_it() {
        let shelf: Shelf = Arc::new(Mutex::new(Some(shield(pending::<()>()).boxed())));
        let log = &Log::new();
        let (held, handles) = (&shelf, &Mutex::new(None));
        let holding = scope(async |s| {
            *handles.lock().unwrap() = Some(s.clone());
            s.spawn(async move {
                let _over = log.on_drop("child over");
                begin(held).await;
                pending::<()>().await
            });
            pending::<()>().await
        });
        let ending = async {
            turns().await;
            let s = handles.lock().unwrap().take().unwrap();
            // The shield hears of this, and is not polled any more.
            s.stop("closing", Duration::MAX);
            turns().await;
            s.cancel("closed");
            turns().await;
            log.note("let go");
            drop(shelf.lock().unwrap().take());
        };
        let (outcome, ()) = gather((holding.outcome(), ending)).await;
        assert_eq!(reason(outcome), "closing".into());
        assert_eq!(log.entries(), ["let go", "child over"]);
    }

    // S4, S5. It was started in a scope that was gone, and nobody told it to end.
    async fn a_destructor_cannot_start_a_child_in_the_scope_that_is_being_dropped() {
        struct Spawns(Scope<'static>, Arc<Mutex<Option<Task<()>>>>);
        impl Drop for Spawns {
            fn drop(&mut self) {
                *self.1.lock().unwrap() = Some(self.0.spawn_parallel(pending()));
            }
        }
        let spawned = Arc::new(Mutex::new(None));
        let last = Arc::clone(&spawned);
        let dropped = scope(|s| async move {
            let spawns = Spawns(s.clone(), last);
            s.spawn(async move {
                let _spawns = spawns;
                pending::<()>().await
            });
            pending::<()>().await
        });
        scope(async |_| assert!(poll_immediate(dropped).await.is_none())).await;
        assert_eq!(why(&spawned).await, Reason::Parent);
    }

    // S4, C356
    async fn finalizers_that_do_not_run_are_dropped_last_in_first_out() {
        let log = &Log::new();
        let dropped = scope(async |s| {
            for name in ["first", "second", "third"] {
                let over = log.on_drop(name);
                s.defer(async move { drop(over) });
            }
            pending::<()>().await
        });
        assert!(poll_immediate(dropped).await.is_none());
        assert_eq!(log.entries(), ["third", "second", "first"]);
    }

    // S1, S4. It kept to the scope in which it was first polled, which was over by then.
    async fn a_scope_that_has_moved_leaves_its_parallel_children_to_the_scope_it_is_in() {
        for polled_again in [false, true] {
            let log = Log::new();
            let over = log.on_drop("child over");
            let moving = scope(|s| async move {
                s.spawn_parallel(async move {
                    let _over = over;
                    shield(sleep(T)).await;
                });
                turns().await;
                pending::<()>().await
            });
            let mut moving = Box::pin(moving);
            scope(async |_| assert!(poll_immediate(&mut moving).await.is_none())).await;
            scope(async |_| {
                if polled_again {
                    assert!(poll_immediate(&mut moving).await.is_none());
                }
                turns().await;
                drop(moving);
            })
            .await;
            log.note("scope over");
            let entries = log.entries();
            // A child that had not begun has nothing to finish, and is over earlier.
            assert_eq!(entries, ["child over", "scope over"], "polled again: {polled_again}");
        }
    }

    // S6. A child that is cancelled between its spawn and its first poll is never polled, whoever cancels.
    async fn a_child_that_is_cancelled_before_it_begins_is_not_polled() {
        let log = &Log::new();
        scope(async |s| {
            let tasks: Vec<_> = (0..100).map(|_| s.spawn(async { log.note("polled") })).collect();
            tasks.iter().for_each(Task::cancel);
            for task in tasks {
                assert_eq!(*task.outcome().await.unwrap_err().reason(), "its task was cancelled".into());
            }
            assert_eq!(s.len(), 0);
        })
        .await;
        assert!(log.entries().is_empty());
    }

    // S2
    async fn a_scopes_options_come_in_any_order() {
        let errors = || async |s: TryScope<'_, &'static str>| {
            s.spawn(async { Err::<(), _>("left") });
            s.spawn(async { Err::<(), _>("right") });
            Ok(())
        };
        let (tell, told) = std::sync::mpsc::channel();
        let observer = move |event| drop(tell.send(event));
        let one = try_scope(errors()).keep_going().named("all").grace(T).observe(|_| ()).outcome();
        let other = try_scope(errors()).outcome().observe(|_| ()).grace(T).named("all").keep_going();
        for outcome in [one.await, other.await] {
            let errors = outcome.unwrap().unwrap_err();
            assert_eq!(errors.len(), 2);
        }
        let first = try_scope(errors()).outcome().named("first").observe(observer).await;
        assert_eq!(first.unwrap(), Err("left"));
        drop(told.try_iter().collect::<Vec<foster::scope::Notice<_>>>());
        assert_eq!(scope(async |_| 7).outcome().named("plain").grace(T).observe(|_| ()).await.unwrap(), 7);
        let going = try_scope(async |s: TryScope<'_, ()>| {
            s.cancel("enough");
            pending::<Result<(), ()>>().await
        });
        assert_eq!(reason(going.keep_going().outcome().await), "enough".into());
    }

    // S2
    async fn the_errors_of_a_scope_can_be_iterated_over() {
        let errors = try_scope(async |s| {
            s.named("left").spawn(async { Err::<(), _>(1) });
            s.named("right").spawn(async { Err::<(), _>(2) });
            Ok(())
        });
        let errors = errors.keep_going().await.unwrap_err();
        let mut sum = 0;
        for (name, error) in &errors {
            assert!(*name == "left" || *name == "right");
            sum += error;
        }
        assert_eq!(sum, 3);
        let mut owned: Vec<(String, i32)> = errors.into_iter().map(|(name, error)| (name.to_string(), error)).collect();
        owned.sort();
        assert_eq!(owned, [("left".to_string(), 1), ("right".to_string(), 2)]);
    }
}

sim! {
    // S8. There were two waits for the same children, and one of them was never woken.
    async fn parallel_children_that_overrun_are_handed_on_once() {
        let start = now();
        scope(async |_| {
            let overrunning = scope(async |s| {
                s.spawn_parallel(shield(sleep(secs(10))));
                s.defer(sleep(secs(100)));
                turns().await;
                s.cancel("enough");
                pending::<()>().await
            });
            assert!(overrunning.grace(secs(1)).outcome().await.is_err());
            assert_eq!(now() - start, secs(2));
        })
        .await;
        assert_eq!(now() - start, secs(10));
    }
}

/// Uses up tokio's budget whenever it is polled, and never ends.
async fn busy() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    tx.send(0).unwrap();
    while let Some(n) = rx.recv().await {
        tx.send(n).unwrap();
    }
}

// S11. The busy child was always polled first, and left nothing of the budget that tokio gives a task.
#[foster::test(runtimes(tokio, tokio_multi), timeout = "10s")]
async fn a_child_that_uses_up_the_budget_of_its_task_does_not_starve_its_siblings() {
    for siblings in [1, 3, 100] {
        scope(async |s| {
            s.spawn(busy());
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..siblings).map(|_| tokio::sync::mpsc::channel(1)).unzip();
            let waiting = receivers
                .into_iter()
                .map(|mut rx: tokio::sync::mpsc::Receiver<()>| s.spawn(async move { rx.recv().await }));
            let waiting: Vec<_> = waiting.collect();
            turns().await;
            for tx in senders {
                tx.try_send(()).unwrap();
            }
            for task in waiting {
                assert_eq!(task.await, Some(()));
            }
            s.cancel("seen enough");
        })
        .await;
    }
}

// S3, where only the root is around. A parallel child outlived `run`.
fn a_panic_in_hand_at_the_root(rt: Handle) {
    let log = Log::new();
    let over = log.on_drop("child over");
    let run = std::panic::AssertUnwindSafe(|| {
        rt.run(async {
            let panicked = scope(|s| async move {
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

// S12. Whoever spawns while the scope is being polled need not wake it.
#[test]
fn a_body_that_spawns_wakes_nobody() {
    let mut spawning = pin!(scope(async |s| {
        for _ in 0..100 {
            s.spawn(pending::<()>());
        }
        pending::<()>().await
    }));
    let waker = CountingWaker::new();
    while {
        let before = waker.count();
        assert!(waker.poll(spawning.as_mut()).is_pending());
        // After more polls than one pass has, and for no other reason.
        waker.count() > before && waker.count() < 4
    } {}
    assert!(waker.count() < 4, "it was woken {} times for a hundred children", waker.count());

    let mut spawning = pin!(scope(async |s| {
        let siblings = s.clone();
        s.spawn(async move {
            siblings.spawn(pending::<()>());
        });
        pending::<()>().await
    }));
    let waker = CountingWaker::new();
    assert!(waker.poll(spawning.as_mut()).is_pending());
    assert_eq!(waker.count(), 0);
}

/// A scope in a scope in a scope, and so on; each with a finalizer.
fn scopes_deep(depth: usize) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(local::scope(move |s| async move {
        s.defer(async {});
        if depth > 0 {
            s.spawn(scopes_deep(depth - 1));
        }
        pending().await
    }))
}

// S11. It took a poll from the outside for each scope to start, and one for each to end.
#[test]
fn scopes_nested_a_thousand_deep_start_and_end_in_a_few_polls() {
    crate::harness::watched(|| {
        let token = foster::Token::new();
        let mut running = pin!(token.run_until_cancelled(scopes_deep(1_000)));
        let waker = CountingWaker::new();
        let mut polls = 0;
        let mut settle = |until: bool| {
            polls = 0;
            loop {
                let before = waker.count();
                polls += 1;
                let polled = waker.poll(running.as_mut());
                if polled.is_ready() || waker.count() == before {
                    assert_eq!(polled.is_ready(), until);
                    return polls;
                }
            }
        };
        let starting = settle(false);
        token.cancel("enough");
        let ending = settle(true);
        assert!(starting < 60, "{starting} polls to start");
        assert!(ending < 60, "{ending} polls to end");
    });
}

// S4. The hold went between the look at it and the registration of who waits for its end.
#[test]
fn the_last_hold_may_be_let_go_of_on_another_thread_at_any_moment() {
    crate::harness::watched(|| {
        let (give, given) = std::sync::mpsc::channel::<Shelf>();
        let letting_go = std::thread::spawn(move || {
            for (round, shelf) in given.into_iter().enumerate() {
                (0..round % 64).for_each(|_| std::hint::spin_loop());
                drop(shelf.lock().unwrap().take());
            }
        });
        for _ in 0..20_000 {
            let shelf: Shelf = Arc::new(Mutex::new(Some(shield(pending::<()>()).boxed())));
            let (held, give) = (&shelf, &give);
            futures::executor::block_on(scope(async |s| {
                s.spawn(async move {
                    begin(held).await;
                    pending::<()>().await
                });
                yield_now().await;
                give.send(Arc::clone(held)).unwrap();
                s.cancel("enough");
            }));
        }
        drop(give);
        letting_go.join().unwrap();
    });
}
