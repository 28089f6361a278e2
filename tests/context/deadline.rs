//! Effective deadlines: what anything that runs can read.

use std::future::{pending, poll_fn};
use std::task::Poll;
use std::time::Duration;

use foster::runtimes::{Basic, Sim, Smol};
use foster::{
    Deadline, Scope, adopt, deadline, gather, now, remaining, scope, shield, sleep, timeout, timeout_at, try_gather,
    yield_now,
};
use futures::future::{join_all, poll_immediate};
use futures::task::SpawnExt;

use crate::harness::T;
use crate::probes::{Gate, Log, poll_by_hand, secs};

async fn scope_in_a_scope() -> Option<std::time::Instant> {
    scope(async |s| s.spawn(async { deadline() }).await).await
}

matrix! {
    // C330
    async fn a_deadline_ends_at_a_shield() {
        timeout(1_000 * T, async {
            assert!(deadline().is_some() && remaining().is_some());
            shield(async {
                assert_eq!(deadline(), None);
                timeout(2_000 * T, async { assert!(remaining().unwrap() > 1_000 * T) }).await.unwrap();
            })
            .await;
            scope(async |s| {
                s.spawn(async { assert!(deadline().is_some()) });
                s.spawn_parallel(async { assert!(deadline().is_some()) });
                s.defer(async { assert_eq!(deadline(), None) });
            })
            .await;
        })
        .await
        .unwrap();
    }

    // S10
    async fn a_parallel_child_is_ended_by_the_deadline_that_it_reads() {
        let log = Log::new();
        let noting = log.clone();
        let at = now() + 3 * T;
        let late = timeout_at(at, scope(async |s| {
            s.spawn_parallel(async move {
                let _over = noting.on_drop("over");
                assert_eq!(deadline(), Some(at));
                sleep(remaining().expect("a deadline") + 1000 * T).await;
                noting.note("not reached");
            });
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert!(!log.has("not reached"));
    }

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

sim! {
    // S10
    async fn the_effective_deadline_is_the_earliest_of_those_around() {
        let start = now();
        timeout(secs(10), async {
            assert_eq!(deadline(), Some(start + secs(10)));
            timeout(secs(5), async {
                assert_eq!(deadline(), Some(start + secs(5)));
                timeout(secs(100), async {
                    assert_eq!(deadline(), Some(start + secs(5)));
                    sleep(secs(1)).await;
                    assert_eq!(deadline(), Some(start + secs(5)));
                    assert_eq!(remaining(), Some(secs(4)));
                }).await.unwrap();
            }).await.unwrap();
            assert_eq!(deadline(), Some(start + secs(10)));
        }).await.unwrap();
        assert_eq!(deadline(), None);
        assert_eq!(remaining(), None);
    }

    // S10
    async fn a_deadline_reaches_children_of_every_kind_and_foreign_combinators() {
        let at = now() + secs(10);
        let seen = timeout(secs(10), scope(async |s| {
            let scope = s.clone();
            let tasks = [
                s.spawn(async { deadline() }),
                s.spawn(async { yield_now().await; deadline() }),
                s.spawn_parallel(async { yield_now().await; deadline() }),
                s.spawn_parallel(scope_in_a_scope()),
                s.spawn_blocking(deadline),
                s.spawn(async move { scope.spawn(async { deadline() }).await }),
            ];
            yield_now().await;
            let late = s.spawn(async { deadline() });
            let mut seen = gather(tasks).await.to_vec();
            seen.push(late.await);
            seen.extend(join_all([async { deadline() }]).await);
            seen.push(deadline());
            seen.extend(try_gather([async { Ok::<_, ()>(deadline()) }]).await.unwrap());
            seen
        }));
        assert_eq!(seen.await.unwrap(), vec![Some(at); 10]);
    }

    // S10. A timeout around the spawn ends no child, so its deadline is not the child's.
    async fn a_child_has_the_deadline_of_its_scope_wherever_it_is_spawned() {
        let at = now() + secs(10);
        let seen = timeout_at(at, scope(async |s| {
            let spawner = s.spawner();
            timeout(secs(5), async {
                let (tell, told) = futures::channel::oneshot::channel();
                spawner.spawn(async { tell.send(deadline()).unwrap() }).unwrap();
                let inner = scope(async |_| s.spawn_parallel(async { deadline() }));
                let tasks = [
                    s.spawn(async { deadline() }),
                    s.spawn_parallel(async { deadline() }),
                    s.spawn_blocking(deadline),
                    shield(async { s.spawn_parallel(async { deadline() }) }).await,
                    inner.await,
                ];
                assert!(deadline() < Some(at));
                let mut seen = gather(tasks).await.to_vec();
                seen.push(told.await.unwrap());
                seen
            })
            .await
            .unwrap()
        }));
        assert_eq!(seen.await.unwrap(), vec![Some(at); 6]);
        scope(async |s| {
            let read = timeout(secs(5), async { s.spawn_parallel(async { deadline() }) }).await.unwrap();
            assert_eq!(read.await, None);
        })
        .await;
    }

    // S10
    async fn a_parallel_child_has_the_deadline_at_the_place_that_its_scope_was_moved_to() {
        let gate = Gate::new();
        let mut moved = Box::pin(scope(async |s| {
            gate.wait().await;
            s.spawn_parallel(async { deadline() }).await
        }));
        let at = now() + secs(10);
        assert!(timeout(secs(5), poll_immediate(&mut moved)).await.unwrap().is_none());
        assert!(timeout_at(at, poll_immediate(&mut moved)).await.unwrap().is_none());
        gate.open();
        assert_eq!(moved.await, None);
    }

    // S10
    async fn shields_finalizers_and_adopted_futures_are_under_no_deadline_but_their_own() {
        let start = now();
        let log = Log::new();
        let noting = log.clone();
        let late = timeout(secs(1), scope(async |s| {
            s.defer(async {
                assert_eq!(deadline(), None);
                timeout(secs(7), async { assert_eq!(remaining(), Some(secs(7))) }).await.unwrap();
                sleep(secs(1)).await;
                assert_eq!(deadline(), None);
            });
            shield(async { assert_eq!(deadline(), None) }).await;
            adopt(async { assert_eq!(deadline(), None) }).await;
            s.spawn_parallel(shield(async { assert_eq!(deadline(), None) })).await;
            noting.note("checked");
            assert_eq!(deadline(), Some(start + secs(1)));
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["checked"]);
        assert_eq!(now(), start + secs(2));
    }

    // S10
    async fn a_moved_deadline_is_read_at_its_new_place() {
        let start = now();
        let movable = &Deadline::after(secs(100));
        let inside = movable.timeout(scope(async |s| {
            let child = s.spawn(async {
                sleep(secs(2)).await;
                deadline()
            });
            assert_eq!(deadline(), Some(start + secs(100)));
            movable.set(start + secs(50)).unwrap();
            sleep(secs(1)).await;
            assert_eq!(deadline(), Some(start + secs(50)));
            assert_eq!(child.await, Some(start + secs(50)));
            movable.set(None).unwrap();
            sleep(secs(1)).await;
            assert_eq!(deadline(), None);
        }));
        inside.await.unwrap();
    }

    // S10
    async fn a_deadline_read_in_the_first_poll_is_kept() {
        let start = now();
        let mut first = None;
        let late = timeout(secs(3), async {
            first = deadline();
            sleep(secs(1)).await;
            assert_eq!(deadline(), first);
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(first, Some(start + secs(3)));
        assert_eq!(now(), start + secs(3));
    }

    async fn deadlines_that_never_come_are_none() {
        timeout(Duration::MAX, async { assert_eq!(deadline(), None) }).await.unwrap();
        Deadline::never().timeout(async { assert_eq!(deadline(), None) }).await.unwrap();
        let at = now() + secs(100 * 365 * 24 * 3600);
        timeout_at(at, async { assert_eq!(deadline(), Some(at)) }).await.unwrap();
        timeout(secs(5), timeout(Duration::MAX, async { assert_eq!(remaining(), Some(secs(5))) })).await.unwrap().unwrap();
    }

    async fn a_deadline_that_passed_has_nothing_remaining() {
        let past = now();
        sleep(secs(5)).await;
        timeout_at(past, async {
            assert_eq!(deadline(), Some(past));
            assert_eq!(remaining(), Some(Duration::ZERO));
        }).await.unwrap();
        timeout(Duration::ZERO, async {
            assert_eq!(deadline(), Some(past + secs(5)));
            assert_eq!(remaining(), Some(Duration::ZERO));
        }).await.unwrap();
    }

    // S10: siblings do not see one another's
    async fn a_deadline_is_for_what_is_inside_alone() {
        let start = now();
        scope(async |s| {
            let one = s.spawn(timeout(secs(1), async { yield_now().await; deadline() }));
            let two = s.spawn(timeout(secs(2), async { yield_now().await; deadline() }));
            let none = s.spawn(async { yield_now().await; deadline() });
            assert_eq!(one.await.unwrap(), Some(start + secs(1)));
            assert_eq!(two.await.unwrap(), Some(start + secs(2)));
            assert_eq!(none.await, None);
        }).await;
    }

    // C332
    async fn a_shield_around_a_task_is_no_shield_for_children_it_spawned_elsewhere() {
        let log = &Log::new();
        let late = timeout(secs(1), scope(async |s| {
            let scope = s.clone();
            s.spawn(shield(async move {
                scope.spawn(async move {
                    let _over = log.on_drop("child over");
                    pending::<()>().await
                });
                sleep(secs(5)).await;
                log.note("shield over");
            }));
            pending::<()>().await
        }));
        assert!(late.await.is_err());
        assert_eq!(log.entries(), ["child over", "shield over"]);
    }

    // C330
    async fn the_effective_deadline_inside_a_shield_is_the_shields_own() {
        let start = now();
        timeout(secs(1), shield(async {
            assert_eq!(deadline(), None);
            let inner = timeout(secs(5), async { assert_eq!(deadline(), Some(start + secs(5))) });
            inner.await.unwrap();
        })).await.unwrap();
    }

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

    async fn a_movable_deadline_that_moves_to_another_place_is_contained_in_those_that_are_there() {
        let (start, mut seen) = (now(), Vec::new());
        let inner = Deadline::at(start + secs(9));
        let mut guarded = Box::pin(inner.timeout(poll_fn(|_| {
            seen.push(deadline());
            Poll::<()>::Pending
        })));
        for outer in [Some(secs(5)), None, Some(secs(7)), Some(secs(12))] {
            let outer = outer.map_or_else(Deadline::never, |due| Deadline::at(start + due));
            assert!(outer.timeout(poll_immediate(guarded.as_mut())).await.unwrap().is_none());
        }
        assert!(poll_immediate(guarded.as_mut()).await.is_none());
        drop(guarded);
        assert_eq!(seen, [5, 9, 7, 9, 9].map(|due| Some(start + secs(due))));
    }

    async fn what_lies_beside_a_movable_deadline_is_under_none() {
        let movable = Deadline::after(secs(100));
        let inside = movable.timeout(async { yield_now().await; deadline().is_some() });
        let beside = async { let before = deadline(); yield_now().await; (before, deadline()) };
        assert_eq!(gather((inside, beside)).await, (Ok(true), (None, None)));
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

// S10: a future that is ready at once costs no look at the clock, so the work of its first poll is
// not counted.
#[test]
fn the_count_begins_when_the_first_poll_is_pending() {
    let sim = &Sim::default();
    sim.run(async {
        let start = now();
        let late = timeout(secs(1), async {
            sim.advance(secs(3));
            pending::<()>().await
        });
        assert!(late.await.is_err());
        assert_eq!(now() - start, secs(4));
    });
}

// S10. The scope is not polled between its first poll and the spawn.
#[test]
fn a_child_that_is_spawned_from_elsewhere_has_the_deadline_that_counts_from_the_first_poll() {
    crate::harness::watched(|| {
        Sim::default().run(async {
            let at = now() + secs(10);
            let seen = timeout(
                secs(10),
                scope(async |s| {
                    let spawner = s.spawner();
                    let (tell, told) = futures::channel::oneshot::channel();
                    s.spawn_parallel(async move {
                        sleep(secs(1)).await;
                        spawner.spawn(async move { tell.send(deadline()).unwrap() }).unwrap();
                    });
                    told.await.unwrap()
                }),
            );
            assert_eq!(seen.await.unwrap(), Some(at));
        });
    });
}
