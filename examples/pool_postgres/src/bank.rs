//! A bank that moves money, and its books.

use std::fmt;
use std::iter;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use foster::resource::Pool;
use foster::retry;
use futures_util::{SinkExt, TryStreamExt};

use crate::connection::Postgres;
use crate::error::Error;
use crate::transaction::transaction;

/// A bank with accounts that are numbered from 0.
#[derive(Clone, Debug)]
pub struct Bank {
    pool: Pool<Postgres>,
}

/// An order to move money from one account to another.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Tells this order from all others. The same order is carried out once.
    pub number: i64,
    /// The account that has less afterwards.
    pub source: i32,
    /// The account that has more afterwards.
    pub target: i32,
    /// How much.
    pub amount: i64,
}

impl Bank {
    /// Opens as many accounts as there are `balances`, in a schema that has none.
    ///
    /// All rows are sent at once, by `COPY`.
    pub async fn open(pool: Pool<Postgres>, balances: Vec<i64>) -> Result<Self, Error> {
        transaction(&pool, async |tx| {
            let tables = "CREATE TABLE account (id int PRIMARY KEY, opening bigint NOT NULL, balance bigint NOT NULL);
                CREATE TABLE transfer (number bigint PRIMARY KEY, source int, target int, amount bigint)";
            tx.batch_execute(tables).await?;
            let mut rows = pin!(tx.copy_in("COPY account FROM STDIN").await?);
            for (id, balance) in balances.iter().enumerate() {
                rows.send(Bytes::from(format!("{id}\t{balance}\t{balance}\n"))).await?;
            }
            rows.finish().await?;
            Ok::<_, Error>(())
        })
        .await?;
        Ok(Bank { pool })
    }

    /// Returns the pool of connections.
    pub fn pool(&self) -> &Pool<Postgres> {
        &self.pool
    }

    /// Moves money in one transaction.
    ///
    /// # Errors
    ///
    /// Returns an error if the first account has too little, or one of them does not exist. An
    /// error of the database may leave it [unknown](Error::Unknown) whether money was moved.
    ///
    /// # Cancellation
    ///
    /// The transfer is made or not made as a whole.
    pub async fn transfer(&self, transfer: Transfer) -> Result<(), TransferError> {
        let Transfer { number, source, target, amount } = transfer;
        transaction(&self.pool, async |tx| {
            let book = "INSERT INTO transfer VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
            if tx.execute(book, &[&number, &source, &target, &amount]).await? == 0 {
                return Ok(()); // An earlier attempt has made it.
            }
            // In the same order everywhere, so that two transfers never wait for each other.
            let lock = "SELECT id FROM account WHERE id IN ($1, $2) ORDER BY id FOR UPDATE";
            tx.execute(lock, &[&source, &target]).await?;
            let take = "UPDATE account SET balance = balance - $2 WHERE id = $1 AND balance >= $2";
            if tx.execute(take, &[&source, &amount]).await? == 0 {
                return Err(TransferError::Insufficient);
            }
            let give = "UPDATE account SET balance = balance + $2 WHERE id = $1";
            if tx.execute(give, &[&target, &amount]).await? == 0 {
                return Err(TransferError::NoTarget);
            }
            Ok(())
        })
        .await
    }

    /// Moves money, and tries again when the connection is lost, as long as the deadline allows.
    ///
    /// It is made once, because its number is in the book since an attempt that was committed
    /// without the client's knowledge.
    pub async fn pay(&self, transfer: Transfer) -> Result<(), TransferError> {
        let longest = Duration::from_millis(500);
        let pauses = iter::successors(Some(Duration::from_millis(5)), |pause| Some(longest.min(*pause * 2)));
        retry(pauses, || self.transfer(transfer)).when(TransferError::is_connection_lost).jitter().await
    }

    /// Adds up the accounts and the book, as they were at one moment.
    pub async fn audit(&self) -> Result<Audit, Error> {
        let wrong = "SELECT count(*) FROM account a WHERE balance < 0 OR balance != opening
            + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE target = a.id)
            - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE source = a.id)";
        transaction(&self.pool, async |tx| {
            tx.batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            // Row by row, as they come.
            let mut balances = pin!(tx.query_raw("SELECT balance FROM account", iter::empty::<i32>()).await?);
            let mut total = 0;
            while let Some(row) = balances.try_next().await? {
                total += row.try_get::<_, i64>(0)?;
            }
            let transfers = tx.query_one("SELECT count(*) FROM transfer", &[]).await?.try_get(0)?;
            Ok(Audit { total, transfers, wrong: tx.query_one(wrong, &[]).await?.try_get(0)? })
        })
        .await
    }
}

/// What an [audit](Bank::audit) has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Audit {
    /// The sum of all balances.
    pub total: i64,
    /// How many transfers are in the book.
    pub transfers: i64,
    /// How many accounts have a balance that the book does not explain.
    pub wrong: i64,
}

/// Why nothing was transferred.
#[derive(Debug)]
pub enum TransferError {
    /// The first account has less than the amount, or does not exist.
    Insufficient,
    /// The second account does not exist.
    NoTarget,
    /// The database has failed.
    Database(Error),
}

impl TransferError {
    /// Returns true if the same transfer may succeed later, when the server can be reached.
    pub fn is_connection_lost(&self) -> bool {
        matches!(self, TransferError::Database(error) if error.is_connection_lost())
    }
}

impl From<Error> for TransferError {
    fn from(error: Error) -> Self {
        TransferError::Database(error)
    }
}

impl From<tokio_postgres::Error> for TransferError {
    fn from(error: tokio_postgres::Error) -> Self {
        TransferError::Database(error.into())
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransferError::Insufficient => f.write_str("the account has too little, or does not exist"),
            TransferError::NoTarget => f.write_str("there is no account to transfer to"),
            TransferError::Database(error) => error.fmt(f),
        }
    }
}

// The message contains that of the error inside, so there is no source to add.
impl std::error::Error for TransferError {}
