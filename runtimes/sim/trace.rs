//! The record of what a simulation did, step by step.

use std::collections::VecDeque;
use std::fmt;
#[cfg(feature = "net")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "net")]
use super::network::Seen;
use crate::name::Name;
use crate::trace::tree::PolledChild;

/// The name of a task in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskLabel {
    Main,
    /// A task that is not a child of a scope.
    Task(u64),
    Child(Name, u64),
    Job(Option<Name>, u64),
    /// One of the above, on a host that has a name.
    #[cfg(feature = "net")]
    On(Arc<(Arc<str>, TaskLabel)>),
}

impl TaskLabel {
    /// Returns whether this is a blocking job.
    pub(super) fn is_job(&self) -> bool {
        match self {
            #[cfg(feature = "net")]
            TaskLabel::On(on) => on.1.is_job(),
            label => matches!(label, TaskLabel::Job(..)),
        }
    }

    /// Returns the name of a child, or what else the label says.
    pub(super) fn name(&self) -> Name {
        match self {
            TaskLabel::Child(name, _) | TaskLabel::Job(Some(name), _) => name.clone(),
            TaskLabel::Main => "main".into(),
            TaskLabel::Task(_) | TaskLabel::Job(None, _) => self.to_string().into(),
            #[cfg(feature = "net")]
            TaskLabel::On(on) => on.1.name(),
        }
    }
}

impl fmt::Display for TaskLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskLabel::Main => f.write_str("main"),
            TaskLabel::Task(number) => write!(f, "task {number}"),
            TaskLabel::Child(name, number) => write!(f, "`{name}` (task {number})"),
            TaskLabel::Job(None, number) => write!(f, "job {number}"),
            TaskLabel::Job(Some(name), number) => write!(f, "job `{name}` (task {number})"),
            #[cfg(feature = "net")]
            TaskLabel::On(on) => write!(f, "{}: {}", on.0, on.1),
        }
    }
}

/// One step of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TraceStep {
    Run(TaskLabel),
    /// A child is polled, within the task that ran last.
    Child(PolledChild),
    /// The clock jumps to this time.
    Clock(Duration),
    /// A fault happens.
    Fault(&'static str, Option<TaskLabel>),
    /// A packet arrives, or does not.
    #[cfg(feature = "net")]
    Packet(Seen),
    /// Something happens to a host, or to a link.
    #[cfg(feature = "net")]
    Network(Arc<str>, &'static str),
}

/// Records the steps of a simulation.
///
/// A step is a task that ran, a child of a scope that it polled, a fault, a move of the clock, or a
/// packet that arrived at another host or did not.
/// Two traces are equal if the runs were equal, from the first step to the last. The names of the
/// last 4,096 steps are kept.
///
/// ```
/// use foster::runtimes::Sim;
///
/// let run = |seed| {
///     let sim = Sim::new(seed);
///     sim.run(foster::scope(async |s| {
///         s.named("ping").spawn(async {});
///         s.spawn_parallel(async {});
///     }));
///     sim.trace()
/// };
/// assert_eq!(run(1), run(1));
/// assert!(run(1).to_string().contains("`ping`"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// The last steps.
    steps: VecDeque<TraceStep>,
    /// The number of all steps.
    count: u64,
    /// A digest of all steps.
    digest: u64,
}

impl Trace {
    /// How many steps are kept.
    const KEPT: usize = 4_096;

    /// How many steps are looked at to tell who is busy.
    const RECENT: usize = 1_000;

    /// How many lines the text of a trace has at most.
    const SHOWN: usize = 40;

    pub(super) fn new() -> Self {
        // The offset of FNV-1a.
        Trace { steps: VecDeque::new(), count: 0, digest: 0xcbf2_9ce4_8422_2325 }
    }

