//! Roots: where a runtime's context begins.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::futures::ScopeFuture;
use super::kind::AnyThread;
use super::machine::{Core, Machine};
use crate::context::{self, Place};
use crate::name::Name;
use crate::runtime::{Handle, RunError};

impl Handle {
    /// Runs `future` to its end on this thread, with this runtime in its context, and blocks until then.
    ///
    /// What was adopted meanwhile is waited for, within the handle's [grace](Handle::with_grace), and dropped after that.
    /// Where this is called while something else is being polled or dropped, the deadlines and cancellations around that
    /// do not count here. The counterpart of `asyncio.run`, `trio.run` and `tokio::runtime::Runtime::block_on`;
    /// `#[foster::main]` is short for it.
    ///
    /// # Panics
    ///
    /// With `future`'s panic. Where [`try_run`](Handle::try_run) has an error: under [`Sim`](crate::runtimes) a deadlock; with
    /// `Tokio` and `Basic` when the thread runs async code of theirs already: there, use [`enter`](Handle::enter).
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

    /// Like [`run`](Handle::run), with an error where the runtime cannot go on.
    ///
    /// # Errors
    ///
    /// When the runtime is gone, must not block this thread, or sees that `future` can never become ready; the message says more.
    ///
    /// # Panics
    ///
    /// With `future`'s panic.
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
        {
            let root = pin!(async { output = Some(self.enter(future).await) });
            context::with(|ambient| ambient.apart(|| self.runtime().block_on(root)))?;
        }
        output.ok_or_else(|| RunError::new("the runtime returned before the root future was ready"))
    }

    /// Runs `future` with this runtime in its context, without blocking.
    ///
    /// For programs that already run: under `#[tokio::main]`, `smol::block_on`, or in a task of any executor. When
    /// `future` is ready, what was adopted meanwhile is waited for, within the handle's [grace](Handle::with_grace).
    ///
    /// Without it, code that runs on a tokio runtime finds that runtime by itself, if the feature `tokio` is on; see
    /// [`Handle::try_current`]. Under any other executor timers are those of `futures-timer`'s thread, blocking jobs run in a
    /// pool of foster's, and parallel children on the task of their scope.
    ///
    /// # Cancellation
    ///
    /// Dropping it drops `future`. Where it is dropped on a thread of tokio's, with the feature `tokio`, that runtime finishes
    /// what is left behind. Elsewhere nobody adopts it: adopted futures are dropped, and parallel children are
    /// cancelled, but not waited for.
    ///
    /// ```
    /// # #[cfg(feature = "smol")]
    /// smol::block_on(async {
    ///     let rt = foster::runtimes::Smol::global();
    ///     rt.enter(async { /* time, parallel children and blocking jobs are smol's in here */ }).await;
    /// });
    /// ```
    pub fn enter<F: Future>(&self, future: F) -> Enter<F> {
        let machine = Machine::new(Core::<Infallible, AnyThread>::new(), Name::from("the root"));
        let root = ScopeFuture::new(future, machine).linger(self.grace());
        Enter { root, place: Place::Root(self.clone()) }
    }
}

pin_project! {
    /// The future of [`Handle::enter`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Enter<F: Future> {
        #[pin]
        root: ScopeFuture<'static, F>,
        // Out in the context during a poll.
        place: Place,
    }
}

impl<F: Future> Future for Enter<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(|ambient| ambient.at(this.place, || this.root.poll(cx)))
    }
}

impl<F: Future> fmt::Debug for Enter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enter").finish_non_exhaustive()
    }
}
