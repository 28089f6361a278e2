//! The network of tokio.

use std::future::Future;
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;

use super::socket::{AnySocket, Waits};
use super::{
    Address, DatagramSocket, ListenOptions, Listener, Network, NetworkFuture, Socket, SocketOption, SystemListener,
    SystemStream, system, unsupported,
};
use crate::runtime::tokio::TokioAdapter;

/// Calls `f` on the runtime. A runtime without I/O cannot be asked beforehand: it panics.
fn on<R>(runtime: &Handle, f: impl FnOnce() -> R) -> io::Result<R> {
    let _entered = runtime.enter();
    catch_unwind(AssertUnwindSafe(f))
        .map_err(|_| unsupported("this tokio runtime was built without `enable_io`, or has ended"))
}

/// A connection that is being made. Its socket is to belong to the runtime, wherever it is polled.
struct Connect<F> {
    runtime: Handle,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = io::Result<Socket>>> Future for Connect<F> {
    type Output = io::Result<Socket>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        let Connect { runtime, future } = &mut *self;
        match on(runtime, || future.as_mut().poll(cx)) {
            Ok(polled) => polled,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

fn connect<F>(runtime: &Handle, future: F) -> NetworkFuture<Socket>
where
    F: Future<Output = io::Result<Socket>> + Send + 'static,
{
    Box::pin(Connect { runtime: runtime.clone(), future: Box::pin(future) })
}

impl Network for TokioAdapter {
    fn connect(&self, address: &Address) -> NetworkFuture<Socket> {
        match address {
            Address::Tcp(address) => {
                let address = *address;
                connect(self.handle(), async move { TcpStream::connect(address).await.map(Socket::tokio_tcp) })
            }
            #[cfg(unix)]
            Address::Unix(address) => {
                let address = address.clone();
                connect(self.handle(), async move {
                    UnixStream::from_std(system::connect_unix(&address)?).map(Socket::tokio_unix)
                })
            }
        }
    }

    fn listen(&self, address: &Address, options: &ListenOptions) -> io::Result<Listener> {
        self.register_listener(system::listen(address, options)?)
    }

    fn register(&self, socket: SystemStream) -> io::Result<Socket> {
        on(self.handle(), || match socket {
            SystemStream::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpStream::from_std(socket).map(Socket::tokio_tcp)
            }
            #[cfg(unix)]
            SystemStream::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixStream::from_std(socket).map(Socket::tokio_unix)
            }
        })?
    }

    fn register_listener(&self, socket: SystemListener) -> io::Result<Listener> {
        let runtime = self.handle();
        on(runtime, || match socket {
            SystemListener::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket).map(|socket| Listener::tokio_tcp(socket, runtime.clone()))
            }
            #[cfg(unix)]
            SystemListener::Unix(socket) => {
                socket.set_nonblocking(true)?;
                UnixListener::from_std(socket).map(|socket| Listener::tokio_unix(socket, runtime.clone()))
            }
        })?
    }

    fn bind(&self, address: SocketAddr) -> io::Result<DatagramSocket> {
        self.register_datagrams(std::net::UdpSocket::bind(address)?)
    }

    fn register_datagrams(&self, socket: std::net::UdpSocket) -> io::Result<DatagramSocket> {
        on(self.handle(), || {
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket).map(DatagramSocket::tokio)
        })?
    }
}

/// The streams of tokio, which are the same up to their names.
trait TokioStream: system::System + Sized {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_io<R>(&self, interest: Interest, call: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize>;
    fn system(self) -> io::Result<SystemStream>;
}

macro_rules! plain {
    ($stream:ident, $system:ident) => {
        impl TokioStream for $stream {
            #[inline]
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $stream::poll_read_ready(self, cx)
            }

            #[inline]
            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                $stream::poll_write_ready(self, cx)
            }

            #[inline]
            fn try_io<R>(&self, interest: Interest, call: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                $stream::try_io(self, interest, call)
            }

            #[inline]
            fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                $stream::try_write(self, bytes)
            }

            #[inline]
            fn try_write_vectored(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
                $stream::try_write_vectored(self, buffers)
            }

