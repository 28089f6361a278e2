//! A database in a temporary directory, and a look into it that no pool takes part in.

use std::path::PathBuf;
use std::time::Duration;

use foster::resource::{Pool, PoolOptions};
use foster::scope::Spawner;
use pool_sqlite::{Bank, Sqlite};
use tempfile::TempDir;

/// A database that is removed when this is dropped.
pub(super) struct Database {
    directory: TempDir,
}

impl Database {
    pub(super) fn new() -> Self {
        Database { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }

    /// Returns a pool of up to two connections.
    pub(super) fn pool(&self, spawner: Spawner) -> Pool<Sqlite> {
        PoolOptions::new().max_size(2).build(Sqlite::new(self.path()), spawner)
    }

    /// Opens a bank with two accounts, each of which has 100.
    pub(super) async fn bank(&self, spawner: Spawner) -> Bank {
        Bank::open(self.pool(spawner), vec![100, 100]).await.unwrap()
    }

    /// Returns a connection of another program. It waits for no lock.
    pub(super) fn stranger(&self) -> rusqlite::Connection {
        let stranger = rusqlite::Connection::open(self.path()).unwrap();
        stranger.busy_timeout(Duration::ZERO).unwrap();
        stranger
    }

    /// Returns the balances, and how many transfers are in the book.
    ///
    /// Panics if somebody has left a transaction open that writes.
    pub(super) fn books(&self) -> (Vec<i64>, u32) {
        let stranger = self.stranger();
        stranger.execute_batch("BEGIN IMMEDIATE").expect("somebody still has the lock");
        let mut balances = stranger.prepare("SELECT balance FROM account ORDER BY id").unwrap();
        let balances = balances.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        (balances, stranger.query_row("SELECT count(*) FROM transfer", (), |row| row.get(0)).unwrap())
    }
}
