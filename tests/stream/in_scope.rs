//! Streams that a child of a scope drives.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{self, SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use foster::scope::Notice;
use foster::stream::generator;
use foster::{ConcurrentIterator, StreamExt as _, gather, scope, sleep, try_scope, yield_now};
use futures::stream::{self, StreamExt};

use crate::faulty::{Fault, Faulty};
use crate::harness::T;

/// Lets everybody else come to rest.
async fn settled() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Counts its drop.
struct Guard<'a>(&'a AtomicUsize);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

matrix! {
    // S3. The child that drives the stream, and waited for room, was not woken.
    async fn an_item_whose_destructor_panics_as_its_consumer_leaves_keeps_nobody_waiting() {
        struct Faulty;

        impl Drop for Faulty {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }

        scope(async |s| {
            let items = stream::repeat_with(|| Faulty).in_scope(&s, 1);
            settled().await;
            assert!(catch_unwind(AssertUnwindSafe(|| drop(items))).is_err());
        }).await;
    }

    // C293
    async fn five_consumers_share_the_items_and_all_take_part() {
        let taken = [const { AtomicUsize::new(0) }; 5];
        let sum = AtomicUsize::new(0);
        scope(|s| {
            let (taken, sum) = (&taken, &sum);
            async move {
                let items = Arc::new(futures::lock::Mutex::new(stream::iter(0..100).in_scope(&s, 5)));
                for own in taken {
                    let items = Arc::clone(&items);
                    s.spawn(async move {
                        while let Some(n) = { let mut items = items.lock().await; items.next().await } {
                            own.fetch_add(1, SeqCst);
                            sum.fetch_add(n, SeqCst);
                            yield_now().await;
                        }
                    });
                }
            }
        }).await;
        let taken = taken.map(AtomicUsize::into_inner);
        assert_eq!((taken.iter().sum::<usize>(), sum.into_inner()), (100, 4950), "each item once");
        assert!(taken.iter().all(|&n| n > 0), "{taken:?}");
    }

    // C308: decided otherwise. Receivers of a split each get all; those who share lock one stream,
    // as above.
    async fn two_receivers_of_a_split_both_get_every_item() {
        scope(async |s| {
            let receivers = generator(|y| async move { for n in 0..10 { _ = y.emit(n).await } }).split_in_scope(&s, 2, 1);
            let both = gather(receivers.into_iter().map(|r| r.collect::<Vec<_>>())).await;
            assert!(both.iter().all(|items| items.iter().eq(&Vec::from_iter(0..10))), "{both:?}");
        }).await;
    }

    // C302
    async fn a_consumer_that_stops_early_drops_the_producer_and_that_is_no_error() {
        let (emitted, dropped) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
        let first = try_scope(async |s| {
            let mut items = generator(move |y| async move {
                let _guard = Guard(dropped);
                loop { _ = y.emit(emitted.fetch_add(1, SeqCst)).await }
            }).in_scope(&s, 1);
            let first = items.next().await;
            settled().await;
            drop(items);
            settled().await;
            assert_eq!(dropped.load(SeqCst), 1, "at once, and not with the scope");
            Ok::<_, ()>(first)
        }).await;
        assert_eq!(first, Ok(Some(0)));
        assert!(emitted.load(SeqCst) <= 3);
    }

    // C303
    async fn a_producer_that_nobody_consumes_is_never_polled() {
        let polled = &AtomicUsize::new(0);
        let items = || generator(move |y| async move { polled.fetch_add(1, SeqCst); _ = y.emit(1).await });
        drop(items());
        let cancelled = scope(async |s| {
            drop(items().in_scope(&s, 1));
            settled().await;
            s.cancel("before the first poll");
            assert_eq!(items().in_scope(&s, 1).next().await, None, "refused, and over");
        }).outcome().await;
        assert_eq!((cancelled, polled.load(SeqCst)), (Ok(()), 0));
    }

    // C305: no buffer at all is a generator that its consumer polls; a driven one of capacity 0 is
    // refused.
    async fn without_room_the_producer_is_not_asked_for_more() {
        let asked = &AtomicUsize::new(0);
        let items = || generator(move |y| async move { loop { _ = y.emit(asked.fetch_add(1, SeqCst)).await } });
        let mut undriven = Box::pin(items());
        assert_eq!(undriven.next().await, Some(0));
        settled().await;
        assert_eq!(asked.swap(0, SeqCst), 1);
        scope(async |s| {
            let mut driven = items().in_scope(&s, 1);
            settled().await;
            assert_eq!(asked.load(SeqCst), 1, "as much as there is room for");
            assert_eq!(driven.next().await, Some(0));
            settled().await;
            assert_eq!(asked.load(SeqCst), 2);
            assert!(catch_unwind(AssertUnwindSafe(|| items().in_scope(&s, 0))).is_err());
        }).await;
    }

    // C307
    async fn the_grouped_error_of_a_consumer_is_unchanged() {
        let result = try_scope(async |s| {
            let mut items = stream::iter(1..).in_scope(&s, 1);
            items.next().await;
            try_scope(async |inner| {
                inner.spawn(async { Err::<(), _>("one") });
                inner.spawn(async { Err::<(), _>("two") });
                Ok(())
            }).keep_going().await
        }).await;
        let mut errors = result.unwrap_err().into_vec();
        errors.sort();
        assert_eq!(errors, ["one", "two"]);
    }

    // C310
    async fn an_error_of_the_consumer_and_one_of_the_producer_s_cleanup_are_both_reported() {
        let program = || try_scope(async |s| {
            let cleanup = s.clone();
            let mut items = generator(move |y| async move {
                cleanup.defer(async { sleep(T).await; Err("the cleanup") });
                loop { _ = y.emit(()).await }
            }).in_scope(&s, 1);
            items.next().await;
            Err::<(), _>("the consumer")
        });
        assert_eq!(program().keep_going().await.unwrap_err().into_vec(), ["the consumer", "the cleanup"]);

        let late = Arc::new(Mutex::new(Vec::new()));
        let observed = Arc::clone(&late);
        let program = program().observe(move |event| if let Notice::LateError { error, .. } = event {
            observed.lock().unwrap().push(error);
        });
        assert_eq!(program.await, Err("the consumer"));
        assert_eq!(*late.lock().unwrap(), ["the cleanup"]);
    }

    async fn a_lazy_stream_stalls_with_its_consumer_and_one_in_a_scope_goes_on() {
        let done = Arc::new(AtomicUsize::new(0));
        let work = |done: &Arc<AtomicUsize>| {
            let done = Arc::clone(done);
            (0..3).map_concurrent(3, move |n| {
                let done = Arc::clone(&done);
                async move { for _ in 0..n { yield_now().await } done.fetch_add(1, Ordering::SeqCst); n }
            })
        };
        let mut lazy = Box::pin(work(&done));
        assert_eq!(lazy.next().await, Some(0));
        for _ in 0..100 { yield_now().await }
        assert_eq!(done.load(Ordering::SeqCst), 1, "the lazy one stalls while its consumer is busy");

        let busy = Arc::new(AtomicUsize::new(0));
        let work = work(&busy);
        let finished = Arc::clone(&busy);
        scope(async |s| {
            let mut eager = work.in_scope(&s, 8);
            assert_eq!(eager.next().await, Some(0));
            for _ in 0..100 { yield_now().await }
            assert_eq!(finished.load(Ordering::SeqCst), 3, "the one in the scope goes on");
            assert_eq!(eager.collect::<Vec<_>>().await, [1, 2]);
        }).await;
    }

    async fn a_stream_in_a_scope_is_bounded_by_its_buffer() {
        let made = &AtomicUsize::new(0);
        scope(async |s| {
            let numbers = stream::iter(0..).inspect(move |_| { made.fetch_add(1, Ordering::SeqCst); });
            let mut numbers = numbers.in_scope(&s, 4);
            for _ in 0..50 { yield_now().await }
            assert_eq!(made.load(Ordering::SeqCst), 4);
            assert_eq!(numbers.next().await, Some(0));
            drop(numbers);
        }).await;
    }

    // S1
    async fn a_stream_that_is_pending_is_dropped_with_its_last_consumer() {
        scope(async |s| {
            let mut two = stream::pending::<()>().split_in_scope(&s, 2, 1);
            let one = stream::pending::<()>().in_scope(&s, 1);
            yield_now().await;
            drop((two.pop(), one));
            yield_now().await;
            drop(two);
        }).await;
    }

    async fn every_consumer_of_a_split_gets_every_item_once() {
        scope(async |s| {
            let consumers = stream::iter(0..20).split_in_scope(&s, 3, 2);
            let all = foster::gather(consumers.into_iter().map(|c| c.collect::<Vec<_>>())).await;
            for items in all {
                assert_eq!(items, (0..20).collect::<Vec<_>>());
            }
            let mut two = stream::iter(0..20).split_in_scope(&s, 2, 2);
            drop(two.pop());
            assert_eq!(two.pop().unwrap().count().await, 20, "one that is dropped is not waited for");
        }).await;
    }
}

#[test]
fn a_waker_that_panics_when_it_is_dropped_loses_no_item() {
    futures::executor::block_on(scope(async |s| {
        let mut items = stream::iter([1, 2, 3]).in_scope(&s, 3);
        settled().await;
        let faulty = Faulty::new();
        let waker = faulty.waker();
        faulty.arm(Fault::Drop);
        let polled = items.poll_next_unpin(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Ready(Some(1)));
        assert!(faulty.has_met());
        assert_eq!(items.collect::<Vec<_>>().await, [2, 3]);
    }));
}
