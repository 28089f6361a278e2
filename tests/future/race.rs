//! `race`, `race_ok` and `quorum`.

use std::future::{pending, ready};

use foster::future::quorum;
use foster::testing::Drops;
use foster::{ConcurrentIterator as _, FutureExt as _, race, race_ok, scope, sleep, try_gather};
use futures::StreamExt as _;
use futures::future::BoxFuture;

use crate::harness::T;
use crate::probes::{after, boxed};

matrix! {
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
            boxed(scope(async |s| {
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

    async fn a_race_of_none_panics() {
        let race = std::panic::catch_unwind(|| race(Vec::<std::future::Ready<()>>::new()));
        assert!(race.is_err());
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
}
