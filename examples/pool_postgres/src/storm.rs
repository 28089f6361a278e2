//! Transfers that are cancelled at random, over connections that are lost at random.

use std::future::{Future, poll_fn};
use std::ops::AddAssign;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use foster::{sleep, timeout};

use crate::bank::{Bank, Transfer, TransferError};

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
        // From a microsecond to a quarter of a second, each magnitude as often as the others.
        let soon = Duration::from_micros(1 << random.u32(0..18));
        match random.u32(0..6) {
            0 => tally.cancelled += count(timeout(soon, transfer).await.ok(), &mut tally)?,
            1 => tally.cancelled += count(cancel_after(soon, transfer).await, &mut tally)?,
            2 => tally.dropped += count(poll_times(random.u32(1..20), transfer).await, &mut tally)?,
            _ => _ = count(Some(transfer.await), &mut tally)?,
        }
    }
    Ok(tally)
}

/// Adds the outcome of a transfer to the tally. Returns 1 if there is none.
fn count(outcome: Option<Result<(), TransferError>>, tally: &mut Tally) -> Result<u64, TransferError> {
    match outcome {
        Some(Ok(())) => tally.made += 1,
        Some(Err(TransferError::Insufficient)) => tally.refused += 1,
        Some(Err(error)) if error.is_connection_lost() => tally.lost += 1,
        Some(Err(error)) => return Err(error),
        None => return Ok(1),
    }
    Ok(0)
}

/// Runs a future as a task, and cancels it.
async fn cancel_after<F: Future<Output: Send> + Send>(delay: Duration, future: F) -> Option<F::Output> {
    foster::scope(async |s| {
        let task = s.spawn(future);
        sleep(delay).await;
        task.cancel();
        task.outcome().await.ok()
    })
    .await
}

/// Drops a future after some polls, as code does that knows nothing of foster.
async fn poll_times<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
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
