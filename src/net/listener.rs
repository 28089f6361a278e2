//! Listeners of TCP.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};

use super::endpoint::Endpoint;
use super::options::TcpOptions;
use super::stream::PeerSocket;
use super::tcp::{TcpStream, tcp};
use super::turn::SocketTurn;
use super::{error, gives_way, on_network};
use crate::runtime::network::{Address, Listener, Socket, SystemListener, unsupported};
use crate::sync::Mutex;
use crate::trace::tree;

/// A listener, whose acceptors take turns.
#[derive(Debug)]
pub(super) struct SharedListener {
    pub(super) listener: Listener,
    /// Where it listens. A listener of a simulated host that has crashed does not know it any more.
    at: Option<Address>,
    /// A listener wakes whoever polled it last, so only one polls it at a time.
    turn: Mutex<()>,
}

impl SharedListener {
    pub(super) fn new(listener: Listener) -> Self {
        SharedListener { at: listener.local_address().ok(), listener, turn: Mutex::new(()) }
    }

    /// Makes the network in force watch a socket of the operating system.
    pub(super) fn register(socket: SystemListener) -> io::Result<Self> {
        let at = match &socket {
            SystemListener::Tcp(socket) => socket.local_addr().ok().map(Address::Tcp),
            #[cfg(unix)]
            SystemListener::Unix(socket) => socket.local_addr().ok().map(Address::Unix),
        };
        let registered = on_network(|network| network.register_listener(socket));
        let failed = |failed| error::at(failed, "take over the listener at", error::place(at));
        registered.map(SharedListener::new).map_err(failed)
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Address)> {
        let mut accepting = Accepting::new(self);
        poll_fn(|cx| accepting.poll_next(cx)).await
    }

    /// Accepts, for who has the turn. In a cancelled region it takes what is there.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        if gives_way(cx) {
            return Poll::Pending;
        }
        let polled = if super::is_tripped() {
            self.listener.poll_accept(&mut Context::from_waker(std::task::Waker::noop()))
        } else {
            self.listener.poll_accept(cx)
        };
        if polled.is_pending() {
            tree::waiting(|| format!("connection to {}", self.here()));
        }
        polled.map_err(|failed| error::at(failed, "accept at", self.here()))
    }

    fn here(&self) -> String {
        error::place(self.at.as_ref())
    }
}

/// Accepts one connection after the other, and keeps the turn meanwhile.
pub(super) struct Accepting<'a> {
    shared: &'a SharedListener,
    turn: SocketTurn<'a>,
}

impl<'a> Accepting<'a> {
    pub(super) fn new(shared: &'a SharedListener) -> Self {
        Accepting { shared, turn: SocketTurn::new(&shared.turn) }
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        self.turn.poll(cx, |cx| self.shared.poll_accept(cx))
    }
}

/// Listens for TCP connections, on the network of whatever runtime it was made on.
///
/// Several tasks may accept. They take turns, in the order in which they came. Dropping it ends the
/// listening, and resets connections that nobody has accepted. The counterpart of asyncio's
/// `Server`, of Trio's `SocketListener` and of `tokio::net::TcpListener`.
#[derive(Debug)]
pub struct TcpListener {
    shared: SharedListener,
    options: TcpOptions,
}

impl TcpListener {
    /// Listens at `at`. Port 0 takes a free one, which [`local_addr`](Self::local_addr) returns.
    ///
    /// If `at` is a name with several addresses, this takes the first that can be had.
    /// [`TcpOptions`] has settings.
    ///
    /// # Cancellation
    ///
    /// Dropping the future leaves nothing behind. In a
    /// [cancelled region](crate::cancel#regions) it does not begin.
    ///
    /// # Errors
    ///
    /// Returns an error, which names the address, if it is in use, is not one of this machine's, or
    /// may not be used.
    ///
    /// ```
    /// # #[cfg(feature = "async-io")]
    /// # futures::executor::block_on(async {
    /// use foster::net::TcpListener;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let again = TcpListener::bind(listener.local_addr()?).await.unwrap_err();
    /// assert_eq!(again.kind(), std::io::ErrorKind::AddrInUse);
    /// # std::io::Result::Ok(()) }).unwrap();
    /// ```
    pub async fn bind(at: impl Into<Endpoint>) -> io::Result<TcpListener> {
        TcpOptions::new().bind(at).await
    }

    pub(super) fn new(listener: Listener, options: TcpOptions) -> Self {
        TcpListener { shared: SharedListener::new(listener), options }
    }

    /// Waits for the next connection, and returns it with the address of its peer.
    ///
    /// An error concerns one connection, or a want of file descriptors, which passes. So go on
    /// accepting, but not at once.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses no connection. In a [cancelled region](crate::cancel#regions) it
    /// takes one that is there, and begins no wait. On tokio it does not take one of which the
    /// reactor has not heard yet.
    ///
    /// # Errors
    ///
    /// Returns the error of the operating system. The settings of the listener may fail on a
    /// connection, which is dropped then.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.shared.accept().await?;
        self.finish(socket, peer)
    }

    fn finish(&self, socket: Socket, peer: Address) -> io::Result<(TcpStream, SocketAddr)> {
        let address = tcp(&peer)?;
        self.options.apply(&socket).map_err(|failed| error::at(failed, "set up the connection of", &peer))?;
        Ok((TcpStream { stream: PeerSocket::new(socket, peer) }, address))
    }

    /// Returns a stream of connections, which has no end.
    ///
    /// It has the turn to accept from its first connection on, until it is dropped.
    ///
    /// # Cancellation
    ///
    /// Dropping the stream loses no connection.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, accepting: Accepting::new(&self.shared) }
    }

    /// Takes over a listening socket of the standard library, on the network in force.
    ///
    /// It becomes non-blocking. The counterpart of systemd's socket activation in tokio and
    /// asyncio.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no network here, or if it is none of the operating system.
    pub fn from_std(socket: std::net::TcpListener) -> io::Result<TcpListener> {
        let shared = SharedListener::register(SystemListener::Tcp(socket))?;
        Ok(TcpListener { shared, options: TcpOptions::new() })
    }

    /// Returns the socket, which stays non-blocking.
    ///
    /// # Errors
    ///
    /// Returns an error if it is none of the operating system.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        match self.shared.listener.into_system()? {
            SystemListener::Tcp(socket) => Ok(socket),
            #[cfg(unix)]
            SystemListener::Unix(_) => Err(unsupported("this is not a listener of TCP")),
        }
    }

    /// Returns the descriptor, or `None` if this is no socket of the operating system.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.shared.listener.descriptor()
    }

    /// Returns the address where it listens.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system does not know it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        tcp(&self.shared.listener.local_address()?)
    }
}

/// The stream of [`TcpListener::incoming`].
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    accepting: Accepting<'a>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<TcpStream>>> {
        let accepted = ready!(self.accepting.poll_next(cx));
        let listener = self.listener;
        let stream = accepted.and_then(|(socket, peer)| listener.finish(socket, peer));
        Poll::Ready(Some(stream.map(|(stream, _)| stream)))
    }
}

/// It has no end.
impl FusedStream for Incoming<'_> {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incoming").field(self.listener).finish()
    }
}
