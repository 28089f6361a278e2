//! Finds out whether a thread runs a task of an executor that cannot be asked. The tasks of such an
//! executor note it on their thread while they are polled.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_task::FutureObj;

use crate::panic::Contained;
use crate::runtime::RunError;

thread_local! {
    /// The executor whose task is being polled on this thread.
    static RUNNING: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// A task that notes its executor on the thread while it is polled.
pub(super) struct NotedTask {
    of: &'static str,
    future: Contained,
}

impl NotedTask {
    pub(super) fn new(of: &'static str, future: FutureObj<'static, ()>) -> Self {
        NotedTask { of, future: Contained::new(future) }
    }
}

impl Future for NotedTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = RUNNING.replace(Some(self.of));
        // `Contained` never panics, so the value is always set back.
        let poll = Pin::new(&mut self.future).poll(cx);
        RUNNING.set(before);
        poll
    }
}

/// Returns an error on a thread that runs a task of `executor`. It would block what it waits for.
pub(super) fn may_block(executor: &str) -> Result<(), RunError> {
    if RUNNING.get() != Some(executor) {
        return Ok(());
    }
    Err(RunError::new(format!(
        "this thread runs async code of {executor}'s and must not block: await the future, in `enter`"
    )))
}
