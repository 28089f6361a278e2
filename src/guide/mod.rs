//! Guides: how to do what you know from elsewhere, and how to build on it.
//!
//! | page | for |
//! |---|---|
//! | [`asyncio`] | readers who know Python's asyncio: each pattern, side by side |
//! | [`tokio`] | readers who know tokio: what is different when something is dropped |
//! | [`trio`] | readers who know Trio or anyio |
//! | [`library`] | authors of libraries that spawn, and must not choose a runtime |
//! | [`web`] | authors of handlers in a web framework: the context, hang-ups, the end of a server |
//! | [`seams`] | users of hyper, async-graphql, backon, opentelemetry or openraft, whose runtime they may choose |
//! | [`network`] | whoever tests a client or a server: latency, partitions and crashes by seed |
//! | [`recipes`] | short programs for what is asked for often |
//! | [`errors`] | whoever has a message of the compiler to understand, or a program that hangs |
//! | [`architecture`] | contributors: the layers of the crate, and what must stay true |
//!
//! [`cancel`](crate::cancel) explains what happens when something is cancelled. Every program of
//! these pages is compiled and run as a test.
//!
#![cfg_attr(not(all(feature = "net", feature = "testing")), doc = "[`network`]: self")]

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("asyncio.md")]
pub mod asyncio {}

#[doc = include_str!("errors.md")]
pub mod errors {}

#[doc = include_str!("library.md")]
pub mod library {}

#[cfg(all(feature = "net", feature = "testing"))]
#[doc = include_str!("network.md")]
pub mod network {}

#[doc = include_str!("recipes.md")]
pub mod recipes {}

#[doc = include_str!("seams.md")]
pub mod seams {}

#[doc = include_str!("tokio.md")]
pub mod tokio {}

#[doc = include_str!("trio.md")]
pub mod trio {}

#[doc = include_str!("web.md")]
pub mod web {}
