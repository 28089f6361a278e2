//! A mutex whose waiters have it in the order in which they came.

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
use crate::engine::cell::{Exclusive, Locked, LockedCell, Stable};
use crate::name::Name;

/// Protects a value that one at a time may use, across `.await`.
///
/// [`lock`](Mutex::lock) waits until it is its turn, and gives a [`MutexGuard`]. Dropping the guard
/// gives the mutex to the next one. The counterpart of asyncio's `Lock`, of Trio's `StrictFIFOLock`
/// and of tokio's `Mutex`.
///
/// A value that is used without awaiting anything meanwhile is better kept in a
/// [`std::sync::Mutex`].
///
/// # Fairness
///
/// The mutex goes strictly in the order of the first polls. From the moment at which it is released
/// it belongs to the first waiter, before that has run, and nobody overtakes it.
///
/// # Panics of a holder
///
/// There is no poisoning. If a task panics while it holds the guard, the guard is dropped, and the
/// next one finds the value as it was left. The panic reaches the scope of the task, which cancels
/// the others that could see the value, if they are its children.
///
/// # Deadlocks
///
/// A task that holds the guard and locks again waits for itself, for ever. Under
/// [`Sim`](crate::runtimes) the report says what everybody waits for, and who holds it. A guard
/// that is [forgotten](std::mem::forget) keeps the mutex locked for good.
///
/// # Cost
///
/// To lock and unlock without waiting takes a few atomic operations and allocates nothing. For
/// waiters the costs are those of a [`Semaphore`].
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{scope, sync::Mutex, yield_now};
///
/// let account = Mutex::new(100);
/// scope(async |s| {
///     for _ in 0..10 {
///         s.spawn(async {
///             let mut balance = account.lock().await;
///             let read = *balance;
///             yield_now().await; // nobody else can change it meanwhile
///             *balance = read - 1;
///         });
///     }
/// }).await;
/// assert_eq!(account.into_inner(), 90);
/// # });
/// ```
pub struct Mutex<T: ?Sized> {
    /// Has one permit, which belongs to whoever may enter the cell.
    turn: Semaphore,
    cell: LockedCell<T>,
}

impl<T> Mutex<T> {
    const_unless_loom! {
        /// Creates a mutex that nobody has locked.
        pub const fn new(value: T) -> Mutex<T> {
            Mutex { turn: Semaphore::new(1), cell: LockedCell::new(value) }
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.cell.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks the mutex, and waits for its turn before.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped gives up its place in the line, or the mutex if that was given to
    /// it already. In a [cancelled region](crate::cancel#regions) a wait does not begin: the future
    /// locks a mutex that is free, or stays pending.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn lock(&self) -> Lock<'_, T> {
        Locking::new(self)
    }

    /// Locks the mutex as [`lock`](Mutex::lock) does, for a guard that keeps it alive and borrows
    /// nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`lock`](Mutex::lock).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::sync::{Mutex, OwnedMutexGuard};
    /// use std::sync::Arc;
    ///
    /// let log = Arc::new(Mutex::new(Vec::new()));
    /// let mut guard: OwnedMutexGuard<Vec<&str>> = log.clone().lock_owned().await;
    /// std::thread::spawn(move || guard.push("from another thread")).join().unwrap();
    /// assert_eq!(log.lock().await.len(), 1);
    /// # });
    /// ```
    pub fn lock_owned(self: Arc<Self>) -> LockOwned<T> {
        Locking::new(self)
    }

    /// Locks the mutex if nobody has it and nobody waits for it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.turn.try_take(1).is_ok().then(|| Guard::new(self))
    }

    /// Locks the mutex as [`try_lock`](Mutex::try_lock) does, for a guard that keeps it alive.
    pub fn try_lock_owned(self: Arc<Self>) -> Option<OwnedMutexGuard<T>> {
        self.turn.try_take(1).is_ok().then(|| Guard::new(self))
    }

    /// Returns whether the mutex is locked, or has been given to a waiter.
    pub fn is_locked(&self) -> bool {
        self.turn.available() == 0
    }

    /// Returns the value, which needs no lock because nobody else can use the mutex meanwhile.
    pub fn get_mut(&mut self) -> &mut T {
        self.cell.get_mut()
    }

