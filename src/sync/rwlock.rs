//! A lock that many readers share, or one writer has, in the order in which they came.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::lock::{guards, waits_for_permits};
use super::semaphore::{self, HeldBy, Semaphore};
use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::const_unless_loom;
use crate::engine::cell::{Exclusive, Locked, LockedCell, LockedShared, Shared, SharedCell, Stable};
use crate::name::Name;

/// A reader has one permit of the lock's semaphore.
const ONE: usize = 1;

/// A writer has all permits.
const ALL: usize = Semaphore::MAX_PERMITS;

/// Protects a value that many may read at a time, or one may change, across `.await`.
///
/// [`read`](RwLock::read) waits for a [`RwLockReadGuard`], of which there can be many, and
/// [`write`](RwLock::write) for the only [`RwLockWriteGuard`]. The counterpart of tokio's `RwLock`.
/// asyncio and Trio have none.
///
/// It pays where readers hold their guards for long, across an `.await`. Otherwise a
/// [`Mutex`](super::Mutex) is as good, and a value that is replaced as a whole is better kept as an
/// [`Arc`] in a [`std::sync::RwLock`].
///
/// # Fairness
///
/// The lock goes strictly in the order of the first polls (it is *writer-fair*). Readers that come
/// one after the other have it together. A writer that waits keeps out the readers that come after
/// it, or a stream of readers could keep it waiting for ever. If it is dropped, they are let in at
/// once.
///
/// The alternative, in which each writer is followed by all readers that wait (*phase-fair*), would
/// let readers overtake writers that came before them.
///
/// # Deadlocks
///
/// A task that has a read guard and reads again waits for itself if a writer has come in between.
/// So a guard is best taken once and passed on. There is no guard that is upgraded, because two
/// readers that do so wait for each other: take a write guard, and
/// [downgrade](RwLockWriteGuard::downgrade) it. A guard that is [forgotten](std::mem::forget) stays
/// in force for good.
///
/// # Panics of a holder
///
/// There is no poisoning. If a task panics while it holds a guard, the guard is dropped, and the
/// next one finds the value as it was left.
///
/// # Cost
///
/// To lock and unlock without waiting takes a few atomic operations and allocates nothing. Readers
/// on several threads write to the same memory to count themselves. For waiters the costs are those
/// of a [`Semaphore`].
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{scope, sync::RwLock, yield_now};
///
/// let limits = RwLock::new(vec![1]);
/// scope(async |s| {
///     for _ in 0..3 {
///         s.spawn(async {
///             let limits = limits.read().await;
///             yield_now().await; // others read meanwhile, and nobody changes it
///             assert_eq!(*limits, [1]);
///         });
///     }
///     s.spawn(async { limits.write().await.push(2) });
/// }).await;
/// assert_eq!(limits.into_inner(), [1, 2]);
/// # });
/// ```
pub struct RwLock<T: ?Sized> {
    turn: Semaphore,
    cell: SharedCell<T>,
}

impl<T> RwLock<T> {
    const_unless_loom! {
        /// Creates a lock that nobody has.
        pub const fn new(value: T) -> RwLock<T> {
            RwLock { turn: Semaphore::new(ALL), cell: SharedCell::new(value) }
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.cell.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading, beside other readers, and waits for its turn before.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped gives up its place in the line, or the lock if that was given to it
    /// already. In a [cancelled region](crate::cancel#regions) a wait does not begin: the future
    /// takes a lock that is free, or stays pending.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn read(&self) -> Read<'_, T> {
        Reading { wait: Wait::new(self, ONE) }
    }

    /// Locks for writing, and waits until it is its turn and all others have left.
    ///
    /// # Cancellation
    ///
    /// As for [`read`](RwLock::read). The readers that a dropped writer kept out are let in at
    /// once.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn write(&self) -> Write<'_, T> {
        Writing { wait: Wait::new(self, ALL) }
    }

