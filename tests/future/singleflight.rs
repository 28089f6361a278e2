//! Work that several callers share: to whom it belongs, and who hears how it ended.

use std::cell::RefCell;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

use foster::future::{FlightError, Singleflight};
use foster::scope::Spawner;
use foster::testing::{CountingWaker, Drops, Gate, cancel_at_every_await, explore_all, poll_once};
use foster::{Inherited, Reason, Token, deadline, gather, local, scope, shield, sleep, timeout, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;

use crate::harness::T;
use crate::probes::{OnDrop, turns};

/// Polls until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(T / 10).await;
    }
}

matrix! {
    async fn many_callers_share_one_piece_of_work() {
        let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Gate::new());
        let values = scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let callers: Vec<_> = (0..20).map(|i| {
                let (flights, begun, wait) = (flights.clone(), begun.clone(), gate.wait());
                let call = async move {
                    flights.run(i % 2, async move {
                        begun.fetch_add(1, SeqCst);
                        wait.await;
                        i % 2
                    }).await
                };
                if i % 3 == 0 { s.spawn(call) } else { s.spawn_parallel(call) }
            }).collect();
            until(|| gate.waiting() == 2).await;
            assert_eq!(flights.len(), 2);
            gate.open();
            let values = gather(callers).await;
            assert!(flights.is_empty());
            values
        }).await;
        // Those of the callers that came after the end began anew, which takes them no time.
        assert!(values.iter().enumerate().all(|(i, value)| i % 2 == *value));
        assert!(begun.load(SeqCst) >= 2);
    }

    async fn who_comes_after_the_end_starts_anew() {
        let begun = Arc::new(AtomicUsize::new(0));
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            for round in 0..3 {
                let begun = begun.clone();
                assert_eq!(flights.run("key", async move { begun.fetch_add(1, SeqCst) }).await, round);
                assert!(flights.is_empty());
            }
        }).await;
    }

    // async_singleflight#8: when the first caller was dropped, its work was dropped with it, and
    // those who had joined waited for ever.
    async fn a_caller_that_goes_away_stops_nothing() {
        let gate = Gate::new();
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let wait = gate.wait();
            let mut first = Box::pin(flights.run("key", async move { wait.await; 7 }));
            assert!(poll_once(&mut first).await.is_pending());
            let mut second = Box::pin(flights.run("key", async { 8 }));
            assert!(poll_once(&mut second).await.is_pending());
            assert!(timeout(T, first).await.is_err());
            gate.open();
            assert_eq!(second.await, 7);
        }).await;
    }

    // A futurelock: the first caller lies in an arm of a `select` that is not polled any more.
    async fn a_caller_that_is_not_polled_keeps_nobody_waiting() {
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let (begun, gate) = (Gate::new(), Gate::new());
            let (begins, wait) = (begun.clone(), gate.wait());
            let mut unpolled = Box::pin(flights.run("key", async move { begins.open(); wait.await; 7 }));
            assert!(poll_once(&mut unpolled).await.is_pending());
            begun.wait().await;
            gate.open();
            assert_eq!(flights.run("key", async { 7 }).await, 7);
            assert_eq!(unpolled.await, 7);
        }).await;
    }

    async fn work_that_nobody_waits_for_goes_on_to_its_end() {
        let (gate, done) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let (wait, ends) = (gate.wait(), done.clone());
            let mut first = Box::pin(flights.run("key", async move { wait.await; ends.fetch_add(1, SeqCst) }));
            assert!(poll_once(&mut first).await.is_pending());
            drop(first);
            assert_eq!(flights.len(), 1);
            gate.open();
            // The scope waits for it.
        }).await;
        assert_eq!(done.load(SeqCst), 1);
    }

    async fn a_panic_reaches_all_callers_and_the_scope_goes_on() {
        let gate = Gate::new();
        let (first, second) = scope(async |s| {
            let flights = Singleflight::<_, u32>::new(s.spawner());
            let wait = gate.wait();
            let mut first = Box::pin(flights.run("key", async move { wait.await; panic!("out of luck") }).outcome());
            assert!(poll_once(&mut first).await.is_pending());
            let mut second = Box::pin(AssertUnwindSafe(flights.run("key", pending())).catch_unwind());
            assert!(poll_once(&mut second).await.is_pending());
            gate.open();
            let both = (first.await, second.await);
            assert_eq!(flights.run("key", async { 7 }).await, 7);
            both
        }).await;
        let error = first.unwrap_err();
        assert!(error.is_panicked() && !error.is_cancelled() && error.reason().is_none());
        assert_eq!(error.to_string(), "the shared work panicked: out of luck");
        let message = second.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*message, "the shared work panicked: out of luck; `outcome()` says so without a panic");
    }

    async fn an_error_reaches_all_callers() {
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let fails = || async { yield_now().await; Err::<u32, _>(Arc::new("no disk")) };
            let (first, second) = gather((flights.run("key", fails()), flights.run("key", fails()))).await;
            assert_eq!((first, second), (Err(Arc::new("no disk")), Err(Arc::new("no disk"))));
        }).await;
    }

    async fn when_the_scope_is_cancelled_callers_elsewhere_hear_why() {
        let slot = OnceLock::new();
        let (cancelled, reasons) = gather((
            scope(async |s| {
                slot.set(Singleflight::<_, u32>::new(s.spawner())).unwrap();
                sleep(T).await;
                s.cancel("closing time");
            }),
            async {
                until(|| slot.get().is_some()).await;
                let flights = slot.get().unwrap();
                let (first, second) = gather([(); 2].map(|()| flights.run("key", pending()).outcome()))
                    .await.into();
                let third = flights.run("key", async { 7 }).outcome().await;
                [first, second, third].map(|outcome| outcome.unwrap_err())
            },
        )).await;
        let () = cancelled;
        for error in reasons {
            assert!(error.is_cancelled() && !error.is_panicked());
            assert_eq!(error.reason(), Some(&Reason::from("closing time")));
            assert_eq!(error.to_string(), "the shared work was cancelled: requested: closing time");
        }
        assert!(slot.get().unwrap().is_empty());
    }

    async fn a_scope_that_has_completed_refuses_work() {
        let flights = scope(async |s| Singleflight::<_, u32>::new(s.spawner())).await;
        let drops = Drops::new();
        let guard = drops.guard();
        let error = flights.run("key", async move { let _held = guard; 7 }).outcome().await.unwrap_err();
        assert_eq!(error.reason(), Some(&Reason::Parent));
        assert_eq!((drops.count(), flights.len()), (1, 0));
    }

    // Nothing is lost where foreign code drops the scope: who waits elsewhere hears of it.
    async fn when_the_scope_is_dropped_callers_elsewhere_do_not_hang() {
        let slot = OnceLock::new();
        let mut owner = Box::pin(scope(async |s| {
            slot.set(Singleflight::<_, u32>::new(s.spawner())).unwrap();
            pending::<()>().await
        }));
        assert!(poll_once(&mut owner).await.is_pending());
        let flights = slot.get().unwrap();
        let mut caller = Box::pin(flights.run("key", pending()).outcome());
        assert!(poll_once(&mut caller).await.is_pending());
        drop(owner);
        assert!(caller.await.unwrap_err().is_cancelled());
    }

    async fn the_last_caller_that_goes_away_cancels_the_work_where_this_was_asked() {
        let drops = Drops::new();
        scope(async |s| {
            let flights = Singleflight::new(s.spawner()).cancel_abandoned();
            let work = || { let guard = drops.guard(); async move { let _held = guard; pending::<u32>().await } };
            let mut callers: Vec<_> = (0..3).map(|_| Box::pin(flights.run("key", work()))).collect();
            for caller in &mut callers {
                assert!(poll_once(caller).await.is_pending());
            }
            assert_eq!(drops.alive(), 1, "the work of those that join is dropped");
            callers.truncate(1);
            yield_now().await;
            assert_eq!((drops.alive(), flights.len()), (1, 1));
            callers.clear();
            until(|| drops.alive() == 0 && flights.is_empty()).await;
        }).await;
    }

    async fn who_comes_after_the_last_has_left_starts_anew_while_the_former_work_ends() {
        let (begun, gate, ended) = (Gate::new(), Gate::new(), Arc::new(AtomicUsize::new(0)));
        scope(async |s| {
            let flights = Singleflight::new(s.spawner()).cancel_abandoned();
            let (begins, wait, ends) = (begun.clone(), gate.wait(), ended.clone());
            let mut first = Box::pin(flights.run("key", shield(async move {
                begins.open();
                wait.await;
                ends.fetch_add(1, SeqCst);
                1
            })));
            assert!(poll_once(&mut first).await.is_pending());
            begun.wait().await;
            drop(first);
            assert_eq!(flights.run("key", async { 2 }).await, 2);
            let last = Gate::new();
            let wait = last.wait();
            let mut third = Box::pin(flights.run("key", async move { wait.await; 3 }));
            assert!(poll_once(&mut third).await.is_pending());
            gate.open();
            until(|| ended.load(SeqCst) == 1).await;
            yield_now().await;
            assert_eq!(flights.len(), 1, "the end of the first work does not take the key of the third");
            last.open();
            assert_eq!(third.await, 3);
        }).await;
    }

    async fn a_key_that_is_forgotten_is_started_anew() {
        let gate = Gate::new();
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let wait = gate.wait();
            let mut old = Box::pin(flights.run("key", async move { wait.await; "old" }));
            assert!(poll_once(&mut old).await.is_pending());
            flights.forget(&"key");
            flights.forget(&"key");
            let again = gate.wait();
            let mut new = Box::pin(flights.run("key", async move { again.await; "new" }));
            assert!(poll_once(&mut new).await.is_pending());
            assert_eq!(flights.len(), 1);
            gate.open();
            assert_eq!((old.await, new.await), ("old", "new"));
            assert!(flights.is_empty());
        }).await;
    }

    async fn work_inherits_nothing_from_its_first_caller() {
        static WHO: Inherited<&str> = Inherited::new();
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let call = flights.run("key", async { (deadline().is_some(), WHO.get()) });
            assert_eq!(WHO.provide("the caller", timeout(100 * T, call)).await, Ok((false, None)));
        }).await;
    }

    async fn nothing_begins_in_a_cancelled_region() {
        scope(async |s| {
            let flights = Singleflight::new(s.spawner());
            let elapsed = timeout(T, async {
                shield(Token::current().unwrap().cancelled()).await;
                // In the same poll as the end of the shield: the region is cancelled.
                flights.run("key", async { 7 }).await;
                unreachable!("it does not begin");
            });
            assert!(elapsed.await.is_err());
            assert!(flights.is_empty());
        }).await;
    }

    async fn who_is_cancelled_with_the_work_does_not_panic() {
        let outcome = scope(async |s| {
            let flights = Singleflight::<_, u32>::new(s.spawner());
            s.spawn(async { sleep(T).await; });
            let (cancels, calls) = (s.clone(), flights.clone());
            s.spawn(async move { sleep(T).await; cancels.cancel("closing time") });
            s.spawn(shield(async move { calls.run("key", pending()).outcome().await.unwrap_err(); }));
            flights.run("key", pending()).await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("closing time"));
    }

    // What waits for the work is polled on, because a shield beside it needs time to end.
    async fn who_outlives_the_work_in_a_cancelled_region_stays_pending() {
        let (slot, gate) = (OnceLock::new(), Gate::new());
        let cancelled = scope(async |s| {
            let flights = Singleflight::<_, u32>::new(s.spawner());
            let (calls, wait) = (flights.clone(), gate.wait());
            s.spawn(async move {
                let call = async { calls.run("key", pending()).await };
                gather((shield(wait), call)).await;
                unreachable!("there is no value");
            });
            until(|| !flights.is_empty()).await;
            slot.set(flights).unwrap();
            s.cancel("closing time");
        });
        let opens = async {
            until(|| slot.get().is_some_and(|flights| flights.is_empty())).await;
            sleep(T).await;
            gate.open();
        };
        gather((cancelled, opens)).await;
    }

    async fn nothing_happens_before_the_first_poll() {
        scope(async |s| {
            let (flights, drops) = (Singleflight::new(s.spawner()), Drops::new());
            let guard = drops.guard();
            let call = flights.run("key", async move { let _held = guard; 7 });
            assert_eq!(format!("{call:?}"), "Flight { stage: \"fresh\", .. }");
            yield_now().await;
            assert!(flights.is_empty());
            drop(call);
            assert_eq!(drops.count(), 1);
        }).await;
    }
}

