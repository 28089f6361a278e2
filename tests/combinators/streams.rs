//! Generators whose emitters live on, maps in order that fail, and samples of a slow consumer.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use foster::stream::{Emit, Emitter, generator, try_generator};
use foster::testing::{CountingWaker, Drops};
use foster::{ConcurrentIterator, ConcurrentStream, StreamExt as _, interval, sleep, yield_now};
use futures::stream::{self, StreamExt, TryStreamExt};

matrix! {
    async fn generators_need_no_pin() {
        let mut pages = generator(|y| async move {
            for n in 0..3 {
                yield_now().await;
                _ = y.emit(n).await;
            }
        });
        let mut seen = Vec::new();
        while let Some(n) = pages.next().await {
            seen.push(n);
        }
        assert_eq!(seen, [0, 1, 2]);
        let mut numbers = try_generator(|y| async move {
            _ = y.emit(1).await;
            yield_now().await;
            Err("no")
        });
        assert_eq!((numbers.next().await, numbers.next().await, numbers.next().await), (Some(Ok(1)), Some(Err("no")), None));
    }

    // It waited for good.
    async fn an_emitter_that_is_kept_beyond_its_stream_gets_its_item_back() {
        let mut kept = None;
        let mut numbers = generator(|y| { kept = Some(y.clone()); async move { _ = y.emit(1).await } });
        let kept: Emitter<u32> = kept.unwrap();
        assert_eq!(numbers.by_ref().collect::<Vec<_>>().await, [1]);
        let error = kept.emit(2).await.unwrap_err();
        assert!(error.to_string().contains("ended") && error.source().is_none());
        assert_eq!(error.into_inner(), 2, "the stream has ended");
        drop(numbers);
        assert_eq!(kept.emit(3).await.unwrap_err().into_inner(), 3, "the stream was dropped");
    }

    async fn emits_that_wait_when_the_stream_is_dropped_get_their_items_back() {
        let mut kept = None;
        let mut numbers = generator(|y| { kept = Some(y); pending() });
        let kept: Emitter<String> = kept.unwrap();
        let emit = async |text: &str| kept.emit(text.into()).await.map_err(|error| error.into_inner());
        let dropping = async {
            assert_eq!(numbers.next().await.as_deref(), Some("a"));
            // The second one's is in the slot, and the third one is in the line.
            yield_now().await;
            yield_now().await;
            drop(numbers);
        };
        let all = futures::join!(emit("a"), emit("b"), emit("c"), dropping);
        assert_eq!((all.0, all.1, all.2), (Ok(()), Err("b".into()), Err("c".into())));
    }

    async fn emits_that_wait_when_the_body_ends_get_their_turn_or_their_items_back() {
        let mut kept = None;
        let numbers = generator(|y| { kept = Some(y); async { for _ in 0..3 { yield_now().await } } });
        let kept: Emitter<u32> = kept.unwrap();
        let (seen, first, second) = futures::join!(numbers.collect::<Vec<_>>(), kept.emit(1), async {
            sleep(Duration::from_millis(5)).await;
            kept.emit(2).await.map_err(|error| error.into_inner())
        });
        assert_eq!((seen, first.is_ok(), second), (vec![1], true, Err(2)));
    }

    async fn a_map_that_may_fail_streams_in_order_until_it_fails() {
        let slow_first = (0..10).try_map_concurrent(4, |n| async move {
            for _ in 0..10 - n { yield_now().await }
            Ok::<_, u32>(n)
        });
        assert_eq!(slow_first.in_order().try_collect::<Vec<_>>().await, Ok(Vec::from_iter(0..10)));

        let drops = Drops::new();
        let failing = stream::iter(0..10).try_map_concurrent(10, |n| {
            let guard = drops.guard();
            async move {
                for _ in 0..[0, 1, 50, 2, 3][n % 5] { yield_now().await }
                if n == 4 { Err("no") } else { Ok((n, guard)) }
            }
        });
        let seen: Vec<_> = failing.in_order().map_ok(|(n, _)| n).collect().await;
        assert_eq!(seen, [Ok(0), Ok(1), Err("no")], "the error waits for nobody");
        assert_eq!(drops.alive(), 0, "nor do the values after the one that was missing");
    }

    async fn of_a_map_in_order_values_that_wait_count_towards_the_limit() {
        let (running, most) = (&Cell::new(0), &Cell::new(0));
        let mapped = (0..20).try_map_concurrent(3, |n| async move {
            running.set(running.get() + 1);
            most.set(most.get().max(n));
            if n == 0 { for _ in 0..20 { yield_now().await } assert!(most.get() < 3) }
            running.set(running.get() - 1);
            Ok::<_, ()>(n)
        });
        assert_eq!(mapped.in_order().try_collect::<Vec<_>>().await, Ok(Vec::from_iter(0..20)));
    }

    // `for_each_concurrent` of both was ambiguous (E0034).
    async fn the_traits_of_both_crates_may_be_in_scope() {
        let sum = Cell::new(0);
        stream::iter(1..4).each_concurrent(2, |n| { sum.set(sum.get() + n); ready(()) }).await;
        stream::iter(1..4).for_each_concurrent(2, |n| { sum.set(sum.get() + n); ready(()) }).await;
        (1..4).each_concurrent(2, |n| { sum.set(sum.get() + n); ready(()) }).await;
        let failed = stream::iter(1..4).try_each_concurrent(2, |n| ready(if n == 3 { Err(n) } else { Ok(()) }));
        assert_eq!((failed.await, sum.get()), (Err(3), 18));
        let failed = stream::iter(1..4).map(Ok).try_for_each_concurrent(2, |n| ready(if n == 3 { Err(n) } else { Ok(()) }));
        assert_eq!(failed.await, Err(3));
    }
}

