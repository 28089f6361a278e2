//! The choices of a simulation. Each one is a choice among `n`, and all of them are made here.

use std::collections::BTreeMap;
use std::time::Duration;

/// The random numbers of splitmix64, from its state.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `n`: the high half of a product. It is even enough for any `n`, and
    /// does not depend on the size of `usize`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Returns a duration of at most `most`, in nanoseconds.
    pub(super) fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        if most == 0 {
            return Duration::ZERO;
        }
        let nanos = (u128::from(self.next()) * (u128::from(most) + 1)) >> 64;
        Duration::from_nanos(nanos as u64)
    }
}

/// How a simulation chooses.
#[derive(Clone, Debug)]
pub(crate) enum ChoicePolicy {
    /// Every choice has the same chance.
    Uniform,
    /// The task with the highest priority runs; see
    /// [`Builder::priority`](super::Builder::priority).
    Priority {
        /// The number of change points, plus one.
        depth: usize,
        /// The number of steps among which the change points lie.
        length: usize,
    },
    /// The choices are those of the list, and then always the first one.
    Tape(Vec<u32>),
}

/// Makes the choices of one simulation. The same choices make the same run.
#[derive(Debug)]
pub(super) struct Schedule {
    random: Random,
    kind: ChoiceKind,
}

/// The state of a [`ChoicePolicy`].
#[derive(Debug)]
enum ChoiceKind {
    Uniform,
    Priority(Priority),
    Tape(Tape),
}

impl Schedule {
    pub(super) fn new(seed: u64, policy: &ChoicePolicy) -> Self {
        let mut random = Random(seed);
        let kind = match policy {
            ChoicePolicy::Uniform => ChoiceKind::Uniform,
            ChoicePolicy::Priority { depth, length } => {
                ChoiceKind::Priority(Priority::new(*depth, *length, &mut random))
            }
            ChoicePolicy::Tape(given) => ChoiceKind::Tape(Tape { given: given.clone(), made: Vec::new() }),
        };
        Schedule { random, kind }
    }

    /// Whether nothing is left to chance.
    #[cfg(feature = "net")]
    pub(super) fn is_tape(&self) -> bool {
        matches!(self.kind, ChoiceKind::Tape(_))
    }

    /// Returns a number below `n`.
    pub(super) fn choose(&mut self, n: usize) -> usize {
        match &mut self.kind {
            _ if n < 2 => 0,
            ChoiceKind::Uniform | ChoiceKind::Priority(_) => self.random.below(n),
            ChoiceKind::Tape(tape) => tape.choose(n),
        }
    }

    /// Takes the next task out of those that are ready. `number` tells them apart.
    pub(super) fn pick<T>(&mut self, ready: &mut Vec<T>, number: impl Fn(&T) -> u64) -> Option<T> {
        let place = match &mut self.kind {
            _ if ready.is_empty() => return None,
            ChoiceKind::Priority(priority) => priority.pick(ready.iter().map(number), &mut self.random),
            _ => self.choose(ready.len()),
        };
        // A tape that always chooses the first one takes the oldest, so nobody starves.
        Some(if matches!(self.kind, ChoiceKind::Tape(_)) { ready.remove(place) } else { ready.swap_remove(place) })
    }

    /// Forgets a task that has ended.
    pub(super) fn forget(&mut self, number: u64) {
        if let ChoiceKind::Priority(priority) = &mut self.kind {
            priority.of.remove(&number);
        }
    }

    /// Takes the choices that a tape has made: which one, among how many.
    #[cfg(feature = "testing")]
    pub(super) fn take_made(&mut self) -> Vec<(u32, u32)> {
        match &mut self.kind {
            ChoiceKind::Tape(tape) => std::mem::take(&mut tape.made),
            ChoiceKind::Uniform | ChoiceKind::Priority(_) => Vec::new(),
        }
    }
}

/// The choices that are given, and those that have been made.
#[derive(Debug)]
struct Tape {
    given: Vec<u32>,
    made: Vec<(u32, u32)>,
}

impl Tape {
    fn choose(&mut self, n: usize) -> usize {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let choice = self.given.get(self.made.len()).map_or(0, |&choice| choice.min(n - 1));
        self.made.push((choice, n));
        choice as usize
    }
}

/// The scheduler of Burckhardt et al.
#[derive(Debug)]
struct Priority {
    /// The priority of each task; the highest one runs. The priorities of tasks that no change
    /// point has lowered are above all others.
    of: BTreeMap<u64, u64>,
    /// The steps after which the running task falls below all others. The next one comes last.
    changes: Vec<usize>,
    steps: usize,
    /// One more than the priority of the next task that falls below all others.
    lowest: u64,
    /// The task that ran last, and how many times in a row it ran while others were ready.
    running: (u64, usize),
}

