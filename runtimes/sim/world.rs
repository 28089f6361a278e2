//! The state of a simulation, and the loop that runs it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_task::{FutureObj, SpawnError};

use super::due::{Chore, Due};
use super::faults::{Fault, Injector};
#[cfg(feature = "net")]
use super::network::Network;
use super::report;
use super::schedule::{Random, Schedule};
use super::task::{SimTask, SimTimer};
use super::trace::{TaskLabel, Trace};
use super::watch::Watching;
use crate::panic::Contained;
use crate::runtime::{Instant, RunError, Timer};
use crate::task::polled::polling;
use crate::trace::shuffle::Choose;
use crate::trace::tree::{self, PolledChild};

thread_local! {
    /// The simulation that runs on this thread.
    static CURRENT: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// A simulation. Its handles keep it alive, while its tasks and timers do not.
pub(super) struct World {
    pub(super) seed: u64,
    /// The instant at which virtual time begins.
    pub(super) start: Instant,
    /// Whether a run fails if it leaves something behind.
    pub(super) strict: bool,
    pub(super) limits: Limits,
    /// The only code of users that runs under its lock is a plan of faults, which cannot reach it
    /// again.
    pub(super) injector: Option<Mutex<Injector>>,
    pub(super) state: Mutex<State>,
}

/// The numbers of steps after which a run fails, because it seems to go on for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many steps a run may take.
    pub(super) steps: u64,
    /// How many steps it may take without time passing.
    pub(super) standstill: u64,
}

/// The part of a simulation that changes. No code of users runs under its lock: no poll, no wake,
/// and no drop of anything that is theirs.
pub(super) struct State {
    pub(super) schedule: Schedule,
    pub(super) trace: Trace,
    /// How much virtual time has passed.
    pub(super) elapsed: Duration,
    /// The number of steps when the present run began.
    began_at: u64,
    /// The number of steps when the clock last moved, or when the present run began.
    moved_at: u64,
    /// How long the steps take.
    pace: Pace,
    /// Whether a thread blocks on the simulation.
    pub(super) running: bool,
    /// Every task that has not completed, by its number, which is the order in which they were
    /// spawned.
    pub(super) tasks: BTreeMap<u64, Arc<SimTask>>,
    /// How many tasks have been spawned.
    pub(super) spawned: u64,
    /// The tasks that have been woken and have not run since, each once.
    pub(super) ready: Vec<Arc<SimTask>>,
    /// Blocking jobs that wait until nothing is ready.
    pub(super) late: Vec<Arc<SimTask>>,
    /// The wakers of those who wait until nothing is ready.
    settling: Vec<Waker>,
    /// How often `settling` has been woken.
    settled: u64,
    /// The task that a fault woke, until another one has run after it.
    spurious: Option<u64>,
    /// Whether the task in `spurious` was the last to run.
    spurious_ran: bool,
    /// The timers that somebody waits for, and what else is to happen, by the time at which they
    /// are due, and then by their number.
    pub(super) timers: BTreeMap<(Duration, u64), Due>,
    timers_made: u64,
    /// How many numbers have been given to timers, and to what else is to happen.
    due_made: u64,
    /// What is to be done before the next step, without the lock.
    pub(super) chores: VecDeque<Chore>,
    #[cfg(feature = "net")]
    pub(super) network: Network,
    /// How many times a task has been picked to run.
    pub(super) steps: u64,
}

impl World {
    pub(super) fn new(
        seed: u64,
        schedule: Schedule,
        injector: Option<Injector>,
        strict: bool,
        limits: Limits,
        step_time: Duration,
    ) -> Self {
        #[cfg(feature = "net")]
        let network = Network::new(seed, schedule.is_tape());
        let state = State {
            schedule,
            trace: Trace::new(),
            elapsed: Duration::ZERO,
            began_at: 0,
            moved_at: 0,
            pace: Pace { most: step_time, random: Random(seed.rotate_left(32)) },
            running: false,
            tasks: BTreeMap::new(),
            spawned: 0,
            ready: Vec::new(),
            late: Vec::new(),
            settling: Vec::new(),
            settled: 0,
            spurious: None,
            spurious_ran: false,
            timers: BTreeMap::new(),
            timers_made: 0,
            due_made: 0,
            chores: VecDeque::new(),
            #[cfg(feature = "net")]
            network,
            steps: 0,
        };
        let injector = injector.map(Mutex::new);
        World { seed, start: Instant::now(), strict, limits, injector, state: Mutex::new(state) }
    }

