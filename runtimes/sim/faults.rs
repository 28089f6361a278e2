//! What a simulation can make go wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::schedule::Random;
use super::trace::Label;

/// What shall go wrong in a simulation, though a runtime may do all of it: a test that passes under faults does not rely
/// on luck.
///
/// Each has a chance, from 0 (never) to 1 (always), which the seed decides; [`plan`](Faults::plan) says exactly when.
/// Scopes keep their contract under every one of them: a child that the runtime refuses or throws away ends as
/// cancelled, with [`Reason::Shutdown`](crate::Reason).
///
/// ```
/// use foster::runtimes::sim::{Faults, Sim};
/// use std::time::Duration;
///
/// let faults = Faults::none().refuse_spawns(1.0).delay_timers(Duration::from_secs(1));
/// let outcome = Sim::builder().seed(1).faults(faults).build().run(foster::scope(async |s| {
///     s.spawn_parallel(async { 7 }).outcome().await
/// }));
/// assert!(outcome.is_err());
/// ```
#[derive(Clone, Default)]
#[must_use = "faults do nothing until a simulation is given them"]
pub struct Faults {
    refuse_spawns: f64,
    drop_tasks: f64,
    delay_timers: Duration,
    coalesce_timers: Duration,
    spurious_wakes: f64,
    late_blocking: bool,
    plan: Option<Arc<Plan>>,
}

type Plan = dyn Fn(&Moment<'_>) -> Option<Fault> + Send + Sync;

/// Something that goes wrong, by [`Faults::plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A spawn, or a blocking job, is refused.
    Refuse,
    /// A task is thrown away: when it is spawned, or instead of its next poll.
    Drop,
    /// A timer fires later.
    Delay(Duration),
    /// A task is polled once more than it was woken.
    Wake,
    /// A blocking job waits until nothing else is ready.
    Late,
}

/// Where something could go wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Moment<'a> {
    /// A task is spawned: [`Fault::Refuse`], [`Fault::Drop`].
    Spawn {
        /// Its name.
        task: &'a str,
    },
    /// A blocking job is spawned: [`Fault::Refuse`], [`Fault::Drop`], [`Fault::Late`].
    Job {
        /// Its name.
        task: &'a str,
    },
    /// A task is about to be polled: [`Fault::Drop`], and [`Fault::Wake`], which wakes it once more.
    Poll {
        /// Its name.
        task: &'a str,
        /// The steps of all tasks so far.
        step: u64,
    },
    /// A timer is made: [`Fault::Delay`].
    Timer {
        /// How many there were before.
        number: u64,
    },
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Faults::default()
    }

    /// The chance of a spawn to be refused.
    pub fn refuse_spawns(mut self, chance: f64) -> Self {
        self.refuse_spawns = checked(chance);
        self
    }

    /// The chance of a task to be thrown away, at each of its polls.
    pub fn drop_tasks(mut self, chance: f64) -> Self {
        self.drop_tasks = checked(chance);
        self
    }

    /// How much later than it should a timer fires at most.
    pub fn delay_timers(mut self, most: Duration) -> Self {
        self.delay_timers = most;
        self
    }

    /// Timers fire at multiples of `grid` alone, so that those that are close fire together, and none too early.
    pub fn coalesce_timers(mut self, grid: Duration) -> Self {
        self.coalesce_timers = grid;
        self
    }

    /// The chance, at each step, of some task to be polled although nobody woke it.
    pub fn spurious_wakes(mut self, chance: f64) -> Self {
        self.spurious_wakes = checked(chance);
        self
    }

    /// Blocking jobs wait until nothing else is ready, and by chance until some timers have fired, too.
    pub fn late_blocking(mut self) -> Self {
        self.late_blocking = true;
        self
    }

    /// Asks `plan` at every [`Moment`], besides the chances. A fault that does not fit the moment does nothing.
    pub fn plan(mut self, plan: impl Fn(&Moment<'_>) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.plan = Some(Arc::new(plan));
        self
    }

    pub(super) fn is_none(&self) -> bool {
        let chances = self.refuse_spawns + self.drop_tasks + self.spurious_wakes;
        let on_time = self.delay_timers.is_zero() && self.coalesce_timers.is_zero();
        chances == 0.0 && on_time && !self.late_blocking && self.plan.is_none()
    }

    fn planned(&self, moment: &Moment<'_>) -> Option<Fault> {
        self.plan.as_ref()?(moment)
    }
}

