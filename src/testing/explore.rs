//! Runs a test under many schedules.

use std::env;
use std::future::Future;
use std::ops::Range;
use std::panic::resume_unwind;
use std::time::Duration;

use super::failure::{Failure, SEED, TAPE, read_tape};
use super::watch::GivenUp;
use crate::panic::{self, Payload, catch, discard};
use crate::runtimes::sim::{ChoicePolicy, Faults, Ran, Sim};

/// Runs `test` once for each seed, each time in a new simulation.
///
/// A test fails if it panics, deadlocks, goes on for ever, or leaves something behind: a live task,
/// a child whose scope was forgotten, or an adopted future that did not complete within the grace.
/// `FOSTER_SEED=17` in the environment runs that seed alone. For faults, priorities or the result
/// as a value, use [`Explore`].
///
/// # Panics
///
/// Panics with the first [`Failure`], which has the seed, the steps that were taken, and how to run
/// exactly these again. Panics if the range is empty.
///
/// ```
/// use foster::testing::explore;
///
/// explore(0..100, || async {
///     let sum = foster::scope(async |s| {
///         let one = s.spawn_parallel(async { 1 });
///         let two = s.spawn_parallel(async { 2 });
///         one.await + two.await
///     });
///     assert_eq!(sum.await, 3);
/// });
/// ```
#[track_caller]
pub fn explore<F, Fut>(seeds: Range<u64>, test: F) -> Explored
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    Explore::new().seeds(seeds).check(test)
}

/// Runs `test` under every schedule there is, and returns how many there were.
///
/// Use it for small programs. The number grows exponentially with the points at which more than one
/// task, or child of a scope, is ready. More than 100,000 schedules are a failure, and
/// [`Explore::all`] takes another limit. `FOSTER_TAPE=0.2.1` in the environment runs that schedule
/// alone.
///
/// # Panics
///
/// Panics with the first [`Failure`], as [`explore`] does. Panics if there are too many schedules.
///
/// ```
/// use foster::testing::explore_all;
///
/// let explored = explore_all(|| foster::scope(async |s| {
///     s.spawn_parallel(async {});
///     s.spawn_parallel(async {});
/// }));
/// assert_eq!(explored.schedules(), 2);
/// ```
#[track_caller]
pub fn explore_all<F, Fut>(test: F) -> Explored
where
    F: Fn() -> Fut,
    Fut: Future<Output = ()>,
{
    Explore::new().all(100_000).check(test)
}

/// Sets up the exploration of a test: its schedules, its faults and its limits.
///
/// ```
/// use foster::testing::{Explore, Faults};
/// use std::{cell::Cell, rc::Rc};
///
/// // Two tasks add one each, and suspend between reading and writing.
/// let add = |sum: Rc<Cell<i32>>| async move {
///     let read = sum.get();
///     foster::yield_now().await;
///     sum.set(read + 1);
/// };
/// let explore = Explore::new().seeds(0..100).faults(Faults::none().spurious_wakes(0.1));
/// let failure = explore.run(|| async {
///     let sum = Rc::new(Cell::new(0));
///     foster::local::scope(async |s| {
///         s.spawn(add(sum.clone()));
///         s.spawn(add(sum.clone()));
///     })
///     .await;
///     assert_eq!(sum.get(), 2);
/// });
/// let failure = failure.unwrap_err();
/// assert_eq!(failure.schedules(), 1);
/// assert_eq!(failure.replay(), "FOSTER_SEED=0");
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is explored until `run` or `check`"]
pub struct Explore {
    range: Schedules,
    faults: Faults,
    limit: u64,
    step_time: Duration,
}

/// Which schedules to run.
#[derive(Clone, Debug)]
enum Schedules {
    Seeds {
        seeds: Range<u64>,
        depth: Option<usize>,
    },
    All {
        limit: usize,
    },
    /// The schedule of one tape.
    One(Vec<u32>),
}

/// The result of an exploration in which every schedule has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    schedules: usize,
    longest: usize,
}

impl Explored {
    /// Returns how many schedules there were.
    pub fn schedules(&self) -> usize {
        self.schedules
    }

    /// Returns the number of steps of the longest run, that is of polls of its tasks.
    pub fn longest(&self) -> usize {
        self.longest
    }
}

impl Default for Explore {
    fn default() -> Self {
        Explore::new()
    }
}

