//! Bridges to hyper: its sockets, timers and tasks are those of whatever runs it.
//!
//! | hyper asks for | give it |
//! |---|---|
//! | `hyper::rt::{Read, Write}` | [`ForHyper`], around a stream of the `futures` traits |
//! | `hyper::rt::Timer` | [`HyperTimer`], the clock in force |
//! | `hyper::rt::Executor` | a [`Spawner`]: a scope owns what hyper spawns |
//!
//! The other way round, [`FromHyper`] gives a stream of hyper's, such as an upgraded connection,
//! the traits of the `futures` crates.
//!
//! # A server that stops without losing a request
//!
//! [`serve`](fn@super::serve::serve) accepts, and stops when its token is cancelled. Each
//! connection listens to the same token by [`graceful`]: one that is idle closes, and one with a
//! request in flight closes after its response.
//!
//! ```
//! # #[cfg(feature = "async-io")]
//! # futures::executor::block_on(async {
//! use foster::net::hyper_io::{ForHyper, HyperTimer, graceful};
//! use foster::net::{TcpListener, TcpStream, serve::serve};
//! use foster::{Token, scope};
//! use http_body_util::{BodyExt, Empty};
//! use hyper::body::{Bytes, Incoming};
//! use hyper::service::service_fn;
//! use hyper::{Request, Response, client, server};
//!
//! async fn hello(request: Request<Incoming>) -> hyper::Result<Response<String>> {
//!     Ok(Response::new(format!("hello from {}", request.uri())))
//! }
//!
//! let (listener, stop) = (TcpListener::bind("127.0.0.1:0").await?, Token::new());
//! let address = listener.local_addr()?;
//! let connection = async |stream: TcpStream| {
//!     let http = server::conn::http1::Builder::new()
//!         .timer(HyperTimer)
//!         .serve_connection(ForHyper::new(stream), service_fn(hello));
//!     _ = graceful(http, &stop, server::conn::http1::Connection::graceful_shutdown).await;
//! };
//! scope(async |s| {
//!     let server = s.spawn(serve(listener, connection).stop_on(&stop).run());
//!
//!     let stream = ForHyper::new(TcpStream::connect(address).await?);
//!     let (mut requests, driver) = client::conn::http1::handshake(stream).await?;
//!     s.spawn(driver);
//!     let request = Request::get("/here").body(Empty::<Bytes>::new())?;
//!     let answer = requests.send_request(request).await?.collect().await?.to_bytes();
//!     assert_eq!(answer, "hello from /here");
//!
//!     stop.cancel("closing time"); // the connection is open, and idle
//!     assert_eq!(server.await.completed(), 1);
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })
//! .await?;
//! # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_io as neutral;
use futures_task::Spawn;
use hyper::rt::{self as theirs, ReadBuf, ReadBufCursor};

use super::wraps;
use crate::cancel::Token;
use crate::context;
use crate::runtime::Timer;
use crate::scope::Spawner;
use crate::time::now;
use crate::trace::tree;

/// Gives a stream of the `futures` traits those of hyper.
///
/// # Cost
///
/// A read copies its bytes once more, at most 64 KiB. The memory for this is per thread, not per
/// connection.
#[derive(Clone, Copy, Debug)]
pub struct ForHyper<S>(S);

/// Gives a stream of hyper's the traits of the `futures` crates.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::net::duplex;
/// use foster::net::hyper_io::{ForHyper, FromHyper};
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// let (mut client, server) = duplex(16);
/// let mut server = FromHyper::new(ForHyper::new(server)); // as `hyper::upgrade::Upgraded` is
/// client.write_all(b"hello").await?;
/// client.close().await?;
/// let mut text = String::new();
/// server.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FromHyper<S>(S);

wraps!(ForHyper);
wraps!(FromHyper);

/// The most that one read moves.
const LENGTH: usize = 64 << 10;

thread_local! {
    /// Zeros, into which the reads of this thread go: hyper's buffers are not initialized. Who uses
    /// it takes it out, so that a read within a read has its own.
    static SCRATCH: Cell<Option<Box<[u8; LENGTH]>>> = const { Cell::new(None) };
}

impl<S: neutral::AsyncRead + Unpin> theirs::Read for ForHyper<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // There is no place in the destructors of a thread that ends.
        let kept = SCRATCH.try_with(Cell::take).ok().flatten();
        let mut scratch = kept.unwrap_or_else(|| vec![0; LENGTH].try_into().expect("it has this length"));
        let room = buffer.remaining().min(LENGTH);
        let polled = Pin::new(&mut self.0).poll_read(cx, &mut scratch[..room]);
        if let Poll::Ready(Ok(read)) = polled {
            buffer.put_slice(&scratch[..read]);
            // A stream that claims more than it has read must not show what another one read.
            scratch[..read].fill(0);
        }
        _ = SCRATCH.try_with(|place| place.set(Some(scratch)));
        polled.map_ok(drop)
    }
}

