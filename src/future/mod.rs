//! Waiting for several futures.
//!
//! | operation | resolves to | of none |
//! |---|---|---|
//! | [`gather`] | all values, in order | nothing, at once |
//! | [`try_gather`] | all values, or the first error | nothing, at once |
//! | [`settle`] | all results, in order | nothing, at once |
//! | [`race`] | the first value | panics |
//! | [`race_ok`] | the first success, or all errors | no errors, at once |
//! | [`quorum`] | the first `k` successes, or why there are none | an error, at once; `k` = 0: nothing |
//! | [`as_completed`] | a stream of values as they come | the end |
//! | [`hedge`] | the first value of several attempts | – |
//!
//! Each takes a tuple of up to twelve futures, an array, a `Vec`, or any iterator. All of them poll only what was woken,
//! and cost the same per future for ten as for a million. Where futures are cancelled, losers and the siblings of a
//! failure, they are [wound down](crate::cancel).

mod completed;
mod ext;
mod gather;
mod hedge;
mod members;
mod race;
pub(crate) mod tuples;

pub use completed::{AsCompleted, Wait, as_completed};
pub use ext::{FutureExt, NamedFuture};
pub use gather::{Gather, TryGather, gather, settle, try_gather};
pub use hedge::{Hedge, hedge};
pub use members::{AlikeFutures, Array, Collection, Futures, TryFutures};
pub use race::{Quorum, QuorumMissed, Race, RaceOk, quorum, race, race_ok};
pub use tuples::Tuple;

pub use crate::set::{Few, Many};
