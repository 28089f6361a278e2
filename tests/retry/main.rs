//! Retries and their budget.
//!
//! A test is written once, inside `matrix!`, for every runtime. `tests/support/harness.rs` says
//! more.

#[macro_use]
#[path = "../support/harness.rs"]
mod harness;

mod backon;
mod budget;
mod cancelled;
mod deadline;
mod schedule;

use std::cell::Cell;
use std::rc::Rc;

/// An operation that fails so many times, and then returns the number of the attempt.
#[derive(Clone)]
struct Flaky {
    failures: u32,
    made: Rc<Cell<u32>>,
}

impl Flaky {
    fn new(failures: u32) -> Self {
        Flaky { failures, made: Rc::default() }
    }

    /// One that never succeeds.
    fn broken() -> Self {
        Self::new(u32::MAX)
    }

    fn made(&self) -> u32 {
        self.made.get()
    }

    /// Makes an attempt, which fails with its number, from 1.
    fn attempt(&self) -> Result<u32, u32> {
        self.made.set(self.made.get() + 1);
        if self.made.get() > self.failures { Ok(self.made.get()) } else { Err(self.made.get()) }
    }
}
