//! A value that one guard uses alone, or that several guards share: what a lock protects.
//!
//! A [`LockedCell`] counts its users, and refuses an access that the others rule out. So it is
//! sound by itself, whatever the lock around it does. The lock makes sure that nobody is refused,
//! by letting in one at a time, and makes the others wait.
//!
//! Invariants:
//!
//! - `users` is [`EXCLUSIVE`] while there is an [`Exclusive`] for the cell, the number of
//!   [`Shared`] ones while there are any, and 0 otherwise. Each guard changes it once when it is
//!   made and once when it is dropped. A guard that is forgotten stays counted.
//! - A guard's owner keeps the cell alive and in its place ([`Stable`]) until the guard is gone.
//! - A guard's `value` points into what the cell holds, or to what that has lent to a guard that is
//!   the only one to use it, or to those that share it.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::atomics::{AtomicUsize, Ordering, UnsafeCell, const_unless_loom};

/// The number of users while one uses the value alone.
const EXCLUSIVE: usize = usize::MAX;

/// A value that is used alone.
pub(crate) struct LockedCell<T: ?Sized> {
    users: AtomicUsize,
    value: UnsafeCell<T>,
}

// SAFETY: through a shared cell a thread gets at the value by an `Exclusive` alone, of which there
// is one at a time by the first invariant. So the value is lent from thread to thread as a whole,
// which `T: Send` allows. `users` orders the accesses: who leaves releases it, and who enters
// acquires it.
unsafe impl<T: ?Sized + Send> Sync for LockedCell<T> {}

