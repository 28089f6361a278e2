//! The futures that the contenders are given.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Is ready when it is polled for the second time, and wakes itself the first time. 16 bytes.
pub(crate) struct YieldOnce {
    value: u64,
    yielded: bool,
}

impl YieldOnce {
    pub(crate) fn new(value: usize) -> Self {
        YieldOnce { value: value as u64, yielded: false }
    }
}

impl Future for YieldOnce {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        if self.yielded {
            return Poll::Ready(self.value);
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Is never ready. 16 bytes.
pub(crate) struct Never {
    _values: [u64; 2],
}

impl Never {
    pub(crate) fn new(value: usize) -> Self {
        Never { _values: [value as u64; 2] }
    }
}

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// A child of those that fail: pending, with its waker registered as is due, or, the one that is
/// the culprit, an error after one yield.
pub(crate) struct Doomed {
    waker: Option<Waker>,
    culprit: bool,
}

impl Doomed {
    /// `n` of them and the culprit, which comes last, so that all others are pending by then.
    pub(crate) fn all(n: usize) -> impl ExactSizeIterator<Item = Doomed> {
        (0..n + 1).map(move |number| Doomed { waker: None, culprit: number == n })
    }
}

impl Future for Doomed {
    type Output = Result<u64, u64>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.culprit {
            if self.waker.is_some() {
                return Poll::Ready(Err(0));
            }
            cx.waker().wake_by_ref();
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}
