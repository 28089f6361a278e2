//! How a scope is set up, and what it tells.

use std::sync::Arc;
use std::time::Duration;

use crate::name::Name;
use crate::token::{Cancelled, Reason};

/// Something a scope met with that is not part of its result.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<E> {
    /// A child failed, and the scope does not return its error: there was an earlier one, or a panic, or the scope was
    /// dropped.
    LateError {
        /// The child.
        task: Name,
        /// Its error.
        error: E,
    },
    /// A child or a finalizer did not end within the grace, and was dropped.
    Overrun {
        /// Its name: a finalizer's is the file and line of its `defer`.
        task: Name,
    },
}

/// Is told of [`Event`]s.
pub(super) type Observer<E> = Box<dyn FnMut(Event<E>) + Send>;

/// How a scope was set up.
pub(super) struct Policy<E> {
    pub(super) name: Name,
    /// Bounds each step of a wind-down.
    pub(super) grace: Option<Duration>,
    /// Bounds the wait for what is left when the body of a root is over.
    pub(super) linger: Option<Duration>,
    /// Whether an error leaves the other children running.
    pub(super) keep_going: bool,
    pub(super) observer: Option<Observer<E>>,
}

/// How a scope ended.
pub(super) struct End<T, E> {
    pub(super) output: Option<T>,
    pub(super) errors: Vec<(Name, E)>,
    /// Why it was cancelled, if it was.
    pub(super) reason: Option<Arc<Reason>>,
}

/// The error of a scope that has no output.
pub(super) fn cancelled(reason: Option<Arc<Reason>>) -> Cancelled {
    Cancelled::new(reason.unwrap_or_else(|| Arc::new(Reason::Parent)))
}
