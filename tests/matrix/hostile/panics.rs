//! Panics where nobody expects them: in destructors, on runtimes, beside errors.

use super::*;

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
fn a_late_error_beside_a_panic_is_told_to_the_observer() {
    bare(|| async {
        let seen = Arc::new(AtomicBool::new(false));
        let seen2 = seen.clone();
        let run = try_scope(|s| async move {
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
