//! A counting semaphore whose waiters are served in the order in which they came.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::free::Free;
use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::const_unless_loom;

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
    /// somebody waits, while more are in use than there should be, and once it is closed.
    free: Free,
    list: WaitList<State>,
}

/// What is under the lock.
pub(crate) struct State {
    /// How many permits there are, free or in use.
    total: usize,
    /// How many of those in use are too many, and cease to exist when they are given back. Above
    /// zero only while none is free.
    excess: usize,
    /// How many there may be at most.
    bound: Option<usize>,
    is_closed: bool,
    waiters: Waiters<usize, Result<(), AcquireError>>,
}

impl State {
    fn needs_the_lock(&self) -> bool {
        self.is_closed || self.excess > 0 || !self.waiters.is_empty()
    }

    /// Whether so many are more than there can be. A total of zero says nothing: it keeps everybody
    /// waiting until there are permits.
    fn is_too_many(&self, count: usize) -> bool {
        count > self.total && self.total > 0
    }

    /// Takes permits if they are free and nobody waits.
    fn try_take(&self, count: usize, free: &mut usize) -> Result<(), Kind> {
        if self.is_closed {
            return Err(Kind::Closed);
        }
        if self.is_too_many(count) {
            return Err(Kind::TooMany);
        }
        if count > *free || !self.waiters.is_empty() {
            return Err(Kind::NoPermits);
        }
        *free -= count;
        Ok(())
    }

    /// Answers as many of the first waiters as there are permits for.
    fn let_in(&mut self, free: &mut usize, wakes: &mut Wakes) {
        while let Some(&count) = self.waiters.first() {
            if count > *free {
                return;
            }
            *free -= count;
            self.waiters.answer_first(Ok(()), wakes);
        }
    }

    /// Takes permits back, and passes them on.
    fn give(&mut self, count: usize, free: &mut usize, wakes: &mut Wakes) {
        let gone = count.min(self.excess);
        self.excess -= gone;
        *free += count - gone;
        self.let_in(free, wakes);
    }

    /// Sets the number of permits, of which so many are in use.
    fn set_total(&mut self, total: usize, in_use: usize, free: &mut usize, wakes: &mut Wakes) {
        let shrinks = total < self.total;
        self.total = total;
        *free = total.saturating_sub(in_use);
        self.excess = in_use.saturating_sub(total);
        if shrinks && total > 0 {
            let error = AcquireError { kind: Kind::TooMany };
            self.waiters.answer_where(wakes, |&count| (count > total).then_some(Err(error)));
        }
        self.let_in(free, wakes);
    }

