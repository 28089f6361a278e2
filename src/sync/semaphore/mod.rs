//! A counting semaphore whose waiters are served in the order in which they came.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::context::{self, Watch};
use crate::engine::atomics::const_unless_loom;
use crate::name::Name;
use crate::task::polled;
use crate::trace::observed;

mod error;
mod free;
mod holders;
mod state;

use error::Unavailable;
pub use error::{AcquireError, AddError, TryAcquireError};
use free::Free;
pub(crate) use holders::HeldBy;
pub(crate) use state::State;

/// Limits how many do something at the same time.
///
/// A semaphore has a number of permits. [`acquire`](Semaphore::acquire) takes some of them and
/// waits until there are enough, and dropping the [`Permit`] gives them back. The counterpart of
/// asyncio's `Semaphore`, of Trio's `CapacityLimiter` and of tokio's `Semaphore`.
///
/// To run many items a few at a time, there is
/// [`map_concurrent`](crate::ConcurrentIterator::map_concurrent), which needs no semaphore.
///
/// # Fairness
///
/// Waiters are served strictly in the order of their first poll. Permits that are given back go to
/// the first waiter at once, before it runs, so nobody overtakes it. While anyone waits,
/// [`try_acquire`](Semaphore::try_acquire) fails.
///
/// So a waiter who asks for many permits holds up those behind it, even if there are enough for
/// them. In return it is not passed over for ever.
///
/// # Cost
///
/// Acquiring and releasing without waiting is one atomic operation each, and allocates nothing. A
/// waiter takes 40 bytes, for which a lock is held for a moment. To cancel one takes the same time
/// however many there are. The memory of more than 32 waiters is given back when the last of them
/// has left.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{local, sync::Semaphore, yield_now};
/// use std::cell::Cell;
///
/// let (connections, open) = (Semaphore::new(2), Cell::new(0));
/// local::scope(async |s| {
///     for _ in 0..5 {
///         s.spawn(async {
///             let _permit = connections.acquire(1).await.expect("nobody closes it");
///             open.set(open.get() + 1);
///             assert!(open.get() <= 2);
///             yield_now().await;
///             open.set(open.get() - 1);
///         });
///     }
/// }).await;
/// # });
/// ```
pub struct Semaphore {
    /// The permits that nobody has. They are shut while the lock is needed to change them: while
    /// somebody waits, while more are in use than there should be, while a holder is known by name,
    /// and once it is closed.
    free: Free,
    list: WaitList<State>,
}

impl Semaphore {
    /// The largest number of permits that a semaphore can have.
    pub const MAX_PERMITS: usize = Free::MAX;

    const_unless_loom! {
        /// Creates a semaphore with so many permits, to which more can be [added](Semaphore::add).
        ///
        /// With zero permits everybody waits until some are added.
        ///
        /// # Panics
        ///
        /// Panics if `permits` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
        #[track_caller]
        pub const fn new(permits: usize) -> Semaphore {
            Semaphore::with(permits, None)
        }
    }

    const_unless_loom! {
        /// Creates a semaphore that never has more than so many permits, and refuses to
        /// [add](Semaphore::try_add) more.
        ///
        /// This finds the mistake of adding what nobody has [forgotten](Permits::forget). The
        /// counterpart of asyncio's `BoundedSemaphore`.
        ///
        /// # Panics
        ///
        /// Panics if `permits` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
        #[track_caller]
        pub const fn bounded(permits: usize) -> Semaphore {
            Semaphore::with(permits, Some(permits))
        }
    }

    const_unless_loom! {
        #[track_caller]
        const fn with(permits: usize, bound: Option<usize>) -> Semaphore {
            assert!(permits <= Semaphore::MAX_PERMITS, "a semaphore can have at most `Semaphore::MAX_PERMITS` permits");
            Semaphore { free: Free::new(permits), list: WaitList::new(State::new(permits, bound)) }
        }
    }