    /// Locks as [`read`](RwLock::read) does, for a guard that keeps the lock alive and borrows
    /// nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`read`](RwLock::read).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn read_owned(self: Arc<Self>) -> ReadOwned<T> {
        Reading { wait: Wait::new(self, ONE) }
    }

    /// Locks as [`write`](RwLock::write) does, for a guard that keeps the lock alive and borrows
    /// nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`write`](RwLock::write).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn write_owned(self: Arc<Self>) -> WriteOwned<T> {
        Writing { wait: Wait::new(self, ALL) }
    }

    /// Locks for reading if no writer has the lock and nobody waits for it.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.turn.try_take(ONE).is_ok().then(|| ReadGuard::new(self))
    }

    /// Locks for writing if nobody has the lock and nobody waits for it.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.turn.try_take(ALL).is_ok().then(|| WriteGuard::new(self))
    }

    /// Locks as [`try_read`](RwLock::try_read) does, for a guard that keeps the lock alive.
    pub fn try_read_owned(self: Arc<Self>) -> Option<OwnedRwLockReadGuard<T>> {
        self.turn.try_take(ONE).is_ok().then(|| ReadGuard::new(self))
    }

    /// Locks as [`try_write`](RwLock::try_write) does, for a guard that keeps the lock alive.
    pub fn try_write_owned(self: Arc<Self>) -> Option<OwnedRwLockWriteGuard<T>> {
        self.turn.try_take(ALL).is_ok().then(|| WriteGuard::new(self))
    }

    /// Returns the value, which needs no lock because nobody else can use it meanwhile.
    pub fn get_mut(&mut self) -> &mut T {
        self.cell.get_mut()
    }

    /// Returns the names of the children that read or write, as far as they are known. They are
    /// known while somebody observes, as for [`Semaphore::holders`].
    pub fn holders(&self) -> Vec<Name> {
        self.turn.holders()
    }

    /// Returns how many futures wait for the lock. [`in_use`](Statistics::in_use) is the number of
    /// readers, or 1 if there is a writer.
    pub fn statistics(&self) -> Statistics {
        let statistics = self.turn.statistics();
        let in_use = if statistics.in_use == ALL { 1 } else { statistics.in_use };
        Statistics { in_use, ..statistics }
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_struct("RwLock").field("value", &&*guard).finish(),
            None => f.debug_struct("RwLock").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

impl<T: ?Sized> Locked for RwLock<T> {
    type Value = T;

    fn cell(&self) -> &LockedCell<T> {
        &self.cell
    }

    fn exclusive_ended(&self) {
        self.turn.give(ALL);
    }
}

impl<T: ?Sized> LockedShared for RwLock<T> {
    fn shared_cell(&self) -> &SharedCell<T> {
        &self.cell
    }

    fn shared_ended(&self) {
        self.turn.give(ONE);
    }
}

waits_for_permits!(RwLock, "read-write lock");

/// Waits for the lock with the permits that were asked for.
fn poll_lock<P>(wait: &mut Wait<P>, cx: &mut Context<'_>) -> Poll<P>
where
    P: Line<Answer = <Semaphore as Line>::Answer>,
{
    wait.poll(cx).map(|(lock, answer)| {
        answer.expect("the semaphore of a lock is never closed");
        lock
    })
}

/// The future of [`RwLock::read`].
pub type Read<'a, T> = Reading<&'a RwLock<T>, T>;

/// The future of [`RwLock::read_owned`].
pub type ReadOwned<T> = Reading<Arc<RwLock<T>>, T>;

/// Waits to read. It has the lock by reference or in an [`Arc`].
///
/// This is [`Read`] or [`ReadOwned`].
#[must_use = "futures do nothing unless polled"]
pub struct Reading<P: Deref<Target = RwLock<T>>, T: ?Sized> {
    wait: Wait<P>,
}

impl<P: Stable + Deref<Target = RwLock<T>> + Unpin, T: ?Sized> Future for Reading<P, T> {
    type Output = ReadGuard<P, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll_lock(&mut self.wait, cx).map(ReadGuard::new)
    }
}

impl<P: Deref<Target = RwLock<T>>, T: ?Sized> fmt::Debug for Reading<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").finish_non_exhaustive()
    }
}

/// The future of [`RwLock::write`].
pub type Write<'a, T> = Writing<&'a RwLock<T>, T>;

/// The future of [`RwLock::write_owned`].
pub type WriteOwned<T> = Writing<Arc<RwLock<T>>, T>;

/// Waits to write. It has the lock by reference or in an [`Arc`].
///
/// This is [`Write`] or [`WriteOwned`].
#[must_use = "futures do nothing unless polled"]
pub struct Writing<P: Deref<Target = RwLock<T>>, T: ?Sized> {
    wait: Wait<P>,
}

