//! A bank that moves money, and its books.

use std::fmt;

use foster::resource::Pool;

use crate::connection::Sqlite;
use crate::error::Error;
use crate::transaction::{snapshot, transaction};

/// A bank with accounts that are numbered from 0.
///
/// Each transfer changes two balances, and writes a line of the book. So in the middle of a
/// transaction money is missing, and afterwards it is not.
#[derive(Clone, Debug)]
pub struct Bank {
    pool: Pool<Sqlite>,
}

impl Bank {
    /// Opens as many accounts as there are `balances`, in a database that has none.
    pub async fn open(pool: Pool<Sqlite>, balances: Vec<i64>) -> Result<Self, Error> {
        transaction(&pool, async |tx| {
            tx.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, opening INTEGER, balance INTEGER)", ()).await?;
            tx.execute(
                "CREATE TABLE transfer (id INTEGER PRIMARY KEY, source INTEGER, target INTEGER, amount INTEGER)",
                (),
            )
            .await?;
            let rows = (0_i64..).zip(balances);
            tx.execute_many("INSERT INTO account VALUES (?1, ?2, ?2)", rows).await
        })
        .await?;
        Ok(Bank { pool })
    }

    /// Returns the pool of connections.
    pub fn pool(&self) -> &Pool<Sqlite> {
        &self.pool
    }

    /// Moves `amount` from one account to another.
    ///
    /// # Errors
    ///
    /// Returns an error if the first account has less than that, or one of them does not exist.
    ///
    /// # Cancellation
    ///
    /// The transfer is made or not made as a whole.
    pub async fn transfer(&self, source: i64, target: i64, amount: i64) -> Result<(), TransferError> {
        transaction(&self.pool, async |tx| {
            let take = "UPDATE account SET balance = balance - ?2 WHERE id = ?1 AND balance >= ?2";
            if tx.execute(take, (source, amount)).await? == 0 {
                return Err(TransferError::Insufficient);
            }
            let give = "UPDATE account SET balance = balance + ?2 WHERE id = ?1";
            if tx.execute(give, (target, amount)).await? == 0 {
                return Err(TransferError::NoTarget);
            }
            let book = "INSERT INTO transfer (source, target, amount) VALUES (?, ?, ?)";
            tx.execute(book, (source, target, amount)).await?;
            Ok(())
        })
        .await
    }

    /// Adds up the accounts and the book, as they were at one moment.
    pub async fn audit(&self) -> Result<Audit, Error> {
        snapshot(&self.pool, async |tx| {
            let wrong = "SELECT count(*) FROM account a WHERE balance < 0 OR balance != opening
                + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE target = a.id)
                - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE source = a.id)";
            Ok(Audit {
                total: tx.query_one("SELECT sum(balance) FROM account", (), |row| row.get(0)).await?,
                transfers: tx.query_one("SELECT count(*) FROM transfer", (), |row| row.get(0)).await?,
                wrong: tx.query_one(wrong, (), |row| row.get(0)).await?,
            })
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
    pub transfers: u64,
    /// How many accounts have a balance that the book does not explain.
    pub wrong: u64,
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

impl From<Error> for TransferError {
    fn from(error: Error) -> Self {
        TransferError::Database(error)
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

impl std::error::Error for TransferError {
    // The message is that of the error. So the source is what lies behind the error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TransferError::Insufficient | TransferError::NoTarget => None,
            TransferError::Database(error) => std::error::Error::source(error),
        }
    }
}
