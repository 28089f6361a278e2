//! Transactions on PostgreSQL, through a pool, on the sockets of any runtime.
//!
//! `tokio-postgres` speaks the protocol, and nothing here needs a runtime of tokio's. The parts
//! below add what a program needs around it:
//!
//! - [`Postgres`] creates the connections of a [`Pool`](foster::resource::Pool), over the sockets
//!   of `foster::net`. What drives a connection is a child of the pool's scope.
//! - [`transaction`] commits when its body has a value. It rolls back when the body fails, panics,
//!   or is cancelled or dropped, and returns after that.
//! - [`Bank`] moves money in transactions. It tries again when a connection is lost, and makes each
//!   transfer once.
//!
//! No runtime is named here. `main.rs` runs it on one of four.

mod bank;
mod connection;
mod error;
mod storm;
mod transaction;
#[path = "../../shared/whims.rs"]
mod whims;

pub use bank::{Audit, Bank, Transfer, TransferError};
pub use connection::{Connection, Postgres};
pub use error::{ConnectError, Error};
pub use storm::{Storm, Tally};
pub use transaction::{Transaction, transaction};
