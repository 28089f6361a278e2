//! Streams by the clock: chunks, throttles, debounces and samples.

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use foster::stream::{chain, generator};
use foster::{StreamExt as _, interval, now, sleep};
use futures::stream::{self, StreamExt};

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

    async fn a_throttle_counts_from_the_item_and_not_from_the_wait_for_the_next() {
        let (start, second) = (now(), Duration::from_secs(1));
        let times: Vec<_> = stream::iter(0..3)
            .throttle(3 * second)
            .then(|_| async move { sleep(2 * second).await; (now() - start).as_secs() })
            .collect()
            .await;
        assert_eq!(times, [2, 5, 8]);
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

    async fn a_tick_without_an_item_gives_no_sample_and_ends_nothing() {
        let second = Duration::from_secs(1);
        let rare = stream::iter([1, 2]).then(move |n| async move { sleep(5 * second).await; n });
        assert_eq!(rare.sample(2 * second).collect::<Vec<_>>().await, [1, 2]);
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
    }
}

#[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
async fn a_sample_after_a_long_pause_begins_a_period_of_its_own() {
    let period = Duration::from_secs(10);
    // A number each second, from 0 on.
    let numbers = interval(Duration::from_secs(1)).enumerate().map(|(n, _)| n);
    let mut samples = pin!(numbers.sample(period));
    assert_eq!(samples.next().await, Some(10));
    // Ticks at 20, 30, 40, 50 and 60 are missed, and one is late.
    sleep(55 * Duration::from_secs(1)).await;
    let start = foster::now();
    samples.next().await;
    assert_eq!(foster::now() - start, Duration::ZERO, "the one that is late");
    samples.next().await;
    assert_eq!(foster::now() - start, period, "a burst would make up for the others at once");
    samples.next().await;
    assert_eq!(foster::now() - start, 2 * period);
}
