//! The runtimes that the binary offers, and their sockets.
//!
//! Each is behind a cargo feature of its name, so that a build has only what it uses.

use std::error::Error;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use clap::ValueEnum;
use foster::Handle;
use linkcheck::Network;

#[cfg(not(any(feature = "tokio", feature = "smol", feature = "async-std", feature = "basic")))]
compile_error!("linkcheck needs one of the features `tokio`, `smol`, `async-std` and `basic`");

/// What runs the check.
///
/// One that is not built in can be named too. Then [`start`](Runtime::start) says how to get it.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Runtime {
    /// tokio
    #[cfg_attr(not(feature = "tokio"), value(hide = true))]
    Tokio,
    /// an executor of smol's
    #[cfg_attr(not(feature = "smol"), value(hide = true))]
    Smol,
    /// async-std
    #[cfg_attr(not(feature = "async-std"), value(hide = true))]
    AsyncStd,
    /// the thread pool of the `futures` crate, with the sockets of smol
    #[cfg_attr(not(feature = "basic"), value(hide = true))]
    Basic,
}

impl Default for Runtime {
    /// The first that is built in.
    fn default() -> Self {
        if cfg!(feature = "tokio") {
            Runtime::Tokio
        } else if cfg!(feature = "smol") {
            Runtime::Smol
        } else if cfg!(feature = "async-std") {
            Runtime::AsyncStd
        } else {
            Runtime::Basic
        }
    }
}

impl Runtime {
    /// Starts the runtime, with a thread for each processor, and names the sockets that go with it.
    ///
    /// # Errors
    ///
    /// When the runtime is not built in, or the system refuses what it needs.
    pub(crate) fn start(self) -> Result<Started, Box<dyn Error>> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        match self {
            #[cfg(feature = "tokio")]
            Runtime::Tokio => Ok(on_tokio::start(threads)?),
            #[cfg(feature = "smol")]
            Runtime::Smol => Ok(on_smol::start(threads)?),
            #[cfg(feature = "async-std")]
            Runtime::AsyncStd => Ok(on_async_std::start(threads)?),
            #[cfg(feature = "basic")]
            Runtime::Basic => Ok(on_basic::start(threads)?),
            #[allow(unreachable_patterns, reason = "all four may be built in")]
            missing => {
                let name = missing.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
                Err(format!("{name} is not built in; build linkcheck with `--features {name}`").into())
            }
        }
    }
}

/// A runtime, and its sockets.
type Started = (Handle, Arc<dyn Network>);

/// Makes a [`Network`] named `Sockets` of the runtime's `TcpListener` and `TcpStream` in scope.
/// `$adapt` gives the streams the traits of the `futures` crates.
macro_rules! sockets {
    ($adapt:path) => {
        use std::io;
        use std::net::SocketAddr;

        use futures_util::future::BoxFuture;
        use linkcheck::{Listener, Network, Stream};

        #[derive(Debug)]
        pub(super) struct Sockets;

        impl Network for Sockets {
            fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
                Box::pin(async move { stream(TcpStream::connect(address).await?) })
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

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::sync::Arc;

    use foster::runtimes::Tokio;
    use tokio::net::{TcpListener, TcpStream};

    sockets!(tokio_util::compat::TokioAsyncReadCompatExt::compat);

    pub(super) fn start(threads: usize) -> io::Result<super::Started> {
        Ok((Tokio::multi_thread(threads)?.into(), Arc::new(Sockets)))
    }
}

#[cfg(feature = "smol")]
mod on_smol {
    use std::io;
    use std::sync::Arc;
    use std::thread;

    use foster::runtimes::Smol;
    use smol::Executor;

    use super::smol_sockets::Sockets;

    /// Runs an executor on threads that last as long as the program. (smol's global executor has
    /// one thread unless the environment says otherwise.)
    pub(super) fn start(threads: usize) -> io::Result<super::Started> {
        static EXECUTOR: Executor<'static> = Executor::new();
        for index in 0..threads {
            let run = || smol::block_on(EXECUTOR.run(smol::future::pending::<()>()));
            thread::Builder::new().name(format!("smol-{index}")).spawn(run)?;
        }
        let smol = Smol::executor(|task| EXECUTOR.spawn(task).detach());
        Ok((smol.into(), Arc::new(Sockets)))
    }
}

#[cfg(feature = "async-std")]
mod on_async_std {
    use std::sync::Arc;

    use async_std::net::{TcpListener, TcpStream};
    use foster::runtimes::AsyncStd;

    sockets!(std::convert::identity);

    /// async-std decides by itself how many threads it has.
    pub(super) fn start(_threads: usize) -> io::Result<super::Started> {
        Ok((AsyncStd::global().into(), Arc::new(Sockets)))
    }
}

#[cfg(feature = "basic")]
mod on_basic {
    use std::io;
    use std::sync::Arc;

    use foster::runtimes::Basic;

    use super::smol_sockets::Sockets;

    pub(super) fn start(threads: usize) -> io::Result<super::Started> {
        Ok((Basic::thread_pool(threads)?.into(), Arc::new(Sockets)))
    }
}

/// The sockets of smol, which work on any executor.
#[cfg(any(feature = "smol", feature = "basic"))]
mod smol_sockets {
    use smol::net::{TcpListener, TcpStream};

    sockets!(std::convert::identity);
}
