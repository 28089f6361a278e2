//! The network of `async-io`, whose reactor serves smol, async-std and executors without one.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::task::{Context, Poll, ready};

use async_io::Async;

use super::socket::{AnySocket, Waits};
use super::{
    Address, DatagramSocket, ListenOptions, Listener, Network, NetworkFuture, Socket, SocketOption, SystemListener,
    SystemStream, system,
};

/// Returns the network of `async-io`, whose reactor is one for the whole process.
///
/// An executor without a reactor can return it from
/// [`Runtime::network`](crate::runtime::Runtime::network). Its thread starts with the first socket.
/// With the feature `async-io` it also serves where no runtime is in force.
///
/// # Examples
///
/// `examples/own_runtime` uses it.
pub fn async_io() -> &'static dyn Network {
    &Reactor
}

/// The reactor of the process.
struct Reactor;

impl Network for Reactor {
    fn connect(&self, address: &Address) -> NetworkFuture<Socket> {
        match address {
            Address::Tcp(address) => {
                let address = *address;
                Box::pin(async move { Async::<TcpStream>::connect(address).await.map(Socket::async_tcp) })
            }
            #[cfg(unix)]
            Address::Unix(address) => {
                let address = address.clone();
                Box::pin(async move { Async::new(system::connect_unix(&address)?).map(Socket::async_unix) })
            }
        }
    }

    fn listen(&self, address: &Address, options: &ListenOptions) -> io::Result<Listener> {
        self.register_listener(system::listen(address, options)?)
    }

    fn register(&self, socket: SystemStream) -> io::Result<Socket> {
        match socket {
            SystemStream::Tcp(socket) => Async::new(socket).map(Socket::async_tcp),
            #[cfg(unix)]
            SystemStream::Unix(socket) => Async::new(socket).map(Socket::async_unix),
        }
    }

    fn register_listener(&self, socket: SystemListener) -> io::Result<Listener> {
        match socket {
            SystemListener::Tcp(socket) => Async::new(socket).map(Listener::async_tcp),
            #[cfg(unix)]
            SystemListener::Unix(socket) => Async::new(socket).map(Listener::async_unix),
        }
    }

    fn bind(&self, address: SocketAddr) -> io::Result<DatagramSocket> {
        self.register_datagrams(UdpSocket::bind(address)?)
    }

    fn register_datagrams(&self, socket: UdpSocket) -> io::Result<DatagramSocket> {
        Async::new(socket).map(DatagramSocket::async_io)
    }
}

/// Whether a call to the system is to be made again at once, or waits.
fn blocked<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

/// Makes a call until it neither is interrupted nor would block.
fn poll_call<R>(
    mut call: impl FnMut() -> io::Result<R>,
    mut wait: impl FnMut() -> Poll<io::Result<()>>,
) -> Poll<io::Result<R>> {
    loop {
        match blocked(call()) {
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Poll::Ready(done) => return Poll::Ready(done),
            Poll::Pending => ready!(wait())?,
        }
    }
}

/// The kinds of streams that are the same, up to their names.
trait SystemSocket: Sized + Send + Sync + 'static {
    fn system(self) -> SystemStream;
}

impl SystemSocket for TcpStream {
    fn system(self) -> SystemStream {
        SystemStream::Tcp(self)
    }
}

#[cfg(unix)]
impl SystemSocket for UnixStream {
    fn system(self) -> SystemStream {
        SystemStream::Unix(self)
    }
}

/// Makes a call that reads.
pub(super) fn poll_reading<S, R>(
    socket: &Async<S>,
    mut waits: Waits<'_, '_>,
    mut call: impl FnMut(&S) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    let wait = || waits.as_deref_mut().map_or(Poll::Pending, |cx| socket.poll_readable(cx));
    poll_call(|| call(socket.get_ref()), wait)
}

/// Makes a call that writes.
pub(super) fn poll_writing<S, R>(
    socket: &Async<S>,
    mut waits: Waits<'_, '_>,
    mut call: impl FnMut(&S) -> io::Result<R>,
) -> Poll<io::Result<R>> {
    let wait = || waits.as_deref_mut().map_or(Poll::Pending, |cx| socket.poll_writable(cx));
    poll_call(|| call(socket.get_ref()), wait)
}

impl<S: SystemSocket> AnySocket for Async<S>
where
    Async<S>: system::System,
    for<'a> &'a S: Read + Write,
{
    fn poll_read(&self, waits: Waits<'_, '_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_reading(self, waits, |mut socket| socket.read(buffer))
    }

    fn poll_write(&self, waits: Waits<'_, '_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        poll_writing(self, waits, |mut socket| socket.write(bytes))
    }

    fn poll_write_vectored(&self, waits: Waits<'_, '_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        poll_writing(self, waits, |mut socket| socket.write_vectored(buffers))
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
        self.into_inner().map(S::system)
    }
}

pub(super) fn poll_accept_tcp(
    listener: &Async<TcpListener>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Socket, Address)>> {
    let (socket, peer) = ready!(poll_reading(listener, Some(cx), |listener| listener.accept()))?;
    Poll::Ready(Async::new(socket).map(|socket| (Socket::async_tcp(socket), Address::Tcp(peer))))
}

#[cfg(unix)]
pub(super) fn poll_accept_unix(
    listener: &Async<UnixListener>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(Socket, Address)>> {
    let (socket, peer) = ready!(poll_reading(listener, Some(cx), |listener| listener.accept()))?;
    Poll::Ready(Async::new(socket).map(|socket| (Socket::async_unix(socket), Address::Unix(peer))))
}
