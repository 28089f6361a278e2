//! What is left behind in a last poll or by a drop, and tasks that wait for themselves.

use super::*;

#[test]
fn a_child_spawned_in_the_bodys_last_poll_runs() {
    bare(|| async {
        let mut ran = false;
        let r = &mut ran;
        scope(|s| async move {
            s.spawn(async move { *r = true });
        })
        .await;
        assert!(ran);
    });
}

#[test]
fn a_finalizer_deferred_in_the_bodys_last_poll_runs() {
    bare(|| async {
        let mut ran = false;
        let r = &mut ran;
        scope(|s| async move {
            s.defer(async move { *r = true });
        })
        .await;
        assert!(ran);
    });
}

#[test]
fn what_the_bodys_drop_spawns_runs() {
    bare(|| async {
        let ran = Arc::new(AtomicBool::new(false));
        let r = ran.clone();
        scope(|s| {
            let s2 = s.clone();
            let r = r.clone();
            let d = OnDrop(move || {
                let r = r.clone();
                s2.spawn(async move { r.store(true, Ordering::SeqCst) });
            });
            poll_fn(move |_| {
                let _d = &d;
                Poll::Ready(())
            })
        })
        .await;
        assert!(ran.load(Ordering::SeqCst));
    });
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
fn an_inner_scope_that_cancels_the_outer_one_in_its_first_poll_runs_its_finalizer() {
    bare(|| async {
        let done = AtomicBool::new(false);
        let d = &done;
        let out = scope(|s| async move {
            let s2 = s.clone();
            s.spawn(async move {
                let _t = Token::current();
                yield_now().await;
                scope(|inner| async move {
                    inner.defer(async move {
                        yield_now().await;
                        d.store(true, Ordering::SeqCst)
                    });
                    s2.cancel("x");
                    pending::<()>().await
                })
                .await;
            });
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
        assert!(done.load(Ordering::SeqCst));
    });
}

#[test]
fn a_deferred_finalizer_of_a_scope_that_is_over_does_not_spoil_the_count() {
    bare(|| async {
        let mut left = None;
        let l = &mut left;
        scope(|s| async move {
            *l = Some(s.clone());
        })
        .await;
        let s = left.unwrap();
        s.defer(async {});
        assert_eq!(s.len(), 0);
        let _ = futures::task::Spawn::spawn_obj(&s.spawner(), Box::pin(async {}).into());
        assert_eq!(s.len(), 0);
    });
}

#[test]
fn a_child_that_awaits_its_own_task_is_told_so() {
    bare(|| async {
        let out = std::panic::AssertUnwindSafe(scope(|s| async move {
            let (tx, rx) = futures::channel::oneshot::channel::<Task<()>>();
            let t = s.spawn(async move {
                let t = rx.await.unwrap();
                t.await
            });
            let _ = tx.send(t);
        }))
        .catch_unwind()
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_parallel_child_that_awaits_its_own_task_is_told_so() {
    basic(|| async {
        let out = std::panic::AssertUnwindSafe(scope(|s| async move {
            let (tx, rx) = futures::channel::oneshot::channel::<Task<()>>();
            let t = s.spawn_parallel(async move { rx.await.unwrap().await });
            let _ = tx.send(t);
        }))
        .catch_unwind()
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_child_may_await_the_task_of_a_child_of_its_own() {
    bare(|| async {
        scope(|s| async move {
            s.spawn(async {
                let (tx, rx) = futures::channel::oneshot::channel::<Task<u32>>();
                let inner = scope(|s| async move {
                    let _ = tx.send(s.spawn(async {
                        yield_now().await;
                        7
                    }));
                });
                let ((), seven) = futures::join!(inner, async { rx.await.unwrap().await });
                assert_eq!(seven, 7);
            })
            .await;
        })
        .await;
    });
}

#[test]
fn a_child_whose_drop_spawns_cancels_and_defers_harms_nobody() {
    bare(|| async {
        let ran = Arc::new(AtomicBool::new(false));
        let r = ran.clone();
        let out = scope(|s| async move {
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
        let mut f = Box::pin(scope(|s| async move {
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
        let out = scope(|s| async move {
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
