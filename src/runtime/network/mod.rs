//! The network of a runtime: an optional part of it, which makes sockets that its reactor watches.
//!
//! [`foster::net`](crate::net) is what programs use. This page is for authors of adapters and of
//! simulations. A [`Runtime`](super::Runtime) that has a network returns it from
//! [`Runtime::network`](super::Runtime::network). There are three ways to have one:
//!
//! - The adapters for tokio, smol and async-std use the reactor of their runtime.
//! - An executor without a reactor can return `async_io()` (feature `async-io`), whose reactor has
//!   a thread of its own. `Basic` does so.
//! - Any other implements [`Network`]. Its streams are a [`Connection`] in a box, its listeners an
//!   [`Acceptor`] in a box, and its sockets for datagrams, if it has any, [`Datagrams`] in a box.
//!
//! `foster::testing::conformance::network` (feature `testing`) checks a network.

#[cfg(feature = "async-io")]
mod async_io;
mod datagrams;
mod listener;
mod socket;
#[cfg(any(feature = "tokio", feature = "async-io"))]
mod system;
#[cfg(feature = "tokio")]
mod tokio;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::pin::Pin;
use std::time::Duration;

#[cfg(feature = "async-io")]
pub use self::async_io::async_io;
pub use self::datagrams::{DatagramSocket, Datagrams};
pub use self::listener::{Acceptor, Listener};
pub(crate) use self::socket::Waits;
pub use self::socket::{Connection, Socket};
use super::Handle;

/// A future that a [`Network`] returns.
pub type NetworkFuture<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// Opens connections, listens for them, and sends datagrams.
///
/// Nothing here needs to be polled on the runtime's own threads: a task of another runtime may use
/// what is returned. No method blocks.
pub trait Network: Send + Sync {
    /// Connects to `address`.
    ///
    /// The future begins when it is first polled, and gives up when it is dropped. For a Unix
    /// socket it may fail with `WouldBlock`, where the listener has no room and nobody tells when
    /// there is some. Then another attempt is made after a pause.
    fn connect(&self, address: &Address) -> NetworkFuture<Socket>;

    /// Listens at `address`. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is in use, is not one of this machine's, or may not be used.
    fn listen(&self, address: &Address, options: &ListenOptions) -> io::Result<Listener>;

    /// Makes the runtime watch a connected socket of the operating system.
    ///
    /// # Errors
    ///
    /// The default returns an error of the kind `Unsupported`, for networks without such sockets.
    fn register(&self, socket: SystemStream) -> io::Result<Socket> {
        drop(socket);
        Err(unsupported("this network has no sockets of the operating system"))
    }

    /// Makes the runtime watch a listening socket of the operating system.
    ///
    /// # Errors
    ///
    /// The default returns an error of the kind `Unsupported`, for networks without such sockets.
    fn register_listener(&self, socket: SystemListener) -> io::Result<Listener> {
        drop(socket);
        Err(unsupported("this network has no sockets of the operating system"))
    }

    /// Binds a socket for datagrams to `address`. Port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is in use, is not one of this machine's, or may not be used.
    /// The default returns one of the kind `Unsupported`, for networks without datagrams.
    fn bind(&self, address: SocketAddr) -> io::Result<DatagramSocket> {
        Err(unsupported(format!("this network has no datagrams, and so nothing to bind to {address}")))
    }

    /// Makes the runtime watch a socket of the operating system for datagrams.
    ///
    /// # Errors
    ///
    /// The default returns an error of the kind `Unsupported`, for networks without such sockets.
    fn register_datagrams(&self, socket: UdpSocket) -> io::Result<DatagramSocket> {
        drop(socket);
        Err(unsupported("this network has no sockets of the operating system"))
    }

    /// Looks up the addresses of a host, in the order of preference.
    ///
    /// The default returns `None`. Then the operating system is asked, in the pool for blocking
    /// jobs.
    fn lookup(&self, host: &str) -> Option<NetworkFuture<Vec<IpAddr>>> {
        _ = host;
        None
    }
}