#[test]
fn a_runtime_that_ends_ends_the_work_and_its_callers_hear_of_it() {
    crate::harness::watched(|| {
        futures::executor::block_on(async {
            let pool = foster::runtimes::Basic::thread_pool(1).unwrap();
            let error = scope(async |s| {
                let flights = Singleflight::<_, u32>::new(s.on(&pool).spawner());
                let mut caller = Box::pin(flights.run("key", pending()).outcome());
                assert!(poll_once(&mut caller).await.is_pending());
                drop(pool);
                let first = caller.await.unwrap_err();
                (first, flights.run("key", async { 7 }).outcome().await.unwrap_err())
            })
            .await;
            assert_eq!((error.0.reason(), error.1.reason()), (Some(&Reason::Shutdown), Some(&Reason::Shutdown)));
        });
    });
}

#[test]
fn a_caller_is_woken_once_and_not_polled_after_its_end() {
    futures::executor::block_on(scope(async |s| {
        let flights = Singleflight::new(s.spawner());
        let (send, receive) = oneshot::channel::<u32>();
        let (mut first, waker) = (Box::pin(flights.run("key", receive.map(Result::unwrap))), CountingWaker::new());
        assert!(waker.poll(first.as_mut()).is_pending());
        assert_eq!(format!("{first:?}"), "Flight { stage: \"waiting\", .. }");
        send.send(7).unwrap();
        until_yields(|| waker.count() == 1).await;
        assert_eq!(waker.poll(first.as_mut()), std::task::Poll::Ready(7));
        assert_eq!(format!("{first:?}"), "Flight { stage: \"completed\", .. }");
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| waker.poll(first.as_mut()))).is_err());
    }));
}

