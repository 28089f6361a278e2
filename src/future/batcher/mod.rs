//! Single items for their callers, and batches for the one that does the work.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_task::Spawn;

mod batch;
mod error;

use batch::{Batch, BatchSeat, State};
use error::BatchCause;
pub use error::BatchError;

use super::catch_panic::catch_panic;
use crate::context;
use crate::engine::atomics::ShortLock;
use crate::scope::Spawner;
use crate::sync::wait_list::Wait;

/// Gathers the items of many callers into batches, and gives each caller its own result.
///
/// A database answers one query for a hundred rows much faster than a hundred queries for one. The
/// callers know nothing of each other: each [runs](Batcher::run) one item, and gets one result. The
/// worker gets a `Vec` of items, and returns a `Vec` of results in the same order. The counterpart
/// of the `DataLoader` of GraphQL, and of what is written around `executemany` in Python.
///
/// # When a batch begins
///
/// The first item opens a batch, and those that come next join it. The worker gets it
///
/// - at once when it is full;
/// - otherwise as soon as all who could add to it are waiting. The batch yields to the other tasks,
///   again and again, until they have all had their turn and none of them has added an item. No
///   timer is needed for that, and a single caller is not kept waiting. On the scope's own task
///   this is exact. Where tasks run on several threads, or in the random order of a simulation, one
///   that was about to add an item may find that the batch has gone;
/// - or, if there is a [delay](Batcher::delay), when that has passed since the first item, however
///   long nobody adds any. A caller whose [deadline](crate::deadline) would pass before that sends
///   the batch off at once.
///
/// While a batch is being worked on, the next one is gathered, and may begin. To have fewer at the
/// same time, take a permit of a [`Semaphore`](crate::sync::Semaphore) in the worker.
///
/// # The work belongs to a scope
///
/// A batch is a child of the scope that the [`Spawner`] spawns into, as the work of a
/// [`Singleflight`](super::Singleflight) is. So it sees neither the deadline nor the [inherited
/// values](crate::Inherited) of any caller, and when the scope ends, it has ended. A scope that
/// ends by itself waits for the batches that are open.
///
/// # Errors
///
/// An item whose result is an error of its own has a `Result` for its value. An `Err` of the worker
/// reaches all callers of that batch, and so do its panic and its cancellation. The scope does not
/// fail.
///
/// # Cost
///
/// Two allocations and a child of the scope for each batch, and the worker's future. An item costs
/// a short lock when it comes and when its result is fetched, and its places in the batch's
/// vectors.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{future::Batcher, gather, scope};
/// use std::{convert::Infallible, sync::Mutex};
///
/// let batches = &*Box::leak(Box::new(Mutex::new(Vec::new())));
/// let squares = scope(async |s| {
///     let squares = Batcher::new(s.spawner(), 4, async |numbers: Vec<u64>| {
///         batches.lock().unwrap().push(numbers.len());
///         Ok::<_, Infallible>(numbers.into_iter().map(|n| n * n).collect())
///     });
///     gather((0..10).map(|n| squares.run(n))).await
/// }).await;
/// assert_eq!(squares[9].as_ref().unwrap(), &81);
/// assert_eq!(*batches.lock().unwrap(), [4, 4, 2]);
/// # });
/// ```
pub struct Batcher<K, V, E> {
    spawner: Spawner,
    board: Arc<SharedBatcher<K, V, E>>,
}

/// What all handles to a batcher share.
struct SharedBatcher<K, V, E> {
    worker: Box<Worker<K, V, E>>,
    max: usize,
    delay: Option<Duration>,
    hasher: RandomState,
    /// The batch that items join. It is taken out when it is full, when its work begins, and when
    /// all callers have left one that waits to be told to go.
    ///
    /// The lock of a batch is taken under this one, and never the other way round.
    open: ShortLock<Option<Arc<Batch<K, V, E>>>>,
}

