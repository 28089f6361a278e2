//! The test kit.

#[doc(hidden)]
pub mod harness;
mod watch;
