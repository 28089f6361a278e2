//! Transactions on SQLite, through a pool, on any runtime.
//!
//! SQLite blocks its thread, and a cancelled future must not leave a transaction half done. The
//! parts below solve this with what foster has, and are what SQLAlchemy's users know as an engine,
//! a session and `session.begin()`:
//!
//! - [`Sqlite`] creates the connections of a [`Pool`](foster::resource::Pool). A [`Connection`]
//!   runs each statement as a blocking job, and interrupts it when the job's future is cancelled.
//! - [`transaction`] commits when its body has a value. It rolls back when the body fails, panics,
//!   or is cancelled or dropped, and returns after that. [`snapshot`] is its counterpart for
//!   reading.
//! - [`Bank`] moves money in transactions. Its [`storm`](Bank::storm) cancels them at random, and
//!   an [audit](Bank::audit) finds that no money was lost.
//!
//! ```
//! use pool_sqlite::{Error, Sqlite, transaction};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("fruit.db");
//! let sim = foster::runtimes::Sim::default();
//! let pears: Result<u32, Error> = sim.run(foster::try_scope(async |s| {
//!     let pool = foster::resource::Pool::new(Sqlite::new(path), s.spawner());
//!     transaction(&pool, async |tx| {
//!         tx.execute("CREATE TABLE fruit (name TEXT, kilos INTEGER)", ()).await?;
//!         let rows = [("apple", 3), ("pear", 5)];
//!         tx.execute_many("INSERT INTO fruit VALUES (?, ?)", rows).await?;
//!         let select = "SELECT kilos FROM fruit WHERE name = ?";
//!         tx.query_one(select, ("pear",), |row| row.get(0)).await
//!     })
//!     .await
//! }));
//! assert_eq!(pears?, 5);
//! # Ok(()) }
//! ```
//!
//! No runtime is named here. `main.rs` runs it on one of four.

mod bank;
mod connection;
mod error;
mod storm;
mod transaction;
#[path = "../../shared/whims.rs"]
mod whims;

pub use bank::{Audit, Bank, TransferError};
pub use connection::{Connection, Sqlite};
pub use error::Error;
pub use storm::{Storm, Tally};
pub use transaction::{Transaction, snapshot, transaction};
