//! The command line: lets a storm rage over a bank, and audits the bank.

#[path = "../../shared/runtimes.rs"]
mod runtimes;

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use foster::resource::{Pool, PoolOptions};
use foster::sleep;
use pool_postgres::{Audit, Bank, Postgres, Storm, Tally, TransferError, transaction};
use tokio_postgres::Config;

use crate::runtimes::Runtime;

/// What each account has at first.
const BALANCE: i64 = 1_000;

/// Where the tables are made. It is also the name of the connections.
const SCHEMA: &str = "pool_postgres";

/// Transfers money between accounts in PostgreSQL, cancels transfers and kills connections at
/// random, and counts the money.
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

    /// How many connections the server kills each second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,

    /// What the random choices depend on
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// The server. The default is in the environment, as DATABASE_URL
    #[arg(long)]
    url: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("pool_postgres: the books are wrong");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("pool_postgres: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the books are right.
fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let url = args.url.clone().or_else(|| env::var("DATABASE_URL").ok());
    let config: Config = url.ok_or("say which server by --url, or by DATABASE_URL in the environment")?.parse()?;
    let accounts = 20;
    let storm = Storm { tasks: args.tasks, transfers: args.transfers / args.tasks, accounts, seed: args.seed };
    let pools = PoolOptions::new().max_size(args.connections.into());
    let begin = Instant::now();
    let (tally, audit) = args.runtime.start()?.run(rage(&config, pools, storm, args.kills))?;
    let Tally { made, refused, lost, cancelled, dropped, .. } = tally;
    println!("{made} transfers made, {refused} refused, {lost} lost, {cancelled} cancelled, {dropped} dropped");
    println!("{} in the accounts, {} transfers in the book", audit.total, audit.transfers);
    println!("{:.1} s", begin.elapsed().as_secs_f32());
    Ok(audit.total == i64::from(accounts) * BALANCE && audit.wrong == 0)
}

async fn rage(config: &Config, pools: PoolOptions, storm: Storm, kills: u32) -> Result<(Tally, Audit), TransferError> {
    foster::try_scope(async |s| {
        let server = PoolOptions::new().max_size(1).build(Postgres::new(config.clone(), s.spawner()), s.spawner());
        let again = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}");
        transaction::<_, TransferError, _>(&server, async |tx| Ok(tx.batch_execute(&again).await?)).await?;

        let mut config = config.clone();
        config.options(format!("-c search_path={SCHEMA}")).application_name(SCHEMA);
        let pool = pools.build(Postgres::new(config, s.spawner()), s.spawner());
        let bank = Bank::open(pool, vec![BALANCE; storm.accounts as usize]).await?;
        let killer = s.spawn(kill(server, kills));
        let tally = bank.storm(storm).await?;
        killer.cancel();
        Ok((tally, bank.audit().await?))
    })
    .await
}

/// Makes the server end connections at random, so many each second.
async fn kill(server: Pool<Postgres>, per_second: u32) -> Result<Infallible, TransferError> {
    let one = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = $1 ORDER BY random() LIMIT 1";
    loop {
        sleep(Duration::from_secs(1) / per_second).await;
        transaction::<_, TransferError, _>(&server, async |tx| Ok(tx.execute(one, &[&SCHEMA]).await?)).await?;
    }
}
