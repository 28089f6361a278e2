//! The event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Context;

use foster::sync::Event;
use foster::testing::{cancel_at_every_await, explore_all, poll_once};
use foster::{local, scope, sleep, timeout, yield_now};
use futures::FutureExt;
use proptest::prelude::*;

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;
use crate::meddling::{calling, meddling, panicking};

#[test]
fn an_edge_is_not_lost() {
    // A flag alone would be down again when the task of a waiter looks at it.
    let event = Event::new();
    let (first, second) = (ByHand::waiting(event.wait()), ByHand::waiting(event.wait()));
    event.set();
    event.clear();
    let late = ByHand::waiting(event.wait());
    first.turn();
    second.turn();
    assert_eq!((late.wakes(), event.statistics().waiting()), (0, 1));
    event.set();
    late.turn();
}

#[test]
fn who_leaves_takes_nothing_from_the_others() {
    let event = Event::new();
    let [first, second, third, fourth] = [(); 4].map(|()| ByHand::waiting(event.wait()));
    drop(second);
    assert_eq!(event.statistics().waiting(), 3);
    event.set();
    event.clear();
    drop(first);
    let next = ByHand::waiting(event.wait());
    third.turn();
    fourth.turn();
    assert_eq!((next.wakes(), event.statistics().waiting()), (0, 1));
    drop(next);
    assert_eq!(event.statistics().waiting(), 0);
}

#[test]
fn a_set_event_may_be_set_again() {
    let event = Event::default();
    event.set();
    event.set();
    assert!(event.is_set());
    event.clear();
    event.clear();
    assert!(!event.is_set());
}

#[test]
fn the_owned_form_keeps_the_event() {
    let event = Arc::new(Event::new());
    let waiter = ByHand::waiting(event.clone().wait_owned());
    event.set();
    drop(event);
    waiter.turn();
}

#[test]
fn a_static_event_needs_no_initialisation() {
    static STARTED: Event = Event::new();
    std::thread::spawn(|| STARTED.set()).join().unwrap();
    assert!(STARTED.wait().now_or_never().is_some());
}

#[test]
fn debug_tells_the_flag_and_the_number_of_waiters() {
    let event = Event::new();
    let waiter = event.wait();
    assert_eq!(format!("{waiter:?}"), "EventWait { .. }");
    let _waiter = ByHand::waiting(waiter);
    assert_eq!(format!("{event:?}"), "Event { is_set: false, waiting: 1 }");
}

#[test]
fn a_wait_that_has_completed_panics_when_it_is_polled() {
    let event = Event::new();
    event.set();
    let mut wait = Box::pin(event.wait());
    assert!(wait.as_mut().now_or_never().is_some());
    assert!(catch_unwind(AssertUnwindSafe(|| wait.as_mut().now_or_never())).is_err());
}

#[test]
fn wakers_run_without_the_lock() {
    crate::harness::watched(|| {
        let (event, ran) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
        let waker = || {
            let (event, ran) = (event.clone(), ran.clone());
            meddling(move || {
                event.clear();
                assert!(event.wait().now_or_never().is_none());
                event.statistics().waiting();
                ran.fetch_add(1, Ordering::SeqCst);
            })
        };
        let mut wait = Box::pin(event.wait());
        // The former waker is dropped.
        for ran_before in [0, 1] {
            assert!(wait.as_mut().poll_unpin(&mut Context::from_waker(&waker())).is_pending());
            assert_eq!(ran.load(Ordering::SeqCst), ran_before);
        }
        drop(wait);
        assert_eq!(ran.load(Ordering::SeqCst), 2);
        let mut wait = Box::pin(event.wait());
        assert!(wait.as_mut().poll_unpin(&mut Context::from_waker(&waker())).is_pending());
        event.set();
        assert_eq!(ran.load(Ordering::SeqCst), 4, "it is woken and dropped");
    });
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_waking() {
    let event = Event::new();
    let before = ByHand::waiting(event.wait());
    let mut panics = Box::pin(event.wait());
    assert!(panics.as_mut().poll_unpin(&mut Context::from_waker(&panicking())).is_pending());
    let behind = ByHand::waiting(event.wait());
    assert!(catch_unwind(AssertUnwindSafe(|| event.set())).is_err());
    before.turn();
    behind.turn();
    assert!(panics.now_or_never().is_some());
}

#[test]
fn events_and_their_futures_are_send_and_sync() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    let event = Arc::new(Event::new());
    check(&*event);
    check(&event.wait());
    check(&event.clone().wait_owned());
}

#[test]
fn dropped_at_any_point_nobody_is_left_behind() {
    let event = &Event::new();
    let report = cancel_at_every_await(
        || {
            event.clear();
            local::scope(async |s| {
                for _ in 0..3 {
                    s.spawn(event.wait());
                }
                yield_now().await;
                event.set();
                yield_now().await;
                event.clear();
                s.spawn(event.wait());
                yield_now().await;
                event.set();
            })
        },
        || assert_eq!(event.statistics().waiting(), 0),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("event that is not set")), "{report:?}");
}

