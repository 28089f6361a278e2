//! Intervals.

use std::time::{Duration, Instant};

use foster::{Interval, MissedTick, interval, interval_at, now, race, sleep, timeout};
use futures::StreamExt;
use futures::future::poll_immediate;

use crate::harness::T;
use crate::probes::{message, secs};

/// The instants of the next ticks and of their arrival, in milliseconds from `start`.
async fn ticks(interval: &mut Interval, start: Instant, n: usize) -> Vec<(u128, u128)> {
    let mut ticks = Vec::new();
    for _ in 0..n {
        let due = interval.tick().await;
        ticks.push(((due - start).as_millis(), (now() - start).as_millis()));
    }
    ticks
}

matrix! {
    async fn ticks_come_in_order_and_never_early() {
        let mut ticks = interval(crate::harness::T);
        let mut last = ticks.tick().await;
        for _ in 0..3 {
            let due = ticks.tick().await;
            assert_eq!(due - last, ticks.period());
            assert!(now() >= due);
            last = due;
        }
    }

    // A late tick was ready at once: such a loop starved the enclosing timeout.
    async fn an_interval_that_cannot_keep_up_leaves_turns_to_others() {
        let ms = Duration::from_millis(1);
        let late = timeout(20 * ms, async {
            let mut ticks = interval_at(now(), ms / 1000);
            loop {
                ticks.tick().await;
            }
        });
        // Under `sim` no time passes where there is no wait, so somebody else has to end it.
        let turns = async {
            for _ in 0..100 {
                foster::yield_now().await;
            }
        };
        race((async { drop(late.await) }, turns)).await;
    }

    async fn an_interval_starts_anew_when_it_is_reset() {
        let mut ticks = interval(10_000 * T);
        ticks.tick().await;
        assert!(poll_immediate(ticks.tick()).await.is_none());
        let at = now() + T;
        ticks.reset_at(at);
        assert_eq!(ticks.tick().await, at);
    }
}

sim! {
    async fn an_interval_ticks_at_once_and_then_every_period() {
        let mut second = interval(secs(1));
        sleep(secs(5)).await;
        let start = now();
        assert_eq!(second.period(), secs(1));
        assert_eq!(ticks(&mut second, start, 4).await, [(0, 0), (1000, 1000), (2000, 2000), (3000, 3000)]);
    }

    async fn an_interval_may_start_later_or_earlier() {
        let start = now();
        let mut later = interval_at(start + secs(10), secs(2));
        assert_eq!(ticks(&mut later, start, 2).await, [(10_000, 10_000), (12_000, 12_000)]);
        let mut earlier = interval_at(start + secs(9), secs(2));
        assert_eq!(ticks(&mut earlier, start, 3).await, [(9_000, 12_000), (11_000, 12_000), (13_000, 13_000)]);
    }

    async fn missed_ticks_come_in_a_burst_by_default() {
        let start = now();
        let mut second = interval(secs(1));
        assert_eq!(ticks(&mut second, start, 1).await, [(0, 0)]);
        sleep(Duration::from_millis(3500)).await;
        let expected = [(1000, 3500), (2000, 3500), (3000, 3500), (4000, 4000), (5000, 5000)];
        assert_eq!(ticks(&mut second, start, 5).await, expected);
    }

    async fn a_missed_tick_may_delay_those_that_follow() {
        let start = now();
        let mut second = interval(secs(1)).missed_tick(MissedTick::Delay);
        assert_eq!(ticks(&mut second, start, 1).await, [(0, 0)]);
        sleep(Duration::from_millis(3500)).await;
        let expected = [(1000, 3500), (4500, 4500), (5500, 5500)];
        assert_eq!(ticks(&mut second, start, 3).await, expected);
    }

    async fn missed_ticks_may_be_skipped() {
        let start = now();
        let mut second = interval(secs(1)).missed_tick(MissedTick::Skip);
        assert_eq!(ticks(&mut second, start, 1).await, [(0, 0)]);
        sleep(Duration::from_millis(3500)).await;
        let expected = [(1000, 3500), (4000, 4000), (5000, 5000)];
        assert_eq!(ticks(&mut second, start, 3).await, expected);
        // Late by exactly one period, and by exactly two.
        sleep(secs(2)).await;
        let expected = [(6000, 7000), (8000, 8000), (9000, 9000)];
        assert_eq!(ticks(&mut second, start, 3).await, expected);
    }

    async fn a_dropped_wait_loses_no_tick() {
        let start = now();
        let mut second = interval(secs(1));
        second.tick().await;
        for _ in 0..5 {
            assert!(poll_immediate(second.tick()).await.is_none());
        }
        assert!(timeout(Duration::from_millis(500), second.tick()).await.is_err());
        assert_eq!(second.tick().await, start + secs(1));
        assert_eq!(now(), start + secs(1));
    }

    async fn an_interval_is_a_stream_that_never_ends() {
        let start = now();
        let instants: Vec<Instant> = interval(secs(7)).take(3).collect().await;
        assert_eq!(instants, [start, start + secs(7), start + secs(14)]);
        assert!(!futures::stream::FusedStream::is_terminated(&interval(secs(1))));
    }

    async fn periods_from_nanoseconds_to_for_ever() {
        let start = now();
        let mut nanosecond = interval(Duration::from_nanos(1));
        for n in 0..1000 {
            assert_eq!(nanosecond.tick().await, start + Duration::from_nanos(n));
        }
        let mut ever = interval(Duration::MAX);
        ever.tick().await;
        assert!(timeout(secs(1_000_000_000), ever.tick()).await.is_err());
        for missed in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
            let mut century = interval(secs(100 * 365 * 24 * 3600)).missed_tick(missed);
            let first = century.tick().await;
            assert_eq!(century.tick().await - first, century.period());
        }
    }

    async fn late_ticks_yield_once_each_and_the_first_does_not() {
        let mut second = interval(secs(1));
        assert!(poll_immediate(second.tick()).await.is_some());
        sleep(secs(2)).await;
        for _ in 0..2 {
            assert!(poll_immediate(second.tick()).await.is_none());
            assert!(poll_immediate(second.tick()).await.is_some());
        }
        assert!(timeout(Duration::from_millis(999), second.tick()).await.is_err());
    }

    async fn a_reset_counts_although_a_tick_is_being_waited_for() {
        let start = now();
        let mut ticks = interval_at(start + secs(10), secs(10));
        assert!(poll_immediate(ticks.tick()).await.is_none());
        ticks.reset_after(secs(2));
        assert_eq!((ticks.tick().await, now()), (start + secs(2), start + secs(2)));
    }

    async fn resets_count_from_now_and_keep_the_period() {
        let start = now();
        let mut ticks = interval(secs(10));
        ticks.tick().await;
        sleep(secs(4)).await;
        ticks.reset();
        assert_eq!(ticks.tick().await, start + secs(14));
        ticks.reset_after(secs(1));
        assert_eq!(ticks.tick().await, start + secs(15));
        assert_eq!(ticks.tick().await, start + secs(25));
        assert_eq!(now(), start + secs(25));
    }
}

#[test]
fn a_period_of_zero_is_refused() {
    let refused = std::panic::catch_unwind(|| drop(interval(Duration::ZERO)));
    assert!(message(refused.unwrap_err()).contains("above zero"));
    let refused = std::panic::catch_unwind(|| drop(interval_at(Instant::now(), Duration::ZERO)));
    assert!(message(refused.unwrap_err()).contains("above zero"));
}
