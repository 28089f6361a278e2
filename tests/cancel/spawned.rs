//! What is spawned for another task to run, in the poll in which something was cancelled.

use std::future::pending;

use foster::{Scope, Task, Token, scope, shield};
use futures::channel::oneshot;
use futures::future::poll_immediate;
use futures::task::{Spawn, SpawnExt};

use crate::probes::{Log, turns};

/// How it is spawned.
#[derive(Clone, Copy, Debug)]
enum Spawns {
    Parallel,
    Blocking,
    BySpawner,
}

const SPAWNS: [Spawns; 3] = [Spawns::Parallel, Spawns::Blocking, Spawns::BySpawner];

impl Spawns {
    /// Spawns what notes that it has begun. Notes why it was refused, if it was.
    async fn spawn(self, scope: &Scope<'_>, log: &Log) {
        let noting = log.clone();
        let begins = move || noting.note("began");
        let task = match self {
            Spawns::Parallel => scope.spawn_parallel(async move { begins() }),
            Spawns::Blocking => scope.spawn_blocking(begins),
            Spawns::BySpawner => {
                let spawner = scope.spawner();
                let is_refused = spawner.status().is_err();
                assert_eq!(spawner.spawn(async move { begins() }).is_err(), is_refused);
                return if is_refused {
                    log.note("refused")
                };
            }
        };
        if let Err(error) = task.outcome().await {
            log.note(error.reason().to_string());
        }
    }

    fn refused(self) -> &'static str {
        if let Spawns::BySpawner = self { "refused" } else { "requested: first" }
    }
}

matrix! {
    // S4. In-task children are passed over, since the scope looks outwards before it polls them.
    async fn nothing_begins_that_is_spawned_in_the_poll_in_which_an_outer_scope_is_cancelled() {
        for (spawns, shielded) in SPAWNS.into_iter().flat_map(|spawns| [false, true].map(|shielded| (spawns, shielded))) {
            let log = &Log::new();
            scope(async |outer| {
                let own = outer.clone();
                outer.spawn(scope(async move |s| {
                    turns().await;
                    let cancels = async {
                        own.cancel("first");
                        spawns.spawn(&s, log).await;
                    };
                    if shielded { shield(cancels).await } else { cancels.await }
                }));
            })
            .await;
            assert_eq!(log.entries(), [spawns.refused()], "{spawns:?}, in a shield: {shielded}");
        }
    }

    // The child is the scope's, and the scope goes on.
    async fn what_is_spawned_begins_although_the_code_that_spawns_it_is_cancelled_in_the_same_poll() {
        for spawns in SPAWNS {
            let log = &Log::new();
            scope(async |s| {
                let task: Task<()> = s.spawn(pending());
                let (token, own) = (Token::new(), s.clone());
                let cancels = async {
                    turns().await;
                    token.cancel("enough");
                    task.cancel();
                    spawns.spawn(&own, log).await;
                };
                _ = token.run_until_cancelled(cancels).await;
            })
            .await;
            assert_eq!(log.entries(), ["began"], "{spawns:?}");
        }
    }

    // It was polled last in what is cancelled now.
    async fn what_is_spawned_into_a_scope_that_was_moved_out_of_what_is_cancelled_begins() {
        for spawns in SPAWNS {
            let log = &Log::new();
            let ((give, given), (go, gone)) = (oneshot::channel::<Scope<'_>>(), oneshot::channel::<()>());
            let mut inner = Box::pin(scope(async |s| {
                drop(give.send(s));
                _ = gone.await;
            }));
            scope(async |outer| {
                assert!(poll_immediate(&mut inner).await.is_none());
                outer.cancel("too late");
            })
            .await;
            spawns.spawn(&given.await.unwrap(), log).await;
            drop(go);
            inner.await;
            assert_eq!(log.entries(), ["began"], "{spawns:?}");
        }
    }
}
