//! Finds the addresses of an endpoint.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use super::connect::begin;
use super::endpoint::{Endpoint, EndpointKind};
use super::{error, on_network};
use crate::context;
use crate::runtime::{Blocking, blocking_pool};
use crate::sync::oneshot;

/// Looks up the addresses of a host, in the order of preference.
///
/// The network of the runtime is asked, if it knows names. Otherwise the operating system is asked,
/// in the pool for blocking jobs. [`TcpStream::connect`](super::TcpStream::connect) does this by
/// itself. The counterpart of `loop.getaddrinfo` and `tokio::net::lookup_host`.
///
/// # Cancellation
///
/// Dropping the future gives up. The question to the operating system cannot be interrupted: once
/// it has begun, it occupies its thread until it is answered, and nobody waits for that.
///
/// # Errors
///
/// Returns an error if there is no such host, if it has no address, or if the text has no port.
/// Where there is no such host, the error is that of the system's resolver, and its kind is none of
/// those that std names.
///
/// ```
/// # #[cfg(feature = "async-io")]
/// # futures::executor::block_on(async {
/// let addresses = foster::net::lookup("localhost:80").await?;
/// assert!(addresses.iter().all(|address| address.ip().is_loopback()));
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub async fn lookup(endpoint: impl Into<Endpoint>) -> io::Result<Vec<SocketAddr>> {
    let endpoint = endpoint.into();
    let found = match &endpoint.kind {
        EndpointKind::One(address) => return Ok(vec![*address]),
        EndpointKind::Many(addresses) => Ok(addresses.clone()),
        EndpointKind::Named(host, port) => named(host, *port).await,
        EndpointKind::Malformed(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not of the form host:port, with a port of at most 65535",
        )),
    };
    let some = |addresses: Vec<SocketAddr>| {
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no address"));
        }
        Ok(addresses)
    };
    found.and_then(some).map_err(|failed| error::at(failed, "look up", endpoint))
}

/// Calls `attempt` with the addresses of an endpoint, and returns what the first one gives that
/// succeeds. In a cancelled region it does not begin.
pub(super) async fn first_to<T>(
    tried: &'static str,
    endpoint: Endpoint,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    begin().await;
    let mut failures = Vec::new();
    for address in lookup(endpoint).await? {
        match attempt(address) {
            Ok(done) => return Ok(done),
            Err(failed) => failures.push(error::at(failed, tried, address)),
        }
    }
    Err(error::all(failures))
}

async fn named(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match on_network(|network| Ok(network.lookup(host))) {
        Ok(Some(asked)) => Ok(asked.await?.into_iter().map(|address| SocketAddr::new(address, port)).collect()),
        // Names are known to the system where there is no network, too.
        Ok(None) | Err(_) => by_the_system(host.to_string(), port).await,
    }
}

async fn by_the_system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (send, answer) = oneshot::channel();
    let job = Box::new(move || {
        // Nobody waits any longer if the future was dropped before a thread was free.
        if !send.is_closed() {
            _ = send.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect));
        }
    });
    let runtime = context::with(|ambient| ambient.runtime());
    let taken = match runtime {
        Some(runtime) => runtime.spawn_blocking(job),
        None => blocking_pool::spawn(job),
    };
    let ended = || io::Error::other("the runtime has ended");
    taken.map_err(|_| ended())?;
    answer.await.unwrap_or_else(|_| Err(ended()))
}
