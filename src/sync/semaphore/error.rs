//! Why a semaphore gave nothing, or took nothing.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    Closed,
    TooMany,
    NoPermits,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unavailable::Closed => "the semaphore is closed",
            Unavailable::TooMany => "the semaphore does not have so many permits; ask for fewer, or add some",
            Unavailable::NoPermits => "there are not enough free permits now",
        })
    }
}

/// Tells why a [`Semaphore`](super::Semaphore) gave no permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireError {
    pub(super) kind: Unavailable,
}

impl AcquireError {
    /// Returns whether the semaphore is closed.
    pub fn is_closed(&self) -> bool {
        self.kind == Unavailable::Closed
    }

    /// Returns whether more permits were asked for than the semaphore has.
    pub fn is_too_many(&self) -> bool {
        self.kind == Unavailable::TooMany
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for AcquireError {}

/// Tells why a [`Semaphore`](super::Semaphore) gave no permits without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryAcquireError {
    pub(super) kind: Unavailable,
}

impl TryAcquireError {
    /// Returns whether there were too few free permits, or others were waiting. Later there may be
    /// enough.
    pub fn is_no_permits(&self) -> bool {
        self.kind == Unavailable::NoPermits
    }

    /// Returns whether the semaphore is closed.
    pub fn is_closed(&self) -> bool {
        self.kind == Unavailable::Closed
    }

    /// Returns whether more permits were asked for than the semaphore has.
    pub fn is_too_many(&self) -> bool {
        self.kind == Unavailable::TooMany
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for TryAcquireError {}

/// Tells that permits were added to a [`Semaphore`](super::Semaphore) that would then have had too
/// many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddError {
    pub(super) bound: usize,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the semaphore can have at most {} permits; add those that were forgotten", self.bound)
    }
}

impl std::error::Error for AddError {}
