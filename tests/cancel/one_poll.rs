//! What is cancelled, and what would start in it, in one poll: the tokens in between tell later.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foster::runtimes::{Basic, Sim};
use foster::{Reason, Scope, Task, Token, race, scope, shield, timeout, try_gather, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, poll_immediate};

use crate::harness::{T, bare};
use crate::probes::{Gate, Log, boxed, turns, why};

/// What is cancelled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cancels {
    Scope,
    Task,
    Token,
}

pub(crate) const CANCELS: [Cancels; 3] = [Cancels::Scope, Cancels::Task, Cancels::Token];

impl Cancels {
    pub(crate) fn cancel(self, scope: &Scope<'_>, task: &Task<()>, token: &Token) {
        match self {
            Cancels::Scope => scope.cancel("enough"),
            Cancels::Task => task.cancel(),
            Cancels::Token => token.cancel("no longer"),
        }
    }
}

/// What lies between that and the code that cancels it.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Body,
    Child,
    Timeout,
    Race,
    TryGather,
    Until,
    Several,
}

const BETWEEN: [Between; 8] = [
    Between::Nothing,
    Between::Body,
    Between::Child,
    Between::Timeout,
    Between::Race,
    Between::TryGather,
    Between::Until,
    Between::Several,
];

impl Between {
    fn around(self, inside: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        match self {
            Between::Nothing => inside,
            Between::Body => scope(async |_| inside.await).boxed(),
            Between::Child => scope(async |s| s.spawn(inside).await).boxed(),
            Between::Timeout => timeout(10_000 * T, inside).map(drop).boxed(),
            Between::Race => race([inside, pending().boxed()]).map(drop).boxed(),
            Between::TryGather => try_gather([inside.map(Ok::<_, ()>)]).map(drop).boxed(),
            Between::Until => async { drop(Token::new().run_until_cancelled(inside).await) }.boxed(),
            Between::Several => [Between::Child, Between::Race, Between::Body, Between::Timeout]
                .into_iter()
                .fold(inside, |inside, between| between.around(inside)),
        }
    }
}

/// What would start.
#[derive(Clone, Copy, Debug)]
enum Starts {
    Shield,
    Scope,
    Timeout,
    Race,
    Until,
}

const STARTS: [Starts; 5] = [Starts::Shield, Starts::Scope, Starts::Timeout, Starts::Race, Starts::Until];

impl Starts {
    fn start(self, log: Log) -> BoxFuture<'static, ()> {
        let inside = async move { log.note("started") };
        match self {
            Starts::Shield => shield(inside).boxed(),
            Starts::Scope => scope(async |_| inside.await).boxed(),
            Starts::Timeout => timeout(10_000 * T, inside).map(drop).boxed(),
            Starts::Race => race([inside]).map(drop).boxed(),
            Starts::Until => async { drop(Token::new().run_until_cancelled(shield(inside)).await) }.boxed(),
        }
    }
}

/// Runs a child that `cancels` something which encloses it, and then would start something.
async fn cancelled_before_it_starts(cancels: Cancels, between: Between, starts: Starts, parallel: bool, log: Log) {
    scope(async |s| {
        let (own, (give, given)) = (s.clone(), oneshot::channel::<Task<()>>());
        let (token, ending) = (Token::new(), Token::new());
        let until = token.child();
        let inside = async move {
            let task = given.await.unwrap();
            cancels.cancel(&own, &task, &token);
            log.note("cancelled");
            starts.start(log.clone()).await;
            log.note("went on");
        };
        let inside = between.around(inside.boxed());
        // It ends with that of two tokens which is not the nearer one.
        let child = async move { drop(until.run_until_cancelled(ending.run_until_cancelled(inside)).await) };
        let task = if parallel { s.spawn_parallel(child) } else { s.spawn(child) };
        // Nothing in between has a token after its first poll.
        yield_now().await;
        drop(give.send(task));
    })
    .await;
}

