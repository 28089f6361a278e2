//! Why a batch has no results.

use std::fmt;
use std::sync::Arc;

use crate::cancel::Reason;
use crate::future::catch_panic::Panicked;

/// The error of [`Batcher::run`](super::Batcher::run): the batch has no results. All callers of the
/// batch get it.
pub struct BatchError<E> {
    cause: BatchCause<E>,
}

pub(super) enum BatchCause<E> {
    Failed(Arc<E>),
    Miscounted { items: usize, results: usize },
    Panicked(Arc<Panicked>),
    Cancelled(Arc<Reason>),
}

impl<E> BatchError<E> {
    pub(super) fn new(cause: BatchCause<E>) -> Self {
        BatchError { cause }
    }

    /// Returns the error that the worker returned, if it did.
    pub fn error(&self) -> Option<&E> {
        if let BatchCause::Failed(error) = &self.cause { Some(error) } else { None }
    }

    /// Returns whether the worker did not return as many results as there were items.
    pub fn is_miscounted(&self) -> bool {
        matches!(self.cause, BatchCause::Miscounted { .. })
    }

    /// Returns whether the worker panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(self.cause, BatchCause::Panicked(_))
    }

    /// Returns whether the work was cancelled, or its scope refused it.
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// Returns why the work was cancelled, if it was.
    pub fn reason(&self) -> Option<&Reason> {
        if let BatchCause::Cancelled(reason) = &self.cause { Some(reason) } else { None }
    }
}

impl<E> Clone for BatchError<E> {
    fn clone(&self) -> Self {
        let cause = match &self.cause {
            BatchCause::Failed(error) => BatchCause::Failed(error.clone()),
            BatchCause::Miscounted { items, results } => BatchCause::Miscounted { items: *items, results: *results },
            BatchCause::Panicked(panicked) => BatchCause::Panicked(panicked.clone()),
            BatchCause::Cancelled(reason) => BatchCause::Cancelled(reason.clone()),
        };
        BatchError { cause }
    }
}

impl<E: fmt::Debug> fmt::Debug for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause: &dyn fmt::Debug = match &self.cause {
            BatchCause::Failed(error) => error,
            BatchCause::Miscounted { items, results } => {
                return write!(f, "BatchError({results} results for {items} items)");
            }
            BatchCause::Panicked(panicked) => panicked,
            BatchCause::Cancelled(reason) => reason,
        };
        f.debug_tuple("BatchError").field(cause).finish()
    }
}

impl<E: fmt::Display> fmt::Display for BatchError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            BatchCause::Failed(error) => write!(f, "the batch has failed: {error}"),
            BatchCause::Miscounted { items, results } => {
                write!(f, "the worker returned {results} results for a batch of {items}; return one for each item")
            }
            BatchCause::Panicked(panicked) => write!(f, "the work on the batch {panicked}"),
            BatchCause::Cancelled(reason) => write!(f, "the batch was cancelled: {reason}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for BatchError<E> {
    // The message contains that of the error. So the source is what lies behind the error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error().and_then(std::error::Error::source)
    }
}
