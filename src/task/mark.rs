//! Whether a child is to end, as what is inside the child sees it.
//!
//! Code in a child may [cancel](super::cell::Reader::cancel) that child, and go on until it is
//! suspended. A scope inside may go on for longer, or have children elsewhere. So a child that is
//! being polled is lent to the context, as a [`Marked`], and a scope that is polled there keeps its
//! [`Mark`].

use std::cell::Cell;
use std::ptr::NonNull;

use super::cell::{Headed, header};
use super::header::Header;
use super::pair::{MemoryPart, Owner};
use crate::cancel::reason::Moment;

/// When a child was cancelled by its task, if it was. This keeps the memory of the child's node.
pub(crate) struct Mark {
    header: NonNull<Header>,
    _memory: MemoryPart,
}

// SAFETY: through it there are only the atomics of the header, and the count of the memory.
unsafe impl Send for Mark {}
// SAFETY: likewise.
unsafe impl Sync for Mark {}

impl Mark {
    fn header(&self) -> &Header {
        // SAFETY: the memory is kept. A drop of the node leaves the header as it is, because that
        // has no destructor, and a node is not `Unpin`, so nobody's `&mut` to it is exclusive.
        unsafe { self.header.as_ref() }
    }

    pub(crate) fn cancelled_at(&self) -> Option<Moment> {
        self.header().cancelled_at()
    }

    /// As [`Reader::id`](super::cell::Reader::id).
    pub(crate) fn id(&self) -> usize {
        self.header.addr().get()
    }
}

/// A child that is being polled.
///
/// The invariant: **lent** – it is in a cell only while there is a [`Lending`], which puts it there
/// and takes it back. It is looked at in that cell, and not copied.
pub(crate) struct Marked(NonNull<Loan>);

/// What a child lends.
pub(super) struct Loan {
    header: NonNull<Header>,
    node: NonNull<dyn KeepMemory>,
}

/// A runner's part in a node, the type of which is forgotten.
trait KeepMemory {
    fn keep(&self) -> MemoryPart;
}

impl<N: ?Sized> KeepMemory for Owner<N> {
    fn keep(&self) -> MemoryPart {
        Owner::keep(self)
    }
}

impl Marked {
    #[inline]
    fn loan(&self) -> &Loan {
        // SAFETY: "lent".
        unsafe { self.0.as_ref() }
    }

    /// As [`Reader::id`](super::cell::Reader::id).
    #[inline]
    pub(crate) fn id(&self) -> usize {
        self.loan().header.addr().get()
    }

    pub(crate) fn mark(&self) -> Mark {
        let Loan { header, node } = *self.loan();
        // SAFETY: "lent": the owner is where it was when it was lent.
        Mark { header, _memory: unsafe { node.as_ref() }.keep() }
    }
}

impl Loan {
    /// # Safety
    ///
    /// The owner is neither moved nor dropped while this is used.
    #[inline]
    pub(super) unsafe fn new<N: ?Sized + Headed>(node: &Owner<N>) -> Self {
        let header = NonNull::from(header(&**node));
        let node: NonNull<dyn KeepMemory + '_> = NonNull::from(node);
        // SAFETY: the two types differ in the lifetime that the node may borrow for, and the caller
        // sees to that.
        let node = unsafe { std::mem::transmute::<NonNull<dyn KeepMemory + '_>, NonNull<dyn KeepMemory>>(node) };
        Loan { header, node }
    }
}

/// Guard that lends a child to a cell, until it is dropped.
pub(super) struct Lending<'a> {
    cell: &'a Cell<Option<Marked>>,
    before: Option<Marked>,
}

impl<'a> Lending<'a> {
    #[inline]
    pub(super) fn new(cell: &'a Cell<Option<Marked>>, loan: &'a Loan) -> Self {
        Lending { cell, before: cell.replace(Some(Marked(NonNull::from(loan)))) }
    }
}

impl Drop for Lending<'_> {
    #[inline]
    fn drop(&mut self) {
        self.cell.set(self.before.take());
    }
}
