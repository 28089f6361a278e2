//! Cancels a program wherever it can be cancelled, in both ways.

use std::fmt::Debug;
use std::future::Future;

use foster::testing::EveryAwait;

/// Drops `program` at every suspension, and winds it down there. It must have waited for `what`.
/// After each run `left` tells what is left, which must be `quiet`.
pub(crate) fn everywhere<F: Future, Q: PartialEq + Debug>(
    what: &str,
    program: impl Fn() -> F,
    left: impl Fn() -> Q,
    quiet: Q,
) {
    for tries in [EveryAwait::new().seeds(0..3), EveryAwait::new().wind_down()] {
        let report = tries.run(&program, || assert_eq!(left(), quiet)).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.suspensions().iter().any(|waited| waited.contains(what)), "{report:?}");
    }
}
