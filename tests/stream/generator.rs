//! Generators.

use std::cell::RefCell;
use std::error::Error;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;

use foster::stream::{Emit, Emitter, generator, try_generator};
use foster::testing::CountingWaker;
use foster::{scope, yield_now};
use futures::FutureExt;
use futures::stream::{FusedStream, StreamExt, TryStreamExt};

use crate::probes::turns;

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

matrix! {
    async fn a_generator_waits_for_its_consumer_and_is_dropped_with_it() {
        let emitted = AtomicUsize::new(0);
        let counted = &emitted;
        let mut numbers = Box::pin(generator(|y| async move {
            loop {
                let n = counted.fetch_add(1, Ordering::SeqCst);
                _ = y.emit(n).await;
            }
        }));
        assert_eq!(numbers.next().await, Some(0));
        yield_now().await;
        assert_eq!(emitted.load(Ordering::SeqCst), 1, "one at a time");
        assert_eq!(numbers.next().await, Some(1));
        drop(numbers);
        assert_eq!(emitted.load(Ordering::SeqCst), 2);
    }

    async fn a_generator_may_emit_from_several_places_at_once() {
        let numbers = generator(|y| async move {
            let other = y.clone();
            futures::join!(
                async { for n in 0..3 { _ = y.emit(n).await } },
                async { for n in 10..13 { yield_now().await; _ = other.emit(n).await } },
            );
        });
        let mut numbers: Vec<i32> = numbers.collect().await;
        numbers.sort();
        assert_eq!(numbers, [0, 1, 2, 10, 11, 12]);
    }

    // S12
    async fn an_emitter_is_not_overtaken_by_one_that_comes_again() {
        let numbers = generator(|y| async move {
            let other = y.clone();
            futures::join!(async { for _ in 0..100 { _ = y.emit(0).await } }, async { _ = other.emit(1).await });
        });
        let numbers: Vec<i32> = numbers.collect().await;
        assert_eq!(numbers.len(), 101);
        assert!(numbers[..3].contains(&1), "{numbers:?}");
    }

    async fn a_generator_wakes_its_stream_no_more_than_its_body_does() {
        let (send, mut receive) = futures::channel::mpsc::unbounded();
        let mut echo = Box::pin(generator(|y| async move { while let Some(n) = receive.next().await { _ = y.emit(n).await } }));
        let waker = CountingWaker::new();
        // Once by the sender, and once as the value is taken.
        for n in 1..4 {
            assert!(waker.poll(pin!(echo.next())).is_pending());
            send.unbounded_send(n).unwrap();
            assert_eq!((waker.poll(pin!(echo.next())), waker.count()), (Poll::Ready(Some(n)), 2 * n));
        }
    }

    // S12
    async fn an_emitter_that_is_dropped_passes_its_turn_on() {
        let numbers = generator(|y| async move {
            let first = async {
                let (mut first, mut second) = (y.emit(1), y.emit(2));
                assert!(futures::poll!(&mut first).is_pending() && futures::poll!(&mut second).is_pending());
                _ = first.await;
            };
            _ = futures::join!(first, y.emit(3));
            // What is in the stream's hands stays there.
            assert!(futures::poll!(y.emit(4)).is_pending());
            _ = y.emit(5).await;
        });
        assert_eq!(numbers.collect::<Vec<i32>>().await, [1, 3, 4, 5]);
    }

    async fn an_emitter_that_is_dropped_in_its_turn_wakes_the_next() {
        let mut emitter = None;
        let mut numbers = generator(|y| {
            emitter = Some(y);
            pending::<()>()
        });
        let (y, wakers) = (emitter.unwrap(), [(); 3].map(|()| CountingWaker::new()));
        let [mut first, mut second, mut third] = [1, 2, 3].map(|n| y.emit(n));
        for (waker, emit) in wakers.iter().zip([&mut first, &mut second, &mut third]) {
            assert!(waker.poll(Pin::new(emit)).is_pending());
        }
        assert_eq!(numbers.next().await, Some(1));
        assert_eq!(wakers.each_ref().map(CountingWaker::count), [1, 1, 0]);
        drop(second);
        assert_eq!(wakers[2].count(), 1);
        assert!(wakers[2].poll(Pin::new(&mut third)).is_pending());
        assert_eq!(numbers.next().await, Some(3));
    }

    async fn a_generator_may_emit_from_parallel_children() {
        let numbers = generator(|y| scope(|s| async move {
            for n in 0..3 {
                let y = y.clone();
                s.spawn_parallel(async move { _ = y.emit(n).await; _ = y.emit(n + 10).await });
            }
        }));
        let mut numbers: Vec<i32> = numbers.collect().await;
        numbers.sort();
        assert_eq!(numbers, [0, 1, 2, 10, 11, 12]);
    }

    async fn an_emitter_that_outlives_the_body_does_not_revive_the_stream() {
        let mut outlives = None;
        let mut numbers = pin!(generator(|y| { outlives = Some(y.clone()); async move { _ = y.emit(1).await } }));
        assert_eq!((numbers.next().await, numbers.next().await), (Some(1), None));
        assert_eq!(outlives.unwrap().emit(2).await.unwrap_err().into_inner(), 2);
        assert!(numbers.is_terminated());
        assert_eq!(numbers.next().await, None);
    }

    async fn a_try_generator_ends_with_its_error() {
        let numbers = try_generator(|y| async move {
            _ = y.emit(1).await;
            assert!(futures::poll!(y.emit(2)).is_pending());
            Err("no")?;
            _ = y.emit(3).await;
            Ok::<_, &str>(())
        });
        assert_eq!(numbers.collect::<Vec<_>>().await, [Ok(1), Ok(2), Err("no")]);
        let fine = try_generator(|y| async move { _ = y.emit(1).await; Ok::<_, ()>(()) });
        assert_eq!(fine.try_collect::<Vec<_>>().await, Ok(vec![1]));
    }

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
            turns().await;
            kept.emit(2).await.map_err(|error| error.into_inner())
        });
        assert_eq!((seen, first.is_ok(), second), (vec![1], true, Err(2)));
    }
}

