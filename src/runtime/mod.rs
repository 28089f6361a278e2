//! What foster asks of a runtime: to run tasks, to tell the time, and to take blocking jobs.
//!
//! A runtime is a *value*. It is passed explicitly, or inherited from the context of the future that
//! runs. It is never a global, and no feature chooses it. [`Handle::try_current`] tells which one is in
//! force. To bring another one, implement four small traits:
//!
//! | trait | what it does |
//! |---|---|
//! | [`Spawn`] | runs a `'static + Send` future to its end, on any thread |
//! | [`Clock`] | tells the time and makes timers |
//! | [`Blocking`] | runs a closure that may block its thread |
//! | [`Runtime`] | the three together, and how to wait for a root future |
//!
//! What foster relies on:
//!
//! - A spawned future that is not polled to its end is *dropped*, be it refused, thrown away or left over when the
//!   runtime ends. Scopes hear of it through that drop.
//! - A spawned future that panics takes no other task with it. (Those that foster spawns never panic.)
//! - The runtime keeps a spawned future until its end although nobody holds a handle to it.
//! - A spawned future is polled after every wake-up, from whatever thread that comes, and one that is always ready starves
//!   no others.
//! - A timer never fires before its instant, fires at most once, and wakes whoever polled it last.
//! - [`Blocking::spawn_blocking`] never runs the job on the caller's stack.
//!
//! `foster::testing::conformance` (feature `testing`) checks an adapter for all of this, and more, in one line.
//!
//! In return, foster never blocks a thread of the runtime, and never polls a future after its end.

pub(crate) mod found;
mod timer;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_task::{FutureObj, Spawn, SpawnError};

pub use self::timer::Timer;

/// The instant in every signature of foster's: a point of a monotonic clock.
///
/// It is the standard library's. It has a name of its own here so that a target whose standard clock
/// panics can have another one without a change to any signature or adapter.
pub type Instant = std::time::Instant;

/// A blocking job: a closure that may block the thread it runs on.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Tells the time and makes timers.
///
/// Where a runtime has no timers of its own, [`Timer::thread`] is one. [`Handle::new`] shows the four traits together.
pub trait Clock {
    /// The present instant on this clock. It never goes back.
    fn now(&self) -> Instant;

    /// A timer that fires once [`now`](Clock::now) has reached `at`.
    fn timer(&self, at: Instant) -> Timer;

    /// Moves `timer`, which one of this clock's runtimes made, to `at`. It is to be polled after that.
    ///
    /// This replaces the timer by a new one. A clock whose timers can be moved does that instead, as
    /// the adapters for tokio and smol do, and so saves an allocation.
    fn reset(&self, mut timer: Pin<&mut Timer>, at: Instant) {
        timer.set(self.timer(at));
    }
}

/// Runs closures that may block their thread.
///
/// Not on the threads that run tasks: those would starve.
pub trait Blocking {
    /// Hands `job` to a thread where it may block.
    ///
    /// # Errors
    ///
    /// When the runtime is gone. The job is then dropped unrun.
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError>;
}

/// Something that runs tasks, tells the time and takes blocking jobs. See the [module](self) for what is relied on.
pub trait Runtime: Spawn + Clock + Blocking + Send + Sync + 'static {
    /// A short name, for people: `"tokio"`.
    fn name(&self) -> &'static str;

    /// Blocks the calling thread until `root` is ready.
    ///
    /// A runtime that needs its caller's thread to make progress drives its tasks meanwhile; one with threads of
    /// its own may simply park.
    ///
    /// # Errors
    ///
    /// When `root` can never become ready, or the runtime is gone.
    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError>;
}

/// Why a root future was not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    message: String,
}

impl RunError {
    /// An error that says what happened, and what to do about it.
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

/// A clonable reference to a [`Runtime`].
///
/// The adapters in [`runtimes`](crate::runtimes) dereference to it; an own runtime becomes one by [`Handle::new`]. So a
/// function that takes one takes any runtime:
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
    /// Whether it stands for a runtime that somebody else keeps, so that it keeps none.
    guest: bool,
}

impl Handle {
    /// How long [`Handle::run`] and [`Handle::enter`] wait for adopted futures after their future is over, unless told
    /// otherwise: 10 seconds.
    pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

    /// Makes a runtime of your own known to foster.
    ///
    /// `examples/own_runtime` has one from beginning to end, and the test that says whether it keeps what foster relies on. The
    /// runtimes of others have [adapters](crate::runtimes).
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
    ///     let halves = [0..500, 500..1000].map(|half| s.spawn_parallel(async move { half.sum::<u32>() }));
    ///     foster::gather(halves).await.iter().sum::<u32>()
    /// });
    /// assert_eq!(Handle::new(Threads).run(sum), 499_500);
    /// ```
    pub fn new(runtime: impl Runtime) -> Self {
        Handle { runtime: Arc::new(runtime), grace: Self::DEFAULT_GRACE, guest: false }
    }

    /// Makes a handle to a runtime that somebody else keeps.
    #[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
    pub(crate) fn guest(runtime: impl Runtime) -> Self {
        Handle { guest: true, ..Handle::new(runtime) }
    }

    /// The same runtime with another grace for what was adopted; see [`Handle::run`].
    ///
    /// [`Duration::ZERO`] drops it at once; [`Duration::MAX`] waits for as long as it takes.
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

    /// The runtime's name, for people: `"tokio"`.
    pub fn name(&self) -> &'static str {
        self.runtime.name()
    }

    pub(crate) fn downgrade(&self) -> WeakHandle {
        if self.guest {
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

/// A [`Handle`] that does not keep its runtime: what runs on a runtime has no more than this of it.
#[derive(Clone)]
pub(crate) enum WeakHandle {
    /// Keeps no runtime as it is, and may be the only handle, made for one call: `Tokio::current()`.
    Guest(Handle),
    Owner(Weak<dyn Runtime>, Duration),
}

impl WeakHandle {
    /// The runtime, unless its last handle is gone.
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        match self {
            WeakHandle::Guest(handle) => Some(handle.clone()),
            WeakHandle::Owner(runtime, grace) => {
                Some(Handle { runtime: runtime.upgrade()?, grace: *grace, guest: false })
            }
        }
    }

    /// Whether it stands for `handle`.
    pub(crate) fn is(&self, handle: &Handle) -> bool {
        let (runtime, grace) = match self {
            WeakHandle::Guest(handle) => (Arc::as_ptr(&handle.runtime), handle.grace),
            WeakHandle::Owner(runtime, grace) => (runtime.as_ptr(), *grace),
        };
        std::ptr::addr_eq(runtime, Arc::as_ptr(&handle.runtime)) && grace == handle.grace
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
