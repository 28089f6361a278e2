//! `select!`.

use std::future::{pending, ready};
use std::panic::AssertUnwindSafe;

use foster::{Token, scope, select, sleep, timeout, yield_now};
use futures::channel::mpsc;
use futures::{FutureExt as _, StreamExt as _};

use crate::harness::T;
use crate::probes::after;

matrix! {
    async fn the_arm_of_the_first_runs_and_no_other() {
        let mut ran = Vec::new();
        let value = select! {
            number = after(3, 7) => { ran.push("number"); number.to_string() }
            text = after(1, "text") => { ran.push("text"); text.to_owned() },
            () = pending() => unreachable!(),
        };
        assert_eq!((value.as_str(), ran), ("text", vec!["text"]));
    }

    async fn outputs_of_different_types_and_patterns_are_taken_apart() {
        let sum = select! {
            (a, mut b) = ready((1, 2)) => { b += 1; a + b }
            _ = pending::<String>() => 0,
        };
        assert_eq!(sum, 4);
        assert_eq!(select! { only = ready(1) => only }, 1);
    }

    // S4
    async fn losers_have_been_wound_down_when_the_arm_runs() {
        let (log, mut seen) = mpsc::unbounded();
        let cleaned = log.clone();
        select! {
            () = scope(async |s| {
                s.defer(async move { sleep(T).await; cleaned.unbounded_send("cleaned up").unwrap() });
                pending::<()>().await
            }) => unreachable!(),
            () = after(3, ()) => log.unbounded_send("won").unwrap(),
        }
        drop(log);
        assert_eq!(seen.by_ref().collect::<Vec<_>>().await, ["cleaned up", "won"]);
    }

    // S4: what is cancelled from outside winds down all arms, and none runs.
    async fn a_select_that_is_cancelled_winds_all_arms_down_and_runs_none() {
        let (log, mut seen) = mpsc::unbounded();
        let arm = |name: &'static str| {
            let log = log.clone();
            scope(async move |s| {
                s.defer(async move { yield_now().await; log.unbounded_send(name).unwrap() });
                pending::<()>().await
            })
        };
        let ended = timeout(T, async {
            select! {
                () = arm("a") => unreachable!(),
                () = arm("b") => unreachable!(),
            }
        }).await;
        assert!(ended.is_err());
        drop(log);
        let mut seen: Vec<_> = seen.by_ref().collect().await;
        seen.sort();
        assert_eq!(seen, ["a", "b"]);
    }

    async fn an_arm_may_use_what_the_losers_borrowed_mutably() {
        let mut buffer = vec![1];
        let shared = String::from("shared");
        select! {
            () = async { buffer.push(2); pending().await } => unreachable!(),
            n = async { after(2, shared.len()).await } => buffer.push(n),
            n = async { after(9, shared.len()).await } => assert_eq!(n, 6),
        }
        buffer.retain(|n| *n != 2);
        assert_eq!(buffer, [1, 6]);
    }

    async fn an_arm_that_is_switched_off_takes_no_part() {
        let on = |on: bool| on;
        let mut made = 0;
        let value = select! {
            n = { made += 1; ready(1) }, if on(false) => n,
            n = after(5, 2), if on(true) => n,
        };
        assert_eq!((value, made), (2, 0), "its future is not even made");
        let otherwise = select! {
            n = ready(1), if on(false) => n,
            n = ready(2), if on(false) => { n }
            else => 3,
        };
        assert_eq!(otherwise, 3);
        let first = select! { n = ready(1) => n, else => 2 };
        assert_eq!(first, 1);
    }

    async fn without_an_arm_and_without_else_it_panics() {
        let off = false;
        let none = async { select! { n = ready(1), if off => n } };
        let panic = AssertUnwindSafe(none).catch_unwind().await.unwrap_err();
        assert!(panic.downcast_ref::<&str>().unwrap().contains("no `else`"));
    }

    async fn arms_may_await_and_leave_the_function_or_the_loop() {
        async fn asked(n: Option<u8>) -> Option<u8> {
            let mut rounds = 0;
            loop {
                select! {
                    n = ready(n) => {
                        rounds += 1;
                        if rounds < 3 { continue }
                        yield_now().await;
                        return Some(n? + 1);
                    }
                    () = pending() => break None,
                }
            }
        }
        assert_eq!((asked(Some(1)).await, asked(None).await), (Some(2), None));
    }

    async fn twelve_arms_are_as_good_as_two() {
        let last = select! {
            _ = pending::<u8>() => 1, _ = pending::<u16>() => 2, _ = pending::<u32>() => 3, _ = pending::<u64>() => 4,
            _ = pending::<i8>() => 5, _ = pending::<i16>() => 6, _ = pending::<i32>() => 7, _ = pending::<i64>() => 8,
            _ = pending::<char>() => 9, _ = pending::<bool>() => 10, _ = pending::<()>() => 11, n = after(2, 12) => n,
        };
        assert_eq!(last, 12);
    }

    // S11: two in one round must not take turns in step with each other.
    async fn in_a_loop_no_arm_that_is_always_ready_starves_another() {
        let mut won = [[0; 3]; 2];
        for _ in 0..300 {
            for won in &mut won {
                let n = select! { () = ready(()) => 0, () = ready(()) => 1, () = ready(()) => 2 };
                won[n] += 1;
            }
        }
        assert!(won.iter().flatten().all(|&n| n > 50), "{won:?}");
    }

    async fn a_future_outside_is_kept_for_the_next_round() {
        let (mut ticks, mut seen) = (Box::pin(after(20, "done")), 0);
        let done = loop {
            select! {
                done = &mut ticks => break done,
                () = after(2, ()) => seen += 1,
            }
        };
        assert!(done == "done" && seen > 2, "{seen}");
    }

    async fn it_ends_with_a_token_like_everything_else() {
        let token = Token::new();
        let wait = async { select! { () = pending() => {} } };
        let cancel = async { yield_now().await; token.cancel("enough") };
        assert!(futures::join!(token.run_until_cancelled(wait), cancel).0.is_err());
    }
}

#[foster::test(runtimes(tokio, tokio_multi))]
async fn it_is_send_where_its_futures_are() {
    let spawned = tokio::spawn(async {
        select! {
            n = after(3, 7) => n,
            () = scope(async |s| { s.spawn(pending::<()>()); }) => unreachable!(),
        }
    });
    assert_eq!(spawned.await.unwrap(), 7);
}

#[test]
fn a_pattern_may_have_alternatives() {
    futures::executor::block_on(async {
        let both = select! { Ok(n) | Err(n) = async { Err::<u32, u32>(7) } => n };
        assert_eq!(both, 7);
    });
}

#[test]
fn conditions_are_evaluated_before_a_future_borrows_what_they_look_at() {
    futures::executor::block_on(async {
        let mut numbers = vec![1];
        let take = async |numbers: &mut Vec<i32>| numbers.pop();
        let taken = select! {
            _ = pending::<()>(), if numbers.len() > 7 => None,
            number = take(&mut numbers) => number,
            () = async {}, if numbers.len() > 5 => None,
        };
        assert_eq!(taken, Some(1));
    });
}
