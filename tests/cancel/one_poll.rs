//! What is cancelled, and what would start in it, in one poll: the tokens in between tell later.

use std::future::pending;
use std::sync::Mutex;

use foster::{Scope, Task, Token, race, scope, shield, timeout, try_gather, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, poll_immediate};

use crate::harness::T;
use crate::probes::{Gate, Log, turns, why};

/// What is cancelled.
#[derive(Clone, Copy, Debug)]
enum Cancels {
    TheScope,
    TheTask,
}

const CANCELS: [Cancels; 2] = [Cancels::TheScope, Cancels::TheTask];

impl Cancels {
    fn cancel(self, scope: &Scope<'_>, task: &Task<()>) {
        match self {
            Cancels::TheScope => scope.cancel("enough"),
            Cancels::TheTask => task.cancel(),
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
}

const STARTS: [Starts; 4] = [Starts::Shield, Starts::Scope, Starts::Timeout, Starts::Race];

impl Starts {
    fn start(self, log: Log) -> BoxFuture<'static, ()> {
        let inside = async move { log.note("started") };
        match self {
            Starts::Shield => shield(inside).boxed(),
            Starts::Scope => scope(async |_| inside.await).boxed(),
            Starts::Timeout => timeout(10_000 * T, inside).map(drop).boxed(),
            Starts::Race => race([inside]).map(drop).boxed(),
        }
    }
}

/// Runs a child that `cancels` something which encloses it, and then would start something.
async fn cancelled_before_it_starts(cancels: Cancels, between: Between, starts: Starts, parallel: bool, log: Log) {
    scope(async |s| {
        let (own, (give, given)) = (s.clone(), oneshot::channel::<Task<()>>());
        let inside = async move {
            let task = given.await.unwrap();
            cancels.cancel(&own, &task);
            log.note("cancelled");
            starts.start(log.clone()).await;
            log.note("went on");
        };
        let child = between.around(inside.boxed());
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

    // S9
    async fn what_is_in_a_shield_starts_although_the_code_there_cancels_what_encloses_the_shield() {
        for cancels in CANCELS {
            let log = Log::new();
            let noting = log.clone();
            scope(async |s| {
                let (own, (give, given)) = (s.clone(), oneshot::channel::<Task<()>>());
                let task = s.spawn(shield(scope(async move |_| {
                    let task = given.await.unwrap();
                    cancels.cancel(&own, &task);
                    for starts in STARTS {
                        starts.start(noting.clone()).await;
                    }
                    noting.note("went on");
                })));
                drop(give.send(task));
            })
            .await;
            assert_eq!(log.entries(), ["started", "started", "started", "started", "went on"], "{cancels:?}");
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

    // S7. What is dropped in that poll has the reason, too, and the first one.
    async fn what_is_dropped_in_the_poll_of_a_cancellation_has_the_first_cause_for_its_reason() {
        for (first, reason) in [(Cancels::TheScope, "enough"), (Cancels::TheTask, "its task was cancelled")] {
            let kept = Mutex::new(None);
            scope(async |outer| {
                let (give, given) = oneshot::channel::<Task<()>>();
                let (inside, own) = (&kept, outer.clone());
                let task = outer.spawn(async move {
                    let keeping = scope(async |s| {
                        *inside.lock().unwrap() = Some(s.spawn(pending::<()>()));
                        pending::<()>().await
                    });
                    let cancelling = async {
                        let task = given.await.unwrap();
                        first.cancel(&own, &task);
                        Cancels::TheTask.cancel(&own, &task);
                        Cancels::TheScope.cancel(&own, &task);
                    };
                    _ = futures::join!(cancelling, timeout(10_000 * T, keeping));
                });
                yield_now().await;
                drop(give.send(task));
            })
            .await;
            assert_eq!(why(&kept).await, reason.into());
        }
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