impl<S: neutral::AsyncWrite + Unpin> theirs::Write for ForHyper<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }

    /// The traits of `futures` cannot be asked. A stream without vectored writes takes the first
    /// buffer, which is right, too.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }
}

impl<S: theirs::Read + Unpin> neutral::AsyncRead for FromHyper<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(&mut self.0).poll_read(cx, buffer.unfilled()))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: theirs::Write + Unpin> neutral::AsyncWrite for FromHyper<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// hyper's timer, on the clock of the [runtime in force](crate::Handle::try_current).
///
/// So its timeouts pass in virtual time in a simulation.
///
/// # Cost
///
/// One allocation for a sleep. Over HTTP/1, hyper makes a sleep for the head of each request, and
/// drops it with the head. The timer in it, where it is one of tokio, of smol or of the thread of
/// `futures-timer`, is kept for the next sleep on the same thread: to move it costs less than to
/// make one. So a thread keeps at most one timer that nobody uses. One of tokio keeps the
/// descriptors of its runtime open, also when the runtime has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

thread_local! {
    /// A timer whose sleep was dropped on this thread. Until it is moved it may wake whoever slept,
    /// in vain.
    static SPARE: Cell<Option<Pin<Box<Timer>>>> = const { Cell::new(None) };
}

/// A sleep for hyper. Without a timer it never ends.
struct HyperSleep(Option<Pin<Box<Timer>>>);

impl HyperSleep {
    fn new(at: Instant) -> Self {
        let mut sleep = HyperSleep(SPARE.try_with(Cell::take).ok().flatten());
        sleep.move_to(at);
        sleep
    }

    /// Sets the timer at once. hyper asks where it polls, so the clock in force is known.
    fn move_to(&mut self, at: Instant) {
        context::with(|ambient| match &mut self.0 {
            _ if ambient.is_tripped() => self.0 = None,
            Some(timer) => ambient.reset(timer.as_mut(), at),
            None => self.0 = Some(Box::pin(ambient.timer(at))),
        });
    }
}

impl Drop for HyperSleep {
    fn drop(&mut self) {
        if let Some(timer) = self.0.take().filter(|timer| timer.moves()) {
            // A thread that ends keeps nothing.
            drop(SPARE.try_with(|spare| spare.replace(Some(timer))));
        }
    }
}

impl theirs::Sleep for HyperSleep {}

impl Future for HyperSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.0.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx));
        if polled.is_pending() {
            tree::waiting(|| String::from("sleep of hyper's timer"));
        }
        polled
    }
}

impl theirs::Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn theirs::Sleep>> {
        // hyper counts from this call.
        Box::pin(now().checked_add(duration).map_or(HyperSleep(None), HyperSleep::new))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn theirs::Sleep>> {
        Box::pin(HyperSleep::new(deadline))
    }

    fn now(&self) -> Instant {
        now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn theirs::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<HyperSleep>() {
            Some(mut ours) => ours.move_to(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

/// Runs what hyper spawns as children of the scope, in parallel.
///
/// In a scope that was cancelled, or has completed, the future is dropped.
impl<F> theirs::Executor<F> for Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let child = async { drop(future.await) };
        // Who waits for an answer of a refused future learns of it by the channel between them.
        _ = self.spawn_obj(Box::new(child).into());
    }
}

/// Runs a connection of hyper's to its end. When `stop` is cancelled, it calls `shutdown`, once,
/// and goes on.
///
/// `shutdown` is the `graceful_shutdown` of the connection: it closes an idle connection at once,
/// and another one after the response in flight. This does not race the connection with the token:
/// what loses a race is cancelled, and with it the requests in flight.
///
/// # Cancellation
///
/// Dropping the future drops the connection. A client may get a part of a response.
pub async fn graceful<C: Future>(connection: C, stop: &Token, shutdown: impl FnOnce(Pin<&mut C>)) -> C::Output {
    let (mut connection, mut stopped) = (pin!(connection), stop.cancelled());
    let mut shutdown = Some(shutdown);
    poll_fn(|cx| {
        if shutdown.is_some() && Pin::new(&mut stopped).poll(cx).is_ready() {
            if let Some(shutdown) = shutdown.take() {
                shutdown(connection.as_mut());
            }
        }
        connection.as_mut().poll(cx)
    })
    .await
}
