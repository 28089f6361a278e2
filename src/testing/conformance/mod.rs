//! Conformance for adapters: whether a runtime that was brought along keeps what foster relies on.
//!
//! Somebody who [writes an adapter](crate::runtime) runs the whole contract against it with one line, and is told by name
//! which clause it breaks:
//!
//! ```
//! # fn my_runtime() -> foster::Handle { foster::runtimes::Basic::current_thread().into() }
//! # #[cfg(feature = "basic")]
//! foster::testing::conformance::run(|| my_runtime());
//! ```
//!
//! Some checks need more than a handle, and are made only when they are asked for: see [`Conformance`]. Each runs on a
//! thread and a runtime of its own, under a watchdog that goes by the wall clock, so that a runtime which loses a wake-up
//! fails and does not hang the test. The thread is left to itself then.
//!
//! The clauses are cited by the numbers that foster's own documentation uses for them, from `S1` to `S13`, where they
//! are the ground that a promise to users stands on; the rest is cited by the trait that it belongs to.

/// The table of a room's checks: the name of each is that of its function.
macro_rules! table {
    ($($kind:ident $check:ident: $clause:literal,)*) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check::new(stringify!($check), $clause, super::Subject::$kind($check))),*];
    };
}

mod blocking;
mod clock;
mod ending;
mod scopes;
mod tasks;
mod threads;
mod watchdog;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::watchdog::park_on;
use crate::runtime::Handle;

/// Runs every check that needs nothing but a handle on the runtime that `make` makes, a new one for each.
///
/// # Panics
///
/// When a check fails, with the list of all that failed: the name of each, the clause that is broken, and what was seen.
///
/// ```
/// # #[cfg(feature = "tokio")]
/// foster::testing::conformance::run(|| foster::runtimes::Tokio::multi_thread(2).unwrap());
/// ```
#[track_caller]
pub fn run<H: Into<Handle>>(make: impl Fn() -> H + Send + Sync + 'static) {
    Conformance::of(make).run();
}

/// All checks, in the order in which they are run.
///
/// ```
/// use foster::runtimes::Sim;
/// use foster::testing::conformance::{Conformance, checks};
///
/// let sim = Conformance::of(|| Sim::new(7)).isolated();
/// for check in checks().filter(|check| check.applies_to(&sim)) {
///     println!("{}: {}", check.name(), check.clause());
///     assert!(check.run(&sim).is_ok());
/// }
/// ```
pub fn checks() -> impl Iterator<Item = &'static Check> {
    [tasks::CHECKS, clock::CHECKS, blocking::CHECKS, scopes::CHECKS, threads::CHECKS, ending::CHECKS]
        .into_iter()
        .flatten()
}

/// One check: what it is called, what clause it is about, and how to run it.
#[derive(Debug)]
pub struct Check {
    name: &'static str,
    clause: &'static str,
    subject: Subject,
}

/// What a check wants to be given.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// A runtime.
    Handle(fn(&Handle)),
    /// One that other threads can wake while somebody blocks on it.
    Open(fn(&Handle)),
    /// One that ends with its last handle, which this is.
    LastHandle(fn(Handle)),
    /// One that is ended by the function beside it.
    Ended(fn(Handle, End)),
}

type End = Box<dyn FnOnce() + Send>;
type Make<T> = Arc<dyn Fn() -> T + Send + Sync>;

impl Check {
    const fn new(name: &'static str, clause: &'static str, subject: Subject) -> Self {
        Check { name, clause, subject }
    }

