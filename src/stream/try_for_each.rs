//! Running a future that may fail for each item.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::feed::Feed;
use crate::cancel::Regions;

pin_project! {
    /// The future of [`try_for_each_concurrent`](super::ConcurrentIterator::try_for_each_concurrent).
    #[must_use = "futures do nothing unless polled"]
    pub struct TryForEachConcurrent<S, F, Fut, E> {
        #[pin]
        feed: Feed<S, F>,
        running: Regions<Fut>,
        error: Option<E>,
    }
}

impl<S, F, Fut, E> TryForEachConcurrent<S, F, Fut, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    pub(super) fn new(feed: Feed<S, F>) -> Self {
        TryForEachConcurrent { feed, running: Regions::new(), error: None }
    }
}

impl<S, F, Fut, E> Future for TryForEachConcurrent<S, F, Fut, E>
where
    S: Stream,
    F: FnMut(S::Item) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let mut this = self.project();
        loop {
            let running = this.running.len();
            this.feed.as_mut().fill(running, cx, |future| {
                this.running.insert(future);
            });
            match this.running.poll_next(cx) {
                Poll::Ready(Some((_, Ok(())))) => {}
                Poll::Ready(Some((_, Err(error)))) => {
                    if this.error.is_none() {
                        *this.error = Some(error);
                        this.feed.as_mut().close();
                        this.running.cancel();
                    }
                }
                Poll::Ready(None) if this.feed.is_exhausted() => {
                    return Poll::Ready(this.error.take().map_or(Ok(()), Err));
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S, F, Fut, E> fmt::Debug for TryForEachConcurrent<S, F, Fut, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryForEachConcurrent").field("running", &self.running.len()).finish_non_exhaustive()
    }
}
