//! Waiting for several futures.
//!
//! | operation | resolves to | of none |
//! |---|---|---|
//! | [`gather`] | all values, in order | nothing, at once |
//! | [`try_gather`] | all values, or the first error | nothing, at once |
//! | [`race`] | the first value | panics |
//! | [`select!`](crate::select) | what the arm of the first gives | runs `else` |
//! | [`race_ok`] | the first success, or all errors | no errors, at once |
//! | [`quorum`] | the first `k` successes, or why there are none | an error, at once; `k` = 0: nothing |
//! | [`as_completed`] | a stream of values as they come | the end |
//! | [`hedge`] | the first value of several attempts | – |
//!
//! The functions take a tuple of up to twelve futures, an array of up to 64, a `Vec`, or an iterator over any number.
//! Tuples, and arrays of up to twelve, stay inside the combinator: nothing is allocated, and all that are pending are
//! polled when one is woken. Of more futures only those that were woken are polled, and one costs the same among ten
//! as among a million. Where futures are cancelled, losers and the siblings of a failure, they are
//! [wound down](crate::cancel).
//!
//! A future that is always ready, or that uses up what the runtime allows for one poll, starves no sibling: each has
//! its turn in a pass, and passes begin at different ones.

mod catch_panic;
mod completed;
mod ext;
mod gather;
mod hedge;
mod members;
mod race;
pub(crate) mod select;
pub(crate) mod tuples;

pub use catch_panic::{CatchPanic, Panicked, catch_panic};
pub use completed::{AsCompleted, Wait, as_completed};
pub use ext::{FutureExt, NamedFuture};
pub use gather::{Gather, TryGather, gather, try_gather};
pub use hedge::{Hedge, hedge};
pub use members::{AlikeFutures, Array, Collection, Futures, TryFutures};
pub use race::{Quorum, QuorumMissed, Race, RaceOk, quorum, race, race_ok};
pub use tuples::Tuple;

pub use crate::set::{Few, Many};
