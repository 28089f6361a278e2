//! The cell that is initialised once: who begins, who waits, and what becomes of a turn.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake};

use foster::sync::OnceCell;
use foster::testing::{Drops, cancel_at_every_await, explore_all, poll_once};
use foster::{gather, local, scope, timeout, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

use crate::by_hand::ByHand;
use crate::cancelled::in_a_cancelled_region;
use crate::harness::T;

/// How many initialise, and how many wait.
fn usage<T>(cell: &OnceCell<T>) -> (usize, usize) {
    let statistics = cell.statistics();
    (statistics.in_use(), statistics.waiting())
}

/// Waits for the cell, with an initialiser that never ends.
fn endless(cell: &OnceCell<u32>) -> ByHand<'_, &u32> {
    ByHand::waiting(cell.get_or_init(pending))
}

/// Waits for the cell, with an initialiser that yields `value` at once.
fn ready(cell: &OnceCell<u32>, value: u32) -> ByHand<'_, &u32> {
    ByHand::new(cell.get_or_init(async move || value))
}

#[test]
fn an_empty_cell_has_nothing_and_a_full_one_keeps_what_it_has() {
    let mut cell = OnceCell::new();
    assert!(cell.get().is_none() && cell.get_mut().is_none() && cell.take().is_none());
    assert!(cell.set(1).is_ok());
    let error = cell.set(2).unwrap_err();
    assert!(error.is_initialized() && !error.is_initializing());
    assert_eq!(error.to_string(), "the cell has a value");
    assert_eq!(error.into_inner(), 2);
    *cell.get_mut().unwrap() += 2;
    assert_eq!(format!("{cell:?}"), "OnceCell { value: Some(3), .. }");
    assert_eq!((cell.take(), cell.get()), (Some(3), None));
    assert_eq!(ready(&cell, 4).poll(), Some(&4));
    assert_eq!(cell.into_inner(), Some(4));
    assert_eq!(OnceCell::from(5).into_inner(), Some(5));
}

#[test]
fn a_cell_that_was_emptied_while_a_leaked_future_initialised_it_works() {
    let mut cell = OnceCell::new();
    std::mem::forget(endless(&cell));
    assert_eq!(usage(&cell), (1, 0));
    assert_eq!(cell.take(), None);
    assert_eq!(ready(&cell, 4).poll(), Some(&4));
}

#[test]
fn an_initialiser_that_runs_is_not_overtaken_by_set() {
    let cell = OnceCell::new();
    let first = endless(&cell);
    let error = cell.set(1).unwrap_err();
    assert!(error.is_initializing() && !error.is_initialized());
    assert!(error.to_string().contains("being initialized"));
    drop(first);
    assert!(cell.set(1).is_ok());
}

#[test]
fn a_value_that_is_set_reaches_those_whose_turn_has_not_begun() {
    let cell = OnceCell::new();
    let first = endless(&cell);
    let (second, third) = (endless(&cell), endless(&cell));
    drop(first);
    assert_eq!((second.wakes(), third.wakes()), (1, 1));
    cell.set(1).unwrap();
    assert_eq!((second.turn(), third.turn()), (&1, &1));
}

#[test]
fn all_who_wait_are_woken_once_and_get_the_value() {
    let cell = OnceCell::new();
    let (send, receive) = oneshot::channel();
    let mut first = ByHand::waiting(cell.get_or_init(async || receive.await.unwrap()));
    let others: Vec<_> = (0..20).map(|_| endless(&cell)).collect();
    assert_eq!(usage(&cell), (1, 20));
    send.send(7).unwrap();
    assert_eq!(first.poll(), Some(&7));
    assert!(others.into_iter().all(|other| *other.turn() == 7));
    assert_eq!((usage(&cell), cell.statistics().peak_waiting()), ((0, 0), 20));
}

/// Notes how many guards were alive when it was woken.
struct Noting {
    drops: Drops,
    alive: AtomicUsize,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.alive.store(self.drops.alive(), SeqCst);
    }
}

