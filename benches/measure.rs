//! How a row is measured: all contenders in turn, round after round, and the median of the rounds.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

use crate::alloc::{Counts, counting};

/// What one run of a piece of work cost.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// What the processors spent, in nanoseconds, on whichever thread: neighbours on the machine do
    /// not count.
    pub(crate) cpu: f64,
    /// What passed meanwhile, in nanoseconds.
    pub(crate) elapsed: f64,
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
    /// Bytes that were still in use when the clock was stopped.
    pub(crate) live: f64,
}

/// Clocks, and the counters, from the moment it is made.
pub(crate) struct Lap {
    before: Counts,
    start: Instant,
    cpu: ProcessTime,
}

impl Lap {
    pub(crate) fn start() -> Self {
        Lap { before: Counts::now(), start: Instant::now(), cpu: ProcessTime::now() }
    }

    pub(crate) fn stop(self) -> Cost {
        let cpu = self.cpu.elapsed().as_nanos() as f64;
        let elapsed = self.start.elapsed().as_nanos() as f64;
        let (before, after) = (self.before, Counts::now());
        let bytes = (after.allocated - before.allocated) as f64;
        Cost {
            cpu,
            elapsed,
            allocations: (after.allocations - before.allocations) as f64,
            bytes,
            live: bytes - (after.freed - before.freed) as f64,
        }
    }
}

/// The cost of `work`; its result is dropped after that.
pub(crate) fn timed<R>(work: impl FnOnce() -> R) -> Cost {
    let lap = Lap::start();
    let result = std::hint::black_box(work());
    let cost = lap.stop();
    drop(result);
    cost
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Floor,
    Peer,
    Foster,
    /// foster at another size, or under other circumstances, to compare with.
    Yardstick,
}

/// One way to do a row's work.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    children: usize,
    /// `None` where it cannot run here.
    work: Box<dyn FnMut() -> Option<Cost>>,
}

impl Contender {
    pub(crate) fn new(
        role: Role,
        name: &'static str,
        children: usize,
        mut work: impl FnMut() -> Cost + 'static,
    ) -> Self {
        Self::fallible(role, name, children, move || Some(work()))
    }

    pub(crate) fn fallible(
        role: Role,
        name: &'static str,
        children: usize,
        work: impl FnMut() -> Option<Cost> + 'static,
    ) -> Self {
        Contender { name, role, children, work: Box::new(work) }
    }

    /// Runs the work so often, and returns its cost for each child.
    pub(crate) fn run(&mut self, times: usize) -> Option<Cost> {
        let mut sum = Cost::default();
        for _ in 0..times {
            let cost = (self.work)()?;
            sum.cpu += cost.cpu;
            sum.elapsed += cost.elapsed;
            sum.allocations += cost.allocations;
            sum.bytes += cost.bytes;
            sum.live += cost.live;
        }
        let n = (times * self.children) as f64;
        Some(Cost {
            cpu: sum.cpu / n,
            elapsed: sum.elapsed / n,
            allocations: sum.allocations / n,
            bytes: sum.bytes / n,
            live: sum.live / n,
        })
    }
}

/// What a contender has shown, for each child.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    pub(crate) children: usize,
    /// The times are the medians of the rounds, the rest from one round of its own.
    pub(crate) cost: Cost,
    /// Counted by valgrind, where they are asked for.
    pub(crate) instructions: Option<f64>,
}

/// How long a contender's turn in a round is, unless a single run takes longer.
const TURN: Duration = Duration::from_millis(20);

/// Measures `contenders`, leaving out those that cannot run here.
pub(crate) fn measure(contenders: &mut [Contender], rounds: usize) -> Vec<Figures> {
    let mut entries: Vec<_> = contenders.iter_mut().filter_map(Entry::begin).collect();
    for _ in 0..rounds {
        for entry in &mut entries {
            entry.turn();
        }
    }
    entries.into_iter().map(Entry::end).collect()
}

struct Entry<'a> {
    contender: &'a mut Contender,
    times: usize,
    /// The counts of the first round, which also says how often the work fits into a turn.
    first: Cost,
    cpu: Vec<f64>,
    elapsed: Vec<f64>,
}

impl<'a> Entry<'a> {
    fn begin(contender: &'a mut Contender) -> Option<Self> {
        contender.run(1)?;
        let first = counting(|| contender.run(1))?;
        let one = first.elapsed * contender.children as f64;
        let times = (TURN.as_nanos() as f64 / one).clamp(1.0, 1e6) as usize;
        Some(Entry { contender, times, first, cpu: Vec::new(), elapsed: Vec::new() })
    }

    /// Whether it takes so long that a few rounds must do.
    fn is_slow(&self) -> bool {
        self.first.elapsed * self.contender.children as f64 > 1e9
    }

    fn turn(&mut self) {
        if self.is_slow() && !self.elapsed.is_empty() {
            return;
        }
        if let Some(cost) = self.contender.run(self.times) {
            self.cpu.push(cost.cpu);
            self.elapsed.push(cost.elapsed);
        }
    }

    fn end(self) -> Figures {
        let &mut Contender { name, role, children, .. } = self.contender;
        let cost = Cost {
            cpu: median(self.cpu).unwrap_or(self.first.cpu),
            elapsed: median(self.elapsed).unwrap_or(self.first.elapsed),
            ..self.first
        };
        Figures { name, role, children, cost, instructions: None }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
