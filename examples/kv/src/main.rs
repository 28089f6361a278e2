//! The command line: hands a node or a client a runtime.

#[path = "../../shared/runtimes.rs"]
mod runtimes;

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand};
use foster::net::TcpListener;
use foster::timeout;
use kv::{Client, FileDisk, Node, Rules};

use crate::runtimes::Runtime;

/// How long a request of the command line may take.
const REQUEST: Duration = Duration::from_secs(10);

/// A replicated key-value service.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The addresses of all nodes, in the same order everywhere
    #[arg(long, value_delimiter = ',', required = true, value_name = "HOST:PORT,…")]
    nodes: Vec<String>,

    /// What runs it
    #[arg(long, value_enum, default_value_t)]
    runtime: Runtime,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs a node, until it is killed
    Serve {
        /// Which of the addresses is its own, counted from 0
        #[arg(long)]
        id: usize,
        /// Where it keeps its log
        #[arg(long)]
        dir: PathBuf,
        /// The standard input is a socket that listens, as inetd passes it on
        #[arg(long)]
        inherit: bool,
    },
    /// Prints the value of a key
    Get { key: String },
    /// Sets the value of a key, and prints the one before
    Put { key: String, value: String },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kv: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn Error>> {
    let Args { nodes, runtime, command } = args;
    let runtime = runtime.start()?;
    match command {
        Command::Serve { id, dir, inherit } => Ok(runtime.run(serve(id, nodes, dir, inherit))?),
        Command::Get { key } => print(runtime.run(timeout(REQUEST, client(&nodes).get(&key)))?),
        Command::Put { key, value } => print(runtime.run(timeout(REQUEST, client(&nodes).put(&key, &value)))?),
    }
}

async fn serve(id: usize, nodes: Vec<String>, dir: PathBuf, inherit: bool) -> io::Result<()> {
    let Some(address) = nodes.get(id).cloned() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no address for node {id}")));
    };
    let listener = if inherit { inherited()? } else { TcpListener::bind(address).await? };
    let node = Node::open(id, nodes, Rules::default(), Arc::new(FileDisk::open(&dir)?)).await?;
    node.run(listener).await;
    Ok(())
}

/// Returns the listener that is the standard input.
#[cfg(unix)]
fn inherited() -> io::Result<TcpListener> {
    use std::os::fd::AsFd;
    TcpListener::from_std(io::stdin().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn inherited() -> io::Result<TcpListener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "sockets are inherited on Unix only"))
}

/// Returns a client that nobody else is.
fn client(nodes: &[String]) -> Client {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Client::new(since.as_nanos() as u64 ^ u64::from(process::id()).rotate_right(20), nodes)
}

fn print(value: Result<Option<String>, kv::ClientError>) -> Result<(), Box<dyn Error>> {
    println!("{}", value?.unwrap_or_default());
    Ok(())
}
