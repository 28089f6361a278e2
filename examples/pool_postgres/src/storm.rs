//! Transfers that are cancelled at random, over connections that are lost at random.

use std::ops::AddAssign;

use fastrand::Rng;

use crate::bank::{Bank, Transfer, TransferError};
use crate::whims::{self, Fate};

/// How many transfers are tried, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many tasks try them at the same time.
    pub tasks: u32,
    /// How many transfers each task tries, one after the other.
    pub transfers: u32,
    /// How many accounts there are to choose from.
    pub accounts: i32,
    /// What the choices depend on.
    pub seed: u64,
}

/// What became of the transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// They were made.
    pub made: u64,
    /// The account had too little.
    pub refused: u64,
    /// The connection was lost, and there was no time before the deadline to try again.
    pub lost: u64,
    /// They were cancelled, by a timeout or as tasks.
    pub cancelled: u64,
    /// Their future was dropped.
    pub dropped: u64,
}

impl Bank {
    /// Tries transfers, half of which are cancelled at random.
    ///
    /// Returns the tally of all tasks, or the first error of the database, which stops the others.
    pub async fn storm(&self, storm: Storm) -> Result<Tally, TransferError> {
        foster::try_scope(async |s| {
            let mut seeds = Rng::with_seed(storm.seed);
            let tasks: Vec<_> =
                (0..storm.tasks).map(|number| s.spawn(customer(self, storm, number, seeds.fork()))).collect();
            let mut all = Tally::default();
            for task in tasks {
                all += task.await;
            }
            Ok(all)
        })
        .await
    }
}

/// Tries transfers one after the other.
async fn customer(bank: &Bank, storm: Storm, customer: u32, mut random: Rng) -> Result<Tally, TransferError> {
    let mut tally = Tally::default();
    for number in 0..storm.transfers {
        let transfer = bank.pay(Transfer {
            number: i64::from(customer) << 32 | i64::from(number),
            source: random.i32(0..storm.accounts),
            target: random.i32(0..storm.accounts),
            amount: random.i64(1..100),
        });
        match whims::at_random(&mut random, transfer).await {
            Fate::Completed(Ok(())) => tally.made += 1,
            Fate::Completed(Err(TransferError::Insufficient)) => tally.refused += 1,
            Fate::Completed(Err(error)) if error.is_connection_lost() => tally.lost += 1,
            Fate::Completed(Err(error)) => return Err(error),
            Fate::Cancelled => tally.cancelled += 1,
            Fate::Dropped => tally.dropped += 1,
        }
    }
    Ok(tally)
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.made += other.made;
        self.refused += other.refused;
        self.lost += other.lost;
        self.cancelled += other.cancelled;
        self.dropped += other.dropped;
    }
}
