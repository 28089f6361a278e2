//! The runtimes that the binary offers.
//!
//! Each is behind a cargo feature of its name, so that a build has only what it uses.

use std::error::Error;

use clap::ValueEnum;
use foster::Handle;

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
    /// the thread pool of the `futures` crate
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
    /// Starts the runtime, with a thread for each processor.
    ///
    /// # Errors
    ///
    /// When the runtime is not built in, or the system refuses what it needs.
    pub(crate) fn start(self) -> Result<Handle, Box<dyn Error>> {
        match self {
            #[cfg(feature = "tokio")]
            Runtime::Tokio => Ok(foster::runtimes::Tokio::multi_thread(processors())?.into()),
            #[cfg(feature = "smol")]
            Runtime::Smol => Ok(on_smol::start(processors())?),
            #[cfg(feature = "async-std")]
            // It decides by itself how many threads it has.
            Runtime::AsyncStd => Ok(foster::runtimes::AsyncStd::global().into()),
            #[cfg(feature = "basic")]
            Runtime::Basic => Ok(foster::runtimes::Basic::thread_pool(processors())?.into()),
            #[allow(unreachable_patterns, reason = "all four may be built in")]
            missing => {
                let name = missing.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
                Err(format!("{name} is not built in; build linkcheck with `--features {name}`").into())
            }
        }
    }
}

#[cfg(any(feature = "tokio", feature = "smol", feature = "basic"))]
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

#[cfg(feature = "smol")]
mod on_smol {
    use std::io;
    use std::thread;

    use foster::Handle;
    use foster::runtimes::Smol;
    use smol::Executor;

    /// Runs an executor on threads that last as long as the program. (smol's global executor has
    /// one thread unless the environment says otherwise.)
    pub(super) fn start(threads: usize) -> io::Result<Handle> {
        static EXECUTOR: Executor<'static> = Executor::new();
        for index in 0..threads {
            let run = || smol::block_on(EXECUTOR.run(smol::future::pending::<()>()));
            thread::Builder::new().name(format!("smol-{index}")).spawn(run)?;
        }
        Ok(Smol::executor(|task| EXECUTOR.spawn(task).detach()).into())
    }
}