type Worker<K, V, E> = dyn Fn(Vec<K>) -> BatchWork<V, E> + Send + Sync;
type BatchWork<V, E> = Pin<Box<dyn Future<Output = Result<Vec<V>, E>> + Send>>;

impl<K, V, E> Batcher<K, V, E>
where
    K: Send + 'static,
    V: Send + 'static,
    E: Send + Sync + 'static,
{
    /// Creates one whose batches have at most `max` items. Each is given to `worker`, in a child
    /// that is spawned by `spawner`.
    ///
    /// The worker must return one result for each item, in their order.
    ///
    /// # Panics
    ///
    /// Panics if `max` is zero.
    #[track_caller]
    pub fn new<F, Fut>(spawner: Spawner, max: usize, worker: F) -> Self
    where
        F: Fn(Vec<K>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<V>, E>> + Send + 'static,
    {
        assert!(max > 0, "a batcher whose batches have at most 0 items would never do any");
        let worker = Box::new(move |items| Box::pin(worker(items)) as BatchWork<V, E>);
        let board = SharedBatcher { worker, max, delay: None, hasher: RandomState::new(), open: ShortLock::new(None) };
        Batcher { spawner, board: Arc::new(board) }
    }

    /// Lets a batch wait for more items until `delay` has passed since its first one.
    ///
    /// This is for callers that come one after the other, such as the requests to a server. It
    /// costs each of them up to this time. With [`Duration::MAX`] only full batches begin, and
    /// those that are [flushed](Batcher::flush). One that all its callers have left ends at once.
    ///
    /// # Panics
    ///
    /// Panics if this has been cloned, or has run an item.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{future::Batcher, gather, now, scope, sleep};
    ///     use std::{convert::Infallible, time::Duration};
    ///
    ///     let (start, ms) = (now(), Duration::from_millis(1));
    ///     let sizes = scope(async |s| {
    ///         let size = Batcher::new(s.spawner(), 100, async |items: Vec<()>| {
    ///             Ok::<_, Infallible>(vec![items.len(); items.len()])
    ///         })
    ///         .delay(10 * ms);
    ///         let late = async { sleep(5 * ms).await; size.run(()).await };
    ///         gather((size.run(()), late)).await
    ///     }).await;
    ///     assert_eq!((sizes.0.unwrap(), sizes.1.unwrap(), now() - start), (2, 2, 10 * ms));
    /// });
    /// ```
    #[track_caller]
    pub fn delay(mut self, delay: Duration) -> Self {
        let board = Arc::get_mut(&mut self.board);
        board.expect("the delay of a batcher is set before it is cloned or runs an item").delay = Some(delay);
        self
    }

    /// Adds `item` to a batch, and returns its result.
    ///
    /// Nothing happens before the future is polled.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped before the work on its batch has begun takes its item out of it.
    /// Dropping it later changes nothing: the worker has the item, and its result is dropped. In a
    /// [cancelled region](crate::cancel#regions) the future adds nothing and stays pending.
    ///
    /// # Errors
    ///
    /// Returns a [`BatchError`] if the worker returned an error, or did not return as many results
    /// as there were items, if it panicked, or if it was cancelled, also because its scope was
    /// cancelled or had completed.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn run(&self, item: K) -> Batched<'_, K, V, E> {
        Batched { stage: BatchedStage::Fresh { batcher: self, item, join: Self::join } }
    }

    /// Adds `item` as [`run`](Batcher::run) does, unless an equal one that was added by this method
    /// is in the batch already. Then all who ask for it get clones of one result.
    ///
    /// For items that are keys of what is to be loaded. To share also what is being loaded already,
    /// call this in the work of a [`Singleflight`](super::Singleflight). `K`'s `Eq` runs under a
    /// lock, and must not use this value.
    ///
    /// # Cancellation
    ///
    /// As for [`run`](Batcher::run). The item is taken out when the last one who asks for it is
    /// dropped.
    ///
    /// # Errors
    ///
    /// As for [`run`](Batcher::run).
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::{future::Batcher, gather, scope};
    /// use std::convert::Infallible;
    ///
    /// let users = scope(async |s| {
    ///     let users = Batcher::new(s.spawner(), 100, async |ids: Vec<u32>| {
    ///         assert_eq!(ids, [7, 8]);
    ///         Ok::<_, Infallible>(ids.iter().map(|id| format!("user {id}")).collect())
    ///     });
    ///     gather([7, 8, 7].map(|id| users.run_shared(id))).await
    /// }).await;
    /// assert_eq!(users.map(Result::unwrap), ["user 7", "user 8", "user 7"]);
    /// # });
    /// ```
    pub fn run_shared(&self, item: K) -> Batched<'_, K, V, E>
    where
        K: Hash + Eq,
        V: Clone,
    {
        Batched { stage: BatchedStage::Fresh { batcher: self, item, join: Self::join_shared } }
    }

    fn join(&self, item: K) -> BatchSeat<K, V, E> {
        self.add(|state| state.add(item))
    }

    fn join_shared(&self, item: K) -> BatchSeat<K, V, E>
    where
        K: Hash + Eq,
        V: Clone,
    {
        let hash = self.board.hasher.hash_one(&item);
        // What is not needed is dropped when the locks have been released.
        let mut item = Some(item);
        self.add(|state| state.add_shared(hash, &mut item))
    }

    /// Adds an item to the open batch, or opens one.
    fn add(&self, add: impl FnOnce(&mut State<K, V, E>) -> usize) -> BatchSeat<K, V, E> {
        let board = &self.board;
        let (now, deadline) = context::with(|ambient| (ambient.now(), ambient.deadline()));
        let mut open = board.open.lock();
        let is_new = open.is_none();
        let new = || Arc::new(Batch::new(board.delay, now));
        let batch = open.clone().unwrap_or_else(new);
        let (place, is_full) = batch.list.with(|state| (add(state), state.count >= board.max));
        // Not before the item was added, which may panic: a batch that is open has a child.
        *open = (!is_full).then(|| batch.clone());
        drop(open);
        let is_hurried = deadline.is_some_and(|deadline| batch.waits_until(deadline));
        if is_full || is_hurried {
            batch.goes.set();
        }
        if is_new {
            let landing = BatchLanding { spawner: self.spawner.clone(), board: board.clone(), batch: batch.clone() };
            let child = Box::pin(carry(landing));
            // It inherits nothing from this caller. Where it is refused, it is dropped, and lands.
            _ = context::with(|ambient| ambient.inheriting(None, || self.spawner.spawn_obj(child.into())));
        }
        BatchSeat { board: board.clone(), batch, place }
    }
}