// The stream looks into the slot, then leaves its waker there: what is emitted between the two must
// be seen.
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

#[test]
fn a_value_that_nobody_can_get_any_more_is_dropped() {
    for stream_first in [true, false] {
        let mut kept = None;
        let stream = generator(|y| {
            kept = Some(y);
            pending::<()>()
        });
        let (y, value) = (kept.unwrap(), Rc::new(()));
        let mut emit = Box::pin(y.emit(value.clone()));
        assert!(emit.as_mut().now_or_never().is_none());
        if stream_first {
            drop(stream);
            drop(emit);
        } else {
            drop(emit);
            drop(stream);
        }
        assert_eq!(Rc::strong_count(&value), 1, "{stream_first}");
    }
}

/// The slot was found empty, and closed after that.
#[test]
fn nothing_is_emitted_after_the_error() {
    crate::harness::rounds(200, |round| {
        let mut kept = None;
        let mut stream = try_generator(|y| {
            kept = Some(y);
            async { Err::<(), _>("failed") }
        });
        let (y, start, is_over) = (kept.unwrap(), Barrier::new(2), AtomicBool::new(false));
        thread::scope(|threads| {
            threads.spawn(|| {
                start.wait();
                while !is_over.load(Ordering::Relaxed) {
                    let mut emit = pin!(y.emit(7));
                    while !is_over.load(Ordering::Relaxed) {
                        match emit.as_mut().now_or_never() {
                            None => {}
                            Some(Ok(())) => break,
                            Some(Err(_)) => return,
                        }
                    }
                }
            });
            start.wait();
            let mut has_failed = false;
            for _ in 0..10_000 {
                match stream.next().now_or_never() {
                    Some(Some(Err(_))) => has_failed = true,
                    Some(Some(Ok(_))) => assert!(!has_failed, "an item after the error, in round {round}"),
                    Some(None) => break,
                    None => {}
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
    });
}
