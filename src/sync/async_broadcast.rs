//! The channel of the crate [`async-broadcast`](https://docs.rs/async-broadcast), whose every
//! receiver gets every value.
//!
//! It needs no runtime. The counterpart of tokio's `broadcast`. asyncio has none.
//!
//! ```
//! # futures::executor::block_on(async {
//! use foster::{scope, sync::async_broadcast::broadcast};
//!
//! let (sender, receiver) = broadcast(2);
//! let sums = scope(async |s| {
//!     let tasks = [receiver.clone(), receiver].map(|mut receiver| {
//!         s.spawn(async move {
//!             let mut sum = 0;
//!             while let Ok(value) = receiver.recv().await {
//!                 sum += value;
//!             }
//!             sum
//!         })
//!     });
//!     for value in 1..=3 {
//!         sender.broadcast(value).await.expect("there are receivers");
//!     }
//!     drop(sender);
//!     foster::gather(tasks).await
//! });
//! assert_eq!(sums.await, [6, 6]);
//! # });
//! ```
//!
//! # How it differs
//!
//! It keeps most of what this crate promises for its own channels: a value is received by the poll
//! that returns it, so a wait that is dropped loses nothing; a `broadcast` that is dropped has sent
//! its value or has not; a sender that was woken and is dropped wakes the next; what was sent is
//! received before the end is. Where it differs:
//!
//! | | [`sync`](super) and [`queue`](crate::queue) | `async_broadcast` |
//! |---|---|---|
//! | one comes when there is room, and others wait | it waits behind them | it sends at once |
//! | a sender that was woken is polled | it has its turn | it may find no room, and waits on at the end of the line |
//! | wakers, `clone` and destructors of values run | without a lock | under the lock of the channel: they must not use it, and if a `clone` panics, every later call panics |
//! | there is more room | those who wait are let in | `set_capacity` wakes nobody |
//! | the number of those who wait | is told | is not told |
//! | in a [cancelled region](crate::cancel#regions) | a wait does not begin | a wait begins |
//!
//! If a receiver need not see each value, use a [`watch`](super::watch), which has none of these
//! differences. The feature `async-broadcast` adds this module.

pub use ::async_broadcast::*;
