//! `gather` and `try_gather`.

use std::future::{Future, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use foster::future::quorum;
use foster::testing::{Drops, Polls};
use foster::{Reason, Token, as_completed, gather, race, race_ok, scope, sleep, try_gather, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, join, poll_immediate};

use crate::harness::T;
use crate::probes::{Log, after, boxed, message, turns};

/// An iterator with a size hint that is not true.
struct Lying<I> {
    iter: I,
    hint: (usize, Option<usize>),
}

impl<I: Iterator> Iterator for Lying<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.iter.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.hint
    }
}

/// Cancels `token` in its only poll, which is ready.
async fn cancelling(token: &Token) -> &'static str {
    token.cancel("at the last moment");
    "done"
}

matrix! {
    // C185, C193
    async fn a_gather_of_any_size_gives_values_in_order() {
        for n in [0, 1, 2, 63, 64, 65, 127, 128, 129, 1_000] {
            let values = gather((0..n).map(|i| async move { after((n - i) % 5, ()).await; i }));
            assert!(values.await.into_iter().eq(0..n), "of {n} items");
            let values = try_gather((0..n).map(|i| async move { after((n - i) % 5, ()).await; Ok::<_, ()>(i) }));
            assert!(values.await.unwrap().into_iter().eq(0..n), "of {n} items");
            let filtered = gather((0..n).filter(|i| i % 3 == 0).map(|i| async move { i }));
            assert!(filtered.await.into_iter().eq((0..n).filter(|i| i % 3 == 0)), "of {n} items");
        }
    }

    async fn a_gather_of_an_iterator_with_a_lying_size_hint_is_complete() {
        for hint in [(0, Some(0)), (3, Some(3)), (5, Some(5)), (100, Some(100)), (70, Some(70)), (0, None), (9, Some(2))] {
            for n in [0, 4, 69, 200] {
                let lying = Lying { iter: (0..n).map(|i| async move { after(i % 3, ()).await; i }), hint };
                assert!(gather(lying).await.into_iter().eq(0..n), "{hint:?} of {n}");
                let lying = Lying { iter: (0..n).map(|i| async move { Ok::<_, ()>(i) }), hint };
                assert!(try_gather(lying).await.unwrap().into_iter().eq(0..n), "{hint:?} of {n}");
            }
        }
    }

    // C168, S4
    async fn a_gather_that_fails_winds_the_others_down() {
        let log = &Log::new();
        let futures = (0..70).map(|n| async move {
            match n {
                65 => { sleep(T / 2).await; Err("failed") }
                66 => scope(async |s| {
                    s.defer(async move { sleep(T).await; log.note("finalized") });
                    pending().await
                }).await,
                n => {
                    let _over = log.on_drop(n.to_string());
                    pending::<Result<(), _>>().await
                }
            }
        });
        assert_eq!(try_gather(futures).await, Err("failed"));
        assert_eq!(log.place("finalized"), 68, "when all others have been dropped");
        assert!(log.place("69") < log.place("67") && log.place("67") < log.place("0"), "newest first");
    }

    async fn a_gather_that_fails_at_once_polls_no_more_of_them() {
        let polls = &Polls::new();
        let futures = (0..100).map(|n| polls.of(ready(Err::<(), _>(n))));
        assert!(try_gather(futures).await.is_err());
        assert_eq!(polls.count(), 1);
    }

    // C175
    async fn dropping_a_gather_drops_all_newest_first() {
        let log = &Log::new();
        let mut all = gather((0..3).map(|n| async move {
            let _over = log.on_drop(n.to_string());
            pending::<()>().await
        }));
        assert!(poll_immediate(&mut all).await.is_none());
        drop(all);
        assert_eq!(log.entries(), ["2", "1", "0"]);
    }

    // S11
    async fn what_is_not_woken_is_not_polled() {
        let polls = &Polls::new();
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..500).map(|_| oneshot::channel::<()>()).unzip();
        let all = gather(receivers.into_iter().map(|receiver| polls.of(receiver)));
        let sending = async {
            yield_now().await;
            for sender in senders {
                sender.send(()).unwrap();
                yield_now().await;
            }
        };
        let (values, ()) = futures::join!(all, sending);
        assert!(values.into_iter().all(|value| value.is_ok()));
        assert!(polls.count() <= 1_000, "{} polls", polls.count());
    }

    async fn a_panic_in_a_gather_is_the_callers() {
        for at in [0, 64, 99] {
            let all = gather((0..100).map(|n| async move { assert!(n != at, "in {n}"); pending::<()>().await }));
            let panicked = AssertUnwindSafe(all).catch_unwind().await;
            assert_eq!(message(panicked.unwrap_err()), format!("in {at}"));
        }
    }

    // C167
    async fn gather_gives_values_in_the_order_of_the_futures() {
        assert_eq!(gather([after(3, 1), after(1, 2), after(2, 3)]).await, [1, 2, 3]);
        assert!(gather(Vec::<std::future::Ready<u8>>::new()).await.is_empty());
        assert_eq!(gather((after(2, 1), after(0, "two"), ready('3'))).await, (1, "two", '3'));
        let twelve = (ready(0), ready(1), ready(2), ready(3), ready(4), ready(5), ready(6), ready(7), ready(8), ready(9), ready(10), ready("11"));
        assert_eq!(gather(twelve).await.11, "11");
    }

    // C168
    async fn the_first_error_of_try_gather_drops_the_rest() {
        let drops = Drops::new();
        for n in [2, 30, 31, 64, 65, 200] {
            let before = drops.count();
            let result = try_gather((0..n).map(|i| {
                let alive = drops.guard();
                async move {
                    let _alive = alive;
                    if i == 1 { after(2, Err::<(), _>("no")).await } else { pending().await }
                }
            }))
            .await;
            assert_eq!(result, Err("no"));
            assert_eq!(drops.count() - before, n);
        }
        assert_eq!(try_gather((ready(Ok::<_, ()>(1)), after(3, Ok("two")))).await, Ok((1, "two")));
        assert_eq!(try_gather((pending::<Result<(), u8>>(), after(1, Err::<(), _>(7)))).await, Err(7));
    }

    // C170, C173
    async fn settle_gives_every_result_in_order() {
        let results = gather([after(2, Ok::<_, &str>(1)), after(1, Err("no")), after(0, Ok(3))]).await;
        assert_eq!(results, [Ok(1), Err("no"), Ok(3)]);
        assert_eq!(gather((ready(Ok::<u8, ()>(1)), ready(Err::<char, ()>(())))).await, (Ok(1), Err(())));
    }

    async fn an_iterator_that_promised_fewer_futures_loses_none() {
        struct More(std::ops::Range<u32>);
        impl Iterator for More {
            type Item = std::future::Ready<u32>;
            fn next(&mut self) -> Option<Self::Item> { self.0.next().map(ready) }
            fn size_hint(&self) -> (usize, Option<usize>) { (63, Some(63)) }
        }
        assert_eq!(gather(More(0..64)).await, (0..64).collect::<Vec<_>>());
    }

    async fn what_was_ready_panics_when_it_is_polled_again() {
        async fn again<F: Future + Unpin>(mut once: F) -> bool {
            (&mut once).await;
            std::panic::AssertUnwindSafe(once).catch_unwind().await.is_err()
        }
        let of = || [ready(Ok::<_, ()>(1))];
        assert!(again(gather(of())).await && again(try_gather(of())).await);
        assert!(again(race(of())).await && again(race_ok(of())).await && again(quorum(1, of())).await);
    }

    async fn one_error_is_enough_whatever_else_comes_in_its_turn() {
        let mut group = as_completed([boxed(ready(Err("no"))), boxed(ready(Ok(1))), boxed(pending())]);
        assert_eq!(group.wait_first_error().await, [(0, Err("no")), (1, Ok(1))]);
    }

    // C172: gather has no errors of its own, so that a cancelled child is one where its outcome is
    // asked for.
    async fn a_cancelled_child_fails_the_join_of_outcomes_and_nobody_hangs() {
        scope(async |s| {
            let (cancelled, slow) = (s.spawn(pending::<()>()), s.spawn(pending::<()>()));
            cancelled.cancel();
            let error = try_gather([cancelled.outcome(), slow.outcome()]).await.unwrap_err();
            assert_eq!(error.reason(), &Reason::from("its task was cancelled"));
            s.cancel("the rest does not matter");
        }).await;
    }

    // C177
    async fn a_join_that_is_complete_when_it_is_cancelled_gives_its_values() {
        let token = Token::new();
        let last = Either::Right(cancelling(&token));
        let values = token.run_until_cancelled(gather([Either::Left(ready("first")), last])).await;
        assert_eq!(values, Ok(["first", "done"]));
    }

    // C178
    async fn cancelling_a_join_that_collects_errors_ends_it() {
        let token = Token::new();
        let cancel = async { yield_now().await; token.cancel("enough") };
        let children = [Either::Left(ready(Err::<(), _>("no"))), Either::Right(pending())];
        let (end, ()) = join(token.run_until_cancelled(gather(children)), cancel).await;
        assert_eq!(end.unwrap_err().reason(), &Reason::from("enough"));
    }

    // S4
    async fn an_error_in_a_gather_waits_for_what_winds_down_in_the_others() {
        let log = Log::new();
        let inside = log.clone();
        let work = |fails: bool| {
            let log = inside.clone();
            async move {
                if fails {
                    turns().await;
                    return Err("failed");
                }
                scope(async |s| {
                    s.defer(async move {
                        turns().await;
                        log.note("closed");
                    });
                    pending::<()>().await
                })
                .await;
                Ok(())
            }
        };
        assert_eq!(try_gather([work(false), work(true), work(false)]).await, Err("failed"));
        assert_eq!(log.entries(), ["closed", "closed"]);
    }
}

