//! Unix sockets.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::stream::{FusedStream, Stream};
use futures_io::{AsyncRead, AsyncWrite};

use super::connect::{begin, open};
use super::listener::{Accepting, SharedListener};
use super::split::{self, ReadHalf, Split, WriteHalf};
use super::stream::{PeerSocket, byte_stream};
use super::{error, on_network};
use crate::runtime::network::{Address, ListenOptions, Socket, SystemListener, SystemStream, unsupported};
use crate::time::sleep;

/// How long it waits for room at a listener before it tries again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// A connection by a Unix socket, on the network of whatever runtime it was made on.
///
/// It is used as a [`TcpStream`](super::TcpStream) is. The counterpart of
/// `asyncio.open_unix_connection`, of Trio's `open_unix_socket` and of `tokio::net::UnixStream`.
#[derive(Debug)]
pub struct UnixStream {
    stream: PeerSocket,
}

byte_stream!(UnixStream);

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// While the listener has no room for another connection, this waits. The system tells nobody
    /// when there is room again, so it tries after pauses, which grow from 1 to 100 milliseconds.
    /// Those who wait have no order.
    ///
    /// # Cancellation
    ///
    /// As for [`TcpStream::connect`](super::TcpStream::connect).
    ///
    /// # Errors
    ///
    /// Returns an error, which names the path, if nobody listens there or there is no such file.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        let path = path.as_ref();
        begin().await;
        match SocketAddr::from_pathname(path) {
            Ok(address) => Self::connect_addr(&address).await,
            Err(failed) => Err(error::at(failed, "connect to", path.display())),
        }
    }

    /// Connects to the socket at `address`, as [`connect`](Self::connect) does.
    ///
    /// On Linux that may be an abstract name, which is no file.
    ///
    /// # Cancellation
    ///
    /// As for [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if nobody listens there.
    ///
    /// ```
    /// # #[cfg(all(feature = "async-io", target_os = "linux"))]
    /// # futures::executor::block_on(async {
    /// use foster::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    ///
    /// let name = format!("example-{}", std::process::id());
    /// let address = SocketAddr::from_abstract_name(name)?;
    /// let listener = UnixListener::bind_addr(&address)?;
    /// let client = UnixStream::connect_addr(&address).await?;
    /// # drop((listener, client)); std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn connect_addr(address: &SocketAddr) -> io::Result<UnixStream> {
        begin().await;
        let peer = Address::Unix(address.clone());
        let socket = open_with_patience(&peer).await.map_err(|failed| error::at(failed, "connect to", &peer))?;
        Ok(UnixStream { stream: PeerSocket::new(socket, peer) })
    }

    /// Creates two sockets that are connected with each other, on the network in force.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network here, or if the system has no descriptors left.
    ///
    /// ```
    /// # #[cfg(feature = "async-io")]
    /// # futures::executor::block_on(async {
    /// use foster::net::UnixStream;
    /// use futures::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let (mut here, mut there) = UnixStream::pair()?;
    /// here.write_all(b"hello").await?;
    /// drop(here);
    /// let mut text = String::new();
    /// there.read_to_string(&mut text).await?;
    /// assert_eq!(text, "hello");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = std::os::unix::net::UnixStream::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a connected socket of the standard library, on the network in force.
    ///
    /// It becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network here, or if it is none of the operating system.
    pub fn from_std(socket: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        PeerSocket::register(SystemStream::Unix(socket)).map(|stream| UnixStream { stream })
    }

    /// Returns the socket, which stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if it is none of the operating system.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixStream> {
        match self.stream.socket.into_system()? {
            SystemStream::Unix(socket) => Ok(socket),
            SystemStream::Tcp(_) => Err(unsupported("this is not a Unix socket")),
        }
    }

    /// Returns the descriptor, or `None` if this is no socket of the operating system.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket.descriptor()
    }

    /// Returns the address of this end, which often has no name.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix(self.stream.socket.local_address()?)
    }

    /// Returns the address of the other end, which often has no name.
    ///
    /// # Errors
    ///
    /// Returns an error if the other end had gone before the stream was made by
    /// [`from_std`](Self::from_std), or if the network made this of something else than a Unix
    /// socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        unix(self.stream.peer()?.clone())
    }

    /// Ends one direction or both, at once. Whoever waits in it is woken.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system. A connection that is broken counts as shut down.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }

    /// Splits the stream into two halves for two tasks. [`ReadHalf::reunite`] undoes it.
    pub fn into_split(self) -> (ReadHalf<UnixStream>, WriteHalf<UnixStream>) {
        split::split(self)
    }
}

