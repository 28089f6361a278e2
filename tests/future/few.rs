//! A dozen members or fewer, inside the combinator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use foster::future::quorum;
use foster::testing::{CountingWaker, Drops, Polls};
use foster::{FutureExt as _, gather, race, race_ok, scope, sleep, try_gather, yield_now};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::harness::watched;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: it passes everything on, and counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        // SAFETY: as promised to this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised to this function.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Yields once.
fn once<V: Copy>(value: V) -> impl Future<Output = V> {
    let mut first = true;
    poll_fn(move |cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(value)
    })
}

/// How many allocations it takes to run `future`.
fn allocations<F: Future>(future: impl FnOnce() -> F) -> usize {
    let before = ALLOCATIONS.get();
    let mut future = pin!(future());
    while future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    ALLOCATIONS.get() - before
}

#[test]
fn a_few_need_no_allocation() {
    let ok = |n| once(Ok::<u8, u8>(n));
    // The context of this thread, and the like.
    allocations(|| race((once(1), pending())));
    let counts = [
        allocations(|| race((ready(1), pending()))),
        allocations(|| race((once(1), pending()))),
        allocations(|| race([1, 2, 3].map(once))),
        allocations(|| once(1).race(pending())),
        allocations(|| async {
            foster::select! { _ = once(1) => {} _ = pending::<u8>() => {} }
        }),
        allocations(|| gather((once(1), once("two"), ready('3')))),
        allocations(|| gather([1; 12].map(once))),
        allocations(|| gather((ok(1), ok(2)))),
        allocations(|| try_gather((ok(1), ok(2)))),
        allocations(|| try_gather([ok(1), ok(2)])),
        allocations(|| try_gather((once(Err::<u8, u8>(1)), pending::<Result<u8, u8>>()))),
        allocations(|| race_ok((once(Err(1)), ok(2), pending()))),
    ];
    assert_eq!(counts, [0; 12]);
    assert_eq!(allocations(|| quorum(2, [ok(1), ok(2), ok(3)])), 1, "the values that it returns");
}

