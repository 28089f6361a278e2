//! The contract with a runtime: it runs tasks, tells the time and takes blocking jobs.
//!
//! A runtime is a *value*. It is passed explicitly, or inherited from the context of the future
//! that runs. It is never a global, and no feature chooses it. [`Handle::try_current`] returns the
//! one in force. To use another executor, implement four small traits for it:
//!
//! | trait | what it does |
//! |---|---|
//! | [`Spawn`] | runs a `'static + Send` future to its end, on any thread |
//! | [`Clock`] | tells the time and makes timers |
//! | [`Blocking`] | runs a closure that may block its thread |
//! | [`Runtime`] | joins the three, and waits for a root future |
//!
//! # What foster relies on
//!
//! - A spawned future that is not polled to its end is *dropped*, whether it is refused, thrown
//!   away or left over when the runtime ends. Its scope learns of this through the drop.
//! - A spawned future that panics takes no other task with it. (Those that foster spawns never
//!   panic.)
//! - The runtime keeps a spawned future until its end, although nobody holds a handle to it.
//! - A spawned future is polled after every wake-up, whichever thread the wake-up comes from. A
//!   future that is always ready starves no others.
//! - A timer never fires before its instant, fires at most once, and wakes whoever polled it last.
//! - [`Blocking::spawn_blocking`] never runs the job on the caller's stack.
//!
//! `foster::testing::conformance` (feature `testing`) checks an adapter for all of this, and more,
//! in one line. In return, foster never blocks a thread of the runtime, and never polls a future
//! after it has completed.

pub mod blocking_pool;
pub(crate) mod found;
#[cfg(feature = "net")]
pub mod network;
mod timer;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_task::{FutureObj, Spawn, SpawnError};

pub use self::timer::Timer;

/// An instant on a monotonic clock, in every signature of foster.
///
/// It is the standard library's. It has a name of its own here, so that a target whose standard
/// clock panics can use another one without a change to any signature or adapter.
pub type Instant = std::time::Instant;

/// A blocking job: a closure that may block the thread that runs it.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Tells the time and makes timers.
///
/// A runtime without timers of its own can use [`Timer::thread`]. [`Handle::new`] shows all four
/// traits together.
pub trait Clock {
    /// Returns the present instant on this clock, which never goes back.
    fn now(&self) -> Instant;

    /// Creates a timer that fires once [`now`](Clock::now) has reached `at`.
    fn timer(&self, at: Instant) -> Timer;

    /// Moves `timer` to `at`. The caller polls the timer again afterwards.
    ///
    /// The timer may come from this clock or from another one. The default replaces it by a new
    /// one. A clock whose timers can be moved does that instead and saves an allocation, as the
    /// adapters for tokio and smol do.
    fn reset(&self, mut timer: Pin<&mut Timer>, at: Instant) {
        timer.set(self.timer(at));
    }
}

/// Runs closures that may block their thread.
///
/// They run on threads that run no tasks, because tasks would starve there.
pub trait Blocking {
    /// Passes `job` to a thread on which it may block.
    ///
    /// # Errors
    ///
    /// Returns an error if the runtime has ended. The job is then dropped without being run.
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError>;
}

/// Runs tasks, tells the time and takes blocking jobs.
///
/// The [module](self) lists what foster relies on, and [`Handle::new`] has an example.
pub trait Runtime: Spawn + Clock + Blocking + Send + Sync + 'static {
    /// Returns a short name for people to read, such as `"tokio"`.
    fn name(&self) -> &'static str;

    /// Blocks the calling thread until `root` is ready.
    ///
    /// A runtime that needs its caller's thread to make progress drives its tasks meanwhile. A
    /// runtime that has threads of its own may simply park.
    ///
    /// # Errors
    ///
    /// Returns an error if `root` can never become ready, or if the runtime has ended.
    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError>;

    /// Returns the network, if the runtime has one. The default has none.
    ///
    /// A runtime without a reactor can return `network::async_io()`, with the feature `async-io`.
    #[cfg(feature = "net")]
    fn network(&self) -> Option<&dyn network::Network> {
        None
    }
}

