//! What one poll of a scope does: whom it polls, wakes, and leaves a turn to.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use foster::testing::{CountingWaker, Polls};
use foster::{gather, scope, shield, sleep, timeout, try_scope};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::harness::{self, T, watched};
use crate::probes::{Gate, Probe, turns};

/// Is woken whenever it has been polled, and never ends.
fn always_ready() -> impl Future<Output = ()> + Send {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Spawns its like for ever.
fn successors(s: foster::Scope<'static>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let next = successors(s.clone());
        s.spawn(next);
    })
}

/// Keeps the waker that it is polled with.
async fn keeping_its_waker(into: Arc<std::sync::Mutex<Option<Waker>>>) {
    let mut first = true;
    poll_fn(|cx| {
        *into.lock().unwrap() = Some(cx.waker().clone());
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Uses up tokio's budget whenever it is polled, and never ends.
async fn busy() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    tx.send(0).unwrap();
    while let Some(n) = rx.recv().await {
        tx.send(n).unwrap();
    }
}

matrix! {
    // C345
    async fn a_waker_that_is_kept_too_long_does_nothing() {
        let (finished, dropped) = (Arc::default(), Arc::default());
        let (inside, abandoned) = (Arc::clone(&finished), Arc::clone(&dropped));
        scope(async |s| {
            s.spawn(keeping_its_waker(inside)).await;
            let child = s.spawn(async {
                keeping_its_waker(abandoned).await;
                pending::<()>().await
            });
            turns().await;
            child.cancel();
        })
        .await;
        let probe = Probe::new();
        let inside = probe.clone();
        scope(async |s| {
            s.spawn(inside.watch(turns()));
            for kept in [finished, dropped] {
                let waker: Waker = kept.lock().unwrap().take().unwrap();
                waker.wake_by_ref();
                waker.wake();
            }
        })
        .await;
        probe.assert_all_gone();
    }

    // C347
    async fn a_child_that_is_always_ready_starves_neither_its_siblings_nor_the_body() {
        let probe = Probe::new();
        let greedy = probe.watch(always_ready());
        scope(async |s| {
            s.spawn(greedy);
            s.spawn(turns()).await;
            turns().await;
            s.cancel("enough");
        })
        .await;
        probe.assert_all_gone();
    }

    // C350
    async fn a_scope_that_is_polled_after_its_end_panics_cleanly() {
        let mut over = pin!(scope(async |s| { s.spawn(async { 1 }).await }));
        assert_eq!(over.as_mut().await, 1);
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| over.as_mut().now_or_never())).is_err());

        let mut over = pin!(try_scope(|_| async { Err::<(), _>(1) }).outcome());
        assert_eq!(over.as_mut().await, Ok(Err(1)));
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| over.as_mut().now_or_never())).is_err());
    }

    // S12
    async fn only_what_was_woken_is_polled() {
        let (probe, busy) = (Probe::new(), Probe::new());
        let idle: Vec<_> = (0..200).map(|_| probe.endless()).collect();
        let working = busy.watch(turns());
        scope(async |s| {
            for child in idle {
                s.spawn(child);
            }
            s.spawn(working).await;
            s.cancel("over");
        })
        .await;
        assert_eq!(probe.polls(), 200);
        probe.assert_all_gone();
    }

    // S12
    async fn a_scope_may_move_from_one_waker_to_another() {
        let gate = Gate::new();
        let waiting = gate.wait();
        let mut future = Box::pin(scope(async |s| { s.spawn(waiting).await }));
        let (first, second) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
        for wakes in [&first, &second] {
            let waker = Waker::from(Arc::clone(wakes));
            // More than once: the first polls may wake themselves.
            for _ in 0..3 {
                assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        let before = second.0.load(Ordering::SeqCst);
        gate.open();
        assert!(second.0.load(Ordering::SeqCst) > before);
        future.await;
    }

    // C218
    async fn what_is_ready_at_once_is_over_within_one_poll() {
        assert_eq!(gather([1, 2].map(std::future::ready)).now_or_never(), Some([1, 2]));
        let children = scope(async |s| {
            s.spawn(async { 1 });
            s.defer(async {});
            2
        });
        assert_eq!(children.now_or_never(), Some(2));
        assert_eq!(timeout(T, async { 1 }).now_or_never(), Some(Ok(1)));
    }
}

// C347; virtual time stands still while something is ready.
#[test]
fn a_child_that_is_always_ready_does_not_keep_a_deadline_from_passing() {
    harness::each(&harness::REAL, |runtime| {
        let greedy = scope(async |s| {
            s.spawn(always_ready());
        });
        assert!(runtime.run(timeout(2 * T, greedy)).is_err());
        let breeding = scope(async |s| successors(s).await);
        assert!(runtime.run(timeout(2 * T, breeding)).is_err());
    });
}

// S11. The busy child was always polled first, and left nothing of the budget that tokio gives a
// task.
#[foster::test(runtimes(tokio, tokio_multi), timeout = "10s")]
async fn a_child_that_uses_up_the_budget_of_its_task_does_not_starve_its_siblings() {
    for siblings in [1, 3, 100] {
        scope(async |s| {
            s.spawn(busy());
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..siblings).map(|_| tokio::sync::mpsc::channel(1)).unzip();
            let waiting = receivers
                .into_iter()
                .map(|mut rx: tokio::sync::mpsc::Receiver<()>| s.spawn(async move { rx.recv().await }));
            let waiting: Vec<_> = waiting.collect();
            turns().await;
            for tx in senders {
                tx.try_send(()).unwrap();
            }
            for task in waiting {
                assert_eq!(task.await, Some(()));
            }
            s.cancel("seen enough");
        })
        .await;
    }
}

