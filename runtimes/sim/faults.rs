//! The faults that a simulation can inject.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "net")]
use super::network::NetworkFaults;
use super::schedule::Random;
use super::trace::TaskLabel;

/// Says what goes wrong in a simulation.
///
/// A real runtime may do all of it, so a test that passes under faults does not rely on luck. Each
/// fault has a chance from 0 (never) to 1 (always), and the seed decides when it happens.
/// [`plan`](Faults::plan) says exactly when. Scopes keep their contract under every fault: a child
/// that the runtime refuses or throws away is cancelled by [`Reason::Shutdown`](crate::Reason).
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
    #[cfg(feature = "net")]
    pub(super) network: NetworkFaults,
    plan: Option<Arc<Plan>>,
}

type Plan = dyn Fn(&Moment<'_>) -> Option<Fault> + Send + Sync;

/// A fault that [`Faults::plan`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Refuses a task or a blocking job that is spawned, or a connection.
    Refuse,
    /// Throws a task away, when it is spawned or instead of its next poll.
    Drop,
    /// Makes a timer fire later by this much, or bytes arrive later, in a datagram, too. What would
    /// happen after the last instant of the clock never does.
    Delay(Duration),
    /// Polls a task once more than it was woken.
    Wake,
    /// Makes a blocking job wait until nothing else is ready.
    Late,
    /// Resets a connection. Some of the bytes that are being written still arrive.
    #[cfg(feature = "net")]
    Reset,
    /// Loses what is written, which is sent again 200 milliseconds later, or a datagram.
    #[cfg(feature = "net")]
    Lose,
    /// Makes a datagram arrive twice.
    #[cfg(feature = "net")]
    Duplicate,
    /// Cuts the link between two hosts for so long. What is being written is lost.
    #[cfg(feature = "net")]
    Cut(Duration),
    /// Crashes the host that bytes are written to. It restarts after so long.
    #[cfg(feature = "net")]
    Crash(Duration),
}

/// A point at which something can go wrong. Each variant lists the faults that fit it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Moment<'a> {
    /// A task is spawned: [`Fault::Refuse`] or [`Fault::Drop`].
    Spawn {
        /// The name of the task.
        task: &'a str,
    },
    /// A blocking job is spawned: [`Fault::Refuse`], [`Fault::Drop`] or [`Fault::Late`].
    Job {
        /// The name of the job.
        task: &'a str,
    },
    /// A task is about to be polled: [`Fault::Drop`] or [`Fault::Wake`], which wakes it once more.
    Poll {
        /// The name of the task.
        task: &'a str,
        /// How many steps all tasks together have taken so far.
        step: u64,
    },
    /// A timer is made: [`Fault::Delay`].
    Timer {
        /// The number of the timer, counted from 1.
        number: u64,
    },
    /// A host connects to another one: [`Fault::Refuse`].
    #[cfg(feature = "net")]
    Connect {
        /// The name of the host that connects.
        from: &'a str,
        /// The name of the host that it connects to.
        to: &'a str,
    },
    /// Bytes are written to a connection: [`Fault::Reset`], [`Fault::Lose`], [`Fault::Delay`],
    /// [`Fault::Cut`] or [`Fault::Crash`]. Or a datagram is sent: the same, with
    /// [`Fault::Duplicate`] instead of a reset.
    #[cfg(feature = "net")]
    Write {
        /// The name of the host that writes.
        from: &'a str,
        /// The name of the host that it writes to.
        to: &'a str,
        /// How many bytes there are.
        bytes: usize,
        /// The number of the write or the datagram, counted from 1 in the whole network.
        number: u64,
    },
}

impl Faults {
    /// Returns faults of which none happens.
    pub fn none() -> Self {
        Faults::default()
    }

