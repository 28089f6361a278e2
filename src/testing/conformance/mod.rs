//! Checks whether an adapter keeps what foster relies on.
//!
//! If you [write an adapter](crate::runtime), this runs the whole contract against it in one line,
//! and names the clauses that it breaks:
//!
//! ```
//! # fn my_runtime() -> foster::Handle { foster::runtimes::Basic::current_thread().into() }
//! # #[cfg(feature = "basic")]
//! foster::testing::conformance::run(|| my_runtime());
//! ```
//!
//! Some checks need more than a handle, and run only if you ask for them; see [`Conformance`]. Each
//! check has a thread and a runtime of its own, and a watchdog that goes by the wall clock. So a
//! runtime that loses a wake-up fails, and does not hang the test. The thread is then left behind.
//!
//! # The clauses
//!
//! A failure names the clause that is broken. Those with a number are promises to the users of
//! scopes. The others are named by the trait that they belong to.
//!
//! | clause | promise |
//! |---|---|
//! | S1 | A scope completes when its body and all that was started in it have completed or were dropped, wherever that ran. |
//! | S2 | In a `try_scope` the first error cancels the rest, and is returned when the rest has ended. |
//! | S3 | A panic of a child is resumed in the caller when the rest has ended. It ends no other task, and no thread of a runtime. |
//! | S4 | What foster cancels has the time that its cleanup takes. When other code drops a scope, what is `'static` passes to the enclosing scope. |
//! | S5 | What is spawned into a scope that is cancelled or has completed is dropped unpolled. |
//! | S6 | The scope owns its children. To drop a task changes nothing, and `Task::cancel` ends that child alone. |
//! | S7 | A cancellation has one reason, which is that of its first cause. |
//! | S8 | `Scope::stop` asks through the token, and cancels what is left after its grace. |
//! | S9 | A shield that has begun is dropped by no cancellation. An adopted future that has begun is finished by the enclosing scope, also if other code drops it. |
//! | S10 | Timers fire, and none fires early. A child sees the earliest of the enclosing deadlines. |
//! | S11 | A task that is always ready starves nobody. |
//! | S12 | Every wake-up leads to a poll, from whatever thread it comes. A future is woken by the waker of its latest poll. |
//! | S13 | A runtime that ends, or refuses a task, drops it. A child is cancelled by `Shutdown`, and nobody hangs. |
//!
//! S7 depends on no runtime, so no check is about it. [`cancel`](crate::cancel) explains S4 and S7
//! to S9.

/// The table of a module's checks. The name of each check is that of its function.
macro_rules! table {
    ($($kind:ident $check:ident: $clause:literal,)*) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check::new(stringify!($check), $clause, super::Subject::$kind($check))),*];
    };
}

mod blocking;
mod clock;
#[cfg(feature = "net")]
mod datagrams;
mod ending;
#[cfg(feature = "net")]
mod network;
mod scopes;
mod tasks;
mod threads;
mod watchdog;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::watchdog::park_on;
use crate::runtime::Handle;

/// Runs every check that needs only a handle. `make` makes a new runtime for each.
///
/// # Panics
///
/// Panics if a check fails. The message lists all that failed, with their names, the clauses that
/// are broken, and what was seen.
///
/// ```
/// # #[cfg(feature = "tokio")]
/// foster::testing::conformance::run(|| foster::runtimes::Tokio::multi_thread(2).unwrap());
/// ```
#[track_caller]
pub fn run<H: Into<Handle>>(make: impl Fn() -> H + Send + Sync + 'static) {
    Conformance::of(make).run();
}

/// Runs every check of a network: the sockets of the runtime that `make` makes.
///
/// They use TCP on the loopback address, on ports that the network chooses, and UDP if the network
/// has it. Checks of the runtime itself are those of [`run`].
///
/// # Panics
///
/// As for [`run`].
///
/// ```
/// # #[cfg(feature = "smol")]
/// foster::testing::conformance::network(foster::runtimes::Smol::global);
/// ```
#[cfg(feature = "net")]
#[track_caller]
pub fn network<H: Into<Handle>>(make: impl Fn() -> H + Send + Sync + 'static) {
    let conformance = Conformance::of(make).with_network();
    conformance.run_checks(|check| matches!(check.subject, Subject::Network(_)));
}

/// The checks of a network.
#[cfg(not(feature = "net"))]
mod network {
    pub(super) const CHECKS: &[super::Check] = &[];
}

/// The checks of a network that has datagrams.
#[cfg(not(feature = "net"))]
mod datagrams {
    pub(super) const CHECKS: &[super::Check] = &[];
}

/// Returns all checks, in the order in which they are run.
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
    let runtime = [tasks::CHECKS, clock::CHECKS, blocking::CHECKS, scopes::CHECKS, threads::CHECKS, ending::CHECKS];
    runtime.into_iter().chain([network::CHECKS, datagrams::CHECKS]).flatten()
}

/// A check: its name, the clause that it checks, and how to run it.
#[derive(Debug)]
pub struct Check {
    name: &'static str,
    clause: &'static str,
    subject: Subject,
}

/// What a check is given.
#[derive(Clone, Copy, Debug)]
enum Subject {
    /// A handle to a runtime.
    Handle(fn(&Handle)),
    /// A handle to a runtime that other threads can wake while somebody blocks on it.
    Open(fn(&Handle)),
    /// A handle to a runtime that has a network.
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    Network(fn(&Handle)),
    /// The last handle to a runtime that ends with it.
    LastHandle(fn(Handle)),
    /// A handle to a runtime, and the function that ends it.
    Ended(fn(Handle, End)),
}

