//! Runs futures as roots, where a runtime's context begins.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::future::{ScopeFuture, value};
use super::kind::AnyThread;
use super::state::Core;
use crate::context::inherited::Inheriting;
use crate::context::{self, Place};
use crate::name::Name;
use crate::runtime::{Handle, RunError};
use crate::scope::control::Parts;

impl Handle {
    /// Runs `future` to its end on this thread, with this runtime in its context, and blocks until
    /// then.
    ///
    /// Then it waits for what was adopted meanwhile, within the handle's
    /// [grace](Handle::with_grace), and drops what is left. If this is called while another future
    /// is being polled or dropped, that one's deadlines and cancellations do not reach `future`,
    /// and its inherited values do. The counterpart of `asyncio.run`, `trio.run` and
    /// `tokio::runtime::Runtime::block_on`. `#[foster::main]` is a short form of it.
    ///
    /// # Panics
    ///
    /// Resumes `future`'s panic. Panics where [`try_run`](Handle::try_run) returns an error: with
    /// [`Sim`](crate::runtimes) if the run cannot go on, such as on a deadlock, and with every
    /// other adapter if the thread already runs async code of that runtime. There, use
    /// [`enter`](Handle::enter).
    ///
    /// ```
    /// # #[cfg(feature = "basic")] {
    /// let basic = foster::runtimes::Basic::thread_pool(2).unwrap();
    /// let words = vec!["borrowed", "by", "the", "future"];
    /// let count = basic.run(async { words.iter().map(|word| word.len()).sum::<usize>() });
    /// assert_eq!(count, 19);
    /// # }
    /// ```
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        match self.try_run(future) {
            Ok(value) => value,
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs `future` as [`run`](Handle::run) does, and returns an error if the runtime cannot go
    /// on.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime is gone, must not block this thread, or sees that `future`
    /// can never become ready. Its message says which.
    ///
    /// # Panics
    ///
    /// Resumes `future`'s panic.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use foster::runtimes::Sim;
    ///
    /// let error = Sim::default().try_run(std::future::pending::<()>()).unwrap_err();
    /// assert!(error.to_string().contains("deadlock"), "{error}");
    /// # }
    /// ```
    pub fn try_run<F: Future>(&self, future: F) -> Result<F::Output, RunError> {
        let mut output = None;
        context::with(|ambient| {
            let values = ambient.values();
            ambient.apart(|| {
                // Made in here, since what is left of a root that cannot go on is dropped here,
                // too.
                let root = pin!(Inheriting::new(values, async { output = Some(self.enter(future).await) }));
                self.runtime().block_on(root)
            })
        })?;
        output.ok_or_else(|| RunError::new("the runtime returned before the root future was ready"))
    }

    /// Runs `future` with this runtime in its context, without blocking.
    ///
    /// For programs that already run: under `#[tokio::main]`, in `smol::block_on`, or in a task of
    /// any executor. When `future` has completed, this waits for what was adopted meanwhile, within
    /// the handle's [grace](Handle::with_grace).
    ///
    /// Code on a tokio runtime finds that runtime without this, if the feature `tokio` is on. See
    /// [`Handle::try_current`]. Under any other executor that foster was not told of, timers run on
    /// `futures-timer`'s thread, blocking jobs in a pool of foster's, and parallel children on
    /// their scope's task.
    ///
    /// # Cancellation
    ///
    /// Dropping the returned future drops `future`. On a thread of tokio's, with the feature
    /// `tokio`, that runtime finishes what is left. Elsewhere nobody does: adopted futures are
    /// dropped, and parallel children are cancelled, but not waited for.
    ///
    /// # Panics
    ///
    /// Resumes `future`'s panic. Panics if it is polled after it has completed.
    ///
    /// ```
    /// # #[cfg(feature = "smol")]
    /// smol::block_on(async {
    ///     let rt = foster::runtimes::Smol::global();
    ///     rt.enter(async {
    ///         // Time, parallel children and blocking jobs are smol's in here.
    ///     })
    ///     .await;
    /// });
    /// ```
    pub fn enter<F: Future>(&self, future: F) -> Enter<F> {
        let core = Core::<Infallible, AnyThread>::new(Parts::new());
        let root = ScopeFuture::new(future, core, Name::from("the root")).linger(self.grace());
        Enter { root, place: Place::Root(Box::new(self.clone())) }
    }
}

pin_project! {
    /// Runs a future in a runtime's context. [`Handle::enter`] returns this future.
    #[must_use = "futures do nothing unless polled"]
    pub struct Enter<F: Future> {
        #[pin]
        root: ScopeFuture<'static, F>,
        // The context holds this during a poll.
        place: Place,
    }
}

impl<F: Future> Future for Enter<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(|ambient| ambient.at(this.place, || this.root.poll_in(ambient, cx))).map(value)
    }
}

impl<F: Future> fmt::Debug for Enter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").finish_non_exhaustive()
    }
}