impl Split for UnixStream {}

impl split::private::EndWriting for UnixStream {
    fn end_writing(&self) {
        // Nobody is there to hear of an error.
        _ = self.shutdown(Shutdown::Write);
    }
}

/// Listens at a Unix socket, on the network of whatever runtime it was made on.
///
/// It is used as a [`TcpListener`](super::TcpListener) is. Dropping it ends the listening and
/// leaves the file, which you remove. The counterpart of `asyncio.start_unix_server` and of
/// `tokio::net::UnixListener`.
#[derive(Debug)]
pub struct UnixListener {
    shared: SharedListener,
}

impl UnixListener {
    /// Listens at `path`, where it makes a file.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the path, if there is a file already, also one that a listener
    /// has left behind.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        let path = path.as_ref();
        match SocketAddr::from_pathname(path) {
            Ok(address) => Self::bind_addr(&address),
            Err(failed) => Err(error::at(failed, "listen at", path.display())),
        }
    }

    /// Listens at `address`, as [`bind`](Self::bind) does.
    ///
    /// On Linux that may be an abstract name, which is no file and is free again when the listener
    /// is dropped. [`UnixStream::connect_addr`] connects to it, and has an example.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind).
    pub fn bind_addr(address: &SocketAddr) -> io::Result<UnixListener> {
        let address = Address::Unix(address.clone());
        let listening = on_network(|network| network.listen(&address, &ListenOptions::new()));
        let listener = listening.map_err(|failed| error::at(failed, "listen at", &address))?;
        Ok(UnixListener { shared: SharedListener::new(listener) })
    }

    /// Waits for the next connection.
    ///
    /// # Cancellation
    ///
    /// As for [`TcpListener::accept`](super::TcpListener::accept).
    ///
    /// # Errors
    ///
    /// As for [`TcpListener::accept`](super::TcpListener::accept).
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (socket, peer) = self.shared.accept().await?;
        Ok((UnixStream { stream: PeerSocket::new(socket, peer.clone()) }, unix(peer)?))
    }

    /// Returns a stream of connections, which has no end.
    ///
    /// It has the turn to accept from its first connection on, until it is dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream loses no connection.
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { accepting: Accepting::new(&self.shared) }
    }

    /// Takes over a listening socket of the standard library, on the network in force.
    ///
    /// It becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network here, or if it is none of the operating system.
    pub fn from_std(socket: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        SharedListener::register(SystemListener::Unix(socket)).map(|shared| UnixListener { shared })
    }

    /// Returns the socket, which stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if it is none of the operating system.
    pub fn into_std(self) -> io::Result<std::os::unix::net::UnixListener> {
        match self.shared.listener.into_system()? {
            SystemListener::Unix(socket) => Ok(socket),
            SystemListener::Tcp(_) => Err(unsupported("this is not a listener of a Unix socket")),
        }
    }

    /// Returns the descriptor, or `None` if this is no socket of the operating system.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.listener.descriptor()
    }

    /// Returns the address where it listens.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        unix(self.shared.listener.local_address()?)
    }
}

/// The stream of [`UnixListener::incoming`].
#[must_use = "streams do nothing unless polled"]
pub struct UnixIncoming<'a> {
    accepting: Accepting<'a>,
}

impl Stream for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<UnixStream>>> {
        let of = |(socket, peer): (Socket, Address)| UnixStream { stream: PeerSocket::new(socket, peer) };
        Poll::Ready(Some(ready!(self.accepting.poll_next(cx)).map(of)))
    }
}

/// It has no end.
impl FusedStream for UnixIncoming<'_> {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for UnixIncoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixIncoming").finish_non_exhaustive()
    }
}

/// Opens a connection. While the listener has no room, it tries again after pauses, as a connect
/// that blocks would wait.
async fn open_with_patience(address: &Address) -> io::Result<Socket> {
    let (mut pause, longest) = PAUSES;
    loop {
        match open(address).await {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            done => return done,
        }
        pause = (2 * pause).min(longest);
    }
}

fn unix(address: Address) -> io::Result<SocketAddr> {
    match address {
        Address::Unix(address) => Ok(address),
        Address::Tcp(address) => Err(unsupported(format!("{address} is not an address of a Unix socket"))),
    }
}
