//! A connection to a node, which is made when it is needed.

use std::io::{self, ErrorKind};
use std::sync::Mutex;
use std::time::Duration;

use foster::net::TcpStream;
use foster::timeout;

use crate::frame;
use crate::protocol::{Reply, Request};

/// Asks one node.
#[derive(Debug)]
pub(crate) struct Link {
    address: String,
    /// The connection, while no request is under way.
    idle: Mutex<Option<TcpStream>>,
}

impl Link {
    pub(crate) fn new(address: &str) -> Self {
        Link { address: address.to_string(), idle: Mutex::new(None) }
    }

    /// Asks the node, and waits for its answer, for at most `patience`.
    ///
    /// # Cancellation
    ///
    /// The request holds the connection. So a request that fails, or is given up, closes it, and no
    /// other request gets the answer.
    pub(crate) async fn ask(&self, request: &Request, patience: Duration) -> io::Result<Reply> {
        let answer = async {
            let idle = self.idle.lock().unwrap().take();
            let mut stream = match idle {
                Some(stream) => stream,
                None => TcpStream::connect(self.address.as_str()).await?,
            };
            frame::write(&mut stream, request).await?;
            let reply = frame::read(&mut stream).await?;
            *self.idle.lock().unwrap() = Some(stream);
            Ok(reply)
        };
        timeout(patience, answer).await.unwrap_or_else(|late| Err(io::Error::new(ErrorKind::TimedOut, late)))
    }
}
