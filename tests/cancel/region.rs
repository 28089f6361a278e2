//! Regions: what is being cancelled, and what runs in no region of it.

use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use foster::runtimes::Sim;
use foster::testing::CountingWaker;
use foster::{
    Deadline, Inherited, Scope, Token, TryScope, deadline, gather, now, scope, shield, sleep, timeout, try_scope,
    yield_now,
};
use futures::channel::oneshot::{self, Receiver, Sender};

use crate::harness::{T, watched};
use crate::probes::{Gate, Log, OnDrop, poll_by_hand, secs};

/// Blocks this thread, whatever executor runs on it, until `future` is ready.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// All that does not start in a region that is ending, without a wait for time.
async fn everything() {
    scope(async |s: Scope<'_>| s.spawn(async { yield_now().await }).await).await;
    shield(yield_now()).await;
    sleep(Duration::ZERO).await;
    timeout(1000 * T, yield_now()).await.unwrap();
    assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
    assert!(Token::current().is_none());
}

static NAME: Inherited<&str> = Inherited::new();

type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A timeout that holds for ever.
fn held_by_a_timeout() -> Held {
    Box::pin(async { drop(timeout(Duration::MAX, shield(pending::<()>())).await) })
}

/// A future that polls `held` until it is taken away.
fn moving(held: Held) -> (impl Future<Output = ()>, impl FnOnce() -> Held) {
    let slot = Arc::new(Mutex::new(Some(held)));
    let take = {
        let slot = slot.clone();
        move || slot.lock().unwrap().take().expect("it is taken once")
    };
    let polling = poll_fn(move |cx| match &mut *slot.lock().unwrap() {
        Some(held) => held.as_mut().poll(cx),
        None => Poll::Pending,
    });
    (polling, take)
}

matrix! {
    async fn a_destructor_may_wait_when_its_child_is_cancelled() {
        let log = &Log::new();
        let late = timeout(T, scope(async |s: Scope<'_>| {
            s.spawn(async {
                let _wait = OnDrop(|| { block_on(everything()); log.note("child") });
                pending::<()>().await
            });
            let _wait = OnDrop(|| { block_on(everything()); log.note("body") });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["child", "body"]);
    }

    async fn a_destructor_may_wait_when_its_scope_fails_or_its_task_is_cancelled() {
        let log = &Log::new();
        let outcome = scope(async |s: Scope<'_>| {
            let _wait = OnDrop(|| { block_on(everything()); log.note("body") });
            let alone = s.spawn(async {
                let _wait = OnDrop(|| { block_on(everything()); log.note("alone") });
                pending::<()>().await
            });
            s.spawn(async {
                let _wait = OnDrop(|| { block_on(everything()); log.note("all") });
                pending::<()>().await
            });
            yield_now().await;
            alone.cancel();
            assert!(alone.outcome().await.is_err());
            s.cancel("all");
            pending::<()>().await
        });
        assert!(outcome.outcome().await.is_err());
        assert_eq!(log.entries(), ["alone", "all", "body"]);
    }

    async fn a_destructor_may_wait_in_a_region_that_is_cancelled_from_around() {
        let log = &Log::new();
        let late = timeout(T, gather((
            timeout(1000 * T, async {
                let _wait = OnDrop(|| { block_on(everything()); log.note("dropped") });
                pending::<()>().await
            }),
            shield(sleep(2 * T)),
        )));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["dropped"]);
    }

    // The code after the timeout ran on, long after its task had been cancelled.
    async fn a_timeout_says_nothing_in_a_task_that_was_cancelled_before() {
        let log = &Log::new();
        let work = |deadline: &Deadline, gate: Receiver<()>, started: Sender<Token>| {
            let (deadline, log) = (deadline.clone(), log.clone());
            async move {
                let _over = log.on_drop("over");
                let slow = deadline.timeout(async {
                    started.send(Token::current().unwrap()).unwrap();
                    shield(gate).await.unwrap();
                    pending::<()>().await
                });
                drop(slow.await);
                log.note("went on");
            }
        };
        scope(async |s: Scope<'_>| {
            for parallel in [false, true] {
                let deadline = Deadline::never();
                let ((open, gate), (started, start)) = (oneshot::channel(), oneshot::channel());
                let work = work(&deadline, gate, started);
                let task = if parallel { s.spawn_parallel(work) } else { s.spawn(work) };
                let region = start.await.unwrap();
                task.cancel();
                region.cancelled().await;
                deadline.set(now()).unwrap();
                sleep(T).await;
                open.send(()).unwrap();
                assert!(task.outcome().await.is_err());
            }
        }).await;
        let (token, deadline) = (Token::new(), Deadline::never());
        let ((open, gate), (started, start)) = (oneshot::channel(), oneshot::channel());
        let until = token.run_until_cancelled(work(&deadline, gate, started));
        let cancel = async {
            let region = start.await.unwrap();
            token.cancel("enough");
            region.cancelled().await;
            deadline.set(now()).unwrap();
            sleep(T).await;
            open.send(()).unwrap();
        };
        let (ended, ()) = gather((until, cancel)).await;
        assert!(ended.is_err());
        assert_eq!(log.entries(), ["over", "over", "over"]);
    }
}