            fn system(self) -> io::Result<SystemStream> {
                self.into_std().map(SystemStream::$system)
            }
        }
    };
}

plain!(TcpStream, Tcp);
#[cfg(unix)]
plain!(UnixStream, Unix);

/// Whether the selector of the system tells of each arrival, and not only of the first one.
const TELLS_OF_EACH_ARRIVAL: bool = cfg!(any(
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "ios",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "openbsd",
));

/// Reads what is there.
///
/// A read that did not fill the buffer has emptied the socket. tokio is told that at once, which
/// saves the next read a call to the system. Only selectors that tell of each new arrival allow
/// this: epoll and kqueue, as tokio uses them.
fn try_read(socket: &impl TokioStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut emptied = None;
    let read = socket.try_io(Interest::READABLE, || {
        let read = (&*SockRef::from(socket)).read(buffer)?;
        if TELLS_OF_EACH_ARRIVAL && 0 < read && read < buffer.len() {
            emptied = Some(read);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(read)
    });
    emptied.map_or(read, Ok)
}

/// Makes a call until it neither is interrupted nor would block. Readiness comes first, because it
/// is what tokio's cooperative budget counts.
#[inline(always)]
pub(super) fn poll_call<R>(
    mut waits: Waits<'_, '_>,
    poll_ready: impl Fn(&mut Context<'_>) -> Poll<io::Result<()>>,
    mut call: impl FnMut() -> io::Result<R>,
) -> Poll<io::Result<R>> {
    loop {
        if let Some(cx) = &mut waits {
            ready!(poll_ready(cx))?;
        }
        match call() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if waits.is_none() {
                    return Poll::Pending;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return Poll::Ready(done),
        }
    }
}

impl<S: TokioStream> AnySocket for S {
    #[inline]
    fn poll_read(&self, waits: Waits<'_, '_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_call(waits, |cx| self.poll_read_ready(cx), || try_read(self, buffer))
    }

    #[inline]
    fn poll_write(&self, waits: Waits<'_, '_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_call(waits, |cx| self.poll_write_ready(cx), || self.try_write(bytes))
    }

    fn poll_write_vectored(&self, waits: Waits<'_, '_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        poll_call(waits, |cx| self.poll_write_ready(cx), || self.try_write_vectored(buffers))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        system::shutdown(self, how)
    }

    fn local_address(&self) -> io::Result<Address> {
        system::local_address(self)
    }

    fn peer_address(&self) -> io::Result<Address> {
        system::peer_address(self)
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        system::set_option(self, option)
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.as_fd())
    }

    fn into_system(self) -> io::Result<SystemStream> {
        self.system()
    }
}

pub(super) fn poll_accept_tcp(
    listener: &TcpListener,
    runtime: &Handle,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Socket, Address)>> {
    let _entered = runtime.enter();
    listener.poll_accept(cx).map_ok(|(socket, peer)| (Socket::tokio_tcp(socket), Address::Tcp(peer)))
}

#[cfg(unix)]
pub(super) fn poll_accept_unix(
    listener: &UnixListener,
    runtime: &Handle,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Socket, Address)>> {
    let _entered = runtime.enter();
    let (socket, _) = ready!(listener.poll_accept(cx))?;
    let peer = system::peer_address(&socket)?;
    Poll::Ready(Ok((Socket::tokio_unix(socket), peer)))
}

/// Sends a datagram. tokio is told when there is no room, or the next wait for room would end at
/// once. It knows of the room on a new socket only when its reactor has run, so where it knows of
/// none, the system is asked.
pub(super) fn poll_send(
    socket: &UdpSocket,
    waits: Waits<'_, '_>,
    datagram: &[u8],
    to: Option<SocketAddr>,
) -> Poll<io::Result<usize>> {
    let system = SockRef::from(socket);
    let send = || to.map_or_else(|| system.send(datagram), |to| system.send_to(datagram, &to.into()));
    let call = || {
        let mut has_called = false;
        let sent = socket.try_io(Interest::WRITABLE, || {
            has_called = true;
            send()
        });
        if has_called { sent } else { send() }
    };
    poll_call(waits, |cx| socket.poll_send_ready(cx), call)
}
