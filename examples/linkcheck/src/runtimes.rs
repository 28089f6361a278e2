//! The runtimes that the binary offers, and their sockets.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use clap::ValueEnum;
use foster::Handle;
use foster::runtimes::{AsyncStd, Basic, Smol, Tokio};
use futures_util::future::BoxFuture;
use linkcheck::{Listener, Network, Stream};

/// What runs the check.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Runtime {
    /// tokio
    Tokio,
    /// an executor of smol's
    Smol,
    /// async-std
    AsyncStd,
    /// the thread pool of the `futures` crate
    Basic,
}

impl Runtime {
    /// The runtime, with as many threads as there are processors where that can be said.
    ///
    /// # Errors
    ///
    /// When the system refuses what it needs.
    pub(crate) fn start(self) -> io::Result<Handle> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        match self {
            Runtime::Tokio => Tokio::multi_thread(threads).map(Handle::from),
            Runtime::Smol => smol(threads).map(Handle::from),
            Runtime::AsyncStd => Ok(AsyncStd::global().into()),
            Runtime::Basic => Basic::thread_pool(threads).map(Handle::from),
        }
    }

    /// The basic runtime has no sockets. smol's work on any executor.
    pub(crate) fn network(self) -> Arc<dyn Network> {
        match self {
            Runtime::Tokio => Arc::new(on_tokio::Sockets),
            Runtime::Smol | Runtime::Basic => Arc::new(on_smol::Sockets),
            Runtime::AsyncStd => Arc::new(on_async_std::Sockets),
        }
    }
}

/// An executor of smol's, run by threads that last as long as the program. (The global one has a single thread unless
/// the environment says otherwise.)
fn smol(threads: usize) -> io::Result<Smol> {
    static EXECUTOR: smol::Executor<'static> = smol::Executor::new();
    for index in 0..threads {
        let run = || smol::block_on(EXECUTOR.run(smol::future::pending::<()>()));
        thread::Builder::new().name(format!("smol-{index}")).spawn(run)?;
    }
    Ok(Smol::executor(|task| EXECUTOR.spawn(task).detach()))
}

/// Makes a [`Network`] named `Sockets` of the runtime's `TcpListener` and `TcpStream` in scope; `$adapt` gives the
/// streams the traits of the `futures` crates.
macro_rules! sockets {
    ($adapt:path) => {
        use super::{BoxFuture, Listener, Network, SocketAddr, Stream, io};

        #[derive(Debug)]
        pub(super) struct Sockets;

        impl Network for Sockets {
            fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
                Box::pin(async move { stream(TcpStream::connect((host, port)).await?) })
            }

            fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
                Box::pin(async move { Ok(Box::new(Bound(TcpListener::bind(address).await?)) as Box<dyn Listener>) })
            }
        }

        struct Bound(TcpListener);

        impl Listener for Bound {
            fn address(&self) -> io::Result<SocketAddr> {
                self.0.local_addr()
            }

            fn accept(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
                Box::pin(async move { stream(self.0.accept().await?.0) })
            }
        }

        fn stream(stream: TcpStream) -> io::Result<Box<dyn Stream>> {
            // Requests are small and each waits for its answer: nothing is gained by delaying them.
            stream.set_nodelay(true)?;
            Ok(Box::new($adapt(stream)))
        }
    };
}

mod on_tokio {
    use tokio::net::{TcpListener, TcpStream};

    sockets!(tokio_util::compat::TokioAsyncReadCompatExt::compat);
}

mod on_smol {
    use smol::net::{TcpListener, TcpStream};

    sockets!(std::convert::identity);
}

mod on_async_std {
    use async_std::net::{TcpListener, TcpStream};

    sockets!(std::convert::identity);
}
