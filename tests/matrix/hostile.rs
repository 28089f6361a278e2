//! Programs that try to break the scopes: what is left behind at the last moment, races, and panics where nobody expects them.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use foster::runtimes::{Basic, Sim};
use foster::{
    Cancelled, Deadline, Event, Handle, Reason, Scope, Task, Token, adopt, scope, shield, sleep, timeout, try_scope,
    yield_now,
};
use futures::FutureExt;
use futures::executor::block_on;

const S: Duration = Duration::from_secs(1);

/// Runs `test` under a watchdog.
fn watched<R: Send + 'static>(test: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, waiting) = mpsc::channel::<()>();
    let runner = thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let _done = done;
            test()
        })
        .unwrap();
    if let Err(mpsc::RecvTimeoutError::Timeout) = waiting.recv_timeout(Duration::from_secs(10)) {
        panic!("it hangs");
    }
    match runner.join() {
        Ok(r) => r,
        Err(p) => std::panic::resume_unwind(p),
    }
}

fn sim<F: Future<Output = ()> + 'static>(f: fn() -> F) {
    watched(move || Sim::new(1).run(f()))
}

fn basic<F: Future<Output = ()> + 'static>(f: fn() -> F) {
    watched(move || Basic::thread_pool(2).unwrap().run(f()))
}

fn bare<F: Future<Output = ()> + 'static>(f: fn() -> F) {
    watched(move || block_on(f()))
}

/// Does something when it is dropped.
struct OnDrop<F: FnMut()>(F);
impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)()
    }
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

/// Polls `f` once, with a waker that does nothing.
fn once<F: Future>(f: Pin<&mut F>) -> Poll<F::Output> {
    f.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

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
fn a_scope_whose_grace_ended_lets_a_timeout_return() {
    basic(|| async {
        let (tx, rx) = mpsc::channel::<()>();
        let out = timeout(
            Duration::from_millis(10),
            scope(|s| async move {
                s.spawn_blocking(move || {
                    let _ = rx.recv_timeout(Duration::from_millis(300));
                });
                pending::<()>().await
            })
            .grace(Duration::from_millis(10)),
        )
        .await;
        assert!(out.is_err());
        drop(tx);
    });
}

#[test]
fn two_overruns_of_one_scope_leave_nothing_to_wait_for() {
    sim(|| async {
        scope(|_| async {
            let out = scope(|s| async move {
                s.defer(pending());
                s.defer(pending());
                s.spawn(shield(pending::<()>()));
                yield_now().await;
                s.cancel("x");
                pending::<()>().await
            })
            .grace(S)
            .outcome()
            .await;
            assert!(out.is_err());
        })
        .await;
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
            let mut f = Box::pin(scope(|s| async move {
                *t = Some(s.spawn_on(&rt, async move {
                    tx2.send(()).unwrap();
                    rx.recv().unwrap();
                    panic!("boo")
                }));
                pending::<()>().await
            }));
            assert!(f.as_mut().now_or_never().is_none());
            rx2.recv().unwrap();
        }
        tx.send(()).unwrap();
        let out: Result<(), Cancelled> = block_on(task.unwrap().outcome());
        assert!(out.is_err());
    });
}

