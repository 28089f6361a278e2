//! `merge`, `zip` and `chain`.

use std::future::pending;

use foster::stream::{chain, merge, zip};
use foster::testing::Drops;
use foster::{sleep, yield_now};
use futures::stream::{self, StreamExt};

use crate::harness::T;

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
}
