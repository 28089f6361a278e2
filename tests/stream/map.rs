//! `map_concurrent` and its kin.

use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use foster::sync::Event;
use foster::testing::{CountingWaker, Drops, poll_once};
use foster::{
    ConcurrentIterator, ConcurrentStream, Token, gather, scope, shield, sleep, timeout, try_gather, yield_now,
};
use futures::channel::mpsc;
use futures::future::poll_immediate;
use futures::stream::{self, FusedStream, StreamExt};
use futures::{FutureExt, Stream};

use crate::harness::T;
use crate::probes::{Count, Log, Probe, after, message};

/// How many are in flight, and the most there have been.
#[derive(Clone, Default)]
struct Flight {
    now: Count,
    most: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Flight {
    /// Counts as one in flight, and yields as often as `n` says, once at least.
    async fn fly(&self, n: usize) -> usize {
        self.most.fetch_max(self.now.up(), std::sync::atomic::Ordering::SeqCst);
        after(1 + n % 7, ()).await;
        self.now.down();
        n
    }

    fn most(&self) -> usize {
        self.most.load(std::sync::atomic::Ordering::SeqCst)
    }
}

matrix! {
    async fn never_more_than_the_limit_are_in_flight_and_as_many_as_can_be() {
        for limit in [1, 2, 3, 10, 50, 63, 64, 65, 200] {
            let flight = &Flight::default();
            let mut got: Vec<usize> = (0..300).map_concurrent(limit, |n| flight.fly(n)).collect().await;
            got.sort_unstable();
            assert!(got.into_iter().eq(0..300));
            assert!(flight.most() == limit || limit > 50 && flight.most() <= limit, "{} of {limit}", flight.most());
            assert_eq!(flight.now.get(), 0);

            let flight = &Flight::default();
            let got: Vec<usize> = (0..300).map_concurrent(limit, |n| flight.fly(n)).in_order().collect().await;
            assert!(got.into_iter().eq(0..300));
            assert!(flight.most() <= limit);

            let flight = &Flight::default();
            // `futures::StreamExt` has a method of this name, too.
            let each = |n| async move { _ = flight.fly(n).await };
            ConcurrentStream::each_concurrent(stream::iter(0..300), limit, each).await;
            assert!(flight.most() <= limit);

            let flight = &Flight::default();
            let all = (0..300).try_each_concurrent(limit, |n| async move {
                flight.fly(n).await;
                Ok::<(), ()>(())
            });
            assert_eq!(all.await, Ok(()));
            assert!(flight.most() <= limit);
        }
    }

    async fn values_come_as_they_are_ready_or_in_order() {
        let slow_first = |n: usize| async move { after(10 - n, ()).await; n };
        let got: Vec<usize> = (0..10).map_concurrent(10, slow_first).collect().await;
        assert!(got.into_iter().eq((0..10).rev()));
        let got: Vec<usize> = (0..10).map_concurrent(10, slow_first).in_order().collect().await;
        assert!(got.into_iter().eq(0..10));
        let got: Vec<usize> = stream::iter(0..10).map_concurrent(10, slow_first).in_order().collect().await;
        assert!(got.into_iter().eq(0..10));
    }

    // The places of those that had ended were taken by new ones.
    async fn in_a_cancelled_region_nothing_is_taken_from_the_source() {
        let (token, end, taken) = (&Token::new(), &Event::new(), &Count::new());
        let each = (0..8).inspect(|_| _ = taken.up()).each_concurrent(2, |_| shield(end.wait()));
        let mut region = pin!(token.run_until_cancelled(each));
        assert!(poll_once(&mut region).await.is_pending());
        token.cancel("enough");
        end.set();
        assert!(region.await.is_err());
        assert_eq!(taken.get(), 2);
    }

    async fn a_source_that_has_ended_is_dropped() {
        let drops = Drops::new();
        let guard = drops.guard();
        let mut each = (0..1).inspect(move |_| _ = &guard).each_concurrent(2, |_| pending::<()>());
        assert!(poll_once(&mut each).await.is_pending());
        assert_eq!(drops.alive(), 0);
    }

    async fn nothing_is_taken_from_the_source_before_there_is_room() {
        let taken = Count::new();
        let mut waiting = (0..100).inspect(|_| _ = taken.up()).map_concurrent(3, |_| pending::<()>());
        assert_eq!(taken.get(), 0, "nothing before the first poll");
        assert!(poll_immediate(waiting.next()).await.is_none());
        assert_eq!(taken.get(), 3);
        let taken = Count::new();
        let mut many = (0..1_000).inspect(|_| _ = taken.up()).map_concurrent(500, |_| pending::<()>());
        for _ in 0..20 {
            assert!(poll_immediate(many.next()).await.is_none());
        }
        assert_eq!(taken.get(), 500);
        // A value that waits for its turn counts towards the limit.
        let taken = Count::new();
        let mut ordered = (0..100).inspect(|_| _ = taken.up()).map_concurrent(3, |n| async move {
            if n == 0 { pending::<()>().await }
        }).in_order();
        assert!(poll_immediate(ordered.next()).await.is_none());
        yield_now().await;
        assert!(poll_immediate(ordered.next()).await.is_none());
        assert_eq!(taken.get(), 3);
    }

    async fn the_source_keeps_what_was_not_started() {
        let mut source = 0..100;
        {
            let mut few = source.by_ref().map_concurrent(4, |n| async move { n });
            assert!(few.next().await.is_some());
        }
        let next = source.next().expect("more");
        assert!((4..=8).contains(&next), "{next} items were begun");
    }

    async fn a_source_that_is_pending_is_waited_for() {
        let (mut send, receive) = mpsc::channel(1);
        let got = scope(async |s| {
            s.spawn(async move {
                for n in 0..20 {
                    after(n % 3, ()).await;
                    send.try_send(n).unwrap();
                    after(5, ()).await;
                }
            });
            receive.map_concurrent(4, |n| async move { after(n % 5, ()).await; n }).collect::<Vec<_>>().await
        });
        let mut got = got.await;
        got.sort_unstable();
        assert!(got.into_iter().eq(0..20));
    }

    async fn those_that_run_go_on_while_the_source_is_pending() {
        let source = stream::iter([1]).chain(stream::pending());
        let mut map = source.map_concurrent(8, |n| async move { after(10, ()).await; n });
        assert_eq!(map.next().await, Some(1));
        assert!(poll_immediate(map.next()).await.is_none());
        assert!(!map.is_terminated());
    }

    async fn a_limit_without_end_takes_a_hundred_thousand() {
        let n = 100_000;
        assert_eq!((0..n).map_concurrent(usize::MAX, ready).count().await, n);
        assert_eq!((0..n).map_concurrent(usize::MAX, |n| async move { after(n % 2, ()).await }).count().await, n);
        let in_order = (0..n).map_concurrent(usize::MAX, |n| async move { after(n % 2, ()).await; n }).in_order();
        assert!(in_order.enumerate().all(|(i, n)| async move { i == n }).await);
        let count = &Count::new();
        ConcurrentStream::each_concurrent(stream::iter(0..n), usize::MAX, |_| async { _ = count.up() }).await;
        assert_eq!(count.get(), n);
        let all = (0..n).try_each_concurrent(usize::MAX, |_| ready(Ok::<(), ()>(())));
        assert_eq!(all.await, Ok(()));
    }

    // S11
    async fn items_that_are_always_ready_leave_a_turn_to_others() {
        let turns = &Count::new();
        scope(async |s| {
            s.spawn(async move {
                loop {
                    turns.up();
                    yield_now().await;
                }
            });
            (0..10_000).each_concurrent(8, |_| ready(())).await;
            let ours = turns.get();
            assert!(ours > 10, "only {ours} turns");
            (0..).map_concurrent(8, ready).take(10_000).for_each(|_| ready(())).await;
            s.cancel("enough");
        }).await;
    }

    // S2, S4
    async fn an_error_winds_the_others_down_and_starts_no_more() {
        let log = &Log::new();
        let failed = (0..100).try_each_concurrent(4, |n| async move {
            match n {
                0 => {
                    let _over = log.on_drop("dropped");
                    pending().await
                }
                1 => scope(async |s| {
                    s.defer(async move { sleep(T).await; log.note("finalized") });
                    pending().await
                }).await,
                2 => {
                    shield(async {
                        while !log.has("failed") {
                            sleep(T / 4).await;
                        }
                        log.note("shield over");
                    }).await;
                    Err("too late")
                }
                3 => {
                    sleep(T).await;
                    log.note("failed");
                    Err("failed")
                }
                n => panic!("{n} was started"),
            }
        });
        assert_eq!(failed.await, Err("failed"));
        assert_eq!((log.place("failed"), log.place("dropped")), (0, 1));
        log.place("finalized");
        log.place("shield over");
    }

    async fn a_panic_in_one_is_the_callers() {
        let log = &Log::new();
        let polls = &Count::new();
        let mut map = (0..3).map_concurrent(3, |n| async move {
            polls.up();
            let _over = log.on_drop("over");
            if n == 1 { panic!("in an item") }
            pending::<()>().await
        });
        let panicked = AssertUnwindSafe(map.next()).catch_unwind().await;
        assert_eq!(message(panicked.unwrap_err()), "in an item");
        drop(map);
        assert_eq!(log.entries().len(), polls.get(), "who was polled was dropped");
    }

    async fn dropping_it_drops_what_runs() {
        let log = &Log::new();
        let running = |_| async {
            let _over = log.on_drop("over");
            pending::<()>().await
        };
        let mut map = (0..100).map_concurrent(5, running);
        assert!(poll_immediate(map.next()).await.is_none());
        drop(map);
        assert_eq!(log.entries().len(), 5);
        assert!(timeout(T, (0..100).each_concurrent(7, running)).await.is_err());
        assert_eq!(log.entries().len(), 12);
        let endless = (0..100).try_each_concurrent(3, |n| running(n).map(Ok::<(), ()>));
        assert!(timeout(T, endless).await.is_err());
        assert_eq!(log.entries().len(), 15);
    }

    async fn it_is_fused_and_knows_its_size() {
        let mut map = (0..10).map_concurrent(3, |n| async move { n });
        assert_eq!(map.size_hint(), (10, Some(10)));
        assert_eq!(map.limit(), 3);
        assert!(!map.is_terminated());
        for left in (0..10).rev() {
            assert!(map.next().await.is_some());
            assert_eq!(map.size_hint(), (left, Some(left)));
        }
        assert_eq!(map.next().await, None);
        assert!(map.is_terminated());
        assert_eq!(map.next().await, None);

        let mut map = (0..10).map_concurrent(3, |n| async move { n }).in_order();
        for left in (0..10).rev() {
            assert!(map.next().await.is_some());
            assert_eq!(map.size_hint(), (left, Some(left)));
        }
        assert_eq!(map.next().await, None);
        assert!(map.is_terminated());

        let endless = (0..).filter(|n| n % 2 == 0).map_concurrent(3, ready::<u64>);
        assert_eq!(endless.size_hint().1, None);
        assert_eq!(stream::empty::<u8>().map_concurrent(1, ready).next().await, None);
    }

    // S4
    async fn a_limited_stream_drops_what_runs_and_leaves_the_rest() {
        let probe = Probe::new();
        let mut items = 0..10;
        let failed = items
            .by_ref()
            .try_each_concurrent(3, |n| {
                probe.watch(async move {
                    yield_now().await;
                    if n == 1 { Err(n) } else { pending().await }
                })
            })
            .await;
        assert_eq!(failed, Err(1));
        assert!(items.len() >= 6);
        probe.assert_all_gone();
    }
}

#[test]
fn a_limit_of_zero_panics_with_a_clear_message() {
    let refusals: [fn(); 6] = [
        || drop((0..3).map_concurrent(0, ready)),
        || drop((0..3).each_concurrent(0, |_| ready(()))),
        || drop((0..3).try_each_concurrent(0, |_| ready(Ok::<(), ()>(())))),
        || drop(stream::iter(0..3).map_concurrent(0, ready)),
        || drop(ConcurrentStream::each_concurrent(stream::iter(0..3), 0, |_| ready(()))),
        || drop(ConcurrentStream::try_each_concurrent(stream::iter(0..3), 0, |_| ready(Ok::<(), ()>(())))),
    ];
    for refusal in refusals {
        let text = message(catch_unwind(refusal).unwrap_err());
        assert!(text.contains("limit of 0"), "{text}");
    }
}

// S11: a poll of one that is always ready ends, and says that there is more
#[test]
fn items_that_are_always_ready_yield_to_the_executor() {
    let done = Count::new();
    let mut all = pin!((0..10_000).each_concurrent(4, |_| async { _ = done.up() }));
    let waker = CountingWaker::new();
    let mut polls = 0;
    let mut before = 0;
    while waker.poll(all.as_mut()).is_pending() {
        polls += 1;
        assert!(done.get() - before <= 500, "{} items in one poll", done.get() - before);
        assert!(waker.count() >= polls, "pending without a wake-up");
        before = done.get();
    }
    assert_eq!(done.get(), 10_000);
    assert!((20..=10_000).contains(&polls), "{polls} polls");
}

#[test]
fn the_order_is_to_be_chosen_before_the_first_poll() {
    let mut map = (0..3).map_concurrent(2, |_| pending::<()>());
    assert!(futures::executor::block_on(poll_fn(|cx| Poll::Ready(map.poll_next_unpin(cx)))).is_pending());
    let text = message(catch_unwind(AssertUnwindSafe(|| drop(map.in_order()))).unwrap_err());
    assert!(text.contains("before the first poll"), "{text}");
}

#[test]
fn they_are_send_where_their_parts_are() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    drop(send((0..3).map_concurrent(2, |n| async move { n })));
    drop(send((0..3).each_concurrent(2, |_| async {})));
    drop(send((0..3).try_each_concurrent(2, |_| async { Ok::<(), ()>(()) })));
    drop(send(gather([async { 1 }])));
    drop(send(try_gather([async { Ok::<_, ()>(1) }])));
}
