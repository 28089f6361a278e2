//! Transactions that end with their body, however it ends.

use foster::bracket;
use foster::resource::{Pool, Pooled};
use foster::scope::Errors;
use rusqlite::{Params, Row};

use crate::connection::Sqlite;
use crate::error::Error;

/// Runs `body` in a transaction, and commits it if `body` returns a value.
///
/// It takes a connection out of the pool. It begins when no other transaction writes, here or in
/// another process, and waits for up to five seconds. The counterpart of SQLAlchemy's
/// `async with session.begin()`.
///
/// # Errors
///
/// Returns the error of `body` after the rollback. Otherwise returns an error if there is no
/// connection, if the database is [busy](Error::is_busy), or if the commit fails.
///
/// # Cancellation
///
/// The transaction is rolled back, after the statement that runs has been interrupted. A
/// cancellation by foster waits for that. When other code drops the future, the enclosing scope or
/// root rolls back. A commit that has begun is finished.
///
/// # Panics
///
/// Resumes the panic of `body` after the rollback.
pub async fn transaction<T, E, F>(pool: &Pool<Sqlite>, body: F) -> Result<T, E>
where
    F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    E: From<Error>,
{
    within(pool, "PRAGMA query_only = false; BEGIN IMMEDIATE", body).await
}

/// Runs `body` in a transaction that only reads.
///
/// It waits for nobody who writes, and sees the database as it was at the first query. A statement
/// that writes fails. It ends as a [`transaction`] does.
pub async fn snapshot<T, E, F>(pool: &Pool<Sqlite>, body: F) -> Result<T, E>
where
    F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    E: From<Error>,
{
    within(pool, "PRAGMA query_only = true; BEGIN", body).await
}

async fn within<T, E, F>(pool: &Pool<Sqlite>, begin: &'static str, body: F) -> Result<T, E>
where
    F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    E: From<Error>,
{
    let run = async |tx: &mut Transaction| {
        let value = body(tx).await?;
        tx.is_done = true;
        Ok(value)
    };
    let begin = async { Ok(Transaction::begin(pool, begin).await?) };
    let end = async |tx: Transaction| Ok(tx.end().await?);
    bracket(begin, run, end).await.map_err(Errors::into_first)
}

/// Reads and writes in a transaction. [`transaction`] and [`snapshot`] lend it to their bodies.
///
/// The text of a statement is part of the program. So a value gets into a statement by a parameter
/// alone. Statements are prepared once for each connection.
#[derive(Debug)]
pub struct Transaction {
    connection: Pooled<Sqlite>,
    /// Whether the body has returned a value, which is to be committed.
    is_done: bool,
}

impl Transaction {
    async fn begin(pool: &Pool<Sqlite>, begin: &'static str) -> Result<Self, Error> {
        let connection = pool.get().await?;
        // If it is dropped in here, the pool rolls back before anybody gets the connection.
        connection.when_free(begin).await?;
        Ok(Transaction { connection, is_done: false })
    }

    async fn end(self) -> Result<(), Error> {
        if self.is_done {
            self.connection.when_free("COMMIT").await?;
        } else {
            self.connection.rollback().await?;
        }
        Ok(())
    }

    /// Executes a statement, and returns how many rows it has changed.
    pub async fn execute(&self, sql: &'static str, params: impl Params + Send + 'static) -> Result<usize, Error> {
        Ok(self.connection.call(move |sqlite| sqlite.prepare_cached(sql)?.execute(params)).await?)
    }

    /// Executes a statement once for each of `rows`, in one job, and returns how many rows it has
    /// changed.
    ///
    /// The counterpart of `executemany` of Python's database modules.
    pub async fn execute_many<R>(&self, sql: &'static str, rows: R) -> Result<usize, Error>
    where
        R: IntoIterator<Item: Params> + Send + 'static,
    {
        let job = move |sqlite: &mut rusqlite::Connection| {
            let mut statement = sqlite.prepare_cached(sql)?;
            rows.into_iter().map(|row| statement.execute(row)).sum()
        };
        Ok(self.connection.call(job).await?)
    }

    /// Returns what `read` makes of each row that a query finds.
    pub async fn query<T, F>(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
        read: F,
    ) -> Result<Vec<T>, Error>
    where
        T: Send + 'static,
        F: FnMut(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let job =
            move |sqlite: &mut rusqlite::Connection| sqlite.prepare_cached(sql)?.query_map(params, read)?.collect();
        Ok(self.connection.call(job).await?)
    }

    /// Returns what `read` makes of the first row that a query finds.
    ///
    /// # Errors
    ///
    /// Returns [`rusqlite::Error::QueryReturnedNoRows`] if there is none.
    pub async fn query_one<T, F>(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
        read: F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Row<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        Ok(self.connection.call(move |sqlite| sqlite.prepare_cached(sql)?.query_row(params, read)).await?)
    }
}
