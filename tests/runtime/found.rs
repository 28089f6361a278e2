//! What holds where nobody called `enter`: tokio is found where the code runs.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use foster::runtimes::{Sim, Smol, Tokio};
use foster::{Handle, Scope, adopt, now, scope, shield, sleep, timeout, timeout_detach, yield_now};
use futures::channel::oneshot;
use futures::future::poll_immediate;
use tokio::runtime::{Builder, Runtime};

use crate::harness::{self, T, watched};
use crate::probes::{Log, secs};

pub(crate) fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().thread_name("bare").build().unwrap()
}

pub(crate) fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("bare").build().unwrap()
}

/// Runs `test` under the watchdog on both flavours of tokio, where nothing of foster's has been
/// called.
pub(crate) fn on_tokio<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    watched(move || {
        current_thread().block_on(test());
        multi_thread().block_on(test());
    });
}

/// Starts `future` and drops it, as somebody's `select!` does.
async fn start_and_drop(future: impl Future) {
    assert!(poll_immediate(pin!(future)).await.is_none());
}

#[test]
fn the_runtime_in_force_is_told() {
    on_tokio(|| async {
        assert_eq!(Handle::current().name(), "tokio");
        let spawned = tokio::spawn(async { Handle::try_current().map(|handle| handle.name()) });
        assert_eq!(spawned.await.unwrap(), Some("tokio"));
        let inside = Sim::new(1).enter(async { Handle::current().name() });
        assert_eq!(inside.await, "sim", "a context comes before what is found");
    });
    assert!(Handle::try_current().is_none());
    let panicked = std::panic::catch_unwind(|| drop(Handle::current()));
    assert!(crate::probes::message(panicked.unwrap_err()).contains("Handle::enter"));
}

// `timeout(100 ms, tokio's sleep of 5 s)` returned `Ok`, since it waited by the wall clock.
#[test]
fn a_paused_clock_holds_without_enter() {
    watched(|| {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (start, day) = (now(), secs(24 * 3600));
            assert!(timeout(day, tokio::time::sleep(5 * day)).await.is_err());
            assert_eq!((now() - start).as_secs(), day.as_secs());
            let mut idle = pin!(sleep(9 * day));
            assert!(poll_immediate(idle.as_mut()).await.is_none());
            idle.as_mut().reset(start + 2 * day);
            idle.await;
            assert_eq!((now() - start).as_secs(), 2 * day.as_secs());
            let beside = tokio::spawn(timeout(day, pending::<()>()));
            assert!(beside.await.unwrap().is_err());
            assert_eq!((now() - start).as_secs(), 3 * day.as_secs());
        });
    });
}

// They ran one after the other, on the task of the scope.
#[test]
fn parallel_children_run_side_by_side_without_enter() {
    watched(|| {
        multi_thread().block_on(async {
            let meeting = Arc::new(Barrier::new(2));
            scope(async |s: Scope<'_>| {
                let children = [0, 1].map(|_| {
                    let meeting = meeting.clone();
                    s.spawn_parallel(async move { meeting.wait() })
                });
                foster::gather(children).await
            })
            .await;
        });
    });
}