/// The error of [`Runtime::block_on`]: the root future was not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    message: String,
}

impl RunError {
    /// Creates an error whose message says what happened, and what to do about it.
    pub fn new(message: impl Into<String>) -> Self {
        RunError { message: message.into() }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {}

/// Refers to a [`Runtime`]. Clones refer to the same one.
///
/// The adapters in [`runtimes`](crate::runtimes) dereference to a handle, and [`Handle::new`] makes
/// one from a custom runtime. So a function that takes a handle accepts every runtime:
///
/// ```
/// # #[cfg(all(feature = "basic", feature = "sim"))] {
/// use foster::runtimes::{Basic, Sim};
/// use foster::Handle;
///
/// fn answer(runtime: &Handle) -> u32 {
///     runtime.run(foster::scope(async |s| { s.spawn_parallel(async { 42 }).await }))
/// }
///
/// assert_eq!(answer(&Basic::current_thread()), answer(&Sim::new(7)));
/// # }
/// ```
#[derive(Clone)]
pub struct Handle {
    runtime: Arc<dyn Runtime>,
    grace: Duration,
    /// Which runtime it is, if somebody else keeps it alive, so that this handle need not.
    guest: Option<Guest>,
}

/// A runtime that belongs to somebody else.
///
/// Handles to it are made anew wherever it is found or asked for, so their addresses do not tell
/// whether they refer to the same one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    #[cfg(feature = "tokio")]
    Tokio(::tokio::runtime::Id),
    #[cfg(feature = "smol")]
    Smol,
    #[cfg(feature = "async-std")]
    AsyncStd,
}

impl Handle {
    /// How long [`Handle::run`] and [`Handle::enter`] wait for adopted futures after their own
    /// future has completed: 10 seconds. [`with_grace`](Handle::with_grace) sets another duration.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

    /// Creates a handle from a custom [`Runtime`].
    ///
    /// `examples/own_runtime` shows a whole one, together with the test that checks what foster
    /// relies on. Well-known runtimes have [adapters](crate::runtimes).
    ///
    /// ```
    /// use foster::Instant;
    /// use foster::runtime::{Blocking, Clock, Handle, Job, RunError, Runtime, Timer};
    /// use futures::task::{FutureObj, Spawn, SpawnError};
    /// use std::{future::Future, pin::Pin};
    ///
    /// /// A thread for each task, which is simple.
    /// struct Threads;
    ///
    /// impl Spawn for Threads {
    ///     fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
    ///         self.spawn_blocking(Box::new(|| futures::executor::block_on(future)))
    ///     }
    /// }
    ///
    /// impl Blocking for Threads {
    ///     fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
    ///         std::thread::Builder::new().spawn(job).map_err(|_| SpawnError::shutdown())?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// impl Clock for Threads {
    ///     fn now(&self) -> Instant {
    ///         Instant::now()
    ///     }
    ///
    ///     fn timer(&self, at: Instant) -> Timer {
    ///         Timer::thread(at.saturating_duration_since(Instant::now()))
    ///     }
    /// }
    ///
    /// impl Runtime for Threads {
    ///     fn name(&self) -> &'static str {
    ///         "threads"
    ///     }
    ///
    ///     fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
    ///         futures::executor::block_on(root);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let sum = foster::scope(async |s| {
    ///     let halves = [0..500, 500..1000];
    ///     let sums = halves.map(|half| s.spawn_parallel(async move { half.sum::<u32>() }));
    ///     foster::gather(sums).await.iter().sum::<u32>()
    /// });
    /// assert_eq!(Handle::new(Threads).run(sum), 499_500);
    /// ```
    pub fn new(runtime: impl Runtime) -> Self {
        Handle { runtime: Arc::new(runtime), grace: Self::DEFAULT_GRACE, guest: None }
    }

    /// Creates a handle to a runtime that somebody else keeps alive.
    #[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
    pub(crate) fn guest(runtime: impl Runtime, guest: Guest) -> Self {
        Handle { guest: Some(guest), ..Handle::new(runtime) }
    }

