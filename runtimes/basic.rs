//! The adapter for the executors of the `futures` crate.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_executor::ThreadPool;
use futures_task::{FutureObj, Spawn, SpawnError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::panic::Contained;
use crate::runtime::blocking_pool;
use crate::runtime::{Blocking, Clock, Handle, Instant, Job, RunError, Runtime, Timer};

/// Runs on the executors of the `futures` crate, which are small and have no I/O of their own.
///
/// Timers are those of `futures-timer`, and blocking jobs run on foster's
/// [shared pool](crate::runtime::blocking_pool). With the features `net` and `async-io`, sockets
/// are those of `async-io`.
///
/// # Running a future
///
/// A thread that runs an executor of the `futures` crate must not block. On such a thread `try_run`
/// returns an error, and `run` panics with it. Code that is already async uses
/// [`enter`](Handle::enter).
///
/// # When the runtime ends
///
/// It ends with its last handle, and drops the tasks that are left. A current-thread runtime drops
/// them at once, and a pool as soon as its threads come to them.
///
/// # Examples
///
/// ```
/// use foster::runtimes::Basic;
/// use futures::channel::oneshot;
/// use futures::task::SpawnExt;
///
/// let basic = Basic::thread_pool(2)?;
/// let (done, wait) = oneshot::channel();
/// basic.spawn(async { done.send(42).unwrap() }).unwrap();
/// assert_eq!(futures::executor::block_on(wait), Ok(42));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Basic(Handle);

stands_for_handle!(Basic);

impl Basic {
    /// Creates a pool of `threads` threads. A thread that blocks on it only waits.
    ///
    /// # Errors
    ///
    /// Returns an error if `threads` is 0, or if the system refuses to start them.
    pub fn thread_pool(threads: usize) -> io::Result<Self> {
        if threads == 0 {
            return Err(super::no_threads("a thread pool"));
        }
        let pool = ThreadPool::builder().pool_size(threads).name_prefix("foster-basic-").create()?;
        Ok(Self::new(PoolExecutor { pool, pending: Arc::default() }))
    }

    /// Creates a runtime whose tasks run on whichever thread blocks on it.
    ///
    /// It does not matter which thread spawned a task. The tasks wait while no thread blocks. If
    /// several threads block, one of them runs the tasks, and another takes over when that one is
    /// done.
    ///
    /// ```
    /// use foster::runtimes::Basic;
    ///
    /// let here = std::thread::current().id();
    /// let there = Basic::current_thread().run(foster::scope(async |s| {
    ///     s.spawn_parallel(async { std::thread::current().id() }).await
    /// }));
    /// assert_eq!(here, there);
    /// ```
    pub fn current_thread() -> Self {
        Self::new(LocalExecutor::default())
    }

    fn new<E: Executor>(executor: E) -> Self {
        Basic(Handle::new(BasicAdapter(executor)))
    }
}

/// What differs between the two kinds of `Basic`.
trait Executor: Spawn + Send + Sync + 'static {
    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>);
}

/// Makes a [`Runtime`] of an executor, with the timers and the pool that both kinds share.
struct BasicAdapter<E>(E);

impl<E: Executor> Spawn for BasicAdapter<E> {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.spawn_obj(future)
    }
}

impl<E> Clock for BasicAdapter<E> {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Timer {
        Timer::thread(at.saturating_duration_since(Instant::now()))
    }

    fn reset(&self, timer: Pin<&mut Timer>, at: Instant) {
        timer.reset_thread(at.saturating_duration_since(Instant::now()));
    }
}

impl<E> Blocking for BasicAdapter<E> {
    fn spawn_blocking(&self, job: Job) -> Result<(), SpawnError> {
        blocking_pool::spawn(job)
    }
}

impl<E: Executor> Runtime for BasicAdapter<E> {
    fn name(&self) -> &'static str {
        "basic"
    }

    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) -> Result<(), RunError> {
        if futures_executor::enter().is_err() {
            return Err(RunError::new(
                "this thread runs an executor of `futures` already and must not block: await the future, in `enter`",
            ));
        }
        self.0.block_on(root);
        Ok(())
    }

    #[cfg(all(feature = "net", feature = "async-io"))]
    fn network(&self) -> Option<&dyn crate::runtime::network::Network> {
        Some(crate::runtime::network::async_io())
    }
}

/// A `futures` pool, whose pending tasks end with it.
struct PoolExecutor {
    pool: ThreadPool,
    pending: Arc<PendingTasks>,
}

impl Executor for PoolExecutor {
    fn block_on(&self, root: Pin<&mut dyn Future<Output = ()>>) {
        futures_executor::block_on(root);
    }
}

impl Spawn for PoolExecutor {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        let (pool, pending) = (self.pool.clone(), self.pending.clone());
        self.pool.spawn_ok(PoolTask { future: Contained::new(future), pool, pending, key: None });
        Ok(())
    }
}

impl Drop for PoolExecutor {
    fn drop(&mut self) {
        self.pending.close();
    }
}

/// Wakes the pending tasks of a pool that ends.
///
/// A task of a `futures` pool keeps itself and the pool alive until it is ready. If nothing wakes
/// it any more, that is for ever. So every task that has been pending is on this list, and ends
/// when it finds the list closed.
#[derive(Default)]
struct PendingTasks {
    closed: AtomicBool,
    pending: Mutex<Pending>,
}

/// The tasks that have been pending, with their wakers.
#[derive(Default)]
struct Pending {
    next_key: u64,
    wakers: HashMap<u64, Waker>,
}

