//! The errors of queues. Those of sending hand the item back.

use std::error::Error;
use std::fmt;

use super::state::Refused;

const CLOSED: &str = "the queue is closed";

/// Tells that an item was not sent because the queue is closed, or has no receiver any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T> {
    item: T,
}

impl<T> SendError<T> {
    pub(super) fn new(item: T) -> Self {
        SendError { item }
    }

    /// Returns the item that was not sent.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> Error for SendError<T> {}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Full => "the queue has no room now",
            Refused::Closed => CLOSED,
        })
    }
}

/// Tells why an item was not sent without waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TrySendError<T> {
    item: T,
    kind: Refused,
}

impl<T> TrySendError<T> {
    pub(super) fn full(item: T) -> Self {
        TrySendError { item, kind: Refused::Full }
    }

    pub(super) fn closed(item: T) -> Self {
        TrySendError { item, kind: Refused::Closed }
    }

    /// Returns whether there was no room. Later there may be some.
    pub fn is_full(&self) -> bool {
        self.kind == Refused::Full
    }

    /// Returns whether the queue is closed, or has no receiver any more.
    pub fn is_closed(&self) -> bool {
        self.kind == Refused::Closed
    }

    /// Returns the item that was not sent.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrySendError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl<T> Error for TrySendError<T> {}

/// Tells that a [`Sender`](super::Sender), used as a `Sink`, is of a queue that is closed or has no
/// receiver any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SinkError<T> {
    item: Option<T>,
}

impl<T> SinkError<T> {
    pub(super) fn new(item: Option<T>) -> Self {
        SinkError { item }
    }

    /// Returns the item, if one was to be sent.
    pub fn into_inner(self) -> Option<T> {
        self.item
    }
}

impl<T> fmt::Debug for SinkError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkError").finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SinkError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl<T> Error for SinkError<T> {}

/// Tells that no place was reserved because the queue is closed, or has no receiver any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReserveError {
    _private: (),
}

impl ReserveError {
    pub(super) fn new() -> Self {
        ReserveError { _private: () }
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CLOSED)
    }
}

impl Error for ReserveError {}

/// Tells why no place was reserved without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryReserveError {
    kind: Refused,
}

impl TryReserveError {
    pub(super) fn full() -> Self {
        TryReserveError { kind: Refused::Full }
    }

    pub(super) fn closed() -> Self {
        TryReserveError { kind: Refused::Closed }
    }

    /// Returns whether there was no room. Later there may be some.
    pub fn is_full(&self) -> bool {
        self.kind == Refused::Full
    }

    /// Returns whether the queue is closed, or has no receiver any more.
    pub fn is_closed(&self) -> bool {
        self.kind == Refused::Closed
    }
}

impl fmt::Display for TryReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for TryReserveError {}

/// Tells why no item was received without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryRecvError {
    has_ended: bool,
}

impl TryRecvError {
    pub(super) fn new(has_ended: bool) -> Self {
        TryRecvError { has_ended }
    }

    /// Returns whether there was no item for a newcomer. Later there may be some.
    pub fn is_empty(&self) -> bool {
        !self.has_ended
    }

    /// Returns whether the queue is closed and there is nothing left in it.
    pub fn is_closed(&self) -> bool {
        self.has_ended
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.has_ended {
            "the queue is closed, and nothing is left in it"
        } else {
            "there is no item now"
        })
    }
}

impl Error for TryRecvError {}
