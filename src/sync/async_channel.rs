//! The channels of the crate [`async-channel`](https://docs.rs/async-channel), for code that has
//! them already, or needs no more than a channel.
//!
//! They need no runtime either, and work in scopes and under every runtime. Where they differ from
//! our [`queue`](crate::queue):
//!
//! | | [`queue`](crate::queue) | `async_channel` |
//! |---|---|---|
//! | an item comes while a receiver waits | it is for that receiver | a newcomer may take it; then the receiver was woken for nothing, and waits on |
//! | room comes while a sender waits | it is for that sender | a newcomer may take it |
//! | a `send` that waits is dropped | its item is dropped, unless it [reserves](crate::queue::Sender::reserve) first | its item is dropped |
//! | a `recv` that waits is dropped | nothing is lost | nothing is lost |
//! | when the work on an item is done | is known: [`join`](crate::queue::Sender::join) | is not |
//! | the last receiver is dropped | what is queued is dropped then | what is queued is kept as long as there is a sender |
//! | priorities, newest first, closing and taking out the rest | yes | no |
//! | a channel that is full makes room by dropping the oldest (`force_send`), and forms that block a thread | no | yes |
//!
//! The feature `async-channel` adds this module.

pub use ::async_channel::*;