async fn until_yields(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// A key that looks at the flights when it is dropped.
#[derive(Clone)]
struct Curious(Arc<Mutex<Option<Singleflight<Curious, u32>>>>);

impl Drop for Curious {
    fn drop(&mut self) {
        if let Some(flights) = self.0.lock().unwrap().as_ref() {
            flights.len();
        }
    }
}

impl PartialEq for Curious {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Curious {}

impl std::hash::Hash for Curious {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[test]
fn keys_are_dropped_without_the_lock() {
    crate::harness::watched(|| {
        futures::executor::block_on(scope(async |s| {
            let slot = Arc::new(Mutex::new(None));
            let flights = Singleflight::new(s.spawner()).cancel_abandoned();
            *slot.lock().unwrap() = Some(flights.clone());
            let key = || Curious(slot.clone());
            assert_eq!(flights.run(key(), async { 7 }).await, 7);
            let mut abandoned = Box::pin(flights.run(key(), pending()));
            assert!(poll_once(&mut abandoned).await.is_pending());
            drop(abandoned);
            assert_eq!(gather([(); 2].map(|()| flights.run(key(), async { 8 }))).await, [8, 8]);
            let mut forgotten = Box::pin(flights.run(key(), pending()));
            assert!(poll_once(&mut forgotten).await.is_pending());
            flights.forget(&key());
            drop(forgotten);
            let last = slot.lock().unwrap().take();
            drop(last);
        }));
    });
}

#[test]
fn statistics_tell_what_runs_and_who_waits() {
    let usage = |flights: &Singleflight<u32, u32>| {
        let statistics = flights.statistics();
        (statistics.in_use(), statistics.waiting(), statistics.peak_waiting())
    };
    futures::executor::block_on(scope(async |s| {
        let (flights, gate) = (Singleflight::new(s.spawner()), Arc::new(Gate::new()));
        let call = |key: u32| {
            let gate = gate.clone();
            flights.run(key, async move {
                gate.wait().await;
                key
            })
        };
        let (mut first, mut second, mut other) = (Box::pin(call(1)), Box::pin(call(1)), Box::pin(call(2)));
        assert_eq!(usage(&flights), (0, 0, 0), "nothing happens before the first poll");
        for call in [&mut first, &mut second, &mut other] {
            assert!(poll_once(call).await.is_pending());
        }
        assert_eq!(usage(&flights), (2, 3, 3));
        drop(second);
        flights.forget(&1);
        assert_eq!(usage(&flights), (1, 2, 3), "who waits for forgotten work still waits");
        gate.open();
        assert_eq!(gather((first, other)).await, (1, 2));
        assert_eq!(usage(&flights), (0, 0, 3));
    }));
}

#[test]
fn handles_and_futures_are_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    futures::executor::block_on(scope(async |s| {
        let flights = Singleflight::new(s.spawner());
        check(&flights);
        check(&flights.run(1, async { 1 }));
        check(&flights.run(1, async { 1 }).outcome());
        assert_eq!(format!("{flights:?}"), "Singleflight { len: 0, .. }");
    }));
    fn error<T: std::error::Error + Send + Sync>() {}
    error::<FlightError>();
}

#[test]
fn dropped_at_any_point_nothing_is_left() {
    let current: RefCell<Option<Singleflight<usize, usize>>> = RefCell::new(None);
    let drops = Drops::new();
    let report = cancel_at_every_await(
        || {
            local::scope(async |s| {
                let flights = Singleflight::new(s.spawner()).cancel_abandoned();
                current.replace(Some(flights.clone()));
                for i in 0..3 {
                    let (flights, guard) = (flights.clone(), drops.guard());
                    s.spawn(async move {
                        let call = flights.run(i / 2, async move {
                            yield_now().await;
                            drop(guard);
                            i
                        });
                        call.outcome().await.unwrap();
                    });
                }
            })
        },
        || {
            assert_eq!(drops.alive(), 0);
            assert!(current.borrow().as_ref().is_none_or(|flights| flights.is_empty()));
        },
    );
    assert!(report.suspensions().iter().any(|what| what.contains("shared work")), "{report:?}");
}

#[test]
fn under_every_schedule_all_callers_get_the_value_of_some_work() {
    let explored = explore_all(|| async {
        let begun = Arc::new(AtomicUsize::new(0));
        scope(async |s| {
            let flights = Singleflight::new(Spawner::current()).cancel_abandoned();
            for leaves in [true, false, false] {
                let (flights, begun) = (flights.clone(), begun.clone());
                s.spawn_parallel(async move {
                    let mut call = Box::pin(flights.run((), async move {
                        let number = begun.fetch_add(1, SeqCst);
                        yield_now().await;
                        number
                    }));
                    if leaves {
                        let _ = poll_once(&mut call).await;
                    } else {
                        assert!(call.await < 3);
                    }
                });
            }
        })
        .await;
        assert!((1..=3).contains(&begun.load(SeqCst)));
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

#[test]
fn a_panic_of_the_destructors_of_abandoned_work_does_not_fail_the_scope() {
    futures::executor::block_on(scope(async |s| {
        let flights = Singleflight::new(s.spawner()).cancel_abandoned();
        let work = async {
            let _panics = OnDrop(|| panic!("in a destructor"));
            pending::<()>().await
        };
        let mut call = Box::pin(flights.run((), work));
        assert!(poll_once(&mut call).await.is_pending());
        turns().await;
        drop(call);
        turns().await;
        assert!(flights.is_empty());
    }));
}

#[test]
fn work_that_is_refused_has_been_dropped_when_its_callers_hear_of_it() {
    futures::executor::block_on(async {
        let flights = scope(async |s| Singleflight::new(s.spawner())).await;
        let (seen, asked) = (Arc::new(AtomicUsize::new(7)), flights.clone());
        let noted = seen.clone();
        let dropped = OnDrop(move || noted.store(asked.len(), SeqCst));
        let work = async move {
            let _dropped = dropped;
        };
        assert!(flights.run((), work).outcome().await.is_err());
        assert_eq!((seen.load(SeqCst), flights.len()), (1, 0));
    });
}
