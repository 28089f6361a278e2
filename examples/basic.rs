//! Runs the library in `shared` on the executors of the `futures` crate, which have no I/O.
//!
//! `cargo run --example basic --features macros,basic`

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use foster::blocking;

#[path = "shared/server.rs"]
mod server;
mod shared;

use shared::fetch_many;

#[foster::main(basic, threads = 2)]
async fn main() -> io::Result<()> {
    let address = server::start()?;
    let fetch = |path| fetch(address, path);

    let all = fetch_many(&["/a", "/b", "/c", "/d"], 2, Duration::from_secs(5), fetch).await?;
    println!("in time: {all:?}");

    let some = fetch_many(&["/e", "/slow", "/f"], 2, Duration::from_millis(500), fetch).await?;
    println!("too late: {some:?}");
    Ok(())
}

/// Fetches a page by a socket of the standard library, on a thread that may block.
///
/// A blocking job cannot be interrupted, only waited for. So its socket has a timeout of its own.
async fn fetch(server: SocketAddr, path: String) -> io::Result<String> {
    blocking(move || fetch_blocking(server, &path)).await
}

fn fetch_blocking(server: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("{path}\n").as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