// tokio makes its own futures answer `Pending` after 128 of them in one poll of a task, and wakes
// them at once: a combinator that polls on whoever was woken goes round in circles.
#[test]
fn a_hundred_thousand_ready_tokio_oneshots_are_gathered_in_a_linear_number_of_polls() {
    const N: usize = 100_000;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (inner, outer) = (Polls::new(), Polls::new());
    let counting = (inner.clone(), outer.clone());
    runtime.block_on(async move {
        tokio::spawn(async move {
            let (inner, outer) = counting;
            let receivers = (0..N).map(|n| {
                let (send, receive) = tokio::sync::oneshot::channel();
                send.send(n).unwrap();
                inner.of(receive)
            });
            let values = outer.of(gather(receivers)).await;
            assert!(values.into_iter().map(Result::unwrap).eq(0..N));
        })
        .await
        .unwrap();
    });
    assert!(inner.count() <= 2 * N, "{} polls of the oneshots", inner.count());
    assert!(outer.count() <= N / 16, "{} polls of the gather", outer.count());
}

#[test]
fn a_gather_polled_after_it_was_ready_panics_cleanly() {
    let mut all = gather([ready(1)]);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert_eq!(all.poll_unpin(&mut cx), Poll::Ready([1]));
    let again = catch_unwind(AssertUnwindSafe(|| all.poll_unpin(&mut cx)));
    assert!(message(again.unwrap_err()).contains("after it was ready"));
}
