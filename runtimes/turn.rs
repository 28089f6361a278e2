//! Which threads run tasks of an executor that cannot be asked: those on which one of its tasks has its
//! turn.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_task::FutureObj;

use crate::contain::Contained;
use crate::runtime::RunError;

thread_local! {
    /// Whose task has its turn on this thread.
    static TURN: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// A task that notes on its thread, while it is polled, whose it is.
pub(super) struct Turn {
    of: &'static str,
    future: Contained,
}

impl Turn {
    pub(super) fn new(of: &'static str, future: FutureObj<'static, ()>) -> Self {
        Turn { of, future: Contained::new(future) }
    }
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = TURN.replace(Some(self.of));
        // It never panics.
        let poll = Pin::new(&mut self.future).poll(cx);
        TURN.set(before);
        poll
    }
}

/// Fails on a thread that runs a task of `executor`, and that would block what it waits for.
pub(super) fn may_block(executor: &str) -> Result<(), RunError> {
    if TURN.get() != Some(executor) {
        return Ok(());
    }
    Err(RunError::new(format!(
        "this thread runs async code of {executor}'s and must not block: await the future, in `enter`"
    )))
}
