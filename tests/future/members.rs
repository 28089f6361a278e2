//! Members of every combinator that spin, panic, or are very many.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;

use foster::future::{hedge, quorum};
use foster::stream::{merge, zip};
use foster::testing::{CountingWaker, DropGuard, Drops, Polls};
use foster::{
    ConcurrentIterator, ConcurrentStream, StreamExt as _, Token, as_completed, gather, race, race_ok, scope, timeout,
    try_gather, try_scope, yield_now,
};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};

use crate::harness::{T, watched};

type Member = BoxFuture<'static, Result<(), ()>>;
type Combined = BoxFuture<'static, ()>;
type Combine = fn(Vec<Member>) -> Combined;

fn in_scope(members: Vec<Member>) -> Combined {
    let run = scope(async |s| {
        stream::iter(members).map_concurrent(usize::MAX, |member| member).in_scope(&s, 1).count().await;
    });
    Box::pin(run)
}

/// Everything that polls members side by side.
fn combinators() -> Vec<(&'static str, Combine)> {
    vec![
        ("gather", |members| gather(members).map(drop).boxed()),
        ("try_gather", |members| try_gather(members).map(drop).boxed()),
        ("settle", |members| gather(members).map(drop).boxed()),
        ("race", |members| race(members).map(drop).boxed()),
        ("race_ok", |members| race_ok(members).map(drop).boxed()),
        ("quorum", |members| quorum(2, members).map(drop).boxed()),
        ("as_completed", |members| as_completed(members).count().map(drop).boxed()),
        ("wait_all", |members| async { drop(as_completed(members).wait_all().await) }.boxed()),
        ("hedge", |members| {
            let mut members = Some(members);
            hedge(T, 1, move |_| gather(members.take().unwrap_or_default())).map(drop).boxed()
        }),
        ("timeout", |members| timeout(1_000_000 * T, gather(members)).map(drop).boxed()),
        ("scope", |members| {
            let run = scope(async |s| members.into_iter().for_each(|member| drop(s.spawn(member))));
            run.boxed()
        }),
        ("try_scope", |members| {
            let run = try_scope(async |s| {
                members.into_iter().for_each(|member| drop(s.spawn(member)));
                Ok(())
            });
            run.map(drop).boxed()
        }),
        ("map", |members| members.into_iter().map_concurrent(1_000_000, |member| member).count().map(drop).boxed()),
        ("map in order", |members| {
            members.into_iter().map_concurrent(1_000_000, |member| member).in_order().count().map(drop).boxed()
        }),
        ("filter_map", |members| {
            members
                .into_iter()
                .filter_map_concurrent(1_000_000, |member| member.map(Result::err))
                .count()
                .map(drop)
                .boxed()
        }),
        ("try_map", |members| {
            members.into_iter().try_map_concurrent(1_000_000, |member| member).count().map(drop).boxed()
        }),
        ("for_each", |members| members.into_iter().each_concurrent(1_000_000, |member| member.map(drop)).boxed()),
        ("merge", |members| merge(members.into_iter().map(stream::once)).count().map(drop).boxed()),
        ("zip", |members| zip(members.into_iter().map(stream::once)).count().map(drop).boxed()),
        ("in_scope", in_scope),
    ]
}

matrix! {
    // S11
    async fn members_that_spin_starve_neither_their_siblings_nor_what_ends_them() {
        for (name, combine) in combinators() {
            let turns = Arc::new(AtomicUsize::new(0));
            let spin = |_| poll_fn(|cx| { cx.waker().wake_by_ref(); Poll::Pending }).boxed();
            let mut members: Vec<Member> = (0..100).map(spin).collect();
            let counted = turns.clone();
            members.push(async move { loop { counted.fetch_add(1, Ordering::SeqCst); yield_now().await } }.boxed());
            let token = Token::new();
            let cancel = async { for _ in 0..50 { yield_now().await } token.cancel("enough") };
            let (ended, ()) = futures::join!(token.run_until_cancelled(combine(members)), cancel);
            assert!(ended.is_err(), "{name}");
            assert!(turns.load(Ordering::SeqCst) >= 10, "{name}: {turns:?}");
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Panics {
    Never,
    InPoll,
    InDrop,
}

/// Never ready, unless it yields once.
struct Fragile {
    panics: Panics,
    yields: bool,
    _alive: DropGuard,
}

impl Future for Fragile {
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        assert!(self.panics != Panics::InPoll, "on purpose");
        if self.yields {
            self.yields = false;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.panics == Panics::Never { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(self.panics != Panics::InDrop || thread::panicking(), "on purpose");
    }
}

// S3
#[test]
fn of_members_that_panic_in_a_poll_or_a_drop_one_is_heard_and_all_are_dropped() {
    watched(|| {
        for ((name, combine), n) in combinators().into_iter().flat_map(|it| [(it, 3), (it, 70)]) {
            for panics in [Panics::InPoll, Panics::InDrop] {
                let drops = Drops::new();
                let member = |i| -> Member {
                    let panics = if i == 1 || i == n - 1 { panics } else { Panics::Never };
                    let fragile = Fragile { panics, yields: i == 0, _alive: drops.guard() };
                    if i > 1 && i < n - 1 {
                        async {
                            let _alive = fragile;
                            pending().await
                        }
                        .boxed()
                    } else {
                        fragile.boxed()
                    }
                };
                let waker = CountingWaker::new();
                let mut combined = combine((0..n).map(member).collect());
                let panic = catch_unwind(AssertUnwindSafe(move || {
                    (0..5).take_while(|_| waker.poll(combined.as_mut()).is_pending()).count()
                }));
                let payload = panic.expect_err(name);
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"), "{name}");
                assert_eq!(drops.count(), n, "{name}");
            }
        }
    });
}

// S11, S12
#[test]
fn of_a_hundred_thousand_members_only_the_one_that_is_woken_is_polled() {
    watched(|| {
        for (name, combine) in combinators() {
            if matches!(name, "race" | "race_ok" | "quorum") {
                // They would be over.
                continue;
            }
            let (polls, waker) = (Polls::new(), CountingWaker::new());
            let (send, receive) = futures::channel::oneshot::channel::<()>();
            let mut receive = Some(receive);
            let member = |i| -> Member {
                let receive = if i == 50_000 { receive.take() } else { None };
                polls
                    .of(async {
                        match receive {
                            Some(receive) => receive.await.map_err(drop),
                            None => pending().await,
                        }
                    })
                    .boxed()
            };
            let n = 100_000;
            let mut combined = combine((0..n).map(member).collect());
            let settle = |combined: &mut Combined| loop {
                let before = waker.count();
                assert!(waker.poll(combined.as_mut()).is_pending());
                if waker.count() == before {
                    break;
                }
            };
            settle(&mut combined);
            let before = polls.count();
            send.send(()).unwrap();
            settle(&mut combined);
            assert_eq!(polls.count() - before, 1, "{name}");
        }
    });
}