#[test]
fn under_every_schedule_all_who_wait_are_let_in() {
    let explored = explore_all(|| async {
        let event = Arc::new(Event::new());
        scope(async |s| {
            for _ in 0..2 {
                s.spawn_parallel(event.clone().wait_owned());
            }
            let setter = event.clone();
            s.spawn_parallel(async move {
                setter.set();
                yield_now().await;
                setter.clear();
                yield_now().await;
                setter.set();
            });
        })
        .await;
        assert_eq!((event.is_set(), event.statistics().waiting()), (true, 0));
    });
    assert!(explored.schedules() > 10, "{explored:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Wait,
    Set,
    Clear,
    Poll(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Wait),
        1 => Just(Step::Set),
        1 => Just(Step::Clear),
        2 => (0..8usize).prop_map(Step::Poll),
        2 => (0..8usize).prop_map(Step::Drop),
    ]
}

proptest! {
    /// A flag, and for each waiter whether the flag was set since it came.
    #[test]
    fn an_event_is_like_its_model(steps in prop::collection::vec(step(), 1..60)) {
        let event = Event::new();
        let (mut is_set, mut waiters) = (false, Vec::<(ByHand<'_, ()>, bool)>::new());
        for step in steps {
            match step {
                Step::Wait => {
                    let mut wait = ByHand::new(event.wait());
                    prop_assert_eq!(wait.poll().is_some(), is_set);
                    if !is_set {
                        waiters.push((wait, false));
                    }
                }
                Step::Set => {
                    event.set();
                    is_set = true;
                    waiters.iter_mut().for_each(|(_, is_let_in)| *is_let_in = true);
                }
                Step::Clear => {
                    event.clear();
                    is_set = false;
                }
                Step::Poll(index) if index < waiters.len() => {
                    let (wait, is_let_in) = &mut waiters[index];
                    prop_assert_eq!(wait.poll().is_some(), *is_let_in);
                    if *is_let_in {
                        waiters.remove(index);
                    }
                }
                Step::Drop(index) if index < waiters.len() => drop(waiters.remove(index)),
                Step::Poll(_) | Step::Drop(_) => {}
            }
            prop_assert_eq!(event.is_set(), is_set);
            prop_assert_eq!(event.statistics().waiting(), waiters.iter().filter(|(_, is_let_in)| !is_let_in).count());
            for (wait, is_let_in) in &waiters {
                prop_assert_eq!(wait.wakes(), usize::from(*is_let_in));
            }
        }
    }
}

matrix! {
    // C127: waiters wake in order, and who comes late sees it set.
    async fn waiters_wake_in_the_order_in_which_they_came() {
        let (event, order) = (Event::new(), Arc::new(Mutex::new(Vec::new())));
        let mut waiters: Vec<_> = (0..20).map(|_| Box::pin(event.wait())).collect();
        for (name, waiter) in waiters.iter_mut().enumerate() {
            let order = order.clone();
            let waker = calling(move || order.lock().unwrap().push(name));
            assert!(waiter.poll_unpin(&mut Context::from_waker(&waker)).is_pending());
        }
        event.set();
        assert!(order.lock().unwrap().iter().copied().eq(0..20), "{order:?}");
        event.wait().await;
        for waiter in waiters {
            waiter.await;
        }
    }

    // C128: to wait for an event that is set completes with the first poll.
    async fn a_set_event_is_not_waited_for() {
        let event = Event::new();
        event.set();
        assert!(poll_once(event.wait()).await.is_ready());
        assert!(poll_once(event.wait()).await.is_ready());
        assert_eq!(event.statistics().waiting(), 0);
    }

    // C130: set, clear, is_set.
    async fn an_event_is_set_and_cleared() {
        let event = Event::new();
        assert!(!event.is_set());
        event.set();
        assert!(event.is_set());
        event.clear();
        assert!(!event.is_set());
        assert!(poll_once(event.wait()).await.is_pending());
    }

    // C275: two waiters are woken, and the number of those who wait is told.
    async fn two_waiters_are_woken_and_counted() {
        let event = Arc::new(Event::new());
        scope(async |s| {
            let waiters = [(); 2].map(|()| s.spawn_parallel(event.clone().wait_owned()));
            while event.statistics().waiting() < 2 {
                yield_now().await;
            }
            event.set();
            for waiter in waiters {
                waiter.await;
            }
        }).await;
        assert_eq!(event.statistics().waiting(), 0);
    }

    async fn a_timeout_around_a_wait_leaves_the_line() {
        let event = Event::new();
        assert!(timeout(T, event.wait()).await.is_err());
        assert_eq!(event.statistics().waiting(), 0);
        event.set();
        assert!(timeout(T, event.wait()).await.is_ok());
    }

    async fn in_a_cancelled_region_a_wait_does_not_begin_and_a_set_event_is_seen() {
        let event = Event::new();
        let waits = in_a_cancelled_region(async {
            assert!(poll_once(event.wait()).await.is_pending());
            assert_eq!(event.statistics().waiting(), 0);
            event.wait().await;
        });
        assert!(!waits.await);
        event.set();
        assert!(in_a_cancelled_region(event.wait()).await);
    }

    async fn a_finalizer_waits_although_its_scope_is_cancelled() {
        let (event, order) = (Event::new(), Mutex::new(Vec::new()));
        scope(async |s| {
            s.spawn(async {
                let inner = timeout(T, scope(async |inner| {
                    inner.defer(async {
                        event.wait().await;
                        order.lock().unwrap().push("cleaned");
                    });
                    std::future::pending::<()>().await
                }));
                assert!(inner.await.is_err());
            });
            while event.statistics().waiting() == 0 {
                sleep(T).await;
            }
            order.lock().unwrap().push("set");
            event.set();
        }).await;
        assert_eq!(*order.lock().unwrap(), ["set", "cleaned"]);
    }
}
