//! Transactions that end with their body, however it ends.

use std::ops::Deref;

use foster::bracket;
use foster::resource::{Pool, Pooled};
use foster::scope::Errors;
use tokio_postgres::Client;

use crate::connection::Postgres;
use crate::error::Error;

/// Runs `body` in a transaction, and commits it if `body` returns a value.
///
/// It takes a connection out of the pool. The counterpart of SQLAlchemy's
/// `async with session.begin()`, and of asyncpg's `async with connection.transaction()`.
///
/// # Errors
///
/// Returns the error of `body` after the rollback. Otherwise returns an error if there is no
/// connection, if it is lost, or if the commit fails. A statement that has failed makes the commit
/// fail, also when `body` ignores it.
///
/// # Cancellation
///
/// The server interrupts the statement that runs, and rolls back. A cancellation by foster waits
/// for that. When other code drops the future, the enclosing scope or root does it. A commit that
/// has begun is finished.
///
/// # Panics
///
/// Resumes the panic of `body` after the rollback.
pub async fn transaction<T, E, F>(pool: &Pool<Postgres>, body: F) -> Result<T, E>
where
    F: AsyncFnOnce(&Transaction) -> Result<T, E>,
    E: From<Error>,
{
    let begin = async { Ok(Transaction::begin(pool).await?) };
    let run = async |tx: &mut Transaction| {
        let result = body(tx).await;
        tx.end = if result.is_ok() { End::Commit } else { End::Rollback };
        result
    };
    let end = async |tx: Transaction| Ok(tx.end().await?);
    bracket(begin, run, end).await.map_err(Errors::into_first)
}

/// Reads and writes in a transaction. [`transaction`] lends it to its body.
///
/// It has the methods of [`Client`].
#[derive(Debug)]
pub struct Transaction {
    connection: Pooled<Postgres>,
    end: End,
}

/// How a transaction is to end.
#[derive(Debug)]
enum End {
    /// The body has returned a value.
    Commit,
    /// The body has returned an error.
    Rollback,
    /// The body has not returned. A statement may still run.
    Interrupt,
}

impl Transaction {
    async fn begin(pool: &Pool<Postgres>) -> Result<Self, Error> {
        let mut connection = pool.get().await?;
        // If it is dropped in here, the pool rolls back before anybody gets the connection.
        connection.begin().await?;
        Ok(Transaction { connection, end: End::Interrupt })
    }

    async fn end(mut self) -> Result<(), Error> {
        match self.end {
            End::Commit => return self.connection.commit().await,
            End::Rollback => {}
            End::Interrupt => self.connection.interrupt().await,
        }
        Ok(self.connection.rollback().await?)
    }
}

impl Deref for Transaction {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.connection.client()
    }
}
