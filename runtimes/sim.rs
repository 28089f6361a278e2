use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_task::{FutureObj, Spawn, SpawnError};

use crate::contain::Contained;
use crate::runtime::{Blocking, Clock, Handle, Job, RunError, Runtime, Timer};
use crate::tree;

/// A simulated runtime for tests: one thread, a seeded schedule, virtual time.
///
/// Of the tasks that are ready, the seed picks the next to run: the same seed gives the same run on every machine, another
/// seed another order of events. Nobody waits: when nothing is ready, the clock jumps to the next timer. Timers of the same
/// instant fire together, in the order in which they were made. While something is ready the clock stands, so a task that
/// only ever yields holds it for good.
///
/// A blocking job is a task of its own, which the seed picks like any other. It runs on the simulation's thread, so one
/// that waits for something inside of the simulation waits for good.
///
/// # Deadlocks
///
/// When nothing is ready, no timer is set and the root future is not over, blocking on the simulation gives a
/// [`RunError`] that names the tasks that are stuck. Other threads may wake tasks, but they are no part of the simulation,
/// which waits for none of them.
///
/// # When the runtime ends
///
/// Tasks that outlive the root future stay as they are, for the next one to run with. They are dropped with the last
/// handle; timers that are still about then never fire.
///
/// ```
/// use std::time::Duration;
/// use foster::runtime::Clock;
/// use foster::runtimes::Sim;
///
/// let sim = Sim::new(7);
/// let start = sim.now();
/// sim.advance(Duration::from_secs(3600));
/// assert_eq!(sim.now() - start, Duration::from_secs(3600));
/// assert_eq!(sim.elapsed(), Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct Sim(Handle, Arc<World>);

stands_for_handle!(Sim);

impl Sim {
    /// A simulation whose schedule follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let world = Arc::new(World::new(seed));
        Sim(Handle::new(Adapter(world.clone())), world)
    }

    /// The seed that it was made with.
    pub fn seed(&self) -> u64 {
        self.1.seed
    }

    /// How much virtual time has passed since it was made.
    pub fn elapsed(&self) -> Duration {
        self.1.lock().elapsed
    }

    /// The tasks that are not over, by name.
    #[cfg(feature = "testing")]
    pub(crate) fn live_tasks(&self) -> Vec<String> {
        self.1.lock().tasks.values().map(|task| task.name.clone()).collect()
    }

    /// Moves the clock on by `by`. Timers that are due by then fire at once, in their order.
    ///
    /// # Panics
    ///
    /// When the clock cannot go that far.
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
}

impl Default for Sim {
    /// The simulation with seed 0.
    fn default() -> Self {
        Sim::new(0)
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed()).field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

/// All that a simulation is. Wakers and timers hold it weakly: only handles keep it.
struct World {
    seed: u64,
    start: Instant,
    state: Mutex<State>,
}

/// No code of users runs under its lock: not a poll, nor a wake, nor a drop of what is theirs.
struct State {
    choices: Box<dyn Choose>,
    elapsed: Duration,
    running: bool,
    /// Every task that is not over, by number, and so in the order of their spawning.
    tasks: BTreeMap<u64, Arc<Task>>,
    spawned: u64,
    /// The tasks that have been woken and not run since, each once.
    ready: Vec<Arc<Task>>,
    /// The timers that someone waits for, by the time they are due and then by the order in which they were made.
    timers: BTreeMap<(Duration, u64), Waker>,
    timers_made: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let state = State {
            choices: Box::new(Random(seed)),
            elapsed: Duration::ZERO,
            running: false,
            tasks: BTreeMap::new(),
            spawned: 0,
            ready: Vec::new(),
            timers: BTreeMap::new(),
            timers_made: 0,
        };
        World { seed, start: Instant::now(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(self: &Arc<Self>, kind: &str, future: FutureObj<'static, ()>) {
        let mut state = self.lock();
        state.spawned += 1;
        let number = state.spawned;
        let task = Task::new(format!("{kind} {number}"), number, self, Some(Contained::new(future)));
        state.tasks.insert(number, task.clone());
        state.ready.push(task);
    }

    fn block_on(self: &Arc<Self>, mut root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        let run = Run::start(self)?;
        let waker = Waker::from(run.main.clone());
        loop {
            let Some(task) = self.next() else {
                let mut ready = false;
                let stuck = tree::draw(|| self.poll_all(root.as_mut(), &mut ready));
                return if ready { Ok(()) } else { Err(self.deadlock(&stuck)) };
            };
            if !Arc::ptr_eq(&task, &run.main) {
                self.step(task);
            } else if root.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Ok(());
            }
        }
    }

    /// The next task to run, after a jump of the clock if need be. `None`: a deadlock.
    fn next(&self) -> Option<Arc<Task>> {
        loop {
            let mut state = self.lock();
            if let Some(task) = state.pick() {
                task.queued.store(false, Ordering::Release);
                return Some(task);
            }
            let (&(due, _), _) = state.timers.first_key_value()?;
            let due = state.advance_to(due);
            drop(state);
            due.into_iter().for_each(Waker::wake);
        }
    }

    /// Polls everything once more, for a drawing of what is stuck.
    fn poll_all(&self, root: Pin<&mut dyn Future<Output = ()>>, ready: &mut bool) {
        let root = || *ready = root.poll(&mut Context::from_waker(Waker::noop())).is_ready();
        tree::named("main".to_string(), root);
        let tasks: Vec<_> = self.lock().tasks.values().cloned().collect();
        for task in tasks {
            tree::named(task.name.clone(), || self.step(task.clone()));
        }
    }

    fn step(&self, task: Arc<Task>) {
        let Some(mut future) = task.take() else {
            return;
        };
        let waker = Waker::from(task.clone());
        if Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending() {
            *task.lock() = Some(future);
        } else {
            task.retire();
            self.lock().tasks.remove(&task.number);
        }
    }

    fn deadlock(&self, stuck: &[String]) -> RunError {
        const NAMED: usize = 32;
        let mut message = format!(
            "deadlock in the simulation with seed {} after {:?}: nothing is ready and no timer is set; stuck are:",
            self.seed,
            self.lock().elapsed,
        );
        for line in stuck.iter().take(NAMED) {
            message.push_str("\n  ");
            message.push_str(line);
        }
        if stuck.len() > NAMED {
            message.push_str(&format!("\n  and {} more", stuck.len() - NAMED));
        }
        RunError::new(message)
    }
}

/// Takes the tasks out explicitly, as whoever keeps a waker keeps its task.
impl Drop for World {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for task in mem::take(&mut state.tasks).into_values() {
            drop(task.take());
        }
    }
}

impl State {
    /// Takes one of the ready tasks out.
    fn pick(&mut self) -> Option<Arc<Task>> {
        match self.ready.len() {
            0 | 1 => self.ready.pop(),
            n => Some(self.ready.swap_remove(self.choices.choose(n))),
        }
    }