impl<K, V, E> Batcher<K, V, E> {
    /// Lets the open batch begin at once, if there is one.
    ///
    /// For a service that shuts down, or for one who knows that nobody else comes.
    pub fn flush(&self) {
        let open = self.board.open.lock().clone();
        if let Some(batch) = open {
            batch.goes.set();
        }
    }

    /// Returns how many items are in the open batch.
    pub fn gathered(&self) -> usize {
        let open = self.board.open.lock().clone();
        open.map_or(0, |batch| batch.list.with(|state| state.count))
    }
}

impl<K, V, E> Clone for Batcher<K, V, E> {
    /// Returns another handle to the same batches.
    fn clone(&self) -> Self {
        Batcher { spawner: self.spawner.clone(), board: self.board.clone() }
    }
}

impl<K, V, E> fmt::Debug for Batcher<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("max", &self.board.max)
            .field("gathered", &self.gathered())
            .finish_non_exhaustive()
    }
}

impl<K, V, E> SharedBatcher<K, V, E> {
    /// Lets no more items join `batch`.
    fn close(&self, batch: &Arc<Batch<K, V, E>>) {
        let mut open = self.open.lock();
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, batch)) {
            // It is not the last reference, so nothing is dropped under the lock.
            *open = None;
        }
    }

    /// Ends `batch`, if it is open, waits to be told to go, and its last caller has left.
    fn desert(&self, batch: &Arc<Batch<K, V, E>>) {
        let mut open = self.open.lock();
        // Under the lock, as another one may have joined it meanwhile.
        let is_open = open.as_ref().is_some_and(|open| Arc::ptr_eq(open, batch));
        if is_open && batch.is_deserted() {
            // As in `close`.
            *open = None;
            drop(open);
            batch.goes.set();
        }
    }
}

