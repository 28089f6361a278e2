//! Runs the library in `shared` on smol.
//!
//! `cargo run --example smol --features macros,smol`

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

#[path = "shared/server.rs"]
mod server;
mod shared;

use shared::fetch_many;

#[foster::main(smol)]
async fn main() -> io::Result<()> {
    let address = server::start()?;
    let fetch = |path| fetch(address, path);

    let all = fetch_many(&["/a", "/b", "/c", "/d"], 2, Duration::from_secs(5), fetch).await?;
    println!("in time: {all:?}");

    let some = fetch_many(&["/e", "/slow", "/f"], 2, Duration::from_millis(500), fetch).await?;
    println!("too late: {some:?}");
    Ok(())
}

/// Fetches a page by a socket of smol, which implements the traits of `futures`.
async fn fetch(server: SocketAddr, path: String) -> io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(format!("{path}\n").as_bytes()).await?;
    let mut page = String::new();
    stream.read_to_string(&mut page).await?;
    Ok(page)
}
