//! One type for the datagram sockets of all networks.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use socket2::SockRef;

use super::socket::{Waits, polled};
use super::unsupported;

/// A socket for datagrams, of a network that foster does not know. Dropping it closes it.
///
/// One task receives at a time, and one sends or waits for room. Each `poll_` method that returns
/// `Pending` wakes the task that polled it last. A poll with the waker of
/// [`Waker::noop`](std::task::Waker::noop) is a try of a task that may not wait, and leaves the
/// place to the one that waits there.
pub trait Datagrams: Send + Sync {
    /// Takes a datagram, and returns its length and its sender. What `buffer` has no room for is
    /// lost.
    fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Does the same as [`poll_receive`](Datagrams::poll_receive), and leaves the datagram there.
    fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Sends a datagram to `to`, or to the peer if that is `None`, and returns its length.
    fn poll_send(&self, cx: &mut Context<'_>, datagram: &[u8], to: Option<SocketAddr>) -> Poll<io::Result<usize>>;

    /// Waits until there may be room for a datagram. If there always is, this is always ready.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Sets the peer: whom [`poll_send`](Datagrams::poll_send) sends to, and the only one that is
    /// received from.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no way to the peer.
    fn connect(&self, peer: SocketAddr) -> io::Result<()>;

    /// Returns the address that it is bound to.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not known.
    fn local_address(&self) -> io::Result<SocketAddr>;

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `NotConnected` if there is none.
    fn peer_address(&self) -> io::Result<SocketAddr>;
}

/// A socket for datagrams of some [`Network`](super::Network).
///
/// Those of tokio and of `async-io` are stored inline. Others are boxed.
pub struct DatagramSocket {
    kind: DatagramSocketKind,
}

enum DatagramSocketKind {
    #[cfg(feature = "tokio")]
    Tokio(tokio::net::UdpSocket),
    #[cfg(feature = "async-io")]
    AsyncIo(async_io::Async<UdpSocket>),
    Boxed(Box<dyn Datagrams>),
}

impl DatagramSocket {
    /// Creates a socket of a network that foster does not know.
    pub fn boxed(datagrams: impl Datagrams + 'static) -> Self {
        DatagramSocket { kind: DatagramSocketKind::Boxed(Box::new(datagrams)) }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn tokio(socket: tokio::net::UdpSocket) -> Self {
        DatagramSocket { kind: DatagramSocketKind::Tokio(socket) }
    }

    #[cfg(feature = "async-io")]
    pub(super) fn async_io(socket: async_io::Async<UdpSocket>) -> Self {
        DatagramSocket { kind: DatagramSocketKind::AsyncIo(socket) }
    }

    pub(crate) fn poll_receive(
        &self,
        waits: Waits<'_, '_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => {
                super::tokio::poll_call(waits, |cx| socket.poll_recv_ready(cx), || socket.try_recv_from(buffer))
            }
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => {
                super::async_io::poll_reading(socket, waits, |socket| socket.recv_from(buffer))
            }
            DatagramSocketKind::Boxed(socket) => polled(waits, |cx| socket.poll_receive(cx, buffer)),
        }
    }

    pub(crate) fn poll_peek(&self, waits: Waits<'_, '_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => {
                super::tokio::poll_call(waits, |cx| socket.poll_recv_ready(cx), || socket.try_peek_from(buffer))
            }
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => {
                super::async_io::poll_reading(socket, waits, |socket| socket.peek_from(buffer))
            }
            DatagramSocketKind::Boxed(socket) => polled(waits, |cx| socket.poll_peek(cx, buffer)),
        }
    }

    pub(crate) fn poll_send(
        &self,
        waits: Waits<'_, '_>,
        datagram: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => super::tokio::poll_send(socket, waits, datagram, to),
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => super::async_io::poll_writing(socket, waits, |socket| {
                to.map_or_else(|| socket.send(datagram), |to| socket.send_to(datagram, to))
            }),
            DatagramSocketKind::Boxed(socket) => polled(waits, |cx| socket.poll_send(cx, datagram, to)),
        }
    }

    /// Waits until there may be room. Only on sockets of the operating system may several wait.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => socket.writable().await,
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => socket.writable().await,
            DatagramSocketKind::Boxed(socket) => poll_fn(|cx| socket.poll_writable(cx)).await,
        }
    }

    pub(crate) fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        match &self.kind {
            DatagramSocketKind::Boxed(socket) => socket.connect(peer),
            #[cfg(any(feature = "tokio", feature = "async-io"))]
            _ => self.system()?.connect(&peer.into()),
        }
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => socket.local_addr(),
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => socket.get_ref().local_addr(),
            DatagramSocketKind::Boxed(socket) => socket.local_address(),
        }
    }

    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => socket.peer_addr(),
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => socket.get_ref().peer_addr(),
            DatagramSocketKind::Boxed(socket) => socket.peer_address(),
        }
    }

    /// Whether this is a socket of the operating system.
    pub(crate) fn is_of_the_system(&self) -> bool {
        !matches!(self.kind, DatagramSocketKind::Boxed(_))
    }

    /// Returns the socket, if it is one of the operating system, to make settings on it.
    pub(crate) fn system(&self) -> io::Result<SockRef<'_>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => Ok(SockRef::from(socket)),
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => Ok(SockRef::from(socket)),
            DatagramSocketKind::Boxed(_) => Err(none_of_the_systems()),
        }
    }

    /// Returns the descriptor, if this is a socket of the operating system.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => Some(std::os::fd::AsFd::as_fd(socket)),
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => Some(std::os::fd::AsFd::as_fd(socket)),
            DatagramSocketKind::Boxed(_) => None,
        }
    }

    /// Takes the socket from its reactor.
    pub(crate) fn into_system(self) -> io::Result<UdpSocket> {
        match self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(socket) => socket.into_std(),
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(socket) => socket.into_inner(),
            DatagramSocketKind::Boxed(_) => Err(none_of_the_systems()),
        }
    }
}

fn none_of_the_systems() -> io::Error {
    unsupported("this socket is none of the operating system's")
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            #[cfg(feature = "tokio")]
            DatagramSocketKind::Tokio(_) => "DatagramSocket(tokio)",
            #[cfg(feature = "async-io")]
            DatagramSocketKind::AsyncIo(_) => "DatagramSocket(async-io)",
            DatagramSocketKind::Boxed(_) => "DatagramSocket(boxed)",
        })
    }
}
