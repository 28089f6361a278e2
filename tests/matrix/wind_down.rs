//! Winding down: what inside needs time to end has ended before the operation that cancelled it returns, also when
//! combinators that are not foster's lie in between.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use foster::{
    ConcurrentIterator, Deadline, Reason, Scope, Task, Token, deadline, local, now, scope, shield, sleep, timeout,
    try_gather, try_scope, yield_now,
};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, LocalBoxFuture, join_all, poll_immediate, select_all};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::harness::{T, ok};
use crate::probes::{Gate, Log, lingering, secs};

pub(crate) type Combine = for<'a> fn([BoxFuture<'a, ()>; 2]) -> BoxFuture<'a, ()>;

type Moving = BoxFuture<'static, ()>;
type Start = fn(&Scope<'static>, Moving) -> Task<()>;

/// Combinators that know nothing of foster.
pub(crate) const FOREIGN: [(&str, Combine); 7] = [
    ("FuturesUnordered", |both| FuturesUnordered::from_iter(both).collect::<()>().boxed()),
    ("buffer_unordered", |both| futures::stream::iter(both).buffer_unordered(2).collect::<()>().boxed()),
    ("join!", |[a, b]| {
        async {
            let ((), ()) = futures::join!(a, b);
        }
        .boxed()
    }),
    ("tokio::join!", |[a, b]| {
        async {
            let ((), ()) = tokio::join!(a, b);
        }
        .boxed()
    }),
    ("select_all", |both| select_all(both).map(drop).boxed()),
    ("join_all", |both| join_all(both).map(drop).boxed()),
    ("by hand", |[a, b]| Box::pin(ByHand { first: a, second: b, turn: false })),
];

/// Polls its futures in turns, and is woken for all others.
struct ByHand<'a> {
    first: BoxFuture<'a, ()>,
    second: BoxFuture<'a, ()>,
    turn: bool,
}

impl Future for ByHand<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.turn = !this.turn;
        let (a, b) = if this.turn { (&mut this.first, &mut this.second) } else { (&mut this.second, &mut this.first) };
        match (a.as_mut().poll(cx), b.as_mut().poll(cx)) {
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

/// Opens `gate` when `future` has been polled.
fn opening<'a>(gate: &Gate, mut future: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
    let gate = gate.clone();
    poll_fn(move |cx| {
        let poll = future.as_mut().poll(cx);
        gate.open();
        poll
    })
    .boxed()
}

/// Two busy scopes in each of the foreign combinators, to be cancelled by `cancel` once the gate is open, which returns
/// when that is done.
async fn cancelled_through_foreign_combinators(cancel: impl for<'a> AsyncFn(BoxFuture<'a, ()>, Gate)) {
    for (name, combine) in FOREIGN {
        let (log, begun) = (Log::new(), Gate::new());
        let both = combine([lingering(&log, "a").boxed(), lingering(&log, "b").boxed()]);
        cancel(opening(&begun, both), begun).await;
        log.note("returned");
        assert_eq!(log.place("returned"), 6, "{name}: {:?}", log.entries());
        for scope in ["a", "b"] {
            let place = |what: &str| log.place(&format!("{scope} {what}"));
            assert!(place("body over") < place("finalized"), "{name}: {:?}", log.entries());
            assert!(place("child over") < place("finalized"), "{name}: {:?}", log.entries());
        }
    }
}

