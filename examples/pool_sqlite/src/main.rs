//! The command line: lets a storm rage over a bank, and audits the bank.

#[path = "../../shared/runtimes.rs"]
mod runtimes;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use foster::resource::PoolOptions;
use pool_sqlite::{Audit, Bank, Sqlite, Storm, Tally};

use crate::runtimes::Runtime;

/// What each account has at first.
const BALANCE: i64 = 1_000;

/// Transfers money between accounts in SQLite, cancels transfers at random, and counts the money.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// What runs it
    #[arg(long, value_enum, default_value_t)]
    runtime: Runtime,

    /// How many transfers are tried
    #[arg(long, default_value_t = 10_000)]
    transfers: u32,

    /// How many tasks try them at the same time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,

    /// How many connections there are at most
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,

    /// What the random choices depend on
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Where to make the database, and leave it. Otherwise it is a temporary file
    #[arg(long)]
    database: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("pool_sqlite: the books are wrong");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("pool_sqlite: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the books are right.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = args.database.clone().unwrap_or_else(|| directory.path().join("bank.db"));
    let accounts = 20;
    let storm = Storm { tasks: args.tasks, transfers: args.transfers / args.tasks, accounts, seed: args.seed };
    let begin = Instant::now();
    let (tally, audit) = args.runtime.start()?.run(rage(path, storm, args.connections.into()))?;
    let Tally { made, refused, busy, cancelled, dropped, .. } = tally;
    println!("{made} transfers made, {refused} refused, {busy} too late, {cancelled} cancelled, {dropped} dropped");
    println!("{} in the accounts, {} transfers in the book", audit.total, audit.transfers);
    println!("{:.1} s", begin.elapsed().as_secs_f32());
    Ok(audit.total == accounts * BALANCE && audit.wrong == 0 && audit.transfers >= made)
}

async fn rage(path: PathBuf, storm: Storm, connections: usize) -> Result<(Tally, Audit), pool_sqlite::TransferError> {
    foster::try_scope(async |s| {
        let pool = PoolOptions::new().max_size(connections).build(Sqlite::new(path), s.spawner());
        let balances = vec![BALANCE; storm.accounts as usize];
        let bank = Bank::open(pool, balances).await?;
        let tally = bank.storm(storm).await?;
        Ok((tally, bank.audit().await?))
    })
    .await
}