impl Priority {
    /// A task that is always ready gives way after this many steps, because others may be what it
    /// waits for.
    const PATIENCE: usize = 1_000;

    fn new(depth: usize, length: usize, random: &mut Random) -> Self {
        let mut changes: Vec<usize> = (1..depth).map(|_| random.below(length.max(1))).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        Priority { of: BTreeMap::new(), changes, steps: 0, lowest: 1 << 32, running: (0, 0) }
    }

    /// Returns the place of the ready task with the highest priority.
    fn pick(&mut self, ready: impl ExactSizeIterator<Item = u64>, random: &mut Random) -> usize {
        let alone = ready.len() == 1;
        let mut best = (0, 0, 0);
        for (place, number) in ready.enumerate() {
            let priority = *self.of.entry(number).or_insert_with(|| random.next() | 1 << 63);
            if priority > best.0 {
                best = (priority, place, number);
            }
        }
        let (_, place, number) = best;
        let in_a_row = if self.running.0 == number && !alone { self.running.1 + 1 } else { 0 };
        self.running = (number, in_a_row);
        while self.changes.last().is_some_and(|&at| at <= self.steps) {
            self.changes.pop();
            self.demote(number);
        }
        if in_a_row >= Self::PATIENCE {
            self.demote(number);
        }
        self.steps += 1;
        place
    }

    /// Puts a task below all others.
    fn demote(&mut self, number: u64) {
        self.running.1 = 0;
        self.lowest -= 1;
        self.of.insert(number, self.lowest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(depth: usize, length: usize) -> Schedule {
        Schedule::new(7, &ChoicePolicy::Priority { depth, length })
    }

    /// Picks one of two tasks that are always ready, so many times.
    fn picked(schedule: &mut Schedule, times: usize) -> Vec<u64> {
        let mut both = || {
            let mut ready = vec![1, 2];
            schedule.pick(&mut ready, |&number| number).unwrap()
        };
        (0..times).map(|_| both()).collect()
    }

    #[test]
    fn a_task_with_priority_runs_until_its_patience_ends() {
        let picked = picked(&mut schedule(1, 10), 3 * Priority::PATIENCE);
        let first = Priority::PATIENCE + 1;
        assert!(picked[..first].iter().all(|&number| number == picked[0]));
        // Whoever lost its turn comes after the one that has never run.
        assert!(picked[first..2 * first].iter().all(|&number| number == 3 - picked[0]));
        assert_eq!(picked[2 * first], picked[0]);
    }

    #[test]
    fn who_is_alone_loses_no_turn() {
        let mut schedule = schedule(1, 10);
        let mut alone = |number| schedule.pick(&mut vec![number], |&number| number);
        (0..2 * Priority::PATIENCE).for_each(|_| assert_eq!(alone(1), Some(1)));
        let ChoiceKind::Priority(priority) = &schedule.kind else { unreachable!("it is one") };
        assert!(priority.of[&1] >= 1 << 63);
        schedule.forget(1);
        let ChoiceKind::Priority(priority) = &schedule.kind else { unreachable!("it is one") };
        assert!(priority.of.is_empty());
    }

    #[test]
    fn there_is_one_change_less_than_the_depth_and_each_comes_at_its_step() {
        for depth in 1..5 {
            let mut schedule = schedule(depth, 100);
            let ChoiceKind::Priority(priority) = &schedule.kind else { unreachable!("it is one") };
            let mut changes = priority.changes.clone();
            assert_eq!(changes.len(), depth - 1);
            assert!(changes.is_sorted_by(|later, earlier| later >= earlier) && changes.iter().all(|&at| at < 100));
            changes.reverse();
            changes.dedup();
            let picked = picked(&mut schedule, 200);
            let changed = (1..200).filter(|&step| picked[step - 1] != picked[step]);
            // The step at which it is demoted is still its own.
            assert_eq!(changed.map(|step| step - 1).collect::<Vec<_>>(), changes);
        }
    }

    #[test]
    fn a_tape_chooses_the_oldest_and_no_more_than_there_are() {
        let mut schedule = Schedule::new(0, &ChoicePolicy::Tape(vec![0, 9, 1]));
        let mut ready = vec![10, 11, 12, 13];
        let order: Vec<u64> = std::iter::from_fn(|| schedule.pick(&mut ready, |&number| number)).collect();
        assert_eq!(order, [10, 13, 12, 11]);
    }

    #[test]
    fn the_longest_time_is_among_those_that_are_drawn() {
        let nanos = |nanos| Duration::from_nanos(nanos);
        let mut random = Random(3);
        let drawn: Vec<Duration> = (0..100).map(|_| random.up_to(nanos(2))).collect();
        for expected in 0..3 {
            assert!(drawn.contains(&nanos(expected)), "{expected}");
        }
        assert!(drawn.iter().all(|&time| time <= nanos(2)));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }
}