/// The address of a socket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Address {
    /// Of TCP.
    Tcp(SocketAddr),
    /// Of a Unix socket, with a name or without.
    #[cfg(unix)]
    Unix(UnixAddr),
}

impl Address {
    /// Returns the address if it is one of TCP.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            #[cfg(unix)]
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Address::Unix(address) => {
                if let Some(path) = address.as_pathname() {
                    return path.display().fmt(f);
                }
                #[cfg(target_os = "linux")]
                if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
                    return write!(f, "@{}", name.escape_ascii());
                }
                f.write_str("a Unix socket without a name")
            }
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

#[cfg(unix)]
impl From<UnixAddr> for Address {
    fn from(address: UnixAddr) -> Self {
        Address::Unix(address)
    }
}

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    reuse_address: bool,
    backlog: u32,
}

impl ListenOptions {
    /// Creates the usual options: a port may be reused whose last connections are still closing
    /// (except on Windows, where that would mean more), and up to 1024 connections wait to be
    /// accepted.
    pub fn new() -> Self {
        ListenOptions { reuse_address: cfg!(not(windows)), backlog: 1024 }
    }

    /// Sets whether a port may be reused whose last connections are still closing.
    #[must_use]
    pub fn with_reuse_address(self, reuse_address: bool) -> Self {
        ListenOptions { reuse_address, ..self }
    }

    /// Sets how many connections may wait to be accepted.
    #[must_use]
    pub fn with_backlog(self, backlog: u32) -> Self {
        ListenOptions { backlog, ..self }
    }

    /// Whether a port may be reused whose last connections are still closing.
    pub fn reuse_address(&self) -> bool {
        self.reuse_address
    }

    /// Returns how many connections may wait to be accepted.
    pub fn backlog(&self) -> u32 {
        self.backlog
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions::new()
    }
}

/// A setting of a connected socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketOption {
    /// Whether small writes are sent at once.
    NoDelay(bool),
    /// After how much silence the peer is probed, or `None` for never. Sockets of the operating
    /// system take whole seconds, rounded up, from 1 to 32,767.
    KeepAlive(Option<Duration>),
    /// How long the drop of a socket waits until what was written has arrived. Zero resets the
    /// connection, and with `None` the system goes on to send, and the drop does not wait. Sockets
    /// of the operating system take whole seconds, rounded up, of at most 32,767.
    Linger(Option<Duration>),
}

/// A connected socket of the operating system.
#[derive(Debug)]
#[non_exhaustive]
pub enum SystemStream {
    /// Of TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A listening socket of the operating system.
#[derive(Debug)]
#[non_exhaustive]
pub enum SystemListener {
    /// Of TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Handle {
    /// Returns the network of this runtime.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `Unsupported` if the runtime has none.
    pub fn network(&self) -> io::Result<&dyn Network> {
        self.runtime().network().ok_or_else(|| {
            unsupported(format!(
                "the runtime \"{}\" has no network: Tokio, Smol and AsyncStd have one, Basic has with foster's \
                 feature `async-io`, and others implement `Runtime::network`",
                self.name()
            ))
        })
    }
}

/// Calls `f` with the network for code that runs on `runtime`, or on none.
///
/// # Errors
///
/// Returns an error if there is no network, and that of `f`.
pub(crate) fn with<R>(runtime: Option<Handle>, f: impl FnOnce(&dyn Network) -> io::Result<R>) -> io::Result<R> {
    match runtime {
        Some(runtime) => f(runtime.network()?),
        None => without_runtime(f),
    }
}

#[cfg(feature = "async-io")]
fn without_runtime<R>(f: impl FnOnce(&dyn Network) -> io::Result<R>) -> io::Result<R> {
    f(async_io())
}

#[cfg(not(feature = "async-io"))]
fn without_runtime<R>(_: impl FnOnce(&dyn Network) -> io::Result<R>) -> io::Result<R> {
    Err(unsupported(
        "no runtime is in force here, so there is no network: await this inside `Handle::run` or \
         `Handle::enter`, or turn on foster's feature `async-io`",
    ))
}

pub(crate) fn unsupported(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message.into())
}