#[test]
fn arrays_gather_into_arrays_whatever_their_length() {
    fn all<const N: usize>() -> bool
    where
        [BoxFuture<'static, usize>; N]: foster::future::Futures<foster::future::Array, Values = [usize; N]>,
    {
        let members = std::array::from_fn(|i| once(i).boxed());
        gather(members).now_or_never().is_none() || N == 0
    }
    assert!(all::<0>() && all::<1>() && all::<12>() && all::<13>() && all::<64>());
    let run = futures::executor::block_on::<BoxFuture<'_, _>>;
    run(Box::pin(async {
        assert_eq!(gather([0; 0].map(once)).await, [0; 0]);
        assert_eq!(gather([7; 12].map(once)).await, [7; 12]);
        let thirteen = std::array::from_fn::<_, 13, _>(once);
        assert_eq!(gather(thirteen).await, std::array::from_fn::<_, 13, _>(|i| i));
        let some = [Ok(1), Err("no"), Ok(3)].map(once);
        assert_eq!(gather(some).await, [Ok(1), Err("no"), Ok(3)]);
        assert_eq!(try_gather([Ok::<_, ()>(1), Ok(2)].map(once)).await, Ok([1, 2]));
    }));
}

#[test]
fn members_are_polled_with_the_callers_waker() {
    let waker = CountingWaker::new();
    let seen = RefCell::new(0);
    let member = || {
        poll_fn(|cx| {
            *seen.borrow_mut() += usize::from(cx.waker().will_wake(&waker.waker()));
            Poll::<()>::Pending
        })
    };
    assert!(waker.poll(pin!(race((member(), member())))).is_pending());
    assert!(waker.poll(pin!(gather([member(), member()]))).is_pending());
    assert_eq!(*seen.borrow(), 4);
    assert_eq!(waker.held(), 0);
}

#[test]
fn of_thirteen_only_the_one_that_is_woken_is_polled() {
    watched(|| {
        let (polls, waker) = (Polls::new(), CountingWaker::new());
        let (send, receive) = futures::channel::oneshot::channel::<()>();
        let mut receive = Some(receive);
        let members = std::array::from_fn::<_, 13, _>(|i| {
            let receive = if i == 4 { receive.take() } else { None };
            polls
                .of(async move { if let Some(receive) = receive { _ = receive.await } else { pending().await } }
                    .boxed())
        });
        let mut all = pin!(gather(members));
        assert!(waker.poll(all.as_mut()).is_pending());
        send.send(()).unwrap();
        assert!(waker.poll(all.as_mut()).is_pending());
        assert_eq!(polls.count(), 14);
    });
}

// S11: one that uses up what a runtime allows for one poll must not do so before the same siblings
// always.
#[test]
fn passes_begin_at_different_members_in_turn() {
    let order = RefCell::new(Vec::new());
    let member = |i| {
        let order = &order;
        poll_fn(move |_| {
            order.borrow_mut().push(i);
            Poll::<Result<(), ()>>::Pending
        })
    };
    let mut all: [Pin<Box<dyn Future<Output = ()> + '_>>; 3] = [
        Box::pin(gather([0, 1, 2].map(member)).map(drop)),
        Box::pin(try_gather((member(0), member(1), member(2))).map(drop)),
        Box::pin(race([0, 1, 2].map(member)).map(drop)),
    ];
    for combined in &mut all {
        for _ in 0..4 {
            assert!(combined.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(order.take(), [0, 1, 2, 1, 2, 0, 2, 0, 1, 0, 1, 2]);
    }
}

// A pass that was left for a value goes on where it was: who has been polled in it is not polled
// again.
#[test]
fn each_member_is_polled_once_a_pass_although_values_come() {
    let polls = Cell::new(0);
    let pending = poll_fn(|_| {
        polls.set(polls.get() + 1);
        Poll::<Result<(), ()>>::Pending
    });
    let done = || ready(Ok(()));
    let mut all = pin!(quorum(4, (pending, done(), done(), done())));
    for pass in 1..4 {
        assert!(all.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(polls.get(), pass);
    }
}

/// Panics in its poll, or in its drop; logs its drop.
struct Fragile<'a> {
    name: usize,
    panics: &'static str,
    log: &'a RefCell<Vec<usize>>,
}

impl Future for Fragile<'_> {
    type Output = Result<u8, u8>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(self.panics != "in poll", "in poll");
        if self.panics == "ready" { Poll::Ready(Err(1)) } else { Poll::Pending }
    }
}

impl Drop for Fragile<'_> {
    fn drop(&mut self) {
        self.log.borrow_mut().push(self.name);
        assert!(self.panics != "in drop" || std::thread::panicking(), "in drop");
    }
}

// S3
#[test]
fn of_panics_one_is_heard_and_all_members_are_dropped_newest_first() {
    let log = &RefCell::new(Vec::new());
    let member = |name, panics| Fragile { name, panics, log };
    let poll = |future: Pin<&mut dyn Future<Output = ()>>| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(&mut Context::from_waker(Waker::noop()))));
        polled.map_err(|payload| *payload.downcast::<&str>().unwrap())
    };
    // A drop from outside.
    let kinds = ["in drop", "quiet", "in drop", "quiet"];
    let four = || [0, 1, 2, 3].map(|i| member(i, kinds[i]));
    let combined: [Pin<Box<dyn Future<Output = ()> + '_>>; 4] = [
        Box::pin(gather(four()).map(drop)),
        Box::pin(try_gather(four()).map(drop)),
        Box::pin(race(four()).map(drop)),
        Box::pin(quorum(2, four()).map(drop)),
    ];
    for mut future in combined {
        assert_eq!(poll(future.as_mut()), Ok(Poll::Pending));
        assert!(catch_unwind(AssertUnwindSafe(|| drop(future))).is_err());
        assert_eq!(log.take(), [3, 2, 1, 0]);
    }
    // A cancellation: the third is ready, and the others are losers, one of them not polled yet.
    let kinds = ["in drop", "quiet", "ready", "in drop"];
    let four = || [0, 1, 2, 3].map(|i| member(i, kinds[i]));
    let combined: [Pin<Box<dyn Future<Output = ()> + '_>>; 2] =
        [Box::pin(try_gather(four()).map(drop)), Box::pin(race(four()).map(drop))];
    for mut future in combined {
        assert_eq!(poll(future.as_mut()), Err("in drop"));
        drop(future);
        assert_eq!(log.take(), [2, 3, 1, 0]);
    }
    // In a poll: whoever panicked stays, so that a panic never turns into a hang.
    let mut future = Box::pin(gather((member(0, "quiet"), member(1, "in poll"), member(2, "quiet"))).map(drop));
    assert_eq!((poll(future.as_mut()), poll(future.as_mut())), (Err("in poll"), Err("in poll")));
    drop(future);
    assert_eq!(log.take(), [2, 1, 0]);
}

