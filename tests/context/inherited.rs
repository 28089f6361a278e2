//! What a child inherits, and that it is never somebody else's.

use std::sync::{Arc, Mutex};

use foster::runtimes::Sim;
use foster::time::deadline;
use foster::{Inherited, scope, timeout, yield_now};
use futures::task::SpawnExt;

use crate::harness::{T, watched};
use crate::probes::{Gate, turns};

static USER: Inherited<&'static str> = Inherited::new();

static SHARED: Inherited<Mutex<Vec<u32>>> = Inherited::new();

static NAME: Inherited<&str> = Inherited::new();

/// What is in force at one place: a value, and whether there is a deadline.
type Found = (Option<&'static str>, bool);

fn found() -> Found {
    (NAME.get().map(|name| *name), deadline().is_some())
}

/// Notes what its destructor finds.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Found>>>);

struct Noting(Notes);

impl Drop for Noting {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().push(found());
    }
}

impl Notes {
    async fn note_at_the_end(self) {
        let _noting = Noting(self);
        std::future::pending().await
    }
}

matrix! {
    // C263
    async fn inherited_values_are_those_at_the_spawn_and_are_not_shared_back() {
        USER.provide("outer", scope(async |s| {
            let gate = Gate::new();
            let waiting = gate.wait();
            let child = s.spawn(async move {
                waiting.await;
                let own = USER.provide("the child's", async {
                    yield_now().await;
                    *USER.get().unwrap()
                });
                assert_eq!(own.await, "the child's");
                *USER.get().unwrap()
            });
            let parallel = s.spawn_parallel(async { *USER.get().unwrap() });
            let inner = USER.provide("inner", async {
                gate.open();
                turns().await;
                *USER.get().unwrap()
            });
            assert_eq!(inner.await, "inner");
            assert_eq!(child.await, "outer");
            assert_eq!(parallel.await, "outer");
            assert_eq!(*USER.get().unwrap(), "outer");
        }))
        .await;
        assert!(USER.get().is_none());
    }

    // C028
    async fn children_that_inherit_one_value_see_each_others_writes() {
        let written = SHARED.provide(Mutex::new(Vec::new()), scope(async |s| {
            let write = |n: u32| async move { SHARED.get().unwrap().lock().unwrap().push(n) };
            s.spawn(write(1)).await;
            s.spawn_parallel(write(2)).await;
            SHARED.get().unwrap().lock().unwrap().clone()
        }))
        .await;
        assert_eq!(written, [1, 2]);
    }
}

// The child is dropped on the thread, and in the poll, of whoever takes it back.
#[test]
fn a_child_that_is_taken_back_finds_what_it_inherited_and_not_what_the_canceller_has() {
    watched(|| {
        Sim::default().run(scope(async |s| {
            let notes = Notes::default();
            let spawn = || {
                let noting = Noting(notes.clone());
                s.spawn_parallel(async move { drop(noting) })
            };
            let bare = [spawn(), spawn(), spawn()];
            let furnished = NAME.provide("its own", timeout(T, async { spawn() })).await.unwrap();
            NAME.provide("the canceller's", timeout(2 * T, async { bare[0].cancel() })).await.unwrap();
            NAME.provide("the canceller's", async { bare[1].cancel() }).await;
            timeout(2 * T, async { bare[2].cancel() }).await.unwrap();
            furnished.cancel();
            let nothing = (None, false);
            assert_eq!(*notes.0.lock().unwrap(), [nothing, nothing, nothing, (Some("its own"), false)]);
        }));
    });
}

#[test]
fn a_child_that_has_begun_finds_what_it_inherited_in_every_poll_and_at_its_end() {
    watched(|| {
        Sim::default().run(scope(async |s| {
            let notes = Notes::default();
            let furnished =
                NAME.provide("its own", timeout(T, async { s.spawn_parallel(notes.clone().note_at_the_end()) }));
            let furnished = furnished.await.unwrap();
            let bare = s.spawn_parallel(async {
                foster::yield_now().await;
                found()
            });
            assert_eq!(bare.await, (None, false));
            furnished.cancel();
            assert!(furnished.outcome().await.is_err());
            assert_eq!(*notes.0.lock().unwrap(), [(Some("its own"), false)]);
        }));
    });
}

/// Inner futures are made first where middleware wraps what it is given.
#[test]
fn a_future_with_a_value_finds_those_that_enclose_its_polls_and_not_its_making() {
    let both = || (NAME.get().map(|name| *name), USER.get().map(|user| *user));
    watched(move || {
        Sim::default().run(async move {
            let made_first = NAME.provide("inner", async move {
                let first = both();
                yield_now().await;
                (first, both())
            });
            let seen = USER.provide("outer", made_first).await;
            assert_eq!(seen, ((Some("inner"), Some("outer")), (Some("inner"), Some("outer"))));
            let made_inside = USER.provide("gone", async { NAME.provide("kept", async move { both() }) }).await;
            assert_eq!(made_inside.await, (Some("kept"), None));
        });
    });
}

#[test]
fn what_a_spawner_or_defer_starts_finds_the_values_that_are_in_force_there() {
    fn note(notes: &Arc<Mutex<Vec<Option<&'static str>>>>) -> impl Future<Output = ()> + Send + use<> {
        let notes = Arc::clone(notes);
        async move { notes.lock().unwrap().push(NAME.get().map(|name| *name)) }
    }
    watched(|| {
        let program = || async {
            let notes = Arc::default();
            scope(async |s| {
                let spawner = s.spawner();
                NAME.provide("spawned", async { spawner.spawn(note(&notes)).unwrap() }).await;
                NAME.provide("deferred", async { s.defer(note(&notes)) }).await;
            })
            .await;
            assert_eq!(*notes.lock().unwrap(), [Some("spawned"), Some("deferred")]);
        };
        futures::executor::block_on(program());
        Sim::default().run(program());
    });
}
