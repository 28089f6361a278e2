//! One type for the connected sockets of all networks.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, Waker};

use super::{Address, SocketOption, SystemStream, unsupported};

/// A byte stream to a peer, of a network that foster does not know.
///
/// One task reads at a time, and one writes. Each `poll_` method that returns `Pending` wakes the
/// task that polled it last. A poll with the waker of [`Waker::noop`] is a try of a task that may
/// not wait, and leaves the place to the one that waits there. They take `&self`, so that both
/// directions can be used at once.
pub trait Connection: Send + Sync {
    /// Reads some bytes into `buffer`. Returns 0 at the end of the stream.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Takes some of `bytes` to write, and returns how many.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Takes some of the bytes of several buffers to write, and returns how many.
    ///
    /// The default writes of the first buffer that is not empty.
    fn poll_write_vectored(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, first_to_write(buffers))
    }

    /// Waits until what was taken is on its way. The default has nothing to wait for.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Flushes, and tells the peer that nothing more comes. Reading goes on.
    ///
    /// The default shuts down the direction that writes.
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx).map(|flushed| flushed.and_then(|()| self.shutdown(Shutdown::Write)))
    }

    /// Ends one direction or both. Whoever waits in it is woken.
    ///
    /// # Errors
    ///
    /// Returns an error if the network cannot.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Returns the address of this end.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not known.
    fn local_address(&self) -> io::Result<Address>;

    /// Returns the address of the other end.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not known, or no longer.
    fn peer_address(&self) -> io::Result<Address>;

    /// Changes a setting. The default ignores it.
    ///
    /// # Errors
    ///
    /// Returns an error if the network refuses.
    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        _ = option;
        Ok(())
    }
}

