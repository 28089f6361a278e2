//! The combinators on streams.

use std::future::{pending, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use foster::stream::{chain, generator, merge, try_generator, zip};
use foster::testing::{CountingWaker, Drops, Polls};
use foster::{ConcurrentIterator, ConcurrentStream, StreamExt as _, Token, interval, now, scope, sleep, yield_now};
use futures::FutureExt as _;
use futures::stream::{self, FusedStream, StreamExt, TryStreamExt};

use crate::harness::T;
use crate::probes::boxed;

/// Takes all items; what the stream says of its rest is true at each step.
async fn honest<S: FusedStream>(stream: S) {
    let (mut stream, mut said) = (pin!(stream), Vec::new());
    loop {
        said.push(stream.size_hint());
        let is_terminated = stream.is_terminated();
        if stream.next().await.is_none() {
            break;
        }
        assert!(!is_terminated, "before item {}", said.len());
    }
    assert!(stream.is_terminated(), "after the last");
    for (left, (least, most)) in said.into_iter().rev().enumerate() {
        assert!(least <= left && most.is_none_or(|most| left <= most), "{left} left, said {least} to {most:?}");
    }
    assert!(stream.next().await.is_none());
}

matrix! {
    async fn merge_is_fair_and_complete() {
        let endless = stream::repeat(0).take(1_000);
        let slow = stream::iter([1, 2, 3]).then(|n| async move { yield_now().await; n });
        let merged: Vec<i32> = merge((endless, slow)).collect().await;
        assert_eq!(merged.len(), 1_003);
        let last_slow = merged.iter().rposition(|&n| n > 0).unwrap();
        assert!(last_slow < 200, "the slow one had its turns: {last_slow}");
        assert_eq!(merge(Vec::<stream::Empty<u8>>::new()).count().await, 0);
        let many: Vec<u32> = merge((0..100).map(|n| stream::iter([n, n]))).collect().await;
        assert_eq!(many.len(), 200);
    }

    async fn zip_runs_its_streams_concurrently_and_ends_with_the_shortest() {
        let ticks = |n: u32| stream::iter(0..n).then(move |i| async move { sleep(T).await; i });
        let rows: Vec<_> = zip((ticks(3), stream::iter(["a", "b", "c", "d"]))).collect().await;
        assert_eq!(rows, [(0, "a"), (1, "b"), (2, "c")]);
        let rows: Vec<_> = zip(vec![stream::iter([1, 2]), stream::iter([3, 4])]).collect().await;
        let drops = Drops::new();
        let guarded = [drops.guard(), drops.guard()].map(|guard| Box::pin(stream::once(async move { drop(guard); pending::<()>().await })));
        let mut ended = zip((stream::empty::<()>(), zip(guarded)));
        assert_eq!((ended.next().await, drops.alive()), (None, 0));
        assert_eq!(rows, [[1, 3], [2, 4]]);
        assert_eq!(zip(Vec::<stream::Empty<u8>>::new()).count().await, 0);
    }

    async fn chain_streams_one_after_the_other() {
        assert_eq!(chain((stream::iter([1]), stream::empty(), stream::iter([2, 3]))).collect::<Vec<_>>().await, [1, 2, 3]);
    }

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
        scope(|s| async move {
            let mut eager = work.in_scope(&s, 8);
            assert_eq!(eager.next().await, Some(0));
            for _ in 0..100 { yield_now().await }
            assert_eq!(finished.load(Ordering::SeqCst), 3, "the one in the scope goes on");
            assert_eq!(eager.collect::<Vec<_>>().await, [1, 2]);
        }).await;
    }

    async fn a_stream_in_a_scope_is_bounded_by_its_buffer() {
        let made = &AtomicUsize::new(0);
        scope(|s| async move {
            let numbers = stream::iter(0..).inspect(move |_| { made.fetch_add(1, Ordering::SeqCst); });
            let mut numbers = numbers.in_scope(&s, 4);
            for _ in 0..50 { yield_now().await }
            assert_eq!(made.load(Ordering::SeqCst), 4);
            assert_eq!(numbers.next().await, Some(0));
            drop(numbers);
        }).await;
    }

    async fn streams_are_honest_about_what_is_left() {
        let mut exact = Box::pin((0..9).map_concurrent(3, ready));
        exact.next().await;
        assert_eq!(stream::Stream::size_hint(&exact), (8, Some(8)));
        let items = || stream::iter(0..5);
        let slow = |n: u32| async move { for _ in 0..n % 3 { yield_now().await } n };
        honest((0..5).map_concurrent(3, slow)).await;
        honest((0..5).map_concurrent(3, slow).in_order()).await;
        honest((0..5).filter_map_concurrent(3, |n| slow(n).map(|n| (n != 4).then_some(n)))).await;
        honest(ConcurrentIterator::try_map_concurrent(0..5, 3, |n| slow(n).map(|n| if n == 4 { Err(n) } else { Ok(n) }))).await;
        honest(foster::as_completed((0..5).map(slow))).await;
        honest(merge([items(), items()])).await;
        honest(zip([items(), items()])).await;
        honest(chain([items(), items()])).await;
        honest(generator(|y| async move { for n in 0..5 { _ = y.emit(n).await } })).await;
        honest(foster::StreamExt::take_until_cancelled(items(), &Token::new())).await;
        honest(items().map_with((), |(), n| Some(n))).await;
        honest(items().chunks_timeout(2, T)).await;
        honest(items().debounce(T)).await;
        honest(items().sample(T)).await;
        honest(items().fuse().throttle(Duration::from_nanos(1))).await;
        honest(items().fuse().timeout_each(T)).await;
        scope(|s| async move { honest(items().in_scope(&s, 2)).await }).await;
    }

    // S11
    async fn what_swallows_items_lets_the_executor_have_its_turn() {
        let taken = AtomicUsize::new(0);
        let endless = || stream::repeat(()).inspect(|_| assert!(taken.fetch_add(1, Ordering::SeqCst) < 1_000));
        let mut hungry = [
            endless().debounce(T).map(drop).boxed(),
            endless().sample(T).map(drop).boxed(),
            endless().chunks_timeout(usize::MAX, T).map(drop).boxed(),
            endless().map_concurrent(usize::MAX, |()| pending()).boxed(),
            endless().filter_map_concurrent(2, |()| ready(None)).boxed(),
            endless().filter_map_concurrent(2, |()| ready(None)).in_order().boxed(),
        ];
        for stream in &mut hungry {
            taken.store(0, Ordering::SeqCst);
            let waker = CountingWaker::new();
            assert!(waker.poll(Pin::new(&mut stream.next())).is_pending());
            assert!(waker.count() > 0);
        }
        taken.store(0, Ordering::SeqCst);
        scope(|s| async move { let numbers = endless().in_scope(&s, usize::MAX); yield_now().await; drop(numbers) }).await;
    }

    // S1
    async fn a_stream_that_is_pending_is_dropped_with_its_last_consumer() {
        scope(|s| async move {
            let mut two = stream::pending::<()>().split_in_scope(&s, 2, 1);
            let one = stream::pending::<()>().in_scope(&s, 1);
            yield_now().await;
            drop((two.pop(), one));
            yield_now().await;
            drop(two);
        }).await;
    }

    async fn every_consumer_of_a_split_gets_every_item_once() {
        scope(|s| async move {
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

    async fn until_ends_with_the_token() {
        let token = Token::new();
        let cancel = token.clone();
        let mut endless = Box::pin(stream::pending::<()>().take_until_cancelled(&token));
        let (end, ()) = futures::join!(endless.next(), async { yield_now().await; cancel.cancel("enough") });
        assert_eq!(end, None);
    }

    async fn map_with_keeps_a_state_and_ends_when_told() {
        let sums = stream::iter(1..).map_with(0, |sum, n| { *sum += n; (*sum < 20).then_some(*sum) });
        assert_eq!(sums.collect::<Vec<i32>>().await, [1, 3, 6, 10, 15]);
    }

    async fn paced_by_waits_for_a_permit_before_each_item() {
        let permits = AtomicUsize::new(0);
        let paced = stream::iter(0..3).paced_by(|| { permits.fetch_add(1, Ordering::SeqCst); yield_now() });
        assert_eq!(paced.collect::<Vec<_>>().await, [0, 1, 2]);
        assert_eq!(permits.load(Ordering::SeqCst), 4);
    }

    async fn filter_map_leaves_out_and_try_map_ends_with_the_first_error() {
        let even: Vec<i32> = (0..10).filter_map_concurrent(3, |n| async move { (n % 2 == 0).then_some(n) }).in_order().collect().await;
        assert_eq!(even, [0, 2, 4, 6, 8]);
        let started = AtomicUsize::new(0);
        let results: Vec<Result<i32, i32>> = ConcurrentIterator::try_map_concurrent(0..100, 2, |n| {
            started.fetch_add(1, Ordering::SeqCst);
            async move { if n == 3 { Err(n) } else { Ok(n) } }
        }).collect().await;
        assert_eq!(results.last(), Some(&Err(3)));
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
        assert!(started.load(Ordering::SeqCst) < 10);
        let slow = stream::iter(0..3).then(|n| async move { yield_now().await; n });
        assert_eq!(ConcurrentStream::try_map_concurrent(slow, 2, |n| ready(Ok::<_, ()>(n))).count().await, 3);
        let from_stream: Vec<i32> = ConcurrentStream::map_concurrent(stream::iter(0..3), 2, ready).collect().await;
        assert_eq!(from_stream.len(), 3);
    }

    // S11
    async fn items_that_are_always_ready_yield_to_the_executor_and_not_too_often() {
        let counts = [
            boxed((0..10_000).map_concurrent(4, ready).count()),
            boxed((0..10_000).map_concurrent(4, ready).in_order().count()),
            boxed(merge([stream::iter(0..5_000), stream::iter(0..5_000)]).count()),
            boxed(zip([stream::iter(0..10_000), stream::iter(0..10_000)]).count()),
        ];
        for (i, mut count) in counts.into_iter().enumerate() {
            let polls = Polls::new();
            assert_eq!(polls.of(count.as_mut()).await, 10_000);
            assert!((100..1_000).contains(&polls.count()), "{i}: {polls:?}");
        }
    }
}

sim! {
    async fn chunks_end_by_size_or_by_time() {
        let second = Duration::from_secs(1);
        let items = chain((
            stream::iter([1, 2, 3]).boxed(),
            stream::once(async move { sleep(5 * second).await; 4 }).boxed(),
            stream::once(async move { sleep(second).await; 5 }).boxed(),
        ));
        let start = now();
        let chunks: Vec<_> = items.chunks_timeout(2, 2 * second).map(|chunk| (chunk, (now() - start).as_secs())).collect().await;
        assert_eq!(chunks, [(vec![1, 2], 0), (vec![3], 2), (vec![4, 5], 6)]);
    }

    async fn throttle_keeps_its_distance_and_loses_nothing() {
        let start = now();
        let second = Duration::from_secs(1);
        let times: Vec<_> = stream::iter(0..4).throttle(second).map(|n| (n, (now() - start).as_secs())).collect().await;
        assert_eq!(times, [(0, 0), (1, 1), (2, 2), (3, 3)]);
    }

    async fn debounce_streams_the_last_of_each_burst() {
        let millis = Duration::from_millis;
        let bursts = generator(|y| async move {
            for (n, pause) in [(1, 10), (2, 10), (3, 500), (4, 10), (5, 0)] {
                _ = y.emit(n).await;
                sleep(millis(pause)).await;
            }
        });
        assert_eq!(bursts.debounce(millis(100)).collect::<Vec<_>>().await, [3, 5]);
    }

    async fn sample_streams_the_latest_at_each_tick() {
        let millis = Duration::from_millis;
        let numbers = interval(millis(30)).enumerate().map(|(n, _)| n).take(10);
        assert_eq!(numbers.sample(millis(100)).collect::<Vec<_>>().await, [3, 6, 9]);
    }

    async fn a_slow_item_is_an_error_and_the_stream_goes_on() {
        let second = Duration::from_secs(1);
        let items = stream::iter([0, 1, 1, 3, 0]).then(move |n| async move { sleep(n * second).await; n });
        let seen: Vec<_> = items.timeout_each(2 * second).map(|item| item.ok()).collect().await;
        assert_eq!(seen, [Some(0), Some(1), Some(1), None, Some(3), Some(0)]);
    }

    async fn a_pending_stream_times_out_again_and_again() {
        let silent = stream::pending::<()>().timeout_each(Duration::from_secs(1)).take(3);
        assert!(silent.all(|item| ready(item.is_err())).await);
        let _ = pending::<()>;
    }
}

/// Whoever's extension methods stand beside foster's.
mod with_tokio_stream {
    use super::{Duration, generator, merge};
    use foster::{ConcurrentStream, StreamExt as _, Token};
    use tokio_stream::StreamExt as _;

    matrix! {
        async fn operators_combine_with_those_of_tokio_stream() {
            let (numbers, token) = (tokio_stream::iter(1..=4), Token::new());
            let doubled = numbers.map_concurrent(2, |n| async move { 2 * n }).in_order().filter(|n| n % 4 == 0);
            let more = generator(|y| async move { _ = y.emit(10).await }).take_until_cancelled(&token);
            let chunks = merge((doubled, more)).map(|n| n + 1).chunks_timeout(8, Duration::MAX);
            let mut all = chunks.fold(Vec::new(), |all, chunk| [all, chunk].concat()).await;
            all.sort_unstable();
            assert_eq!(all, [5, 9, 11]);
        }
    }
}
