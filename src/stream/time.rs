//! Delays, gathers or drops items by time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::source::BATCH;
use crate::time::{Elapsed, Interval, MissedTick, Sleep, interval, sleep};

/// Gives the items of `stream` to `take`, until it returns `true`, or the stream ends and is
/// dropped.
///
/// Pending means that no item is there now. After a batch of items it is pending too, and has woken
/// the task, so that the clock and the executor get their turn.
fn poll_items<S: Stream>(
    mut stream: Pin<&mut Option<S>>,
    cx: &mut Context<'_>,
    mut take: impl FnMut(S::Item) -> bool,
) -> Poll<()> {
    for _ in 0..BATCH {
        let Some(source) = stream.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        match ready!(source.poll_next(cx)) {
            Some(item) => {
                if take(item) {
                    return Poll::Ready(());
                }
            }
            None => stream.set(None),
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Polls a sleep. One that has not been set never ends.
fn poll_sleep(sleep: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    sleep.as_pin_mut().map_or(Poll::Pending, |sleep| sleep.poll(cx))
}

pin_project! {
    /// The stream of [`chunks_timeout`](super::StreamExt::chunks_timeout).
    #[must_use = "streams do nothing unless polled"]
    pub struct ChunksTimeout<S: Stream> {
        #[pin]
        stream: Option<S>,
        size: usize,
        within: Duration,
        chunk: Vec<S::Item>,
        // Since the first item of the chunk.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<S: Stream> ChunksTimeout<S> {
    #[track_caller]
    pub(super) fn new(stream: S, size: usize, within: Duration) -> Self {
        assert!(size > 0, "chunks of 0 items would never be complete; use 1 or more");
        ChunksTimeout { stream: Some(stream), size, within, chunk: Vec::new(), sleep: None }
    }
}

impl<S: Stream> Stream for ChunksTimeout<S> {
    type Item = Vec<S::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<S::Item>>> {
        let mut this = self.project();
        let items = poll_items(this.stream, cx, |item| {
            if this.chunk.is_empty() {
                this.sleep.set(Some(sleep(*this.within)));
            }
            this.chunk.push(item);
            this.chunk.len() == *this.size
        });
        if items.is_pending() {
            ready!(poll_sleep(this.sleep.as_mut(), cx));
        }
        this.sleep.set(None);
        let chunk = std::mem::take(this.chunk);
        Poll::Ready((!chunk.is_empty()).then_some(chunk))
    }
}

impl<S: Stream> FusedStream for ChunksTimeout<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_none() && self.chunk.is_empty()
    }
}

pin_project! {
    /// The stream of [`throttle`](super::StreamExt::throttle).
    #[must_use = "streams do nothing unless polled"]
    pub struct Throttle<S> {
        #[pin]
        stream: S,
        period: Duration,
        // Since the last item.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<S> Throttle<S> {
    pub(super) fn new(stream: S, period: Duration) -> Self {
        Throttle { stream, period, sleep: None }
    }
}

impl<S: Stream> Stream for Throttle<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
            this.sleep.set(None);
        }
        let item = ready!(this.stream.poll_next(cx));
        if item.is_some() {
            let mut next = sleep(*this.period);
            // A sleep counts from its first poll, so without this it would count from when the next
            // item is asked for.
            next.start();
            this.sleep.set(Some(next));
        }
        Poll::Ready(item)
    }
}

impl<S: FusedStream> FusedStream for Throttle<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

pin_project! {
    /// The stream of [`debounce`](super::StreamExt::debounce).
    #[must_use = "streams do nothing unless polled"]
    pub struct Debounce<S: Stream> {
        #[pin]
        stream: Option<S>,
        quiet: Duration,
        latest: Option<S::Item>,
        // Since the latest item.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<S: Stream> Debounce<S> {
    pub(super) fn new(stream: S, quiet: Duration) -> Self {
        Debounce { stream: Some(stream), quiet, latest: None, sleep: None }
    }
}

impl<S: Stream> Stream for Debounce<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        let items = poll_items(this.stream, cx, |item| {
            *this.latest = Some(item);
            this.sleep.set(Some(sleep(*this.quiet)));
            false
        });
        if items.is_pending() {
            ready!(poll_sleep(this.sleep.as_mut(), cx));
        }
        this.sleep.set(None);
        Poll::Ready(this.latest.take())
    }
}

impl<S: Stream> FusedStream for Debounce<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_none() && self.latest.is_none()
    }
}

pin_project! {
    /// The stream of [`sample`](super::StreamExt::sample).
    #[must_use = "streams do nothing unless polled"]
    pub struct Sample<S: Stream> {
        #[pin]
        stream: Option<S>,
        ticks: Interval,
        // Whether the first tick of `ticks` has been taken.
        started: bool,
        latest: Option<S::Item>,
    }
}

impl<S: Stream> Sample<S> {
    #[track_caller]
    pub(super) fn new(stream: S, period: Duration) -> Self {
        let ticks = interval(period).missed_tick(MissedTick::Delay);
        Sample { stream: Some(stream), ticks, started: false, latest: None }
    }
}

impl<S: Stream> Stream for Sample<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let mut this = self.project();
        if !*this.started {
            // The first tick of an interval comes at once, when there is nothing to sample yet.
            *this.started = this.ticks.poll_tick(cx).is_ready();
        }
        while poll_items(this.stream.as_mut(), cx, |item| {
            *this.latest = Some(item);
            false
        })
        .is_pending()
        {
            ready!(this.ticks.poll_tick(cx));
            if this.latest.is_some() {
                break;
            }
        }
        Poll::Ready(this.latest.take())
    }
}

impl<S: Stream> FusedStream for Sample<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_none() && self.latest.is_none()
    }
}

pin_project! {
    /// The stream of [`timeout_each`](super::StreamExt::timeout_each).
    #[must_use = "streams do nothing unless polled"]
    pub struct TimeoutEach<S> {
        #[pin]
        stream: S,
        within: Duration,
        // Since the item was asked for.
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<S> TimeoutEach<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        TimeoutEach { stream, within, sleep: None }
    }
}

impl<S: Stream> Stream for TimeoutEach<S> {
    type Item = Result<S::Item, Elapsed>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Poll::Ready(item) = this.stream.poll_next(cx) {
            this.sleep.set(None);
            return Poll::Ready(item.map(Ok));
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep(*this.within)));
        }
        ready!(poll_sleep(this.sleep.as_mut(), cx));
        this.sleep.set(None);
        Poll::Ready(Some(Err(Elapsed::new())))
    }
}

impl<S: FusedStream> FusedStream for TimeoutEach<S> {
    fn is_terminated(&self) -> bool {
        self.stream.is_terminated()
    }
}

macro_rules! debug {
    ($($name:ident<$param:ident> $(where $bound:ident)?;)*) => {$(
        impl<$param $(: $bound)?> fmt::Debug for $name<$param> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

debug! {
    ChunksTimeout<S> where Stream;
    Throttle<S>;
    Debounce<S> where Stream;
    Sample<S> where Stream;
    TimeoutEach<S>;
}
