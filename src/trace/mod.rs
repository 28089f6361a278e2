//! The hooks of a simulation: which ready member is polled next, what is alive, who is polled, and
//! the tree of what is running.
//!
//! Without a simulation each hook is one look at a thread-local.

#[cfg(feature = "sim")]
pub(crate) mod living;
pub(crate) mod observed;
#[cfg(feature = "sim")]
pub(crate) mod shuffle;
pub(crate) mod tree;
