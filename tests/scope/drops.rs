//! Scopes that are dropped, and what destructors do in the meantime.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use foster::runtimes::Sim;
use foster::{Deadline, Reason, Scope, Task, gather, scope, sleep, timeout, yield_now};
use futures::future::poll_immediate;
use futures::poll;

use crate::harness::{self, bare, run};
use crate::probes::{Count, Log, OnDrop, Probe, dropping, turns, why};

const S: Duration = Duration::from_secs(1);

/// Polls `f` once, with a waker that does nothing.
fn once<F: Future>(f: Pin<&mut F>) -> Poll<F::Output> {
    f.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

matrix! {
    // C078
    async fn dropping_an_unbounded_wait_drops_the_child() {
        let log = &Log::new();
        let mut wait = Box::pin(Deadline::never().timeout(dropping(log.on_drop("dropped"))));
        assert!(poll_immediate(&mut wait).await.is_none());
        assert!(log.entries().is_empty());
        drop(wait);
        assert_eq!(log.entries(), ["dropped"]);
    }

    // S6: a task outlives its scope, and says what became of its child
    async fn tasks_of_a_dropped_scope_say_that_it_was_dropped() {
        let mut tasks: Vec<Task<()>> = Vec::new();
        {
            let tasks = &mut tasks;
            let mut inner = Box::pin(scope(async |s| {
                tasks.push(s.spawn(pending()));
                tasks.push(s.spawn_parallel(pending()));
                pending::<()>().await
            }));
            assert!(poll_immediate(&mut inner).await.is_none());
        }
        for outcome in gather(tasks.into_iter().map(Task::outcome)).await {
            assert_eq!(outcome.unwrap_err().reason(), &foster::Reason::Dropped);
        }
    }

    // C340
    async fn a_scope_dropped_before_its_first_poll_runs_nothing() {
        let log = &Log::new();
        let held = log.on_drop("dropped");
        drop(scope(|s| {
            s.spawn(async move { log.note("child ran") });
            s.defer(async move { log.note("finalizer ran") });
            async move {
                let _held = held;
                log.note("body ran");
            }
        }));
        assert_eq!(log.entries(), ["dropped"]);
    }

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

    // C340, S4
    async fn a_drop_takes_in_task_children_newest_first() {
        let log = Log::new();
        let inside = log.clone();
        let mut future = Box::pin(scope(async |s| {
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
        let dropped = scope(async |s| {
            let spawns = Spawns(s.clone(), last);
            s.spawn(async move {
                let _spawns = spawns;
                pending::<()>().await
            });
            pending::<()>().await
        });
        scope(async |_| assert!(poll_immediate(dropped).await.is_none())).await;
        assert_eq!(why(&spawned).await, Reason::Dropped);
    }
}

#[test]
fn a_drop_that_runs_a_runtime_in_a_region_that_is_wound_down_is_no_hang() {
    run(harness::sim, || async {
        let out = timeout(
            S,
            scope(async |s| {
                let _d = OnDrop(|| {
                    Sim::new(2).run(async {
                        sleep(S).await;
                        scope(|_| async {}).await
                    });
                });
                s.defer(async {});
                pending::<()>().await
            }),
        )
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_child_whose_drop_spawns_cancels_and_defers_harms_nobody() {
    bare(|| async {
        let ran = Arc::new(AtomicBool::new(false));
        let r = ran.clone();
        let out = scope(async |s| {
            for _ in 0..3 {
                let (s2, r) = (s.clone(), r.clone());
                s.spawn(async move {
                    let _d = OnDrop(move || {
                        s2.cancel("again");
                        s2.spawn(async { unreachable!() }).cancel();
                        let r = r.clone();
                        s2.defer(async move {
                            yield_now().await;
                            r.store(true, Ordering::SeqCst)
                        });
                        assert!(futures::FutureExt::now_or_never(s2.spawn(async {}).outcome()).unwrap().is_err());
                    });
                    pending::<()>().await
                });
            }
            yield_now().await;
            s.cancel("x");
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
        assert!(ran.load(Ordering::SeqCst));
    });
}

#[test]
fn a_forgotten_scope_leaves_its_tasks_pending_and_its_handles_usable() {
    bare(|| async {
        let mut f = Box::pin(scope(async |s| {
            pending::<Scope<'static>>().await;
            drop(s)
        }));
        let _ = once(f.as_mut());
        std::mem::forget(f);
    });
}

#[test]
fn children_are_dropped_newest_first_however_they_came() {
    use futures::task::SpawnExt;
    bare(|| async {
        let log = Arc::new(std::sync::Mutex::new(Vec::new()));
        let l = log.clone();
        let out = scope(async |s| {
            let child = move |i| {
                let l = l.clone();
                async move {
                    let _d = OnDrop(move || l.lock().unwrap().push(i));
                    pending::<()>().await
                }
            };
            let first = s.spawn(async {});
            s.spawn(child(1));
            first.await;
            s.spawner().spawn(child(2)).unwrap();
            yield_now().await;
            s.cancel("x");
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
        assert_eq!(*log.lock().unwrap(), [2, 1]);
    });
}

/// A future that makes a scope, polls it and drops it would be polled again for ever.
#[test]
fn the_drop_of_a_scope_wakes_nobody() {
    let woken = Arc::new(Count::new());
    struct Counting(Arc<Count>);
    impl std::task::Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.up();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Counting(Arc::clone(&woken))));
    let mut left = Box::pin(scope(async |_| pending::<()>().await));
    assert!(left.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    drop(left);
    assert_eq!(woken.get(), 0);
}

/// What is pending and notes its drop as `name`.
async fn noted(log: &Log, name: &'static str) {
    let _dropped = log.on_drop(name);
    pending::<()>().await
}

/// The body's place was used again for a child, which was taken for older than its siblings.
#[test]
fn a_child_that_came_after_the_end_of_the_body_is_dropped_before_older_ones() {
    bare(|| async {
        let log = &Log::new();
        scope(async |s| {
            let own = s.clone();
            s.spawn(async move {
                let _older = log.on_drop("older");
                turns().await;
                own.spawn(noted(log, "newer"));
                turns().await;
                own.cancel("enough");
                pending::<()>().await
            });
            yield_now().await;
        })
        .await;
        assert_eq!(log.entries(), ["newer", "older"]);
    });
}

#[test]
fn a_child_that_came_after_the_end_of_a_finalizer_is_dropped_before_older_ones() {
    bare(|| async {
        let log = &Log::new();
        scope(async |s| {
            let (first, last) = (s.clone(), s.clone());
            s.defer(async {});
            s.defer(async move {
                first.spawn(async move {
                    let _older = log.on_drop("older");
                    turns().await;
                    last.spawn(noted(log, "newer"));
                    turns().await;
                    last.cancel("enough");
                    pending::<()>().await
                });
                yield_now().await;
            });
        })
        .await;
        assert_eq!(log.entries(), ["newer", "older"]);
    });
}

#[test]
fn children_that_are_dropped_before_they_begin_are_no_longer_counted() {
    use futures::task::SpawnExt;
    bare(|| async {
        for by_spawner in [false, true] {
            let kept: Mutex<Option<Scope<'static>>> = Mutex::new(None);
            let mut left = Box::pin(scope(async |s| {
                *kept.lock().unwrap() = Some(s.clone());
                pending::<()>().await
            }));
            assert!(poll!(left.as_mut()).is_pending());
            let s = kept.lock().unwrap().take().unwrap();
            if by_spawner {
                s.spawner().spawn(async {}).unwrap();
            } else {
                s.spawn(async {});
                s.defer(async {});
            }
            assert_eq!(s.len(), 1);
            drop(left);
            assert_eq!(s.len(), 0, "by a spawner: {by_spawner}");
        }
    });
}
