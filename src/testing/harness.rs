//! What `#[foster::test]` expands to: one test, on one runtime, under a watchdog.
//!
//! The test runs on a thread of its own. The thread that was to run it watches the wall clock
//! instead. So neither virtual time nor a loop without an `await` can hold the watchdog up.

use std::fmt::Debug;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::conformance::park_on;
use super::explore::Explore;
use super::watch::TestWatch;
use crate::runtime::Handle;
use crate::runtimes::Sim;

/// The stack size of the thread that runs a test. A deep test is deep on purpose.
const STACK: usize = 64 << 20;

/// Creates a current-thread runtime of tokio.
#[cfg(feature = "tokio")]
pub fn tokio() -> Handle {
    crate::runtimes::Tokio::current_thread().expect("a tokio runtime").into()
}

/// Creates a tokio runtime of two threads.
#[cfg(feature = "tokio")]
pub fn tokio_multi() -> Handle {
    crate::runtimes::Tokio::multi_thread(2).expect("a tokio runtime").into()
}

/// Returns smol's global executor.
#[cfg(feature = "smol")]
pub fn smol() -> Handle {
    crate::runtimes::Smol::global().into()
}

/// Returns async-std's global executor.
#[cfg(feature = "async-std")]
pub fn async_std() -> Handle {
    crate::runtimes::AsyncStd::global().into()
}

/// Creates a pool of two threads.
#[cfg(feature = "basic")]
pub fn basic() -> Handle {
    crate::runtimes::Basic::thread_pool(2).expect("a thread pool").into()
}

/// Creates a simulation with one schedule.
pub fn sim() -> Handle {
    Sim::default().into()
}

macro_rules! gate {
    ($dollar:tt $name:ident, $feature:literal) => {
        /// Expands to its first argument if foster has this runtime, and to the second if not.
        #[cfg(feature = $feature)]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $name {
            ({ $dollar($dollar then:tt)* } { $dollar($dollar otherwise:tt)* }) => { $dollar($dollar then)* };
        }

        /// Expands to its first argument if foster has this runtime, and to the second if not.
        #[cfg(not(feature = $feature))]
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $name {
            ({ $dollar($dollar then:tt)* } { $dollar($dollar otherwise:tt)* }) => { $dollar($dollar otherwise)* };
        }
    };
}

gate!($ __if_tokio, "tokio");
gate!($ __if_smol, "smol");
gate!($ __if_async_std, "async-std");
gate!($ __if_basic, "basic");

/// What a test may return.
#[diagnostic::on_unimplemented(
    message = "a test returns `()` or `Result<(), E>` with `E: Debug`, not `{Self}`",
    label = "not what a test returns"
)]
pub trait Verdict {
    /// Panics if the value is an error.
    fn give(self);
}

impl Verdict for () {
    fn give(self) {}
}

impl<E: Debug> Verdict for Result<(), E> {
    /// Fails as the standard harness does. There is no panic here whose place would be reported.
    fn give(self) {
        if let Err(error) = self {
            eprintln!("Error: {error:?}");
            resume_unwind(Box::new(format!("the test returned an error: {error:?}")));
        }
    }
}

/// A test that panics if it fails. It is boxed, so that the code that runs tests is compiled once,
/// and not once for each test.
type Judged = Pin<Box<dyn Future<Output = ()>>>;

fn judged(test: impl Future<Output: Verdict> + 'static) -> Judged {
    Box::pin(async { test.await.give() })
}

/// A test that is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    timeout: Duration,
    should_panic: bool,
}

impl Test {
    /// Creates a test that may take this many milliseconds by the wall clock.
    pub const fn new(milliseconds: u64, should_panic: bool) -> Self {
        Test { timeout: Duration::from_millis(milliseconds), should_panic }
    }

    /// Runs `test` on the runtime that `runtime` makes.
    ///
    /// # Panics
    ///
    /// Panics with the test's panic or its error, or if it hangs.
    #[track_caller]
    pub fn run<F>(self, runtime: impl FnOnce() -> Handle + Send + 'static, test: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output: Verdict> + 'static,
    {
        self.run_judged(Box::new(runtime), Box::new(|| judged(test())));
    }

    /// Runs `test` without a runtime, on an executor that only parks its thread.
    ///
    /// # Panics
    ///
    /// Panics with the test's panic or its error, or if it hangs.
    #[track_caller]
    pub fn run_without_runtime<F>(self, test: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output: Verdict> + 'static,
    {
        let test: Box<dyn FnOnce() -> Judged + Send> = Box::new(|| judged(test()));
        self.watch(move |watch| park_on(watch.over(test())));
    }

    /// [Explores](Explore) `test` with the seeds below `seeds`, which share the time of the test.
    ///
    /// # Panics
    ///
    /// Panics with the first failure, whose text has the test's panic or its error, or if it hangs.
    #[track_caller]
    pub fn explore<F>(self, seeds: u64, test: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output: Verdict> + 'static,
    {
        self.explore_judged(seeds, Box::new(move || judged(test())));
    }

    #[track_caller]
    fn run_judged(self, runtime: Box<dyn FnOnce() -> Handle + Send>, test: Box<dyn FnOnce() -> Judged + Send>) {
        self.watch(move |watch| runtime().run(watch.over(test())));
    }

    #[track_caller]
    fn explore_judged(self, seeds: u64, test: Box<dyn Fn() -> Judged + Send>) {
        self.watch(move |watch| {
            Explore::new().seeds(0..seeds).check(|| watch.over(test()));
        });
    }

    /// Runs a test that starts its runtimes itself.
    ///
    /// # Panics
    ///
    /// Panics with the test's panic, or if it hangs.
    #[track_caller]
    pub fn call(self, test: impl FnOnce() + Send + 'static) {
        self.watch(|_| test());
    }

    /// Runs a test that starts its runtimes itself this many times. A failure reports its round.
    ///
    /// # Panics
    ///
    /// Panics with the first panic of a round, or if the rounds together hang.
    #[track_caller]
    pub fn rounds(self, rounds: u32, mut test: impl FnMut(u32) + Send + 'static) {
        self.watch(move |watch| {
            for round in 0..rounds {
                watch.begin_round(round);
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| test(round))) {
                    eprintln!("this was in round {round} of {rounds}");
                    resume_unwind(payload);
                }
            }
        });
    }

    /// Runs `test` on a thread of its own, which has the name of this thread and so that of the
    /// test.
    ///
    /// A test that hangs is left behind. If it should panic, that is reported by returning, because
    /// a panic here would count as the one that is expected.
    #[track_caller]
    fn watch(self, test: impl FnOnce(&Arc<TestWatch>) + Send + 'static) {
        let watch = Arc::<TestWatch>::default();
        let name = thread::current().name().unwrap_or("test").to_string();
        let runner = thread::Builder::new().name(name).stack_size(STACK).spawn({
            let watch = Arc::clone(&watch);
            move || {
                let result = catch_unwind(AssertUnwindSafe(|| test(&watch)));
                watch.finish();
                result
            }
        });
        let runner = runner.expect("a thread for the test");
        match watch.wait_until_over(self.timeout) {
            Err(hangs) if self.should_panic => eprintln!("{hangs}"),
            Err(hangs) => panic!("{hangs}"),
            Ok(()) => match runner.join() {
                Ok(Ok(())) => {}
                Ok(Err(payload)) | Err(payload) => resume_unwind(payload),
            },
        }
    }
}