    /// Returns how many steps there were.
    pub fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// Returns whether nothing has run.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn run(&mut self, label: &TaskLabel, number: u64) {
        self.push(TraceStep::Run(label.clone()), number);
    }

    pub(super) fn child(&mut self, polled: PolledChild) {
        let number = u64::from(polled.number);
        self.push(TraceStep::Child(polled), !number);
    }

    pub(super) fn clock(&mut self, elapsed: Duration) {
        self.push(TraceStep::Clock(elapsed), elapsed.as_nanos() as u64);
    }

    pub(super) fn fault(&mut self, what: &'static str, label: Option<TaskLabel>) {
        self.push(TraceStep::Fault(what, label), what.len() as u64);
    }

    #[cfg(feature = "net")]
    pub(super) fn packet(&mut self, seen: Seen) {
        let number = seen.number();
        self.push(TraceStep::Packet(seen), number);
    }

    #[cfg(feature = "net")]
    pub(super) fn network(&mut self, of: Arc<str>, what: &'static str) {
        self.push(TraceStep::Network(of, what), what.len() as u64);
    }

    fn push(&mut self, step: TraceStep, number: u64) {
        self.digest = (self.digest ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        self.count += 1;
        if self.steps.len() == Self::KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }

    /// Returns who ran in the last steps, how often, and how many steps of tasks these were.
    pub(super) fn busiest(&self) -> (Vec<(TaskLabel, usize)>, usize) {
        let mut busy: Vec<(TaskLabel, usize)> = Vec::new();
        let runs =
            self.steps.iter().filter_map(|step| if let TraceStep::Run(label) = step { Some(label) } else { None });
        let mut count = 0;
        for label in runs.rev().take(Self::RECENT) {
            count += 1;
            match busy.iter_mut().find(|(other, _)| other == label) {
                Some((_, times)) => *times += 1,
                None => busy.push((label.clone(), 1)),
            }
        }
        (busy, count)
    }

    /// Returns a line for each turn of a task, with the children that it polled, and for each fault
    /// and each move of the clock.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        // The children of a turn are noted at its end.
        let mut turn = None;
        for step in &self.steps {
            match (step, turn.and_then(|turn: usize| lines.get_mut(turn))) {
                (TraceStep::Run(label), _) => {
                    turn = Some(lines.len());
                    lines.push(label.to_string());
                }
                (TraceStep::Child(PolledChild { name, number }), Some(line)) => {
                    line.push_str(&format!(" > `{name}` #{number}"))
                }
                (TraceStep::Child(PolledChild { name, number }), None) => {
                    turn = Some(lines.len());
                    lines.push(format!("… > `{name}` #{number}"));
                }
                (TraceStep::Clock(elapsed), _) => lines.push(format!("the clock moves to {elapsed:?}")),
                (TraceStep::Fault(what, None), _) => lines.push(format!("fault: {what}")),
                (TraceStep::Fault(what, Some(label)), _) => lines.push(format!("fault: {what} {label}")),
                #[cfg(feature = "net")]
                (TraceStep::Packet(seen), _) => lines.push(seen.to_string()),
                #[cfg(feature = "net")]
                (TraceStep::Network(of, what), _) => lines.push(format!("{of} {what}")),
            }
        }
        lines
    }
}

/// Shows the last steps, a line for each.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines();
        let skipped = lines.len().saturating_sub(Self::SHOWN);
        if skipped > 0 || self.count > self.steps.len() as u64 {
            writeln!(f, "…")?;
        }
        for (i, line) in lines.iter().skip(skipped).enumerate() {
            write!(f, "{}{line}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("len", &self.count).field("lines", &self.lines()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_shown_and_an_ellipsis_for_those_before() {
        let mut trace = Trace::new();
        (0..Trace::SHOWN as u64).for_each(|number| trace.run(&TaskLabel::Task(number), number));
        assert!(trace.to_string().starts_with("task 0\ntask 1\n"), "{trace}");
        trace.run(&TaskLabel::Main, 0);
        assert!(trace.to_string().starts_with("…\ntask 1\n"), "{trace}");
    }

    #[test]
    fn the_children_of_a_turn_are_on_its_line_also_when_it_has_been_forgotten() {
        let mut trace = Trace::new();
        trace.run(&TaskLabel::Main, 0);
        let mut child = |number| trace.child(PolledChild { name: "child".into(), number });
        (0..2).for_each(&mut child);
        (2..Trace::KEPT as u32).for_each(child);
        let text = trace.to_string();
        assert!(text.starts_with("…\n… > `child` #0 > `child` #1 > "), "{}", &text[..100]);
        assert_eq!((text.lines().count(), trace.len()), (2, Trace::KEPT + 1));
    }
}
