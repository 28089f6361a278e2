//! Random programs against simple models of them: what they give, and at which instant.
//!
//! `PROPTEST_CASES=20000` tries more than the few that are tried by default, `PROPTEST_RNG_SEED=7` others.

mod streams;
mod tree;
mod wakes;

use foster::testing::harness::Test;
use proptest::test_runner::{Config, RngSeed};

/// The same cases each time, and no file to remember those that failed: they become tests.
fn config() -> Config {
    let config = Config { failure_persistence: None, ..Config::default() };
    match config.rng_seed {
        RngSeed::Random => Config { rng_seed: RngSeed::Fixed(1), ..config },
        RngSeed::Fixed(_) => config,
    }
}

/// Runs a case on a thread of its own: one that hangs fails.
fn watched(case: impl FnOnce() + Send + 'static) {
    Test::new(20_000, false).call(case);
}
