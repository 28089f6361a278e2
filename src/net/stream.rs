//! What the streams of TCP and of Unix sockets share.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll};

use super::{error, gives_way, on_network, waits};
use crate::runtime::network::{Address, Socket, SystemStream};
use crate::trace::tree;

/// What comes of an empty buffer. Some sockets would wait until they are readable.
const NOTHING: Poll<io::Result<usize>> = Poll::Ready(Ok(0));

/// A connected socket, and its peer, which errors name. A socket that was reset does not know it
/// any more.
#[derive(Debug)]
pub(super) struct PeerSocket {
    pub(super) socket: Socket,
    /// `None` if the connection was broken before it came here.
    peer: Option<Address>,
}

impl PeerSocket {
    pub(super) fn new(socket: Socket, peer: Address) -> Self {
        PeerSocket { socket, peer: Some(peer) }
    }

    /// Makes the network in force watch a socket of the operating system.
    pub(super) fn register(socket: SystemStream) -> io::Result<Self> {
        let peer = match &socket {
            SystemStream::Tcp(socket) => socket.peer_addr().ok().map(Address::Tcp),
            #[cfg(unix)]
            SystemStream::Unix(socket) => socket.peer_addr().ok().map(Address::Unix),
        };
        let registered = on_network(|network| network.register(socket));
        let failed = |failed| error::at(failed, "take over the connection to", error::place(peer.as_ref()));
        Ok(PeerSocket { socket: registered.map_err(failed)?, peer })
    }

    pub(super) fn peer(&self) -> io::Result<&Address> {
        let unknown =
            || io::Error::new(io::ErrorKind::NotConnected, "the connection was broken before it was taken over");
        self.peer.as_ref().ok_or_else(unknown)
    }

    #[inline]
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return NOTHING;
        }
        if gives_way(cx) {
            return Poll::Pending;
        }
        self.ended(self.socket.poll_read(waits(cx), buffer), "read from")
    }

    #[inline]
    pub(super) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return NOTHING;
        }
        if gives_way(cx) {
            return Poll::Pending;
        }
        self.ended(self.socket.poll_write(waits(cx), bytes), "write to")
    }

    #[inline]
    pub(super) fn poll_write_vectored(&self, cx: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if buffers.iter().all(|buffer| buffer.is_empty()) {
            return NOTHING;
        }
        if gives_way(cx) {
            return Poll::Pending;
        }
        self.ended(self.socket.poll_write_vectored(waits(cx), buffers), "write to")
    }

    #[inline]
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended(self.socket.poll_flush(cx), "write to")
    }

    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended(self.socket.poll_close(cx), "close the connection to")
    }

    pub(super) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how).map_err(|failed| error::at(failed, "shut down the connection to", self.other_end()))
    }

    /// Names the peer. One that a Unix listener has accepted has no name, and is called after it.
    #[cold]
    fn other_end(&self) -> String {
        let of_listener = match &self.peer {
            #[cfg(unix)]
            Some(Address::Unix(peer)) if peer.is_unnamed() => match self.socket.local_address() {
                Ok(Address::Unix(here)) if !here.is_unnamed() => Some(Address::Unix(here)),
                _ => None,
            },
            _ => None,
        };
        of_listener.map_or_else(|| error::place(self.peer.as_ref()), |listener| format!("a client of {listener}"))
    }

    /// Notes what is waited for, and names the peer in an error.
    #[inline]
    fn ended<T>(&self, polled: Poll<io::Result<T>>, tried: &'static str) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Ok(value)) => Poll::Ready(Ok(value)),
            Poll::Ready(Err(failed)) => Poll::Ready(Err(error::at(failed, tried, self.other_end()))),
            Poll::Pending => {
                tree::waiting(|| format!("socket, to {tried} {}", self.other_end()));
                Poll::Pending
            }
        }
    }
}

/// Implements the traits for bytes on a stream and on a reference to it, which is `Unpin`.
macro_rules! byte_stream {
    ($stream:ty) => {
        byte_stream!(on $stream);
        byte_stream!(on &$stream);
    };
    (on $stream:ty) => {
        impl AsyncRead for $stream {
            #[inline]
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.poll_read(cx, buffer)
            }
        }

        impl AsyncWrite for $stream {
            #[inline]
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.stream.poll_write(cx, bytes)
            }

            #[inline]
            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffers: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.stream.poll_write_vectored(cx, buffers)
            }

            #[inline]
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.poll_close(cx)
            }
        }
    };
}

pub(super) use byte_stream;
