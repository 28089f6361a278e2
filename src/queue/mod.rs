//! Queues between producers and consumers, which know when their work is done.
//!
//! | the next item is | at most `n` items | any number |
//! |---|---|---|
//! | the oldest | [`bounded(n)`](bounded) | [`unbounded()`](unbounded) |
//! | the newest | [`lifo(n)`](lifo) | [`lifo_unbounded()`](lifo_unbounded) |
//! | the smallest | [`priority(n)`](priority) | [`priority_unbounded()`](priority_unbounded) |
//!
//! Where a sender is to wait until its item is taken, there is [`rendezvous()`](rendezvous).
//!
//! Each makes a [`Sender`] and a [`Receiver`]. Both can be cloned: there may be many producers and
//! many consumers, and each item goes to one of them.
//!
//! ```
//! # futures::executor::block_on(async {
//! use foster::{queue, scope};
//! # use std::sync::atomic::{AtomicU32, Ordering};
//! # static DONE: AtomicU32 = AtomicU32::new(0);
//! # async fn process(job: &u32) { DONE.fetch_add(*job, Ordering::Relaxed); }
//!
//! let (jobs, work) = queue::bounded(100);
//! scope(async |s| {
//!     for _ in 0..3 {
//!         s.spawn(async {
//!             while let Some(job) = work.recv().await {
//!                 process(&job).await;
//!             } // dropping the job marks it as done
//!         });
//!     }
//!     for job in 1..=10 {
//!         jobs.send(job).await.expect("nobody has closed it");
//!     }
//!     jobs.join().await; // all of them are done
//!     jobs.close(); // ends the loops
//! }).await;
//! # assert_eq!(DONE.load(Ordering::Relaxed), 55);
//! # });
//! ```
//!
//! # The end of the work
//!
//! What is received is an [`Item`]. It is the item with the promise to do the work on it. When it
//! is dropped, the work is done, however that came about. [`join`](Sender::join) waits until all
//! that was sent is done. [`Item::put_back`] lets another one try.
//!
//! # The end of the queue
//!
//! No sentinel is needed to end the consumers. When the last sender is dropped, or somebody calls
//! [`close`](Sender::close), nothing can be sent any more. Receivers get what is left, and then
//! `None`. [`close_now`](Sender::close_now) takes out what is left.
//!
//! When the last receiver is dropped, what is in the queue is dropped as well, and senders get
//! their items back.
//!
//! # Turns
//!
//! The rules are those of [`sync`](crate::sync#turns). Receivers have their turn in the order in
//! which they began to wait, and so do senders. Nobody overtakes them. A future that is dropped
//! passes its turn on at once.
//!
//! A turn is the right to take an item or to put one. The item stays in the queue, or with the
//! sender, until the future is polled. So a cancelled [`recv`](Receiver::recv) loses nothing. A
//! cancelled [`send`](Sender::send) drops its item with it. [`reserve`](Sender::reserve) first, to
//! keep it.
//!
//! # A queue that is never empty
//!
//! A future that finds an item, or room, completes in the same poll. In the body or a child of a
//! scope, or in a member of a set such as [`gather`](crate::gather) of a `Vec`, this happens up to
//! 128 times in one poll. Then the next such future yields once, so that the siblings have their
//! turn, and a timeout or a cancellation can end it. tokio's channels have such a budget, too.
//!
//! Where foster does not poll the code, as in a bare task of a runtime, nothing is counted. There a
//! loop that always finds an item, and awaits nothing else, is not interrupted: call
//! [`yield_now`](crate::yield_now) in it.
//!
//! ```
//! # futures::executor::block_on(async {
//! use foster::{queue, race, yield_now};
//!
//! let (jobs, work) = queue::bounded(1);
//! jobs.try_send(0).expect("there is room");
//! let busy = async {
//!     while let Some(job) = work.recv().await {
//!         jobs.try_send(*job + 1).expect("there is room"); // so it is never empty
//!         yield_now().await;
//!     }
//! };
//! race((busy, yield_now())).await;
//! # });
//! ```
//!
//! # Cost
//!
//! Without waiting, sending and receiving an item each takes a lock for a moment, and allocates
//! nothing but the room for items as a queue grows. Most of it is given back as the queue empties.
//! To be done with an item takes no lock. A waiter takes 40 bytes, and to cancel one takes the same
//! time however many there are.
//!
//! No lock is held while a waker or a destructor runs. In a queue with priorities, items are
//! compared under the lock: see [`priority`].
//!
//! Queues need no runtime. Tasks of several runtimes and threads may share one.

mod batch;
mod ends;
mod error;
mod item;
mod receiver;
mod sender;
mod shared;
mod sorted;
mod state;
mod statistics;
mod store;
mod work;

