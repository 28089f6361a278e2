//! The command line: runs the programs against a server of its own, on one of four runtimes.

#[path = "../../shared/runtimes.rs"]
mod runtimes;

use std::error::Error;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use fetch::server::{Log, Order, Receipt, Server};
use fetch::{Options, Session, programs};
use foster::net::TcpListener;
use foster::{Token, now, try_scope};

use crate::runtimes::Runtime;

/// Fetches pages from a server with faults.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// What to run; all of them, one after the other, if none is named
    #[arg(value_enum)]
    programs: Vec<Program>,

    /// What runs it
    #[arg(long, value_enum, default_value_t)]
    runtime: Runtime,

    /// How many connections there are at most
    #[arg(long, value_name = "N", default_value = "20")]
    limit: NonZeroUsize,

    /// How many connections to each host there are at most
    #[arg(long, value_name = "N", default_value = "10")]
    per_host: NonZeroUsize,

    /// How many requests a second are sent to each host
    #[arg(long, value_name = "N", default_value = "1000")]
    rate: NonZeroU32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Program {
    /// Fetches 200 pages, 50 at once, some of which fail at first
    Gather,
    /// Writes 10 MB to a file, in spite of two connections that break off
    Download,
    /// Sends an order as JSON, which a busy server refuses at first
    Post,
    /// Has 8 workers fetch 200 pages with one session
    Share,
    /// Asks a server that is not there
    Refused,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fetch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let Args { programs, runtime, limit, per_host, rate } = args;
    let programs = if programs.is_empty() { Program::value_variants().to_vec() } else { programs };
    let options = Options::new().limit(limit.get()).limit_per_host(per_host.get());
    let options = options.rate(rate.get(), Duration::from_secs(1)).timeout(Duration::from_secs(2));
    runtime.start()?.run(run_all(&programs, options)).map_err(|error| error as Box<dyn Error>)
}

async fn run_all(programs: &[Program], options: Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (server, log, stop) = (Server::bind("127.0.0.1:0").await?, Log::default(), Token::new());
    let url = server.url()?;
    try_scope(async |s| {
        s.spawn(async {
            server.run(&log, &stop).await;
            Ok(())
        });
        let session = Session::new(options, s.spawner());
        for program in programs {
            let (began, before) = (now(), log.requests());
            let result = program.run(&session, &url).await;
            let (requests, took) = (log.requests() - before, now() - began);
            let name = program.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            println!("{name:>8}: {}; {requests} requests in {took:.1?}", result?);
        }
        let statistics = session.statistics();
        session.close().await;
        println!("{} connections at most, {} were idle at the end", statistics.peak(), statistics.idle());
        stop.cancel("all programs have run");
        Ok(())
    })
    .await
}

impl Program {
    /// Runs the program, and returns what has come of it.
    async fn run(self, session: &Session, url: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        let pages = |name: &str, fault: &str| -> Vec<String> {
            let fault = |number| if number % 10 == 0 { fault } else { "" };
            (0..200).map(|number| format!("{url}/pages/{name}{number}?{}", fault(number))).collect()
        };
        Ok(match self {
            Program::Gather => {
                let pages = programs::gather(session, &pages("a", "error,lost"), 50).await;
                let failed = pages.iter().filter(|page| page.is_err()).count();
                format!("{} pages have come, and {failed} have not", pages.len() - failed)
            }
            Program::Download => {
                let file = tempfile::tempfile()?;
                let length = session.download(&format!("{url}/files/10000000?cut,cut"), file).await?;
                format!("{length} bytes are in the file")
            }
            Program::Post => {
                let order = Order { item: "tea".into(), count: 3 };
                let receipt: Receipt = session.post(&format!("{url}/orders?busy"), &order).await?;
                format!("the order has the number {}", receipt.number)
            }
            Program::Share => {
                let (bytes, failed) = programs::share(session, &pages("b", "cut"), 8).await;
                format!("{bytes} bytes have come, and {failed} pages have not")
            }
            Program::Refused => {
                // Its port is free again.
                let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
                match session.bytes(&format!("http://{address}/")).await {
                    Ok(_) => "somebody has answered".to_owned(),
                    Err(error) => error.to_string(),
                }
            }
        })
    }
}
