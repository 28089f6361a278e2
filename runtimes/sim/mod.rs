//! The simulated runtime: its settings, its faults and its trace.
//!
//! [`Sim`] runs a program by a schedule that a seed decides. `testing::explore` (feature `testing`)
//! tries many seeds.

mod due;
mod faults;
#[cfg(feature = "net")]
mod network;
mod report;
mod schedule;
mod task;
mod trace;
mod watch;
mod world;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures_task::{FutureObj, Spawn, SpawnError};

use faults::Injector;
pub use faults::{Fault, Faults, Moment};
#[cfg(feature = "net")]
use network::Interface;
#[cfg(feature = "net")]
pub use network::{Host, Link, Links};
pub(crate) use schedule::ChoicePolicy;
use schedule::Schedule;
pub use trace::Trace;
use world::{Limits, World};

use crate::runtime::{Blocking, Clock, Handle, Instant, Job, RunError, Runtime, Timer};

/// Runs a test on one thread, by a seeded schedule and in virtual time.
///
/// The seed picks the next task to run among those that are ready, and the order in which the ready
/// children of one scope on one task are polled. The same seed gives the same run on every machine,
/// and another seed gives another order of events. The [trace](Sim::trace) shows what was decided.
///
/// # Time
///
/// When nothing is ready, the clock jumps to the next timer, so nobody waits. Timers of the same
/// instant fire together, in the order in which they were made.
///
/// While something is ready, the clock stands still. A task sees no time pass until it waits for
/// some. A test says that its own work takes time by [`advance`](Sim::advance). If the instants of
/// two steps must differ, use [`step_time`](Builder::step_time).
///
/// # Blocking jobs
///
/// A blocking job is a task of its own, which the seed picks like any other. It runs on the
/// simulation's thread, so a job that waits for something inside the simulation waits for ever.
///
/// # Deadlocks
///
/// If nothing is ready, no timer is set and the root future has not completed, the run ends with a
/// [`RunError`] that names the tasks that are stuck. Other threads may wake tasks, but they are not
/// part of the simulation, which does not wait for them.
///
/// A run that takes a million steps while the clock stands still usually goes on for ever, as a
/// task does that only yields. It ends with a [`RunError`], too, which names the tasks that are
/// busy. [`standstill`](Builder::standstill) sets another number.
///
/// # When the runtime ends
///
/// Tasks that outlive the root future stay, and run with the next one. They are dropped with the
/// last handle. Timers that still exist then never fire.
///
/// # Examples
///
/// ```
/// use foster::runtimes::Sim;
/// use foster::{scope, sleep};
/// use std::time::Duration;
///
/// let hour = Duration::from_secs(3600);
/// let sim = Sim::new(7);
/// sim.run(scope(async |s| {
///     s.spawn(sleep(3 * hour));
///     s.spawn(sleep(24 * hour));
/// }));
/// assert_eq!(sim.elapsed(), 24 * hour);   // at once, and exactly
/// ```
#[derive(Clone)]
pub struct Sim(Handle, Arc<World>);

stands_for_handle!(Sim);

impl Sim {
    /// Creates a simulation whose schedule follows from `seed`.
    ///
    /// Every number is a valid seed, and gives another order of events.
    ///
    /// ```
    /// use foster::{runtimes::Sim, scope};
    ///
    /// let order = |seed| Sim::new(seed).run(async {
    ///     let (tell, told) = std::sync::mpsc::channel();
    ///     scope(async move |s| {
    ///         for child in 0..3 {
    ///             let tell = tell.clone();
    ///             s.spawn_parallel(async move { tell.send(child).unwrap() });
    ///         }
    ///     }).await;
    ///     told.iter().collect::<Vec<u32>>()
    /// });
    /// assert_eq!(order(7), order(7));
    /// assert!((0..20).any(|seed| order(seed) == [2, 0, 1]));
    /// ```
    pub fn new(seed: u64) -> Self {
        Sim::builder().seed(seed).build()
    }

