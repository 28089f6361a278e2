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
const WATCHDOG: Duration = Duration::from_secs(30);

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

/// Runs `test` on the runtime that `runtime` makes; a test that hangs fails.
pub(crate) fn run<F: Future<Output = ()> + 'static>(runtime: fn() -> Handle, test: fn() -> F) {
    let (done, waiting) = mpsc::channel::<()>();
    let runner = thread::Builder::new()
        .stack_size(64 << 20)
        .spawn(move || {
            let _done = done;
            runtime().run(test());
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
#[allow(unused_macros)]
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
