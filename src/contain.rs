//! Keeps the panics of other people's code inside the task or the job that panicked.
//!
//! foster's own tasks never panic. But an adapter also runs what others pass to it, and the
//! executor's threads must survive all of that. The payload is dropped, because the panic hook has
//! already reported it.

use crate::panic::{catch, discard};

/// Runs `work`. A panic ends the work, and nothing else.
pub(crate) fn contain(work: impl FnOnce()) {
    discard(catch(work));
}

#[cfg(any(feature = "smol", feature = "async-std", feature = "basic", feature = "sim"))]
pub(crate) use future::Contained;

#[cfg(any(feature = "smol", feature = "async-std", feature = "basic", feature = "sim"))]
mod future {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_task::FutureObj;

    use super::contain;

    /// Wraps a spawned future whose panic ends only that future. It is dropped as soon as it
    /// completes.
    pub(crate) struct Contained {
        future: Option<FutureObj<'static, ()>>,
    }

    impl Contained {
        pub(crate) fn new(future: FutureObj<'static, ()>) -> Self {
            Contained { future: Some(future) }
        }

        /// Drops the future. Its destructor may panic, too.
        fn end(&mut self) {
            if let Some(future) = self.future.take() {
                contain(|| drop(future));
            }
        }
    }

    impl Future for Contained {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let mut poll = Poll::Ready(());
            if let Some(future) = &mut self.future {
                contain(|| poll = Pin::new(future).poll(cx));
            }
            if poll.is_ready() {
                self.end();
            }
            poll
        }
    }

    impl Drop for Contained {
        fn drop(&mut self) {
            self.end();
        }
    }
}