    /// Sets the chance that a spawn is refused.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    pub fn refuse_spawns(mut self, chance: f64) -> Self {
        self.refuse_spawns = checked(chance);
        self
    }

    /// Sets the chance that a task is thrown away, at each of its polls.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    pub fn drop_tasks(mut self, chance: f64) -> Self {
        self.drop_tasks = checked(chance);
        self
    }

    /// Makes timers fire up to `most` too late.
    pub fn delay_timers(mut self, most: Duration) -> Self {
        self.delay_timers = most;
        self
    }

    /// Makes timers fire only at multiples of `grid`.
    ///
    /// Timers that are close together then fire together, and none fires too early.
    pub fn coalesce_timers(mut self, grid: Duration) -> Self {
        self.coalesce_timers = grid;
        self
    }

    /// Sets the chance, at each step, that some task is polled although nobody woke it.
    ///
    /// # Panics
    ///
    /// Panics if `chance` is not between 0 and 1.
    pub fn spurious_wakes(mut self, chance: f64) -> Self {
        self.spurious_wakes = checked(chance);
        self
    }

    /// Makes blocking jobs wait until nothing else is ready, and by chance until some timers have
    /// fired.
    pub fn late_blocking(mut self) -> Self {
        self.late_blocking = true;
        self
    }

    /// Asks `plan` at every [`Moment`], in addition to the chances.
    ///
    /// A fault that does not fit the moment does nothing.
    pub fn plan(mut self, plan: impl Fn(&Moment<'_>) -> Option<Fault> + Send + Sync + 'static) -> Self {
        self.plan = Some(Arc::new(plan));
        self
    }

    pub(super) fn is_none(&self) -> bool {
        let chances = self.refuse_spawns + self.drop_tasks + self.spurious_wakes;
        #[cfg(feature = "net")]
        if !self.network.is_none() {
            return false;
        }
        let on_time = self.delay_timers.is_zero() && self.coalesce_timers.is_zero();
        chances == 0.0 && on_time && !self.late_blocking && self.plan.is_none()
    }

    pub(super) fn planned(&self, moment: &Moment<'_>) -> Option<Fault> {
        self.plan.as_ref()?(moment)
    }
}

/// Returns `chance`, or panics if it is none.
#[track_caller]
pub(super) fn checked(chance: f64) -> f64 {
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
            .finish_non_exhaustive()
    }
}

/// Decides what goes wrong. It has random numbers of its own, so that faults do not change the
/// schedule.
#[derive(Debug)]
pub(super) struct Injector {
    pub(super) faults: Faults,
    pub(super) random: Random,
}