/// Returns the first buffer that is not empty.
fn first_to_write<'a>(buffers: &'a [IoSlice<'_>]) -> &'a [u8] {
    buffers.iter().find(|buffer| !buffer.is_empty()).map_or(&[], |buffer| buffer)
}

/// A connected socket of some [`Network`](super::Network).
///
/// The sockets of tokio and of `async-io` are stored inline, so that neither they nor their reads
/// cost an allocation. Others are boxed.
pub struct Socket {
    kind: SocketKind,
}

/// The tokio sockets are smaller than those of `async-io`, and all of them are small.
enum SocketKind {
    #[cfg(feature = "tokio")]
    TokioTcp(tokio::net::TcpStream),
    #[cfg(all(feature = "tokio", unix))]
    TokioUnix(tokio::net::UnixStream),
    #[cfg(feature = "async-io")]
    AsyncTcp(async_io::Async<std::net::TcpStream>),
    #[cfg(all(feature = "async-io", unix))]
    AsyncUnix(async_io::Async<std::os::unix::net::UnixStream>),
    Boxed(Box<dyn Connection>),
}

/// Does the same with the socket in `$self`, of whichever kind.
macro_rules! each_kind {
    ($self:expr, $socket:ident => $does:expr) => {
        match $self {
            #[cfg(feature = "tokio")]
            SocketKind::TokioTcp($socket) => $does,
            #[cfg(all(feature = "tokio", unix))]
            SocketKind::TokioUnix($socket) => $does,
            #[cfg(feature = "async-io")]
            SocketKind::AsyncTcp($socket) => $does,
            #[cfg(all(feature = "async-io", unix))]
            SocketKind::AsyncUnix($socket) => $does,
            SocketKind::Boxed($socket) => $does,
        }
    };
}

/// Who is woken when there is something to read, or room to write. Without it no wait begins, and
/// one that has begun goes on.
pub(crate) type Waits<'a, 'b> = Option<&'a mut Context<'b>>;

/// What each kind of socket does. `Connection` is for networks that foster does not know, and tells
/// nobody which ones it does.
pub(super) trait AnySocket {
    fn poll_read(&self, waits: Waits<'_, '_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&self, waits: Waits<'_, '_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_write_vectored(&self, waits: Waits<'_, '_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn local_address(&self) -> io::Result<Address>;
    fn peer_address(&self) -> io::Result<Address>;
    fn set_option(&self, option: SocketOption) -> io::Result<()>;

    /// The system's sockets have nothing to flush.
    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown(Shutdown::Write))
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    fn into_system(self) -> io::Result<SystemStream>;
}

impl Socket {
    /// Creates a socket of a network that foster does not know.
    ///
    /// # Cost
    ///
    /// One allocation.
    pub fn boxed(connection: impl Connection + 'static) -> Self {
        Socket { kind: SocketKind::Boxed(Box::new(connection)) }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn tokio_tcp(socket: tokio::net::TcpStream) -> Self {
        Socket { kind: SocketKind::TokioTcp(socket) }
    }

    #[cfg(all(feature = "tokio", unix))]
    pub(super) fn tokio_unix(socket: tokio::net::UnixStream) -> Self {
        Socket { kind: SocketKind::TokioUnix(socket) }
    }

    #[cfg(feature = "async-io")]
    pub(super) fn async_tcp(socket: async_io::Async<std::net::TcpStream>) -> Self {
        Socket { kind: SocketKind::AsyncTcp(socket) }
    }

    #[cfg(all(feature = "async-io", unix))]
    pub(super) fn async_unix(socket: async_io::Async<std::os::unix::net::UnixStream>) -> Self {
        Socket { kind: SocketKind::AsyncUnix(socket) }
    }

    #[inline]
    pub(crate) fn poll_read(&self, waits: Waits<'_, '_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        each_kind!(&self.kind, socket => AnySocket::poll_read(socket, waits, buffer))
    }

    #[inline]
    pub(crate) fn poll_write(&self, waits: Waits<'_, '_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each_kind!(&self.kind, socket => AnySocket::poll_write(socket, waits, bytes))
    }

    #[inline]
    pub(crate) fn poll_write_vectored(&self, waits: Waits<'_, '_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        each_kind!(&self.kind, socket => AnySocket::poll_write_vectored(socket, waits, buffers))
    }

    #[inline]
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_kind!(&self.kind, socket => AnySocket::poll_flush(socket, cx))
    }

    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each_kind!(&self.kind, socket => AnySocket::poll_close(socket, cx))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        each_kind!(&self.kind, socket => AnySocket::shutdown(socket, how))
    }

    pub(crate) fn local_address(&self) -> io::Result<Address> {
        each_kind!(&self.kind, socket => AnySocket::local_address(socket))
    }

    pub(crate) fn peer_address(&self) -> io::Result<Address> {
        each_kind!(&self.kind, socket => AnySocket::peer_address(socket))
    }

    pub(crate) fn set_option(&self, option: SocketOption) -> io::Result<()> {
        each_kind!(&self.kind, socket => AnySocket::set_option(socket, option))
    }

    /// Returns the descriptor, if this is a socket of the operating system.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        each_kind!(&self.kind, socket => AnySocket::descriptor(socket))
    }

    /// Takes the socket from its reactor.
    pub(crate) fn into_system(self) -> io::Result<SystemStream> {
        each_kind!(self.kind, socket => AnySocket::into_system(socket))
    }

    fn kind(&self) -> &'static str {
        match &self.kind {
            #[cfg(feature = "tokio")]
            SocketKind::TokioTcp(_) => "tokio, TCP",
            #[cfg(all(feature = "tokio", unix))]
            SocketKind::TokioUnix(_) => "tokio, Unix",
            #[cfg(feature = "async-io")]
            SocketKind::AsyncTcp(_) => "async-io, TCP",
            #[cfg(all(feature = "async-io", unix))]
            SocketKind::AsyncUnix(_) => "async-io, Unix",
            SocketKind::Boxed(_) => "boxed",
        }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Socket({})", self.kind())
    }
}

/// Polls with the caller's waker, or with one that does nothing.
pub(super) fn polled<R>(waits: Waits<'_, '_>, poll: impl FnOnce(&mut Context<'_>) -> R) -> R {
    match waits {
        Some(cx) => poll(cx),
        None => poll(&mut Context::from_waker(Waker::noop())),
    }
}

impl AnySocket for Box<dyn Connection> {
    fn poll_read(&self, waits: Waits<'_, '_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        polled(waits, |cx| (**self).poll_read(cx, buffer))
    }

    fn poll_write(&self, waits: Waits<'_, '_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        polled(waits, |cx| (**self).poll_write(cx, bytes))
    }

    fn poll_write_vectored(&self, waits: Waits<'_, '_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        polled(waits, |cx| (**self).poll_write_vectored(cx, buffers))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_flush(cx)
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_close(cx)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        (**self).shutdown(how)
    }

    fn local_address(&self) -> io::Result<Address> {
        (**self).local_address()
    }

    fn peer_address(&self) -> io::Result<Address> {
        (**self).peer_address()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        (**self).set_option(option)
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn into_system(self) -> io::Result<SystemStream> {
        Err(unsupported("this socket is none of the operating system's"))
    }
}