    /// Takes `count` permits, and waits until it is its turn and there are so many.
    ///
    /// Zero permits are taken when all who came before have theirs.
    ///
    /// # Cancellation
    ///
    /// A future that is dropped gives up its place in the line, and the permits that it may have
    /// been given already. Those behind it move up at once. In a
    /// [cancelled region](crate::cancel#regions) a wait does not begin: the future takes what is
    /// free, or stays pending.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if the semaphore is closed, also while this waits,
    /// - if `count` exceeds the total number of permits, so that there would never be enough. A
    ///   future that waits gets this error when [`resize`](Semaphore::resize) or a `forget` leaves
    ///   a total that is smaller than its `count`. A total of zero is the exception: then everybody
    ///   waits, since permits may be [added](Semaphore::add). Adding permits never ends a wait with
    ///   this error.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn acquire(&self, count: usize) -> Acquire<'_> {
        Acquiring::new(self, count)
    }

    /// Takes `count` permits as [`acquire`](Semaphore::acquire) does, for a permit that keeps the
    /// semaphore alive and borrows nothing.
    ///
    /// # Cancellation
    ///
    /// As for [`acquire`](Semaphore::acquire).
    ///
    /// # Errors
    ///
    /// As for [`acquire`](Semaphore::acquire).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::sync::{OwnedPermit, Semaphore};
    /// use std::sync::Arc;
    ///
    /// let slots = Arc::new(Semaphore::new(3));
    /// let permit: OwnedPermit = slots.clone().acquire_owned(2).await?;
    /// assert_eq!(slots.available(), 1);
    /// std::thread::spawn(move || drop(permit)).join().unwrap();
    /// assert_eq!(slots.available(), 3);
    /// # Ok::<_, foster::sync::AcquireError>(()) }).unwrap();
    /// ```
    pub fn acquire_owned(self: Arc<Self>, count: usize) -> AcquireOwned {
        Acquiring::new(self, count)
    }

    /// Takes `count` permits if they are free and nobody waits.
    ///
    /// # Errors
    ///
    /// Returns an error if they are not, or for the reasons for which
    /// [`acquire`](Semaphore::acquire) does.
    pub fn try_acquire(&self, count: usize) -> Result<Permit<'_>, TryAcquireError> {
        self.try_take(count)?;
        Ok(Permits::new(self, count))
    }

    /// Takes `count` permits as [`try_acquire`](Semaphore::try_acquire) does, for a permit that
    /// keeps the semaphore alive.
    ///
    /// # Errors
    ///
    /// As for [`try_acquire`](Semaphore::try_acquire).
    pub fn try_acquire_owned(self: Arc<Self>, count: usize) -> Result<OwnedPermit, TryAcquireError> {
        self.try_take(count)?;
        Ok(Permits::new(self, count))
    }

    /// Closes the semaphore: from now on nobody gets permits, and all who wait get an error.
    ///
    /// Permits that have been given out stay valid, also those whose future has not been polled
    /// since.
    pub fn close(&self) {
        self.change(|state, _, wakes| state.close(wakes));
    }

    /// Returns whether the semaphore was closed.
    pub fn is_closed(&self) -> bool {
        self.list.with(|state| state.is_closed())
    }

    /// Adds `count` permits to those that there are.
    ///
    /// # Panics
    ///
    /// Panics if [`try_add`](Semaphore::try_add) would return an error.
    #[track_caller]
    pub fn add(&self, count: usize) {
        if let Err(error) = self.try_add(count) {
            panic!("{error}");
        }
    }

    /// Adds `count` permits to those that there are, unless they would be too many.
    ///
    /// # Errors
    ///
    /// Returns an error if there would be more than the [bound](Semaphore::bounded), or more than
    /// [`MAX_PERMITS`](Semaphore::MAX_PERMITS). Then nothing has changed.
    pub fn try_add(&self, count: usize) -> Result<(), AddError> {
        self.change(|state, free, wakes| state.add(count, free, wakes))
    }

    /// Gives `count` permits back that were [detached](Permits::detach) from their guards.
    ///
    /// # Panics
    ///
    /// Panics if fewer are detached. Then nothing has changed.
    #[track_caller]
    pub fn release(&self, count: usize) {
        let released = self.change(|state, free, wakes| state.release(count, free, wakes));
        assert!(released, "fewer than {count} permits are detached; release those that were detached, once");
    }

    /// Takes up to `count` of the free permits away for good, and returns how many that were.
    ///
    /// To take away those in use as well, use [`resize`](Semaphore::resize).
    pub fn forget(&self, count: usize) -> usize {
        self.change(|state, free, wakes| state.forget_free(count, free, wakes))
    }

    /// Makes `total` the number of permits, free and in use. It is the new bound of a semaphore
    /// that is [bounded](Semaphore::bounded).
    ///
    /// This can be less than are in use. Then nobody gets a permit until enough have been given
    /// back. It can be zero, which keeps everybody waiting. The counterpart of setting
    /// `total_tokens` of a Trio `CapacityLimiter`.
    ///
    /// # Panics
    ///
    /// Panics if `total` exceeds [`MAX_PERMITS`](Semaphore::MAX_PERMITS).
    ///
    /// ```
    /// # use foster::sync::Semaphore;
    /// let slots = Semaphore::new(3);
    /// let (first, second) = (slots.try_acquire(1).unwrap(), slots.try_acquire(1).unwrap());
    /// slots.resize(1);
    /// drop(first);
    /// assert!(slots.try_acquire(1).is_err(), "there is one, and it is in use");
    /// drop(second);
    /// assert!(slots.try_acquire(1).is_ok());
    /// ```
    #[track_caller]
    pub fn resize(&self, total: usize) {
        assert!(total <= Self::MAX_PERMITS, "a semaphore can have at most `Semaphore::MAX_PERMITS` permits");
        self.change(|state, free, wakes| state.resize(total, free, wakes));
    }

    /// Returns how many permits are free.
    ///
    /// They can be fewer than the first waiter needs, so this can be above zero while others wait.
    pub fn available(&self) -> usize {
        self.free.count()
    }

    /// Returns how many permits are in use and how many futures wait.
    pub fn statistics(&self) -> Statistics {
        self.change(|state, free, _| state.statistics(*free))
    }

    /// Returns the names of the children that hold permits, as far as they are known. Each is named
    /// once for each time that it has taken some and not given them back, in this order.
    ///
    /// They are known while somebody observes. Today that is a simulation
    /// ([`Sim`](crate::runtimes)), whose report on a deadlock tells them. On other runtimes
    /// nobody is named, and to note nobody costs nothing.
    ///
    /// A permit that is passed on and dropped by another child is taken to be one of that child's,
    /// if it has any.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{scope, sleep, sync::Semaphore};
    ///     use std::time::Duration;
    ///
    ///     let slots = Semaphore::new(2);
    ///     scope(async |s| {
    ///         s.named("fetch").spawn(async {
    ///             let _slot = slots.acquire(1).await;
    ///             sleep(Duration::from_secs(1)).await;
    ///         });
    ///         sleep(Duration::from_millis(500)).await;
    ///         assert_eq!(slots.holders(), ["fetch"]);
    ///     }).await;
    ///     assert!(slots.holders().is_empty());
    /// });
    /// ```
    pub fn holders(&self) -> Vec<Name> {
        self.list.with(|state| state.holders.names())
    }

    /// Notes who has just taken permits, while somebody observes.
    #[inline]
    pub(super) fn note_holder(&self, count: usize) {
        if observed::is_observed() {
            self.note_polled(count);
        }
    }

    #[cold]
    fn note_polled(&self, count: usize) {
        // It may be another thread that is observed.
        let is_watched = context::with(|ambient| ambient.watch.get() != Watch::No);
        if let Some(name) = polled::name().filter(|_| is_watched) {
            self.change(|state, _, _| state.holders.note(name, count));
        }
    }

    #[inline]
    pub(super) fn try_take(&self, count: usize) -> Result<(), TryAcquireError> {
        if self.free.take(count) { Ok(()) } else { self.try_take_slowly(count) }
    }

    #[cold]
    fn try_take_slowly(&self, count: usize) -> Result<(), TryAcquireError> {
        self.change(|state, free, _| state.try_take(count, free)).map_err(|kind| TryAcquireError { kind })
    }

    /// Takes permits back.
    #[inline]
    pub(super) fn give(&self, count: usize) {
        if !self.free.give(count) {
            self.give_slowly(count);
        }
    }

    #[inline(never)]
    fn give_slowly(&self, count: usize) {
        self.change(|state, free, wakes| state.end_hold(count, free, wakes));
    }

    /// Changes the state and the number of free permits.
    #[inline]
    fn change<R>(&self, change: impl FnOnce(&mut State, &mut usize, &mut Wakes) -> R) -> R {
        self.list.change(|state, wakes| self.locked(state, |state, free| change(state, free, wakes)))
    }

    /// Changes both while the lock is held.
    #[inline]
    fn locked<R>(&self, state: &mut State, change: impl FnOnce(&mut State, &mut usize) -> R) -> R {
        let mut free = self.free.shut();
        let result = change(state, &mut free);
        self.free.set(free, state.needs_the_lock());
        result
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

impl Line for Semaphore {
    type State = State;
    type Ask = usize;
    type Answer = Result<(), AcquireError>;

    fn list(&self) -> &WaitList<State> {
        &self.list
    }

    fn waiters<'s>(&self, state: &'s mut State) -> &'s mut Waiters<usize, Self::Answer> {
        state.waiters()
    }

    #[inline]
    fn pass(&self, count: &usize) -> Option<Self::Answer> {
        self.free.take(*count).then_some(Ok(()))
    }

    /// The permits may be shut only because their holders are noted.
    fn take_free(&self, count: &usize) -> Option<Self::Answer> {
        self.try_take(*count).ok().map(Ok)
    }

    fn join(&self, state: &mut State, count: usize, _: &mut Wakes) -> Result<Self::Answer, usize> {
        let mut free = self.free.shut();
        let taken = match state.try_take(count, &mut free) {
            // It stays shut, because it becomes a waiter before the lock is released. Were it
            // opened in between, permits could come back without the waiter's knowledge.
            Err(Unavailable::NoPermits) => return Err(count),
            taken => taken.map_err(|kind| AcquireError { kind }),
        };
        self.free.set(free, state.needs_the_lock());
        Ok(taken)
    }

    fn leave(&self, state: &mut State, count: usize, answer: Option<Self::Answer>, wakes: &mut Wakes) {
        let taken = if let Some(Ok(())) = answer { count } else { 0 };
        self.locked(state, |state, free| state.give(taken, free, wakes));
    }

    fn describe(&self) -> String {
        format!("semaphore, of which {} are free{}", self.available(), HeldBy(self.holders()))
    }
}

