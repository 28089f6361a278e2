//! The waker of a member: one pointer, to the byte of its block's header that has the slot's number.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::block::{ALIGN, Block};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// A waker for one slot of `block` that holds no reference on it: for the `Context` of one poll.
///
/// It must not outlive the set's own reference. Clones of it hold their own.
#[inline]
pub(super) fn lend(block: Block, slot: usize) -> ManuallyDrop<Waker> {
    let data = block.as_ptr().cast::<()>().wrapping_byte_add(slot);
    // SAFETY: the functions of `VTABLE` are thread-safe, and take their data for what it is: an address in a live block
    // ([alive] in `block.rs`) whose low bits are the slot.
    ManuallyDrop::new(unsafe { Waker::new(data, &VTABLE) })
}

/// The block and the slot that a waker stands for.
///
/// # Safety
///
/// `data` is that of a waker made by `lend`, or of a clone.
#[inline]
unsafe fn parts(data: *const ()) -> (Block, usize) {
    let slot = data.addr() % ALIGN;
    let block = data.wrapping_byte_sub(slot).cast_mut().cast();
    // SAFETY: `lend` added `slot < ALIGN` to the address of a block, a multiple of `ALIGN`; taking it off gives the
    // block's own pointer back, provenance included. The block is alive, because the caller's waker is.
    (unsafe { Block::from_ptr(block) }, slot)
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: an executor calls this with the data of one of our wakers.
    let (block, _) = unsafe { parts(data) };
    block.retain();
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // The reference is released also when the parent's `wake` panics.
    struct Release(Block);
    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: `wake` takes the waker, and with it the reference that came with the clone.
            unsafe { self.0.release() }
        }
    }
    // SAFETY: as in `clone`.
    let (block, slot) = unsafe { parts(data) };
    let _release = Release(block);
    block.wake(slot);
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as in `clone`.
    let (block, slot) = unsafe { parts(data) };
    block.wake(slot);
}

unsafe fn release(data: *const ()) {
    // SAFETY: as in `clone`. A waker that is dropped is a clone, since what is lent is never dropped: it owns a reference.
    unsafe { parts(data).0.release() }
}
