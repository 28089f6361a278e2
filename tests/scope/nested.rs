//! Scopes in scopes, as deep as they go: no overflow, and innermost first.

use std::future::{Future, pending};
use std::pin::pin;

use foster::testing::{CountingWaker, Polls};
use foster::{Scope, Token, local, scope, timeout, yield_now};
use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture};

use crate::harness::T;
use crate::probes::{Gate, Log, secs};

/// Scopes, each the body of the one before.
fn bodies_deep(levels: usize, innermost: Gate) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(scope(async move |_| match levels {
        0 => {
            innermost.open();
            pending().await
        }
        _ => bodies_deep(levels - 1, innermost).await,
    }))
}

/// A scope in a scope in a scope, and so on; each with a finalizer. Their polls are counted.
fn scopes_deep(depth: usize, polls: &Polls) -> LocalBoxFuture<'static, ()> {
    let inside = polls.clone();
    let scope = local::scope(async move |s| {
        s.defer(async {});
        if depth > 0 {
            s.spawn(scopes_deep(depth - 1, &inside));
        }
        pending().await
    });
    polls.of(scope).boxed_local()
}

/// Scopes in scopes, boxed, with a finalizer at every level that checks that those inside have run.
fn tower(levels: usize, count: &std::cell::Cell<usize>) -> LocalBoxFuture<'_, ()> {
    let mut inside: LocalBoxFuture<'_, ()> = pending().boxed_local();
    for level in 0..levels {
        inside = local::scope(async move |s| {
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

/// Runs `test` where a poll may go thousands of scopes deep.
fn on_a_big_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 30).spawn(test).unwrap().join().unwrap();
}

matrix! {
    // S5. The token of the inner scope tells in its next poll that the outer one is cancelled.
    async fn a_child_that_has_not_begun_does_not_begin_when_an_outer_scope_is_cancelled() {
        for turns in 0..3 {
            let log = &Log::new();
            let outcome = scope(async |outer: Scope<'_>| {
                scope(async |inner: Scope<'_>| {
                    for _ in 0..turns {
                        yield_now().await;
                    }
                    inner.spawn(async { log.note("child") });
                    inner.defer(async { log.note("finalizer") });
                    outer.cancel("enough");
                    inner.spawn(async { log.note("late child") });
                    pending::<()>().await
                })
                .await
            });
            assert_eq!(outcome.outcome().await.unwrap_err().reason(), &"enough".into());
            assert_eq!(log.entries(), ["finalizer"]);
        }
    }

    // C257
    async fn thousands_of_nested_scopes_are_cancelled_without_a_stack_overflow() {
        let innermost = Gate::new();
        let token = Token::new();
        let (canceller, entered) = (token.clone(), innermost.clone());
        scope(async |s| {
            s.spawn(async move {
                entered.wait().await;
                canceller.cancel("enough");
            });
            assert!(token.run_until_cancelled(bodies_deep(2_000, innermost)).await.is_err());
        })
        .await;
    }

    // C220
    async fn scopes_within_children_within_scopes_do_not_overflow() {
        fn tree(depth: u32) -> std::pin::Pin<Box<dyn Future<Output = u32> + Send>> {
            Box::pin(scope(async move |s| {
                match depth {
                    0 => 1,
                    _ => s.spawn(tree(depth - 1)).await + 1,
                }
            }))
        }
        assert_eq!(tree(500).await, 501);
    }

    // S4
    async fn a_hundred_nested_scopes_end_innermost_first() {
        let count = std::cell::Cell::new(0);
        assert!(timeout(T, tower(100, &count)).await.is_err());
        assert_eq!(count.get(), 100);
    }
}

sim! {
    // S4
    async fn a_thousand_nested_scopes_end_innermost_first() {
        let count = std::cell::Cell::new(0);
        assert!(timeout(T, tower(1_000, &count)).await.is_err());
        assert_eq!(count.get(), 1_000);
    }
}

// S11. It took a poll from the outside for each scope to start, and one for each to end. Later each
// 61 of them took one, and each such poll went through all the enclosing scopes. So 10,000 of them
// cost 100 times as much as 1,000.
#[test]
fn scopes_nested_thousands_deep_start_and_end_in_polls_in_proportion_to_them() {
    on_a_big_stack(|| {
        for levels in [100, 1_000, 8_000] {
            let (token, inside) = (Token::new(), Polls::new());
            let mut running = pin!(token.run_until_cancelled(scopes_deep(levels, &inside)));
            let waker = CountingWaker::new();
            let mut settle = |until: bool| {
                let (mut polls, polls_before) = (0, inside.count());
                loop {
                    let before = waker.count();
                    polls += 1;
                    let polled = waker.poll(running.as_mut());
                    assert!(inside.count() - polls_before < 12 * levels, "{polls} polls for {levels} scopes, and on");
                    if polled.is_ready() || waker.count() == before {
                        assert_eq!(polled.is_ready(), until);
                        return polls;
                    }
                }
            };
            let starting = settle(false);
            token.cancel("enough");
            let ending = settle(true);
            assert!(starting < 30, "{starting} polls to start {levels}");
            assert!(ending < 30, "{ending} polls to end {levels}");
        }
    });
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
            inside = scope(async |s| s.spawn(inside).await).boxed();
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
