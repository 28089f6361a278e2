//! The combinators on futures.

use std::future::{Future, pending, ready};
use std::sync::atomic::{AtomicUsize, Ordering};

use foster::future::{AsCompleted, as_completed};
use foster::future::{hedge, quorum};
use foster::testing::Drops;
use foster::{
    ConcurrentIterator as _, FutureExt as _, Token, gather, race, race_ok, scope, sleep, timeout, try_gather,
};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};

use crate::harness::T;
use crate::probes::{after, boxed};

matrix! {
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
                    match i == 1 {
                        true => after(2, Err::<(), _>("no")).await,
                        false => pending().await,
                    }
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

    async fn a_race_gives_the_first_value_and_drops_each_loser_once() {
        let drops = Drops::new();
        let racer = |n: usize| {
            let value = drops.guard();
            async move { after(n, (n, value)).await }
        };
        let (n, value) = race([racer(9), racer(1), racer(5), racer(1)]).await;
        assert_eq!(n, 1);
        assert_eq!(drops.count(), 3);
        drop(value);
        assert_eq!(drops.count(), 4);
        assert_eq!(race((pending(), after(3, 7))).await, 7);
        assert_eq!(pending::<u8>().race(ready(8)).await, 8);
    }

    // S4
    async fn a_lost_race_has_ended_before_the_race_returns() {
        let mut log = Vec::new();
        let lost = &mut log;
        let winner = race((
            boxed(scope(|s| async move {
                s.defer(async move {
                    sleep(T).await;
                    lost.push("cleaned up");
                });
                pending::<&str>().await
            })),
            boxed(after(3, "won")),
        ))
        .await;
        assert_eq!((winner, log), ("won", vec!["cleaned up"]));
    }

    // S4
    async fn what_still_comes_while_the_rest_is_wound_down_comes_too_late() {
        fn both<V: Send + 'static>(first: V, second: V) -> [BoxFuture<'static, V>; 2] {
            [boxed(after(1, first)), boxed(after(3, second).shield())]
        }
        assert_eq!(race(both(1, 2)).await, 1);
        assert_eq!(try_gather(both(Err::<u8, _>("first"), Err("second"))).await, Err("first"));
        assert_eq!(quorum(1, both(Ok::<_, u8>(1), Ok(2))).await, Ok(vec![1]));
        let mapped = both(Err::<u8, _>("first"), Ok(2)).into_iter().try_map_concurrent(2, |member| member);
        assert_eq!(mapped.collect::<Vec<_>>().await, [Err("first")]);
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

    async fn a_race_of_none_panics() {
        let race = std::panic::catch_unwind(|| race(Vec::<std::future::Ready<()>>::new()));
        assert!(race.is_err());
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

    async fn race_ok_gives_the_first_success_or_all_errors_in_order() {
        assert_eq!(race_ok([after(0, Err("a")), after(2, Ok(1)), after(9, Ok(2))]).await, Ok(1));
        assert_eq!(race_ok([after(2, Err::<(), _>("a")), after(1, Err("b"))]).await, Err(vec!["a", "b"]));
        assert_eq!(race_ok(Vec::<std::future::Ready<Result<(), ()>>>::new()).await, Err(vec![]));
        assert_eq!(race_ok((ready(Err::<u8, _>("a")), after(1, Ok(2)))).await, Ok(2));
    }

    async fn a_quorum_is_reached_or_missed_as_soon_as_that_is_known() {
        let ok = |n| boxed(after(n, Ok::<_, usize>(n)));
        let err = |n| boxed(after(n, Err::<usize, _>(n)));
        let never = || boxed(pending::<Result<usize, usize>>());
        assert_eq!(quorum(2, [ok(3), never(), ok(1)]).await, Ok(vec![1, 3]));
        assert_eq!(quorum(0, [never()]).await, Ok(vec![]));
        let missed = quorum(3, [err(2), ok(0), err(1), never()]).await.unwrap_err();
        assert_eq!((missed.values(), missed.errors()), (&[0][..], &[2, 1][..]));
        assert!(quorum(3, [ok(0), ok(0)]).await.is_err(), "more than there are");
    }

    // C195
    async fn as_completed_streams_in_the_order_of_completion_and_loses_nothing() {
        let mut done = as_completed([after(5, 'c'), after(1, 'a'), after(3, 'b')]);
        assert_eq!(done.next().await, Some((1, 'a')));
        let mut second_consumer = done;
        assert!(timeout(std::time::Duration::ZERO, second_consumer.next()).await.is_err());
        assert_eq!(second_consumer.len(), 2);
        second_consumer.push(after(0, 'd'));
        let rest: Vec<_> = second_consumer.collect().await;
        assert_eq!(rest.len(), 3);
        assert!(rest.contains(&(0, 'c')) && rest.contains(&(2, 'b')) && rest.contains(&(3, 'd')));
    }

    // C187, C188, C190, C193
    async fn wait_leaves_the_pending_ones_alive() {
        let mut group = as_completed([boxed(after(2, Ok(0))), boxed(after(2, Err("no"))), boxed(after(6, Ok(2))), boxed(pending())]);
        let mut first = group.wait_first_completed().await;
        first.sort();
        assert_eq!(first, [(0, Ok(0)), (1, Err("no"))], "both finish in one turn");
        assert_eq!(group.len(), 2);
        assert_eq!(group.wait_first_completed().await, [(2, Ok(2))]);
        assert_eq!(group.wait_all().at_most(T).await, []);
        assert_eq!(group.len(), 1);
        group.push(boxed(after(1, Err("late"))));
        assert_eq!(group.wait_first_error().await, [(4, Err("late"))]);
        let mut none: AsCompleted<std::future::Ready<()>> = as_completed([]);
        assert_eq!(none.wait_first_completed().await, []);
    }

    async fn one_error_is_enough_whatever_else_comes_in_its_turn() {
        let mut group = as_completed([boxed(ready(Err("no"))), boxed(ready(Ok(1))), boxed(pending())]);
        assert_eq!(group.wait_first_error().await, [(0, Err("no")), (1, Ok(1))]);
    }

    async fn a_dropped_wait_gives_what_it_saw_to_the_next_consumer() {
        let mut group = as_completed([boxed(ready(1)), boxed(ready(2)), boxed(pending())]);
        assert!(group.wait_all().now_or_never().is_none());
        assert_eq!(group.len(), 3);
        assert_eq!(group.next().await, Some((0, 1)));
        assert_eq!((group.push(boxed(ready(3))), group.push(boxed(pending()))), (3, 4));
        assert_eq!(group.wait_first_completed().await, [(1, 2), (3, 3)]);
        assert_eq!(group.len(), 2);
    }

    async fn hedge_makes_another_attempt_when_the_first_is_slow() {
        let made = AtomicUsize::new(0);
        let answer = hedge(T, 3, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            async move { if attempt < 2 { pending().await } else { attempt } }
        });
        assert_eq!(answer.await, 2);
        assert_eq!(made.load(Ordering::SeqCst), 3);
        let quick = hedge(100 * T, 3, |attempt| after(3, attempt));
        assert_eq!(quick.await, 0);
    }

    async fn extension_methods_do_what_they_are_named_for() {
        assert!(pending::<()>().timeout(T).await.is_err());
        assert!(pending::<()>().timeout_at(foster::now()).await.is_err());
        let token = Token::new();
        token.cancel("enough");
        assert!(pending::<()>().run_until_cancelled(&token).await.is_err());
        let mut saved = false;
        let late = async { sleep(2 * T).await; saved = true }.shield().timeout(T).await;
        assert!(late.is_ok() && saved, "a value that comes while winding down is delivered");
        assert_eq!(ready(7).named("seven").await, 7);
    }
}

