//! A client session for HTTP, as aiohttp has one, and a server with faults to try it on.
//!
//! No runtime is named here. The session opens the sockets of `foster::net`, lets hyper speak HTTP
//! over them, and keeps connections in a pool by host. `main.rs` runs it on one of four runtimes,
//! and `tests/` in a simulation, too.
//!
//! What runs:
//!
//! ```text
//! scope                       whose spawner the session is made with
//! ├─ the body                 has the session; when it drops it, connections are closed
//! │  └─ tasks with requests   any number: they share the session
//! ├─ creation of a connection a task of the pool, which outlives the request that caused it
//! └─ connection's driver      hyper's; ends when the connection is closed
//! ```
//!
//! When the scope has completed, no connection is left.

mod download;
mod failure;
mod host;
mod options;
pub mod programs;
mod response;
pub mod server;
mod session;

pub use failure::{Failure, FetchError};
pub use options::Options;
pub use response::Response;
pub use session::Session;
