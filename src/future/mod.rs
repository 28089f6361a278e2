//! Waiting for several futures.

mod gather;

pub use gather::{Gather, TryGather, gather, try_gather};
