//! How tests are run.
//!
//! A test is written once, inside `matrix!`, which gives it the attribute `#[foster::test]`. It
//! becomes `name::tokio`, `name::tokio_multi`, `name::smol`, `name::async_std`, `name::basic` and
//! `name::sim`. Inside `sim!` it becomes `name::sim` alone, for what needs exact instants. Inside
//! `roots!` it starts its roots itself. Its name is a sentence. A comment names the rows of the
//! contract that it stands for (`C002`). Each test has a watchdog.

#![allow(dead_code, unused_imports, unused_macros, reason = "each program that has this file uses a part of it")]

use std::future::Future;
use std::time::Duration;

use foster::Handle;
use foster::testing::harness::Test;
pub(crate) use foster::testing::harness::{async_std, basic, sim, smol, tokio, tokio_multi};

/// The unit of time of the tests: virtual under sim, real elsewhere. Tests assert order, never
/// length, unless they run under sim alone.
pub(crate) const T: Duration = Duration::from_millis(10);

/// Every runtime of the matrix, for what happens outside of [`Handle::run`].
pub(crate) const ALL: [fn() -> Handle; 6] = [tokio, tokio_multi, smol, async_std, basic, sim];

/// Those with threads of their own.
pub(crate) const REAL: [fn() -> Handle; 5] = [tokio, tokio_multi, smol, async_std, basic];

/// Ten seconds by the wall clock, as for those with the attribute.
const TEST: Test = Test::new(10_000, false);

const RACE: Test = Test::new(60_000, false);

/// Runs `test` on the runtime that `runtime` makes; a test that hangs fails.
pub(crate) fn run<F: Future<Output = ()> + 'static>(runtime: fn() -> Handle, test: fn() -> F) {
    TEST.run(runtime, test);
}

/// Runs `test` without a runtime; a test that hangs fails.
pub(crate) fn bare<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    TEST.run_without_runtime(test);
}

/// Runs `test` with each of `runtimes`; a test that hangs fails.
pub(crate) fn each(runtimes: &'static [fn() -> Handle], test: fn(Handle)) {
    for runtime in runtimes {
        watched(move || test(runtime()));
    }
}

/// Runs `test` on a thread with a large stack, under the watchdog.
pub(crate) fn watched(test: impl FnOnce() + Send + 'static) {
    TEST.call(test);
}

/// Runs a race of threads, as [`watched`]. It has a minute, because the threads may share one
/// processor.
pub(crate) fn raced(test: impl FnOnce() + Send + 'static) {
    RACE.call(test);
}

/// Runs `test` for each round below `rounds`, as [`raced`]. What fails or hangs says in which round
/// that was.
pub(crate) fn rounds(rounds: u32, test: impl FnMut(u32) + Send + 'static) {
    RACE.rounds(rounds, test);
}

/// A child that cannot fail, for a scope whose children can.
pub(crate) async fn ok<F: Future, E>(future: F) -> Result<F::Output, E> {
    Ok(future.await)
}

/// Tests for every runtime.
macro_rules! matrix {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        #[foster::test(seeds = 1, timeout = "10s")]
        $(#[$meta])*
        async fn $name() $body
    )*};
}

/// Tests that need exact instants, under virtual time.
macro_rules! sim {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        #[foster::test(runtimes(sim), seeds = 1, timeout = "10s")]
        $(#[$meta])*
        async fn $name() $body
    )*};
}

/// Tests that start a root themselves, for every runtime: they are given its handle.
macro_rules! roots {
    ($($(#[$meta:meta])* fn $name:ident($rt:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn test($rt: foster::Handle) $body

            roots!(on tokio tokio_multi smol async_std basic sim);
        }
    )*};
    (on $($runtime:ident)*) => {$(
        #[test]
        fn $runtime() {
            $crate::harness::watched(|| test($crate::harness::$runtime()));
        }
    )*};
}
