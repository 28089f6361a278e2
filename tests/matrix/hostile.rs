//! Programs that try to break the scopes: what is left behind at the last moment, races, and panics where nobody expects them.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use foster::runtimes::{Basic, Sim};
use foster::*;
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
fn a_task_cancelled_while_its_child_arrives_ends() {
    watched(|| {
        for i in 0..20000u32 {
            let (tx, rx) = mpsc::channel::<Task<()>>();
            let h = thread::spawn(move || {
                let t = rx.recv().unwrap();
                for _ in 0..(i % 64) {
                    std::hint::spin_loop()
                }
                t.cancel();
            });
            let out = block_on(async {
                scope(|s| async move {
                    tx.send(s.spawn(pending::<()>())).unwrap();
                })
                .await
            });
            let _ = out;
            h.join().unwrap();
        }
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
