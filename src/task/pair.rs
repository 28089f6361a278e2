//! Ownership by two, made together: what `Arc` is for any number.
//!
//! There are never more owners than the two, so nothing counts up. The last owner has nobody to
//! race with, and counts nothing down. One of them may wait for the other one to let go. What
//! `Weak` is to `Arc`, [`Memory`] is to an owner.
//!
//! The invariants:
//!
//! - **counted** – the value is there as long as `owners`, without the flags, is above zero, and
//!   its memory as long as `memories` is; the owners together count as one of the latter.
//! - **marked** – the waker is the waiting owner's while there is no flag, and nobody's while there
//!   is [`MARK`]. The waiting owner removes the mark to exchange the waker. The other one turns it
//!   into [`LEAVING`], and has the waker from then on.

use std::alloc::{Layout, handle_alloc_error};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::task::Waker;

use crate::engine::atomics::{AtomicU32, Ordering, UnsafeCell, alloc, dealloc};

/// Beside the number of owners: one of them waits, and has left a waker.
const MARK: u32 = 1 << 31;
/// Beside the number of owners: one of them wakes the other, and lets go then.
const LEAVING: u32 = 1 << 30;

const MARKED: u32 = MARK | 2;

/// A value, and who keeps it.
pub(super) struct Allocation<T: ?Sized> {
    owners: AtomicU32,
    memories: AtomicU32,
    /// By "marked".
    waker: UnsafeCell<Option<Waker>>,
    value: T,
}

/// One of the two owners of a value. The last one drops it.
pub(crate) struct Owner<T: ?Sized> {
    shared: NonNull<Allocation<T>>,
}

/// Keeps a value's memory from being freed, but not the value from being dropped.
pub(crate) struct Memory<T: ?Sized> {
    shared: NonNull<Allocation<T>>,
}

// SAFETY: as for `Arc`: an owner gives access by shared reference, and may drop the value on
// whatever thread it is.
unsafe impl<T: ?Sized + Send + Sync> Send for Owner<T> {}
// SAFETY: likewise.
unsafe impl<T: ?Sized + Send + Sync> Sync for Owner<T> {}
// SAFETY: it reaches nothing but the count, which is atomic, and the allocator.
unsafe impl<T: ?Sized> Send for Memory<T> {}
// SAFETY: likewise.
unsafe impl<T: ?Sized> Sync for Memory<T> {}

impl<T> Owner<T> {
    /// The two owners of a value, which from here on stays where it is.
    pub(crate) fn pair(value: T) -> (Self, Self) {
        let (one, two, []) = Self::pair_and_memories(value);
        (one, two)
    }

    /// Likewise, and as many who keep the memory beyond the owners.
    #[allow(clippy::type_complexity)]
    pub(crate) fn pair_and_memories<const N: usize>(value: T) -> (Self, Self, [Memory<T>; N]) {
        let layout = Layout::new::<Allocation<T>>();
        // SAFETY: the layout has the size of the counts at least.
        let memory = unsafe { alloc(layout) }.cast::<Allocation<T>>();
        let Some(shared) = NonNull::new(memory) else { handle_alloc_error(layout) };
        let (owners, memories) = (AtomicU32::new(2), AtomicU32::new(1 + N as u32));
        // SAFETY: freshly allocated, large and aligned enough.
        unsafe { shared.write(Allocation { owners, memories, waker: UnsafeCell::new(None), value }) };
        (Owner { shared }, Owner { shared }, std::array::from_fn(|_| Memory { shared }))
    }

    /// Forgets the type: `forget` is where the compiler turns the pointer into the other one.
    pub(super) fn forget_type<U: ?Sized>(
        self,
        forget: fn(NonNull<Allocation<T>>) -> NonNull<Allocation<U>>,
    ) -> Owner<U> {
        let shared = forget(self.shared);
        std::mem::forget(self);
        Owner { shared }
    }
}

impl<T: ?Sized> Owner<T> {
    /// Keeps the memory from being freed, as a [`Memory`] does.
    pub(super) fn keep(&self) -> MemoryPart {
        // Relaxed: whoever adds a part has one.
        self.header().1.fetch_add(1, Ordering::Relaxed);
        // SAFETY: "counted": the value is there, and the part is this one's.
        unsafe { MemoryPart::new(self.shared.as_ptr(), Layout::for_value(self.shared.as_ref())) }
    }

    #[inline]
    fn header(&self) -> (&AtomicU32, &AtomicU32) {
        // SAFETY: "counted": this is an owner.
        let shared = unsafe { self.shared.as_ref() };
        (&shared.owners, &shared.memories)
    }