    /// Returns a builder, which sets the schedule, the faults and the limits.
    pub fn builder() -> Builder {
        let limits = Limits { steps: u64::MAX, standstill: 1_000_000 };
        Builder {
            seed: 0,
            policy: ChoicePolicy::Uniform,
            faults: Faults::none(),
            strict: false,
            limits,
            step_time: Duration::ZERO,
        }
    }

    /// Returns the simulation that runs the caller.
    ///
    /// Use it deep inside a test, such as in a stub that says how long it would have taken:
    ///
    /// ```
    /// use foster::runtimes::Sim;
    /// use std::time::Duration;
    ///
    /// fn compress(data: &[u8]) -> Vec<u8> {
    ///     Sim::current().advance(Duration::from_millis(20)); // and the thread is busy meanwhile
    ///     data.to_vec()
    /// }
    ///
    /// let sim = Sim::new(7);
    /// sim.run(async { compress(b"hello") });
    /// assert_eq!(sim.elapsed(), Duration::from_millis(20));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if no simulation runs on this thread. [`try_current`](Sim::try_current) returns
    /// `None` instead.
    #[track_caller]
    pub fn current() -> Self {
        let Some(sim) = Self::try_current() else {
            panic!("Sim::current() outside of a simulation: run the test in `Sim`, or with `explore`")
        };
        sim
    }

    /// Returns the simulation that runs the caller. Returns `None` on other runtimes.
    pub fn try_current() -> Option<Self> {
        World::current().map(Sim::of)
    }

    fn of(world: Arc<World>) -> Self {
        Sim(Handle::new(SimAdapter::new(world.clone())), world)
    }

    /// Returns the host of this name, which is made if there is none.
    ///
    /// A program that uses no host runs on the one named `localhost`, and so does the root future
    /// of the simulation.
    #[cfg(feature = "net")]
    pub fn host(&self, name: &str) -> Host {
        Host::named(&self.1, &self.0, name)
    }

    /// Returns the links between the hosts, which can be set, broken and repaired.
    #[cfg(feature = "net")]
    pub fn network(&self) -> Links {
        Links::of(self.1.clone())
    }

    /// Returns the seed of the simulation.
    pub fn seed(&self) -> u64 {
        self.1.seed
    }

    /// Returns the virtual time that has passed since the simulation was made.
    pub fn elapsed(&self) -> Duration {
        self.1.lock().elapsed
    }

    /// Returns a record of what has run so far.
    pub fn trace(&self) -> Trace {
        self.1.lock().trace.clone()
    }

    /// Moves the clock forward by `by`.
    ///
    /// Timers that are due by then fire at once, in their order. Without this, the clock moves only
    /// when nothing is ready. Use it for time that passes while something is ready, such as that of
    /// a long computation.
    ///
    /// # Panics
    ///
    /// Panics if the clock cannot go that far.
    ///
    /// ```
    /// use foster::{runtimes::Sim, timeout, yield_now};
    /// use std::time::Duration;
    ///
    /// let sim = Sim::new(7);
    /// let second = Duration::from_secs(1);
    /// let slow = async {
    ///     yield_now().await;
    ///     sim.advance(2 * second);
    ///     yield_now().await;
    /// };
    /// assert!(sim.run(timeout(second, slow)).is_err());
    /// ```
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        let mut state = self.1.lock();
        let elapsed = state.elapsed.checked_add(by).filter(|&elapsed| self.1.start.checked_add(elapsed).is_some());
        let due = elapsed.map(|elapsed| state.advance_to(elapsed));
        drop(state);
        match due {
            Some(due) => due.into_iter().for_each(Waker::wake),
            None => panic!("Sim::advance({by:?}) leaves the range of the clock"),
        }
    }

    /// Ends the programs of hosts. Returns the names of the tasks that have not completed.
    #[cfg(feature = "testing")]
    pub(crate) fn live_tasks(&self) -> Vec<String> {
        #[cfg(feature = "net")]
        self.1.end_programs();
        self.1.lock().tasks.values().map(|task| task.label.to_string()).collect()
    }

    /// Drops all tasks. foster's own tasks keep the simulation alive for as long as they exist.
    #[cfg(feature = "testing")]
    pub(crate) fn clear(&self) {
        self.1.clear();
    }

    /// Takes the record of what has run.
    #[cfg(feature = "testing")]
    pub(crate) fn take_ran(&self) -> Ran {
        let mut state = self.1.lock();
        let trace = std::mem::replace(&mut state.trace, Trace::new());
        Ran { trace, choices: state.schedule.take_made(), steps: usize::try_from(state.steps).unwrap_or(usize::MAX) }
    }
}