    /// Returns the simulation that runs on this thread.
    pub(super) fn current() -> Option<Arc<World>> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the injector of faults, if there is one.
    pub(super) fn inject<R>(&self, ask: impl FnOnce(&mut Injector) -> Option<R>) -> Option<R> {
        ask(&mut self.injector.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the present instant.
    pub(super) fn now(&self) -> Instant {
        self.start + self.lock().elapsed
    }

    /// Spawns a task or a blocking job on a host, unless that is down, or a fault refuses it or
    /// throws it away.
    pub(super) fn spawn(
        self: &Arc<Self>,
        job: bool,
        host: usize,
        future: FutureObj<'static, ()>,
    ) -> Result<(), SpawnError> {
        let mut state = self.lock();
        state.spawned += 1;
        let number = state.spawned;
        let label = match (tree::take_spawning(), job) {
            (name, true) => TaskLabel::Job(name, number),
            (Some(name), false) => TaskLabel::Child(name, number),
            (None, false) => TaskLabel::Task(number),
        };
        #[cfg(feature = "net")]
        let Some(label) = state.network.placed(host, label) else {
            drop(state);
            drop(Contained::new(future));
            return Err(SpawnError::shutdown());
        };
        drop(state);
        match self.inject(|injector| injector.spawn(&label)) {
            Some(Fault::Refuse) => {
                self.lock().trace.fault("refuse", Some(label));
                drop(Contained::new(future));
                return Err(SpawnError::shutdown());
            }
            Some(Fault::Drop) => {
                self.lock().trace.fault("drop", Some(label));
                drop(Contained::new(future));
                return Ok(());
            }
            late => self.admit(SimTask::new(label, number, host, self, Some(Contained::new(future))), late.is_some()),
        }
        Ok(())
    }

    /// Adds a task to those that are ready, or to those that wait until nothing is.
    fn admit(&self, task: Arc<SimTask>, late: bool) {
        let mut state = self.lock();
        state.tasks.insert(task.number, task.clone());
        if late {
            state.late.push(task);
        } else {
            state.ready.push(task);
        }
    }

    /// Creates a timer, which a fault may delay.
    pub(super) fn timer(self: &Arc<Self>, at: Instant) -> Timer {
        let due = at.saturating_duration_since(self.start);
        let mut state = self.lock();
        state.timers_made += 1;
        let (number, place) = (state.timers_made, state.next_due());
        drop(state);
        let due = self.inject(|injector| Some(injector.due(due, number))).unwrap_or(due);
        Timer::boxed(Box::pin(SimTimer { world: Arc::downgrade(self), key: (due, place) }))
    }

    /// Drops all tasks, and what they spawn meanwhile.
    #[cfg(feature = "testing")]
    pub(super) fn clear(&self) {
        #[cfg(feature = "net")]
        self.end_programs();
        let mut patience = 16;
        while patience > 0 {
            let tasks = mem::take(&mut self.lock().tasks);
            if tasks.is_empty() {
                return;
            }
            patience -= 1;
            for task in tasks.into_values() {
                task.retire();
                drop(task.take());
            }
        }
    }

    /// Returns how often nothing has been ready. The next time wakes `waker`.
    #[cfg(feature = "testing")]
    pub(super) fn settled(&self, waker: &Waker) -> u64 {
        let waker = waker.clone();
        let mut state = self.lock();
        let unknown = !state.settling.iter().any(|other| other.will_wake(&waker));
        if unknown {
            state.settling.push(waker);
        }
        state.settled
    }

    /// Runs the simulation until `root` completes.
    pub(super) fn block_on(self: &Arc<Self>, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        let run = RunGuard::start(self)?;
        let watching = Watching::start(self.clone(), self.strict);
        self.run_root(&run.main, root)?;
        if self.strict {
            // The tasks that are about to end may do so before the leaks are counted.
            while let Some(task) = self.next(WhenIdle::Stop).map_err(|excess| report::busy(self, excess, None))? {
                self.step(&task);
            }
            #[cfg(feature = "net")]
            self.end_programs();
            return report::leaks(self, watching);
        }
        Ok(())
    }

    /// Runs tasks until `root` completes, or until the run can or should not go on.
    fn run_root(&self, main: &Arc<SimTask>, mut root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        let (waker, name) = (Waker::from(main.clone()), main.label.name());
        loop {
            let task = match self.next(WhenIdle::Go) {
                Ok(Some(task)) => task,
                Ok(None) => return Err(report::deadlock(self, root)),
                Err(excess) => return Err(report::busy(self, excess, Some(root))),
            };
            if !Arc::ptr_eq(&task, main) {
                self.step(&task);
                continue;
            }
            let poll = || root.as_mut().poll(&mut Context::from_waker(&waker));
            let polled = polling(&name, poll);
            self.note_children();
            if polled.is_ready() {
                return Ok(());
            }
        }
    }

    /// Returns the next task to run, after a jump of the clock if need be. Returns `None` if there
    /// will never be one.
    fn next(&self, idle: WhenIdle) -> Result<Option<Arc<SimTask>>, Excess> {
        loop {
            self.wake_somebody();
            let mut state = self.lock();
            if let Some(chore) = state.chores.pop_front() {
                drop(state);
                self.do_chore(chore);
                continue;
            }
            if let Some(task) = state.pick() {
                let due = state.pass_step_time();
                let excess = state.excess(self.limits);
                drop(state);
                due.into_iter().for_each(Waker::wake);
                task.unqueue();
                return excess.map_or(Ok(Some(task)), Err);
            }
            drop(state);
            if !self.go_on(idle) {
                return Ok(None);
            }
        }
    }

    fn do_chore(&self, chore: Chore) {
        match chore {
            Chore::Panic(payload) => resume_unwind(payload),
            #[cfg(feature = "net")]
            Chore::Crash(host, down_for) => self.crash_for(host, down_for),
            #[cfg(feature = "net")]
            Chore::Restart(host, changes) => self.end_crash(host, changes),
        }
    }

    /// Lets something happen when nothing is ready: a late job, then whoever waits for that, then a
    /// timer if the clock may move. Returns false if there is none of them.
    fn go_on(&self, idle: WhenIdle) -> bool {
        let mut state = self.lock();
        // What is due after the last instant never happens.
        let happens = |due: &Duration| idle == WhenIdle::Go && self.start.checked_add(*due).is_some();
        let timer = state.timers.first_key_value().map(|(&(due, _), _)| due).filter(happens);
        if !state.late.is_empty() {
            let late = state.late.len();
            let job = self.inject(|injector| {
                let waits = timer.is_some() && injector.later();
                (!waits).then(|| injector.below(late))
            });
            if let Some(job) = job {
                let job = state.late.swap_remove(job);
                state.ready.push(job);
                return true;
            }
        }
        if !state.settling.is_empty() {
            let settling = mem::take(&mut state.settling);
            state.settled += 1;
            drop(state);
            settling.into_iter().for_each(Waker::wake);
            return true;
        }
        let Some(due) = timer else { return false };
        let due = state.advance_to(due);
        drop(state);
        due.into_iter().for_each(Waker::wake);
        true
    }

    /// Polls one of the tasks, or throws it away.
    fn step(&self, task: &Arc<SimTask>) {
        let Some(future) = task.take() else {
            return;
        };
        match self.fate(task) {
            Some(Fault::Drop) => {
                drop(future);
                self.lock().trace.fault("drop", Some(task.label.clone()));
                self.retire(task);
            }
            fault => {
                self.poll(task, future);
                if fault == Some(Fault::Wake) {
                    Waker::from(task.clone()).wake();
                }
            }
        }
        self.note_children();
    }

    /// Polls one of the tasks once more, without a fault. Returns whether it has come to its end.
    pub(super) fn poll_again(&self, task: &Arc<SimTask>) -> bool {
        task.take().is_some_and(|future| self.poll(task, future))
    }

    /// Polls the future of a task. Returns whether it has come to its end.
    fn poll(&self, task: &Arc<SimTask>, mut future: Contained) -> bool {
        let waker = Waker::from(task.clone());
        let poll = || Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
        let ready = polling(&task.label.name(), poll).is_ready();
        if ready {
            self.retire(task);
        } else {
            task.put_back(future);
        }
        ready
    }

    /// Removes a task that has ended.
    fn retire(&self, task: &SimTask) {
        task.retire();
        let mut state = self.lock();
        state.schedule.forget(task.number);
        let task = state.tasks.remove(&task.number);
        drop(state);
        drop(task);
    }

    /// Returns what goes wrong with a task that is about to be polled.
    fn fate(&self, task: &SimTask) -> Option<Fault> {
        self.injector.as_ref()?;
        let step = self.lock().steps;
        self.inject(|injector| injector.poll(&task.label, step))
    }

    /// Wakes a task that nobody woke, if a fault says so. One at a time is woken, and only while
    /// others run. Otherwise the clock would stand still for ever.
    fn wake_somebody(&self) {
        if self.injector.is_none() {
            return;
        }
        let state = self.lock();
        let tasks = state.tasks.len();
        let idle = state.ready.is_empty() || state.spurious.is_some() || tasks == 0;
        drop(state);
        if idle {
            return;
        }
        let Some(nth) = self.inject(|injector| injector.wake().then(|| injector.below(tasks))) else { return };
        let mut state = self.lock();
        let Some(task) = state.tasks.values().nth(nth).cloned() else { return };
        let late = state.late.iter().any(|late| Arc::ptr_eq(late, &task));
        if !late && task.queue() {
            state.spurious = Some(task.number);
            state.trace.fault("wake", Some(task.label.clone()));
            state.ready.push(task);
        }
    }

    /// Adds the children that were polled to the trace.
    fn note_children(&self) {
        tree::take_polled(|polled| {
            let mut state = self.lock();
            polled.drain(..).for_each(|child| state.trace.child(child));
        });
    }
}

/// Decides the order of a scope's children.
impl Choose for World {
    fn choose(&self, n: usize) -> usize {
        self.lock().schedule.choose(n)
    }
}

/// Takes the futures out explicitly, because whoever keeps a waker keeps its task.
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
    fn pick(&mut self) -> Option<Arc<SimTask>> {
        let task = self.schedule.pick(&mut self.ready, |task| task.number)?;
        self.steps += 1;
        self.trace.run(&task.label, task.number);
        if self.spurious_ran {
            self.spurious = None;
        }
        self.spurious_ran = self.spurious == Some(task.number);
        Some(task)
    }

    /// Sets the clock, and takes out the wakers of the timers that are due by then, in their order.
    pub(super) fn advance_to(&mut self, elapsed: Duration) -> Vec<Waker> {
        self.trace.clock(elapsed);
        self.set_clock(elapsed)
    }

    /// Lets the time of one step pass. It follows from the seed, so the trace does not record it.
    fn pass_step_time(&mut self) -> Vec<Waker> {
        match self.pace.next() {
            Duration::ZERO => Vec::new(),
            time => self.set_clock(self.elapsed.saturating_add(time)),
        }
    }

    /// Sets the clock without a line in the trace.
    fn set_clock(&mut self, elapsed: Duration) -> Vec<Waker> {
        if self.elapsed != elapsed {
            self.elapsed = elapsed;
            self.moved_at = self.steps;
        }
        let mut due = Vec::new();
        while let Some(timer) = self.timers.first_entry().filter(|timer| timer.key().0 <= elapsed) {
            match timer.remove() {
                Due::Wake(waker) => due.push(waker),
                #[cfg(feature = "net")]
                Due::Packet(packet) => self.arrive(packet, &mut due),
                #[cfg(feature = "net")]
                Due::Datagram(datagram) => self.land(*datagram, &mut due),
                #[cfg(feature = "net")]
                Due::Resend(packet) => self.send_again(packet, &mut due),
                #[cfg(feature = "net")]
                Due::Repair(from, to, changes) => self.end_cut(from, to, changes, &mut due),
                #[cfg(feature = "net")]
                Due::Restart(host, changes) => self.chores.push_back(Chore::Restart(host, changes)),
            }
        }
        due
    }

    /// Returns the next number among timers, and what else is to happen.
    fn next_due(&mut self) -> u64 {
        self.due_made += 1;
        self.due_made
    }

    /// Lets something happen at `at`, or never if that is beyond the range of the clock.
    #[cfg(feature = "net")]
    pub(super) fn schedule_due(&mut self, at: Duration, due: Due) {
        let number = self.next_due();
        if at <= LAST {
            self.timers.insert((at, number), due);
        }
    }

    /// Returns whether there have been too many steps.
    fn excess(&self, limits: Limits) -> Option<Excess> {
        if self.steps - self.began_at > limits.steps {
            return Some(Excess::Steps);
        }
        (self.steps - self.moved_at > limits.standstill).then_some(Excess::Standstill)
    }
}

/// How long a run may last at most. The clock of each system counts twice as far.
#[cfg(feature = "net")]
const LAST: Duration = Duration::from_secs(i64::MAX as u64 / 2);

/// The limit that a run has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    Steps,
    Standstill,
}