#[track_caller]
fn checked(chance: f64) -> f64 {
    assert!((0.0..=1.0).contains(&chance), "a chance is between 0 and 1, and not {chance}");
    chance
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("refuse_spawns", &self.refuse_spawns)
            .field("drop_tasks", &self.drop_tasks)
            .field("delay_timers", &self.delay_timers)
            .field("coalesce_timers", &self.coalesce_timers)
            .field("spurious_wakes", &self.spurious_wakes)
            .field("late_blocking", &self.late_blocking)
            .field("plan", &self.plan.is_some())
            .finish()
    }
}

/// Decides what goes wrong. It has dice of its own, so that the schedule is the same with faults and without.
#[derive(Debug)]
pub(super) struct Injector {
    faults: Faults,
    random: Random,
}

impl Injector {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Injector { faults, random: Random(!seed) }
    }

    fn chance(&mut self, chance: f64) -> bool {
        // 53 bits are what a float holds exactly.
        chance > 0.0 && ((self.random.next() >> 11) as f64) < chance * (1u64 << 53) as f64
    }

    /// What happens to a task, or a job, that is being spawned.
    pub(super) fn spawn(&mut self, label: &Label) -> Option<Fault> {
        let task = &label.to_string();
        let job = matches!(label, Label::Job(..));
        let planned = self.faults.planned(&if job { Moment::Job { task } } else { Moment::Spawn { task } });
        match planned {
            Some(fault @ (Fault::Refuse | Fault::Drop)) => Some(fault),
            Some(Fault::Late) if job => planned,
            _ if self.chance(self.faults.refuse_spawns) => Some(Fault::Refuse),
            _ if job && self.faults.late_blocking => Some(Fault::Late),
            _ => None,
        }
    }

    /// What happens to a task that is about to be polled.
    pub(super) fn poll(&mut self, label: &Label, step: u64) -> Option<Fault> {
        let planned = self.faults.plan.as_ref().and_then(|plan| plan(&Moment::Poll { task: &label.to_string(), step }));
        match planned {
            Some(fault @ (Fault::Drop | Fault::Wake)) => Some(fault),
            _ => self.chance(self.faults.drop_tasks).then_some(Fault::Drop),
        }
    }

    /// Whether to wake somebody.
    pub(super) fn wake(&mut self) -> bool {
        self.chance(self.faults.spurious_wakes)
    }

    /// Whether a late job is later still.
    pub(super) fn later(&mut self) -> bool {
        self.chance(0.5)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.random.below(n)
    }

    /// When a timer fires that is due at `due`.
    pub(super) fn due(&mut self, due: Duration, number: u64) -> Duration {
        let mut due = due;
        if let Some(Fault::Delay(by)) = self.faults.planned(&Moment::Timer { number }) {
            due = due.saturating_add(by);
        }
        let most = u64::try_from(self.faults.delay_timers.as_nanos()).unwrap_or(u64::MAX);
        if most > 0 {
            let by = (u128::from(self.random.next()) * (u128::from(most) + 1)) >> 64;
            due = due.saturating_add(Duration::from_nanos(by as u64));
        }
        let grid = self.faults.coalesce_timers.as_nanos();
        if grid == 0 {
            return due;
        }
        let nanos = due.as_nanos().div_ceil(grid).saturating_mul(grid);
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanos % 1_000_000_000) as u32)
    }
}