impl Injector {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Injector { faults, random: Random(!seed) }
    }

    /// Returns true with a probability of `chance`.
    pub(super) fn chance(&mut self, chance: f64) -> bool {
        // A float holds 53 bits exactly.
        chance > 0.0 && ((self.random.next() >> 11) as f64) < chance * (1u64 << 53) as f64
    }

    /// Returns what happens to a task or a job that is being spawned.
    pub(super) fn spawn(&mut self, label: &TaskLabel) -> Option<Fault> {
        let task = &label.to_string();
        let job = label.is_job();
        let planned = self.faults.planned(&if job { Moment::Job { task } } else { Moment::Spawn { task } });
        match planned {
            Some(fault @ (Fault::Refuse | Fault::Drop)) => Some(fault),
            Some(Fault::Late) if job => planned,
            _ if self.chance(self.faults.refuse_spawns) => Some(Fault::Refuse),
            _ if job && self.faults.late_blocking => Some(Fault::Late),
            _ => None,
        }
    }

    /// Returns what happens to a task that is about to be polled.
    pub(super) fn poll(&mut self, label: &TaskLabel, step: u64) -> Option<Fault> {
        let planned = self.faults.plan.as_ref().and_then(|plan| plan(&Moment::Poll { task: &label.to_string(), step }));
        match planned {
            Some(fault @ (Fault::Drop | Fault::Wake)) => Some(fault),
            _ => self.chance(self.faults.drop_tasks).then_some(Fault::Drop),
        }
    }

    /// Returns whether to wake somebody.
    pub(super) fn wake(&mut self) -> bool {
        self.chance(self.faults.spurious_wakes)
    }

    /// Returns whether a late job waits even longer.
    pub(super) fn later(&mut self) -> bool {
        self.chance(0.5)
    }

    /// Returns a random number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.random.below(n)
    }

    /// Returns the time at which a timer fires that is due at `due`.
    pub(super) fn due(&mut self, due: Duration, number: u64) -> Duration {
        let mut due = due;
        if let Some(Fault::Delay(by)) = self.faults.planned(&Moment::Timer { number }) {
            due = due.saturating_add(by);
        }
        due = due.saturating_add(self.random.up_to(self.faults.delay_timers));
        let grid = self.faults.coalesce_timers.as_nanos();
        if grid == 0 {
            return due;
        }
        let nanos = due.as_nanos().div_ceil(grid).saturating_mul(grid);
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanos % 1_000_000_000) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_fault_is_one_even_alone() {
        const SECOND: Duration = Duration::from_secs(1);
        let none = Faults::none;
        assert!(none().is_none());
        let some = [
            none().refuse_spawns(0.1),
            none().drop_tasks(0.1),
            none().delay_timers(SECOND),
            none().coalesce_timers(SECOND),
            none().spurious_wakes(0.1),
            none().late_blocking(),
            none().plan(|_| None),
            #[cfg(feature = "net")]
            none().refuse_connections(0.1),
            #[cfg(feature = "net")]
            none().reset_connections(0.1),
            #[cfg(feature = "net")]
            none().lose_packets(0.1),
            #[cfg(feature = "net")]
            none().duplicate_datagrams(0.1),
            #[cfg(feature = "net")]
            none().cut_links(0.1, SECOND),
            #[cfg(feature = "net")]
            none().crash_hosts(0.1, SECOND),
        ];
        for faults in some {
            assert!(!faults.is_none(), "{faults:?}");
        }
    }

    #[test]
    fn only_a_job_is_late_and_a_plan_says_what_happens_to_which() {
        let spawned = |faults: Faults, label: &TaskLabel| Injector::new(0, faults).spawn(label);
        let (task, job) = (TaskLabel::Task(1), TaskLabel::Job(None, 2));
        let late = Faults::none().late_blocking();
        assert_eq!((spawned(late.clone(), &task), spawned(late, &job)), (None, Some(Fault::Late)));
        let planned = Faults::none().plan(|_| Some(Fault::Late));
        assert_eq!((spawned(planned.clone(), &task), spawned(planned, &job)), (None, Some(Fault::Late)));
        let by_kind = Faults::none().plan(|moment| match moment {
            Moment::Spawn { task: "task 1" } => Some(Fault::Drop),
            Moment::Job { task: "job 2" } => Some(Fault::Refuse),
            _ => None,
        });
        assert_eq!(spawned(by_kind.clone(), &task), Some(Fault::Drop));
        assert_eq!(spawned(by_kind, &job), Some(Fault::Refuse));
        assert_eq!(spawned(Faults::none().refuse_spawns(1.0), &task), Some(Fault::Refuse));
    }

    #[test]
    fn timers_are_late_by_the_plan_and_then_come_to_the_grid() {
        let milli = Duration::from_millis;
        let due = |faults: Faults, due| Injector::new(0, faults).due(due, 1);
        let grid = Faults::none().coalesce_timers(milli(10));
        for (at, expected) in [(0, 0), (1, 10), (10, 10), (11, 20)] {
            assert_eq!(due(grid.clone(), milli(at)), milli(expected));
        }
        let planned =
            grid.plan(move |moment| matches!(moment, Moment::Timer { number: 1 }).then_some(Fault::Delay(milli(5))));
        assert_eq!(due(planned, milli(6)), milli(20));
        let delayed = due(Faults::none().delay_timers(milli(1_000)), milli(1));
        assert!(delayed > milli(1) && delayed <= milli(1_001), "{delayed:?}");
    }
}
