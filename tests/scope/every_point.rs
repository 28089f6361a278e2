//! One program with everything in it, dropped, cancelled and panicking at every point.

use std::cell::Cell;
use std::future::{Future, pending};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use foster::{Handle, Token, adopt, local, scope, shield, yield_now};
use futures::FutureExt;

use crate::harness::{self, ALL};
use crate::probes::{Gate, Log, Probe, boom, what};

/// Counts down to the point at which something is to happen, wherever in the program that is.
#[derive(Clone, Default)]
struct Countdown(Arc<AtomicUsize>);

impl Countdown {
    /// At the `n`-th point, counted from 1; never for 0.
    fn at(n: usize) -> Self {
        Countdown(Arc::new(AtomicUsize::new(n)))
    }

    fn is_now(&self) -> bool {
        let mut n = self.0.load(Ordering::SeqCst);
        while n > 0 {
            match self.0.compare_exchange(n, n - 1, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return n == 1,
                Err(now) => n = now,
            }
        }
        false
    }

    /// Whether the point was reached.
    fn is_past(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// What happens in one run of the program.
#[derive(Clone, Default)]
struct Plan {
    /// Panics in a poll.
    panic: Countdown,
    /// Panics in a `Drop`.
    panic_in_drop: Countdown,
    /// Cancels the token.
    cancel: Countdown,
    token: Token,
    probe: Probe,
    log: Log,
}

struct PanicOnDrop(Countdown);

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.0.is_now() {
            boom("planned");
        }
    }
}

impl Plan {
    /// A point at which a poll ends, if it does not panic.
    fn point(&self) -> impl Future<Output = ()> + Send + 'static {
        let plan = self.clone();
        async move {
            if plan.cancel.is_now() {
                plan.token.cancel("planned");
            }
            if plan.panic.is_now() {
                boom("planned");
            }
            yield_now().await;
        }
    }

    /// A watched future with several points.
    fn steps(&self, n: usize) -> impl Future<Output = ()> + Send + 'static {
        let (plan, drops) = (self.clone(), PanicOnDrop(self.panic_in_drop.clone()));
        self.probe.watch(async move {
            let _drops = drops;
            for _ in 0..n {
                plan.point().await;
            }
        })
    }

    /// The same, which notes that it began and that it came to its end.
    fn noted(&self, began: &'static str, ended: &'static str) -> impl Future<Output = ()> + Send + 'static {
        let (log, steps) = (self.log.clone(), self.steps(2));
        async move {
            log.note(began);
            steps.await;
            log.note(ended);
        }
    }

    fn began(&self, what: &str) -> bool {
        self.log.has(what)
    }
}

/// Everything that a scope can hold.
async fn program(plan: Plan) {
    let (borrowed, outer) = (Gate::new(), plan.clone());
    let borrowed = &borrowed;
    scope(async |s| {
        let plan = outer;
        s.defer(plan.noted("deferred first", "finalized last"));
        plan.log.note("deferred");
        s.spawn(plan.steps(3));
        s.named("named").spawn(plan.steps(1));
        let parallel = s.spawn_parallel(plan.steps(2));
        let job = {
            let (log, guard) = (plan.log.clone(), plan.probe.watch(async {}));
            s.spawn_blocking(move || {
                drop(guard);
                log.note("the job");
                1
            })
        };
        s.spawn({
            let (shielded, adopted) = (plan.noted("shielded", "shield over"), plan.noted("adopted", "adopted over"));
            let steps = plan.steps(1);
            plan.probe.watch(async move {
                shield(shielded).await;
                adopt(adopted).await;
                steps.await;
                borrowed.open();
            })
        });
        let inner = plan.clone();
        let nested = scope(move |nested| async move {
            let plan = inner;
            nested.defer(plan.noted("nested deferred", "nested finalized"));
            plan.log.note("nested defer");
            nested.spawn_parallel(plan.steps(2));
            let child = nested.spawn(plan.steps(3));
            plan.point().await;
            let cancelled = nested.spawn(plan.probe.endless());
            yield_now().await;
            cancelled.cancel();
            assert!(cancelled.outcome().await.is_err());
            child.await;
        });
        nested.await;
        let on_this_thread = Rc::new(plan.clone());
        local::scope(|l| async move {
            let plan = Rc::clone(&on_this_thread);
            l.defer(async move { plan.steps(1).await });
            l.spawn(async move { on_this_thread.steps(2).await });
        })
        .await;
        borrowed.wait().await;
        assert_eq!(job.await, 1);
        parallel.await;
        s.spawn(plan.steps(1));
        plan.point().await;
    })
    .await;
}

