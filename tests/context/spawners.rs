//! Spawners, whose runtime nobody may hold a handle to but they.

use std::thread::{self, ThreadId};

use foster::runtimes::{AsyncStd, Smol, Tokio};
use foster::{Handle, scope};
use futures::executor::block_on;
use futures::task::SpawnExt;
use tokio::runtime::{Builder, Runtime};

use crate::harness::watched;

/// Where a child runs that is spawned when no other handle to its runtime is left.
async fn thread_of_a_child(runtime: Handle) -> ThreadId {
    scope(async |s| {
        let spawner = s.on(&runtime).spawner();
        drop(runtime);
        spawner.spawn_with_handle(async { thread::current().id() }).unwrap().await
    })
    .await
}

fn tokio() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).build().unwrap()
}

// A spawner held a weak handle, which was dead as soon as it was made: the strong one had been made
// for the call alone. All it spawned was refused.
#[test]
fn a_spawner_spawns_on_a_runtime_that_was_found() {
    watched(|| {
        let there = tokio().block_on(scope(async |s| {
            let spawner = s.spawner();
            spawner.spawn_with_handle(async { thread::current().id() }).unwrap().await
        }));
        assert_ne!(there, thread::current().id());
    });
}

#[test]
fn a_spawner_spawns_on_a_runtime_that_somebody_else_keeps() {
    watched(|| {
        let here = thread::current().id();
        assert_ne!(tokio().block_on(async { thread_of_a_child(Tokio::current().into()).await }), here);
        assert_ne!(block_on(thread_of_a_child(Smol::global().into())), here);
        assert_ne!(block_on(thread_of_a_child(AsyncStd::global().into())), here);
    });
}