// S11. tokio wakes those that found its budget used up in reverse order. So of several blocks of
// children the oldest ones never came first, and those in them never received anything.
#[foster::test(runtimes(tokio, tokio_multi), timeout = "10s")]
async fn children_that_use_up_the_budget_of_their_task_do_not_starve_those_between_them() {
    for pairs in [2, 20, 50] {
        scope(async |s| {
            let receiving: Vec<_> = (0..pairs)
                .map(|_| {
                    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
                    (0..3).for_each(|n| tx.send(n).unwrap());
                    s.spawn(busy());
                    s.spawn(async move { while rx.recv().await != Some(2) {} })
                })
                .collect();
            gather(receiving).await;
            s.cancel("all have received");
        })
        .await;
    }
}

// A body that has its scope to itself has the caller's waker. With children it needs one of its
// own.
#[test]
fn a_body_that_was_alone_is_woken_by_one_child_while_another_goes_on() {
    let (gate, waker) = (Gate::new(), CountingWaker::new());
    let mut alone = pin!(scope(async |s| {
        gate.wait().await;
        let endless = s.spawn(pending::<()>());
        let quick = s.spawn(async { turns().await });
        quick.await;
        endless.cancel();
    }));
    assert!(waker.poll(alone.as_mut()).is_pending());
    assert!(waker.poll(alone.as_mut()).is_pending());
    gate.open();
    assert!((0..100).any(|_| waker.poll(alone.as_mut()).is_ready()), "the body is not polled");
}

// The shield begins in a poll in which the scope looked at its body alone. It is not polled again
// before the race is decided.
#[test]
fn a_shield_that_a_body_without_children_begins_is_not_dropped() {
    watched(|| {
        let saved = Cell::new(false);
        let shielding = foster::local::scope(async |_| {
            turns().await;
            shield(sleep(T)).await;
            saved.set(true);
            pending::<()>().await
        });
        let mut members: Vec<LocalBoxFuture<'_, ()>> = vec![shielding.boxed_local()];
        let gate = Gate::new();
        members.push(gate.wait().boxed_local());
        let mut race = pin!(foster::race(members));
        let waker = CountingWaker::new();
        for _ in 0..20 {
            assert!(waker.poll(race.as_mut()).is_pending());
        }
        gate.open();
        futures::executor::block_on(race);
        assert!(saved.get());
    });
}

// S11
#[test]
fn a_body_without_children_that_always_finds_an_item_lets_the_executor_run() {
    watched(|| {
        let (jobs, work) = foster::queue::unbounded();
        let taken = Cell::new(0);
        let mut alone = pin!(foster::local::scope(async |_| {
            turns().await;
            loop {
                jobs.try_send(()).expect("the queue is open");
                drop(work.recv().await.expect("there is one"));
                taken.set(taken.get() + 1);
                assert!(taken.get() < 100_000, "it goes on and on");
            }
        }));
        let waker = CountingWaker::new();
        for _ in 0..20 {
            let _: Poll<()> = waker.poll(alone.as_mut());
        }
        assert!(taken.get() > 1_000);
    });
}

#[test]
fn a_child_that_wakes_itself_is_polled_once_in_a_poll_of_its_scope() {
    let polls = Polls::new();
    let mut running = pin!(scope(async |s| {
        s.spawn(polls.of(always_ready()));
        pending::<()>().await
    }));
    let waker = CountingWaker::new();
    for round in 1..=5 {
        assert!(waker.poll(running.as_mut()).is_pending());
        assert_eq!(polls.count(), round);
    }
}

// S12. Whoever spawns while the scope is being polled need not wake it.
#[test]
fn a_body_that_spawns_wakes_nobody() {
    let mut spawning = pin!(scope(async |s| {
        for _ in 0..100 {
            s.spawn(pending::<()>());
        }
        pending::<()>().await
    }));
    let waker = CountingWaker::new();
    while {
        let before = waker.count();
        assert!(waker.poll(spawning.as_mut()).is_pending());
        // After more polls than one pass has, and for no other reason.
        waker.count() > before && waker.count() < 4
    } {}
    assert!(waker.count() < 4, "it was woken {} times for a hundred children", waker.count());

    let mut spawning = pin!(scope(async |s| {
        let siblings = s.clone();
        s.spawn(async move {
            siblings.spawn(pending::<()>());
        });
        pending::<()>().await
    }));
    let waker = CountingWaker::new();
    assert!(waker.poll(spawning.as_mut()).is_pending());
    assert_eq!(waker.count(), 0);
}

/// Whoever awaits a child goes on in the poll in which the child ends.
#[test]
fn who_awaits_a_child_goes_on_in_the_poll_in_which_it_ends() {
    let mut future = pin!(scope(async |s| {
        let both = [1, 2].map(|value| {
            s.spawn(async move {
                foster::yield_now().await;
                value
            })
        });
        gather(both).await
    }));
    let waker = CountingWaker::new();
    assert!(waker.poll(future.as_mut()).is_pending());
    assert_eq!(waker.poll(future.as_mut()), Poll::Ready([1, 2]));
}

/// In each round a child ends and the body spawns the next one. Others have their turn all the
/// same.
#[test]
fn a_body_that_awaits_one_ready_child_after_the_other_lets_the_executor_go_on() {
    let mut future = pin!(scope(async |s| {
        for _ in 0..100 {
            s.spawn(async {}).await;
        }
    }));
    let waker = CountingWaker::new();
    let mut polls = 1;
    while waker.poll(future.as_mut()).is_pending() {
        polls += 1;
    }
    assert!(polls > 20, "{polls}");
}
