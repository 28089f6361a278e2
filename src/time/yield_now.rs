//! Gives others a turn.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::trace::tree;

/// Yields once, so that the other children and the executor get a turn.
///
/// Call it in a loop that computes for long between two waits. Otherwise the others starve
/// meanwhile, and an enclosing timeout cannot end the loop. The counterpart of `asyncio.sleep(0)`,
/// Trio's `checkpoint` and `tokio::task::yield_now`.
///
/// # Cancellation
///
/// A cancelled child ends here.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{scope, yield_now};
///
/// let turns = std::sync::Mutex::new(String::new());
/// let turns = &turns;
/// scope(async |s| {
///     for name in ["a", "b"] {
///         s.spawn(async move {
///             for _ in 0..3 {
///                 turns.lock().unwrap().push_str(name);
///                 yield_now().await;
///             }
///         });
///     }
/// }).await;
/// let turns = turns.lock().unwrap();
/// assert_eq!(turns.len(), 6);
/// assert!(!turns.contains("aaa") && !turns.contains("bbb"), "they take turns: {turns}");
/// # });
/// ```
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
