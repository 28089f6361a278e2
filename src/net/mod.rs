//! Sockets for code that names no runtime.
//!
//! A [`TcpStream`], a [`TcpListener`] or a [`UdpSocket`] is made on the network of the
//! [runtime in force](crate::Handle::try_current), and is the same type on each. So a library opens
//! connections, and the application chooses the runtime. The streams implement the traits of the
//! `futures` crates, [`AsyncRead`](futures_io::AsyncRead) and
//! [`AsyncWrite`](futures_io::AsyncWrite).
//!
//! ```
//! # #[cfg(feature = "async-io")]
//! # futures::executor::block_on(async {
//! use foster::net::{TcpListener, TcpStream};
//! use foster::scope;
//! use futures::io::{AsyncReadExt, AsyncWriteExt, copy};
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! scope(async |s| {
//!     let server = s.spawn(async {
//!         let (stream, _) = listener.accept().await?;
//!         copy(&stream, &mut &stream).await // sends back what comes
//!     });
//!     let mut client = TcpStream::connect(address).await?;
//!     client.write_all(b"ping").await?;
//!     client.close().await?; // ends this direction
//!     let mut echo = Vec::new();
//!     client.read_to_end(&mut echo).await?;
//!     assert_eq!((echo, server.await?), (b"ping".to_vec(), 4));
//!     std::io::Result::Ok(())
//! })
//! .await?;
//! # std::io::Result::Ok(()) }).unwrap();
//! ```
//!
//! # Which runtimes have a network
//!
//! | runtime | its network |
//! |---|---|
//! | `Tokio`, and code on tokio's threads | tokio's |
//! | `Smol`, `AsyncStd` | that of `async-io`, which both stand on |
//! | `Basic` | that of `async-io`, with the feature of this name |
//! | no runtime in force | that of `async-io`, with the feature of this name |
//! | `Sim` | one in virtual time, with hosts, latency and partitions |
//! | a runtime of yours | what its [`network`](crate::runtime::Runtime::network) returns |
//!
//! The features `smol` and `async-std` turn `async-io` on, since they contain it. Where there is no
//! network, an error of the kind [`Unsupported`](std::io::ErrorKind::Unsupported) says so, and so
//! it does where a network of yours has no datagrams. On Unix, `UnixStream` and `UnixListener` are
//! sockets with a path.
//!
//! [`duplex`] makes a connection in memory, for tests. It needs none of these.
//!
//! # From tokio's sockets
//!
//! | of tokio | here |
//! |---|---|
//! | `AsyncReadExt`, `AsyncWriteExt`, `BufReader`, `copy` of `tokio::io` | those of `futures::io` |
//! | `TcpStream::split` | references: `&stream` reads, and `&stream` writes |
//! | `into_split` | [`into_split`](TcpStream::into_split) |
//! | `readable` and `try_read` | `read`, which loses nothing when it is dropped |
//! | `writable` and `try_send_to` of a `UdpSocket` | [the same](UdpSocket::writable) |
//! | `TcpSocket` | [`TcpOptions`], or the crate `socket2` and [`from_std`](TcpStream::from_std) |
//! | `ToSocketAddrs` | [`Endpoint`] |
//! | `lookup_host` | [`lookup`] |
//!
//! # Libraries with other traits
//!
//! With the feature `tokio`, the module `tokio_io` bridges to `tokio::io::{AsyncRead, AsyncWrite}`,
//! and back. With the feature `hyper`, the module `hyper_io` gives hyper its bytes, timers and
//! tasks.
//!
//! # Cancellation
//!
//! | dropped while it waits | what is lost |
//! |---|---|
//! | [`connect`](TcpStream::connect) | the attempt: the peer may see a connection that is closed at once |
//! | [`accept`](TcpListener::accept), [`incoming`](TcpListener::incoming) | nothing: the connection waits for the next one who accepts |
//! | `read` | nothing: bytes are taken in the poll that returns them |
//! | `write` | nothing: bytes are taken in the poll that returns how many |
//! | `read_exact`, `read_to_end`, `read_line` | the bytes that it has read so far, unless they are in a buffer of yours |
//! | `write_all` | the number of bytes that it has written: the peer gets a part |
//! | `flush`, `close` | nothing: call it again |
//! | [`recv_from`](UdpSocket::recv_from), `recv`, `peek_from` | nothing: a datagram is taken in the poll that returns it |
//! | [`send_to`](UdpSocket::send_to), `send` | nothing: a datagram is sent in the poll that returns, or not at all |
//! | [`writable`](UdpSocket::writable) | nothing |
//!
//! So a `write_all` that was cancelled leaves a broken message behind. Close such a connection, or
//! write under [`shield`](crate::shield).
//!
//! In a [cancelled region](crate::cancel#regions), where nothing new starts, a read takes the bytes
//! that are there, a write writes what fits, and neither begins to wait. The same holds for
//! datagrams and for connections to accept. On tokio, what is there is what its reactor has heard
//! of. Finalizers and shields lie in no cancelled region, and can wait.
//!
//! # A peer that never pauses
//!
//! A read that finds bytes, and a write that finds room, completes in the same poll. So do their
//! like: to accept, to receive and send a datagram, and what a [`Duplex`] does. In the body or a
//! child of a scope this happens up to 128 times in one poll. Then the next such future yields
//! once, so that one busy peer keeps nobody else from being served, and a timeout or a cancellation
//! can end it. Where foster does not poll the code, nothing is counted, as the page of
//! [queues](crate::queue#a-queue-that-is-never-empty) says.
//!
//! # Errors
//!
//! The errors are those of the operating system, of the same kind, with what was tried and the
//! address in the message: `cannot connect to 127.0.0.1:80: Connection refused (os error 111)`. The
//! original error is their source. So [`io::Error::raw_os_error`] is `None`, and
//! [`raw_os_error`] returns the number. If none of several addresses can be connected to or
//! bound, the message has the error of each, and the kind, the number and the source are those of
//! the first.

use std::io;
use std::task::Context;

use crate::context;
use crate::engine::budget;
use crate::runtime::network::{self, Network, Waits};
use crate::sync::wait_list::yields;

mod connect;
mod duplex;
mod endpoint;
mod error;
#[cfg(feature = "hyper")]
pub mod hyper_io;
mod listener;
mod lookup;
mod options;
pub mod serve;
mod split;
mod stream;
mod tcp;
#[cfg(feature = "tokio")]
pub mod tokio_io;
mod turn;
mod udp;
mod udp_options;
#[cfg(unix)]
mod unix;

pub use duplex::{Duplex, duplex};
pub use endpoint::Endpoint;
pub use error::raw_os_error;
pub use listener::{Incoming, TcpListener};
pub use lookup::lookup;
pub use options::TcpOptions;
pub use split::{ReadHalf, ReuniteError, Split, WriteHalf};
pub use tcp::TcpStream;
pub use udp::UdpSocket;
#[cfg(unix)]
pub use unix::{UnixIncoming, UnixListener, UnixStream};

/// Lets a bridge wrap a stream.
#[cfg(any(feature = "hyper", feature = "tokio"))]
macro_rules! wraps {
    ($bridge:ident) => {
        impl<S> $bridge<S> {
            /// Wraps a stream.
            pub fn new(stream: S) -> Self {
                $bridge(stream)
            }

            /// Returns the stream.
            pub fn get_ref(&self) -> &S {
                &self.0
            }

            /// Returns the stream.
            pub fn get_mut(&mut self) -> &mut S {
                &mut self.0
            }

            /// Unwraps the stream.
            pub fn into_inner(self) -> S {
                self.0
            }
        }
    };
}
#[cfg(any(feature = "hyper", feature = "tokio"))]
use wraps;

/// Calls `f` with the network in force.
fn on_network<R>(f: impl FnOnce(&dyn Network) -> io::Result<R>) -> io::Result<R> {
    network::with(context::with(|ambient| ambient.runtime()), f)
}

/// Whether the poll has taken so many steps that it yields now, before it makes another call. A
/// peer that always sends would keep the siblings of who reads from their polls.
#[inline(always)]
fn gives_way(cx: &Context<'_>) -> bool {
    !budget::take_step() && yields(cx)
}

/// Who is woken. In a cancelled region that is nobody, so no wait begins.
#[inline(always)]
fn waits<'a, 'b>(cx: &'a mut Context<'b>) -> Waits<'a, 'b> {
    if is_tripped() { None } else { Some(cx) }
}

/// Whether no wait begins here, because the region is being wound down.
#[inline(always)]
fn is_tripped() -> bool {
    context::with(|ambient| ambient.is_tripped())
}