    /// Returns the name of the child that has locked the mutex, if that is known. It is known while
    /// somebody observes, as for [`Semaphore::holders`].
    pub fn holder(&self) -> Option<Name> {
        self.turn.holders().pop()
    }

    /// Returns whether the mutex is in use, and how many futures wait for it.
    pub fn statistics(&self) -> Statistics {
        self.turn.statistics()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_struct("Mutex").field("value", &&*guard).finish(),
            None => f.debug_struct("Mutex").field("value", &format_args!("<locked>")).finish(),
        }
    }
}

impl<T: ?Sized> Locked for Mutex<T> {
    type Value = T;

    fn cell(&self) -> &LockedCell<T> {
        &self.cell
    }

    #[inline]
    fn exclusive_ended(&self) {
        self.turn.give(1);
    }
}

waits_for_permits!(Mutex, "mutex");

/// The future of [`Mutex::lock`].
pub type Lock<'a, T> = Locking<&'a Mutex<T>, T>;

/// The future of [`Mutex::lock_owned`].
pub type LockOwned<T> = Locking<Arc<Mutex<T>>, T>;

/// Waits for a mutex, which it has by reference or in an [`Arc`].
///
/// This is [`Lock`] or [`LockOwned`].
#[must_use = "futures do nothing unless polled"]
pub struct Locking<P: Deref<Target = Mutex<T>>, T: ?Sized> {
    wait: Wait<P>,
}

impl<P: Deref<Target = Mutex<T>>, T: ?Sized> Locking<P, T> {
    fn new(mutex: P) -> Self {
        Locking { wait: Wait::new(mutex, 1) }
    }

    /// Locks for one who has waited for something else before.
    pub(super) fn going_on(mutex: P) -> Self {
        Locking { wait: Wait::going_on(mutex, 1) }
    }
}

impl<P: Stable + Deref<Target = Mutex<T>> + Unpin, T: ?Sized> Future for Locking<P, T> {
    type Output = Guard<P, T>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.wait.poll(cx).map(|(mutex, answer)| {
            answer.expect("the semaphore of a mutex is never closed");
            Guard::new(mutex)
        })
    }
}

impl<P: Deref<Target = Mutex<T>>, T: ?Sized> fmt::Debug for Locking<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locking").finish_non_exhaustive()
    }
}

/// The right to use what a [`Mutex`] protects, or a part of it, a `U`. Dropping it unlocks the
/// mutex.
pub type MutexGuard<'a, T, U = T> = Guard<&'a Mutex<T>, T, U>;

/// A [`MutexGuard`] that keeps its mutex alive.
pub type OwnedMutexGuard<T, U = T> = Guard<Arc<Mutex<T>>, T, U>;

/// The right to use what a mutex protects. It has the mutex by reference or in an [`Arc`].
///
/// This is a [`MutexGuard`] or an [`OwnedMutexGuard`]. Its functions have no `self`, so that they
/// are not taken for methods of the value.
#[must_use = "the mutex is unlocked when the guard is dropped"]
pub struct Guard<P: Deref<Target = Mutex<T>>, T: ?Sized, U: ?Sized = T> {
    access: Exclusive<P, T, U>,
}

impl<P: Deref<Target = Mutex<T>>, T: ?Sized> Guard<P, T> {
    /// For the one who has just been given the permit.
    #[inline]
    fn new(mutex: P) -> Self
    where
        P: Stable,
    {
        mutex.turn.note_holder(1);
        Guard { access: Exclusive::new(mutex) }
    }
}

impl<P: Deref<Target = Mutex<T>>, T: ?Sized, U: ?Sized> Guard<P, T, U> {
    /// Returns the mutex that this unlocks.
    pub fn mutex(guard: &Self) -> &P {
        guard.access.owner()
    }
}

guards! {
    /// Call it as `MutexGuard::map(guard, |value| &mut value.part)`.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::sync::{Mutex, MutexGuard};
    ///
    /// struct Account { owner: String, balance: u32 }
    /// let account = Mutex::new(Account { owner: "Ada".into(), balance: 5 });
    /// let mut balance = MutexGuard::map(account.lock().await, |account| &mut account.balance);
    /// *balance += 1;
    /// drop(balance);
    /// assert_eq!(account.lock().await.balance, 6);
    /// # assert_eq!(account.into_inner().owner, "Ada");
    /// # });
    /// ```
    Guard, Mutex, mut
}
