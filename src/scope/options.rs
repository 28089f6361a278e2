//! Defines a scope's options, and what a scope reports and ends with.

use std::sync::Arc;
use std::time::Duration;

use crate::cancel::reason::{Cancelled, Reason};
use crate::name::Name;

/// A report of something that is not part of a scope's result.
///
/// [`ScopeFuture::observe`](super::ScopeFuture::observe) and
/// [`TryScopeFuture::observe`](super::TryScopeFuture::observe) register a callback for notices.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<E> {
    /// A child or a finalizer failed, and the scope does not return its error, because there was an
    /// earlier error or a panic, or because the scope's future was dropped.
    LateError {
        /// The name of the child or the finalizer, or of the scope if its body failed.
        task: Name,
        /// The error.
        error: E,
    },
    /// A child or a finalizer did not end within the grace, and was dropped.
    Overrun {
        /// The name of the child or the finalizer, or of the scope if its body did not end. A
        /// finalizer without a name has the file and line of its `defer`.
        task: Name,
    },
}

/// A callback for [`Notice`]s.
pub(super) type Observer<E> = Box<dyn FnMut(Notice<E>) + Send>;

/// The options of a scope, which its future's builder methods set.
pub(super) struct Policy<E> {
    pub(super) name: Name,
    /// Bounds each step of a wind-down. `None` waits for as long as it takes.
    pub(super) grace: Option<Duration>,
    /// Bounds the wait of a root for what is left when its body has completed. Scopes have `None`.
    pub(super) linger: Option<Duration>,
    /// Whether the other children run on when one of them fails.
    pub(super) keep_going: bool,
    pub(super) observer: Option<Observer<E>>,
}

/// What a scope ended with. Its future makes its output of this.
pub(super) struct End<T, E> {
    /// The body's value, or `None` if the body failed, or was cancelled before it had a value.
    pub(super) output: Option<T>,
    /// All errors, in the order in which they happened.
    pub(super) errors: Vec<(Name, E)>,
    /// Why the scope was cancelled, if it was.
    pub(super) reason: Option<Arc<Reason>>,
}

/// Makes the error of a scope that has no output.
pub(super) fn cancelled(reason: Option<Arc<Reason>>) -> Cancelled {
    Cancelled::new(reason.unwrap_or_else(|| Arc::new(Reason::Parent)))
}
