//! Brackets in code that is not foster's: combinators that lie between, and drops that do not wait.

use std::future::pending;
use std::pin::pin;

use foster::{bracket, scope, timeout, yield_now};
use futures::future::{BoxFuture, FutureExt as _, join_all, poll_immediate, select, select_all};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::Connection;
use crate::harness::{T, bare};
use crate::probes::{Log, boom, caught, turns};

type Combine = for<'a> fn([BoxFuture<'a, ()>; 2]) -> BoxFuture<'a, ()>;

const FOREIGN: [(&str, Combine); 5] = [
    ("FuturesUnordered", |both| FuturesUnordered::from_iter(both).collect::<()>().boxed()),
    ("join!", |[a, b]| {
        async {
            let ((), ()) = futures::join!(a, b);
        }
        .boxed()
    }),
    ("select_biased!", |[a, b]| {
        async {
            let (mut a, mut b) = (a.fuse(), b.fuse());
            futures::select_biased! { () = a => {}, () = b => {} }
        }
        .boxed()
    }),
    ("select_all", |both| select_all(both).map(drop).boxed()),
    ("join_all", |both| join_all(both).map(drop).boxed()),
];

/// Uses a connection until it is dropped. The body borrows `log`.
async fn endless(name: &'static str, log: &Log) {
    let body = async |conn: &mut Connection| -> Result<(), _> {
        conn.query();
        let _body = log.on_drop(format!("{name} body dropped"));
        pending().await
    };
    let _ = bracket(Connection::open(name, log), body, Connection::close).await;
}

matrix! {
    async fn a_timeout_releases_through_combinators_that_are_not_fosters() {
        for (name, combine) in FOREIGN {
            let log = Log::new();
            let late = timeout(T, combine([endless("a", &log).boxed(), endless("b", &log).boxed()]));
            assert!(late.await.is_err(), "{name}");
            for each in ["a", "b"] {
                let place = |what| log.place(&format!("{each} {what}"));
                assert!(place("used") < place("body dropped") && place("body dropped") < place("closed"), "{name}");
            }
        }
    }

    async fn the_enclosing_scope_finishes_the_release_of_a_bracket_that_is_dropped() {
        let log = &Log::new();
        scope(async |_| {
            select(pin!(endless("a", log)), pin!(turns())).await;
            log.note("dropped");
        })
        .await;
        assert_eq!(log.entries(), ["a open", "a used", "a body dropped", "dropped", "a closed"]);
    }

    async fn the_enclosing_scope_finishes_a_release_that_has_begun_when_the_bracket_is_dropped() {
        let log = &Log::new();
        scope(async |_| {
            let quick = bracket(Connection::open("a", log), async |_| Ok(()), async |conn: Connection| {
                conn.log.note("closing");
                conn.close().await
            });
            select(pin!(quick), pin!(turns())).await;
            log.note("dropped");
        })
        .await;
        assert_eq!(log.entries(), ["a open", "closing", "dropped", "a closed"]);
    }

    async fn a_panic_of_the_body_is_not_lost_when_the_bracket_is_dropped_during_the_release() {
        let log = &Log::new();
        let dropping = scope(async |_| {
            let panics = async |_: &mut _| -> Result<(), _> { boom("in the body") };
            select(pin!(bracket(Connection::open("a", log), panics, Connection::close)), pin!(turns())).await;
            log.note("dropped");
        });
        assert_eq!(caught(dropping).await.unwrap_err(), "in the body");
        assert_eq!(log.entries(), ["a open", "dropped", "a closed"]);
    }

    async fn a_bracket_that_is_dropped_while_it_acquires_releases_nothing() {
        let log = &Log::new();
        scope(async |_| {
            let waits = bracket(
                pending::<Result<Connection, &str>>(),
                async |_| Ok(()),
                async |_| unreachable!("there is nothing to release"),
            );
            assert!(poll_immediate(waits).await.is_none());
        })
        .await;
        assert!(log.entries().is_empty());
    }

    async fn a_panic_beside_a_bracket_does_not_prevent_the_release() {
        let log = &Log::new();
        let panics = scope(async |_| {
            let panics = async { turns().await; boom("beside") };
            futures::join!(endless("a", log), panics)
        });
        assert_eq!(caught(panics).await.unwrap_err(), "beside");
        assert_eq!(log.entries(), ["a open", "a used", "a body dropped", "a closed"]);
    }
}

// Documented: nobody is left to finish the release.
#[test]
fn a_bracket_that_is_dropped_without_scope_and_runtime_drops_the_resource() {
    bare(|| async {
        let log = Log::new();
        let held = log.on_drop("resource dropped");
        let body = async |_: &mut _| {
            yield_now().await;
            pending::<Result<(), ()>>().await
        };
        let dropped = bracket(async { Ok(held) }, body, async |_| unreachable!("nobody runs it"));
        assert!(poll_immediate(dropped).await.is_none());
        assert_eq!(log.entries(), ["resource dropped"]);
    });
}
