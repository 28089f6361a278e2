//! How to connect and to listen with TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::connect::{begin, first_of};
use super::endpoint::Endpoint;
use super::lookup::{first_to, lookup};
use super::stream::PeerSocket;
use super::{TcpListener, TcpStream, error, on_network};
use crate::runtime::network::{ListenOptions, Socket, SocketOption};

/// Settings for connections and listeners of TCP.
///
/// Those that are not made are as the operating system has them. A listener gives its settings to
/// the connections that it accepts.
///
/// ```
/// # #[cfg(feature = "async-io")]
/// # futures::executor::block_on(async {
/// use foster::net::TcpOptions;
/// use std::time::Duration;
///
/// let options = TcpOptions::new().nodelay(true).keep_alive(Duration::from_secs(60));
/// let listener = options.backlog(64).bind("127.0.0.1:0").await?;
/// let patient = options.attempt_timeout(Duration::from_secs(5));
/// let client = patient.connect(listener.local_addr()?).await?;
/// # drop(client); std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "it does nothing until it connects or binds"]
pub struct TcpOptions {
    nodelay: Option<bool>,
    keep_alive: Option<Duration>,
    linger: Option<Duration>,
    attempt_timeout: Option<Duration>,
    listen: ListenOptions,
}

impl TcpOptions {
    /// Creates settings that leave everything to the operating system.
    pub fn new() -> Self {
        TcpOptions {
            nodelay: None,
            keep_alive: None,
            linger: None,
            attempt_timeout: None,
            listen: ListenOptions::new(),
        }
    }

    /// Sets whether small writes are sent at once, and not gathered (`TCP_NODELAY`).
    pub fn nodelay(self, nodelay: bool) -> Self {
        TcpOptions { nodelay: Some(nodelay), ..self }
    }

    /// Probes the peer after so much silence (`SO_KEEPALIVE`).
    ///
    /// So a peer that has gone without a word is noticed in the end. The time is rounded up to
    /// whole seconds, from 1 to 32,767, which is 9 hours. Each system takes these.
    pub fn keep_alive(self, after: Duration) -> Self {
        TcpOptions { keep_alive: Some(after), ..self }
    }

    /// Sets how long the drop of a connection waits until what was written has arrived
    /// (`SO_LINGER`).
    ///
    /// **Such a drop blocks its thread**, and with it all tasks there, for up to that long, while
    /// the peer takes nothing. A time is rounded up to whole seconds, of at most 32,767. With
    /// [`Duration::ZERO`], the drop does not block: it resets the connection, and what was not sent
    /// is lost. Without this setting, the drop does not block either, and the system goes on to
    /// send.
    ///
    /// To know that everything has arrived, do without this: [`close`] the direction that writes,
    /// and read until the peer ends the other one, in a [`timeout`](crate::timeout).
    ///
    /// [`close`]: futures_io::AsyncWrite::poll_close
    pub fn linger(self, linger: Duration) -> Self {
        TcpOptions { linger: Some(linger), ..self }
    }

    /// Sets how long an attempt to connect to one address may take.
    ///
    /// A host may have several. For a limit to all of it, use [`timeout`](crate::timeout).
    pub fn attempt_timeout(self, limit: Duration) -> Self {
        TcpOptions { attempt_timeout: Some(limit), ..self }
    }

    /// Sets whether a listener may take a port whose last connections are still closing
    /// (`SO_REUSEADDR`). It may by default, except on Windows.
    pub fn reuse_address(self, reuse: bool) -> Self {
        TcpOptions { listen: self.listen.with_reuse_address(reuse), ..self }
    }

    /// Sets how many connections may wait to be accepted. The default is 1024.
    pub fn backlog(self, backlog: u32) -> Self {
        TcpOptions { listen: self.listen.with_backlog(backlog), ..self }
    }

    /// Connects with these settings, as [`TcpStream::connect`] does.
    ///
    /// # Cancellation
    ///
    /// As for [`TcpStream::connect`].
    ///
    /// # Errors
    ///
    /// As for [`TcpStream::connect`].
    pub async fn connect(self, to: impl Into<Endpoint>) -> io::Result<TcpStream> {
        let to = to.into();
        begin().await;
        let (socket, to) = first_of(lookup(to).await?, self.attempt_timeout).await?;
        // Whoever connects to 0.0.0.0 reaches another address.
        let peer = socket.peer_address().unwrap_or(to.into());
        self.apply(&socket).map_err(|failed| error::at(failed, "set up the connection to", &peer))?;
        Ok(TcpStream { stream: PeerSocket::new(socket, peer) })
    }

    /// Listens with these settings, as [`TcpListener::bind`] does.
    ///
    /// # Cancellation
    ///
    /// As for [`TcpListener::bind`].
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::bind`].
    pub async fn bind(self, at: impl Into<Endpoint>) -> io::Result<TcpListener> {
        let listen = |address: SocketAddr| on_network(|network| network.listen(&address.into(), &self.listen));
        let listener = first_to("listen at", at.into(), listen).await?;
        Ok(TcpListener::new(listener, self))
    }

    /// Makes the settings on a connection.
    pub(super) fn apply(&self, socket: &Socket) -> io::Result<()> {
        let options = [
            self.nodelay.map(SocketOption::NoDelay),
            self.keep_alive.map(|after| SocketOption::KeepAlive(Some(after))),
            self.linger.map(|linger| SocketOption::Linger(Some(linger))),
        ];
        options.into_iter().flatten().try_for_each(|option| socket.set_option(option))
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions::new()
    }
}