/// Polls `future` at most `n` times, and then drops it; says whether it was ready. A panic is
/// caught, with its payload.
async fn polled<F: Future>(future: F, n: usize) -> Result<bool, &'static str> {
    let polls = Cell::new(0);
    let mut future = Box::pin(future);
    let limited = std::future::poll_fn(|cx: &mut Context<'_>| {
        if polls.get() == n {
            return Poll::Ready(false);
        }
        polls.set(polls.get() + 1);
        future.as_mut().poll(cx).map(|_| true)
    });
    let result = AssertUnwindSafe(limited).catch_unwind().await;
    match (result, std::panic::catch_unwind(AssertUnwindSafe(|| drop(future)))) {
        (Err(payload), _) | (Ok(_), Err(payload)) => Err(what(&*payload)),
        (Ok(ready), Ok(())) => Ok(ready),
    }
}

/// What must come to its end once it has begun.
const PAIRS: [(&str, &str); 4] = [
    ("adopted", "adopted over"),
    ("shielded", "shield over"),
    ("deferred", "finalized last"),
    ("nested defer", "nested finalized"),
];

/// What began has ended: the finalizers too, unless the drop came from outside.
fn assert_clean(plan: &Plan, wound_down: bool, at: usize) {
    for (began, ended) in PAIRS {
        let survives = wound_down || began == "adopted";
        if survives && plan.began(began) {
            assert!(plan.began(ended), "{began}, but not {ended}, at point {at}: {:?}", plan.log.entries());
        }
    }
    plan.probe.assert_all_gone();
}

matrix! {
    async fn a_drop_after_any_poll_leaves_nothing_behind() {
        for n in 0.. {
            let plan = Plan::default();
            let inside = plan.clone();
            // The scope around adopts what the drop leaves behind.
            let ready = scope(async |_| { polled(program(inside), n).await }).await;
            assert_clean(&plan, ready == Ok(true), n);
            if ready == Ok(true) {
                break;
            }
        }
    }

    async fn a_cancel_at_any_point_winds_everything_down() {
        for n in 1.. {
            let plan = Plan { cancel: Countdown::at(n), ..Plan::default() };
            let result = plan.token.run_until_cancelled(program(plan.clone())).await;
            assert_clean(&plan, true, n);
            if !plan.cancel.is_past() {
                assert_eq!(result, Ok(()));
                break;
            }
        }
    }

    async fn a_cancel_at_any_point_winds_down_through_futures_that_are_not_ours() {
        for n in 1.. {
            let plan = Plan { cancel: Countdown::at(n), ..Plan::default() };
            let inside = plan.clone();
            let mut over = false;
            let foreign = async {
                let program = async {
                    program(inside).await;
                    over = true;
                    plan.token.cancel("over");
                };
                let both = futures::future::join(Box::pin(program), pending::<()>());
                futures::future::select(Box::pin(both), pending::<()>()).await;
            };
            assert!(plan.token.run_until_cancelled(foreign).await.is_err());
            assert_clean(&plan, true, n);
            if over {
                break;
            }
        }
    }

    async fn a_panic_at_any_point_is_resumed_once_when_everything_is_over() {
        for n in 1.. {
            let plan = Plan { panic: Countdown::at(n), ..Plan::default() };
            let inside = plan.clone();
            let result = scope(async |_| { polled(program(inside), usize::MAX).await }).await;
            plan.probe.assert_all_gone();
            if !plan.panic.is_past() {
                assert_eq!(result, Ok(true));
                break;
            }
            assert_eq!(result, Err("planned"), "at point {n}: {:?}", plan.log.entries());
            // The one that panicked, at most.
            let unfinished = PAIRS.iter().filter(|(began, ended)| plan.began(began) && !plan.began(ended)).count();
            assert!(unfinished <= 1, "at point {n}: {:?}", plan.log.entries());
        }
    }

    async fn a_panic_in_any_drop_is_resumed_once_when_everything_is_over() {
        for n in 1.. {
            let plan = Plan { panic_in_drop: Countdown::at(n), ..Plan::default() };
            let inside = plan.clone();
            let result = scope(async |_| { polled(program(inside), usize::MAX).await }).await;
            plan.probe.assert_all_gone();
            if !plan.panic_in_drop.is_past() {
                assert_eq!(result, Ok(true));
                break;
            }
            assert_eq!(result, Err("planned"), "at drop {n}: {:?}", plan.log.entries());
        }
    }
}

#[test]
fn what_a_drop_leaves_behind_at_the_root_has_ended_when_the_run_returns() {
    harness::each(&ALL, |runtime: Handle| {
        for n in 0.. {
            let plan = Plan::default();
            let ready = runtime.run(polled(program(plan.clone()), n));
            assert_clean(&plan, ready == Ok(true), n);
            if ready == Ok(true) {
                break;
            }
        }
    });
}