/// A future whose destructor notes its name and panics, come what may.
struct Spiteful<'a>(usize, &'a RefCell<Vec<usize>>);

impl Future for Spiteful<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0 == 2 { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Spiteful<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
        if self.0 != 2 {
            std::panic::panic_any(self.0);
        }
    }
}

// S3
#[test]
fn of_panics_in_drops_the_first_is_heard_and_none_aborts() {
    let log = &RefCell::new(Vec::new());
    let heard = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).unwrap_err().downcast_ref::<usize>().copied();
    let four = || [0, 1, 2, 3].map(|i| Spiteful(i, log));
    let lost = heard(&|| assert!(race(four()).now_or_never().is_some()));
    assert_eq!((lost, log.take()), (Some(3), vec![2, 3, 1, 0]), "losers");
    let dropped = heard(&|| drop(gather(four())));
    assert_eq!((dropped, log.take()), (Some(3), vec![3, 2, 1, 0]), "a drop");
    let unwound = heard(&|| {
        let _members = gather(four());
        std::panic::panic_any(7_usize);
    });
    assert_eq!((unwound, log.take()), (Some(7), vec![3, 2, 1, 0]), "a drop by another panic");
}

#[test]
fn once_over_it_panics_when_it_is_polled_again() {
    fn again(future: impl Future) -> bool {
        let mut future = pin!(future);
        let mut poll = || future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        poll() && catch_unwind(AssertUnwindSafe(poll)).is_err()
    }
    let of = || (ready(Ok::<_, ()>(1)), ready(Ok::<_, ()>(2)));
    assert!(again(gather(of())) && again(try_gather(of())) && again(race(of())));
    assert!(again(race_ok(of())) && again(quorum(1, of())) && again(gather([1; 0].map(ready))));
}

#[test]
fn they_are_unpin_where_their_members_are() {
    fn unpin<T: Unpin>(_: &T) {}
    unpin(&gather((ready(1), ready("2"))));
    unpin(&race([ready(1), ready(2)]));
    unpin(&gather(vec![async {}]));
    unpin(&race(std::iter::once(async {})));
}

matrix! {
    // S4
    async fn of_a_few_losers_only_those_that_need_time_are_waited_for() {
        let (drops, log) = (Drops::new(), Mutex::new(Vec::new()));
        let guard = drops.guard();
        let seen = race((
            async { let _guard = guard; pending().await },
            scope(async |s| {
                s.defer(async { yield_now().await; log.lock().unwrap().push(drops.count()) });
                pending().await
            }).boxed_local(),
            async { for _ in 0..3 { yield_now().await } "won" },
        )).await;
        assert_eq!((seen, log.into_inner().unwrap()), ("won", vec![1]), "the first was gone before");
    }

    // S4
    async fn a_few_that_are_cancelled_from_outside_end_with_all_their_cleanup() {
        let log = Mutex::new(Vec::new());
        let slow = |name: &'static str| {
            let log = &log;
            scope(async move |s| {
                s.defer(async move { yield_now().await; log.lock().unwrap().push(name) });
                pending::<Result<(), ()>>().await
            }).boxed_local()
        };
        let moment = std::time::Duration::from_millis(5);
        assert!(try_gather([slow("a"), slow("b")]).timeout(moment).await.is_err());
        assert!(race((slow("c"), slow("d"))).timeout(moment).await.is_err());
        let mut log = log.into_inner().unwrap();
        log.sort();
        assert_eq!(log, ["a", "b", "c", "d"]);
    }

    async fn a_shielded_loser_of_a_few_runs_to_its_end() {
        let mut saved = false;
        let late = async { sleep(std::time::Duration::from_millis(5)).await; saved = true }.shield();
        race((late, async { yield_now().await })).await;
        assert!(saved);
    }

    // S11
    async fn a_member_that_spins_starves_none_of_its_few_siblings() {
        let spin = poll_fn(|cx| { cx.waker().wake_by_ref(); Poll::<()>::Pending });
        race((spin, async { for _ in 0..100 { yield_now().await } })).await;
    }
}
