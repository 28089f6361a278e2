//! Under a simulation, the seed settles in which order any combinator polls its members.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use foster::future::quorum;
use foster::runtimes::Sim;
use foster::stream::{merge, zip};
use foster::{ConcurrentIterator, as_completed, gather, race, race_ok, select, try_gather};
use futures::stream::{self, StreamExt};

type Member<'a> = Pin<Box<dyn Future<Output = Result<(), ()>> + 'a>>;
type Combine = for<'a> fn([Member<'a>; 4]) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Everything that polls members side by side.
fn combinators() -> Vec<(&'static str, Combine)> {
    vec![
        ("gather", |all| Box::pin(async { _ = gather(all).await })),
        ("gather of many", |all| Box::pin(async { _ = gather(Vec::from(all)).await })),
        ("try_gather", |all| Box::pin(async { _ = try_gather(all).await })),
        ("gather of a tuple", |[a, b, c, d]| Box::pin(async { _ = gather((a, b, c, d)).await })),
        ("race", |all| Box::pin(async { _ = race(all).await })),
        ("race of many", |all| Box::pin(async { _ = race(Vec::from(all)).await })),
        ("race_ok", |all| Box::pin(async { _ = race_ok(all).await })),
        ("quorum", |all| Box::pin(async { _ = quorum(4, all).await })),
        ("select", |[a, b, c, d]| {
            Box::pin(async {
                select! { _ = a => {} _ = b => {} _ = c => {} _ = d => {} }
            })
        }),
        ("as_completed", |all| Box::pin(async { _ = as_completed(all).count().await })),
        ("map", |all| Box::pin(async { _ = all.into_iter().map_concurrent(4, |it| it).count().await })),
        ("try_map", |all| Box::pin(async { _ = all.into_iter().try_map_concurrent(4, |it| it).count().await })),
        ("merge", |all| Box::pin(async { _ = merge(all.map(stream::once)).count().await })),
        ("zip", |all| Box::pin(async { _ = zip(all.map(stream::once)).count().await })),
    ]
}

async fn order_of(combine: Combine) -> Vec<usize> {
    let order = RefCell::new(Vec::new());
    let member = |i| -> Member<'_> {
        let (order, mut polled) = (&order, false);
        Box::pin(poll_fn(move |cx| {
            if std::mem::replace(&mut polled, true) {
                return Poll::Ready(Ok(()));
            }
            order.borrow_mut().push(i);
            cx.waker().wake_by_ref();
            Poll::Pending
        }))
    };
    combine([0, 1, 2, 3].map(member)).await;
    order.into_inner()
}

// Scopes alone were shuffled, so that a bug in what raced by other means was never found.
#[test]
fn every_combinator_polls_its_members_in_every_order() {
    crate::harness::watched(|| {
        for (name, combine) in combinators() {
            let orders: BTreeSet<_> = (0..300).map(|seed| Sim::new(seed).run(order_of(combine))).collect();
            assert_eq!(orders.len(), 24, "{name}");
            assert_eq!(Sim::new(7).run(order_of(combine)), Sim::new(7).run(order_of(combine)), "{name}: by the seed");
        }
    });
}

#[test]
fn without_a_simulation_the_order_is_that_of_the_members() {
    for (name, combine) in combinators() {
        if name != "select" {
            assert_eq!(futures::executor::block_on(order_of(combine)), [0, 1, 2, 3], "{name}");
        }
    }
}
