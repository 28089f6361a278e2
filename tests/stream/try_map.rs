//! The maps whose functions can fail.

use std::cell::Cell;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use foster::testing::Drops;
use foster::{ConcurrentIterator, ConcurrentStream, shield, yield_now};
use futures::stream::{self, FusedStream, StreamExt, TryStreamExt};

use crate::probes::{Log, OnDrop, turns};

matrix! {
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

    async fn an_error_drops_the_values_that_come_after_it_in_order() {
        let drops = Drops::new();
        let mut failing = stream::iter(0..3).try_map_concurrent(3, |n| {
            let guard = drops.guard();
            async move {
                match n {
                    0 => pending().await,
                    1 => Ok(guard),
                    _ => {
                        yield_now().await;
                        Err(())
                    }
                }
            }
        }).in_order();
        assert!(failing.next().await.unwrap().is_err());
        assert_eq!((drops.alive(), failing.is_terminated()), (0, true));
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
}

#[test]
fn the_order_is_to_be_chosen_before_the_first_poll() {
    let mut map = (0..3).try_map_concurrent(2, |_| pending::<Result<(), ()>>());
    assert!(map.poll_next_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    let late = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(map.in_order())));
    let text = *late.unwrap_err().downcast::<&str>().unwrap();
    assert!(text.contains("before the first poll"), "{text}");
}

#[test]
fn a_source_whose_destructor_panics_keeps_nobody_from_being_wound_down() {
    futures::executor::block_on(async {
        let (log, guard) = (Log::new(), OnDrop(|| panic!("a source")));
        let items = (0..2).inspect(move |_| _ = &guard);
        let each = items.try_each_concurrent(2, async |n| {
            if n == 0 {
                yield_now().await;
                return Err("failed");
            }
            let cleanup = async {
                turns().await;
                log.note("cleaned up");
            };
            shield(cleanup).await;
            Ok(())
        });
        assert_eq!(each.await, Err("failed"));
        assert_eq!(log.entries(), ["cleaned up"]);
    });
}
