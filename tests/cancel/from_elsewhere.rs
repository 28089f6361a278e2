//! What another thread cancels that encloses a scope, while the scope is being polled.

use std::future::{Future, pending};
use std::thread;
use std::time::Duration;

use foster::runtimes::Basic;
use foster::{Reason, Scope, Task, Token, scope, shield, timeout, yield_now};

use crate::harness::watched;
use crate::one_poll::{CANCELS, Cancels};
use crate::probes::Log;

/// Does it on another thread.
fn elsewhere(what: impl FnOnce() + Send) {
    thread::scope(|threads| threads.spawn(what).join().unwrap());
}

matrix! {
    // A thread counts only what it has cancelled itself.
    async fn what_another_thread_cancels_is_seen_in_the_same_poll() {
        let log = &Log::new();
        scope(async |s| {
            let own = s.clone();
            s.spawn(async move {
                elsewhere(|| own.cancel("enough"));
                shield(async { log.note("started") }).await;
            });
        })
        .await;
        scope(async |s| {
            let own = s.clone();
            s.spawn(scope(async |s| {
                s.spawn(async move {
                    let token = Token::new();
                    elsewhere(|| {
                        own.cancel("enough");
                        token.cancel("too late");
                    });
                    drop(token.run_until_cancelled(pending::<()>()).await);
                    log.note("reported");
                });
            }));
        })
        .await;
        assert_eq!(log.entries(), [""; 0]);
    }
}

/// Runs a child beside the poll of an inner scope. It cancels the outer scope, or the child of that
/// in which the inner scope lies, or the token with which that child ends. The tokens of the regions
/// are linked after that poll. Then `late` is awaited, which must not return.
fn cancels_what_encloses_it_first<F: Future<Output = ()> + Send + 'static>(
    cancels: Cancels,
    late: impl FnOnce() -> F + Send + 'static,
) {
    watched(move || {
        let (pool, log) = (Basic::thread_pool(1).unwrap(), Log::new());
        let noting = log.clone();
        let outer = scope(|outer: Scope<'_>| async move {
            let (end, (give, given)) = (outer.clone(), std::sync::mpsc::channel::<Task<()>>());
            let token = Token::new();
            let until = token.clone();
            let inside = scope(async move |inner: Scope<'_>| {
                let child = async move {
                    cancels.cancel(&end, &given.recv().unwrap(), &token);
                    noting.note("cancelled");
                    late().await;
                    noting.note("went on");
                };
                inner.spawn_on(child, &pool);
                // The pool has one thread, so the child may be polled beside this as often as it
                // likes.
                let (done, wait) = std::sync::mpsc::channel();
                let beside = async move {
                    for _ in 0..1_000 {
                        yield_now().await;
                    }
                    done.send(()).unwrap();
                };
                inner.spawn_on(beside, &pool);
                wait.recv().unwrap();
                pending::<()>().await
            });
            let task = outer.spawn(async move { drop(until.run_until_cancelled(inside).await) });
            give.send(task).unwrap();
            if let Cancels::Scope = cancels {
                pending::<()>().await
            }
        });
        let outcome = futures::executor::block_on(outer.outcome());
        let reason = outcome.err().map(|cancelled| cancelled.reason().clone());
        assert_eq!(reason, matches!(cancels, Cancels::Scope).then(|| Reason::from("enough")));
        assert_eq!(log.entries(), ["cancelled"]);
    });
}

// S7. The timeout reported `Elapsed`.
#[test]
fn a_deadline_that_passes_while_what_is_cancelled_and_encloses_it_is_being_polled_comes_second() {
    for cancels in CANCELS {
        cancels_what_encloses_it_first(cancels, async || drop(timeout(Duration::ZERO, pending::<()>()).await));
    }
}

// S4. The cancellation is asked for by another thread than that on which the scope is polled.
#[test]
fn nothing_starts_while_what_is_cancelled_and_encloses_it_is_being_polled() {
    for cancels in CANCELS {
        cancels_what_encloses_it_first(cancels, async || shield(async {}).await);
        cancels_what_encloses_it_first(cancels, async || scope(async |_| {}).await);
    }
}

// S7
#[test]
fn a_token_that_is_cancelled_while_what_is_cancelled_and_encloses_it_is_being_polled_comes_second() {
    for cancels in CANCELS {
        cancels_what_encloses_it_first(cancels, async || {
            let token = Token::new();
            token.cancel("second");
            drop(token.run_until_cancelled(pending::<()>()).await);
        });
        cancels_what_encloses_it_first(cancels, async || {
            let token = Token::new();
            let ending = token.clone();
            let inside = async move {
                ending.cancel("second");
                pending::<()>().await
            };
            drop(token.run_until_cancelled(inside).await);
        });
    }
}

/// The scope is cancelled from elsewhere, which this thread has not asked for.
#[test]
fn nothing_starts_in_a_scope_that_finds_what_encloses_it_cancelled_from_elsewhere() {
    watched(|| {
        let log = &Log::new();
        futures::executor::block_on(scope(async |s| {
            let own = s.clone();
            s.spawn(async move {
                let cancelling = async {
                    yield_now().await;
                    elsewhere(|| own.cancel("enough"));
                };
                let inner = scope(async |_| {
                    yield_now().await;
                    shield(async { log.note("started") }).await;
                });
                futures::join!(cancelling, inner);
            });
        }));
        assert!(log.entries().is_empty());
    });
}