impl<P: Stable + Deref<Target = RwLock<T>> + Unpin, T: ?Sized> Future for Writing<P, T> {
    type Output = WriteGuard<P, T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll_lock(&mut self.wait, cx).map(WriteGuard::new)
    }
}

impl<P: Deref<Target = RwLock<T>>, T: ?Sized> fmt::Debug for Writing<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}

/// The right to read what a [`RwLock`] protects, or a part of it, a `U`.
pub type RwLockReadGuard<'a, T, U = T> = ReadGuard<&'a RwLock<T>, T, U>;

/// A [`RwLockReadGuard`] that keeps its lock alive.
pub type OwnedRwLockReadGuard<T, U = T> = ReadGuard<Arc<RwLock<T>>, T, U>;

/// The right to read what a lock protects. It has the lock by reference or in an [`Arc`].
///
/// This is a [`RwLockReadGuard`] or an [`OwnedRwLockReadGuard`]. Its functions have no `self`, so
/// that they are not taken for methods of the value.
#[must_use = "the lock is left when the guard is dropped"]
pub struct ReadGuard<P: Deref<Target = RwLock<T>>, T: ?Sized, U: ?Sized = T> {
    access: Shared<P, T, U>,
}

impl<P: Deref<Target = RwLock<T>>, T: ?Sized> ReadGuard<P, T> {
    /// For the one who has just been given its permit.
    fn new(lock: P) -> Self
    where
        P: Stable,
    {
        lock.turn.note_holder(ONE);
        ReadGuard { access: Shared::new(lock) }
    }
}

impl<P: Deref<Target = RwLock<T>>, T: ?Sized, U: ?Sized> ReadGuard<P, T, U> {
    /// Returns the lock that this holds.
    pub fn rwlock(guard: &Self) -> &P {
        guard.access.owner()
    }
}

guards! {
    /// Call it as `RwLockReadGuard::map(guard, |value| &value.part)`.
    ReadGuard, RwLock
}

/// The right to change what a [`RwLock`] protects, or a part of it, a `U`.
pub type RwLockWriteGuard<'a, T, U = T> = WriteGuard<&'a RwLock<T>, T, U>;

/// A [`RwLockWriteGuard`] that keeps its lock alive.
pub type OwnedRwLockWriteGuard<T, U = T> = WriteGuard<Arc<RwLock<T>>, T, U>;

/// The right to change what a lock protects. It has the lock by reference or in an [`Arc`].
///
/// This is a [`RwLockWriteGuard`] or an [`OwnedRwLockWriteGuard`]. Its functions have no `self`, so
/// that they are not taken for methods of the value.
#[must_use = "the lock is left when the guard is dropped"]
pub struct WriteGuard<P: Deref<Target = RwLock<T>>, T: ?Sized, U: ?Sized = T> {
    access: Exclusive<P, T, U>,
}

impl<P: Deref<Target = RwLock<T>>, T: ?Sized> WriteGuard<P, T> {
    /// For the one who has just been given all permits.
    fn new(lock: P) -> Self
    where
        P: Stable,
    {
        lock.turn.note_holder(ALL);
        WriteGuard { access: Exclusive::new(lock) }
    }

    /// Goes on as a reader, and lets in the readers that come next in the line.
    ///
    /// There is no gap: no writer gets the lock in between. A guard that was narrowed by
    /// [`map`](WriteGuard::map) cannot do this, because what it was narrowed to need not be safe to
    /// share with those who read the whole.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::sync::{RwLock, RwLockWriteGuard};
    ///
    /// let config = RwLock::new(1);
    /// let mut writer = config.write().await;
    /// *writer += 1;
    /// let reader = RwLockWriteGuard::downgrade(writer);
    /// assert_eq!((*reader, *config.read().await), (2, 2));
    /// # });
    /// ```
    pub fn downgrade(guard: Self) -> ReadGuard<P, T> {
        let reader = ReadGuard { access: guard.access.downgrade() };
        // After the cell is shared, because whoever this lets in enters the cell at once.
        ReadGuard::rwlock(&reader).turn.give(ALL - ONE);
        reader
    }
}

impl<P: Deref<Target = RwLock<T>>, T: ?Sized, U: ?Sized> WriteGuard<P, T, U> {
    /// Returns the lock that this holds.
    pub fn rwlock(guard: &Self) -> &P {
        guard.access.owner()
    }
}

guards! {
    /// Call it as `RwLockWriteGuard::map(guard, |value| &mut value.part)`.
    WriteGuard, RwLock, mut
}
