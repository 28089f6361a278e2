//! A timer race, tokio-rs/tokio#854: a queue that sleeps until its first item is due does not
//! notice one that is inserted meanwhile and due sooner, which then comes late.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foster::{now, sleep_until};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, select};

use crate::{Version, finds_both_ways};

const SECOND: Duration = Duration::from_secs(1);

type Due = Arc<Mutex<BTreeSet<Instant>>>;

/// Gives out so many items, each when it is due.
async fn work_off(due: Due, mut inserted: mpsc::UnboundedReceiver<()>, items: usize, version: Version) {
    for _ in 0..items {
        let item = loop {
            let first = due.lock().unwrap().first().copied();
            let Some(first) = first else {
                inserted.next().await;
                continue;
            };
            let mut first_is_due = Box::pin(sleep_until(first).fuse());
            match version {
                Version::Reported => first_is_due.await,
                Version::Mended => select! {
                    () = first_is_due => {}
                    _ = inserted.next() => continue,
                },
            }
            break due.lock().unwrap().pop_first();
        };
        assert!(item.is_none_or(|at| now() == at), "an item comes late");
    }
}

async fn program(version: Version) {
    foster::scope(async |s| {
        let (due, start) = (Due::default(), now());
        let (insert, inserted) = mpsc::unbounded();
        s.spawn_parallel(work_off(due.clone(), inserted, 2, version));
        for after in [10 * SECOND, SECOND] {
            let (due, insert) = (due.clone(), insert.clone());
            s.spawn_parallel(async move {
                due.lock().unwrap().insert(start + after);
                insert.unbounded_send(()).unwrap_or_default();
            });
        }
    })
    .await;
}

#[test]
fn an_item_that_is_due_sooner_than_the_first_is_late() {
    let found = finds_both_ways(100, program);
    assert!(found.message().contains("late"), "{found}");
}