/// The future of [`Semaphore::acquire`].
pub type Acquire<'a> = Acquiring<&'a Semaphore>;

/// The future of [`Semaphore::acquire_owned`].
pub type AcquireOwned = Acquiring<Arc<Semaphore>>;

/// Waits for permits of a semaphore, which it has by reference or in an [`Arc`].
///
/// This is [`Acquire`] or [`AcquireOwned`].
#[must_use = "futures do nothing unless polled"]
pub struct Acquiring<S: Deref<Target = Semaphore>> {
    wait: Wait<S>,
    count: usize,
}

impl<S: Deref<Target = Semaphore>> Acquiring<S> {
    fn new(semaphore: S, count: usize) -> Self {
        Acquiring { wait: Wait::new(semaphore, count), count }
    }
}

impl<S: Deref<Target = Semaphore> + Unpin> Future for Acquiring<S> {
    type Output = Result<Permits<S>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let count = self.count;
        self.wait.poll(cx).map(|(semaphore, answer)| answer.map(|()| Permits::new(semaphore, count)))
    }
}

impl<S: Deref<Target = Semaphore>> fmt::Debug for Acquiring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").field("count", &self.count).finish_non_exhaustive()
    }
}

/// Permits of a [`Semaphore`], which are given back when this is dropped.
pub type Permit<'a> = Permits<&'a Semaphore>;