    /// Returns a handle to the same runtime with another grace for adopted futures.
    ///
    /// [`Handle::run`] and [`Handle::enter`] on the new handle wait for that long.
    /// [`Duration::ZERO`] drops adopted futures at once, and [`Duration::MAX`] waits for as long as
    /// they take.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use foster::{adopt, runtimes::Sim, sleep};
    /// use std::{pin::pin, time::Duration};
    ///
    /// let (sim, second) = (Sim::default(), Duration::from_secs(1));
    /// sim.with_grace(3 * second).run(async {
    ///     let upload = adopt(sleep(3600 * second));
    ///     futures::future::select(upload, pin!(sleep(second))).await;
    /// });
    /// assert_eq!(sim.elapsed(), 4 * second, "the upload was given up");
    /// # }
    /// ```
    #[must_use]
    pub fn with_grace(&self, grace: Duration) -> Self {
        Handle { grace, ..self.clone() }
    }

    /// Returns the runtime's name for people to read, such as `"tokio"`.
    pub fn name(&self) -> &'static str {
        self.runtime.name()
    }

    /// Returns a reference that does not keep the runtime alive.
    pub(crate) fn downgrade(&self) -> WeakHandle {
        if self.guest.is_some() {
            WeakHandle::Guest(self.clone())
        } else {
            WeakHandle::Owner(Arc::downgrade(&self.runtime), self.grace)
        }
    }

    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }
}

/// A [`Handle`] that does not keep its runtime alive. What runs on a runtime holds no more than
/// this.
#[derive(Clone)]
pub(crate) enum WeakHandle {
    /// A guest keeps no runtime alive anyway. It is held as it is, because it may be the only
    /// handle, made for one call such as `Tokio::current()`.
    Guest(Handle),
    Owner(Weak<dyn Runtime>, Duration),
}

impl WeakHandle {
    /// Returns a handle, unless the last handle of the runtime has been dropped.
    pub(crate) fn upgrade(&self) -> Option<Cow<'_, Handle>> {
        match self {
            WeakHandle::Guest(handle) => Some(Cow::Borrowed(handle)),
            WeakHandle::Owner(runtime, grace) => {
                Some(Cow::Owned(Handle { runtime: runtime.upgrade()?, grace: *grace, guest: None }))
            }
        }
    }

    /// Whether this refers to the same runtime as `handle`, with the same grace.
    pub(crate) fn is(&self, handle: &Handle) -> bool {
        let (is_same, grace) = match self {
            WeakHandle::Guest(known) => (known.guest == handle.guest, known.grace),
            WeakHandle::Owner(known, grace) => {
                (std::ptr::addr_eq(known.as_ptr(), Arc::as_ptr(&handle.runtime)), *grace)
            }
        };
        is_same && grace == handle.grace
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.name()).finish()
    }
}

impl Spawn for Handle {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.runtime.spawn_obj(future)
    }

    fn status(&self) -> Result<(), SpawnError> {
        self.runtime.status()
    }
}

impl Clock for Handle {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn timer(&self, at: Instant) -> Timer {
        self.runtime.timer(at)
    }

    fn reset(&self, timer: Pin<&mut Timer>, at: Instant) {
        self.runtime.reset(timer, at);
    }
}

impl Blocking for Handle {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.runtime.spawn_blocking(job)
    }
}

#[cfg(all(test, feature = "tokio", feature = "smol"))]
mod tests {
    use super::*;

    /// A scope keeps one handle to each runtime that its children run on.
    #[test]
    fn handles_that_are_made_anew_refer_to_one_runtime() {
        let runtimes = [(); 2].map(|()| ::tokio::runtime::Builder::new_current_thread().build().unwrap());
        let found = |which: usize| {
            let _inside = runtimes[which].enter();
            found::handle().unwrap()
        };
        let known = found(0).downgrade();
        assert!(known.is(&found(0)));
        assert!(!known.is(&found(1)));
        assert!(!known.is(&found(0).with_grace(Duration::ZERO)));
        let smol = || crate::runtimes::Smol::global();
        assert!(smol().downgrade().is(&smol()));
        assert!(!smol().downgrade().is(&found(0)) && !known.is(&smol()));
    }
}
