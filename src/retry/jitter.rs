//! Random parts of a duration.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// A simulation chooses one of so many equal steps. They are few, so that all can be tried.
#[cfg(feature = "sim")]
const STEPS: u32 = 16;

/// Returns a random duration from zero up to `most`.
pub(crate) fn up_to(most: Duration) -> Duration {
    #[cfg(feature = "sim")]
    if let Some(step) = crate::trace::shuffle::among(STEPS as usize + 1) {
        return part(most, step as u32, STEPS);
    }
    // A new `RandomState` has new keys, which makes its hash a random number.
    let random = RandomState::new().hash_one(()) >> 32;
    part(most, random as u32, u32::MAX)
}

/// Returns `steps` parts of a duration that is cut into `of` parts.
fn part(whole: Duration, steps: u32, of: u32) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    let nanos = whole.as_nanos() * u128::from(steps) / u128::from(of);
    Duration::new((nanos / SECOND) as u64, (nanos % SECOND) as u32)
}
