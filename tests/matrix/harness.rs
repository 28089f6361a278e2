//! Runs one test on one runtime, under a watchdog.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use foster::Handle;
use foster::runtimes::{AsyncStd, Basic, Sim, Smol, Tokio};

/// The unit of time of the tests: virtual under sim, real elsewhere. Tests assert order, never length, unless they run
/// under sim alone.
pub(crate) const T: Duration = Duration::from_millis(10);

/// How long a test may take by the wall clock, whatever its runtime's clock says.
const WATCHDOG: Duration = Duration::from_secs(10);

pub(crate) fn tokio() -> Handle {
    Tokio::current_thread().expect("a tokio runtime").into()
}

pub(crate) fn tokio_multi() -> Handle {
    Tokio::multi_thread(2).expect("a tokio runtime").into()
}

pub(crate) fn smol() -> Handle {
    Smol::global().into()
}

pub(crate) fn async_std() -> Handle {
    AsyncStd::global().into()
}

pub(crate) fn basic() -> Handle {
    Basic::thread_pool(2).expect("a thread pool").into()
}

pub(crate) fn sim() -> Handle {
    Sim::default().into()
}

/// Every runtime of the matrix, for what happens outside of [`Handle::run`].
pub(crate) const ALL: [fn() -> Handle; 6] = [tokio, tokio_multi, smol, async_std, basic, sim];

/// Those with threads of their own.
pub(crate) const REAL: [fn() -> Handle; 5] = [tokio, tokio_multi, smol, async_std, basic];

/// Runs `test` on the runtime that `runtime` makes; a test that hangs fails.
pub(crate) fn run<F: Future<Output = ()> + 'static>(runtime: fn() -> Handle, test: fn() -> F) {
    watched(move || runtime().run(test()));
}

/// Runs `test` with each of `runtimes`; a test that hangs fails.
pub(crate) fn each(runtimes: &'static [fn() -> Handle], test: fn(Handle)) {
    for runtime in runtimes {
        watched(move || test(runtime()));
    }
}

/// Runs `test` on a thread with a large stack, under the watchdog.
pub(crate) fn watched(test: impl FnOnce() + Send + 'static) {
    let (done, waiting) = mpsc::channel::<()>();
    let runner = thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let _done = done;
            test();
        })
        .expect("a thread");
    match waiting.recv_timeout(WATCHDOG) {
        Err(RecvTimeoutError::Timeout) => panic!("the test has been running for {WATCHDOG:?}: it hangs"),
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
    }
    if let Err(payload) = runner.join() {
        resume_unwind(payload);
    }
}

/// Tests for every runtime.
macro_rules! matrix {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test() $body

            #[test]
            fn tokio() {
                $crate::harness::run($crate::harness::tokio, test);
            }

            #[test]
            fn tokio_multi() {
                $crate::harness::run($crate::harness::tokio_multi, test);
            }

            #[test]
            fn smol() {
                $crate::harness::run($crate::harness::smol, test);
            }

            #[test]
            fn async_std() {
                $crate::harness::run($crate::harness::async_std, test);
            }

            #[test]
            fn basic() {
                $crate::harness::run($crate::harness::basic, test);
            }

            #[test]
            fn sim() {
                $crate::harness::run($crate::harness::sim, test);
            }
        }
    )*};
}

/// Tests that need exact instants, under virtual time.
macro_rules! sim {
    ($($(#[$meta:meta])* async fn $name:ident() $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test() $body

            #[test]
            fn sim() {
                $crate::harness::run($crate::harness::sim, test);
            }
        }
    )*};
}

/// Tests that start a root themselves, for every runtime: they are given its handle.
macro_rules! roots {
    ($($(#[$meta:meta])* fn $name:ident($rt:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            fn test($rt: foster::Handle) $body

            #[test]
            fn tokio() {
                $crate::harness::watched(|| test($crate::harness::tokio()));
            }

            #[test]
            fn tokio_multi() {
                $crate::harness::watched(|| test($crate::harness::tokio_multi()));
            }

            #[test]
            fn smol() {
                $crate::harness::watched(|| test($crate::harness::smol()));
            }

            #[test]
            fn async_std() {
                $crate::harness::watched(|| test($crate::harness::async_std()));
            }

            #[test]
            fn basic() {
                $crate::harness::watched(|| test($crate::harness::basic()));
            }

            #[test]
            fn sim() {
                $crate::harness::watched(|| test($crate::harness::sim()));
            }
        }
    )*};
}