    /// Sets the clock, and takes out the wakers of the timers that are due by then, in their order.
    fn advance_to(&mut self, elapsed: Duration) -> Vec<Waker> {
        self.elapsed = elapsed;
        let mut due = Vec::new();
        while let Some(timer) = self.timers.first_entry().filter(|timer| timer.key().0 <= elapsed) {
            due.push(timer.remove());
        }
        due
    }
}

/// A task of the simulation, and its own waker.
struct Task {
    name: String,
    number: u64,
    world: Weak<World>,
    /// `None` while it runs, once it is over, and for the root future, which is not ours to keep.
    future: Mutex<Option<Contained>>,
    /// Set while it is among the ready ones, and for good once it is over, so that a waker kept too long does nothing.
    queued: AtomicBool,
}

impl Task {
    fn new(name: String, number: u64, world: &Arc<World>, future: Option<Contained>) -> Arc<Self> {
        let (world, future) = (Arc::downgrade(world), Mutex::new(future));
        Arc::new(Task { name, number, world, future, queued: AtomicBool::new(true) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Contained>> {
        self.future.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Contained> {
        self.lock().take()
    }

    fn retire(&self) {
        self.queued.store(true, Ordering::Release);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(world) = self.world.upgrade() {
            world.lock().ready.push(self);
        }
    }
}

/// One `block_on`: keeps others out, and leaves no trace of its root future, be that ready, stuck or panicking.
struct Run<'a> {
    world: &'a World,
    main: Arc<Task>,
}

impl<'a> Run<'a> {
    fn start(world: &'a Arc<World>) -> Result<Self, RunError> {
        let main = Task::new("main".into(), 0, world, None);
        let mut state = world.lock();
        if mem::replace(&mut state.running, true) {
            return Err(RunError::new(
                "this simulation is running already, and has one thread: await the future inside of it, in `enter`",
            ));
        }
        state.ready.push(main.clone());
        Ok(Run { world, main })
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.main.retire();
        let mut state = self.world.lock();
        state.running = false;
        state.ready.retain(|task| !Arc::ptr_eq(task, &self.main));
    }
}

/// A timer of the simulation.
struct SimTimer {
    world: Weak<World>,
    /// When it is due, and its number among all timers.
    key: (Duration, u64),
}

impl Future for SimTimer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(world) = self.world.upgrade() else {
            return Poll::Pending;
        };
        let waker = cx.waker().clone();
        let mut state = world.lock();
        if state.elapsed >= self.key.0 {
            return Poll::Ready(());
        }
        let replaced = state.timers.insert(self.key, waker);
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        if let Some(world) = self.world.upgrade() {
            let waker = world.lock().timers.remove(&self.key);
            drop(waker);
        }
    }
}

/// Settles what a simulation leaves open. The same answers make the same run.
trait Choose: Send {
    /// A number below `n`.
    fn choose(&mut self, n: usize) -> usize;
}

/// splitmix64, by its state.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Choose for Random {
    /// By the high half of a product, which is even enough for any `n` and the same whatever the size of `usize`.
    fn choose(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

struct Adapter(Arc<World>);

impl Spawn for Adapter {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.spawn("task", future);
        Ok(())
    }
}

impl Clock for Adapter {
    fn now(&self) -> Instant {
        self.0.start + self.0.lock().elapsed
    }

    fn timer(&self, at: Instant) -> Timer {
        let due = at.saturating_duration_since(self.0.start);
        let mut state = self.0.lock();
        state.timers_made += 1;
        let key = (due, state.timers_made);
        drop(state);
        Timer::boxed(Box::pin(SimTimer { world: Arc::downgrade(&self.0), key }))
    }
}

impl Blocking for Adapter {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        self.0.spawn("job", FutureObj::new(Box::new(async { job() })));
        Ok(())
    }
}

impl Runtime for Adapter {
    fn name(&self) -> &'static str {
        "sim"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        self.0.block_on(root)
    }
}

#[cfg(test)]
mod tests;
