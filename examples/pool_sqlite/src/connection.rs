//! Connections to SQLite, whose statements run as blocking jobs.

use std::fmt;
use std::future::Future;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use foster::resource::Manager;
use foster::sync::Mutex;
use foster::{blocking, retry};

use crate::error::is_busy;

/// How many steps of SQLite's machine may pass before it notices that it is interrupted.
const STEPS: i32 = 1_000;

/// How long a connection waits for a lock that somebody else has. SQLite's own waiting would take a
/// thread, which nobody could interrupt.
const PATIENCE: Duration = Duration::from_secs(5);

/// Creates the connections of a pool.
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    /// Names the file that contains the database. The first connection creates it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Sqlite { path: path.into() }
    }
}

impl Manager for Sqlite {
    type Resource = Connection;
    type Error = rusqlite::Error;

    async fn create(&self) -> rusqlite::Result<Connection> {
        let path = self.path.clone();
        blocking(move || Connection::open(&path)).await
    }

    /// Rolls back what a transaction has left behind that was dropped while it began.
    fn reset(&self, connection: &mut Connection) -> Option<impl Future<Output = rusqlite::Result<()>> + Send> {
        (!connection.is_at_rest()).then(|| connection.rollback())
    }

    /// Waits for the statement that still runs. Then it closes the file, which takes time, too.
    async fn close(&self, connection: Connection) {
        let last = connection.sqlite.lock_owned().await;
        blocking(move || drop(last)).await;
    }
}

/// A connection to SQLite.
///
/// At most one job has it at a time. The others wait in line.
pub struct Connection {
    sqlite: Arc<Mutex<rusqlite::Connection>>,
    /// While it is true, SQLite gives up the statement that it runs.
    is_interrupted: Arc<AtomicBool>,
}

impl Connection {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let sqlite = rusqlite::Connection::open(path)?;
        // With a log of what was written, readers and the one writer do not wait for each other.
        sqlite.pragma_update(None, "journal_mode", "wal")?;
        sqlite.pragma_update(None, "synchronous", "normal")?;
        sqlite.pragma_update(None, "foreign_keys", true)?;
        // Up to here it waits as rusqlite has set it up. From now on `when_free` does.
        sqlite.busy_timeout(Duration::ZERO)?;
        let is_interrupted = Arc::new(AtomicBool::new(false));
        let asked = is_interrupted.clone();
        sqlite.progress_handler(STEPS, Some(move || asked.load(Ordering::Relaxed)));
        Ok(Connection { sqlite: Arc::new(Mutex::new(sqlite)), is_interrupted })
    }

    /// Runs `job` with the connection, where it may block, and returns what it returns.
    ///
    /// # Cancellation
    ///
    /// The statement that runs is interrupted, and the job is waited for. A job that has not begun
    /// is dropped unrun. When other code drops the future, the job is interrupted as well, and the
    /// next one waits for its end.
    pub async fn call<T, F>(&self, job: F) -> rusqlite::Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let mut sqlite = self.sqlite.clone().lock_owned().await;
        self.is_interrupted.store(false, Ordering::Relaxed);
        let interrupt = Interrupt(&self.is_interrupted);
        foster::scope(async |s| {
            // The body of a cancelled scope is dropped at once, while the job goes on.
            let _interrupt = interrupt;
            s.spawn_blocking(move || job(&mut sqlite)).await
        })
        .await
    }

    /// Executes a statement that takes a lock of the database, as soon as nobody else has the lock.
    ///
    /// It waits for up to five seconds, and not beyond the deadline. No thread waits with it.
    pub(crate) async fn when_free(&self, sql: &'static str) -> rusqlite::Result<()> {
        let longest = Duration::from_millis(32);
        let pauses = iter::successors(Some(Duration::from_millis(1)), |pause| Some(longest.min(*pause * 2)));
        let execute = || self.call(move |sqlite| sqlite.execute_batch(sql));
        retry(pauses, execute).when(is_busy).max_elapsed(PATIENCE).jitter().await
    }

    /// Rolls back the transaction, if there is one. SQLite itself does so after some errors.
    pub(crate) async fn rollback(&self) -> rusqlite::Result<()> {
        let rollback = |sqlite: &mut rusqlite::Connection| {
            if sqlite.is_autocommit() { Ok(()) } else { sqlite.execute_batch("ROLLBACK") }
        };
        self.call(rollback).await
    }

    /// Returns whether no statement runs, and no transaction has begun.
    fn is_at_rest(&self) -> bool {
        self.sqlite.try_lock().is_some_and(|sqlite| sqlite.is_autocommit())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_at_rest", &self.is_at_rest()).finish_non_exhaustive()
    }
}

/// Interrupts the statement that runs when this is dropped. That does nothing after its end.
struct Interrupt<'a>(&'a AtomicBool);

impl Drop for Interrupt<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
