//! Receives items in batches, which have a time to fill.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::item::Item;
use super::receiver::{Receiver, take_many, take_promised};
use super::shared::{Fillers, SharedQueue, Takers};
use crate::context;
use crate::sync::wait_list::Wait;
use crate::time::{Sleep, sleep};

impl<T> Receiver<T> {
    /// Takes up to `max` items, and waits for them until `within` has passed since there was the
    /// first one. Returns an empty list when the queue is closed and nothing is left in it.
    ///
    /// So it waits for the first item as long as that takes. If that was offered in a
    /// [rendezvous](super::rendezvous) and is withdrawn, the next one is the first. It also ends
    /// when a bounded queue is full, since then no more can come, and when the queue is closed. The
    /// time is measured by the clock of the enclosing runtime (see [`time`](crate::time)).
    ///
    /// The items stay in the queue until they are returned together. One of them is kept for this
    /// future. Other receivers may take the rest meanwhile.
    ///
    /// # Cancellation
    ///
    /// As for [`recv`](Receiver::recv): dropping the future loses nothing, and in a [cancelled
    /// region](crate::cancel#regions) it takes up to `max` of the items that are there, and does
    /// not begin to wait, neither for the first one nor for more.
    ///
    /// # Panics
    ///
    /// Panics if `max` is 0. The future panics if it is polled after it has completed.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use std::time::Duration;
    ///
    ///     let (rows, work) = foster::queue::bounded(100);
    ///     (1..=5).for_each(|row| rows.try_send(row).expect("there is room"));
    ///     let full = work.recv_many_within(3, Duration::from_secs(1)).await;
    ///     let late = work.recv_many_within(3, Duration::from_secs(1)).await;
    ///     assert_eq!((full.len(), late.len()), (3, 2));
    /// });
    /// ```
    #[track_caller]
    pub fn recv_many_within(&self, max: usize, within: Duration) -> RecvManyWithin<'_, T> {
        assert!(max > 0, "a batch has at least one item: `max` must not be 0");
        let shared = self.shared();
        RecvManyWithin {
            shared,
            max,
            within,
            timer: sleep(within),
            stage: FillStage::First(Wait::new(Takers(shared), ())),
        }
    }
}

pin_project! {
    /// The future of [`Receiver::recv_many_within`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RecvManyWithin<'a, T> {
        shared: &'a Arc<SharedQueue<T>>,
        max: usize,
        within: Duration,
        // Counts from its first poll, which is when there is a first item.
        #[pin]
        timer: Sleep,
        stage: FillStage<'a, T>,
    }
}

enum FillStage<'a, T> {
    /// It waits for a first item.
    First(Wait<Takers<&'a SharedQueue<T>>>),
    /// It has a promise, and waits for more items.
    Filling(Wait<Fillers<&'a SharedQueue<T>>>, Promise<'a, T>),
    Completed,
}

impl<'a, T> FillStage<'a, T> {
    fn filling(promise: Promise<'a, T>, max: usize) -> Self {
        FillStage::Filling(Wait::new(Fillers(promise.shared), max), promise)
    }
}

/// The right to an item that is still in the queue.
struct Promise<'a, T> {
    shared: &'a SharedQueue<T>,
}

impl<T> Promise<'_, T> {
    /// Gives it to one who ends it.
    fn give(self) {
        mem::forget(self);
    }
}

impl<T> Drop for Promise<'_, T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.end_promise());
    }
}

impl<T> Future for RecvManyWithin<'_, T> {
    type Output = Vec<Item<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<Item<T>>> {
        let mut this = self.project();
        let (shared, max) = (*this.shared, *this.max);
        loop {
            let promise = match this.stage {
                FillStage::First(wait) => {
                    let joins = wait.is_outside();
                    let polled = wait.poll(cx);
                    if joins {
                        shared.meet();
                    }
                    let (Takers(shared), answer) = ready!(polled);
                    match answer {
                        Ok(()) => *this.stage = FillStage::filling(Promise { shared }, max),
                        Err(_) => {
                            *this.stage = FillStage::Completed;
                            return Poll::Ready(Vec::new());
                        }
                    }
                    continue;
                }
                FillStage::Filling(wait, _) => {
                    // In a cancelled region it does not begin to wait for more.
                    let takes_what_is_there = wait.is_outside() && context::with(|ambient| ambient.is_tripped());
                    // Before the clock, so that a batch that is full at once makes no timer.
                    let is_full = !takes_what_is_there && wait.poll(cx).is_ready();
                    if !is_full && !takes_what_is_there {
                        ready!(this.timer.as_mut().poll(cx));
                    }
                    let FillStage::Filling(_, promise) = mem::replace(this.stage, FillStage::Completed) else {
                        unreachable!("it fills");
                    };
                    // Others may have taken items since it was told that there are enough.
                    if is_full && !shared.with(|state| state.is_filled(max)) {
                        *this.stage = FillStage::filling(promise, max);
                        continue;
                    }
                    promise
                }
                FillStage::Completed => panic!("a future was polled after it had completed"),
            };
            promise.give();
            match take_promised(shared, |shared, state, wakes| take_many(shared, state, wakes, max)) {
                Some(items) => return Poll::Ready(items),
                None => {
                    *this.stage = FillStage::First(Wait::going_on(Takers(shared), ()));
                    this.timer.set(sleep(*this.within));
                }
            }
        }
    }
}

impl<T> fmt::Debug for RecvManyWithin<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvManyWithin").field("max", &self.max).finish_non_exhaustive()
    }
}