/// What has run.
#[cfg(feature = "testing")]
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) trace: Trace,
    /// The choices that a tape made: which one, among how many.
    pub(crate) choices: Vec<(u32, u32)>,
    /// How many times tasks were polled.
    pub(crate) steps: usize,
}

/// Returns how often nothing has been ready in the simulation on this thread, and wakes `waker` the
/// next time that this happens. Returns `None` if there is no simulation.
#[cfg(feature = "testing")]
pub(crate) fn settled(waker: &std::task::Waker) -> Option<u64> {
    World::current().map(|world| world.settled(waker))
}

impl Default for Sim {
    /// Creates the simulation with seed 0.
    fn default() -> Self {
        Sim::new(0)
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed()).field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

/// Sets up a [`Sim`]. [`Sim::builder`] makes one.
///
/// ```
/// use foster::runtimes::Sim;
///
/// let sim = Sim::builder().seed(7).priority(3).strict().build();
/// assert_eq!(sim.run(async { 7 }), 7);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct Builder {
    seed: u64,
    policy: ChoicePolicy,
    faults: Faults,
    strict: bool,
    limits: Limits,
    step_time: Duration,
}

impl Builder {
    /// Sets the seed, which decides the schedule and the faults. The default is 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Schedules by priorities, to find a bug of this depth with a known probability.
    ///
    /// Each task gets a random priority, and the ready task with the highest priority runs. At
    /// `depth - 1` steps, chosen at random, the running task falls below all others. This is PCT
    /// (Burckhardt, Kothari, Musuvathi and Nagarakatte, ASPLOS 2010).
    ///
    /// The depth of a bug is the number of points of the program whose order brings it about,
    /// whatever else happens. A missed wake-up usually has depth 2, as a deadlock of two locks has.
    /// Few bugs exceed 3. In a program of *n* tasks and *k* steps, a single run finds a bug of
    /// depth *d* with a probability of at least 1 / (*n* · *k*^(*d* − 1)). The default, a uniform
    /// choice, has no such bound: the chance that one task is held back over *k* steps falls
    /// exponentially with *k*.
    ///
    /// The bound is for tasks, that is for parallel children and blocking jobs. Children on one
    /// task are polled in rounds, and the order of each round is chosen uniformly. A task that runs
    /// a thousand steps in a row while others are ready falls below them, because it may be waiting
    /// for one of them by yielding.
    ///
    /// # Panics
    ///
    /// Panics if `depth` is 0.
    #[track_caller]
    pub fn priority(self, depth: usize) -> Self {
        self.priority_within(depth, 1_000)
    }

    /// Schedules by [priorities](Builder::priority), in a program of about `length` steps.
    ///
    /// # Panics
    ///
    /// Panics if `depth` is 0.
    #[track_caller]
    pub fn priority_within(mut self, depth: usize, length: usize) -> Self {
        assert!(depth > 0, "the depth of a bug is at least 1");
        self.policy = ChoicePolicy::Priority { depth, length };
        self
    }