sim! {
    async fn what_needs_time_and_moves_elsewhere_no_longer_keeps_its_first_home() {
        for held in [held_by_a_timeout(), Box::pin(shield(pending()))] {
            scope(async |s: Scope<'_>| {
                let (polling, take) = moving(held);
                let home = s.spawn(polling);
                yield_now().await;
                home.cancel();
                yield_now().await;
                assert!(!home.is_finished(), "it needs time");
                let mut held = take();
                assert!(poll_by_hand(&mut held).is_pending());
                assert!(home.outcome().await.is_err());
            }).await;
        }
    }
}

// It blocked for ever on what does not start in a region that is ending.
#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "10s")]
async fn a_blocking_job_of_a_cancelled_scope_may_wait() {
    let (log, noting) = (Log::new(), Log::new());
    let (noted, begun) = (noting.clone(), Gate::new());
    let beginning = begun.clone();
    let end = Deadline::after(10_000 * T);
    let ending = end.clone();
    let late = end.timeout(NAME.provide(
        "inherited",
        scope(async move |s: Scope<'_>| {
            let token = s.stop_token();
            s.spawn_blocking(move || {
                beginning.open();
                while !token.is_cancelled() {
                    std::thread::yield_now();
                }
                assert!(deadline().is_some());
                assert_eq!(NAME.get().as_deref(), Some(&"inherited"));
                block_on(async {
                    sleep(T / 10).await;
                    everything().await;
                });
                noted.note("done");
            });
            begun.wait().await;
            ending.set(now()).unwrap();
            pending::<()>().await
        }),
    ));
    assert!(late.await.is_err());
    log.note("over");
    assert_eq!((noting.entries(), log.entries()), (vec!["done".into()], vec!["over".into()]));
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "10s")]
async fn a_job_past_a_grace_of_zero_passes_to_the_enclosing_scope() {
    let log = Log::new();
    let noting = log.clone();
    let deadline = &Deadline::never();
    scope(async |outer: Scope<'_>| {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (started, start) = futures::channel::oneshot::channel();
        let late = deadline.timeout(scope(async move |s: Scope<'_>| {
            s.spawn_blocking(move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
                noting.note("done");
            });
            pending::<()>().await
        }));
        let late = outer.spawn(late.grace(Duration::ZERO));
        start.await.unwrap();
        deadline.set(now()).unwrap();
        assert!(late.await.is_err());
        log.note("the inner scope is over");
        go.send(()).unwrap();
    })
    .await;
    log.note("the outer scope is over");
    assert_eq!(log.entries(), ["the inner scope is over", "done", "the outer scope is over"]);
}

#[test]
fn what_ends_in_a_region_that_is_not_cancelled_wakes_nobody() {
    let waker = CountingWaker::new();
    let mut guarded = pin!(timeout(secs(1_000), async {
        shield(yield_now()).await;
        pending::<()>().await
    }));
    for _ in 0..3 {
        assert!(waker.poll(guarded.as_mut()).is_pending());
        assert_eq!(waker.count(), 1, "the shield has yielded once");
    }
}

// The token of a region may be kept by anybody.
#[test]
fn a_token_that_is_kept_does_not_keep_the_waker_of_its_region() {
    struct Waked;
    impl Wake for Waked {
        fn wake(self: Arc<Self>) {}
    }
    let (waked, mut token) = (Arc::new(Waked), None);
    let waker = Waker::from(Arc::clone(&waked));
    let mut guarded = Box::pin(timeout(Duration::MAX, async {
        token = Token::current();
        pending::<()>().await
    }));
    assert!(guarded.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop((guarded, waker));
    assert!(token.is_some());
    assert_eq!(Arc::strong_count(&waked), 1);
}

// S7. The scope is polled without a look at what it has in it, as its body is all there is.
#[test]
fn a_scope_that_has_moved_does_not_end_with_the_scope_that_it_has_left() {
    watched(|| {
        let sim = &Sim::new(1);
        sim.run(async {
            let mut moving = Box::pin(scope(async |_| timeout(secs(1), pending::<()>()).await));
            let left = scope(async |s: Scope<'_>| {
                for _ in 0..3 {
                    assert!(futures::poll!(moving.as_mut()).is_pending());
                }
                s.cancel("it has moved");
            });
            left.await;
            sim.advance(secs(3));
            assert!(scope(async |_| moving.await).await.is_err());
        });
    });
}

