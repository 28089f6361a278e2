//! Two locks in two orders, wasmCloud/wasmCloud#813: to scale an actor took the actors and then the
//! links; to put a link took the links and then the actors.

use std::sync::Arc;

use futures::lock::Mutex;

use crate::{Version, finds_both_ways};

#[derive(Default)]
struct Host {
    actors: Mutex<Vec<&'static str>>,
    links: Mutex<Vec<&'static str>>,
}

impl Host {
    async fn scale(&self) {
        let mut actors = self.actors.lock().await;
        foster::yield_now().await;
        let links = self.links.lock().await;
        actors.push(links.first().unwrap_or(&"an actor without a link"));
    }

    async fn put_link(&self, version: Version) {
        // Mended, it looks at the actors without keeping them from others.
        let actors = self.actors.lock().await.len();
        let mut links = self.links.lock().await;
        foster::yield_now().await;
        let actors = match version {
            Version::Reported => self.actors.lock().await.len(),
            Version::Mended => actors,
        };
        links.push(if actors == 0 { "a link ahead of its actor" } else { "a link" });
    }
}

async fn program(version: Version) {
    let host = Arc::new(Host::default());
    foster::scope(async |s| {
        let scaled = host.clone();
        s.spawn_parallel(async move { scaled.scale().await });
        s.spawn_parallel(async move { host.put_link(version).await });
    })
    .await;
}

#[test]
fn two_locks_in_two_orders_wait_for_each_other() {
    let found = finds_both_ways(100, program);
    assert!(found.message().contains("deadlock"), "{found}");
    assert!(found.message().contains("lock_order.rs"), "it names those who wait: {found}");
}