#[test]
fn an_initialiser_is_dropped_before_others_are_woken() {
    // They may need what it holds.
    for fails in [false, true] {
        let (cell, drops) = (OnceCell::new(), Drops::new());
        let (guard, mut polls) = (drops.guard(), 0);
        let mut first = ByHand::waiting(cell.get_or_try_init(|| {
            poll_fn(move |_| {
                let _held = &guard;
                polls += 1;
                let result = if fails { Err(()) } else { Ok(7) };
                if polls > 1 { Poll::Ready(result) } else { Poll::Pending }
            })
        }));
        let noting = Arc::new(Noting { drops: drops.clone(), alive: AtomicUsize::new(9) });
        let mut other = Box::pin(cell.get_or_init(pending));
        assert!(other.poll_unpin(&mut Context::from_waker(&noting.clone().into())).is_pending());
        assert_eq!(first.poll(), Some(if fails { Err(()) } else { Ok(&7) }));
        assert_eq!(noting.alive.load(SeqCst), 0);
    }
}

#[test]
fn the_next_one_begins_when_an_initialiser_fails() {
    let cell = OnceCell::new();
    let (send, receive) = oneshot::channel::<()>();
    let mut first = ByHand::waiting(cell.get_or_try_init(async || receive.await.map(|()| 0)));
    let mut second = ByHand::waiting(cell.get_or_try_init(async || Err::<u32, _>("no disk")));
    let mut third = ready(&cell, 3);
    assert!(third.poll().is_none());
    let fourth = endless(&cell);
    drop(send);
    assert!(first.poll().unwrap().is_err());
    assert_eq!((second.wakes(), third.wakes(), fourth.wakes()), (1, 1, 1));
    assert_eq!(second.poll(), Some(Err("no disk")));
    assert_eq!((third.turn(), fourth.turn()), (&3, &3));
}

#[test]
fn the_next_one_begins_when_an_initialiser_is_dropped() {
    // moka#240, async_singleflight#8: those who waited for an initialiser that was dropped waited
    // for ever.
    let cell = OnceCell::new();
    let (first, second, third) = (endless(&cell), endless(&cell), endless(&cell));
    let mut fourth = ready(&cell, 4);
    assert!(fourth.poll().is_none());
    drop(first);
    assert_eq!((second.wakes(), third.wakes(), fourth.wakes()), (1, 1, 1));
    drop((second, third));
    assert_eq!(fourth.turn(), &4);
}

#[test]
fn the_next_one_begins_when_an_initialiser_panics() {
    let cell = OnceCell::new();
    let (send, receive) = oneshot::channel::<()>();
    let mut first = ByHand::waiting(cell.get_or_init(async || {
        receive.await.expect("the initialiser panics");
        1
    }));
    let mut second = ByHand::new(cell.get_or_init::<_, std::future::Ready<u32>>(|| panic!("the closure panics")));
    assert!(second.poll().is_none());
    let third = {
        let mut third = ready(&cell, 3);
        assert!(third.poll().is_none());
        third
    };
    drop(send);
    assert!(catch_unwind(AssertUnwindSafe(|| first.poll())).is_err());
    drop(first);
    assert_eq!((second.wakes(), third.wakes()), (1, 1));
    assert!(catch_unwind(AssertUnwindSafe(|| second.poll())).is_err());
    drop(second);
    assert_eq!(third.turn(), &3);
}

#[test]
fn an_initialiser_that_has_panicked_keeps_nobody_waiting_while_its_future_is_kept() {
    // It kept the turn until its future was dropped.
    let cell = OnceCell::new();
    let mut kept = ByHand::new(cell.get_or_init(async || panic!("the initialiser panics")));
    assert!(catch_unwind(AssertUnwindSafe(|| kept.poll())).is_err());
    assert_eq!(usage(&cell), (0, 0));
    assert_eq!(ready(&cell, 2).poll(), Some(&2));
    assert!(catch_unwind(AssertUnwindSafe(|| kept.poll())).is_err(), "it has ended");
}

