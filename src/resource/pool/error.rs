//! Why there is no resource.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::future::Panicked;

/// The error of [`Pool::get`](super::Pool::get): there is no resource.
pub struct GetError<E> {
    pub(super) cause: GetCause<E>,
}

/// Why there is none. Everyone who waited gets a clone.
pub(super) enum GetCause<E> {
    /// The pool was closed.
    Closed,
    /// The scope of the pool was cancelled or has completed.
    ScopeEnded,
    Failed(Arc<E>),
    Panicked(Arc<Panicked>),
    /// The creation took too long.
    TimedOut,
}

impl<E> GetError<E> {
    /// Returns true if the pool is closed, or its scope has ended. It will not give out resources
    /// again.
    pub fn is_closed(&self) -> bool {
        matches!(self.cause, GetCause::Closed | GetCause::ScopeEnded)
    }

    /// Returns true if the creation of a resource took longer than
    /// [allowed](super::PoolOptions::create_timeout).
    pub fn is_timed_out(&self) -> bool {
        matches!(self.cause, GetCause::TimedOut)
    }

    /// Returns true if [`create`](super::Manager::create) panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(self.cause, GetCause::Panicked(_))
    }

    /// Returns the error of [`create`](super::Manager::create), if that is the cause.
    ///
    /// All who waited for the same resource get the same error.
    pub fn error(&self) -> Option<&E> {
        match &self.cause {
            GetCause::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> Clone for GetCause<E> {
    fn clone(&self) -> Self {
        match self {
            GetCause::Closed => GetCause::Closed,
            GetCause::ScopeEnded => GetCause::ScopeEnded,
            GetCause::Failed(error) => GetCause::Failed(error.clone()),
            GetCause::Panicked(panicked) => GetCause::Panicked(panicked.clone()),
            GetCause::TimedOut => GetCause::TimedOut,
        }
    }
}

impl<E> Clone for GetError<E> {
    fn clone(&self) -> Self {
        GetError { cause: self.cause.clone() }
    }
}

impl<E: fmt::Debug> fmt::Debug for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause: &dyn fmt::Debug = match &self.cause {
            GetCause::Closed => &"closed",
            GetCause::ScopeEnded => &"scope ended",
            GetCause::Failed(error) => error,
            GetCause::Panicked(panicked) => panicked,
            GetCause::TimedOut => &"timed out",
        };
        f.debug_tuple("GetError").field(cause).finish()
    }
}

impl<E: fmt::Display> fmt::Display for GetError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            GetCause::Closed => f.write_str("the pool is closed"),
            GetCause::ScopeEnded => f.write_str("the scope of the pool has ended; create the pool in one that lasts"),
            GetCause::Failed(error) => write!(f, "no resource could be created: {error}"),
            GetCause::Panicked(panicked) => write!(f, "no resource could be created: the manager {panicked}"),
            GetCause::TimedOut => f.write_str("no resource could be created within the time allowed for it"),
        }
    }
}

impl<E: Error + 'static> Error for GetError<E> {
    // The message contains that of the error. So the source is what lies behind the error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error().and_then(Error::source)
    }
}

/// The error of [`Pool::try_get`](super::Pool::try_get): no resource is available at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryGetError {
    pub(super) is_closed: bool,
}

impl TryGetError {
    /// Returns true if the pool is closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}

impl fmt::Display for TryGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_closed {
            "the pool is closed"
        } else {
            "no resource is available at once; `get` waits for one"
        })
    }
}

impl Error for TryGetError {}
