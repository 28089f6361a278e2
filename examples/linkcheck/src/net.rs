//! What the checker asks of a network: to connect, and to listen.
//!
//! Sockets belong to a runtime's reactor, so the library cannot open them without naming a runtime.
//! It asks for them through these traits instead, and whoever chooses the runtime implements them.
//! The binary does so in a few lines for each of its four.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::future::BoxFuture;

/// A connection: bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Opens connections and listens for them.
pub trait Network: fmt::Debug + Send + Sync {
    /// Connects to `address`.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// Listens at `address`; port 0 takes any free one.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;
}

/// Accepts connections until it is dropped.
pub trait Listener: Send + Sync {
    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn address(&self) -> io::Result<SocketAddr>;

    /// Waits for the next connection.
    ///
    /// # Cancellation
    ///
    /// Dropping this future loses no connection.
    fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;
}
