//! Sockets of the operating system: their addresses, their options, and how to listen.

use std::io;
use std::net::{Shutdown, TcpListener};
#[cfg(unix)]
use std::os::fd::OwnedFd;
#[cfg(unix)]
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, TcpKeepalive, Type};

use super::{Address, ListenOptions, SocketOption, SystemListener, unsupported};

/// Listens at `address`, without blocking.
pub(super) fn listen(address: &Address, options: &ListenOptions) -> io::Result<SystemListener> {
    let at = socket_address(address)?;
    let socket = socket2::Socket::new(at.domain(), Type::STREAM, None)?;
    if at.domain() != Domain::UNIX {
        socket.set_reuse_address(options.reuse_address())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at)?;
    socket.listen(i32::try_from(options.backlog()).unwrap_or(i32::MAX))?;
    Ok(match address {
        Address::Tcp(_) => SystemListener::Tcp(TcpListener::from(socket)),
        #[cfg(unix)]
        Address::Unix(_) => SystemListener::Unix(UnixListener::from(OwnedFd::from(socket))),
    })
}

/// Connects to a Unix socket. This waits for nothing, so it fails with `WouldBlock` where the
/// listener has no room for another connection.
#[cfg(unix)]
pub(super) fn connect_unix(address: &UnixAddr) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(unix_path(address)?)?)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

fn socket_address(address: &Address) -> io::Result<SockAddr> {
    match address {
        Address::Tcp(address) => Ok(SockAddr::from(*address)),
        #[cfg(unix)]
        Address::Unix(address) => SockAddr::unix(unix_path(address)?),
    }
}

/// Returns the path of a Unix address. An abstract name is a path that begins with a zero byte.
#[cfg(unix)]
fn unix_path(address: &UnixAddr) -> io::Result<std::path::PathBuf> {
    if let Some(path) = address.as_pathname() {
        return Ok(path.to_path_buf());
    }
    #[cfg(target_os = "linux")]
    {
        use std::ffi::OsString;
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStringExt;

        if let Some(name) = address.as_abstract_name() {
            return Ok(OsString::from_vec([b"\0", name].concat()).into());
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "a Unix socket without a name cannot be reached"))
}

#[cfg(unix)]
fn unix_address(address: &SockAddr) -> io::Result<UnixAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_namespace() {
        return <UnixAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    // A socket without a name has the empty path.
    address.as_unix().map_or_else(|| UnixAddr::from_pathname(""), Ok)
}

fn address(address: SockAddr) -> io::Result<Address> {
    #[cfg(unix)]
    if address.is_unix() {
        return unix_address(&address).map(Address::Unix);
    }
    address.as_socket().map(Address::Tcp).ok_or_else(|| unsupported("the address is of an unknown family"))
}

/// A socket that `SockRef` knows.
#[cfg(unix)]
pub(super) trait System: std::os::fd::AsFd {}
#[cfg(unix)]
impl<S: std::os::fd::AsFd> System for S {}
#[cfg(windows)]
pub(super) trait System: std::os::windows::io::AsSocket {}
#[cfg(windows)]
impl<S: std::os::windows::io::AsSocket> System for S {}

pub(super) fn local_address(socket: &impl System) -> io::Result<Address> {
    address(SockRef::from(socket).local_addr()?)
}

pub(super) fn peer_address(socket: &impl System) -> io::Result<Address> {
    address(SockRef::from(socket).peer_addr()?)
}

/// A socket whose peer has gone is shut down already.
pub(super) fn shutdown(socket: &impl System, how: Shutdown) -> io::Result<()> {
    match SockRef::from(socket).shutdown(how) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    }
}

/// The longest time, in seconds, that each system takes. It is what Linux takes for the silence
/// before a probe.
const LONGEST: u64 = 32_767;

/// Rounds a time up to whole seconds. The systems would cut the rest off, and a linger of zero
/// resets the connection.
fn whole_seconds(time: Duration) -> Duration {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    Duration::from_secs(seconds.min(LONGEST))
}

pub(super) fn set_option(socket: &impl System, option: SocketOption) -> io::Result<()> {
    let socket = SockRef::from(socket);
    match option {
        SocketOption::NoDelay(nodelay) => socket.set_tcp_nodelay(nodelay),
        SocketOption::KeepAlive(None) => socket.set_keepalive(false),
        SocketOption::KeepAlive(Some(after)) => {
            let after = whole_seconds(after).max(Duration::from_secs(1));
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after))
        }
        SocketOption::Linger(linger) => socket.set_linger(linger.map(whole_seconds)),
    }
}