    /// Waits for the other owner to [leave](Self::leave): `waker` is woken then.
    ///
    /// Returns false if the other owner has left. This owner sees then what the other one did
    /// before.
    ///
    /// # Safety
    ///
    /// Only one of the two owners ever calls this, and the other one lets go by `leave`.
    pub(super) unsafe fn wait(&mut self, waker: &Waker) -> bool {
        let owners = self.header().0;
        // Acquire: if the other owner has left, or is about to, this sees all that it did.
        match owners.load(Ordering::Acquire) {
            2 => {}
            MARKED if owners.compare_exchange(MARKED, 2, Ordering::Acquire, Ordering::Acquire).is_ok() => {}
            _ => return false,
        }
        // SAFETY: "counted": the memory is there.
        let place = unsafe { &self.shared.as_ref().waker };
        // SAFETY: "marked": there is no flag, and this owner is the one that waits. So it is below.
        let is_known = place.with(|place| unsafe { (*place).as_ref().is_some_and(|known| known.will_wake(waker)) });
        let mut before = None;
        if !is_known {
            let waker = waker.clone();
            // SAFETY: as above.
            before = place.with_mut(|place| unsafe { (*place).replace(waker) });
        }
        // Release shows the other owner the waker.
        let left = self.header().0.fetch_or(MARK, Ordering::AcqRel) == 1;
        drop(before);
        !left
    }

    /// Lets go, and wakes the other owner if it waits.
    #[inline]
    pub(super) fn leave(self) {
        let owners = self.header().0;
        loop {
            match owners.load(Ordering::Acquire) {
                2 => {
                    if owners.compare_exchange(2, 1, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                        return std::mem::forget(self);
                    }
                }
                MARKED => {
                    let leaving = owners.compare_exchange(MARKED, LEAVING | 2, Ordering::AcqRel, Ordering::Acquire);
                    if leaving.is_ok() {
                        // SAFETY: "marked": this has made `LEAVING` of the mark. The memory is
                        // there by "counted".
                        let waker = unsafe { self.shared.as_ref() }.waker.with_mut(|place| unsafe { (*place).take() });
                        // The owner goes after this, also when the waker panics.
                        return waker.into_iter().for_each(Waker::wake);
                    }
                }
                // The last one, which drops what it owns.
                _ => return,
            }
        }
    }
}

impl<T: ?Sized> Deref for Owner<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: "counted": this is an owner.
        unsafe { &self.shared.as_ref().value }
    }
}

impl<T: ?Sized> Drop for Owner<T> {
    #[inline]
    fn drop(&mut self) {
        if is_last(self.header().0) {
            let shared = self.shared.as_ptr();
            // SAFETY: "counted": the value is there until it is dropped here, and its memory as
            // long as the release is. Nobody else is left who could have the waker.
            unsafe {
                let _release = MemoryPart::new(shared, Layout::for_value(&*shared));
                let _waker = (*shared).waker.with_mut(|place| (*place).take());
                ptr::drop_in_place(&raw mut (*shared).value);
            }
        }
    }
}

impl<T> Memory<T> {
    /// Forgets the type, as [`Owner::forget_type`].
    pub(super) fn forget_type<U: ?Sized>(
        self,
        forget: fn(NonNull<Allocation<T>>) -> NonNull<Allocation<U>>,
    ) -> Memory<U> {
        let shared = forget(self.shared);
        std::mem::forget(self);
        Memory { shared }
    }
}

impl<T: ?Sized> Memory<T> {
    /// The value, which may have been dropped: only what a drop leaves as it is may be used.
    #[inline]
    pub(crate) fn value(&self) -> *const T {
        // SAFETY: "counted": the memory is there.
        unsafe { &raw const (*self.shared.as_ptr()).value }
    }
}

impl<T: ?Sized> Drop for Memory<T> {
    #[inline]
    fn drop(&mut self) {
        let shared = self.shared.as_ptr();
        // SAFETY: "counted": this is one part in the memory, which is there; its layout depends on
        // nothing that a drop of the value changes.
        drop(unsafe { MemoryPart::new(shared, Layout::for_value(&*shared)) });
    }
}

/// Gives back one part in the memory when it is dropped, be it by a panic of the value's
/// destructor.
pub(super) struct MemoryPart {
    memory: *mut u8,
    memories: *const AtomicU32,
    layout: Layout,
}

// SAFETY: as for `Memory`.
unsafe impl Send for MemoryPart {}
// SAFETY: likewise.
unsafe impl Sync for MemoryPart {}

impl MemoryPart {
    /// # Safety
    ///
    /// The caller gives up one part in the memory, whose layout this is.
    unsafe fn new<T: ?Sized>(shared: *mut Allocation<T>, layout: Layout) -> Self {
        // SAFETY: the memory is there.
        let memories = unsafe { &raw const (*shared).memories };
        MemoryPart { memory: shared.cast(), memories, layout }
    }
}

impl Drop for MemoryPart {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: "counted": the memory is there as long as it is not given back.
        if is_last(unsafe { &*self.memories }) {
            // SAFETY: nobody has a part in it any more, and it was allocated with this layout.
            unsafe { dealloc(self.memory, self.layout) }
        }
    }
}

/// Counts down, and says whether nobody is left.
#[inline]
fn is_last(count: &AtomicU32) -> bool {
    let is_one = |count: u32| count & !(MARK | LEAVING) == 1;
    is_one(count.load(Ordering::Acquire)) || is_one(count.fetch_sub(1, Ordering::AcqRel))
}
