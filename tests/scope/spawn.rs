//! How children come into a scope: in which order they begin, what they may borrow, and when a
//! spawn comes too late.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use foster::{Reason, scope, yield_now};

use crate::harness::bare;
use crate::probes::{Log, OnDrop, Probe, turns};

matrix! {
    // C222
    async fn two_children_take_turns() {
        let log = Log::new();
        let child = |name: &'static str| {
            let log = log.clone();
            async move {
                for _ in 0..10 {
                    log.note(name);
                    yield_now().await;
                }
            }
        };
        let (one, two) = (child("one"), child("two"));
        scope(async |s| {
            s.spawn(one);
            s.spawn(two);
        })
        .await;
        let entries = log.entries();
        assert_eq!(entries.len(), 20);
        assert!(entries.chunks(2).all(|round| round[0] != round[1]), "{entries:?}");
    }

    // C242
    async fn spawning_is_allowed_while_children_run_and_refused_after_the_end() {
        let (task, handle) = scope(async |s| {
            let spawner = s.clone();
            let task = s.spawn(async move {
                turns().await;
                spawner.spawn(async { 1 })
            });
            (task, s)
        })
        .await;
        assert_eq!(task.await.await, 1);
        let refused = handle.spawn(async { 2 });
        assert_eq!(refused.outcome().await.unwrap_err().reason(), &Reason::Parent);
    }

    // C243
    async fn the_default_name_is_the_place_of_the_spawn() {
        scope(async |s| {
            let line = line!() + 1;
            let tasks = [s.spawn(async {}), s.spawn_parallel(async {}), s.spawn_blocking(|| ())];
            for task in tasks {
                assert_eq!(task.name().to_string(), format!("{}:{line}", file!()));
            }
        })
        .await;
    }

    // C222; `yield_now` gives the other children one turn, those spawned right before it included.
    async fn a_child_has_its_first_turn_before_the_body_that_yields_goes_on() {
        let probe = Probe::new();
        let (child, seen) = (probe.endless(), probe.clone());
        scope(async |s| {
            s.spawn(child);
            yield_now().await;
            assert_eq!(seen.polls(), 1);
            s.cancel("enough");
        })
        .await;
        probe.assert_all_gone();
    }

    // C348
    async fn children_borrow_what_outlives_the_scope() {
        let words = vec!["one".to_string(), "three".to_string()];
        let mut longest = String::new();
        let (borrowed, out) = (&words, &mut longest);
        scope(async |s| {
            s.spawn(async move { *out = borrowed.iter().max_by_key(|word| word.len()).unwrap().clone() });
        })
        .await;
        assert_eq!(longest, "three");
    }

    // C002
    async fn a_child_spawned_late_is_joined_with_the_others() {
        let (early, late) = scope(async |s| {
            let early = s.spawn(async { 1 });
            yield_now().await;
            let late = s.spawn(async { 2 });
            (early.await, late.await)
        })
        .await;
        assert_eq!((early, late), (1, 2));
    }

    // C025
    async fn a_child_may_spawn_into_its_scope_while_that_joins() {
        let log = Log::new();
        let noting = log.clone();
        scope(async |s| {
            let spawner = s.clone();
            s.spawn(async move {
                turns().await;
                for _ in 0..2 {
                    let log = noting.clone();
                    spawner.spawn(async move {
                        turns().await;
                        log.note("grandchild");
                    });
                }
            });
        })
        .await;
        assert_eq!(log.entries(), ["grandchild", "grandchild"]);
    }

    // C032
    async fn what_is_spawned_into_a_finished_scope_is_dropped_unpolled() {
        let probe = Probe::new();
        let finished = scope(async |s| { s }).await;
        let refused = [
            finished.spawn(probe.endless()),
            finished.spawn_parallel(probe.endless()),
            finished.spawn_blocking(|| ()),
        ];
        probe.assert_all_gone();
        assert_eq!(probe.polls(), 0);
        for task in refused {
            assert!(task.is_finished());
            assert_eq!(task.outcome().await.unwrap_err().reason(), &Reason::Parent);
        }
    }
}

#[test]
fn a_child_spawned_in_the_bodys_last_poll_runs() {
    bare(|| async {
        let mut ran = false;
        let r = &mut ran;
        scope(async |s| {
            s.spawn(async move { *r = true });
        })
        .await;
        assert!(ran);
    });
}

#[test]
fn what_the_bodys_drop_spawns_runs() {
    bare(|| async {
        let ran = Arc::new(AtomicBool::new(false));
        let r = ran.clone();
        scope(|s| {
            let s2 = s.clone();
            let r = r.clone();
            let d = OnDrop(move || {
                let r = r.clone();
                s2.spawn(async move { r.store(true, Ordering::SeqCst) });
            });
            poll_fn(move |_| {
                let _d = &d;
                Poll::Ready(())
            })
        })
        .await;
        assert!(ran.load(Ordering::SeqCst));
    });
}
