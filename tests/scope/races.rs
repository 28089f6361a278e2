//! Scopes and tasks under several threads, at any moment.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use foster::runtimes::Basic;
use foster::testing::CountingWaker;
use foster::{Handle, Reason, Scope, Task, scope, shield, yield_now};
use futures::executor::block_on;

use crate::harness::{bare, rounds, watched};
use crate::probes::OnDrop;

const S: Duration = Duration::from_secs(1);

/// Polls `f` once, with a waker that does nothing.
fn once<F: Future>(f: Pin<&mut F>) -> Poll<F::Output> {
    f.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

#[test]
fn a_hold_that_moves_to_a_sibling_and_is_dropped_with_it_is_no_hang() {
    bare(|| async {
        let (tx, rx) = futures::channel::oneshot::channel::<Pin<Box<dyn Future<Output = ()> + Send>>>();
        let out = scope(async |s| {
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
fn a_task_cancelled_while_its_child_arrives_ends() {
    rounds(5000, move |i| {
        let (tx, rx) = mpsc::channel::<Task<()>>();
        let h = thread::spawn(move || {
            let t = rx.recv().unwrap();
            for _ in 0..(i % 64) {
                std::hint::spin_loop()
            }
            t.cancel();
        });
        block_on(async {
            scope(async |s| {
                tx.send(s.spawn(pending::<()>())).unwrap();
            })
            .await
        });
        h.join().unwrap();
    });
}

#[test]
fn tasks_of_parallel_children_are_cancelled_at_any_moment() {
    let rt: Handle = Basic::thread_pool(2).unwrap().into();
    rounds(1500, move |i| {
        let rt2 = rt.clone();
        rt.run(async move {
            let alive = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let alive2 = alive.clone();
            scope(async |s| {
                let tasks: Vec<_> = (0..4)
                    .map(|k| {
                        let alive = alive2.clone();
                        s.spawn_on(
                            async move {
                                alive.fetch_add(1, Ordering::SeqCst);
                                let _d = OnDrop(move || {
                                    alive.fetch_sub(1, Ordering::SeqCst);
                                });
                                for _ in 0..k {
                                    yield_now().await
                                }
                                pending::<()>().await
                            },
                            &rt2,
                        )
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
    });
}

#[test]
fn a_scope_is_cancelled_from_another_thread_at_any_moment() {
    let rt: Handle = Basic::thread_pool(2).unwrap().into();
    rounds(1500, move |i| {
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
                    s.spawn_on(pending::<()>(), &rt);
                    s.spawn(scope(async |s| {
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
    });
}

#[test]
fn a_spawn_that_races_with_the_end_is_refused_or_joined() {
    let rt: Handle = Basic::thread_pool(2).unwrap().into();
    rounds(1500, move |i| {
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
                    s.spawn_on(
                        async move {
                            assert!(!a.load(Ordering::SeqCst));
                            yield_now().await;
                            assert!(!a.load(Ordering::SeqCst))
                        },
                        &rt2,
                    ),
                    s.spawn(async move {
                        yield_now().await;
                        assert!(!b.load(Ordering::SeqCst))
                    }),
                );
                let _ = block_on(k.outcome());
                let _ = block_on(l.outcome());
            });
        });
        block_on(scope(async |s| {
            tx.send(s).unwrap();
            yield_now().await
        }));
        over.store(true, Ordering::SeqCst);
        helper.join().unwrap();
    });
}

#[test]
fn a_scope_dropped_at_any_moment_leaves_its_parallel_children_to_the_scope_around() {
    let rt: Handle = Basic::thread_pool(2).unwrap().into();
    rounds(1500, move |i| {
        let alive = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (alive2, rt2) = (alive.clone(), rt.clone());
        block_on(scope(async |_| {
            let mut inner = Box::pin(scope(async |s| {
                for k in 0..3 {
                    let alive = alive2.clone();
                    s.spawn_on(
                        async move {
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
                        },
                        &rt2,
                    );
                }
                pending::<()>().await
            }));
            let _ = once(inner.as_mut());
            for _ in 0..(i % 50) * 20 {
                std::hint::spin_loop()
            }
        }));
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn a_cancelled_held_child_ends_when_its_hold_is_dropped_elsewhere() {
    bare(|| async {
        type Held = Pin<Box<dyn Future<Output = ()> + Send>>;
        let (tx, rx) = futures::channel::oneshot::channel::<Held>();
        scope(async |s| {
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
    watched(|| {
        type Held = Pin<Box<dyn Future<Output = ()> + Send>>;
        let (tx, rx) = mpsc::channel::<Held>();
        let mut outer = Box::pin(scope(async |_| {
            let inner = scope(async |s| {
                s.defer(async {});
                s.spawn(async move {
                    let mut f: Held = Box::pin(shield(pending::<()>()));
                    assert!(futures::poll!(&mut f).is_pending());
                    let _ = tx.send(f);
                    pending::<()>().await
                });
                yield_now().await;
                s.cancel("x");
                pending::<()>().await
            });
            inner.outcome().await.ok();
        }));
        let waker = CountingWaker::new();
        let mut polls = 0;
        while waker.count() >= polls {
            assert!(waker.poll(outer.as_mut()).is_pending());
            polls += 1;
        }
        // Nothing but the end of the hold can wake it now.
        let (held, before) = (rx.recv().unwrap(), waker.count());
        thread::spawn(move || drop(held)).join().unwrap();
        assert!(waker.count() > before);
        block_on(outer);
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
            scope(async |s| {
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
