//! The test kit.

mod clock;
mod explore;
mod failure;

pub use clock::{Settle, advance, settle};
pub use explore::{Explore, Explored, explore, explore_all};
pub use failure::Failure;

pub use crate::runtimes::sim::{Fault, Faults, Moment, Trace};
