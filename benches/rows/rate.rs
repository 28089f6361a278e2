//! Rows 25 and 26: rate limiters, whose tokens are there or are waited for, and a retry around a
//! success.

use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use backon::{BackoffBuilder as _, ConstantBuilder, Retryable as _};
use governor::clock::MonotonicClock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{DefaultDirectRateLimiter, Quota};
use tower::limit::{RateLimit, rate::Rate};
use tower::retry::{Policy, Retry};
use tower::{Service as _, ServiceExt as _, service_fn};

use super::{CALLS, in_a_root, on_tokio, repeatedly};
use crate::measure::Role::{Foster, Peer};
use crate::measure::{Cost, Lap};
use crate::report::{Goal, Row, Unit};

/// So many tokens come in a second, and there may be as many at once.
const RATE: u32 = 1_000_000_000;

/// Those who wait at once, and how many tokens come in a second then.
const WAITING: u32 = 1_000;
const SLOW: u32 = 100_000;

/// As foster's, it asks the operating system for the time, where governor's own counts cycles.
type ByStd = governor::RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// The waits of a retry that never has to wait.
const SCHEDULE: ConstantBuilder = ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(3);

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row {
            id: "25",
            work: "rate limiter: acquire a token that is there, in a root",
            unit: Unit::Nanos,
            contenders: vec![
                in_a_root(Peer, "governor", |_| async {
                    static LIMITER: LazyLock<DefaultDirectRateLimiter> = LazyLock::new(|| {
                        governor::RateLimiter::direct(Quota::per_second(NonZeroU32::new(RATE).expect("it is not zero")))
                    });
                    LIMITER.until_ready().await;
                }),
                in_a_root(Peer, "governor by std's clock", |_| async {
                    static LIMITER: LazyLock<ByStd> = LazyLock::new(|| {
                        let quota = Quota::per_second(NonZeroU32::new(RATE).expect("it is not zero"));
                        ByStd::direct_with_clock(quota, MonotonicClock)
                    });
                    _ = black_box(LIMITER.check());
                }),
                on_tokio(Peer, "tower", |_| async {
                    let mut service =
                        RateLimit::new(service_fn(succeed), Rate::new(RATE.into(), Duration::from_secs(1)));
                    let lap = Lap::start();
                    for i in 0..CALLS {
                        _ = black_box(service.ready().await.expect("it never fails").call(i).await);
                    }
                    lap.stop()
                }),
                in_a_root(Foster, "foster", |_| async {
                    static LIMITER: LazyLock<foster::rate::RateLimiter> =
                        LazyLock::new(|| foster::rate::RateLimiter::new(RATE, Duration::from_secs(1)));
                    _ = black_box(LIMITER.acquire(1).await);
                }),
            ],
            goals: vec![
                Goal::Times(2.0, "governor"),
                Goal::Times(2.0, "governor by std's clock"),
                Goal::Allocations(0.0),
            ],
        },
        Row {
            id: "25-crowd",
            work: "rate limiter: 1,000 wait, and 100,000 tokens come in a second, in a root",
            unit: Unit::Nanos,
            contenders: vec![
                on_tokio(Peer, "governor", |handle| {
                    handle.enter(async {
                        let waiting = NonZeroU32::new(WAITING).expect("it is not zero");
                        let quota = Quota::per_second(NonZeroU32::new(SLOW).expect("it is not zero"));
                        let limiter = &governor::RateLimiter::direct(quota.allow_burst(waiting));
                        crowd(
                            || async { limiter.until_n_ready(waiting).await.expect("the burst is as large") },
                            || limiter.until_ready(),
                        )
                        .await
                    })
                }),
                on_tokio(Foster, "foster", |handle| {
                    handle.enter(async {
                        let second = Duration::from_secs(1);
                        let limiter = &foster::rate::RateLimiter::with_burst(SLOW, second, WAITING);
                        crowd(|| limiter.acquire(WAITING), || limiter.acquire(1)).await
                    })
                }),
            ],
            goals: vec![Goal::Times(1.0, "governor"), Goal::Allocations(0.1)],
        },
        Row {
            id: "26",
            work: "retry around a success",
            unit: Unit::Nanos,
            contenders: vec![
                repeatedly(Peer, "backon", |i| (move || succeed(i)).retry(SCHEDULE).sleep(|_| ready(()))),
                repeatedly(Peer, "tower", |i| Retry::new(Attempts(3), service_fn(succeed)).oneshot(i)),
                repeatedly(Foster, "foster", |i| foster::retry(SCHEDULE.build(), move || succeed(i))),
            ],
            goals: vec![Goal::Times(1.0, "backon"), Goal::Instructions(1.0, "backon"), Goal::Allocations(0.0)],
        },
    ]
}

/// As many that wait at once, again and again. Before each time, all tokens are taken.
async fn crowd<E: Future, F: Future>(empty: impl Fn() -> E, acquire: impl Fn() -> F) -> Cost {
    let lap = Lap::start();
    for _ in 0..CALLS / WAITING as usize {
        empty().await;
        black_box(foster::gather((0..WAITING).map(|_| acquire())).await);
    }
    lap.stop()
}

fn succeed(i: usize) -> Ready<Result<usize, usize>> {
    ready(Ok(black_box(i)))
}

/// Tries again so many times, for tower.
#[derive(Clone)]
struct Attempts(usize);

impl Policy<usize, usize, usize> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut usize, result: &mut Result<usize, usize>) -> Option<Ready<()>> {
        result.as_ref().err()?;
        self.0 = self.0.checked_sub(1)?;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &usize) -> Option<usize> {
        Some(*request)
    }
}