    /// Its name: what a good runtime does.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The clause that is broken where this fails.
    pub fn clause(&self) -> &'static str {
        self.clause
    }

    /// Whether it can be run on a runtime that is known as `conformance` says.
    pub fn applies_to(&self, conformance: &Conformance) -> bool {
        match self.subject {
            Subject::Handle(_) => true,
            Subject::Open(_) => !conformance.isolated,
            Subject::LastHandle(_) => conformance.ends_with_last_handle,
            Subject::Ended(_) => conformance.ended.is_some(),
        }
    }

    /// Runs it, on a thread of its own. One that does not [apply](Check::applies_to) succeeds unrun.
    ///
    /// # Errors
    ///
    /// What was seen that should not be, or that the check hangs.
    pub fn run(&'static self, conformance: &Conformance) -> Result<(), Failure> {
        if !self.applies_to(conformance) {
            return Ok(());
        }
        let (make, ended, subject) = (conformance.make.clone(), conformance.ended.clone(), self.subject);
        let run = move || match (subject, ended) {
            (Subject::Handle(check) | Subject::Open(check), _) => check(&make()),
            (Subject::LastHandle(check), _) => check(make()),
            (Subject::Ended(check), Some(ended)) => {
                let (handle, end) = ended();
                check(handle, end);
            }
            (Subject::Ended(_), None) => {}
        };
        watchdog::run(conformance.patience, run).map_err(|what| Failure { check: self, what })
    }
}

/// What is known of a runtime, and so which checks apply to it.
///
/// ```
/// use foster::testing::conformance::Conformance;
///
/// # #[cfg(feature = "tokio")] {
/// use foster::runtimes::Tokio;
///
/// // A runtime that is dropped from outside, while handles to it are about.
/// let ended = || {
///     let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
///     let handle = { let _entered = runtime.enter(); Tokio::current() };
///     (handle, move || drop(runtime))
/// };
/// Conformance::of(|| Tokio::current_thread().unwrap()).ends_with_last_handle().ended_by(ended).run();
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is run"]
pub struct Conformance {
    make: Make<Handle>,
    ended: Option<Make<(Handle, End)>>,
    ends_with_last_handle: bool,
    isolated: bool,
    patience: Duration,
}

impl Conformance {
    /// Of the runtime that `make` makes: a new one for each check, or handles to one that goes on.
    pub fn of<H: Into<Handle>>(make: impl Fn() -> H + Send + Sync + 'static) -> Self {
        Conformance {
            make: Arc::new(move || make().into()),
            ended: None,
            ends_with_last_handle: false,
            isolated: false,
            patience: Duration::from_secs(20),
        }
    }

    /// Leaves out the checks in which other threads wake what waits for them: a simulation knows of no such threads.
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// Also checks what becomes of tasks when the last handle to the runtime is dropped. `make` must make a new one then.
    pub fn ends_with_last_handle(mut self) -> Self {
        self.ends_with_last_handle = true;
        self
    }

    /// Also checks what becomes of tasks, and of scopes elsewhere, when the runtime ends while there are handles to it.
    ///
    /// `make` makes a new runtime, and what ends it.
    pub fn ended_by<H, E>(mut self, make: impl Fn() -> (H, E) + Send + Sync + 'static) -> Self
    where
        H: Into<Handle>,
        E: FnOnce() + Send + 'static,
    {
        self.ended = Some(Arc::new(move || {
            let (handle, end) = make();
            (handle.into(), Box::new(end))
        }));
        self
    }

    /// How long a check may take by the wall clock before it counts as one that hangs; 20 seconds unless told otherwise.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs all checks that apply, and returns those that failed.
    pub fn failures(&self) -> Vec<Failure> {
        checks().filter_map(|check| check.run(self).err()).collect()
    }

    /// Runs all checks that apply.
    ///
    /// # Panics
    ///
    /// When one fails, with the list of all that failed.
    #[track_caller]
    pub fn run(&self) {
        let failures = self.failures();
        if !failures.is_empty() {
            let total = checks().filter(|check| check.applies_to(self)).count();
            let list: String = failures.iter().map(|failure| format!("\n  {failure}")).collect();
            panic!("{} of {total} conformance checks failed:{list}", failures.len());
        }
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("ended", &self.ended.is_some())
            .field("ends_with_last_handle", &self.ends_with_last_handle)
            .field("isolated", &self.isolated)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// A check that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    check: &'static Check,
    what: String,
}

impl Failure {
    /// The check.
    pub fn check(&self) -> &'static Check {
        self.check
    }

    /// What was seen.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.check.name, self.check.clause, self.what)
    }
}

impl std::error::Error for Failure {}
