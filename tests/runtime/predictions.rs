//! The table of `foster::cancel` that predicts each case: its rows in one scope, a test for each
//! column.

use std::future::pending;
use std::pin::pin;
use std::thread;

use foster::runtimes::Basic;
use foster::{Handle, Scope, Token, adopt, gather, scope, shield, sleep, yield_now};
use futures::future::select;

use crate::found::on_tokio;
use crate::harness::{T, watched};
use crate::probes::Log;

/// Begins, and completes some time after `token` is cancelled. The log tells both, and its drop.
async fn step(log: Log, token: Token, what: &'static str) {
    let _dropped = log.on_drop(format!("{what} dropped"));
    log.note(format!("{what} began"));
    token.cancelled().await;
    yield_now().await;
    sleep(T / 10).await;
    log.note(format!("{what} completed"));
}

/// One of each row. They begin, and then wait for the scope's token.
async fn rows(log: Log, runtime: &Handle) {
    scope(async |s: Scope<'_>| {
        let step = |what| step(log.clone(), s.stop_token(), what);
        s.defer(step("finalizer"));
        s.spawn(step("child"));
        s.spawn(shield(step("shield")));
        s.spawn(adopt(step("adopted")));
        s.spawn_on(shield(step("parallel")), runtime);
        let (token, noting) = (s.stop_token(), log.clone());
        let job = move || {
            noting.note("job began");
            while !token.is_cancelled() {
                thread::yield_now();
            }
            noting.note("job completed");
        };
        s.on(runtime).spawn_blocking(job);
        pending::<()>().await
    })
    .await
}

/// Waits until each of `what` has happened.
async fn happened(log: &Log, what: &[&str]) {
    while !what.iter().all(|what| log.has(what)) {
        sleep(T / 10).await;
    }
}

async fn begun(log: &Log) {
    let rows = ["child began", "shield began", "adopted began", "parallel began", "job began"];
    happened(log, &rows).await;
}

/// Those that ran to their end, by name.
fn completed(log: &Log) -> Vec<String> {
    let entries = log.entries();
    let mut names: Vec<_> = entries.iter().filter_map(|entry| entry.strip_suffix(" completed")).collect();
    names.sort_unstable();
    names.into_iter().map(String::from).collect()
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "10s")]
async fn a_cancellation_of_ours_waits_for_all_that_needs_time() {
    let (log, token) = (&Log::new(), Token::new());
    let runtime = Handle::current();
    let cancelled = token.run_until_cancelled(rows(log.clone(), &runtime));
    let (outcome, ()) = gather((cancelled, async {
        begun(log).await;
        token.cancel("enough");
    }))
    .await;
    assert!(outcome.is_err());
    assert_eq!(completed(log), ["adopted", "finalizer", "job", "parallel", "shield"]);
    assert!(log.place("child dropped") < log.place("finalizer began"));
    assert!(log.place("shield completed") < log.place("finalizer began"));
    assert!(log.place("job completed") < log.place("finalizer began"));
}

#[foster::test(runtimes(tokio, tokio_multi, smol, async_std, basic), timeout = "10s")]
async fn the_enclosing_scope_waits_for_what_is_static_when_others_drop_a_scope() {
    let log = &Log::new();
    let runtime = Handle::current();
    scope(async |_: Scope<'_>| {
        select(pin!(rows(log.clone(), &runtime)), pin!(begun(log))).await;
        assert!(log.has("child dropped") && log.has("shield dropped"));
        assert!(!log.has("adopted dropped"));
    })
    .await;
    assert_eq!(completed(log), ["adopted", "job", "parallel"]);
    assert!(!log.has("finalizer began"));
}

#[test]
fn tokio_finishes_what_is_static_when_a_scope_is_dropped_that_nothing_encloses() {
    on_tokio(|| async {
        let log = &Log::new();
        select(pin!(rows(log.clone(), &Handle::current())), pin!(begun(log))).await;
        assert!(log.has("child dropped") && log.has("shield dropped"));
        happened(log, &["adopted completed", "job completed", "parallel completed"]).await;
        assert_eq!(completed(log), ["adopted", "job", "parallel"]);
        assert!(!log.has("finalizer began"));
    });
}

#[test]
fn nobody_waits_for_what_is_static_where_there_is_neither_a_scope_nor_tokio() {
    watched(|| {
        let pool = Basic::thread_pool(2).unwrap();
        futures::executor::block_on(async {
            let log = &Log::new();
            select(pin!(rows(log.clone(), &pool)), pin!(begun(log))).await;
            assert!(log.has("child dropped") && log.has("shield dropped") && log.has("adopted dropped"));
            // They have been told, and end by themselves.
            happened(log, &["job completed", "parallel completed"]).await;
            assert_eq!(completed(log), ["job", "parallel"]);
            assert!(!log.has("finalizer began"));
        });
    });
}