matrix! {
    // S4
    async fn a_timeout_returns_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, _| {
            assert!(timeout(T, inside).await.is_err());
        }).await;
    }

    // S4
    async fn a_cancelled_scope_returns_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            let outcome = scope(|s| async move {
                s.spawn(inside);
                begun.wait().await;
                s.cancel("enough");
                pending::<()>().await
            }).outcome().await;
            assert_eq!(outcome.unwrap_err().reason(), &Reason::from("enough"));
        }).await;
    }

    // S4
    async fn a_cancelled_body_ends_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            let outcome = scope(|s| async move {
                let scope = s.clone();
                s.spawn(async move {
                    begun.wait().await;
                    scope.cancel("enough");
                });
                inside.await
            }).outcome().await;
            assert!(outcome.is_err());
        }).await;
    }

    // S2, S4
    async fn a_failed_scope_returns_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            let failed = try_scope(|s| async move {
                s.spawn(ok(inside));
                begun.wait().await;
                Err::<(), _>("failed")
            });
            assert_eq!(failed.await, Err("failed"));
        }).await;
    }

    // S4, S6
    async fn a_cancelled_task_is_over_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            scope(|s| async move {
                let child = s.spawn(inside);
                begun.wait().await;
                child.cancel();
                assert!(child.outcome().await.is_err());
            }).await;
        }).await;
    }

    // S4
    async fn a_failed_gather_returns_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            let failing = async { begun.wait().await; Err("failed") }.boxed();
            let both = try_gather([inside.map(Ok).boxed(), failing]);
            assert_eq!(both.await, Err("failed"));
        }).await;
    }

    // S4
    async fn a_failed_for_each_returns_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            let failing = async { begun.wait().await; Err("failed") }.boxed();
            let all = [inside.map(Ok).boxed(), failing].into_iter().try_each_concurrent(2, |future| future);
            assert_eq!(all.await, Err("failed"));
        }).await;
    }

    // S4
    async fn run_until_cancelled_returns_when_all_inside_foreign_combinators_has_ended() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            scope(|s| async move {
                let token = Token::new();
                let running = token.clone();
                let task = s.spawn(async move { running.run_until_cancelled(inside).await });
                begun.wait().await;
                token.cancel("enough");
                assert_eq!(task.await.unwrap_err().reason(), &Reason::from("enough"));
            }).await;
        }).await;
    }

    // S4
    async fn the_end_of_a_stop_waits_for_all_inside_foreign_combinators() {
        cancelled_through_foreign_combinators(async |inside, begun| {
            let outcome = scope(|s| async move {
                s.spawn(inside);
                begun.wait().await;
                s.stop("closing", T);
                pending::<()>().await
            }).outcome().await;
            assert_eq!(outcome.unwrap_err().reason(), &Reason::from("closing"));
        }).await;
    }

    // S4
    async fn scopes_nested_ten_deep_through_foreign_combinators_end_innermost_first() {
        let log = Log::new();
        assert!(timeout(T, nested(&log, 10)).await.is_err());
        let expected: Vec<String> = (1..=10).map(|level| format!("level {level}")).collect();
        assert_eq!(log.entries(), expected);
    }

    // S4: what needs no time to end is dropped at once, newest first
    async fn what_needs_no_time_is_dropped_at_once_newest_first() {
        let log = &Log::new();
        let late = timeout(T, scope(|s| async move {
            for n in 0..3 {
                s.spawn(async move {
                    let _dropped = log.on_drop(format!("child {n}"));
                    pending::<()>().await
                });
            }
            s.spawn(lingering(log, "x"));
            let _dropped = log.on_drop("body");
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert!(log.place("x finalized") > log.place("child 0"));
        assert!(log.place("child 2") < log.place("child 1"));
        assert!(log.place("child 1") < log.place("child 0"));
        assert!(log.place("child 0") < log.place("body"));
        assert!(log.place("body") < log.place("x finalized"));
    }

    // S4
    async fn a_finalizer_uses_timeouts_shields_and_scopes_of_its_own() {
        let log = &Log::new();
        let late = timeout(T, scope(|s| async move {
            s.defer(async move {
                assert!(Token::current().is_none_or(|token| !token.is_cancelled()));
                assert_eq!(deadline(), None);
                assert!(timeout(T, lingering(log, "in a timeout")).await.is_err());
                shield(sleep(T)).await;
                let sum = scope(|s| async move {
                    s.defer(async move { sleep(T).await; log.note("nested finalizer") });
                    let (a, b) = (s.spawn(async { sleep(T).await; 1 }), s.spawn_parallel(async { sleep(T).await; 2 }));
                    a.await + b.await
                }).await;
                log.note(format!("sum {sum}"));
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("returned");
        let entries = log.entries();
        assert_eq!(entries[entries.len() - 4..], ["in a timeout finalized", "nested finalizer", "sum 3", "returned"]);
    }

    // S9
    async fn a_loop_of_shields_ends() {
        let log = &Log::new();
        let late: Result<(), _> = timeout(T, async {
            loop {
                shield(async { sleep(T / 4).await; log.note("turn") }).await;
            }
        }).await;
        assert!(late.is_err());
        let turns = log.entries().len();
        sleep(2 * T).await;
        assert_eq!(log.entries().len(), turns);
    }

    // S9
    async fn loops_of_scopes_and_sleeps_and_finalizers_end() {
        let late: Result<(), _> = timeout(T, async {
            loop {
                scope(|s| async move {
                    s.defer(sleep(T / 4));
                    sleep(T / 4).await;
                }).await;
            }
        }).await;
        assert!(late.is_err());
        // A loop that only yields would hold the clock of a simulation.
        scope(|s| async move {
            let yielding = s.spawn(async { loop { shield(yield_now()).await } });
            let sleeping = s.spawn(async { loop { shield(sleep(Duration::ZERO)).await } });
            yield_now().await;
            yield_now().await;
            yielding.cancel();
            sleeping.cancel();
            let (yielding, sleeping): (Result<(), _>, Result<(), _>) = (yielding.outcome().await, sleeping.outcome().await);
            assert!(yielding.is_err() && sleeping.is_err());
        }).await;
    }

    // S9
    async fn a_shield_borrows_and_completes_under_every_cancellation() {
        let mut saved = [0; 3];
        let [first, second, third] = &mut saved;
        let late = timeout(T, async {
            shield(async { sleep(2 * T).await; *first = 1 }).await;
            pending::<()>().await
        });
        assert!(late.await.is_err());
        let outcome = scope(|s| async move {
            s.spawn(shield(async { sleep(2 * T).await; *second = 2 }));
            sleep(T / 2).await;
            s.cancel("enough");
            pending::<()>().await
        }).outcome().await;
        assert!(outcome.is_err());
        scope(|s| async move {
            let child = s.spawn(async { shield(async { sleep(2 * T).await; *third = 3 }).await; pending::<()>().await });
            sleep(T / 2).await;
            child.cancel();
            assert!(child.outcome().await.is_err());
        }).await;
        assert_eq!(saved, [1, 2, 3]);
    }

    // S9
    async fn a_shield_in_foreign_combinators_completes() {
        let log = &Log::new();
        for (name, combine) in FOREIGN {
            let shielded = |what: &'static str| async move {
                shield(async { sleep(2 * T).await; log.note(format!("{name} {what}")) }).await;
                pending::<()>().await
            };
            assert!(timeout(T, combine([shielded("a").boxed(), shielded("b").boxed()])).await.is_err());
            log.place(&format!("{name} a"));
            log.place(&format!("{name} b"));
        }
    }

    // S4: what a region waits for may have been moved away, and end on another thread
    async fn whoever_waits_for_the_last_hold_is_woken_by_its_end_on_another_thread() {
        let regions: [(&str, Start); 3] = [
            ("child", |s, moving| s.spawn(moving)),
            ("parallel child", |s, moving| s.spawn_parallel(moving)),
            ("timeout", |s, moving| s.spawn(timeout(Duration::ZERO, moving).map(drop))),
        ];
        for (name, start) in regions {
            scope(|s| async move {
                let (give, moved) = oneshot::channel();
                let region = start(&s, async move {
                    let mut held = shield(pending()).boxed();
                    assert!(poll_immediate(&mut held).await.is_none());
                    give.send(held).ok();
                    pending().await
                }.boxed());
                let held: Moving = moved.await.unwrap();
                if name != "timeout" {
                    region.cancel();
                }
                sleep(2 * T).await;
                assert!(!region.is_finished(), "{name}");
                thread::spawn(move || drop(held)).join().unwrap();
                assert_eq!(region.outcome().await.is_ok(), name == "timeout", "{name}");
            }).await;
        }
    }

    // S7
    async fn a_second_cancellation_during_the_wind_down_keeps_the_first_reason() {
        let log = &Log::new();
        let outcome = scope(|s| async move {
            let again = s.clone();
            s.defer(async move {
                again.cancel("second");
                sleep(T).await;
                again.cancel("third");
                again.stop("fourth", Duration::ZERO);
                log.note("finalized");
            });
            s.cancel("first");
            s.cancel("also first");
            pending::<()>().await
        }).outcome().await;
        assert_eq!(outcome.unwrap_err().reason(), &Reason::from("first"));
        assert_eq!(log.entries(), ["finalized"]);
    }

    // S7
    async fn a_deadline_that_passes_during_the_wind_down_changes_no_reason() {
        let outcome = timeout(2 * T, scope(|s| async move {
            let token = s.stop_token();
            s.defer(async move {
                sleep(4 * T).await;
                assert_eq!(token.reason(), Some(Reason::from("first")));
            });
            s.cancel("first");
            pending::<()>().await
        }).outcome()).await;
        // Wound down by itself, and then from around: whoever was first fixed the reason.
        if let Ok(outcome) = outcome {
            assert_eq!(outcome.unwrap_err().reason(), &Reason::from("first"));
        }
    }

    // S7
    async fn an_outer_timeout_during_an_inner_wind_down_waits_for_it() {
        let log = &Log::new();
        let late = timeout(2 * T, timeout(T, scope(|s| async move {
            s.defer(async move { sleep(4 * T).await; log.note("finalized") });
            pending::<()>().await
        })));
        drop(late.await);
        log.note("returned");
        assert_eq!(log.entries(), ["finalized", "returned"]);
    }

    // S4
    async fn finalizers_run_after_children_last_in_first_out_and_one_at_a_time() {
        let log = &Log::new();
        let late = timeout(T, scope(|s| async move {
            for n in 0..3 {
                s.defer(async move {
                    log.note(format!("{n} begins"));
                    sleep(T / 2).await;
                    log.note(format!("{n} ends"));
                });
            }
            s.spawn(async move {
                let _over = log.on_drop("child over");
                pending::<()>().await
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(
            log.entries(),
            ["child over", "2 begins", "2 ends", "1 begins", "1 ends", "0 begins", "0 ends"]
        );
    }

    // S4, S7
    async fn a_parallel_child_winds_down_its_own_scopes_before_the_timeout_returns() {
        let (log, begun, deadline) = (Log::new(), Gate::new(), Deadline::never());
        let (noting, started, due) = (log.clone(), begun.clone(), deadline.clone());
        let late = deadline.timeout(scope(|s| async move {
            s.spawn_parallel(async move {
                let both = join_all([lingering(&noting, "a").boxed(), lingering(&noting, "b").boxed()]);
                opening(&started, both.map(drop).boxed()).await;
            });
            begun.wait().await;
            due.set(now()).unwrap();
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        log.note("returned");
        assert_eq!(log.place("returned"), 6);
    }

    // S4
    async fn scopes_that_are_not_send_wind_down_likewise() {
        let log = &Log::new();
        let late = timeout(T, local::scope(|s| async move {
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let counting = std::rc::Rc::clone(&count);
            s.defer(async move {
                sleep(T).await;
                counting.set(counting.get() + 1);
                log.note(format!("finalized {}", counting.get()));
            });
            s.spawn(join_all([lingering(log, "a").boxed_local(), lingering(log, "b").boxed_local()]));
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.place("finalized 1"), 6);
    }

    // S3
    async fn a_panic_in_a_finalizer_is_resumed_when_the_others_have_run() {
        let log = &Log::new();
        let late = std::panic::AssertUnwindSafe(timeout(T, scope(|s| async move {
            s.defer(async move { sleep(T / 2).await; log.note("first") });
            s.defer(async move { sleep(T / 2).await; panic!("in a finalizer") });
            s.defer(async move { sleep(T / 2).await; log.note("third") });
            pending::<()>().await
        }))).catch_unwind();
        assert_eq!(crate::probes::message(late.await.unwrap_err()), "in a finalizer");
        assert_eq!(log.entries(), ["third", "first"]);
    }

    // S4: a region that is tripped starts nothing new
    async fn nothing_new_starts_in_what_is_winding_down() {
        let log = &Log::new();
        let late = timeout(T, async {
            let region = Token::current().expect("a region");
            shield(async move {
                region.cancelled().await;
                yield_now().await;
            }).await;
            scope(|s| async move {
                s.spawn(async move { log.note("a child started") });
                log.note("a body started");
            }).await;
            log.note("went on");
        });
        assert!(late.await.is_err());
        assert!(log.entries().is_empty(), "{:?}", log.entries());
    }
}

/// A scope whose finalizer notes its level, around a foreign combinator around the same one level down.
fn nested(log: &Log, level: usize) -> BoxFuture<'_, ()> {
    let (_, combine) = FOREIGN[level % FOREIGN.len()];
    scope(move |s| async move {
        s.defer(async move {
            yield_now().await;
            log.note(format!("level {level}"));
        });
        match level {
            1 => pending().await,
            _ => combine([nested(log, level - 1), pending().boxed()]).await,
        }
    })
    .boxed()
}

/// Scopes in scopes, boxed, with a finalizer at every level that checks that those inside have run.
fn tower(levels: usize, count: &std::cell::Cell<usize>) -> LocalBoxFuture<'_, ()> {
    let mut inside: LocalBoxFuture<'_, ()> = pending().boxed_local();
    for level in 0..levels {
        inside = local::scope(move |s| async move {
            s.defer(async move {
                assert_eq!(count.get(), level);
                count.set(level + 1);
            });
            inside.await
        })
        .boxed_local();
    }
    inside
}

matrix! {
    // S4
    async fn a_hundred_nested_scopes_end_innermost_first() {
        let count = std::cell::Cell::new(0);
        assert!(timeout(T, tower(100, &count)).await.is_err());
        assert_eq!(count.get(), 100);
    }
}

/// Runs `test` where a poll may go thousands of scopes deep.
fn on_a_big_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 30).spawn(test).unwrap().join().unwrap();
}

// C257
#[test]
fn five_thousand_nested_scopes_are_cancelled_without_an_overflow() {
    on_a_big_stack(|| {
        let log = Log::new();
        let over = log.on_drop("over");
        let mut inside: BoxFuture<'_, ()> = async move {
            let _over = over;
            pending().await
        }
        .boxed();
        for _ in 0..5_000 {
            inside = scope(|s| async move { s.spawn(inside).await }).boxed();
        }
        crate::harness::sim().run(async {
            assert!(timeout(secs(1), inside).await.is_err());
        });
        assert_eq!(log.entries(), ["over"]);
    });
}

// C257
#[test]
fn five_thousand_nested_scopes_are_dropped_without_an_overflow() {
    on_a_big_stack(|| {
        let count = std::cell::Cell::new(0);
        let mut deep = tower(5_000, &count);
        assert!(crate::probes::poll_by_hand(&mut deep).is_pending());
        drop(deep);
        assert_eq!(count.get(), 0);
    });
}

sim! {
    // S4
    async fn a_thousand_nested_scopes_end_innermost_first() {
        let count = std::cell::Cell::new(0);
        assert!(timeout(T, tower(1_000, &count)).await.is_err());
        assert_eq!(count.get(), 1_000);
    }
}