#[test]
fn one_that_is_woken_and_not_polled_keeps_nobody_waiting() {
    // A futurelock: one alone was woken, whose task did not poll it, because it waited for another
    // task that waited for the cell.
    let cell = OnceCell::new();
    let first = endless(&cell);
    let mut unpolled = ready(&cell, 2);
    assert!(unpolled.poll().is_none());
    let mut other = ready(&cell, 3);
    assert!(other.poll().is_none());
    drop(first);
    assert_eq!((unpolled.wakes(), other.wakes()), (1, 1));
    assert_eq!(other.turn(), &3);
    assert_eq!(unpolled.turn(), &3);
}

#[test]
fn a_newcomer_begins_where_those_who_were_woken_have_not() {
    let cell = OnceCell::new();
    let (first, mut second, third) = (endless(&cell), endless(&cell), endless(&cell));
    drop(first);
    let mut newcomer = endless(&cell);
    assert_eq!((second.wakes(), third.wakes(), usage(&cell)), (1, 1, (1, 0)));
    assert!(second.poll().is_none(), "it waits again");
    assert!(newcomer.poll().is_none());
    assert_eq!(usage(&cell), (1, 1));
    drop(newcomer);
    assert_eq!((second.wakes(), third.wakes()), (2, 1), "the third has not looked since it was woken");
    drop((second, third));
    assert_eq!(usage(&cell), (0, 0));
}

#[test]
fn one_that_leaves_wakes_nobody() {
    let cell = OnceCell::new();
    let (first, second, third, fourth) = (endless(&cell), endless(&cell), endless(&cell), endless(&cell));
    drop(third);
    assert_eq!((second.wakes(), fourth.wakes()), (0, 0), "it was waiting");
    drop(first);
    assert_eq!((second.wakes(), fourth.wakes()), (1, 1));
    drop(second);
    assert_eq!(fourth.wakes(), 1, "it was woken, as the other was");
}

#[test]
fn a_future_is_not_polled_after_its_end() {
    let cell = OnceCell::from(1);
    let mut get = Box::pin(cell.get_or_init(pending));
    assert_eq!(get.as_mut().now_or_never(), Some(&1));
    assert_eq!(format!("{get:?}"), "GetOrInit { stage: \"completed\", .. }");
    assert!(catch_unwind(AssertUnwindSafe(|| get.as_mut().now_or_never())).is_err());
}

#[test]
fn futures_say_what_they_do() {
    let cell = OnceCell::<u32>::new();
    let mut get = Box::pin(cell.get_or_try_init(pending::<Result<u32, ()>>));
    assert_eq!(format!("{get:?}"), "GetOrTryInit { stage: \"waiting\", .. }");
    assert!(get.as_mut().now_or_never().is_none());
    assert_eq!(format!("{get:?}"), "GetOrTryInit { stage: \"initializing\", .. }");
}

#[test]
fn cells_and_futures_are_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    let cell = OnceCell::new();
    check(&cell);
    check(&cell.get_or_init(async || 1));
    check(&cell.get_or_try_init(async || Ok::<_, ()>(1)));
}

#[test]
fn dropped_at_any_point_the_cell_is_left_to_others() {
    let current = RefCell::new(Rc::new(OnceCell::new()));
    let report = cancel_at_every_await(
        || {
            let cell = Rc::new(OnceCell::new());
            current.replace(cell.clone());
            local::scope(async move |s| {
                for i in 0..3 {
                    let cell = cell.clone();
                    s.spawn(async move {
                        let got = cell.get_or_try_init(async || {
                            yield_now().await;
                            yield_now().await;
                            if i == 0 { Err(()) } else { Ok(i) }
                        });
                        assert!(matches!(got.await, Ok(1 | 2) | Err(())));
                    });
                }
            })
        },
        || assert_eq!(usage(&*current.borrow()), (0, 0)),
    );
    assert!(report.suspensions().iter().any(|what| what.contains("once cell")), "{report:?}");
}

