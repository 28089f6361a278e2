//! Serves pages for the examples.
//!
//! A request is one line with a path. The server prints it, and answers `the page at` that path.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Starts the server on a free port, and returns its address. It ends with the program.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client may hang up early: the example cancels its fetches.
            thread::spawn(move || _ = answer(client));
        }
    });
    Ok(address)
}

/// Answers one request: after ten seconds for `/slow`, and after 20 ms for every other path.
fn answer(mut client: TcpStream) -> io::Result<()> {
    let mut path = String::new();
    BufReader::new(&client).read_line(&mut path)?;
    let path = path.trim();
    println!("server: {path}");
    thread::sleep(if path == "/slow" { Duration::from_secs(10) } else { Duration::from_millis(20) });
    write!(client, "the page at {path}")
}
