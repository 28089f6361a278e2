//! The failure of a test under one schedule.

use std::fmt;
use std::thread;

use crate::runtimes::sim::{Ran, Trace};

/// The environment variable that makes [`explore`](super::explore) run one seed.
pub(super) const SEED: &str = "FOSTER_SEED";
/// The environment variable that makes [`explore_all`](super::explore_all) run one schedule.
pub(super) const TAPE: &str = "FOSTER_TAPE";

/// Describes a schedule under which a test fails: how it fails, its steps, and how to run it again.
///
/// The text of this has all of that. [`explore`](super::explore) panics with it.
#[derive(Clone, Debug)]
pub struct Failure {
    message: String,
    trace: Trace,
    schedule: Which,
    schedules: usize,
}

/// How to name a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Seed(u64),
    Tape(Vec<u32>),
}

impl Failure {
    /// Creates a failure. Without a seed, the choices that were made name the schedule.
    pub(super) fn new(message: String, ran: Ran, seed: Option<u64>, schedules: usize) -> Self {
        let tape = || Which::Tape(ran.choices.iter().map(|&(choice, _)| choice).collect());
        Failure { message, schedule: seed.map_or_else(tape, Which::Seed), trace: ran.trace, schedules }
    }

    /// Returns what went wrong: the message of the panic, the stuck tasks, or what was left behind.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the seed of the schedule, or 0 if the schedule was found by enumeration.
    pub fn seed(&self) -> u64 {
        match self.schedule {
            Which::Seed(seed) => seed,
            Which::Tape(_) => 0,
        }
    }

    /// Returns how many schedules were run, including this one.
    pub fn schedules(&self) -> usize {
        self.schedules
    }

    /// Returns the steps that ran.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Returns the setting of the environment that runs exactly this schedule, such as
    /// `FOSTER_SEED=17`.
    pub fn replay(&self) -> String {
        match &self.schedule {
            Which::Seed(seed) => format!("{SEED}={seed}"),
            Which::Tape(tape) => format!("{TAPE}={}", write_tape(tape)),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schedule = match &self.schedule {
            Which::Seed(seed) => format!("seed {seed}"),
            Which::Tape(tape) => format!("tape {}", write_tape(tape)),
        };
        writeln!(f, "schedule {} failed, with {schedule}: {}", self.schedules, self.message)?;
        writeln!(f, "its steps were:")?;
        for line in self.trace.to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        write!(f, "to run exactly this one: {} cargo test", self.replay())?;
        match thread::current().name() {
            None | Some("main") => Ok(()),
            Some(test) => write!(f, " {test}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Returns the text of a tape, up to the last choice that was not the first one.
fn write_tape(tape: &[u32]) -> String {
    let end = tape.iter().rposition(|&choice| choice != 0).map_or(0, |last| last + 1);
    let choices: Vec<String> = tape.iter().take(end).map(u32::to_string).collect();
    if choices.is_empty() { "0".into() } else { choices.join(".") }
}

/// Reads the text of a tape.
pub(super) fn read_tape(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|choice| choice.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{read_tape, write_tape};

    #[test]
    fn a_tape_is_written_without_the_choices_that_are_made_anyway() {
        for (tape, text) in [(&[][..], "0"), (&[0], "0"), (&[0, 0], "0"), (&[0, 2, 1, 0, 0], "0.2.1"), (&[3], "3")] {
            assert_eq!(write_tape(tape), text);
        }
        assert_eq!(read_tape("0.2. 1"), Some(vec![0, 2, 1]));
        assert_eq!(read_tape("0..1"), None);
    }
}
