//! Items on their way from a queue to the end of the work on them.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::work::Work;

/// An item that was received, and on which the work is not done.
///
/// It gives access to the item as a smart pointer does. Dropping it drops the item, and then marks
/// it as done, for those who wait in [`join`](super::Sender::join). So there is no `task_done` to
/// forget, and an error or a panic on the way forgets nothing, either.
///
/// It may be kept for longer than the queue's senders and receivers.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::queue;
///
/// let (jobs, work) = queue::bounded(8);
/// jobs.send(String::from("copy")).await?;
/// let mut job = work.recv().await.expect("there is one");
/// job.push('!');
/// assert_eq!(*job, "copy!");
/// assert_eq!(jobs.unfinished(), 1);
/// drop(job);
/// jobs.join().await;
/// # Ok::<_, queue::SendError<String>>(()) }).unwrap();
/// ```
#[must_use = "an item is done when it is dropped"]
pub struct Item<T> {
    value: T,
    // After the value, which has been dropped when this marks it as done.
    unfinished: Unfinished<T>,
}

impl<T> Item<T> {
    #[inline]
    pub(super) fn new(value: T, work: Arc<Work<T>>) -> Self {
        Item { value, unfinished: Unfinished { work } }
    }

    /// Takes the item out. It is done when what comes with it is dropped.
    ///
    /// For work that takes the item to pieces or gives it away. Where nobody joins the queue, the
    /// second value can be dropped at once.
    ///
    /// ```
    /// # let (jobs, work) = foster::queue::unbounded();
    /// # jobs.try_send(vec![1, 2])?;
    /// let (numbers, unfinished) = work.try_recv().expect("there is one").into_parts();
    /// let sum: i32 = numbers.into_iter().sum();
    /// drop(unfinished);
    /// # assert_eq!((sum, jobs.unfinished()), (3, 0));
    /// # Ok::<_, foster::queue::TrySendError<Vec<i32>>>(())
    /// ```
    pub fn into_parts(self) -> (T, Unfinished<T>) {
        (self.value, self.unfinished)
    }

    /// Puts the item back, as the next one to be received. The work on it is not done.
    ///
    /// This never waits, and works also if the queue is full or closed. In a queue with priorities
    /// the item is the first among its equals. If no receiver is left, this drops the item, which
    /// is then done.
    ///
    /// The receivers of a closed queue end when nothing is left in it. They do not wait for what
    /// may be put back. So receive again after you have put an item back. If nobody does, the item
    /// stays in the queue, and `join` waits for it, until the last receiver is dropped.
    ///
    /// # Panics
    ///
    /// Panics if a comparison with another item panics. Then the item is in the queue.
    pub fn put_back(self) {
        let (value, unfinished) = self.into_parts();
        // In this order, so that the work does not seem to be done in between.
        let refused = unfinished.work.shared().put_back(value);
        drop(refused);
        drop(unfinished);
    }
}

impl<T> Deref for Item<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Item<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Item<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Item").field(&self.value).finish()
    }
}

impl<T: fmt::Display> fmt::Display for Item<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// The promise to do the work on an item that was [taken out](Item::into_parts) of its guard.
///
/// Dropping it marks the item as done.
#[must_use = "an item is done when this is dropped"]
pub struct Unfinished<T> {
    work: Arc<Work<T>>,
}

impl<T> fmt::Debug for Unfinished<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished").finish_non_exhaustive()
    }
}
