//! Serves the connections of a listener.
//!
//! [`serve`](fn@serve) is the loop that accepts, with what it needs to go on for long: a limit, a
//! pause when the system has no descriptors left, and an end that lets connections finish.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{TcpListener, TcpStream};
#[cfg(unix)]
use super::{UnixListener, UnixStream};
use crate::cancel::Token;
use crate::runtime::Handle;
use crate::scope::scope;
use crate::sync::Semaphore;
use crate::time::{sleep, timeout, yield_now};

/// How long it waits after an error of `accept`, at first and at most. Each error in a row doubles
/// it.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// As many connections are open at once, unless the caller says otherwise.
const LIMIT: usize = 1024;

/// Accepts connections, and runs `handler` for each as a child of a scope.
///
/// This makes the server; [`run`](Serve::run) runs it. While it runs:
///
/// - As many connections as its [limit](Serve::limit) are open at once. The next ones wait in the
///   operating system.
/// - An error of `accept` ends nothing. If it concerns one connection, the next one is accepted.
///   If the system lacks something, such as file descriptors (`EMFILE`), there is a pause, which
///   grows from 5 milliseconds to a second.
/// - When its [token](Serve::stop_on) is cancelled, it stops accepting and closes the listener. The
///   connections have until the end of its [grace](Serve::grace) to end by themselves. Then they
///   are cancelled.
///
/// The handlers run concurrently on the task that runs the server, and may borrow. To use the
/// threads of a runtime, spawn in the handler: `s.spawn_parallel(…)`, where `s` is a scope that
/// encloses the server. A handler that panics ends the server, as a child ends its scope:
/// [`catch_panic`](crate::future::catch_panic) contains it. The counterpart of
/// `asyncio.start_server` and of Trio's `serve_listeners`.
///
/// ```
/// # #[cfg(feature = "async-io")]
/// # futures::executor::block_on(async {
/// use foster::net::{TcpListener, TcpStream, serve};
/// use foster::{Token, scope};
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let (address, greeting, stop) = (listener.local_addr()?, String::from("hello"), Token::new());
/// scope(async |s| {
///     let greet = async |mut stream: TcpStream| _ = stream.write_all(greeting.as_bytes()).await;
///     let server = s.spawn(serve::serve(listener, greet).limit(100).stop_on(&stop).run());
///
///     let mut text = String::new();
///     TcpStream::connect(address).await?.read_to_string(&mut text).await?;
///     assert_eq!(text, greeting);
///     stop.cancel("enough");
///     assert_eq!(server.await.completed(), 1);
///     std::io::Result::Ok(())
/// })
/// .await?;
/// # std::io::Result::Ok(()) }).unwrap();
/// ```
pub fn serve<L, H, F>(listener: L, handler: H) -> Serve<L, H>
where
    L: Listen,
    H: FnMut(L::Stream) -> F,
    F: Future<Output = ()> + Send,
{
    Serve { listener, handler, limit: LIMIT, stop: None, grace: Handle::DEFAULT_GRACE }
}

/// A listener that [`serve`](fn@serve) takes: of TCP, or of a Unix socket.
pub trait Listen: sealed::Accept {}

mod sealed {
    use std::future::Future;
    use std::io;

    pub trait Accept: Send + Sync {
        /// The connections.
        type Stream: Send;

        fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
    }
}

impl Listen for TcpListener {}

impl sealed::Accept for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        Ok(self.accept().await?.0)
    }
}

#[cfg(unix)]
impl Listen for UnixListener {}

#[cfg(unix)]
impl sealed::Accept for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}

/// A server that is not running yet. [`serve`](fn@serve) makes it.
#[must_use = "a server does nothing until it is run"]
pub struct Serve<L, H> {
    listener: L,
    handler: H,
    limit: usize,
    stop: Option<Token>,
    grace: Duration,
}

impl<L, H> Serve<L, H> {
    /// Sets how many connections may be open at once. The default is 1024.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[track_caller]
    pub fn limit(self, limit: usize) -> Self {
        assert!(limit > 0, "a server without connections serves nobody");
        Serve { limit: limit.min(Semaphore::MAX_PERMITS), ..self }
    }

    /// Sets the token that stops the server.
    ///
    /// The default is the [current](Token::current) one, so that a [stop](crate::Scope::stop) of
    /// the enclosing scope reaches the server. Where nothing of foster's encloses the server, there
    /// is none, and the server runs until it is dropped.
    pub fn stop_on(self, token: &Token) -> Self {
        Serve { stop: Some(token.clone()), ..self }
    }

    /// Sets how long connections have to end by themselves once the server stops. The default is 10
    /// seconds. Zero cancels them at once.
    pub fn grace(self, grace: Duration) -> Self {
        Serve { grace, ..self }
    }
}

impl<L, H, F> Serve<L, H>
where
    L: Listen,
    H: FnMut(L::Stream) -> F,
    F: Future<Output = ()> + Send,
{
    /// Runs the server until its token is cancelled, and returns what it has done.
    ///
    /// # Cancellation
    ///
    /// A server that foster cancels closes the listener, drops its connections, and waits for those
    /// that need time to end. Dropping the future drops the listener and all connections at once.
    ///
    /// # Panics
    ///
    /// Resumes a panic of a handler, when all other connections have ended.
    pub async fn run(self) -> Served {
        let Serve { listener, mut handler, limit, stop, grace } = self;
        let stop = stop.or_else(Token::current);
        let (slots, counts) = (&Semaphore::new(limit), &ServedCounts::default());
        scope(async |s| {
            let accepting = async {
                let mut pause = PAUSES.0;
                while let Ok(slot) = slots.acquire(1).await {
                    match listener.next().await {
                        Ok(stream) => {
                            pause = PAUSES.0;
                            counts.accepted.fetch_add(1, Ordering::Relaxed);
                            let connection = handler(stream);
                            s.spawn(async move {
                                connection.await;
                                counts.completed.fetch_add(1, Ordering::Relaxed);
                                drop(slot);
                            });
                            // A crowd of newcomers keeps nobody from being served.
                            yield_now().await;
                        }
                        Err(error) => {
                            drop(slot);
                            counts.errors.fetch_add(1, Ordering::Relaxed);
                            if concerns_one_connection(&error) {
                                yield_now().await;
                            } else {
                                sleep(pause).await;
                                pause = (2 * pause).min(PAUSES.1);
                            }
                        }
                    }
                }
            };
            match &stop {
                Some(stop) => _ = stop.run_until_cancelled(accepting).await,
                None => accepting.await,
            }
            drop(listener);
            // All slots are free when the last connection has ended.
            if timeout(grace, slots.acquire(limit)).await.is_err() {
                s.cancel("the grace of the server is over");
            }
        })
        .await;
        counts.sum()
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

#[derive(Default)]
struct ServedCounts {
    accepted: AtomicU64,
    completed: AtomicU64,
    errors: AtomicU64,
}

impl ServedCounts {
    fn sum(&self) -> Served {
        Served {
            accepted: self.accepted.load(Ordering::Relaxed),
            completed: self.completed.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

impl<L: fmt::Debug, H> fmt::Debug for Serve<L, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("listener", &self.listener)
            .field("limit", &self.limit)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// What a server has done. [`Serve::run`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    accepted: u64,
    completed: u64,
    errors: u64,
}

impl Served {
    /// Returns how many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Returns how many handlers have completed.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Returns how many connections were cancelled, because the grace had passed.
    pub fn cancelled(&self) -> u64 {
        self.accepted - self.completed
    }

    /// Returns how often `accept` has failed.
    pub fn errors(&self) -> u64 {
        self.errors
    }
}