use std::sync::Arc;

pub use batch::RecvManyWithin;
pub use ends::Join;
pub use error::{ReserveError, SendError, SinkError, TryRecvError, TryReserveError, TrySendError};
pub use item::{Item, Unfinished};
pub use receiver::{Receiver, Recv, RecvMany};
pub use sender::{Reserve, SendItem, Sender, Slot, WeakSender};
use shared::SharedQueue;
use state::Capacity;
pub use statistics::QueueStatistics;
use store::ItemStore;

/// Creates a queue for up to `capacity` items, of which the oldest is received first.
///
/// # Panics
///
/// Panics if `capacity` is 0. A queue without room is a [`rendezvous`].
#[track_caller]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    make(ItemStore::fifo(), at_most(capacity))
}

/// Creates a queue for any number of items, of which the oldest is received first.
///
/// Sending never waits. So where producers are faster than consumers, it grows until the memory is
/// used up. Where this can be, take a [`bounded`] one.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    make(ItemStore::fifo(), Capacity::Unbounded)
}

/// Creates a queue without room: a sender waits until a receiver has taken its item.
///
/// This is a channel of Go without a buffer, or a memory channel of Trio with a buffer of 0.
///
/// - [`send`](Sender::send) offers its item, and completes when it is taken. If it is dropped
///   before that, the item is dropped with it, and nobody gets it. A receiver that was about to
///   take it then keeps its place at the head of the line.
/// - [`try_send`](Sender::try_send) and [`reserve`](Sender::reserve) find room while receivers wait
///   for which there is nothing else. If those leave before they take the item, it stays in the
///   queue for the next one.
/// - Items that are put back stay in the queue, too, and are received first.
///
/// ```
/// # futures::executor::block_on(async {
/// let (jobs, work) = foster::queue::rendezvous();
/// assert!(jobs.try_send(1).unwrap_err().is_full(), "nobody waits for it");
/// let (sent, received) = foster::gather((jobs.send(2), work.recv())).await;
/// assert_eq!((sent, *received.unwrap()), (Ok(()), 2));
/// # });
/// ```
pub fn rendezvous<T>() -> (Sender<T>, Receiver<T>) {
    make(ItemStore::fifo(), Capacity::Rendezvous)
}

/// Creates a queue for up to `capacity` items, of which the newest is received first.
///
/// # Panics
///
/// Panics if `capacity` is 0.
///
/// ```
/// let (jobs, work) = foster::queue::lifo(8);
/// (1..=3).for_each(|job| jobs.try_send(job).expect("there is room"));
/// assert_eq!(*work.try_recv().unwrap(), 3);
/// ```
#[track_caller]
pub fn lifo<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    make(ItemStore::lifo(), at_most(capacity))
}

/// Creates a queue for any number of items, of which the newest is received first.
pub fn lifo_unbounded<T>() -> (Sender<T>, Receiver<T>) {
    make(ItemStore::lifo(), Capacity::Unbounded)
}

/// Creates a queue for up to `capacity` items, of which the smallest is received first, and the
/// oldest among equals.
///
/// The counterpart of asyncio's `PriorityQueue`. For the largest first, put the items into
/// [`Reverse`](std::cmp::Reverse).
///
/// # Comparisons
///
/// Items are compared when they are sent or put back, under the lock of the queue. So `Ord` must
/// not use the queue, which would wait for itself. If a comparison panics, the item is put
/// somewhere in the queue, and then the panic goes on in [`send`](Sender::send).
///
/// # Panics
///
/// Panics if `capacity` is 0.
///
/// ```
/// let (jobs, work) = foster::queue::priority(8);
/// for job in [(2, "tidy"), (1, "rescue"), (2, "wash")] {
///     jobs.try_send(job).expect("there is room");
/// }
/// assert_eq!(*work.try_recv().unwrap(), (1, "rescue"));
/// assert_eq!(*work.try_recv().unwrap(), (2, "tidy"));
/// ```
#[track_caller]
pub fn priority<T: Ord>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    make(ItemStore::priority(T::cmp), at_most(capacity))
}

/// Creates a queue for any number of items, of which the smallest is received first, as in
/// [`priority`].
pub fn priority_unbounded<T: Ord>() -> (Sender<T>, Receiver<T>) {
    make(ItemStore::priority(T::cmp), Capacity::Unbounded)
}

#[track_caller]
fn at_most(capacity: usize) -> Capacity {
    assert!(capacity > 0, "a queue needs room for at least one item; one without is a `queue::rendezvous`");
    Capacity::Bounded(capacity)
}

fn make<T>(store: ItemStore<T>, capacity: Capacity) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(SharedQueue::new(store, capacity));
    (Sender::first(shared.clone()), Receiver::first(shared))
}
