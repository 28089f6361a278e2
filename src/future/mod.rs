//! Waits for several futures in the current task.
//!
//! | operation | resolves to | of no futures |
//! |---|---|---|
//! | [`gather`] | all values, in order | nothing, at once |
//! | [`try_gather`] | all values, or the first error | nothing, at once |
//! | [`race`] | the first value | panics |
//! | [`select!`](crate::select) | the value of the first one's arm | runs `else` |
//! | [`race_ok`] | the first success, or all errors | no errors, at once |
//! | [`quorum`] | the first `k` successes, or all results | an error, or nothing if `k` is 0 |
//! | [`as_completed`] | a stream of values as they come | the end |
//! | [`hedge`] | the first value of several attempts | – |
//!
//! The functions take a tuple of up to twelve futures, an array of up to 64, a `Vec`, or an
//! iterator over any number. Operations that cancel losers, or the siblings of a failure, [wind
//! them down](crate::cancel): they wait for cleanup before they return.
//!
//! [`Singleflight`] shares one piece of work among all who ask for the same thing while it runs.
//! [`Batcher`] gathers the items of many callers, for work that is done on many at once.
//! [`catch_panic`] returns the panic of one future as a value, and [`FutureExt`] has foster's
//! functions as methods.
//!
//! # Cost
//!
//! A tuple or an array of up to twelve stays inside the future that the function returns. Nothing
//! is allocated, and all pending futures are polled when one is woken. [`as_completed`] and larger
//! groups allocate. They poll only the futures that are woken, and one poll costs the same among
//! ten futures as among a million.
//!
//! A future that is always ready, or that uses up what the runtime allows for one poll, starves no
//! other. Each has its turn in a pass, and passes begin at different futures.

mod as_completed;
mod batcher;
mod catch_panic;
mod ext;
mod gather;
mod hedge;
mod inputs;
mod race;
pub(crate) mod select;
mod singleflight;
pub(crate) mod tuples;

pub use as_completed::{AsCompleted, Wait, as_completed};
pub use batcher::{BatchError, Batched, Batcher};
pub use catch_panic::{CatchPanic, Panicked, catch_panic};
pub use ext::{FutureExt, NamedFuture};
pub use gather::{Gather, TryGather, gather, try_gather};
pub use hedge::{Hedge, hedge};
pub use inputs::{AlikeFutures, Array, Collection, Futures, TryFutures};
pub use race::{Quorum, QuorumMissed, Race, RaceOk, quorum, race, race_ok};
pub use singleflight::{Flight, FlightError, FlightOutcome, Singleflight};
pub use tuples::Tuple;

pub use crate::engine::{Few, Many};