    fn in_use(&self, free: usize) -> usize {
        self.total + self.excess - free
    }
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
        pub const fn bounded(permits: usize) -> Semaphore {
            Semaphore::with(permits, Some(permits))
        }
    }

    const_unless_loom! {
        const fn with(permits: usize, bound: Option<usize>) -> Semaphore {
            assert!(permits <= Semaphore::MAX_PERMITS, "a semaphore can have at most `Semaphore::MAX_PERMITS` permits");
            let state = State { total: permits, excess: 0, bound, is_closed: false, waiters: Waiters::new() };
            Semaphore { free: Free::new(permits), list: WaitList::new(state) }
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
    /// - if `count` is more than all permits there are, since they would never be enough. It is
    ///   also the end of a wait if the number of permits is made smaller than that. If there are
    ///   none at all, everybody waits.
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
        Ok(Permits { semaphore: self, count })
    }

    /// Takes `count` permits as [`try_acquire`](Semaphore::try_acquire) does, for a permit that
    /// keeps the semaphore alive.
    ///
    /// # Errors
    ///
    /// As for [`try_acquire`](Semaphore::try_acquire).
    pub fn try_acquire_owned(self: Arc<Self>, count: usize) -> Result<OwnedPermit, TryAcquireError> {
        self.try_take(count)?;
        Ok(Permits { semaphore: self, count })
    }

    /// Closes the semaphore: from now on nobody gets permits, and all who wait get an error.
    ///
    /// Permits that have been given out stay valid, also those whose future has not been polled
    /// since.
    pub fn close(&self) {
        self.change(|state, _, wakes| {
            state.is_closed = true;
            let error = AcquireError { kind: Kind::Closed };
            state.waiters.answer_where(wakes, |_| Some(Err(error)));
        });
    }

    /// Returns whether the semaphore was closed.
    pub fn is_closed(&self) -> bool {
        self.list.with(|state| state.is_closed)
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
        self.change(|state, free, wakes| {
            let bound = state.bound.unwrap_or(Semaphore::MAX_PERMITS);
            let total = state.total.checked_add(count).filter(|total| *total <= bound).ok_or(AddError { bound })?;
            state.set_total(total, state.in_use(*free), free, wakes);
            Ok(())
        })
    }

    /// Takes up to `count` of the free permits away for good, and returns how many that were.
    ///
    /// To take away those in use as well, use [`resize`](Semaphore::resize).
    pub fn forget(&self, count: usize) -> usize {
        self.change(|state, free, wakes| {
            let count = count.min(*free);
            state.set_total(state.total - count, state.in_use(*free), free, wakes);
            count
        })
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
        self.change(|state, free, wakes| {
            state.bound = state.bound.map(|_| total);
            state.set_total(total, state.in_use(*free), free, wakes);
        });
    }

    /// Returns how many permits are free.
    ///
    /// They can be fewer than the first waiter needs, so this can be above zero while others wait.
    pub fn available(&self) -> usize {
        self.free.count()
    }

    /// Returns how many permits are in use and how many futures wait.
    pub fn statistics(&self) -> Statistics {
        self.change(|state, free, _| Statistics {
            in_use: state.in_use(*free),
            waiting: state.waiters.len(),
            peak_waiting: state.waiters.peak(),
        })
    }

    #[inline]
    pub(super) fn try_take(&self, count: usize) -> Result<(), TryAcquireError> {
        if self.free.take(count) { Ok(()) } else { self.try_take_slowly(count) }
    }

    #[cold]
    fn try_take_slowly(&self, count: usize) -> Result<(), TryAcquireError> {
        self.change(|state, free, _| state.try_take(count, free)).map_err(|kind| TryAcquireError { kind })
    }

    /// Takes permits out of those in use, for good.
    fn take_away(&self, count: usize) {
        self.change(|state, free, wakes| {
            let in_use = state.in_use(*free) - count;
            state.set_total(state.total.saturating_sub(count), in_use, free, wakes);
        });
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
        self.change(|state, free, wakes| state.give(count, free, wakes));
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

    fn waiters(state: &mut State) -> &mut Waiters<usize, Self::Answer> {
        &mut state.waiters
    }

    #[inline]
    fn pass(&self, count: &usize) -> Option<Self::Answer> {
        self.free.take(*count).then_some(Ok(()))
    }

    fn join(&self, state: &mut State, count: usize, _: &mut Wakes) -> Result<Self::Answer, usize> {
        let mut free = self.free.shut();
        let taken = match state.try_take(count, &mut free) {
            // It stays shut, because it becomes a waiter before the lock is released. Were it
            // opened in between, permits could come back without the waiter's knowledge.
            Err(Kind::NoPermits) => return Err(count),
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
        format!("semaphore, of which {} are free", self.available())
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
        self.wait.poll(cx).map(|(semaphore, answer)| answer.map(|()| Permits { semaphore, count }))
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
/// This is a [`Permit`] or an [`OwnedPermit`]. Where it is [forgotten](std::mem::forget), its
/// permits stay in use for good, and those who need them wait for ever.
#[must_use = "permits are given back when they are dropped"]
pub struct Permits<S: Deref<Target = Semaphore>> {
    semaphore: S,
    count: usize,
}

impl<S: Deref<Target = Semaphore>> Permits<S> {
    /// Returns how many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes these permits away for good: the semaphore has so many fewer.
    ///
    /// Another part of the program can [`add`](Semaphore::add) them again.
    pub fn forget(mut self) {
        let count = std::mem::take(&mut self.count);
        self.semaphore.take_away(count);
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Closed,
    TooMany,
    NoPermits,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Closed => "the semaphore is closed",
            Kind::TooMany => "the semaphore does not have so many permits; ask for fewer, or add some",
            Kind::NoPermits => "there are not enough free permits now",
        })
    }
}

/// Tells why a [`Semaphore`] gave no permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcquireError {
    kind: Kind,
}

impl AcquireError {
    /// Returns whether the semaphore is closed.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// Returns whether more permits were asked for than the semaphore has.
    pub fn is_too_many(&self) -> bool {
        self.kind == Kind::TooMany
    }
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for AcquireError {}

/// Tells why a [`Semaphore`] gave no permits without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryAcquireError {
    kind: Kind,
}

impl TryAcquireError {
    /// Returns whether there were too few free permits, or others were waiting. Later there may be
    /// enough.
    pub fn is_no_permits(&self) -> bool {
        self.kind == Kind::NoPermits
    }

    /// Returns whether the semaphore is closed.
    pub fn is_closed(&self) -> bool {
        self.kind == Kind::Closed
    }

    /// Returns whether more permits were asked for than the semaphore has.
    pub fn is_too_many(&self) -> bool {
        self.kind == Kind::TooMany
    }
}

impl fmt::Display for TryAcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for TryAcquireError {}

/// Tells that permits were added to a [`Semaphore`] that would then have had too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddError {
    bound: usize,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the semaphore can have at most {} permits; add those that were forgotten", self.bound)
    }
}

impl std::error::Error for AddError {}
