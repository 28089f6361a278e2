//! What is cancelled, and what would start in it, in one poll: the tokens in between tell later.

use std::future::pending;

use foster::{Task, Token, race, scope, shield, timeout, try_gather, yield_now};
use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;

use crate::harness::T;
use crate::probes::Log;

/// What is cancelled.
#[derive(Clone, Copy, Debug)]
enum Cancels {
    TheScope,
}

const CANCELS: [Cancels; 1] = [Cancels::TheScope];

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
            let _task = given.await.unwrap();
            match cancels {
                Cancels::TheScope => own.cancel("enough"),
            }
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

matrix! {
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
