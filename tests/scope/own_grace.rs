//! What lies in a scope whose own grace is over: how its finalizers have their turn.

use std::cell::Cell;
use std::future::pending;
use std::time::Duration;

use foster::scope::Notice;
use foster::{bracket, gather, now, scope, sleep, timeout, yield_now};
use futures::future::poll_immediate;
use futures::stream::{FuturesUnordered, StreamExt};

use super::grace::{held, scope_of_finalizers};
use crate::harness::T;
use crate::probes::{Gate, Log, secs, turns};

/// Where a scope with finalizers lies that is cancelled and has a grace.
#[derive(Clone, Copy, Debug)]
enum Place {
    Body,
    Child,
    Deep,
    Joined,
    Unordered,
    Guarded,
}

const PLACES: [Place; 6] = [Place::Body, Place::Child, Place::Deep, Place::Joined, Place::Unordered, Place::Guarded];

/// Waits in that place of a scope, which cancels itself and has a grace, with so many finalizers.
/// Returns the names of what overran the grace.
async fn overrun_at(place: Place, grace: Duration, (count, polled): (usize, &Cell<usize>), stop: bool) -> Vec<String> {
    let (names, inner) = (Log::new(), || scope_of_finalizers(count, polled));
    let noting = names.clone();
    let ended = foster::local::scope(async |s| {
        let end = s.clone();
        let cancelling = async move {
            yield_now().await;
            if stop {
                end.stop("enough", T)
            } else {
                end.cancel("enough")
            }
            pending::<()>().await
        };
        match place {
            Place::Body => drop(futures::join!(inner(), cancelling)),
            Place::Child => {
                s.named("child").spawn(inner());
                cancelling.await;
            }
            Place::Deep => {
                s.named("child").spawn(foster::local::scope(async |_| {
                    foster::local::scope(async |s| s.spawn(inner()).await).grace(Duration::MAX).await
                }));
                cancelling.await;
            }
            Place::Joined => {
                s.named("child").spawn(async { _ = futures::join!(inner(), pending::<()>()) });
                cancelling.await;
            }
            Place::Unordered => {
                s.named("child").spawn(async {
                    let mut scopes: FuturesUnordered<_> =
                        (0..count / 10).map(|_| scope_of_finalizers(10, polled)).collect();
                    scopes.next().await;
                });
                cancelling.await;
            }
            Place::Guarded => {
                s.named("child").spawn(async { drop(timeout(secs(10_000), gather([inner()])).await) });
                cancelling.await;
            }
        }
    })
    .named("scope")
    .grace(grace)
    .observe(move |notice| {
        if let Notice::Overrun { task } = notice {
            noting.note(task.to_string());
        }
    });
    ended.await;
    names.entries()
}

matrix! {
    // S8: they were dropped with what they were in
    async fn the_finalizers_of_what_is_in_a_scope_have_their_turn_past_its_own_grace() {
        for (place, grace) in PLACES.into_iter().flat_map(|place| [(place, Duration::ZERO), (place, T)]) {
            for stop in [false, true] {
                let polled = &Cell::new(0);
                let names = overrun_at(place, grace, (50, polled), stop).await;
                assert_eq!(polled.get(), 50, "{place:?}, {grace:?}, {stop}");
                let name = if let Place::Body = place { "scope" } else { "child" };
                assert_eq!(names, [name], "{place:?}, {grace:?}, {stop}");
            }
        }
    }

    // S8
    async fn the_finalizers_of_what_is_in_a_root_have_their_turn_past_its_grace() {
        for grace in [Duration::ZERO, T] {
            let polled = &Cell::new(0);
            let root = foster::Handle::current().with_grace(grace).enter(scope_of_finalizers(50, polled));
            assert!(timeout(T, root).await.is_err());
            assert_eq!(polled.get(), 50, "{grace:?}");
        }
    }

    // S4, S8
    async fn a_release_that_overruns_the_grace_of_a_scope_passes_to_the_enclosing_one() {
        let log = Log::new();
        for in_a_child in [true, false] {
            let (polled, log, go) = (&Cell::new(0), log.clone(), Gate::new());
            foster::local::scope(async |_| {
                let (noting, gone) = (log.clone(), go.clone());
                let inside = foster::local::scope(async |_| {
                    let release = move |()| async move {
                        gone.wait().await;
                        noting.note("released");
                        Ok(())
                    };
                    let used = async |_: &mut ()| pending::<Result<(), ()>>().await;
                    let session = bracket(async { Ok(()) }, used, release);
                    drop(futures::join!(session, scope_of_finalizers(50, polled)));
                });
                let ended = foster::local::scope(async |s| {
                    let end = s.clone();
                    s.spawn(async move { turns().await; end.cancel("enough") });
                    if in_a_child { s.spawn(inside).await } else { inside.await }
                });
                ended.grace(T).await;
                assert_eq!(polled.get(), 50);
                log.note("the grace is over");
                go.open();
            }).await;
            log.note("the enclosing scope is over");
        }
        let entries = ["the grace is over", "released", "the enclosing scope is over"].repeat(2);
        assert_eq!(log.entries(), entries);
    }
}

sim! {
    // S8
    async fn the_grace_of_a_scope_contains_those_of_the_scopes_in_it() {
        for place in PLACES {
            let (polled, start) = (&Cell::new(0), now());
            overrun_at(place, secs(3), (1_000, polled), false).await;
            assert_eq!((now() - start, polled.get()), (secs(3), 1_000), "{place:?}");
        }
        let start = now();
        let outer = scope(async |s| {
            s.defer(sleep(secs(100)));
            s.spawn(scope(async |inner| {
                inner.defer(sleep(secs(1)));
                inner.defer(sleep(secs(1)));
                pending::<()>().await
            }).grace(secs(1_000)));
            yield_now().await;
            s.cancel("enough");
        });
        outer.grace(secs(3)).await;
        assert_eq!(now() - start, secs(2 + 3));
    }

    // S8: it had been put among the members in the last round of the poll before, and was dropped
    async fn a_finalizer_whose_turn_comes_at_the_end_of_the_grace_is_polled() {
        for (ready, own) in (0..6).flat_map(|ready| [(ready, false), (ready, true)]) {
            let (log, start) = (&Log::new(), now());
            let inside = foster::local::scope(async |s| {
                s.defer(async { log.note("polled") });
                (0..ready).for_each(|_| s.defer(async {}));
                s.defer(sleep(secs(1)));
                pending::<()>().await
            });
            if own {
                foster::local::scope(async |s| {
                    s.spawn(inside);
                    yield_now().await;
                    s.cancel("enough");
                }).grace(secs(1)).await;
            } else {
                assert!(timeout(Duration::ZERO, inside).grace(secs(1)).await.is_err());
            }
            assert_eq!((now() - start, log.entries()), (secs(1), vec!["polled".to_owned()]), "{ready}, {own}");
        }
    }

    // S8: such a scope would wait for ever
    async fn the_grace_of_a_scope_ends_the_wait_for_what_nobody_polls() {
        for shielded in [true, false] {
            let (log, start) = (Log::new(), now());
            let stored = log.on_drop("dropped");
            scope(async |s| {
                s.defer(async { log.note("finalized") });
                s.spawn(async {
                    let mut held = held(shielded, stored);
                    assert!(poll_immediate(&mut held).await.is_none());
                    pending::<()>().await
                });
                yield_now().await;
                s.cancel("enough");
            })
            .grace(secs(1))
            .await;
            assert_eq!((now() - start, log.entries()), (secs(1), vec!["dropped".to_owned(), "finalized".to_owned()]));
        }
    }
}
