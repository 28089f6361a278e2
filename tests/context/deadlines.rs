//! Deadlines that are moved, and who hears of it.

use std::future::pending;
use std::task::Poll;

use foster::runtimes::{Basic, Sim, Smol};
use foster::{Deadline, Scope, deadline, gather, now, remaining, scope, shield, sleep, timeout, yield_now};

use crate::harness::T;
use crate::probes::{poll_by_hand, secs};

sim! {
    // The context held the value of the poll's beginning.
    async fn a_moved_deadline_is_read_at_once_in_the_poll_that_moves_it() {
        let start = now();
        let movable = &Deadline::after(secs(100));
        movable.timeout(async {
            assert_eq!(deadline(), Some(start + secs(100)));
            movable.set(start + secs(50)).unwrap();
            assert_eq!(deadline(), Some(start + secs(50)));
            let nested = timeout(secs(60), async {
                assert_eq!(deadline(), Some(start + secs(50)));
                movable.set(start + secs(70)).unwrap();
                assert_eq!(remaining(), Some(secs(60)));
                movable.set(start + secs(40)).unwrap();
                assert_eq!(remaining(), Some(secs(40)));
            });
            nested.await.unwrap();
            movable.set(None).unwrap();
            assert_eq!(deadline(), None);
        }).await.unwrap();
    }

    async fn children_in_the_same_poll_read_the_moved_deadline() {
        let start = now();
        let movable = &Deadline::after(secs(100));
        movable.timeout(scope(async |s: Scope<'_>| {
            movable.set(start + secs(7)).unwrap();
            assert_eq!(s.spawn(async { deadline() }).await, Some(start + secs(7)));
            s.spawn(async { movable.set(start + secs(8)).unwrap() }).await;
            assert_eq!(deadline(), Some(start + secs(8)));
        })).await.unwrap();
    }

    // They kept what it was when they were spawned.
    async fn parallel_children_follow_a_deadline_that_is_moved_after_their_spawn() {
        let start = now();
        let movable = Deadline::after(secs(100));
        let mover = movable.clone();
        movable.timeout(scope(async move |s: Scope<'_>| {
            let reader = s.spawn_parallel(async move {
                assert_eq!(deadline(), Some(start + secs(100)));
                sleep(secs(2)).await;
                let moved = deadline();
                // And their own children, and a shield of theirs hides it.
                let deeper = scope(async |s: Scope<'_>| s.spawn_parallel(async { deadline() }).await).await;
                (moved, deeper, shield(async { deadline() }).await)
            });
            sleep(secs(1)).await;
            mover.set(start + secs(50)).unwrap();
            let at = Some(start + secs(50));
            assert_eq!(reader.await, (at, at, None));
        })).await.unwrap();
    }

    async fn the_earliest_of_several_moved_deadlines_counts() {
        let start = now();
        let (outer, inner) = (&Deadline::after(secs(100)), &Deadline::after(secs(200)));
        outer.timeout(inner.timeout(async {
            for (o, i, earliest) in [(10, 20, 10), (30, 20, 20), (30, 40, 30)] {
                outer.set(start + secs(o)).unwrap();
                inner.set(start + secs(i)).unwrap();
                assert_eq!(deadline(), Some(start + secs(earliest)));
            }
            outer.set(None).unwrap();
            assert_eq!(deadline(), Some(start + secs(40)));
        })).await.unwrap().unwrap();
    }

    async fn what_lies_beside_a_movable_deadline_is_under_none() {
        let movable = Deadline::after(secs(100));
        let inside = movable.timeout(async { yield_now().await; deadline().is_some() });
        let beside = async { let before = deadline(); yield_now().await; (before, deadline()) };
        assert_eq!(gather((inside, beside)).await, (Ok(true), (None, None)));
    }

    // It was `None` until the first poll was over.
    async fn a_deadline_says_when_it_is_during_the_first_poll() {
        let start = now();
        let movable = &Deadline::after(secs(3));
        assert_eq!(movable.when(), None);
        movable.timeout(async { assert_eq!(movable.when(), Some(start + secs(3))) }).await.unwrap();
    }

    async fn a_deadline_is_over_when_what_it_guarded_is_though_the_timeout_is_kept() {
        let movable = Deadline::after(secs(3));
        let mut kept = Box::pin(movable.timeout(async { 7 }));
        assert_eq!(poll_by_hand(kept.as_mut()), Poll::Ready(Ok(7)));
        assert!(!movable.set(now()).unwrap_err().is_expired());
        drop(kept);
    }

    async fn a_root_inside_of_a_timeout_has_no_deadline() {
        timeout(secs(3), async {
            assert_eq!(Basic::current_thread().run(async { deadline() }), None);
            assert_eq!(Smol::global().run(async { deadline() }), None);
            assert_eq!(Sim::new(3).run(async { deadline() }), None);
            assert!(deadline().is_some());
        }).await.unwrap();
    }
}

matrix! {
    async fn a_parallel_child_hears_of_a_moved_deadline_on_every_runtime() {
        let movable = Deadline::after(1000 * T);
        let mover = movable.clone();
        movable.timeout(scope(async move |s: Scope<'_>| {
            let (go, gate) = futures::channel::oneshot::channel::<()>();
            let reader = s.spawn_parallel(async move {
                gate.await.unwrap();
                deadline()
            });
            let at = now() + 2000 * T;
            mover.set(at).unwrap();
            go.send(()).unwrap();
            assert_eq!(reader.await, Some(at));
            mover.set(None).unwrap();
        })).await.unwrap();
        // A poll that nobody waits for leaves nothing behind in the context.
        assert!(poll_by_hand(Deadline::after(T).timeout(pending::<()>())).is_pending());
        assert_eq!(deadline(), None);
    }
}
