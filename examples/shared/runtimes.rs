//! The runtimes that a program offers. Each is behind a cargo feature of its name.

use std::io;

use clap::ValueEnum;
use foster::Handle;

#[cfg(not(any(feature = "tokio", feature = "smol", feature = "async-std", feature = "basic")))]
compile_error!("this program needs one of the features `tokio`, `smol`, `async-std` and `basic`");

/// What runs the program.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Runtime {
    /// A runtime of tokio of two threads
    #[cfg(feature = "tokio")]
    Tokio,
    /// The global executor of smol
    #[cfg(feature = "smol")]
    Smol,
    /// The global executor of async-std
    #[cfg(feature = "async-std")]
    AsyncStd,
    /// A thread pool of the `futures` crate
    #[cfg(feature = "basic")]
    Basic,
}

impl Default for Runtime {
    /// The first that is built in.
    fn default() -> Self {
        Runtime::value_variants()[0]
    }
}

impl Runtime {
    /// Starts the runtime.
    pub(crate) fn start(self) -> io::Result<Handle> {
        Ok(match self {
            #[cfg(feature = "tokio")]
            Runtime::Tokio => foster::runtimes::Tokio::multi_thread(2)?.into(),
            #[cfg(feature = "smol")]
            Runtime::Smol => foster::runtimes::Smol::global().into(),
            #[cfg(feature = "async-std")]
            Runtime::AsyncStd => foster::runtimes::AsyncStd::global().into(),
            #[cfg(feature = "basic")]
            Runtime::Basic => foster::runtimes::Basic::thread_pool(2)?.into(),
        })
    }
}
