//! The budget that calls share.

use std::iter;
use std::thread;
use std::time::Duration;

use foster::future::hedge;
use foster::retry::RetryBudget;
use foster::{local, now, retry, sleep};

use crate::Flaky;
use crate::harness::T;

matrix! {
    async fn calls_that_share_a_budget_stop_at_half_of_it() {
        let (budget, broken) = (RetryBudget::new(10), Flaky::broken());
        let call = || retry(iter::repeat_n(Duration::ZERO, 3), async || broken.attempt()).budget(&budget).outcome();
        assert!(call().await.unwrap_err().is_exhausted(), "four failures leave six");
        let second = call().await.unwrap_err();
        assert!(second.is_over_budget());
        assert_eq!((second.attempts(), budget.tokens()), (1, 5));
        let third = call().await.unwrap_err();
        assert_eq!((third.attempts(), broken.made()), (1, 6), "first attempts are always made");
        assert!(!budget.clone().allows_retry());
    }

    async fn first_attempts_that_succeed_fill_it_again() {
        // aws-sdk-go-v2#3550: successes gave nothing back, so there were no retries until the
        // process was started anew. aws-sdk-rust#1423: they did only when a retry came next.
        let budget = RetryBudget::with_ratio(4, 1, 2);
        for _ in 0..4 {
            assert!(retry([], async || Err::<(), _>(())).budget(&budget).await.is_err());
        }
        assert_eq!(budget.tokens(), 0);
        for successes in 1..=20 {
            assert!(retry([], async || Ok::<_, ()>(())).budget(&budget).await.is_ok());
            assert_eq!(budget.tokens(), (successes / 2).min(4));
            assert_eq!(budget.allows_retry(), successes > 4, "half of it is not enough");
        }
    }

    async fn errors_that_are_refused_cost_nothing() {
        let budget = RetryBudget::new(4);
        let call = retry([T], async || Err::<(), _>(())).when(|()| false).budget(&budget);
        assert!(call.outcome().await.unwrap_err().is_refused());
        assert_eq!(budget.tokens(), 4);
    }

    async fn the_last_failure_of_a_schedule_costs_its_token() {
        let budget = RetryBudget::new(4);
        assert!(retry([], async || Err::<(), _>(())).budget(&budget).outcome().await.unwrap_err().is_exhausted());
        assert_eq!(budget.tokens(), 3);
    }

    async fn the_last_attempt_that_is_allowed_costs_its_token() {
        let budget = RetryBudget::new(4);
        let call = || retry([T; 3], async || Err::<(), _>(())).max_attempts(1).budget(&budget).outcome();
        assert!(call().await.unwrap_err().is_exhausted());
        assert_eq!(budget.tokens(), 3);
        assert!(call().await.unwrap_err().is_over_budget(), "the budget is asked first");
    }
}

sim! {
    async fn a_hedge_makes_no_other_attempt_while_the_budget_allows_none() {
        let (budget, start) = (RetryBudget::new(4), now());
        let call = || hedge(T, 3, async |attempt| sleep(if attempt == 0 { 9 * T } else { T }).await).budget(&budget);
        call().await;
        assert_eq!(now() - start, 2 * T, "the second attempt won");
        (0..2).for_each(|_| _ = budget.record_failure());
        call().await;
        assert_eq!(now() - start, 11 * T, "there was no second attempt");
        (0..10).for_each(|_| budget.record_success());
        call().await;
        assert_eq!(now() - start, 13 * T);
    }

    async fn a_budget_bounds_the_load_on_a_server_that_is_down_and_lets_it_come_back() {
        let (budget, start) = (RetryBudget::with_ratio(20, 1, 10), now());
        let (budget, server) = (&budget, &|| if now() - start < 1000 * T { Err(()) } else { Ok(()) });
        let attempts = &std::cell::Cell::new(0);
        local::scope(async |s| {
            for call in 0..2000 {
                s.spawn(async move {
                    sleep(call * T).await;
                    let call = retry(iter::repeat_n(T / 2, 3), || {
                        attempts.set(attempts.get() + 1);
                        std::future::ready(server())
                    });
                    _ = call.budget(budget).await;
                });
            }
        }).await;
        // Half of the budget was spent on retries, and no more.
        assert!((2001..=2010).contains(&attempts.get()), "{} attempts", attempts.get());
        assert_eq!(budget.tokens(), 20, "it is full again");
    }
}

#[test]
fn no_ratio_is_rounded() {
    // tower#857: a ratio of 0.6 was rounded up to 1.
    for (returned, successes) in [(6, 10), (3, 5), (1, 3), (2, 3), (999, 1000), (8, 5)] {
        let budget = RetryBudget::with_ratio(10_000, returned, successes);
        (0..10_000).for_each(|_| _ = budget.record_failure());
        assert_eq!(budget.tokens(), 0);
        for count in 1..=5_000_u64 {
            budget.record_success();
            let expected = (count * u64::from(returned) / u64::from(successes)).min(10_000);
            assert_eq!(u64::from(budget.tokens()), expected);
        }
    }
}

#[test]
fn a_success_that_gives_back_more_than_is_missing_fills_it_and_no_more() {
    let budget = RetryBudget::with_ratio(4, 3, 1);
    assert!(budget.record_failure());
    budget.record_success();
    assert_eq!(budget.tokens(), 4);
}

#[test]
fn what_threads_record_at_the_same_time_is_all_counted() {
    let budget = RetryBudget::with_ratio(1_000_000, 1, 4);
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..1_000 {
                    budget.record_failure();
                    budget.record_success();
                }
            });
        }
    });
    assert_eq!(budget.tokens(), 1_000_000 - 4_000 + 1_000);
}

#[test]
fn extreme_budgets_are_defined() {
    let none = RetryBudget::new(0);
    assert!(!none.allows_retry() && !none.record_failure());
    none.record_success();
    assert_eq!((none.tokens(), none.allows_retry()), (0, false));
    let one = RetryBudget::new(1);
    assert!(one.allows_retry());
    assert!(!one.record_failure(), "one token pays for a failure, not for the retry");
    let largest = RetryBudget::with_ratio(u32::MAX, u32::MAX, u32::MAX);
    assert!(largest.record_failure());
    assert_eq!(largest.tokens(), u32::MAX - 1);
    largest.record_success();
    assert_eq!(largest.tokens(), u32::MAX);
    let spent = RetryBudget::with_ratio(3, 0, 1);
    assert!(spent.record_failure() && !spent.record_failure());
    (0..100).for_each(|_| spent.record_success());
    assert_eq!((spent.tokens(), spent.allows_retry()), (1, false), "it is never refilled");
}

#[test]
#[should_panic(expected = "never refilled")]
fn a_ratio_of_no_successes_is_refused() {
    drop(RetryBudget::with_ratio(1, 1, 0));
}
