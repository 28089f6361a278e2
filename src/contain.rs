//! Keeps the panics of other people's code from going further than the task or job that panicked.
//!
//! foster's own tasks never panic, but an adapter also runs what others hand to it, and an executor's thread must
//! outlive all of that. The payload is dropped: the panic hook has told of it by then.

use crate::panic::{catch, discard};

/// Runs `work`; a panic ends it and nothing else.
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

    /// A spawned future whose panic is its end. It is dropped as soon as it is over.
    pub(crate) struct Contained {
        future: Option<FutureObj<'static, ()>>,
    }

    impl Contained {
        pub(crate) fn new(future: FutureObj<'static, ()>) -> Self {
            Contained { future: Some(future) }
        }

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
