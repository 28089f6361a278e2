//! Check-then-act over an await, cloudflare/pingora#970 (issue #110 there): a task that missed the
//! cache gets the lock when the task before it has filled the cache and gone, and looks up once
//! more what is there.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use foster::yield_now;
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::Shared;

use crate::{Version, finds_both_ways};

#[derive(Default)]
struct Cache {
    value: Mutex<Option<u32>>,
    /// Who looks the value up, for others to wait for.
    lookup: futures::lock::Mutex<Option<Shared<oneshot::Receiver<u32>>>>,
    lookups: AtomicU32,
}

impl Cache {
    fn cached(&self) -> Option<u32> {
        *self.value.lock().unwrap()
    }

    async fn get(&self, version: Version) -> u32 {
        if let Some(value) = self.cached() {
            return value;
        }
        // Theirs runs on threads, where another one can come in between here.
        yield_now().await;
        let mut lookup = self.lookup.lock().await;
        if let Some(result) = lookup.clone() {
            drop(lookup);
            return result.await.unwrap();
        }
        if let (Version::Mended, Some(value)) = (version, self.cached()) {
            return value;
        }
        let (done, wait) = oneshot::channel();
        *lookup = Some(wait.shared());
        drop(lookup);

        let value = self.look_up().await;
        *self.value.lock().unwrap() = Some(value);
        *self.lookup.lock().await = None;
        done.send(value).unwrap_or_default();
        value
    }

    async fn look_up(&self) -> u32 {
        yield_now().await;
        self.lookups.fetch_add(1, Ordering::Relaxed);
        7
    }
}

async fn program(version: Version) {
    let cache = Arc::new(Cache::default());
    foster::scope(|s| {
        let cache = cache.clone();
        async move {
            for _ in 0..3 {
                let cache = cache.clone();
                s.spawn_parallel(async move { assert_eq!(cache.get(version).await, 7) });
            }
        }
    })
    .await;
    assert_eq!(cache.lookups.load(Ordering::Relaxed), 1, "looked up more than once");
}

#[test]
fn a_miss_that_is_no_longer_one_is_looked_up_again() {
    let found = finds_both_ways(1_000, program);
    assert!(found.message().contains("more than once"), "{found}");
}
