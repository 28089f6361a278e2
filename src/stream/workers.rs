//! Workers on a queue.

use std::future::Future;

use super::{ConcurrentStream, EachConcurrent, TryEachConcurrent};
use crate::queue::{Item, Receiver};

impl<T> Receiver<T> {
    /// Runs `f` for each item, at most `workers` of them at a time, until the queue has ended.
    ///
    /// This is a pool of workers in one line. Spawn it in a scope, or await it beside the
    /// producers. An item is done when `f` drops it, so [`join`](Receiver::join) waits for the work
    /// as well. It takes an item when a worker is free, and not sooner.
    ///
    /// It takes the receiver, so that senders are refused when it is dropped. To go on receiving
    /// elsewhere, give it a clone. It is
    /// [`each_concurrent`](crate::ConcurrentStream::each_concurrent), which is there for any
    /// stream.
    ///
    /// # Cancellation
    ///
    /// Dropping this drops the futures that run, with their items, which are then done. To let
    /// others have them, call [`put_back`](Item::put_back) in a guard of your own. What is in the
    /// queue is dropped with the last receiver.
    ///
    /// # Panics
    ///
    /// Panics if `workers` is 0. A panic of `f` ends all workers.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{queue, scope};
    /// # async fn render(page: &u32) {}
    ///
    /// let (pages, work) = queue::bounded(100);
    /// scope(async |s| {
    ///     s.spawn(work.for_each(8, async |page| render(&page).await));
    ///     for page in 0..1_000 {
    ///         pages.send(page).await.expect("the workers take them");
    ///     }
    ///     pages.join().await; // all are rendered
    ///     pages.close(); // ends the workers
    /// }).await;
    /// # });
    /// ```
    #[track_caller]
    pub fn for_each<F, Fut>(self, workers: usize, f: F) -> EachConcurrent<Receiver<T>, F, Fut>
    where
        F: FnMut(Item<T>) -> Fut,
        Fut: Future<Output = ()>,
    {
        self.each_concurrent(workers, f)
    }

    /// Runs `f` for each item, at most `workers` of them at a time, until one fails. Otherwise as
    /// [`for_each`](Receiver::for_each).
    ///
    /// After a failure the others are [wound down](crate::cancel), and senders are refused.
    ///
    /// # Errors
    ///
    /// Returns the first error when all workers have ended.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{gather, queue};
    ///
    /// let (numbers, work) = queue::bounded(2);
    /// let producer = async {
    ///     let mut sent = 0;
    ///     while numbers.send(sent).await.is_ok() {
    ///         sent += 1;
    ///     }
    /// };
    /// let check = async |n: queue::Item<u32>| if *n < 9 { Ok(()) } else { Err("too large") };
    /// let workers = work.try_for_each(4, check);
    /// assert_eq!(gather((producer, workers)).await.1, Err("too large"));
    /// # });
    /// ```
    #[track_caller]
    pub fn try_for_each<F, Fut, E>(self, workers: usize, f: F) -> TryEachConcurrent<Receiver<T>, F, Fut, E>
    where
        F: FnMut(Item<T>) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        self.try_each_concurrent(workers, f)
    }
}