    /// Makes the choices that `tape` lists, in order, and then always the first one.
    ///
    /// A choice is made whenever more than one task, or child of a scope, is ready. The first one
    /// has been ready for the longest time.
    pub fn tape(mut self, tape: impl IntoIterator<Item = u32>) -> Self {
        self.policy = ChoicePolicy::Tape(tape.into_iter().collect());
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn policy(mut self, policy: ChoicePolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets what goes wrong. The default is [`Faults::none`].
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Makes a run fail if it leaves something behind.
    ///
    /// That is a live task, a child whose scope was forgotten, or an adopted future that had not
    /// completed when the grace ended. Tasks that are ready when the root future completes still
    /// run.
    ///
    /// ```
    /// use foster::runtimes::Sim;
    /// use futures::task::SpawnExt;
    ///
    /// let sim = Sim::builder().strict().build();
    /// let left = sim.try_run(async { sim.spawn(std::future::pending()).unwrap() });
    /// assert!(left.is_err(), "a task that no scope owns");
    /// ```
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Makes a run fail after this many steps. Without a limit, a run may go on for ever.
    ///
    /// ```
    /// use foster::{runtimes::Sim, yield_now};
    ///
    /// let sim = Sim::builder().limit(1_000).build();
    /// let error = sim.try_run(async { loop { yield_now().await } }).unwrap_err();
    /// assert!(error.to_string().contains("1000 steps"), "{error}");
    /// ```
    pub fn limit(mut self, steps: u64) -> Self {
        self.limits.steps = steps;
        self
    }

    /// Makes a run fail after this many steps during which no time passes. The default is a
    /// million.
    ///
    /// The error names the tasks that are busy. Raise the limit if a simulation has more tasks than
    /// that at one instant.
    ///
    /// ```
    /// use foster::{runtimes::Sim, yield_now};
    ///
    /// let sim = Sim::builder().standstill(1_000).build();
    /// let error = sim.try_run(async { loop { yield_now().await } }).unwrap_err();
    /// assert!(error.to_string().contains("no time has passed"), "{error}");
    /// ```
    pub fn standstill(mut self, steps: u64) -> Self {
        self.limits.standstill = steps;
        self
    }

    /// Makes each step take between a nanosecond and `most`, as the seed decides.
    ///
    /// Use it for code that relies on time passing while it works, such as a protocol that waits
    /// until one instant is later than another. The order of the steps stays the same, as far as
    /// timers leave a choice. The default is [`Duration::ZERO`]: steps take no time, so that
    /// instants are exact.
    ///
    /// ```
    /// use foster::{now, runtimes::Sim, yield_now};
    /// use std::time::Duration;
    ///
    /// let sim = Sim::builder().step_time(Duration::from_micros(10)).build();
    /// sim.run(async {
    ///     let before = now();
    ///     while now() == before {
    ///         yield_now().await;
    ///     }
    /// });
    /// assert!(sim.elapsed() <= Duration::from_micros(20), "{:?}", sim.elapsed());
    /// ```
    pub fn step_time(mut self, most: Duration) -> Self {
        self.step_time = most;
        self
    }

    /// Creates the simulation.
    pub fn build(self) -> Sim {
        let schedule = Schedule::new(self.seed, &self.policy);
        let injector = (!self.faults.is_none()).then(|| Injector::new(self.seed, self.faults));
        let world = Arc::new(World::new(self.seed, schedule, injector, self.strict, self.limits, self.step_time));
        Sim::of(world)
    }
}

/// Makes a [`Runtime`] of a simulation.
struct SimAdapter {
    world: Arc<World>,
    #[cfg(feature = "net")]
    interface: Interface,
}

impl SimAdapter {
    fn new(world: Arc<World>) -> Self {
        SimAdapter {
            #[cfg(feature = "net")]
            interface: Interface::new(Arc::downgrade(&world), 0),
            world,
        }
    }
}

impl Spawn for SimAdapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.world.spawn(false, 0, future)
    }
}

impl Clock for SimAdapter {
    fn now(&self) -> Instant {
        self.world.now()
    }

    fn timer(&self, at: Instant) -> Timer {
        self.world.timer(at)
    }
}

impl Blocking for SimAdapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.world.spawn(true, 0, FutureObj::new(Box::new(async { job() })))
    }
}

impl Runtime for SimAdapter {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        self.world.block_on(root)
    }

    #[cfg(feature = "net")]
    fn network(&self) -> Option<&dyn crate::runtime::network::Network> {
        Some(&self.interface)
    }
}

#[cfg(test)]
mod tests;
