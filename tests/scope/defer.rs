//! Finalizers: whenever they come, they run, last in first out.

use std::future::pending;
use std::time::Duration;

use foster::{scope, timeout};
use futures::future::poll_immediate;

use crate::harness::bare;
use crate::probes::{Log, descend};

matrix! {
    // S4. What a scope has been given in the last round of a poll counts: the timeout dropped it,
    // finalizer and all.
    async fn a_finalizer_that_comes_in_any_round_of_a_poll_runs() {
        for depth in 0..8 {
            let log = &Log::new();
            let deferring = scope(async |s| {
                s.spawn(descend(s.clone(), depth, |s| {
                    log.note("deferred");
                    s.defer(async { log.note("finalized") });
                }));
                pending::<()>().await
            });
            assert!(timeout(Duration::ZERO, deferring).await.is_err());
            // What has not begun by then defers nothing.
            assert_ne!(log.entries(), ["deferred"], "after {depth} children");
        }
    }

    // S4, C356
    async fn finalizers_that_do_not_run_are_dropped_last_in_first_out() {
        let log = &Log::new();
        let dropped = scope(async |s| {
            for name in ["first", "second", "third"] {
                let over = log.on_drop(name);
                s.defer(async move { drop(over) });
            }
            pending::<()>().await
        });
        assert!(poll_immediate(dropped).await.is_none());
        assert_eq!(log.entries(), ["third", "second", "first"]);
    }
}

#[test]
fn a_finalizer_deferred_in_the_bodys_last_poll_runs() {
    bare(|| async {
        let mut ran = false;
        let r = &mut ran;
        scope(async |s| {
            s.defer(async move { *r = true });
        })
        .await;
        assert!(ran);
    });
}

#[test]
fn a_deferred_finalizer_of_a_scope_that_is_over_does_not_spoil_the_count() {
    bare(|| async {
        let mut left = None;
        let l = &mut left;
        scope(async |s| {
            *l = Some(s.clone());
        })
        .await;
        let s = left.unwrap();
        s.defer(async {});
        assert_eq!(s.len(), 0);
        let _ = futures::task::Spawn::spawn_obj(&s.spawner(), Box::pin(async {}).into());
        assert_eq!(s.len(), 0);
    });
}