/// Polls a shield when it is dropped.
struct Cleans(Log);

impl Drop for Cleans {
    fn drop(&mut self) {
        _ = shield(async { self.0.note("cleaned") }).now_or_never();
    }
}

matrix! {
    // S4. What has begun is polled in that poll, too, and starts nothing.
    async fn nothing_starts_beside_the_code_that_cancels_what_encloses_both() {
        let log = &Log::new();
        scope(async |s| {
            let own = s.clone();
            s.spawn(async move {
                let cancelling = async {
                    yield_now().await;
                    own.cancel("enough");
                };
                let starting = async {
                    yield_now().await;
                    shield(async { log.note("started") }).await;
                };
                let in_scopes = scope(async |_| scope(async |_| starting.await).await);
                let child = scope(async |inner| {
                    yield_now().await;
                    inner.spawn(async { log.note("begun") });
                });
                _ = futures::join!(cancelling, in_scopes, child);
            });
        })
        .await;
        assert_eq!(log.entries(), [""; 0]);
    }

    // S4. A child that needs time to end was polled before its scope had heard of it.
    async fn nothing_starts_in_a_child_that_a_sibling_has_cancelled_in_the_same_pass() {
        for rounds in 1..6 {
            let (log, gate) = (&Log::new(), &Gate::new());
            scope(async |s| {
                let task = s.spawn(async {
                    let starting = async {
                        loop {
                            yield_now().await;
                            shield(async { log.note("started") }).await;
                        }
                    };
                    futures::join!(shield(gate.wait()), starting)
                });
                for _ in 0..rounds {
                    yield_now().await;
                }
                task.cancel();
                log.note("cancelled");
                turns().await;
                gate.open();
            })
            .await;
            let entries = log.entries();
            assert_eq!(entries.last().map(String::as_str), Some("cancelled"), "{entries:?}");
        }
    }

    // S9. There are two scopes in it, of which the inner one lies in no child of the outer one.
    async fn what_is_in_a_shield_ends_by_itself_although_the_child_that_has_it_is_cancelled() {
        let log = &Log::new();
        scope(async |s| {
            let inside = scope(async |_| {
                scope(async |_| {
                    assert!(timeout(T, pending::<()>()).await.is_err());
                    Token::new().cancel("another");
                    for starts in STARTS {
                        starts.start(log.clone()).await;
                    }
                    log.note("went on");
                })
                .await;
            });
            let task = s.spawn(shield(inside));
            turns().await;
            task.cancel();
        })
        .await;
        assert_eq!(log.entries(), ["started", "started", "started", "started", "started", "went on"]);
    }

    // S9
    async fn what_is_in_a_shield_starts_although_the_code_there_cancels_what_encloses_the_shield() {
        for cancels in CANCELS {
            let log = Log::new();
            let noting = log.clone();
            scope(async |s| {
                let (own, (give, given)) = (s.clone(), oneshot::channel::<Task<()>>());
                let token = Token::new();
                let until = token.clone();
                let inside = shield(scope(async move |_| {
                    let task = given.await.unwrap();
                    cancels.cancel(&own, &task, &token);
                    for starts in STARTS {
                        Token::new().cancel("another");
                        starts.start(noting.clone()).await;
                    }
                    noting.note("went on");
                }));
                let child = async move { drop(until.run_until_cancelled(inside).await) };
                let task = s.spawn(child);
                drop(give.send(task));
            })
            .await;
            assert_eq!(log.entries(), ["started", "started", "started", "started", "started", "went on"], "{cancels:?}");
        }
    }

    async fn a_scope_that_has_left_a_child_goes_on_although_that_is_cancelled() {
        let log = Log::new();
        let noting = log.clone();
        scope(async |s| {
            let (give, given) = oneshot::channel::<Task<()>>();
            let (pass, passed) = oneshot::channel();
            let mut inner = scope(async move |_| {
                let left = given.await.unwrap();
                left.cancel();
                Starts::Shield.start(noting).await;
            })
            .boxed();
            let left = s.spawn(async move {
                assert!(poll_immediate(&mut inner).await.is_none());
                drop(pass.send(inner));
                pending().await
            });
            s.spawn(async { passed.await.unwrap().await });
            yield_now().await;
            drop(give.send(left));
        })
        .await;
        assert_eq!(log.entries(), ["started"]);
    }

    async fn a_scope_that_has_left_what_runs_until_a_token_goes_on_although_that_is_cancelled() {
        let (log, token) = (Log::new(), Token::new());
        let (noting, ending) = (log.clone(), token.clone());
        let (give, given) = oneshot::channel();
        let mut moving = scope(async move |s| {
            s.spawn_parallel(async move {
                given.await.unwrap();
                ending.cancel("no longer");
                Starts::Shield.start(noting).await;
            })
            .await
        })
        .boxed();
        assert!(token.run_until_cancelled(poll_immediate(&mut moving)).await.unwrap().is_none());
        let elsewhere = async {
            assert!(poll_immediate(&mut moving).await.is_none());
            give.send(()).unwrap();
            moving.await
        };
        Token::new().run_until_cancelled(elsewhere).await.unwrap();
        assert_eq!(log.entries(), ["started"]);
    }

    // S7. What is dropped in that poll has the reason, too, and the first one.
    async fn what_is_dropped_in_the_poll_of_a_cancellation_has_the_first_cause_for_its_reason() {
        let reasons = ["enough", "its task was cancelled", "no longer"];
        for (first, reason) in CANCELS.into_iter().zip(reasons) {
            let kept = Mutex::new(None);
            scope(async |outer| {
                let (give, given) = oneshot::channel::<Task<()>>();
                let (inside, own) = (&kept, outer.clone());
                let token = Token::new();
                let until = token.clone();
                let child = async move {
                    let keeping = scope(async |s| {
                        *inside.lock().unwrap() = Some(s.spawn(pending::<()>()));
                        pending::<()>().await
                    });
                    let cancelling = async {
                        let task = given.await.unwrap();
                        first.cancel(&own, &task, &token);
                        for other in CANCELS {
                            other.cancel(&own, &task, &token);
                        }
                    };
                    _ = futures::join!(cancelling, timeout(10_000 * T, keeping));
                };
                let task = outer.spawn(async move { drop(until.run_until_cancelled(child).await) });
                yield_now().await;
                drop(give.send(task));
            })
            .await;
            assert_eq!(why(&kept).await, reason.into());
        }
    }

    // S4. Nothing but the token tells that it ends: there is no scope between the shield and it.
    async fn nothing_starts_in_a_shield_in_the_poll_in_which_a_token_inside_the_shield_is_cancelled() {
        for (between, starts) in BETWEEN.into_iter().flat_map(|between| STARTS.map(|starts| (between, starts))) {
            let log = Log::new();
            let token = Token::new();
            let (noting, ending) = (log.clone(), token.clone());
            let inside = between.around(
                async move {
                    yield_now().await;
                    ending.cancel("no longer");
                    noting.note("cancelled");
                    starts.start(noting.clone()).await;
                    noting.note("went on");
                }
                .boxed(),
            );
            shield(async {
                assert!(token.run_until_cancelled(inside).await.is_err());
                starts.start(log.clone()).await;
            })
            .await;
            assert_eq!(log.entries(), ["cancelled", "started"], "{between:?}, {starts:?}");
        }
    }

    // S9. What is found there says nothing of the child that has the shield.
    async fn nothing_starts_beside_a_shield_in_which_something_starts_after_a_cancellation() {
        let log = Log::new();
        let noting = log.clone();
        scope(async |s| {
            let (give, given) = oneshot::channel::<Task<()>>();
            let task = s.spawn(async move {
                let cancelling = async {
                    given.await.unwrap().cancel();
                    noting.note("cancelled");
                };
                let cancelled = async || {
                    while !noting.has("cancelled") {
                        yield_now().await;
                    }
                };
                let in_shield = shield(async {
                    cancelled().await;
                    _ = Token::new().run_until_cancelled(Starts::Shield.start(noting.clone())).await;
                    noting.note("in the shield");
                });
                let beside = async {
                    cancelled().await;
                    Starts::Scope.start(noting.clone()).await;
                };
                _ = futures::join!(cancelling, in_shield, beside);
            });
            yield_now().await;
            drop(give.send(task));
        })
        .await;
        assert_eq!(log.entries(), ["cancelled", "started", "in the shield"]);
    }

    // The destructors of what loses a race ran in the enclosing region, which is cancelled.
    async fn what_a_destructor_uses_starts_in_the_poll_in_which_an_outer_scope_is_cancelled() {
        let log = Log::new();
        scope(async |s| {
            let cleans = Cleans(log.clone());
            let loses = async move {
                let _cleans = cleans;
                pending::<()>().await
            };
            let wins = async {
                yield_now().await;
                s.cancel("enough");
            };
            race((loses, wins)).await;
            log.note("went on");
            yield_now().await;
            log.note("went further");
        })
        .await;
        assert_eq!(log.entries(), ["cleaned", "went on"]);
    }

    // S4. The tokens of what lies in between are linked at the end of the poll.
    async fn nothing_starts_in_the_poll_in_which_something_that_encloses_it_is_cancelled() {
        for cancels in CANCELS {
            for (between, starts) in BETWEEN.into_iter().flat_map(|between| STARTS.map(|starts| (between, starts))) {
                for parallel in [false, true] {
                    let log = Log::new();
                    cancelled_before_it_starts(cancels, between, starts, parallel, log.clone()).await;
                    assert_eq!(log.entries(), ["cancelled"], "{cancels:?}, {between:?}, {starts:?}, {parallel}");
                }
            }
        }
    }
}