impl Explore {
    /// Creates an exploration of a thousand seeds, with uniform choices and without faults.
    pub fn new() -> Self {
        Explore {
            range: Schedules::Seeds { seeds: 0..1_000, depth: None },
            faults: Faults::none(),
            limit: 1_000_000,
            step_time: Duration::ZERO,
        }
    }

    /// Runs these seeds.
    ///
    /// # Panics
    ///
    /// Panics if the range is empty.
    #[track_caller]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        assert!(!seeds.is_empty(), "there is no seed in {seeds:?}, and so nothing to explore");
        let depth = if let Schedules::Seeds { depth, .. } = self.range { depth } else { None };
        self.range = Schedules::Seeds { seeds, depth };
        self
    }

    /// Schedules by priorities, for bugs of this depth.
    ///
    /// [`priority`](crate::runtimes::sim::Builder::priority) says what the depth is, and how likely
    /// such a bug is found. A first run, with seed 0 and uniform choices, measures the length of the
    /// program. It counts as a failure if it fails, and otherwise is not counted.
    ///
    /// # Panics
    ///
    /// Panics if `depth` is 0.
    #[track_caller]
    pub fn priority(mut self, depth: usize) -> Self {
        assert!(depth > 0, "the depth of a bug is at least 1");
        let seeds = if let Schedules::Seeds { seeds, .. } = self.range { seeds } else { 0..1_000 };
        self.range = Schedules::Seeds { seeds, depth: Some(depth) };
        self
    }

    /// Runs every schedule instead of seeds, and fails if there are more than `limit`.
    pub fn all(mut self, limit: usize) -> Self {
        self.range = Schedules::All { limit };
        self
    }

    /// Sets the faults. Each seed decides anew when they happen.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Sets after how many steps a run fails as endless. The default is a million.
    pub fn steps(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Makes each step take up to `most`, as the seed decides.
    ///
    /// [`Builder::step_time`](crate::runtimes::sim::Builder::step_time) says what that is for.
    pub fn step_time(mut self, most: Duration) -> Self {
        self.step_time = most;
        self
    }

    /// Runs `test` under the schedules, one after the other.
    ///
    /// # Errors
    ///
    /// Returns the first failure.
    pub fn run<F, Fut>(&self, test: F) -> Result<Explored, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        match &self.range {
            Schedules::Seeds { seeds, depth } => self.run_seeds(seeds.clone(), *depth, &test),
            Schedules::All { limit } => self.run_all(*limit, &test),
            Schedules::One(tape) => {
                let mut explored = Explored::default();
                self.attempt(0, ChoicePolicy::Tape(tape.clone()), &test, &mut explored)?;
                Ok(explored)
            }
        }
    }

    /// Runs `test` under the schedules, or under the one that `FOSTER_SEED` or `FOSTER_TAPE` names.
    ///
    /// # Panics
    ///
    /// Panics with the first failure, or if the environment variable names no schedule.
    #[track_caller]
    pub fn check<F, Fut>(&self, test: F) -> Explored
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        match self.clone().or_as_told().run(test) {
            Ok(explored) => explored,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Applies the environment variables that replay one schedule.
    #[track_caller]
    fn or_as_told(mut self) -> Self {
        let read = |name| env::var(name).ok();
        match &mut self.range {
            Schedules::Seeds { seeds, .. } => {
                if let Some(text) = read(SEED) {
                    let Ok(seed) = text.trim().parse::<u64>() else { panic!("{SEED}={text} is no seed, like 17") };
                    *seeds = seed..seed.saturating_add(1);
                    assert!(!seeds.is_empty(), "{SEED}={text} is too large for a seed");
                }
            }
            Schedules::All { .. } | Schedules::One(_) => {
                if let Some(text) = read(TAPE) {
                    let Some(tape) = read_tape(&text) else { panic!("{TAPE}={text} is no tape, like 0.2.1") };
                    self.range = Schedules::One(tape);
                }
            }
        }
        self
    }

    fn run_seeds<F, Fut>(&self, seeds: Range<u64>, depth: Option<usize>, test: &F) -> Result<Explored, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut explored = Explored::default();
        let policy = match depth {
            None => ChoicePolicy::Uniform,
            Some(depth) => ChoicePolicy::Priority { depth, length: self.measure(test)? },
        };
        for seed in seeds {
            self.attempt(seed, policy.clone(), test, &mut explored)?;
        }
        Ok(explored)
    }

    /// Returns about how many steps the program has. It is measured with the same seed each time.
    /// Otherwise a seed that is run alone would not give the same run. A failure of this run names
    /// that seed, which replays it because the measurement comes first.
    fn measure<F, Fut>(&self, test: &F) -> Result<usize, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut measured = Explored::default();
        self.attempt(0, ChoicePolicy::Uniform, test, &mut measured)?;
        Ok(measured.longest)
    }

    /// Walks the tree of all choices, depth first.
    fn run_all<F, Fut>(&self, limit: usize, test: &F) -> Result<Explored, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut explored = Explored::default();
        // The choices that lead to the part of the tree that is next, each with the number of its
        // alternatives.
        let mut path: Vec<(u32, u32)> = Vec::new();
        loop {
            let tape = path.iter().map(|&(choice, _)| choice).collect();
            let ran = self.attempt(0, ChoicePolicy::Tape(tape), test, &mut explored)?;
            let wrong = |message| Err(Failure::new(message, ran.clone(), None, explored.schedules));
            if !repeats(&path, &ran.choices) {
                return wrong("the same choices have not led to the same ones: the test is not deterministic".into());
            }
            let Some(next) = next_path(&ran.choices) else { return Ok(explored) };
            if explored.schedules >= limit {
                return wrong(format!("there are more than {limit} schedules: explore seeds, or a smaller program"));
            }
            path = next;
        }
    }

    /// Runs `test` in one simulation.
    fn attempt<F, Fut>(
        &self,
        seed: u64,
        policy: ChoicePolicy,
        test: &F,
        explored: &mut Explored,
    ) -> Result<Ran, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = ()>,
    {
        let by_seed = (!matches!(policy, ChoicePolicy::Tape(_))).then_some(seed);
        let builder = Sim::builder().seed(seed).policy(policy).faults(self.faults.clone());
        let sim = builder.strict().limit(self.limit).standstill(self.limit).step_time(self.step_time).build();
        let outcome = catch(|| sim.try_run(async { test().await }));
        let ran = sim.take_ran();
        sim.clear();
        explored.schedules += 1;
        explored.longest = explored.longest.max(ran.steps);
        let message = match outcome {
            Ok(Ok(())) => return Ok(ran),
            Ok(Err(error)) => error.to_string(),
            // It is the watcher that has failed the test, and no schedule.
            Err(payload) if payload.is::<GivenUp>() => resume_unwind(payload),
            Err(payload) => message(payload),
        };
        Err(Failure::new(message, ran, by_seed, explored.schedules))
    }
}

