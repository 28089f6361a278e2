//! The wind-down of a scope: what needs time to end gets it, and the rest is dropped at once.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use foster::{Scope, Task, Token, deadline, gather, scope, shield, sleep, timeout, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, poll_immediate};

use crate::harness::T;
use crate::probes::{Log, lingering, reason, turns};

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

type Moving = BoxFuture<'static, ()>;

type Start = fn(&Scope<'static>, Moving) -> Task<()>;

matrix! {
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

    // S4: what needs no time to end is dropped at once, newest first
    async fn what_needs_no_time_is_dropped_at_once_newest_first() {
        let log = &Log::new();
        let late = timeout(T, scope(async |s| {
            for n in 0..3 {
                s.spawn(async move {
                    let _dropped = log.on_drop(format!("child {n}"));
                    pending::<()>().await
                });
            }
            s.spawn(lingering(log, "x"));
            let _dropped = log.on_drop("body");
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert!(log.place("x finalized") > log.place("child 0"));
        assert!(log.place("child 2") < log.place("child 1"));
        assert!(log.place("child 1") < log.place("child 0"));
        assert!(log.place("child 0") < log.place("body"));
        assert!(log.place("body") < log.place("x finalized"));
    }

    // S4
    async fn a_finalizer_uses_timeouts_shields_and_scopes_of_its_own() {
        let log = &Log::new();
        let late = timeout(T, scope(async |s| {
            s.defer(async move {
                assert!(Token::current().is_none_or(|token| !token.is_cancelled()));
                assert_eq!(deadline(), None);
                assert!(timeout(T, lingering(log, "in a timeout")).await.is_err());
                shield(sleep(T)).await;
                let sum = scope(async |s| {
                    s.defer(async move { sleep(T).await; log.note("nested finalizer") });
                    let (a, b) = (s.spawn(async { sleep(T).await; 1 }), s.spawn_parallel(async { sleep(T).await; 2 }));
                    a.await + b.await
                }).await;
                log.note(format!("sum {sum}"));
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("returned");
        let entries = log.entries();
        assert_eq!(entries[entries.len() - 4..], ["in a timeout finalized", "nested finalizer", "sum 3", "returned"]);
    }

    // S9
    async fn loops_of_scopes_and_sleeps_and_finalizers_end() {
        let late: Result<(), _> = timeout(T, async {
            loop {
                scope(async |s| {
                    s.defer(sleep(T / 4));
                    sleep(T / 4).await;
                }).await;
            }
        }).await;
        assert!(late.is_err());
        // A loop that only yields would hold the clock of a simulation.
        scope(async |s| {
            let yielding = s.spawn(async { loop { shield(yield_now()).await } });
            let sleeping = s.spawn(async { loop { shield(sleep(Duration::ZERO)).await } });
            yield_now().await;
            yield_now().await;
            yielding.cancel();
            sleeping.cancel();
            let (yielding, sleeping): (Result<(), _>, Result<(), _>) = (yielding.outcome().await, sleeping.outcome().await);
            assert!(yielding.is_err() && sleeping.is_err());
        }).await;
    }

    // S4: what a region waits for may have been moved away, and end on another thread
    async fn whoever_waits_for_the_last_hold_is_woken_by_its_end_on_another_thread() {
        let regions: [(&str, Start); 3] = [
            ("child", |s, moving| s.spawn(moving)),
            ("parallel child", |s, moving| s.spawn_parallel(moving)),
            ("timeout", |s, moving| s.spawn(timeout(Duration::ZERO, moving).map(drop))),
        ];
        for (name, start) in regions {
            scope(async |s| {
                let (give, moved) = oneshot::channel();
                let region = start(&s, async move {
                    let mut held = shield(pending()).boxed();
                    assert!(poll_immediate(&mut held).await.is_none());
                    give.send(held).ok();
                    pending().await
                }.boxed());
                let held: Moving = moved.await.unwrap();
                if name != "timeout" {
                    region.cancel();
                }
                sleep(2 * T).await;
                assert!(!region.is_finished(), "{name}");
                thread::spawn(move || drop(held)).join().unwrap();
                assert_eq!(region.outcome().await.is_ok(), name == "timeout", "{name}");
            }).await;
        }
    }

    // S7
    async fn an_outer_timeout_during_an_inner_wind_down_waits_for_it() {
        let log = &Log::new();
        let late = timeout(2 * T, timeout(T, scope(async |s| {
            s.defer(async move { sleep(4 * T).await; log.note("finalized") });
            pending::<()>().await
        })));
        drop(late.await);
        log.note("returned");
        assert_eq!(log.entries(), ["finalized", "returned"]);
    }

    // S4
    async fn finalizers_run_after_children_last_in_first_out_and_one_at_a_time() {
        let log = &Log::new();
        let late = timeout(T, scope(async |s| {
            for n in 0..3 {
                s.defer(async move {
                    log.note(format!("{n} begins"));
                    sleep(T / 2).await;
                    log.note(format!("{n} ends"));
                });
            }
            s.spawn(async move {
                let _over = log.on_drop("child over");
                pending::<()>().await
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(
            log.entries(),
            ["child over", "2 begins", "2 ends", "1 begins", "1 ends", "0 begins", "0 ends"]
        );
    }

    // S3
    async fn a_panic_in_a_finalizer_is_resumed_when_the_others_have_run() {
        let log = &Log::new();
        let late = std::panic::AssertUnwindSafe(timeout(T, scope(async |s| {
            s.defer(async move { sleep(T / 2).await; log.note("first") });
            s.defer(async move { sleep(T / 2).await; panic!("in a finalizer") });
            s.defer(async move { sleep(T / 2).await; log.note("third") });
            pending::<()>().await
        }))).catch_unwind();
        assert_eq!(crate::probes::message(late.await.unwrap_err()), "in a finalizer");
        assert_eq!(log.entries(), ["third", "first"]);
    }

    // S4: a region that is tripped starts nothing new
    async fn nothing_new_starts_in_what_is_winding_down() {
        let log = &Log::new();
        let late = timeout(T, async {
            let region = Token::current().expect("a region");
            shield(async move {
                region.cancelled().await;
                yield_now().await;
            }).await;
            scope(async |s| {
                s.spawn(async move { log.note("a child started") });
                log.note("a body started");
            }).await;
            log.note("went on");
        });
        assert!(late.await.is_err());
        assert!(log.entries().is_empty(), "{:?}", log.entries());
    }
}

// S4. The hold went between the look at it and the registration of who waits for its end.
#[test]
fn the_last_hold_may_be_let_go_of_on_another_thread_at_any_moment() {
    crate::harness::raced(|| {
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
