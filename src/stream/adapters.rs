//! Gives streams an end, a state or a pace.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::cancel::token::{Token, TokenListener};

pin_project! {
    /// The stream of [`take_until_cancelled`](super::StreamExt::take_until_cancelled).
    #[must_use = "streams do nothing unless polled"]
    pub struct TakeUntilCancelled<S> {
        // `None` once it has ended.
        #[pin]
        stream: Option<S>,
        listener: TokenListener,
    }
}

impl<S> TakeUntilCancelled<S> {
    pub(super) fn new(stream: S, token: &Token) -> Self {
        TakeUntilCancelled { stream: Some(stream), listener: TokenListener::new(token.clone()) }
    }
}

impl<S: Stream> Stream for TakeUntilCancelled<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        // First the registration, then the look, so that no cancellation falls between them.
        this.listener.listen(cx.waker());
        if this.listener.token().is_cancelled() {
            this.stream.set(None);
        }
        let Some(stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let item = ready!(stream.poll_next(cx));
        if item.is_none() {
            this.stream.set(None);
        }
        Poll::Ready(item)
    }
}

impl<S: Stream> FusedStream for TakeUntilCancelled<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_none()
    }
}

impl<S> fmt::Debug for TakeUntilCancelled<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakeUntilCancelled").field("token", self.listener.token()).finish_non_exhaustive()
    }
}

pin_project! {
    /// The stream of [`map_with`](super::StreamExt::map_with).
    #[must_use = "streams do nothing unless polled"]
    pub struct MapWith<S, St, F> {
        // `None` once it has ended.
        #[pin]
        stream: Option<S>,
        state: St,
        f: F,
    }
}

impl<S, St, F> MapWith<S, St, F> {
    pub(super) fn new(stream: S, state: St, f: F) -> Self {
        MapWith { stream: Some(stream), state, f }
    }
}

impl<S, St, F, T> Stream for MapWith<S, St, F>
where
    S: Stream,
    F: FnMut(&mut St, S::Item) -> Option<T>,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let value = ready!(stream.poll_next(cx)).and_then(|item| (this.f)(this.state, item));
        if value.is_none() {
            this.stream.set(None);
        }
        Poll::Ready(value)
    }
}

impl<S, St, F, T> FusedStream for MapWith<S, St, F>
where
    S: Stream,
    F: FnMut(&mut St, S::Item) -> Option<T>,
{
    fn is_terminated(&self) -> bool {
        self.stream.is_none()
    }
}

impl<S, St, F> fmt::Debug for MapWith<S, St, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapWith").finish_non_exhaustive()
    }
}

pin_project! {
    /// The stream of [`paced_by`](super::StreamExt::paced_by).
    #[must_use = "streams do nothing unless polled"]
    pub struct PacedBy<S, F, Fut> {
        #[pin]
        stream: S,
        permit: F,
        // The permit that is awaited.
        #[pin]
        waiting: Option<Fut>,
        // Whether there is a permit for the next item.
        permitted: bool,
    }
}

impl<S, F, Fut> PacedBy<S, F, Fut> {
    pub(super) fn new(stream: S, permit: F) -> Self {
        PacedBy { stream, permit, waiting: None, permitted: false }
    }
}

impl<S, F, Fut> Stream for PacedBy<S, F, Fut>
where
    S: Stream,
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        if !*this.permitted {
            if this.waiting.is_none() {
                this.waiting.set(Some((this.permit)()));
            }
            if let Some(waiting) = this.waiting.as_mut().as_pin_mut() {
                ready!(waiting.poll(cx));
            }
            this.waiting.set(None);
            *this.permitted = true;
        }
        let item = ready!(this.stream.poll_next(cx));
        *this.permitted = false;
        Poll::Ready(item)
    }
}

impl<S, F, Fut> FusedStream for PacedBy<S, F, Fut>
where
    S: FusedStream,
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

impl<S, F, Fut> fmt::Debug for PacedBy<S, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedBy").finish_non_exhaustive()
    }
}