/// Returns whether the choices in `made` begin as `path` asked for.
fn repeats(path: &[(u32, u32)], made: &[(u32, u32)]) -> bool {
    let Some((&(_, last), before)) = path.split_last() else { return true };
    made.starts_with(before) && made.get(before.len()).is_some_and(|&(_, of)| of == last)
}

/// Returns the next path, depth first: the last choice that has another alternative takes it.
fn next_path(made: &[(u32, u32)]) -> Option<Vec<(u32, u32)>> {
    let last = made.iter().rposition(|&(choice, of)| choice + 1 < of)?;
    let mut path = made[..=last].to_vec();
    path[last].0 += 1;
    Some(path)
}

/// Returns the message of a panic, and drops its payload.
fn message(payload: Payload) -> String {
    let text = panic::message(&*payload).unwrap_or("a panic that carries no text").to_owned();
    discard(payload);
    text
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::{Explore, GivenUp, next_path, repeats};
    use crate::panic::catch;

    #[test]
    fn a_run_that_the_watcher_has_given_up_is_no_failing_schedule() {
        let given_up = catch(|| Explore::new().run(|| async { resume_unwind(Box::new(GivenUp)) }));
        assert!(given_up.is_err_and(|payload| payload.is::<GivenUp>()));
    }

    #[test]
    fn a_run_repeats_the_choices_up_to_the_one_that_differs() {
        let path = [(1, 3), (1, 2)];
        assert!(repeats(&[], &[(0, 2)]));
        assert!(repeats(&path, &[(1, 3), (1, 2), (0, 4)]));
        for other in [&[(0, 3), (1, 2)][..], &[(1, 4), (1, 2)], &[(1, 3), (1, 3)], &[(1, 3)]] {
            assert!(!repeats(&path, other), "{other:?}");
        }
    }

    #[test]
    fn the_next_path_takes_the_next_alternative_of_the_last_choice_that_has_one() {
        assert_eq!(next_path(&[(0, 2), (1, 3), (1, 2)]), Some(vec![(0, 2), (2, 3)]));
        assert_eq!(next_path(&[(1, 2), (2, 3)]), None);
        assert_eq!(next_path(&[]), None);
    }
}
