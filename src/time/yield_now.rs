//! Giving others a turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::tree;

/// Gives the other children, and the executor, one turn.
///
/// The counterpart of `asyncio.sleep(0)`, Trio's `checkpoint` and `tokio::task::yield_now`.
///
/// # Cancellation
///
/// A point at which a cancelled child ends.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        tree::waiting(|| "yield".into());
        Poll::Pending
    }
}