#[test]
fn a_value_that_panics_when_dropped_on_a_runtime_is_no_hang() {
    basic(|| async {
        let out = std::panic::AssertUnwindSafe(scope(|s| async move {
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
            std::panic::AssertUnwindSafe(scope(|s| async move {
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
fn a_timeout_in_a_parallel_child_fires_though_the_deadline_around_was_moved() {
    sim(|| async {
        let d = Deadline::after(S);
        let d2 = d.clone();
        let out = d
            .timeout(scope(|s| async move {
                let t = s.spawn_parallel(async { timeout(2 * S, pending::<()>()).await.is_err() });
                yield_now().await;
                d2.set(None).unwrap();
                t.await
            }))
            .await;
        assert_eq!(out, Ok(true));
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

#[test]
fn a_hold_that_moves_to_a_sibling_and_is_dropped_with_it_is_no_hang() {
    bare(|| async {
        let (tx, rx) = futures::channel::oneshot::channel::<Pin<Box<dyn Future<Output = ()> + Send>>>();
        let out = scope(|s| async move {
            s.defer(async {});
            s.spawn(async move {
                let mut f: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(shield(pending::<()>()));
                assert!(futures::poll!(&mut f).is_pending());
                let _ = tx.send(f);
                pending::<()>().await
            });
            s.spawn(async move {
                let _f = rx.await;
                pending::<()>().await
            });
            yield_now().await;
            yield_now().await;
            s.cancel("x");
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
    });
}

#[test]
fn a_drop_that_runs_a_runtime_in_a_region_that_is_wound_down_is_no_hang() {
    sim(|| async {
        let out = timeout(
            S,
            scope(|s| async move {
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
fn a_task_cancelled_while_its_child_arrives_ends() {
    watched(|| {
        for i in 0..5000u32 {
            let (tx, rx) = mpsc::channel::<Task<()>>();
            let h = thread::spawn(move || {
                let t = rx.recv().unwrap();
                for _ in 0..(i % 64) {
                    std::hint::spin_loop()
                }
                t.cancel();
            });
            block_on(async {
                scope(|s| async move {
                    tx.send(s.spawn(pending::<()>())).unwrap();
                })
                .await
            });
            h.join().unwrap();
        }
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
fn the_outer_of_two_timeouts_reports_also_when_the_inner_one_has_to_clean_up() {
    sim(|| async {
        let inner = timeout(
            S,
            scope(|s| async move {
                s.defer(sleep(S));
                pending::<()>().await
            }),
        );
        let out = timeout(S, async { inner.await.is_err() }).await;
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
fn a_late_error_beside_a_panic_is_told_to_the_observer() {
    bare(|| async {
        let seen = Arc::new(AtomicBool::new(false));
        let seen2 = seen.clone();
        let run = try_scope(|s| async move {
            s.defer(async { panic!("boo") });
            Err::<(), _>(1)
        })
        .observe(move |event| {
            if let Event::LateError { error: 1, .. } = event {
                seen2.store(true, Ordering::SeqCst)
            }
        });
        assert!(std::panic::AssertUnwindSafe(run).catch_unwind().await.is_err());
        assert!(seen.load(Ordering::SeqCst));
    });
}

#[test]
fn a_timeout_that_moves_between_scopes_is_polled_where_it_is() {
    sim(|| async {
        let (tx, rx) = futures::channel::oneshot::channel();
        scope(|a| async move {
            a.spawn(async move {
                let mut t = Box::pin(timeout(
                    2 * S,
                    scope(|s| async move {
                        s.defer(sleep(S));
                        pending::<()>().await
                    }),
                ));
                assert!(futures::poll!(&mut t).is_pending());
                sleep(S).await;
                let _ = tx.send(t);
                pending::<()>().await
            });
            scope(|b| async move {
                let t = b.spawn(async move { rx.await.unwrap().await });
                sleep(S / 2 * 3).await;
                a.cancel("the first home");
                drop(t);
            })
            .await;
        })
        .outcome()
        .await
        .ok();
    });
}

#[test]
fn tasks_of_parallel_children_are_cancelled_at_any_moment() {
    watched(|| {
        let rt: Handle = Basic::thread_pool(2).unwrap().into();
        for i in 0..1500u32 {
            let rt2 = rt.clone();
            rt.run(async move {
                let alive = Arc::new(std::sync::atomic::AtomicUsize::new(0));
                let alive2 = alive.clone();
                scope(|s| async move {
                    let tasks: Vec<_> = (0..4)
                        .map(|k| {
                            let alive = alive2.clone();
                            s.spawn_on(&rt2, async move {
                                alive.fetch_add(1, Ordering::SeqCst);
                                let _d = OnDrop(move || {
                                    alive.fetch_sub(1, Ordering::SeqCst);
                                });
                                for _ in 0..k {
                                    yield_now().await
                                }
                                pending::<()>().await
                            })
                        })
                        .collect();
                    for _ in 0..(i % 7) * 50 {
                        std::hint::spin_loop()
                    }
                    for task in tasks {
                        task.cancel();
                        task.cancel();
                        assert!(task.outcome().await.is_err());
                    }
                })
                .await;
                assert_eq!(alive.load(Ordering::SeqCst), 0);
            });
        }
    });
}

#[test]
fn a_scope_is_cancelled_from_another_thread_at_any_moment() {
    watched(|| {
        let rt: Handle = Basic::thread_pool(2).unwrap().into();
        for i in 0..1500u32 {
            let out = rt.run(
                scope(|s| {
                    let rt = rt.clone();
                    async move {
                        let s2 = s.clone();
                        thread::spawn(move || {
                            for _ in 0..(i % 50) * 20 {
                                std::hint::spin_loop()
                            }
                            s2.cancel("now");
                            s2.stop("again", S);
                            s2.cancel("twice")
                        });
                        s.defer(yield_now());
                        s.spawn_on(&rt, pending::<()>());
                        s.spawn(scope(|s| async move {
                            s.defer(yield_now());
                            s.spawn_parallel(pending::<()>());
                            pending::<()>().await
                        }));
                        pending::<()>().await
                    }
                })
                .outcome(),
            );
            assert_eq!(out.unwrap_err().reason(), &Reason::from("now"));
        }
    });
}

#[test]
fn a_spawn_that_races_with_the_end_is_refused_or_joined() {
    watched(|| {
        let rt: Handle = Basic::thread_pool(2).unwrap().into();
        for i in 0..1500u32 {
            let over = Arc::new(AtomicBool::new(false));
            let (tx, rx) = mpsc::channel::<Scope<'static>>();
            let (rt2, over2) = (rt.clone(), over.clone());
            let helper = thread::spawn(move || {
                let s = rx.recv().unwrap();
                for _ in 0..(i % 50) * 10 {
                    std::hint::spin_loop()
                }
                (0..3).for_each(|_| {
                    let (a, b) = (over2.clone(), over2.clone());
                    let (k, l) = (
                        s.spawn_on(&rt2, async move {
                            assert!(!a.load(Ordering::SeqCst));
                            yield_now().await;
                            assert!(!a.load(Ordering::SeqCst))
                        }),
                        s.spawn(async move {
                            yield_now().await;
                            assert!(!b.load(Ordering::SeqCst))
                        }),
                    );
                    let _ = block_on(k.outcome());
                    let _ = block_on(l.outcome());
                });
            });
            block_on(scope(|s| async move {
                tx.send(s).unwrap();
                yield_now().await
            }));
            over.store(true, Ordering::SeqCst);
            helper.join().unwrap();
        }
    });
}

#[test]
fn a_scope_dropped_at_any_moment_leaves_its_parallel_children_to_the_scope_around() {
    watched(|| {
        let rt: Handle = Basic::thread_pool(2).unwrap().into();
        for i in 0..1500usize {
            let alive = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let (alive2, rt2) = (alive.clone(), rt.clone());
            block_on(scope(|_| async move {
                let mut inner = Box::pin(scope(|s| async move {
                    for k in 0..3 {
                        let alive = alive2.clone();
                        s.spawn_on(&rt2, async move {
                            alive.fetch_add(1, Ordering::SeqCst);
                            let _d = OnDrop(move || {
                                alive.fetch_sub(1, Ordering::SeqCst);
                            });
                            for _ in 0..k {
                                yield_now().await
                            }
                            if i % 3 == 0 {
                                pending::<()>().await
                            }
                        });
                    }
                    pending::<()>().await
                }));
                let _ = once(inner.as_mut());
                for _ in 0..(i % 50) * 20 {
                    std::hint::spin_loop()
                }
            }));
            assert_eq!(alive.load(Ordering::SeqCst), 0);
        }
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
fn a_cancelled_held_child_ends_when_its_hold_is_dropped_elsewhere() {
    bare(|| async {
        type Held = Pin<Box<dyn Future<Output = ()> + Send>>;
        let (tx, rx) = futures::channel::oneshot::channel::<Held>();
        scope(|s| async move {
            let a = s.spawn(async move {
                let mut f: Held = Box::pin(shield(pending::<()>()));
                assert!(futures::poll!(&mut f).is_pending());
                let _ = tx.send(f);
                pending::<()>().await
            });
            yield_now().await;
            let held = rx.await;
            a.cancel();
            yield_now().await;
            yield_now().await;
            drop(held);
            assert!(a.outcome().await.is_err());
        })
        .await;
    });
}

#[test]
fn a_wound_down_child_ends_when_its_hold_is_dropped_on_another_thread() {
    bare(|| async {
        type Held = Pin<Box<dyn Future<Output = ()> + Send>>;
        let (tx, rx) = mpsc::channel::<Held>();
        let (go, went) = mpsc::channel::<()>();
        let t = thread::spawn(move || {
            let held = rx.recv();
            went.recv().unwrap();
            thread::sleep(Duration::from_millis(50));
            drop(held)
        });
        scope(|_| async move {
            scope(|s| async move {
                s.defer(async {});
                s.spawn(async move {
                    let mut f: Held = Box::pin(shield(pending::<()>()));
                    assert!(futures::poll!(&mut f).is_pending());
                    let _ = tx.send(f);
                    pending::<()>().await
                });
                yield_now().await;
                s.cancel("x");
                go.send(()).unwrap();
                pending::<()>().await
            })
            .outcome()
            .await
            .ok();
        })
        .await;
        t.join().unwrap();
    });
}

#[test]
fn a_deadline_that_was_moved_at_the_last_moment_does_not_expire() {
    watched(|| {
        for i in 0..400u64 {
            let deadline = Deadline::after(Duration::from_micros(500));
            let other = deadline.clone();
            let start = Instant::now();
            let helper = thread::spawn(move || {
                let moment = Duration::from_micros(500 + i);
                while start.elapsed() < moment {
                    std::hint::spin_loop()
                }
                other.set(Instant::now() + 3600 * S).is_ok()
            });
            let out = block_on(deadline.timeout(poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if start.elapsed() > Duration::from_millis(2) { Poll::Ready(()) } else { Poll::Pending }
            })));
            let set = helper.join().unwrap();
            assert!(!set || out.is_ok(), "{i}: moved, and yet it expired");
        }
    });
}

#[test]
fn a_sleep_of_no_time_that_has_begun_goes_on_in_a_wind_down() {
    sim(|| async {
        let went_on = AtomicBool::new(false);
        let w = &went_on;
        let out = scope(|s| async move {
            let s2 = s.clone();
            s.spawn(async move {
                let moment = async {
                    sleep(Duration::ZERO).await;
                    w.store(true, Ordering::SeqCst)
                };
                futures::join!(shield(sleep(S)), moment, async { s2.cancel("x") });
            });
            pending::<()>().await
        })
        .outcome()
        .await;
        assert!(out.is_err());
        assert!(went_on.load(Ordering::SeqCst));
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

#[test]
fn a_waker_may_cancel_the_scope_that_wakes_it() {
    struct Cancel(std::sync::OnceLock<Scope<'static>>);
    impl std::task::Wake for Cancel {
        fn wake(self: Arc<Self>) {
            if let Some(s) = self.0.get() {
                s.cancel("from the waker");
                drop(s.spawn(async {}));
                s.defer(async {});
            }
        }
    }
    watched(|| {
        let cancel = Arc::new(Cancel(std::sync::OnceLock::new()));
        let waker = cancel.clone().into();
        let (tx, rx) = mpsc::channel::<Scope<'static>>();
        let mut f = Box::pin(
            scope(|s| async move {
                tx.send(s).unwrap();
                pending::<()>().await
            })
            .outcome(),
        );
        let mut cx = std::task::Context::from_waker(&waker);
        assert!(f.as_mut().poll(&mut cx).is_pending());
        let s = rx.recv().unwrap();
        let task = s.clone();
        assert!(f.as_mut().poll(&mut cx).is_pending());
        drop(cancel.0.set(s));
        task.spawn(async {});
        let mut rounds = 0;
        while f.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending() {
            rounds += 1;
            assert!(rounds < 10);
        }
    });
}

#[test]
fn payloads_that_panic_when_dropped_are_no_abort() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            if !thread::panicking() {
                std::panic::resume_unwind(Box::new(Payload))
            }
        }
    }
    basic(|| async {
        let out = std::panic::AssertUnwindSafe(scope(|s| async move {
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
