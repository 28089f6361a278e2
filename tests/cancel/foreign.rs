//! Cancellation through combinators that know nothing of foster.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use foster::{
    ConcurrentIterator, Deadline, Reason, Token, local, now, scope, shield, sleep, timeout, try_gather, try_scope,
    yield_now,
};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all, select_all};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::harness::{T, ok};
use crate::probes::{Gate, Log, lingering, secs};

pub(crate) type Combine = for<'a> fn([BoxFuture<'a, ()>; 2]) -> BoxFuture<'a, ()>;

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

/// Two busy scopes in each of the foreign combinators, to be cancelled by `cancel` once the gate is
/// open, which returns when that is done.
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
            let outcome = scope(async |s| {
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
            let outcome = scope(async |s| {
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
            let failed = try_scope(async |s| {
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
            scope(async |s| {
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
            scope(async |s| {
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
            let outcome = scope(async |s| {
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

    // S4, S7
    async fn a_parallel_child_winds_down_its_own_scopes_before_the_timeout_returns() {
        let (log, begun, deadline) = (Log::new(), Gate::new(), Deadline::never());
        let (noting, started, due) = (log.clone(), begun.clone(), deadline.clone());
        let late = deadline.timeout(scope(async |s| {
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
        let late = timeout(T, local::scope(async |s| {
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
}

sim! {
    // S8: the grace reaches through foreign combinators
    async fn a_grace_bounds_cleanup_inside_foreign_combinators() {
        for (name, combine) in FOREIGN {
            let start = now();
            let slow = || scope(async |s| {
                s.defer(sleep(secs(1000)));
                pending::<()>().await
            });
            let late = timeout(secs(1), combine([slow().boxed(), slow().boxed()])).grace(secs(5));
            assert_eq!(late.await.unwrap_err().overrun().len(), 2, "{name}");
            assert_eq!(now() - start, secs(6), "{name}");
        }
    }
}

/// A scope whose finalizer notes its level, around a foreign combinator around the same one level
/// down.
fn nested(log: &Log, level: usize) -> BoxFuture<'_, ()> {
    let (_, combine) = FOREIGN[level % FOREIGN.len()];
    scope(async move |s| {
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