impl PendingTasks {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task. Returns `None` if the list is closed. All wakers of one task are equal.
    fn join(&self, waker: &Waker) -> Option<u64> {
        let waker = waker.clone();
        let mut pending = self.lock();
        if self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let key = pending.next_key;
        pending.next_key += 1;
        pending.wakers.insert(key, waker);
        Some(key)
    }

    /// Removes a task that has ended.
    fn leave(&self, key: u64) {
        let waker = self.lock().wakers.remove(&key);
        drop(waker);
    }

    /// Wakes all tasks, which then end. `closed` is set under the lock: a task that joins either
    /// finds it set, or is woken here.
    fn close(&self) {
        let mut pending = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        let wakers = mem::take(&mut pending.wakers);
        drop(pending);
        wakers.into_values().for_each(Waker::wake);
    }
}

thread_local! {
    /// The member that this thread polled last, by its address, and how many times in a row.
    static ON_END: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
}

/// A task of a pool.
struct PoolTask {
    future: Contained,
    pool: ThreadPool,
    pending: Arc<PendingTasks>,
    key: Option<u64>,
}

impl PoolTask {
    /// How many times in a row a member may be polled.
    const BUDGET: u32 = 64;

    /// Whether the others get a turn now. A `futures` pool polls a task that woke itself again and
    /// again, before any other. So a task that has used up its budget is pending until a task at
    /// the end of the queue wakes it.
    fn gives_way(&self, cx: &Context<'_>) -> bool {
        let address = std::ptr::from_ref(self).addr();
        let (last, times) = ON_END.get();
        let times = if last == address { times + 1 } else { 0 };
        let over = times == Self::BUDGET;
        ON_END.set((address, if over { 0 } else { times }));
        if over {
            let waker = cx.waker().clone();
            self.pool.spawn_ok(async { waker.wake() });
        }
        over
    }
}

impl Future for PoolTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.gives_way(cx) {
            return Poll::Pending;
        }
        if self.pending.closed.load(Ordering::Relaxed) || Pin::new(&mut self.future).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.key.is_none() {
            self.key = self.pending.join(cx.waker());
        }
        if self.key.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for PoolTask {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.pending.leave(key);
        }
    }
}

/// Tasks that run on the thread that blocks.
///
/// A `LocalPool` would not do: it can neither move to the next thread that blocks, nor be dropped
/// on another one.
#[derive(Default)]
struct LocalExecutor {
    state: Mutex<State>,
}

/// The state of a [`LocalExecutor`], under its lock.
struct State {
    /// The tasks that were spawned since the driver last looked.
    inbox: Vec<Contained>,
    /// `None` while a thread drives them.
    tasks: Option<FuturesUnordered<Contained>>,
    /// The waker of the thread that drives the tasks.
    driver: Option<Waker>,
    /// The threads that block while another one drives.
    waiting: Vec<Waker>,
}

impl Default for State {
    fn default() -> Self {
        State { inbox: Vec::new(), tasks: Some(FuturesUnordered::new()), driver: None, waiting: Vec::new() }
    }
}

impl LocalExecutor {
    // All wakers under this lock are those of `futures_executor::block_on`. So no code of users
    // runs when one is cloned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spawn for LocalExecutor {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        let mut state = self.lock();
        state.inbox.push(Contained::new(future));
        let driver = if state.inbox.len() == 1 { state.driver.clone() } else { None };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(())
    }
}

impl Executor for LocalExecutor {
    fn block_on(&self, mut root: Pin<&mut dyn Future<Output = ()>>) {
        let mut thread = BlockedThread { local: self, tasks: None, waker: None };
        futures_executor::block_on(poll_fn(|cx| {
            let poll = root.as_mut().poll(cx);
            if poll.is_pending() {
                thread.drive(cx);
            }
            poll
        }));
    }
}

/// A thread that blocks on a [`LocalExecutor`]. It drives the tasks if it holds them, and passes
/// them on when it leaves.
struct BlockedThread<'a> {
    local: &'a LocalExecutor,
    tasks: Option<FuturesUnordered<Contained>>,
    /// This thread's waker, once it is on the list of those that wait.
    waker: Option<Waker>,
}

impl BlockedThread<'_> {
    /// How many tasks may complete before the root is polled again.
    const BUDGET: usize = 64;

    /// Polls the tasks, if this thread holds them or gets them now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        for _ in 0..Self::BUDGET {
            let Some(tasks) = self.take_tasks(cx.waker()) else {
                return;
            };
            let Poll::Ready(Some(())) = tasks.poll_next_unpin(cx) else {
                return;
            };
        }
        cx.waker().wake_by_ref();
    }

    /// Returns the tasks, with those of the inbox. Returns `None` if another thread has them. That
    /// thread wakes this one when it leaves.
    fn take_tasks(&mut self, waker: &Waker) -> Option<&mut FuturesUnordered<Contained>> {
        let mut state = self.local.lock();
        if self.tasks.is_none() {
            self.tasks = state.tasks.take();
            if self.tasks.is_some() {
                state.driver = Some(waker.clone());
            } else if !state.waiting.iter().any(|other| other.will_wake(waker)) {
                state.waiting.push(waker.clone());
                self.waker = Some(waker.clone());
            }
        }
        let tasks = self.tasks.as_mut()?;
        tasks.extend(state.inbox.drain(..));
        Some(tasks)
    }
}

impl Drop for BlockedThread<'_> {
    fn drop(&mut self) {
        let mut state = self.local.lock();
        let Some(tasks) = self.tasks.take() else {
            if let Some(waker) = &self.waker {
                state.waiting.retain(|other| !other.will_wake(waker));
            }
            return;
        };
        state.tasks = Some(tasks);
        state.driver = None;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests;