/// How long a step takes. It has random numbers of its own, so that the schedule does not depend on
/// it.
struct Pace {
    most: Duration,
    random: Random,
}

impl Pace {
    fn next(&mut self) -> Duration {
        let most = u64::try_from(self.most.as_nanos()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        let below_most = (u128::from(self.random.next()) * u128::from(most)) >> 64;
        Duration::from_nanos(below_most as u64 + 1)
    }
}

/// What the clock does when nothing is ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenIdle {
    Go,
    Stop,
}

/// Guard of one `block_on`. It keeps other threads out, and removes what belongs to its root
/// future, whether that completes, is stuck or panics.
struct RunGuard<'a> {
    world: &'a World,
    main: Arc<SimTask>,
    before: Option<Arc<World>>,
    /// The children that were polled in the enclosing run, which has yet to note them.
    polled: Vec<PolledChild>,
}

impl<'a> RunGuard<'a> {
    /// Begins a run. Returns an error if another one is under way.
    fn start(world: &'a Arc<World>) -> Result<Self, RunError> {
        let main = SimTask::new(TaskLabel::Main, 0, 0, world, None);
        let mut state = world.lock();
        if mem::replace(&mut state.running, true) {
            return Err(RunError::new(
                "this simulation is running already and must not block: await the future, in `enter`",
            ));
        }
        state.ready.push(main.clone());
        (state.began_at, state.moved_at) = (state.steps, state.steps);
        drop(state);
        let before = CURRENT.replace(Some(world.clone()));
        Ok(RunGuard { world, main, before, polled: tree::replace_polled(Vec::new()) })
    }
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        drop(CURRENT.replace(self.before.take()));
        // The children that were polled before a panic.
        self.world.note_children();
        tree::replace_polled(mem::take(&mut self.polled));
        self.main.retire();
        let mut state = self.world.lock();
        state.running = false;
        state.ready.retain(|task| !Arc::ptr_eq(task, &self.main));
    }
}