#[test]
fn under_every_schedule_one_initialises_and_all_get_its_value() {
    let explored = explore_all(|| async {
        let (cell, begun) = (Arc::new(OnceCell::new()), Arc::new(AtomicUsize::new(0)));
        scope(async |s| {
            for i in 0..3 {
                let (cell, begun) = (cell.clone(), begun.clone());
                s.spawn_parallel(async move {
                    let value = cell.get_or_try_init(async || {
                        let fails = begun.fetch_add(1, SeqCst) == 0;
                        yield_now().await;
                        if fails { Err(()) } else { Ok(i) }
                    });
                    if let Ok(value) = value.await {
                        assert_eq!(cell.get(), Some(value));
                    }
                });
            }
        })
        .await;
        assert_eq!((begun.load(SeqCst), usage(&cell)), (2, (0, 0)));
    });
    assert!(explored.schedules() > 20, "{explored:?}");
}

matrix! {
    async fn many_callers_compute_a_value_once() {
        let (cell, begun) = (Arc::new(OnceCell::new()), Arc::new(AtomicUsize::new(0)));
        scope(async |s| {
            for i in 0..20 {
                let (cell, begun) = (cell.clone(), begun.clone());
                let work = async move {
                    let value = cell.get_or_init(async || {
                        begun.fetch_add(1, SeqCst);
                        yield_now().await;
                        i
                    }).await;
                    assert_eq!(Some(value), cell.get());
                };
                if i % 2 == 0 { s.spawn(work) } else { s.spawn_parallel(work) };
            }
        }).await;
        assert_eq!((begun.load(SeqCst), usage(&cell)), (1, (0, 0)));
    }

    async fn a_timeout_around_an_initialiser_leaves_the_cell_to_the_next() {
        let cell = OnceCell::new();
        let mut late = Box::pin(timeout(T, cell.get_or_init(pending)));
        assert!(poll_once(&mut late).await.is_pending());
        let (late, value) = gather((late, cell.get_or_init(async || 7))).await;
        assert!(late.is_err());
        assert_eq!((value, usage(&cell)), (&7, (0, 0)));
    }

    async fn nothing_begins_in_a_cancelled_region() {
        let (cell, full) = (OnceCell::new(), OnceCell::from(7));
        let begins = in_a_cancelled_region(async {
            assert_eq!(full.get_or_init(pending).await, &7);
            assert!(poll_once(cell.get_or_init(async || 8)).await.is_pending());
            cell.get_or_init(async || 8).await;
        });
        assert!(!begins.await);
        assert_eq!((cell.get(), usage(&cell)), (None, (0, 0)));
    }

    // A turn that is given in a cancelled region must not be nobody's.
    async fn a_turn_that_comes_in_a_cancelled_region_is_taken() {
        let (cell, begun) = (OnceCell::new(), Cell::new(false));
        let mut first = Some(endless(&cell));
        let mut second = Box::pin(cell.get_or_init(async || { begun.set(true); pending().await }));
        assert!(poll_once(&mut second).await.is_pending());
        let goes_on = in_a_cancelled_region(async {
            assert!(poll_once(&mut second).await.is_pending());
            assert!(!begun.get(), "another one initialises");
            first = None;
            assert!(poll_once(&mut second).await.is_pending());
            assert!(begun.get());
            (&mut second).await;
        });
        assert!(!goes_on.await);
        drop(second);
        assert_eq!(usage(&cell), (0, 0));
    }

    // It joined the line no more once another one had the turn.
    async fn who_has_begun_to_wait_and_loses_the_turn_in_a_cancelled_region_waits_for_the_next() {
        let cell = OnceCell::new();
        let first = endless(&cell);
        let mut waiter = ready(&cell, 7);
        assert!(waiter.poll().is_none());
        drop(first);
        let second = endless(&cell);
        let goes_on = in_a_cancelled_region(async {
            assert!(waiter.poll().is_none());
            drop(second);
            assert_eq!(waiter.wakes(), 2);
            assert_eq!(waiter.poll(), Some(&7));
        });
        assert!(goes_on.await);
    }
}

