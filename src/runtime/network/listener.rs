//! One type for the listening sockets of all networks.

use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use super::{Address, Socket, SystemListener, unsupported};

/// Accepts connections, on a network that foster does not know. Dropping it ends the listening.
pub trait Acceptor: Send + Sync {
    /// Waits for the next connection, and returns it with the address of its peer.
    ///
    /// One task polls this at a time. If it returns `Pending`, it wakes the task that polled last.
    /// No connection is lost if that task goes away.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>>;

    /// Returns where it listens.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not known.
    fn local_address(&self) -> io::Result<Address>;
}

/// A listening socket of some [`Network`](super::Network).
pub struct Listener {
    kind: ListenerKind,
}

enum ListenerKind {
    // tokio makes what it accepts part of the runtime that the thread belongs to. It is to be that
    // of the listener, on whatever thread that is polled.
    #[cfg(feature = "tokio")]
    TokioTcp(tokio::net::TcpListener, tokio::runtime::Handle),
    #[cfg(all(feature = "tokio", unix))]
    TokioUnix(tokio::net::UnixListener, tokio::runtime::Handle),
    #[cfg(feature = "async-io")]
    AsyncTcp(async_io::Async<std::net::TcpListener>),
    #[cfg(all(feature = "async-io", unix))]
    AsyncUnix(async_io::Async<std::os::unix::net::UnixListener>),
    Boxed(Box<dyn Acceptor>),
}

impl Listener {
    /// Creates a listener of a network that foster does not know.
    pub fn boxed(acceptor: impl Acceptor + 'static) -> Self {
        Listener { kind: ListenerKind::Boxed(Box::new(acceptor)) }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn tokio_tcp(listener: tokio::net::TcpListener, runtime: tokio::runtime::Handle) -> Self {
        Listener { kind: ListenerKind::TokioTcp(listener, runtime) }
    }

    #[cfg(all(feature = "tokio", unix))]
    pub(super) fn tokio_unix(listener: tokio::net::UnixListener, runtime: tokio::runtime::Handle) -> Self {
        Listener { kind: ListenerKind::TokioUnix(listener, runtime) }
    }

    #[cfg(feature = "async-io")]
    pub(super) fn async_tcp(listener: async_io::Async<std::net::TcpListener>) -> Self {
        Listener { kind: ListenerKind::AsyncTcp(listener) }
    }

    #[cfg(all(feature = "async-io", unix))]
    pub(super) fn async_unix(listener: async_io::Async<std::os::unix::net::UnixListener>) -> Self {
        Listener { kind: ListenerKind::AsyncUnix(listener) }
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Address)>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            ListenerKind::TokioTcp(listener, runtime) => super::tokio::poll_accept_tcp(listener, runtime, cx),
            #[cfg(all(feature = "tokio", unix))]
            ListenerKind::TokioUnix(listener, runtime) => super::tokio::poll_accept_unix(listener, runtime, cx),
            #[cfg(feature = "async-io")]
            ListenerKind::AsyncTcp(listener) => super::async_io::poll_accept_tcp(listener, cx),
            #[cfg(all(feature = "async-io", unix))]
            ListenerKind::AsyncUnix(listener) => super::async_io::poll_accept_unix(listener, cx),
            ListenerKind::Boxed(acceptor) => acceptor.poll_accept(cx),
        }
    }

    pub(crate) fn local_address(&self) -> io::Result<Address> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            ListenerKind::TokioTcp(listener, _) => super::system::local_address(listener),
            #[cfg(all(feature = "tokio", unix))]
            ListenerKind::TokioUnix(listener, _) => super::system::local_address(listener),
            #[cfg(feature = "async-io")]
            ListenerKind::AsyncTcp(listener) => super::system::local_address(listener),
            #[cfg(all(feature = "async-io", unix))]
            ListenerKind::AsyncUnix(listener) => super::system::local_address(listener),
            ListenerKind::Boxed(acceptor) => acceptor.local_address(),
        }
    }

    /// Returns the descriptor, if this is a socket of the operating system.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            #[cfg(feature = "tokio")]
            ListenerKind::TokioTcp(listener, _) => Some(std::os::fd::AsFd::as_fd(listener)),
            #[cfg(feature = "tokio")]
            ListenerKind::TokioUnix(listener, _) => Some(std::os::fd::AsFd::as_fd(listener)),
            #[cfg(feature = "async-io")]
            ListenerKind::AsyncTcp(listener) => Some(std::os::fd::AsFd::as_fd(listener)),
            #[cfg(feature = "async-io")]
            ListenerKind::AsyncUnix(listener) => Some(std::os::fd::AsFd::as_fd(listener)),
            ListenerKind::Boxed(_) => None,
        }
    }

    /// Takes the socket from its reactor.
    pub(crate) fn into_system(self) -> io::Result<SystemListener> {
        match self.kind {
            #[cfg(feature = "tokio")]
            ListenerKind::TokioTcp(listener, _) => listener.into_std().map(SystemListener::Tcp),
            #[cfg(all(feature = "tokio", unix))]
            ListenerKind::TokioUnix(listener, _) => listener.into_std().map(SystemListener::Unix),
            #[cfg(feature = "async-io")]
            ListenerKind::AsyncTcp(listener) => listener.into_inner().map(SystemListener::Tcp),
            #[cfg(all(feature = "async-io", unix))]
            ListenerKind::AsyncUnix(listener) => listener.into_inner().map(SystemListener::Unix),
            ListenerKind::Boxed(_) => Err(unsupported("this listener is none of the operating system's")),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            #[cfg(feature = "tokio")]
            ListenerKind::TokioTcp(..) => "Listener(tokio, TCP)",
            #[cfg(all(feature = "tokio", unix))]
            ListenerKind::TokioUnix(..) => "Listener(tokio, Unix)",
            #[cfg(feature = "async-io")]
            ListenerKind::AsyncTcp(_) => "Listener(async-io, TCP)",
            #[cfg(all(feature = "async-io", unix))]
            ListenerKind::AsyncUnix(_) => "Listener(async-io, Unix)",
            ListenerKind::Boxed(_) => "Listener(boxed)",
        })
    }
}
