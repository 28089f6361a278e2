//! The connections to a host.

use std::io;

use foster::net::TcpOptions;
use foster::net::hyper_io::ForHyper;
use foster::resource::{Manager, Pooled};
use foster::scope::Spawner;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::Executor;
use hyper::{Request, Response};

/// Opens connections to one host.
#[derive(Debug)]
pub(crate) struct Host {
    /// The name and the port.
    pub(crate) address: String,
    /// Owns what drives the connections. A driver ends when its connection is closed.
    pub(crate) spawner: Spawner,
}

impl Manager for Host {
    type Resource = Connection;
    type Error = io::Error;

    async fn create(&self) -> io::Result<Connection> {
        // Requests are small and each waits for its answer: nothing is gained by delaying them.
        let stream = TcpOptions::new().nodelay(true).connect(self.address.as_str()).await?;
        let (requests, driver) = http1::handshake(ForHyper::new(stream)).await.map_err(io::Error::other)?;
        // Its errors are also those of the request under way.
        self.spawner.execute(driver);
        Ok(Connection { requests, is_fresh: true })
    }

    async fn check(&self, connection: &mut Connection) -> io::Result<()> {
        if connection.requests.is_closed() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// A connection over which one request after the other is sent.
#[derive(Debug)]
pub(crate) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// Whether no request was sent before.
    pub(crate) is_fresh: bool,
}

/// A connection with a request in flight, until it is [done](Exchange::done).
///
/// Dropped before, by an error, a timeout or a cancellation, the connection is closed. Another
/// request would read the rest of this answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Option<Pooled<Host>>,
}

impl Exchange {
    pub(crate) fn new(connection: Pooled<Host>) -> Self {
        Exchange { connection: Some(connection) }
    }

    /// Sends a request, and waits for the head of the response.
    ///
    /// The error contains the request if nothing of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let connection = self.connection.as_mut().expect("it is there until it is done");
        // If it is closed, the request comes back below.
        _ = connection.requests.ready().await;
        let response = connection.requests.try_send_request(request).await?;
        connection.is_fresh = false;
        Ok(response)
    }

    /// Returns whether no request was answered on this connection before.
    pub(crate) fn is_fresh(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.is_fresh)
    }

    /// Returns the connection to the pool, for the next request.
    pub(crate) fn done(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.discard();
        }
    }
}
