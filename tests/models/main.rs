//! Random programs against simple models of them: what they give, and at which instant.
//!
//! `PROPTEST_CASES=20000` tries more than the few that are tried by default, `PROPTEST_RNG_SEED=7`
//! others.

mod adaptive;
mod batchers;
mod brackets;
mod breakers;
mod pools;
mod queues;
mod rates;
mod retries;
mod semaphores;
mod streams;
mod together;
mod tree;
mod waiting;
mod wakes;

use std::env;

use foster::testing::harness::Test;
use proptest::test_runner::{Config, RngSeed};

/// The same cases each time, and no file to remember those that failed: they become tests.
fn config() -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 1_000;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    config
}

/// Runs a case on a thread of its own: one that hangs fails.
fn watched(case: impl FnOnce() + Send + 'static) {
    Test::new(20_000, false).call(case);
}
