//! `select!`, and the combinators of a dozen or fewer, which have their members inside.

#![allow(unsafe_code)] // An allocator that counts, and a waker with a will of its own.

mod few;
mod select;
mod shuffle;
mod streams;

use foster::testing::harness::Test;

/// Tests for every runtime.
macro_rules! matrix {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        #[foster::test(seeds = 1, timeout = "10s")]
        $(#[$meta])*
        async fn $name() $body
    )*};
}
use matrix;

/// Runs `test` under a watchdog.
fn watched(test: impl FnOnce() + Send + 'static) {
    Test::new(10_000, false).call(test);
}