// S4. No scope encloses it, nor a root.
#[test]
fn nothing_starts_outside_of_scopes_in_the_poll_in_which_its_token_is_cancelled() {
    crate::harness::watched(|| {
        for (between, starts) in BETWEEN.into_iter().flat_map(|between| STARTS.map(|starts| (between, starts))) {
            let log = Log::new();
            let (outer, inner) = (Token::new(), Token::new());
            let (noting, ending) = (log.clone(), outer.clone());
            let inside = async move {
                ending.cancel("no longer");
                noting.note("cancelled");
                starts.start(noting.clone()).await;
                noting.note("went on");
            };
            let inside = inner.run_until_cancelled(between.around(inside.boxed()));
            let cancelled = outer.run_until_cancelled(inside).now_or_never().expect("the token was cancelled");
            assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("no longer"));
            assert_eq!(log.entries(), ["cancelled"], "{between:?}, {starts:?}");
        }
    });
}

// S7. The inner one returned the error, into code that was cancelled before.
#[test]
fn of_two_that_run_until_the_same_token_is_cancelled_the_outer_one_returns_the_error() {
    let token = Token::new();
    let inside = token.run_until_cancelled(async {
        token.cancel("no longer");
        pending::<()>().await
    });
    assert!(token.run_until_cancelled(inside).now_or_never().expect("the token was cancelled").is_err());
}