type End = Box<dyn FnOnce() + Send>;
type Make<T> = Arc<dyn Fn() -> T + Send + Sync>;

impl Check {
    const fn new(name: &'static str, clause: &'static str, subject: Subject) -> Self {
        Check { name, clause, subject }
    }

    /// Returns the name of the check, which says what a good runtime does.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the clause that is broken if the check fails.
    pub fn clause(&self) -> &'static str {
        self.clause
    }

    /// Returns whether the check can run on the runtime that `conformance` describes.
    pub fn applies_to(&self, conformance: &Conformance) -> bool {
        match self.subject {
            Subject::Handle(_) => true,
            Subject::Open(_) => !conformance.isolated,
            Subject::Network(_) => conformance.network,
            Subject::LastHandle(_) => conformance.ends_with_last_handle,
            Subject::Ended(_) => conformance.ended.is_some(),
        }
    }

    /// Runs the check on a thread of its own. A check that does not [apply](Check::applies_to)
    /// succeeds.
    ///
    /// # Errors
    ///
    /// Returns what was seen that should not be, or that the check hangs.
    pub fn run(&'static self, conformance: &Conformance) -> Result<(), Failure> {
        if !self.applies_to(conformance) {
            return Ok(());
        }
        let (make, ended, subject) = (conformance.make.clone(), conformance.ended.clone(), self.subject);
        let run = move || match (subject, ended) {
            (Subject::Handle(check) | Subject::Open(check) | Subject::Network(check), _) => check(&make()),
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

/// Describes a runtime, and so which checks apply to it.
///
/// ```
/// use foster::testing::conformance::Conformance;
///
/// # #[cfg(feature = "tokio")] {
/// use foster::runtimes::Tokio;
///
/// // A runtime that is dropped from outside, while there are handles to it.
/// let ended = || {
///     let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
///     let handle = { let _entered = runtime.enter(); Tokio::current() };
///     (handle, move || drop(runtime))
/// };
/// let made = Conformance::of(|| Tokio::current_thread().unwrap());
/// made.ends_with_last_handle().ended_by(ended).run();
/// # }
/// ```
#[derive(Clone)]
#[must_use = "it does nothing until it is run"]
pub struct Conformance {
    make: Make<Handle>,
    ended: Option<Make<(Handle, End)>>,
    ends_with_last_handle: bool,
    isolated: bool,
    network: bool,
    patience: Duration,
}

impl Conformance {
    /// Describes the runtime that `make` makes.
    ///
    /// `make` may make a new runtime for each check, or return handles to one that goes on.
    pub fn of<H: Into<Handle>>(make: impl Fn() -> H + Send + Sync + 'static) -> Self {
        Conformance {
            make: Arc::new(move || make().into()),
            ended: None,
            ends_with_last_handle: false,
            isolated: false,
            network: false,
            patience: Duration::from_secs(20),
        }
    }

    /// Leaves out the checks in which other threads wake tasks, because a simulation has no such
    /// threads.
    pub fn isolated(mut self) -> Self {
        self.isolated = true;
        self
    }

    /// Also checks the sockets of the runtime, as [`network`](network()) does.
    #[cfg(feature = "net")]
    pub fn with_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Also checks what happens to tasks when the last handle is dropped.
    ///
    /// `make` must then make a new runtime each time.
    pub fn ends_with_last_handle(mut self) -> Self {
        self.ends_with_last_handle = true;
        self
    }

    /// Also checks what happens to tasks, and to scopes elsewhere, when a runtime ends that has
    /// handles.
    ///
    /// `make` returns a handle to a new runtime, and a function that ends it.
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

    /// Sets how long a check may take by the wall clock before it fails. The default is 20 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Runs all checks that apply, and returns those that failed.
    pub fn failures(&self) -> Vec<Failure> {
        self.applicable().filter_map(|check| check.run(self).err()).collect()
    }

    /// Runs all checks that apply.
    ///
    /// # Panics
    ///
    /// Panics if a check fails, with the list of all that failed.
    #[track_caller]
    pub fn run(&self) {
        self.run_checks(|_| true);
    }

    fn applicable(&self) -> impl Iterator<Item = &'static Check> {
        checks().filter(|check| check.applies_to(self))
    }

    /// Runs the checks that apply and that `chosen` chooses.
    #[track_caller]
    fn run_checks(&self, chosen: impl Fn(&Check) -> bool) {
        let checks: Vec<_> = self.applicable().filter(|check| chosen(check)).collect();
        let failures: Vec<_> = checks.iter().filter_map(|check| check.run(self).err()).collect();
        if !failures.is_empty() {
            let list: String = failures.iter().map(|failure| format!("\n  {failure}")).collect();
            panic!("{} of {} conformance checks failed:{list}", failures.len(), checks.len());
        }
    }
}

impl fmt::Debug for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("ended", &self.ended.is_some())
            .field("ends_with_last_handle", &self.ends_with_last_handle)
            .field("isolated", &self.isolated)
            .field("network", &self.network)
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
    /// Returns the check.
    pub fn check(&self) -> &'static Check {
        self.check
    }

    /// Returns what was seen.
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
