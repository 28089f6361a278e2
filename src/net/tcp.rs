//! Streams of TCP.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};

use super::endpoint::Endpoint;
use super::options::TcpOptions;
use super::split::{self, ReadHalf, Split, WriteHalf};
use super::stream::{PeerSocket, byte_stream};
use crate::runtime::network::{Address, SocketOption, SystemStream, unsupported};

/// A TCP connection, on the network of whatever runtime it was made on.
///
/// It reads and writes by [`AsyncRead`] and [`AsyncWrite`] of the `futures` crates, whose extension
/// traits have `read`, `write_all` and the like. References do, too, so that one task can read and
/// another one write. At most one task does each: if two read, only the last one is woken.
///
/// It may be used from any task of any runtime, as long as the one that it was made on runs.
/// Dropping it closes the connection. [`close`](futures_io::AsyncWrite::poll_close) ends the
/// direction that writes, and goes on reading. The counterpart of asyncio's `StreamReader` and
/// `StreamWriter`, of Trio's `SocketStream` and of `tokio::net::TcpStream`.
///
/// # Cancellation
///
/// The [page of the module](super#cancellation) says what a dropped read or write loses.
///
/// # Cost
///
/// No allocation for a read or a write.
#[derive(Debug)]
pub struct TcpStream {
    pub(super) stream: PeerSocket,
}

byte_stream!(TcpStream);

impl TcpStream {
    /// Connects to `to`, an address or a name such as `"example.org:80"`.
    ///
    /// A name is [looked up](super::lookup). If it has several addresses, they are tried as RFC
    /// 8305 says ("happy eyeballs"): those of IPv6 and IPv4 in turn, each with a head start of 250
    /// milliseconds, until the first one answers. [`TcpOptions`] has settings.
    ///
    /// # Cancellation
    ///
    /// Dropping the future gives up, and closes what was begun. A connect that is first polled in a
    /// [cancelled region](crate::cancel#regions) does not begin.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if no address answers. Its kind is that of the
    /// first attempt.
    ///
    /// ```
    /// # #[cfg(feature = "async-io")]
    /// # futures::executor::block_on(async {
    /// use foster::net::{TcpListener, TcpStream};
    /// use futures::io::{AsyncReadExt, AsyncWriteExt};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let mut client = TcpStream::connect(listener.local_addr()?).await?;
    /// let (mut server, _) = listener.accept().await?;
    ///
    /// client.write_all(b"hello").await?;
    /// client.close().await?;
    /// let mut text = String::new();
    /// server.read_to_string(&mut text).await?;
    /// assert_eq!(text, "hello");
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn connect(to: impl Into<Endpoint>) -> io::Result<TcpStream> {
        TcpOptions::new().connect(to).await
    }

    /// Takes over a connected socket of the standard library, on the network in force.
    ///
    /// It becomes non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network here, or if it is none of the operating system.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<TcpStream> {
        PeerSocket::register(SystemStream::Tcp(socket)).map(|stream| TcpStream { stream })
    }

    /// Returns the socket, which stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if it is none of the operating system.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        match self.stream.socket.into_system()? {
            SystemStream::Tcp(socket) => Ok(socket),
            #[cfg(unix)]
            SystemStream::Unix(_) => Err(unsupported("this is not a socket of TCP")),
        }
    }

    /// Returns the descriptor, or `None` if this is no socket of the operating system.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.socket.descriptor()
    }

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        tcp(&self.stream.socket.local_address()?)
    }

    /// Returns the address of the other end, even if it has gone.
    ///
    /// # Errors
    ///
    /// Returns an error if the other end had gone before the stream was made by
    /// [`from_std`](Self::from_std), or if the network made this of something else than TCP.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        tcp(self.stream.peer()?)
    }

    /// Ends one direction or both, at once. Whoever waits in it is woken.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system. A connection that is broken counts as shut down.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }

    /// Sets whether small writes are sent at once, and not gathered.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.stream.socket.set_option(SocketOption::NoDelay(nodelay))
    }

    /// Sets after how much silence the peer is probed, or `None` for never.
    ///
    /// The time is rounded up to whole seconds, from 1 to 32,767.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_keep_alive(&self, after: Option<Duration>) -> io::Result<()> {
        self.stream.socket.set_option(SocketOption::KeepAlive(after))
    }

    /// Sets how long the drop of the stream waits until what was written has arrived. With `None`,
    /// as at first, the system goes on to send, and the drop does not wait.
    ///
    /// **A drop that waits blocks its thread**, and with it all tasks there, for up to that long,
    /// while the peer takes nothing. A time is rounded up to whole seconds, of at most 32,767. With
    /// [`Duration::ZERO`], the drop does not block: it resets the connection, and what was not sent
    /// is lost. To know that everything has arrived, leave this at `None`: [`close`] the direction
    /// that writes, and read until the peer ends the other one, in a [`timeout`](crate::timeout).
    ///
    /// [`close`]: futures_io::AsyncWrite::poll_close
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.stream.socket.set_option(SocketOption::Linger(linger))
    }

    /// Splits the stream into two halves for two tasks. [`ReadHalf::reunite`] undoes it.
    ///
    /// Where the tasks can borrow, as the children of a scope can, references do the same and cost
    /// nothing.
    pub fn into_split(self) -> (ReadHalf<TcpStream>, WriteHalf<TcpStream>) {
        split::split(self)
    }
}

impl Split for TcpStream {}

impl split::private::EndWriting for TcpStream {
    fn end_writing(&self) {
        // Nobody is there to hear of an error.
        _ = self.shutdown(Shutdown::Write);
    }
}

pub(super) fn tcp(address: &Address) -> io::Result<SocketAddr> {
    address.tcp().ok_or_else(|| unsupported(format!("{address} is not an address of TCP")))
}