// S7. Likewise.
#[test]
fn a_timeout_that_expires_in_the_poll_in_which_its_token_is_cancelled_says_nothing() {
    let token = Token::new();
    let inside = timeout(Duration::ZERO, async {
        token.cancel("no longer");
        pending::<()>().await
    });
    assert!(token.run_until_cancelled(inside).now_or_never().expect("the token was cancelled").is_err());
}

// S7. The moment of a cancellation is that of its cause, and not that at which it is passed on.
#[test]
fn a_task_that_is_cancelled_after_its_outer_scope_in_one_poll_has_the_reason_of_the_scope() {
    crate::harness::watched(|| {
        let pool = Basic::thread_pool(1).unwrap();
        let kept = Arc::new(Mutex::new(None));
        let keeping = Arc::clone(&kept);
        let outer = scope(|outer: Scope<'_>| async move {
            scope(async |inner: Scope<'_>| {
                let (say, said) = std::sync::mpsc::channel();
                let (begun, blocked) = (say.clone(), say);
                let child = async move {
                    begun.send(()).unwrap();
                    pending::<()>().await
                };
                let task = inner.spawn_on(child, &pool);
                // The only thread of the pool is blocked until the body is dropped.
                let (dropped, wait) = std::sync::mpsc::channel::<()>();
                let beside = async move {
                    blocked.send(()).unwrap();
                    wait.recv().unwrap_err();
                };
                inner.spawn_on(beside, &pool);
                said.recv().unwrap();
                said.recv().unwrap();
                outer.cancel("first");
                task.cancel();
                *keeping.lock().unwrap() = Some(task);
                pending::<()>().await;
                drop(dropped);
            })
            .await
        });
        assert!(futures::executor::block_on(outer.outcome()).is_err());
        assert_eq!(futures::executor::block_on(why(&kept)), Reason::from("first"));
    });
}

