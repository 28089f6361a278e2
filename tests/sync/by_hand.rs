//! Futures that a test polls by hand, so that it says in which order things happen.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use foster::testing::{CountingWaker, Gate};
use foster::{local, shield, yield_now};

/// A future that is polled by hand, with a waker that counts.
pub(crate) struct ByHand<'a, T> {
    future: Pin<Box<dyn Future<Output = T> + 'a>>,
    waker: CountingWaker,
}

impl<'a, T> ByHand<'a, T> {
    /// A future that nobody has polled.
    pub(crate) fn new(future: impl Future<Output = T> + 'a) -> Self {
        ByHand { future: Box::pin(future), waker: CountingWaker::new() }
    }

    /// A future that has been polled once, and is pending.
    pub(crate) fn waiting(future: impl Future<Output = T> + 'a) -> Self {
        let mut by_hand = Self::new(future);
        assert!(by_hand.poll().is_none(), "it need not wait");
        by_hand
    }

    pub(crate) fn poll(&mut self) -> Option<T> {
        match self.waker.poll(self.future.as_mut()) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// How often it was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.waker.count()
    }

    /// Its value. It has been woken just once, and this poll is its second.
    pub(crate) fn turn(mut self) -> T {
        assert_eq!(self.wakes(), 1, "it is woken once");
        self.poll().expect("whoever is woken has its turn")
    }
}

/// Polls those that were woken, in their order, until all have completed.
pub(crate) fn finish(futures: &mut [ByHand<'_, ()>]) {
    let mut left: Vec<_> = futures.iter_mut().map(|future| (0, future)).collect();
    while !left.is_empty() {
        let before = left.len();
        let mut polled = false;
        left.retain_mut(|(seen, future)| {
            if future.wakes() == *seen {
                return true;
            }
            *seen = future.wakes();
            polled = true;
            future.poll().is_none()
        });
        assert!(polled, "{before} are left, and nobody is woken");
    }
}

/// Polls `future` in a region that is cancelled, until it is pending or has completed.
pub(crate) async fn in_a_cancelled_region<'a>(future: impl Future<Output = ()> + 'a) {
    let gate = Gate::new();
    local::scope(async |s| {
        let child = s.spawn(async {
            shield(gate.wait()).await;
            // In the same poll as the end of the shield. After it the region is dropped.
            future.await;
        });
        while gate.waiting() == 0 {
            yield_now().await;
        }
        child.cancel();
        gate.open();
        drop(child.outcome().await);
    })
    .await;
}