/// Permits of a [`Semaphore`] that they keep alive. They are given back when this is dropped.
pub type OwnedPermit = Permits<Arc<Semaphore>>;

/// Permits of a semaphore, which it has by reference or in an [`Arc`].
///
/// This is a [`Permit`] or an [`OwnedPermit`]. Where it is leaked by [`std::mem::forget`], its
/// permits stay in use. Those who need them wait for ever.
#[must_use = "permits are given back when they are dropped"]
pub struct Permits<S: Deref<Target = Semaphore>> {
    semaphore: S,
    count: usize,
}

impl<S: Deref<Target = Semaphore>> Permits<S> {
    /// For the one who has just been given them.
    #[inline]
    fn new(semaphore: S, count: usize) -> Self {
        semaphore.note_holder(count);
        Permits { semaphore, count }
    }

    /// Returns how many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps these permits in use without a guard, and returns how many they are.
    ///
    /// They are given back by [`Semaphore::release`], from wherever the number is known. The
    /// counterpart of asyncio's `acquire` and `release`.
    ///
    /// ```
    /// # use foster::sync::Semaphore;
    /// let slots = Semaphore::new(3);
    /// let count = slots.try_acquire(2).unwrap().detach();
    /// assert_eq!((count, slots.available()), (2, 1));
    /// slots.release(count);
    /// assert_eq!(slots.available(), 3);
    /// ```
    pub fn detach(mut self) -> usize {
        let count = std::mem::take(&mut self.count);
        self.semaphore.list.with(|state| state.detach(count));
        count
    }

    /// Takes these permits away for good: the semaphore has so many fewer.
    ///
    /// Another part of the program can [`add`](Semaphore::add) them again.
    pub fn forget(mut self) {
        let count = std::mem::take(&mut self.count);
        self.semaphore.change(|state, free, wakes| state.forget_used(count, free, wakes));
    }

    /// Splits `count` permits off. Returns `None` if there are not so many.
    pub fn split(&mut self, count: usize) -> Option<Self>
    where
        S: Clone,
    {
        self.count = self.count.checked_sub(count)?;
        Some(Permits { semaphore: self.semaphore.clone(), count })
    }

    /// Takes the permits of another value in.
    ///
    /// # Panics
    ///
    /// Panics if they are of another semaphore.
    #[track_caller]
    pub fn merge(&mut self, mut other: Self) {
        assert!(std::ptr::eq(&*self.semaphore, &*other.semaphore), "permits of two semaphores cannot be merged");
        self.count += std::mem::take(&mut other.count);
    }
}

impl<S: Deref<Target = Semaphore>> Drop for Permits<S> {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.give(self.count);
        }
    }
}

impl<S: Deref<Target = Semaphore>> fmt::Debug for Permits<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("count", &self.count).finish_non_exhaustive()
    }
}
