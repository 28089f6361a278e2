//! What all combinators on streams have in common.

use std::cell::Cell;
use std::future::{pending, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foster::stream::{chain, generator, merge, try_generator, zip};
use foster::testing::{CountingWaker, Polls};
use foster::{ConcurrentIterator, ConcurrentStream, StreamExt as _, Token, scope, yield_now};
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
        honest(try_generator(|y| async move { for n in 0..5 { _ = y.emit(n).await } Err::<(), _>(5) })).await;
        honest(foster::StreamExt::take_until_cancelled(items(), &Token::new())).await;
        honest(items().map_with((), |(), n| Some(n))).await;
        honest(items().chunks_timeout(2, T)).await;
        honest(items().debounce(T)).await;
        honest(items().sample(T)).await;
        honest(items().fuse().throttle(Duration::from_nanos(1))).await;
        honest(items().fuse().timeout_each(T)).await;
        honest(items().fuse().paced_by(yield_now)).await;
        scope(async |s| { honest(items().in_scope(&s, 2)).await }).await;
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
        scope(async |s| { let numbers = endless().in_scope(&s, usize::MAX); yield_now().await; drop(numbers) }).await;
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
