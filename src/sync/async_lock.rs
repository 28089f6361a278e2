//! The locks of the crate [`async-lock`](https://docs.rs/async-lock), for code that has them
//! already or wants what they have and ours do not.
//!
//! They need no runtime either, and work in scopes and under every runtime. Where they differ:
//!
//! | | [`sync`](super) | `async_lock` |
//! |---|---|---|
//! | a permit or a mutex is given back while one waits | it belongs to the waiter | a newcomer may take it; then the waiter was woken for nothing, and waits on |
//! | two permits are given back before anybody runs | both waiters are woken | one waiter is woken, and wakes the next when it has run |
//! | a waiter that was woken is dropped | the next one has its turn | the next one is woken |
//! | several permits at a time, more permits later, `close` | yes | no |
//! | readers that wait, and a writer behind them, when a writer leaves | the readers have the lock | all are woken, and the first that is polled has it |
//! | a reader comes while a writer waits | it waits behind the writer | it waits |
//! | a writer that waits is dropped | the readers behind it are let in | they are let in |
//! | a waiter for a [`OnceCell`] is woken to initialise it, and is not polled | all are woken, and another one begins | those that wait already wait on |
//! | in a [cancelled region](crate::cancel#regions) | a wait does not begin | a wait begins |
//! | a guard that can be upgraded, and forms that block a thread | no | yes |
//!
//! A dropped future loses its place in the line with both, and nothing else.
//!
//! Newcomers that may go first make for fewer switches between tasks under load. The price is that
//! one who waits can be passed by for a while. The feature `async-lock` adds this module.

pub use ::async_lock::*;