// S7, S9
#[test]
fn a_scope_that_has_moved_into_a_shield_does_not_end_with_the_scope_around_the_shield() {
    watched(|| {
        let sim = &Sim::new(1);
        let log = &Log::new();
        sim.run(scope(async |s: Scope<'_>| {
            let mut moving = Box::pin(scope(async |_| timeout(secs(1), pending::<()>()).await));
            for _ in 0..3 {
                assert!(futures::poll!(moving.as_mut()).is_pending());
            }
            shield(async {
                s.cancel("enough");
                sim.advance(secs(3));
                assert!(moving.await.is_err());
                log.note("went on");
            })
            .await;
        }));
        assert_eq!(log.entries(), ["went on"]);
    });
}

// S4. Polled outside of every region, the scope had nothing to hold, and as its body was all there
// was to poll, it did not look again where it is. So the timeout dropped it at once.
#[test]
fn a_scope_with_a_finalizer_or_an_error_that_moves_into_its_first_region_has_its_time_there() {
    watched(|| {
        let log = &Log::new();
        for polls in 0..4 {
            let mut deferring = pin!(scope(async |s: Scope<'_>| {
                s.defer(async {
                    yield_now().await;
                    log.note("finalizer");
                });
                pending::<()>().await
            }));
            let failing = try_scope(async |s: TryScope<'_, u8>| {
                s.spawn(async { Err::<(), u8>(7) });
                pending::<Result<(), u8>>().await
            });
            let mut failing = pin!(failing.keep_going());
            for _ in 0..polls {
                assert!(poll_by_hand(deferring.as_mut()).is_pending());
                assert!(poll_by_hand(failing.as_mut()).is_pending());
            }
            assert!(block_on(timeout(T, deferring)).is_err());
            assert_eq!(log.entries().len(), polls + 1);
            let errors = block_on(timeout(T, failing)).expect("an error wins").unwrap_err();
            assert_eq!(errors.into_vec(), [7]);
        }
    });
}

#[test]
fn what_needs_time_and_moves_out_of_every_region_keeps_none() {
    watched(|| {
        let (polling, take) = moving(held_by_a_timeout());
        block_on(async {
            let outcome = timeout(T, async {
                yield_now().await;
                polling.await
            });
            let moved = async {
                // Past the timeout, whose wind-down waits.
                sleep(3 * T).await;
                let mut held = take();
                assert!(futures::poll!(&mut held).is_pending());
                held
            };
            let (outcome, _held) = futures::join!(outcome, moved);
            assert!(outcome.is_err());
        });
    });
}

// Virtual time, moved by hand: the region is cancelled, and the deadline passes, in one poll.
#[test]
fn a_timeout_that_expires_in_the_poll_of_the_cancellation_says_nothing() {
    watched(|| {
        let sim = &Sim::new(1);
        let log = &Log::new();
        sim.run(async {
            for nested in [false, true] {
                let outcome = scope(async |s: Scope<'_>| {
                    let inside = async {
                        let work = timeout(secs(1), async {
                            s.cancel("first");
                            sim.advance(secs(3));
                            yield_now().await;
                        });
                        drop(work.await);
                        log.note("went on");
                    };
                    if nested {
                        drop(timeout(secs(100), inside).await);
                    } else {
                        inside.await;
                    }
                    pending::<()>().await
                });
                assert!(outcome.outcome().await.is_err());
            }
            scope(async |s: Scope<'_>| {
                let noting = log.clone();
                let task = s.spawn_parallel(async move {
                    noting.note("began");
                    drop(timeout(secs(1), pending::<()>()).await);
                    noting.note("went on");
                });
                while !log.has("began") {
                    yield_now().await;
                }
                task.cancel();
                sim.advance(secs(3));
                assert!(task.outcome().await.is_err());
            })
            .await;
            let token = Token::new();
            let inside = async {
                drop(timeout(secs(1), pending::<()>()).await);
                log.note("went on");
                pending::<()>().await
            };
            let cancel = async {
                token.cancel("first");
                sim.advance(secs(3));
            };
            let (ended, ()) = futures::join!(token.run_until_cancelled(inside), cancel);
            assert!(ended.is_err());
        });
        assert_eq!(log.entries(), ["began"]);
    });
}