sim! {
    async fn a_wait_takes_what_comes_as_its_time_is_over() {
        let mut group = as_completed([boxed(sleep(T)), boxed(pending())]);
        assert_eq!(group.wait_all().at_most(T).await, [(0, ())]);
    }

    async fn a_hedge_that_has_its_value_makes_no_other_attempt() {
        let made = AtomicUsize::new(0);
        let answer = hedge(2 * T, 3, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            // The first one is waited for.
            sleep(if attempt == 0 { 9 * T } else { T }).shield().map(move |()| attempt)
        });
        assert_eq!((answer.await, made.load(Ordering::SeqCst)), (1, 2));
    }

    async fn a_value_that_comes_with_the_next_attempt_wins() {
        let made = AtomicUsize::new(0);
        let answer = hedge(T, 2, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            sleep(T * (attempt == 0).into()).map(move |()| attempt)
        });
        assert_eq!((answer.await, made.load(Ordering::SeqCst)), (0, 1));
    }

    async fn a_hedge_that_is_wound_down_makes_no_other_attempt() {
        let made = AtomicUsize::new(0);
        let slow = hedge(2 * T, 3, |attempt| {
            made.fetch_add(1, Ordering::SeqCst);
            sleep(9 * T).shield().map(move |()| attempt)
        });
        assert_eq!((slow.timeout(T).await, made.load(Ordering::SeqCst)), (Ok(0), 1));
    }
}
