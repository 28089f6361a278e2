//! What a sender and a receiver both can do: watch the queue, wait for its work, and close it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::{Joiners, SharedQueue};
use super::statistics::QueueStatistics;
use crate::sync::wait_list::Wait;

/// Gives both ends of a queue the methods that they share, with one text for both.
macro_rules! both_ends {
    ($($End:ident)*) => {$(
        impl<T> $End<T> {
            /// Waits until all items that were sent are done.
            ///
            /// An item is done when its [`Item`](super::Item) is dropped. This is ready at once if
            /// there is nothing to do, and can be called again and again. The counterpart of
            /// `Queue.join` in asyncio.
            ///
            /// It does not wait for items that nobody has sent yet. Where producers are still at
            /// work, wait for them first.
            ///
            /// # Cancellation
            ///
            /// Dropping the future loses nothing. In a [cancelled region](crate::cancel#regions) a
            /// wait does not begin: the future completes if all is done, or else stays pending.
            ///
            /// # Panics
            ///
            /// The future panics if it is polled after it has completed.
            pub fn join(&self) -> $crate::queue::Join<'_, T> {
                $crate::queue::ends::join(&self.shared)
            }

            /// Closes the queue: nothing can be sent any more, and what is in it can still be
            /// received.
            ///
            /// Senders that wait get an error with their item. When the queue is empty,
            /// [`recv`](super::Receiver::recv) returns `None`. Dropping the last sender does the
            /// same.
            pub fn close(&self) {
                self.shared.change(|state| state.close());
            }

            /// Closes the queue, and returns the items that nobody has received, in their order.
            ///
            /// They count as done. Those that were received are not done before their
            /// [`Item`](super::Item) is dropped, and [`join`](Self::join) waits for them.
            pub fn close_now(&self) -> Vec<T> {
                self.shared.change(|state| state.close_now()).into_vec()
            }

            /// Returns whether the queue is closed. Items may be left in it.
            pub fn is_closed(&self) -> bool {
                self.shared.with(|state| state.is_closed())
            }

            /// Returns how many items are in the queue. Those that were received are not.
            pub fn len(&self) -> usize {
                self.shared.with(|state| state.len())
            }

            /// Returns whether no item is in the queue.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Returns how many items have room, or `None` if the queue is unbounded.
            pub fn capacity(&self) -> Option<usize> {
                self.shared.capacity()
            }

            /// Returns how many items were sent and are not done, in the queue or received.
            pub fn unfinished(&self) -> usize {
                self.shared.with(|state| state.unfinished())
            }

            /// Returns how much the queue is used, and how many futures wait.
            pub fn statistics(&self) -> $crate::queue::QueueStatistics {
                $crate::queue::ends::statistics(&self.shared)
            }
        }

        impl<T> std::fmt::Debug for $End<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut shown = f.debug_struct(stringify!($End));
                shown.field("len", &self.len()).field("capacity", &self.capacity()).finish_non_exhaustive()
            }
        }
    )*};
}
pub(super) use both_ends;

pub(super) fn join<T>(shared: &Arc<SharedQueue<T>>) -> Join<'_, T> {
    Join { shared, wait: Wait::new(Joiners(&**shared), ()) }
}

pub(super) fn statistics<T>(shared: &SharedQueue<T>) -> QueueStatistics {
    shared.with(|state| QueueStatistics {
        len: state.len(),
        capacity: shared.capacity(),
        peak: state.peak(),
        unfinished: state.unfinished(),
        senders: state.senders,
        receivers: state.receivers,
        waiting_senders: state.putters.len() + state.offers.len(),
        waiting_receivers: state.takers.len(),
    })
}

/// The future of [`Sender::join`](super::Sender::join) and
/// [`Receiver::join`](super::Receiver::join).
#[must_use = "futures do nothing unless polled"]
pub struct Join<'a, T> {
    shared: &'a SharedQueue<T>,
    wait: Wait<Joiners<&'a SharedQueue<T>>>,
}

impl<T> Future for Join<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let joins = self.wait.is_outside();
        let polled = self.wait.poll(cx).map(|_| ());
        if joins && polled.is_pending() {
            // The work has not been retired, because nobody has waited for its end.
            self.shared.change(|_| ());
        }
        polled
    }
}

impl<T> fmt::Debug for Join<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").finish_non_exhaustive()
    }
}