#[test]
fn blocking_jobs_use_tokios_pool_without_enter() {
    on_tokio(|| async {
        let name = || thread::current().name().map(String::from);
        let name = scope(async |s: Scope<'_>| s.spawn_blocking(name).await).await;
        assert_eq!(name.as_deref(), Some("bare"));
    });
}

#[test]
fn a_spawn_inside_of_enter_finds_tokio() {
    on_tokio(|| async {
        let entered = Tokio::current().enter(async {
            let spawned = tokio::spawn(async {
                timeout(T, pending::<()>()).await.unwrap_err();
                scope(async |s: Scope<'_>| s.spawn_parallel(async { Handle::current().name() }).await).await
            });
            spawned.await.unwrap()
        });
        assert_eq!(entered.await, "tokio");
    });
}

// It was dropped with the wait for it.
#[test]
fn an_adopted_future_that_nothing_encloses_is_finished_on_tokio() {
    on_tokio(|| async {
        let (done, wait) = oneshot::channel();
        start_and_drop(adopt(async move {
            sleep(T).await;
            // In there it goes on: adopted by nobody once more.
            start_and_drop(adopt(async move {
                yield_now().await;
                done.send(7).unwrap();
            }))
            .await;
        }))
        .await;
        assert_eq!(wait.await, Ok(7));
    });
}

#[test]
fn what_a_scope_has_taken_over_is_finished_on_tokio_when_it_is_dropped() {
    on_tokio(|| async {
        let ((go, gate), (done, wait)) = (oneshot::channel::<()>(), oneshot::channel());
        let mut dropped = Box::pin(scope(async move |_: Scope<'_>| {
            start_and_drop(adopt(async move {
                gate.await.unwrap();
                done.send(7).unwrap();
            }))
            .await;
            pending::<()>().await
        }));
        for _ in 0..3 {
            assert!(poll_immediate(dropped.as_mut()).await.is_none());
        }
        drop(dropped);
        go.send(()).unwrap();
        assert_eq!(wait.await, Ok(7));
    });
}

#[test]
fn what_a_detached_timeout_leaves_behind_is_finished_on_tokio() {
    on_tokio(|| async {
        let (done, wait) = oneshot::channel();
        let slow = shield(async move {
            sleep(T).await;
            done.send(7).unwrap();
        });
        assert!(timeout_detach(Duration::ZERO, slow).await.is_err());
        assert_eq!(wait.await, Ok(7));
    });
}

#[test]
fn parallel_children_of_a_scope_that_is_dropped_finish_on_tokio() {
    on_tokio(|| async {
        let (started, start) = oneshot::channel();
        let (saved, save) = oneshot::channel();
        let (adopted, adoption) = oneshot::channel();
        let log = Log::new();
        let noting = log.clone();
        let mut dropped = Box::pin(scope(async move |s: Scope<'_>| {
            s.spawn_parallel(async move {
                let _over = noting.on_drop("over");
                start_and_drop(adopt(async move {
                    sleep(3 * T).await;
                    adopted.send(()).unwrap();
                }))
                .await;
                shield(async move {
                    started.send(()).unwrap();
                    sleep(T).await;
                    saved.send(()).unwrap();
                })
                .await;
                pending::<()>().await
            });
            adopt(pending::<()>()).await
        }));
        assert!(poll_immediate(dropped.as_mut()).await.is_none());
        start.await.unwrap();
        drop(dropped);
        save.await.unwrap();
        adoption.await.unwrap();
        while !log.has("over") {
            sleep(T / 10).await;
        }
    });
}

#[test]
fn a_sleep_that_began_elsewhere_is_moved_to_the_clock_that_is_found() {
    watched(|| {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
            let (start, day) = (now(), secs(24 * 3600));
            let mut sleep = pin!(sleep(3 * day));
            assert!(harness::basic().enter(poll_immediate(sleep.as_mut())).await.is_none());
            sleep.as_mut().reset(start + day);
            sleep.await;
            assert_eq!((now() - start).as_secs(), day.as_secs());
        });
    });
}

// tokio's timer stays where it is until it fires.
#[test]
fn a_sleep_that_is_put_off_ends_at_the_instant_that_it_was_moved_to_last() {
    watched(|| {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
            let (start, day) = (now(), secs(24 * 3600));
            let mut sleep = pin!(sleep(day));
            for (put_off_to, ends_at) in [(4, 2), (5, 3)] {
                assert!(poll_immediate(sleep.as_mut()).await.is_none());
                sleep.as_mut().reset(start + put_off_to * day);
                assert!(poll_immediate(sleep.as_mut()).await.is_none());
                sleep.as_mut().reset(start + ends_at * day);
                sleep.as_mut().await;
                assert_eq!((now() - start).as_secs(), (ends_at * day).as_secs());
                sleep.as_mut().reset(start + (ends_at + 1) * day);
            }
        });
    });
}

#[test]
fn a_runtime_without_time_leaves_timers_to_the_thread() {
    watched(|| {
        Builder::new_current_thread().build().unwrap().block_on(async {
            assert!(timeout(T, pending::<()>()).await.is_err());
            let mut sleep = pin!(sleep(T));
            sleep.as_mut().await;
            sleep.as_mut().reset(now() + T);
            sleep.await;
        });
    });
}

// The feature is on; but it is smol that runs the code.
#[test]
fn the_feature_changes_nothing_where_tokio_does_not_run() {
    watched(|| {
        let work = || async {
            assert!(Handle::try_current().is_none());
            let here = thread::current().id();
            scope(async move |s: Scope<'_>| {
                let there = s.spawn_parallel(async move { thread::current().id() }).await;
                assert_eq!(here, there, "on the task of the scope");
            })
            .await;
            assert!(timeout(T, pending::<()>()).await.is_err());
            let mut moved = pin!(sleep(10_000 * T));
            assert!(poll_immediate(moved.as_mut()).await.is_none());
            moved.as_mut().reset(now() + T);
            moved.await;
            let log = Log::new();
            let dropped = log.on_drop("dropped");
            start_and_drop(adopt(async move {
                let _dropped = dropped;
                pending::<()>().await
            }))
            .await;
            assert_eq!(log.entries(), ["dropped"]);
        };
        smol::block_on(work());
        futures::executor::block_on(work());
        let entered = smol::block_on(Smol::global().enter(async { Handle::current().name() }));
        assert_eq!(entered, "smol");
    });
}