impl<T> LockedCell<T> {
    const_unless_loom! {
        pub(crate) const fn new(value: T) -> Self {
            LockedCell { users: AtomicUsize::new(0), value: UnsafeCell::new(value) }
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> LockedCell<T> {
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: the cell is borrowed exclusively, so no guard is in use: each keeps its owner
        // borrowed, or is one of the owners of an `Arc`.
        self.value.with_mut(|value| unsafe { &mut *value })
    }
}

/// A value that is used alone, or that many share.
pub(crate) struct SharedCell<T: ?Sized> {
    /// Keeps this from being `Sync` for the reason for which a [`LockedCell`] is. A marker with `T`
    /// in it would keep a `T` from being made unsized.
    not_sync: PhantomData<Cell<()>>,
    cell: LockedCell<T>,
}

// SAFETY: as for a `LockedCell`. In addition several threads may have a `&T` by `Shared`s, which
// `T: Sync` allows.
unsafe impl<T: ?Sized + Send + Sync> Sync for SharedCell<T> {}

impl<T> SharedCell<T> {
    const_unless_loom! {
        pub(crate) const fn new(value: T) -> Self {
            SharedCell { cell: LockedCell::new(value), not_sync: PhantomData }
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.cell.into_inner()
    }
}

impl<T: ?Sized> Deref for SharedCell<T> {
    type Target = LockedCell<T>;

    fn deref(&self) -> &LockedCell<T> {
        &self.cell
    }
}

impl<T: ?Sized> DerefMut for SharedCell<T> {
    fn deref_mut(&mut self) -> &mut LockedCell<T> {
        &mut self.cell
    }
}

/// What has a cell, and hears when an access to it has ended.
pub(crate) trait Locked {
    type Value: ?Sized;

    fn cell(&self) -> &LockedCell<Self::Value>;

    /// The cell is free again. From now on another one may be let in.
    fn exclusive_ended(&self);
}

/// What has a cell that many may share.
pub(crate) trait LockedShared: Locked {
    fn shared_cell(&self) -> &SharedCell<Self::Value>;

    /// One of those that shared the cell has left it.
    fn shared_ended(&self);
}

/// A pointer to something that stays alive and in its place until the pointer is dropped, wherever
/// the pointer is moved.
///
/// # Safety
///
/// This must be true.
pub(crate) unsafe trait Stable: Deref {}

// SAFETY: what is borrowed is neither moved nor dropped.
unsafe impl<T: ?Sized> Stable for &T {}

// SAFETY: one owner of several keeps the value alive, and none of them can move it.
unsafe impl<T: ?Sized> Stable for Arc<T> {}

/// Uses a value alone: all that the cell of `P`'s target holds, a `T`, or a part of it, a `U`.
pub(crate) struct Exclusive<P, T: ?Sized, U: ?Sized>
where
    P: Deref<Target: Locked<Value = T>>,
{
    owner: P,
    users: NonNull<AtomicUsize>,
    value: NonNull<U>,
    /// As a `&mut U`, this must not be taken for one of a shorter-lived `U`.
    invariant: PhantomData<*mut U>,
}

// SAFETY: it is a `P`, a `&mut U`, and a reference to an atomic number.
unsafe impl<P, T: ?Sized, U: ?Sized + Send> Send for Exclusive<P, T, U> where P: Deref<Target: Locked<Value = T>> + Send {}

// SAFETY: as for `Send`. Who shares it has a `&U`.
unsafe impl<P, T: ?Sized, U: ?Sized + Sync> Sync for Exclusive<P, T, U> where P: Deref<Target: Locked<Value = T>> + Sync {}

impl<P, T: ?Sized> Exclusive<P, T, T>
where
    P: Deref<Target: Locked<Value = T>>,
{
    /// Enters the cell.
    ///
    /// # Panics
    ///
    /// Panics if somebody else is in it. It is on the lock to prevent that.
    #[inline]
    pub(crate) fn new(owner: P) -> Self
    where
        P: Stable,
    {
        let cell = owner.cell();
        let entered = cell.users.compare_exchange(0, EXCLUSIVE, Ordering::Acquire, Ordering::Relaxed);
        assert!(entered.is_ok(), "a lock has let in two at once");
        let value = cell.value.with_mut(|value| {
            // SAFETY: the address of what is in a cell is not null.
            unsafe { NonNull::new_unchecked(value) }
        });
        Exclusive { users: NonNull::from(&cell.users), value, invariant: PhantomData, owner }
    }
}

impl<P, T: ?Sized> Exclusive<P, T, T>
where
    P: Deref<Target: LockedShared<Value = T>>,
{
    /// Shares the cell from now on, as the first one to do so. The lock does not hear of it.
    ///
    /// Only the whole value can be shared. A part may have been lent by a value that does not lend
    /// it to those who share the whole, as a `Cell` does by `get_mut`.
    pub(crate) fn downgrade(self) -> Shared<P, T, T> {
        let (users, value) = (self.users, self.value);
        let owner = self.into_owner();
        // SAFETY: the owner keeps the cell alive and in its place.
        unsafe { users.as_ref() }.store(1, Ordering::Release);
        Shared { users, value, owner }
    }
}

impl<P, T: ?Sized, U: ?Sized> Exclusive<P, T, U>
where
    P: Deref<Target: Locked<Value = T>>,
{
    /// Goes on with a part of the value.
    pub(crate) fn map<V: ?Sized>(mut self, part: impl FnOnce(&mut U) -> &mut V) -> Exclusive<P, T, V> {
        let value = NonNull::from(part(&mut self));
        self.with_value(value)
    }

    /// Goes on with a part of the value, if there is such a part.
    pub(crate) fn filter_map<V: ?Sized>(
        mut self,
        part: impl FnOnce(&mut U) -> Option<&mut V>,
    ) -> Result<Exclusive<P, T, V>, Self> {
        match part(&mut self).map(NonNull::from) {
            Some(value) => Ok(self.with_value(value)),
            None => Err(self),
        }
    }

    fn with_value<V: ?Sized>(self, value: NonNull<V>) -> Exclusive<P, T, V> {
        let users = self.users;
        Exclusive { users, value, invariant: PhantomData, owner: self.into_owner() }
    }

    /// Takes the owner out. The cell stays entered.
    fn into_owner(self) -> P {
        let this = ManuallyDrop::new(self);
        // SAFETY: it is read once, because `this` is neither used nor dropped after this.
        unsafe { ptr::read(&this.owner) }
    }

    pub(crate) fn owner(&self) -> &P {
        &self.owner
    }

    /// Leaves the cell, and returns the owner.
    pub(crate) fn end(self) -> P {
        let users = self.users;
        let owner = self.into_owner();
        Self::leave(users, &owner);
        owner
    }

    /// Is called once for each that was made. A waker may panic in here.
    #[inline]
    fn leave(users: NonNull<AtomicUsize>, owner: &P) {
        // The cell comes before the lock, because whoever that lets in enters the cell at once.
        // SAFETY: the owner keeps the cell alive and in its place.
        unsafe { users.as_ref() }.store(0, Ordering::Release);
        owner.exclusive_ended();
    }
}

impl<P, T: ?Sized, U: ?Sized> Drop for Exclusive<P, T, U>
where
    P: Deref<Target: Locked<Value = T>>,
{
    #[inline]
    fn drop(&mut self) {
        Self::leave(self.users, &self.owner);
    }
}

impl<P, T: ?Sized, U: ?Sized> Deref for Exclusive<P, T, U>
where
    P: Deref<Target: Locked<Value = T>>,
{
    type Target = U;

    #[inline]
    fn deref(&self) -> &U {
        // SAFETY: by the invariants the value is alive, and nobody else uses it. Who has a `&U`
        // keeps this borrowed.
        unsafe { self.value.as_ref() }
    }
}

impl<P, T: ?Sized, U: ?Sized> DerefMut for Exclusive<P, T, U>
where
    P: Deref<Target: Locked<Value = T>>,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut U {
        // SAFETY: as for `deref`. Who has a `&mut U` keeps this borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

/// Shares a value with others: all that the cell of `P`'s target holds, a `T`, or a part of it, a
/// `U`.
pub(crate) struct Shared<P, T: ?Sized, U: ?Sized>
where
    P: Deref<Target: LockedShared<Value = T>>,
{
    owner: P,
    users: NonNull<AtomicUsize>,
    value: NonNull<U>,
}

// SAFETY: it is a `P`, a `&U`, and a reference to an atomic number.
unsafe impl<P, T: ?Sized, U: ?Sized + Sync> Send for Shared<P, T, U> where
    P: Deref<Target: LockedShared<Value = T>> + Send
{
}

// SAFETY: as for `Send`.
unsafe impl<P, T: ?Sized, U: ?Sized + Sync> Sync for Shared<P, T, U> where
    P: Deref<Target: LockedShared<Value = T>> + Sync
{
}

impl<P, T: ?Sized> Shared<P, T, T>
where
    P: Deref<Target: LockedShared<Value = T>>,
{
    /// Enters the cell beside those that share it.
    ///
    /// # Panics
    ///
    /// Panics if somebody uses it alone. It is on the lock to prevent that.
    pub(crate) fn new(owner: P) -> Self
    where
        P: Stable,
    {
        let cell: &LockedCell<T> = owner.shared_cell();
        // One fewer than `EXCLUSIVE` is the most, which only guards that were forgotten can reach.
        let entered = cell
            .users
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |users| (users < EXCLUSIVE - 1).then(|| users + 1));
        assert!(entered.is_ok(), "a lock has let in a reader beside a writer");
        let value = cell.value.with(|value| {
            // SAFETY: the address of what is in a cell is not null.
            unsafe { NonNull::new_unchecked(value.cast_mut()) }
        });
        Shared { users: NonNull::from(&cell.users), value, owner }
    }
}

impl<P, T: ?Sized, U: ?Sized> Shared<P, T, U>
where
    P: Deref<Target: LockedShared<Value = T>>,
{
    /// Goes on with a part of the value.
    pub(crate) fn map<V: ?Sized>(self, part: impl FnOnce(&U) -> &V) -> Shared<P, T, V> {
        let value = NonNull::from(part(&self));
        self.with_value(value)
    }

    /// Goes on with a part of the value, if there is such a part.
    pub(crate) fn filter_map<V: ?Sized>(self, part: impl FnOnce(&U) -> Option<&V>) -> Result<Shared<P, T, V>, Self> {
        match part(&self).map(NonNull::from) {
            Some(value) => Ok(self.with_value(value)),
            None => Err(self),
        }
    }

    fn with_value<V: ?Sized>(self, value: NonNull<V>) -> Shared<P, T, V> {
        Shared { users: self.users, value, owner: self.into_owner() }
    }

    pub(crate) fn owner(&self) -> &P {
        &self.owner
    }

    /// Leaves the cell, and returns the owner.
    pub(crate) fn end(self) -> P {
        let users = self.users;
        let owner = self.into_owner();
        Self::leave(users, &owner);
        owner
    }

    /// Takes the owner out. The cell stays entered.
    fn into_owner(self) -> P {
        let this = ManuallyDrop::new(self);
        // SAFETY: it is read once, because `this` is neither used nor dropped after this.
        unsafe { ptr::read(&this.owner) }
    }

    /// Is called once for each that was made. A waker may panic in here.
    fn leave(users: NonNull<AtomicUsize>, owner: &P) {
        // The cell comes before the lock, because whoever that lets in enters the cell at once.
        // SAFETY: the owner keeps the cell alive and in its place.
        unsafe { users.as_ref() }.fetch_sub(1, Ordering::Release);
        owner.shared_ended();
    }
}

impl<P, T: ?Sized, U: ?Sized> Drop for Shared<P, T, U>
where
    P: Deref<Target: LockedShared<Value = T>>,
{
    fn drop(&mut self) {
        Self::leave(self.users, &self.owner);
    }
}

impl<P, T: ?Sized, U: ?Sized> Deref for Shared<P, T, U>
where
    P: Deref<Target: LockedShared<Value = T>>,
{
    type Target = U;

    fn deref(&self) -> &U {
        // SAFETY: by the invariants the value is alive, and whoever uses it shares it. Who has a
        // `&U` keeps this borrowed.
        unsafe { self.value.as_ref() }
    }
}
