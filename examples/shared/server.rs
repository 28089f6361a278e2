//! A server of one line: it answers `/path` with `the page at /path`, and prints what it was asked for.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Starts it, on a port of its own; it ends with the program.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that hangs up early is no concern of the server.
            thread::spawn(move || _ = answer(client));
        }
    });
    Ok(address)
}

/// `/slow` takes ten seconds; all others answer soon.
fn answer(mut client: TcpStream) -> io::Result<()> {
    let mut path = String::new();
    BufReader::new(&client).read_line(&mut path)?;
    let path = path.trim();
    println!("server: {path}");
    thread::sleep(if path == "/slow" { Duration::from_secs(10) } else { Duration::from_millis(20) });
    write!(client, "the page at {path}")
}
