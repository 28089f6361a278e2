//! Spawners: a scope as a `Spawn`, and the one that is found where the code runs.

use std::future::pending;
use std::thread::{self, ThreadId};

use foster::runtimes::{AsyncStd, Smol, Tokio};
use foster::scope::Spawner;
use foster::{Handle, Reason, scope};
use futures::executor::block_on;
use futures::task::{Spawn, SpawnExt};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{T, watched};
use crate::probes::{Probe, boom, caught, turns};

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

matrix! {
    async fn the_current_spawner_is_that_of_the_nearest_scope() {
        let probe = Probe::new();
        scope(async |outer| {
            scope(async |_| Spawner::current().spawn(probe.watch(turns())).unwrap()).await;
            assert_eq!(probe.ended(), 1, "the inner scope has waited for it");

            let inside = probe.clone();
            outer.spawn_parallel(async move { Spawner::current().spawn(inside.watch(turns())).unwrap() }).await;
            let inside = probe.clone();
            outer.spawn_blocking(move || Spawner::current().spawn(inside.watch(turns())).unwrap()).await;
        })
        .await;
        assert_eq!(probe.ended(), 3);
        probe.assert_all_gone();
    }

    // S1
    async fn a_spawner_gives_what_it_spawns_to_the_scope() {
        let probe = Probe::new();
        let inside = probe.clone();
        let spawner = scope(async |s| {
            let spawner = s.spawner();
            for _ in 0..5 {
                spawner.spawn(inside.watch(turns())).unwrap();
            }
            spawner
        })
        .await;
        assert_eq!(probe.ended(), 5);
        probe.assert_all_gone();
        assert!(spawner.status().is_err());
        assert!(spawner.spawn(probe.endless()).is_err());
        probe.assert_all_gone();
    }

    // S7
    async fn what_a_spawner_spawned_is_named_after_the_line_that_asked_for_it() {
        let mut reason = None;
        let seen = &mut reason;
        let failed = caught(scope(async |s| {
            let token = s.stop_token();
            s.defer(async move { *seen = token.reason() });
            s.spawner().spawn(async { boom("spawned") }).unwrap();
            pending::<()>().await
        }));
        assert_eq!(failed.await, Err("spawned"));
        assert!(matches!(&reason, Some(Reason::Failed(name)) if name.to_string().contains(file!())), "{reason:?}");
    }
}

roots! {
    fn the_current_spawner_of_a_root_is_the_roots(rt) {
        assert!(Spawner::try_current().is_none());
        let probe = Probe::new();
        let spawner = rt.run(async {
            let spawner = Spawner::current();
            spawner.spawn(probe.watch(turns())).unwrap();
            spawner
        });
        assert_eq!(probe.ended(), 1, "the root has waited for it");
        assert!(spawner.spawn(probe.endless()).is_err());
        // Past the grace it is told to end, and not waited for.
        rt.with_grace(T).run(async { Spawner::current().spawn(pending()).unwrap() });
    }
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