// S7. A scope that encloses a shield does not end what is in the shield.
#[test]
fn a_timeout_in_a_shield_expires_while_the_cancelled_scope_is_being_polled() {
    crate::harness::watched(|| {
        let pool = Basic::thread_pool(1).unwrap();
        let outer = scope(|outer: Scope<'_>| async move {
            shield(scope(async |inner: Scope<'_>| {
                let (done, wait) = std::sync::mpsc::channel();
                let child = async move {
                    outer.cancel("first");
                    assert!(timeout(Duration::ZERO, pending::<()>()).await.is_err());
                    done.send(()).unwrap();
                };
                inner.spawn_on(child, &pool);
                wait.recv().unwrap();
            }))
            .await;
            pending::<()>().await
        });
        let cancelled = futures::executor::block_on(outer.outcome());
        assert_eq!(cancelled.unwrap_err().reason(), &Reason::from("first"));
    });
}

// S9. What is run to its end in a cancelled child lies in nothing that is cancelled.
#[test]
fn a_root_that_is_run_in_a_cancelled_child_is_not_cancelled() {
    crate::harness::watched(|| {
        let log = Log::new();
        let noting = log.clone();
        Sim::default().run(scope(async |s| {
            let (give, given) = oneshot::channel::<Task<()>>();
            let task = s.spawn(async move {
                given.await.unwrap().cancel();
                Basic::current_thread().run(async move {
                    scope(async |_| assert!(timeout(T / 10, pending::<()>()).await.is_err())).await;
                    noting.note("went on");
                });
                pending::<()>().await
            });
            drop(give.send(task));
        }));
        assert_eq!(log.entries(), ["went on"]);
    });
}

/// A scope whose children had been polled left the child that encloses it out of the context.
#[test]
fn nothing_starts_in_a_child_that_cancels_itself_after_it_has_polled_a_scope() {
    bare(|| async {
        let (log, kept) = (&Log::new(), &Mutex::new(None::<Task<()>>));
        scope(async |outer| {
            let task = outer.spawn(async {
                let mut inner = boxed(scope(async |s| {
                    s.spawn(pending::<()>());
                    pending::<()>().await
                }));
                assert!(poll_immediate(&mut inner).await.is_none());
                kept.lock().unwrap().as_ref().unwrap().cancel();
                shield(async { log.note("started") }).await;
            });
            *kept.lock().unwrap() = Some(task);
        })
        .await;
        assert!(log.entries().is_empty());
    });
}