/// What the scope's child does.
async fn carry<K, V, E>(landing: BatchLanding<K, V, E>) {
    let BatchLanding { board, batch, .. } = &landing;
    batch.gather().await;
    // In this order: what is being taken out of it is not joined.
    board.close(batch);
    let (items, shares) = batch.begin();
    if items.is_empty() {
        return;
    }
    let work = async {
        let results =
            (board.worker)(items).await.map_err(|error| BatchError::new(BatchCause::Failed(Arc::new(error))))?;
        // It may panic, because it clones.
        shares.deal(results)
    };
    let panicked = |panicked| Err(BatchError::new(BatchCause::Panicked(Arc::new(panicked))));
    batch.end(catch_panic(work).await.unwrap_or_else(panicked));
}

/// The duty to end one batch. If it is dropped before, the child was cancelled or refused, or
/// nobody waited for the batch any more.
struct BatchLanding<K, V, E> {
    spawner: Spawner,
    board: Arc<SharedBatcher<K, V, E>>,
    batch: Arc<Batch<K, V, E>>,
}

impl<K, V, E> Drop for BatchLanding<K, V, E> {
    fn drop(&mut self) {
        if !self.batch.has_ended() {
            // In this order: who comes when it has ended opens another one.
            self.board.close(&self.batch);
            self.batch.end(Err(BatchError::new(BatchCause::Cancelled(self.spawner.refusal()))));
        }
    }
}

/// The future of [`Batcher::run`] and [`Batcher::run_shared`].
#[must_use = "futures do nothing unless polled"]
pub struct Batched<'a, K, V, E> {
    stage: BatchedStage<'a, K, V, E>,
}

/// Adds an item for its caller.
type Join<K, V, E> = fn(&Batcher<K, V, E>, K) -> BatchSeat<K, V, E>;

enum BatchedStage<'a, K, V, E> {
    /// Not polled yet.
    Fresh {
        batcher: &'a Batcher<K, V, E>,
        item: K,
        join: Join<K, V, E>,
    },
    Waiting {
        wait: Wait<BatchSeat<K, V, E>>,
    },
    Completed,
}

/// The item is moved to the batch before anything is pinned.
impl<K, V, E> Unpin for Batched<'_, K, V, E> {}

impl<K, V, E> Future for Batched<'_, K, V, E> {
    type Output = Result<V, BatchError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let BatchedStage::Fresh { .. } = self.stage {
            if context::with(|ambient| ambient.is_tripped()) {
                return Poll::Pending;
            }
            let BatchedStage::Fresh { batcher, item, join } = mem::replace(&mut self.stage, BatchedStage::Completed)
            else {
                unreachable!("it was fresh");
            };
            self.stage = BatchedStage::Waiting { wait: Wait::new(join(batcher, item), ()) };
        }
        let BatchedStage::Waiting { wait } = &mut self.stage else {
            panic!("a future was polled after it had completed");
        };
        let (seat, ()) = ready!(wait.poll(cx));
        self.stage = BatchedStage::Completed;
        Poll::Ready(seat.fetch())
    }
}

impl<K, V, E> fmt::Debug for Batched<'_, K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            BatchedStage::Fresh { .. } => "fresh",
            BatchedStage::Waiting { .. } => "waiting",
            BatchedStage::Completed => "completed",
        };
        f.debug_struct("Batched").field("stage", &stage).finish_non_exhaustive()
    }
}
