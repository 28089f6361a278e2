//! Structured concurrency for every Rust runtime: no task is orphaned.

mod blocking;
pub mod cancel;
mod contain;
mod context;
mod control;
pub mod future;
mod lane;
mod name;
mod panic;
pub mod runtime;
#[path = "../runtimes/mod.rs"]
pub mod runtimes;
mod scope;
#[allow(unsafe_code)]
mod set;
pub mod stream;
pub mod time;
mod token;
mod values;

pub use cancel::{Cancelled, Reason, Token, adopt, shield};
pub use future::{gather, try_gather};
pub use name::Name;
pub use runtime::Handle;
pub use scope::{
    AnyThread, Enter, Errors, Event, KeepGoing, Kind, Named, OneThread, Outcome, Scope, ScopeFuture, ScopeOutcome,
    Spawner, Task, TryScopeFuture, local, scope, try_scope,
};
pub use stream::{ConcurrentIterator, ConcurrentStream};
pub use time::{
    Deadline, Elapsed, Interval, MissedTick, deadline, interval, interval_at, now, remaining, sleep, sleep_until,
    timeout, timeout_at, timeout_detach, yield_now,
};
pub use values::{Inherited, Provide};
