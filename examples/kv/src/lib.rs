//! A replicated key-value service, which exists to be tested.
//!
//! Three or five [nodes](Node) hold the same log of writes. They elect a leader, which appends a
//! write to its log, has the others append it, and answers when a majority has it on disk. This is
//! the core of Raft (Ongaro and Ousterhout, 2014), without snapshots and without changes of who
//! takes part. A [client](Client) finds the leader, and tries again until it has an answer.
//!
//! The service is linearizable: each request seems to happen at one instant between its call and
//! its answer, whatever crashes, and however the network is cut. Two rules are easy to forget, and
//! [`Rules`] can break them, so that a test can show that it notices:
//!
//! - A leader that was cut off does not know that there is another one. So it asks a majority
//!   before it answers a read.
//! - A client that gets no answer cannot know whether its write was done, and tries again. So each
//!   write carries a number, and is done once.
//!
//! No runtime is named here. `main.rs` runs it on one of four, and `tests/` in a simulation.

mod client;
mod election;
mod follower;
mod frame;
mod leader;
mod link;
mod log;
mod node;
mod protocol;
mod replica;
mod store;

pub use client::{Client, ClientError};
pub use log::{Disk, FileDisk};
pub use node::{Node, Reads, Retries, Rules};
pub use protocol::Refused;
