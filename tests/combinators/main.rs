//! `select!`, and the combinators of a dozen or fewer, which have their members inside.

#![allow(unsafe_code)] // An allocator that counts, and a waker with a will of its own.

#[macro_use]
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../support/harness.rs"]
mod harness;
#[allow(dead_code)]
#[path = "../support/probes.rs"]
mod probes;

mod few;
mod select;
mod shuffle;
mod streams;