#[test]
fn the_order_is_to_be_chosen_before_the_first_poll() {
    let mut map = (0..3).try_map_concurrent(2, |_| pending::<Result<(), ()>>());
    assert!(map.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    let late = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(map.in_order())));
    let text = *late.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("before the first poll"), "{text}");
}

/// A waker that emits when it is cloned.
struct EmitsWhenCloned {
    waker: CountingWaker,
    emit: RefCell<Option<Pin<Box<Emit<'static, u32>>>>>,
}

/// # Safety
///
/// The waker, and its clones, must not outlive what it is made of, nor leave this thread.
unsafe fn emits_when_cloned(inside: &Rc<EmitsWhenCloned>) -> Waker {
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: by the promise of the caller of `emits_when_cloned`.
        let inside = unsafe { &*data.cast::<EmitsWhenCloned>() };
        if let Some(emit) = inside.emit.borrow_mut().as_mut() {
            assert!(emit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        RawWaker::new(data, &VTABLE)
    }
    unsafe fn wake(data: *const ()) {
        // SAFETY: as in `clone`.
        unsafe { &*data.cast::<EmitsWhenCloned>() }.waker.waker().wake();
    }
    unsafe fn forget(_: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, forget);
    // SAFETY: one thread, as promised; and nothing is counted.
    unsafe { Waker::from_raw(RawWaker::new(Rc::as_ptr(inside).cast(), &VTABLE)) }
}

// The stream looks into the slot, then leaves its waker there: what is emitted between the two must be seen.
#[test]
fn what_is_emitted_while_the_stream_goes_to_sleep_is_not_overlooked() {
    let mut kept = None;
    let mut numbers = generator(|y| {
        kept = Some(y);
        pending()
    });
    let emitter: &'static Emitter<u32> = Box::leak(Box::new(kept.unwrap()));
    let emit = RefCell::new(Some(Box::pin(emitter.emit(7))));
    let inside = Rc::new(EmitsWhenCloned { waker: CountingWaker::new(), emit });
    // SAFETY: it stays here, and `inside` is dropped last.
    let waker = unsafe { emits_when_cloned(&inside) };
    let polled = pin!(&mut numbers).poll_next_unpin(&mut Context::from_waker(&waker));
    assert!(polled == Poll::Ready(Some(7)) || inside.waker.count() > 0, "seen, or woken to see it");
    drop(numbers);
}

#[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
async fn a_sample_after_a_long_pause_begins_a_period_of_its_own() {
    let period = Duration::from_secs(10);
    // A number each second, from 0 on.
    let numbers = interval(Duration::from_secs(1)).enumerate().map(|(n, _)| n);
    let mut samples = pin!(numbers.sample(period));
    assert_eq!(samples.next().await, Some(10));
    // Ticks at 20, 30, 40, 50 and 60 are missed, and one is late.
    sleep(55 * Duration::from_secs(1)).await;
    let start = foster::now();
    samples.next().await;
    assert_eq!(foster::now() - start, Duration::ZERO, "the one that is late");
    samples.next().await;
    assert_eq!(foster::now() - start, period, "a burst would make up for the others at once");
    samples.next().await;
    assert_eq!(foster::now() - start, 2 * period);
}
