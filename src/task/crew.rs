//! A count of members that keeps what it counts for alive.
//!
//! A scope's parallel children all point to what they share with their scope. A reference count of
//! its own for each would be a second number that every child counts up and down, on a line that
//! all threads write. So the number of members is the reference count: all of them together own one
//! reference, which the first one takes and the last one gives back.
//!
//! The invariant: **kept** – as long as the number of members is above zero, one `Arc` of what they
//! belong to has been forgotten for them, and so what they belong to is there. For each step from
//! zero to one there is one such `Arc`, and one step from one to zero that takes it back.

use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use crate::engine::atomics::{AtomicUsize, Ordering};

/// Beside the number of members: there will be no more.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// The number of members.
pub(crate) struct Members {
    count: AtomicUsize,
}

impl Members {
    #[inline]
    pub(crate) fn new() -> Self {
        Members { count: AtomicUsize::new(0) }
    }

    /// How many there are. Who sees zero sees all that the members did.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire) & !CLOSED
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.count.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Admits no more members.
    pub(crate) fn close(&self) {
        self.count.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Admits no more members, unless there are some. Returns whether there are none, and will be
    /// none.
    pub(crate) fn close_if_empty(&self) -> bool {
        match self.count.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(count) => count == CLOSED,
        }
    }
}

/// What has members.
pub(crate) trait Crew {
    fn members(&self) -> &Members;

    /// The last member has left. Others may have come since.
    fn left(&self);
}

/// One of the members of `T`. When it is dropped, it leaves.
pub(crate) struct Membership<T: Crew> {
    of: Lent<T>,
}

impl<T: Crew> Membership<T> {
    /// A new member; `None` once the members are closed.
    pub(crate) fn join(of: &Arc<T>) -> Option<Self> {
        // Relaxed: what a member does is ordered by its end.
        let before = of.members().count.fetch_add(1, Ordering::Relaxed);
        if before & !CLOSED == 0 {
            // "Kept". Whoever joins in this moment still has the reference that it was given here.
            mem::forget(Arc::clone(of));
        }
        // SAFETY: "kept": this is a member until it is dropped, and then does not use `of` any
        // more.
        let member = Membership { of: unsafe { Lent::new(of) } };
        // One that comes too late is dropped here, and may be the last to leave.
        if before & CLOSED == 0 { Some(member) } else { None }
    }

    /// See [`Lent::copy`].
    ///
    /// # Safety
    ///
    /// As for that.
    pub(crate) unsafe fn copy(&self) -> Arc<T> {
        // SAFETY: the caller's.
        unsafe { self.of.copy() }
    }
}

impl<T: Crew> Deref for Membership<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.of
    }
}

impl<T: Crew> Drop for Membership<T> {
    fn drop(&mut self) {
        // Release and acquire: the last one, and whoever sees zero, see what all others did. One
        // that is not the last does not touch what it belonged to after this.
        if self.of.members().count.fetch_sub(1, Ordering::AcqRel) & !CLOSED == 1 {
            // SAFETY: "kept": by the step from one to zero this is the reference that was
            // forgotten, and it is used here for the last time.
            unsafe { ManuallyDrop::take(&mut self.of.arc) }.left();
        }
    }
}

/// An `Arc` that is not counted: somebody else keeps what it points to.
pub(crate) struct Lent<T> {
    arc: ManuallyDrop<Arc<T>>,
}

impl<T> Lent<T> {
    /// # Safety
    ///
    /// Somebody keeps an `Arc` of the same for as long as this is used.
    pub(crate) unsafe fn new(arc: &Arc<T>) -> Self {
        // SAFETY: this copy is used as long as the caller says, and never dropped.
        Lent { arc: ManuallyDrop::new(unsafe { ptr::read(arc) }) }
    }

    /// The `Arc`, for somebody who wants one.
    ///
    /// # Safety
    ///
    /// It is not dropped, and not used longer than this.
    pub(crate) unsafe fn copy(&self) -> Arc<T> {
        // SAFETY: the caller's.
        unsafe { ptr::read(&*self.arc) }
    }
}

impl<T> Deref for Lent<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.arc
    }
}