/// One of the callers of the model.
struct Caller<'a> {
    get: Option<ByHand<'a, Result<&'a u32, ()>>>,
    /// Ends its initialiser.
    end: Option<oneshot::Sender<Result<u32, ()>>>,
    has_begun: Rc<Cell<bool>>,
    /// The wake-ups that its polls have answered. `None` if it was not polled.
    seen: Option<usize>,
}

impl<'a> Caller<'a> {
    fn new(cell: &'a OnceCell<u32>) -> Self {
        let (send, receive) = oneshot::channel();
        let has_begun = Rc::new(Cell::new(false));
        let begins = has_begun.clone();
        let get = ByHand::new(cell.get_or_try_init(async move || {
            begins.set(true);
            receive.await.unwrap_or(Err(()))
        }));
        Caller { get: Some(get), end: Some(send), has_begun, seen: None }
    }

    fn poll(&mut self) {
        let Some(get) = &mut self.get else { return };
        self.seen = Some(get.wakes());
        if get.poll().is_some() {
            self.get = None;
        }
    }

    fn initialises(&self) -> bool {
        self.get.is_some() && self.has_begun.get()
    }

    fn waits(&self) -> bool {
        self.get.is_some() && self.seen.is_some() && !self.has_begun.get()
    }

    fn is_woken(&self) -> bool {
        self.get.as_ref().is_some_and(|get| Some(get.wakes()) > self.seen)
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come,
    Poll(Index),
    Drop(Index),
    End(Index, bool),
    Set,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Come),
        4 => any::<Index>().prop_map(Step::Poll),
        1 => any::<Index>().prop_map(Step::Drop),
        2 => (any::<Index>(), prop::bool::weighted(0.2)).prop_map(|(who, well)| Step::End(who, well)),
        1 => prop::bool::weighted(0.1).prop_map(|sets| if sets { Step::Set } else { Step::Come }),
    ]
}

fn check(cell: &OnceCell<u32>, callers: &[Caller<'_>]) {
    let initialising = callers.iter().filter(|caller| caller.initialises()).count();
    assert_eq!(usage(cell).0, initialising);
    assert!(initialising <= 1 && (initialising == 0 || cell.get().is_none()));
    let mut waiting = callers.iter().filter(|caller| caller.waits());
    if initialising == 0 {
        assert!(waiting.all(Caller::is_woken), "all who wait hear of the value, or may begin");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::with_cases(400)
    })]

    #[test]
    fn whatever_callers_do_one_initialises_and_somebody_goes_on(steps in prop::collection::vec(step(), 1..60)) {
        let cell = OnceCell::new();
        let mut callers = vec![Caller::new(&cell)];
        for step in steps {
            match step {
                Step::Come => callers.push(Caller::new(&cell)),
                Step::Poll(who) => who.get_mut(&mut callers).poll(),
                Step::Drop(who) => who.get_mut(&mut callers).get = None,
                Step::End(who, well) => {
                    if let Some(end) = who.get_mut(&mut callers).end.take() {
                        let _ = end.send(if well { Ok(1) } else { Err(()) });
                    }
                }
                Step::Set => drop(cell.set(2)),
            }
            check(&cell, &callers);
        }
        callers.iter_mut().for_each(|caller| caller.end = None);
        while let Some(woken) = callers.iter_mut().find(|caller| caller.is_woken()) {
            woken.poll();
            check(&cell, &callers);
        }
        assert!(callers.iter().all(|caller| caller.get.is_none()));
        assert_eq!(usage(&cell), (0, 0));
    }
}
