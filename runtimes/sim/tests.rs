use std::sync::Mutex;
use std::task::{Context, Poll, Wake};

use futures::channel::oneshot;
use futures::task::SpawnExt;

use super::super::tests::{Drops, block_on, yield_once};
use super::schedule::Random;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Returns the order in which ten tasks of three steps each run.
fn run(seed: u64) -> Vec<usize> {
    let sim = Sim::new(seed);
    let log = Arc::new(Mutex::new(Vec::new()));
    for i in 0..10 {
        let log = log.clone();
        let task = async move {
            for _ in 0..3 {
                log.lock().unwrap().push(i);
                yield_once().await;
            }
        };
        sim.spawn(task).unwrap();
    }
    block_on(&sim, sim.timer(sim.now() + HOUR)).unwrap();
    log.lock().unwrap().clone()
}

#[test]
fn the_seed_is_the_schedule() {
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    // The order is the same on every machine.
    assert_eq!(run(0)[..10], [9, 4, 0, 0, 1, 3, 0, 8, 2, 2]);
    assert_eq!(Random(0).next(), 0xe220_a839_7b1d_cdaf);
    assert_eq!((Sim::default().seed(), Sim::new(3).seed()), (0, 3));
}

#[test]
fn the_clock_jumps_and_otherwise_stands() {
    let sim = Sim::default();
    let start = sim.now();
    block_on(&sim, async {
        for _ in 0..1000 {
            yield_once().await;
        }
        assert_eq!(sim.now(), start);
        for _ in 0..450 {
            sim.timer(sim.now() + HOUR).await;
        }
    })
    .unwrap();
    assert_eq!(sim.elapsed(), HOUR * 450);
    assert_eq!(sim.now(), start + HOUR * 450);
}

#[test]
fn advancing_fires_what_is_due_and_no_more() {
    let sim = Sim::default();
    let polls = block_on(&sim, async {
        let mut near = Box::pin(sim.timer(sim.now() + HOUR));
        let mut far = Box::pin(sim.timer(sim.now() + HOUR * 3));
        assert!(futures::poll!(&mut near).is_pending() && futures::poll!(&mut far).is_pending());
        sim.advance(HOUR * 2);
        (futures::poll!(&mut near).is_ready(), futures::poll!(&mut far).is_ready())
    });
    assert_eq!(polls, Ok((true, false)));
    assert_eq!(sim.elapsed(), HOUR * 2);
    let beyond = std::panic::AssertUnwindSafe(|| sim.advance(Duration::MAX));
    assert!(std::panic::catch_unwind(beyond).is_err());
    sim.advance(HOUR);
}

#[test]
fn timers_of_one_instant_wake_in_the_order_of_their_making() {
    let sim = Sim::default();
    let at = sim.now() + HOUR;
    let woken = Arc::new(Mutex::new(Vec::new()));
    struct Log(usize, Arc<Mutex<Vec<usize>>>);
    impl Wake for Log {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let mut timers: Vec<_> = (0..5).map(|_| Box::pin(sim.timer(at))).collect();
    for (i, timer) in timers.iter_mut().enumerate().rev() {
        let waker = Waker::from(Arc::new(Log(i, woken.clone())));
        assert!(timer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    sim.advance(HOUR);
    assert_eq!(*woken.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn dropped_timers_leave_nothing_behind() {
    let sim = Sim::default();
    block_on(&sim, async {
        for i in 0..10_000 {
            let mut timer = Box::pin(sim.timer(sim.now() + HOUR * (i + 1)));
            assert!(futures::poll!(&mut timer).is_pending());
        }
    })
    .unwrap();
    assert!(sim.1.lock().timers.is_empty());
    assert_eq!(sim.elapsed(), Duration::ZERO);
}

#[test]
fn a_deadlock_names_those_who_are_stuck() {
    let sim = Sim::new(42);
    sim.spawn(yield_once()).unwrap();
    sim.spawn(std::future::pending()).unwrap();
    let error = block_on(&sim, std::future::pending::<()>()).unwrap_err().to_string();
    assert!(error.ends_with("stuck are:\n  main\n  task 2"), "{error}");
    assert!(error.contains("seed 42"), "{error}");
    (0..98).for_each(|_| sim.spawn(std::future::pending()).unwrap());
    let error = block_on(&sim, std::future::pending::<()>()).unwrap_err().to_string();
    assert!(error.ends_with("\n  task 32\n  and 68 more"), "{error}");
    assert_eq!(block_on(&sim, async { 1 }), Ok(1));
}

#[test]
fn a_run_inside_of_a_run_is_an_error() {
    let sim = Sim::default();
    let inner = block_on(&sim, async { block_on(&sim, async {}) }).unwrap();
    assert!(inner.unwrap_err().to_string().contains("enter"));
    assert_eq!(block_on(&sim, async { 1 }), Ok(1));
}

#[test]
fn leftovers_stay_for_the_next_run() {
    let sim = Sim::default();
    let (go, wait) = oneshot::channel::<()>();
    let (done, over) = oneshot::channel();
    sim.spawn(async {
        wait.await.unwrap();
        done.send(()).unwrap()
    })
    .unwrap();
    block_on(&sim, sim.timer(sim.now() + HOUR)).unwrap();
    go.send(()).unwrap();
    assert_eq!(block_on(&sim, over), Ok(Ok(())));
}

#[test]
fn timers_and_wakers_outlive_the_simulation_without_holding_it() {
    let sim = Sim::default();
    let world = Arc::downgrade(&sim.1);
    let drops = Drops::default();
    let guard = drops.guard();
    let (send, receive) = std::sync::mpsc::channel();
    let task = std::future::poll_fn(move |cx| {
        let _ = &guard;
        send.send(cx.waker().clone()).unwrap();
        Poll::<()>::Pending
    });
    sim.spawn(task).unwrap();
    let mut timer = Box::pin(sim.timer(sim.now() + HOUR));
    block_on(&sim, sim.timer(sim.now() + HOUR)).unwrap();
    drop(sim);
    assert_eq!((world.strong_count(), drops.count()), (0, 1));
    receive.recv().unwrap().wake();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(timer.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn a_jobs_turn_comes_like_any_others() {
    let orders = (0..20).map(|seed| {
        let sim = Sim::new(seed);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (task, job) = (log.clone(), log.clone());
        sim.spawn(async move { task.lock().unwrap().push("task") }).unwrap();
        sim.spawn_blocking(Box::new(move || job.lock().unwrap().push("job"))).unwrap();
        block_on(&sim, sim.timer(sim.now() + HOUR)).unwrap();
        log.lock().unwrap().clone()
    });
    let first: std::collections::HashSet<_> = orders.map(|order| order[0]).collect();
    assert_eq!(first.len(), 2);
}
