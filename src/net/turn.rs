//! The turn of one who waits for a socket.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::sync::{Lock, Mutex, MutexGuard};

/// Polls a socket when it has its turn. A socket wakes whoever polled it last, so only one polls it
/// at a time.
pub(super) struct SocketTurn<'a> {
    turns: &'a Mutex<()>,
    lock: Lock<'a, ()>,
    guard: Option<MutexGuard<'a, ()>>,
}

impl<'a> SocketTurn<'a> {
    pub(super) fn new(turns: &'a Mutex<()>) -> Self {
        SocketTurn { turns, lock: turns.lock(), guard: None }
    }

    /// Waits for the turn, and calls `poll`. Keeps the turn until this is dropped.
    ///
    /// In a cancelled region, where nobody waits, the turn is given back if `poll` is pending.
    pub(super) fn poll<T>(&mut self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if self.guard.is_none() {
            self.guard = Some(ready!(Pin::new(&mut self.lock).poll(cx)));
        }
        let polled = poll(cx);
        if polled.is_pending() && super::is_tripped() {
            *self = SocketTurn::new(self.turns);
        }
        polled
    }
}
