//! Locks, limits and signals for futures, which are fair and work on any runtime.
//!
//! | to do | use | asyncio | tokio |
//! |---|---|---|---|
//! | let only a few do something at once | [`Semaphore`] | `Semaphore` | `Semaphore` |
//! | the same, and refuse to raise the limit | [`Semaphore::bounded`] | `BoundedSemaphore` | – |
//! | change the limit while it is used | [`Semaphore::resize`] | – | – |
//! | change a value across `.await`, one at a time | [`Mutex`] | `Lock` | `Mutex` |
//! | let many read a value across `.await`, or one change it | [`RwLock`] | – | `RwLock` |
//! | wait until something has happened | [`Event`] | `Event` | `Notify` |
//! | let several wait for each other | [`Barrier`] | `Barrier` | `Barrier` |
//! | wait for a change of what a mutex protects | [`Condition`] | `Condition` | – |
//! | give one value to whoever waits for it | [`oneshot`] | `Future` | `oneshot` |
//! | tell many the latest value | [`watch`] | – | `watch` |
//! | tell many every value | `async_broadcast`, with the feature `async-broadcast` | – | `broadcast` |
//! | compute a value once, when it is needed | [`OnceCell`] | – | `OnceCell` |
//! | do the same work once for all who ask meanwhile | [`Singleflight`](crate::future::Singleflight) | – | – |
//!
//! Where items come from an iterator or a stream,
//! [`map_concurrent`](crate::ConcurrentIterator::map_concurrent) limits how many are in flight, and
//! needs nothing from this page.
//!
//! # Turns
//!
//! All of them have the same rules:
//!
//! - Waiters have their turn in the order in which their futures were first polled. Nobody
//!   overtakes them, neither by a `try_` method nor by asking for less.
//! - Whoever releases gives the turn to the first waiter, which has it from that moment, whenever
//!   its task runs.
//! - A future that is dropped leaves the line. If it had its turn already, the next one has it.
//!   Either way, those whom it kept waiting are let in by its drop.
//! - A waiter that is woken has its turn, and need not wait again. There are three exceptions. One
//!   that is notified by a [`Condition`] still has to lock the mutex. One that waits for a
//!   [`OnceCell`] whose initialiser has failed may wait for the next one. A `wait_for` whose
//!   predicate refuses the value waits for another value.
//!
//! This has a price. If the first waiter belongs to a task that does not run for a while, all
//! others wait for it. Where this matters more than order, the crate `async-lock` has locks that
//! newcomers may take first. With the features `async-lock` and `async-channel` they are here, as
//! `async_lock` and `async_channel`, with a table of what is different.
//!
//! A future that need not wait completes in the same poll. So a loop that locks what is always
//! free, and awaits nothing else, keeps the siblings of its task from running: call
//! [`yield_now`](crate::yield_now) in it. A [queue](crate::queue#a-queue-that-is-never-empty)
//! yields by itself.
//!
//! Only the initialisers of a [`OnceCell`] may begin in any order: what they compute is for all.
//!
//! # Cancellation
//!
//! Dropping a future of this page at any time loses nothing but its place in the line. In a
//! [cancelled region](crate::cancel#regions), where nothing new starts, a future takes what is free
//! and does not begin to wait. Finalizers and shields lie in no cancelled region, and can wait.
//!
//! # Runtimes
//!
//! Nothing here needs a runtime. Tasks of several runtimes and threads may share one lock. No lock
//! is held while a waker, a destructor or code of the caller runs.

#[cfg(feature = "async-broadcast")]
pub mod async_broadcast;
#[cfg(feature = "async-channel")]
pub mod async_channel;
#[cfg(feature = "async-lock")]
pub mod async_lock;
mod barrier;
mod condition;
mod event;
mod lock;
mod mutex;
mod once_cell;
pub mod oneshot;
mod rwlock;
mod semaphore;
mod statistics;
pub(crate) mod wait_list;
pub(crate) mod waiters;
pub(crate) mod wakes;
pub mod watch;

pub use barrier::{Barrier, BarrierWait, BarrierWaitResult, BrokenBarrier};
pub use condition::{Condition, ConditionWait, ConditionWaitFor};
pub use event::{Event, EventWait};
pub use mutex::{Guard, Lock, LockOwned, Locking, Mutex, MutexGuard, OwnedMutexGuard};
pub use once_cell::{GetOrInit, GetOrTryInit, OnceCell, SetError};
pub use rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, Read, ReadGuard, ReadOwned, Reading, RwLock, RwLockReadGuard,
    RwLockWriteGuard, Write, WriteGuard, WriteOwned, Writing,
};
pub(crate) use semaphore::HeldBy;
pub use semaphore::{
    Acquire, AcquireError, AcquireOwned, Acquiring, AddError, OwnedPermit, Permit, Permits, Semaphore, TryAcquireError,
};
pub use statistics::Statistics;
