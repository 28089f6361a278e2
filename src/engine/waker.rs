//! The waker of a member: the address of its block, plus the slot.
//!
//! A block is aligned as an allocator aligns anyway, which leaves room for a few bits of the slot's
//! number below its address; the rest is the *row*, and each row has its own vtable. A stricter
//! alignment, for a single vtable, would cost more than all else that a small set does: allocators
//! are slow at it.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::block::{ALIGN, Block, SLOTS};
use super::budget;

const _: () = assert!(SLOTS <= 4 * ALIGN);

/// One for each row. A word of 32 bits has but two.
static VTABLES: [RawWakerVTable; 4] = [vtable::<0>(), vtable::<1>(), vtable::<2>(), vtable::<3>()];

const fn vtable<const ROW: usize>() -> RawWakerVTable {
    RawWakerVTable::new(clone::<ROW>, wake::<ROW>, wake_by_ref::<ROW>, release::<ROW>)
}

/// A waker for one slot of `block` that holds no reference on it: for the `Context` of one poll.
///
/// It must not outlive the set's own reference. Clones of it hold their own.
#[inline]
pub(super) fn lend(block: Block, slot: usize) -> ManuallyDrop<Waker> {
    let data = block.as_ptr().cast::<()>().wrapping_byte_add(slot % ALIGN);
    // SAFETY: the functions of the vtable are thread-safe, and take their data for what it is: an
    // address in a live block ([alive] in `block.rs`) whose low bits, together with the row, are
    // the slot.
    ManuallyDrop::new(unsafe { Waker::new(data, &VTABLES[slot / ALIGN]) })
}

/// The block and the slot that a waker stands for.
///
/// # Safety
///
/// `data` is that of a waker made by `lend` with the vtable of this row, or of a clone.
#[inline]
unsafe fn parts<const ROW: usize>(data: *const ()) -> (Block, usize) {
    let column = data.addr() % ALIGN;
    let block = data.wrapping_byte_sub(column).cast_mut().cast();
    // SAFETY: `lend` added `column < ALIGN` to the address of a block, a multiple of `ALIGN`;
    // taking it off gives the block's own pointer back, provenance included. The block is alive,
    // because the caller's waker is.
    (unsafe { Block::from_ptr(block) }, ROW * ALIGN + column)
}

/// Sees to it that the member of a slot is polled.
#[inline]
fn notify(block: Block, slot: usize) {
    if !budget::note(block, slot) {
        block.wake(1 << slot);
    }
}

unsafe fn clone<const ROW: usize>(data: *const ()) -> RawWaker {
    // SAFETY: an executor calls this with the data of one of our wakers.
    let (block, _) = unsafe { parts::<ROW>(data) };
    block.retain();
    RawWaker::new(data, &VTABLES[ROW])
}

unsafe fn wake<const ROW: usize>(data: *const ()) {
    // The reference is released also when the parent's `wake` panics.
    struct Release(Block);
    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: `wake` takes the waker, and with it the reference that came with the clone.
            unsafe { self.0.release() }
        }
    }
    // SAFETY: as in `clone`.
    let (block, slot) = unsafe { parts::<ROW>(data) };
    let _release = Release(block);
    notify(block, slot);
}

unsafe fn wake_by_ref<const ROW: usize>(data: *const ()) {
    // SAFETY: as in `clone`.
    let (block, slot) = unsafe { parts::<ROW>(data) };
    notify(block, slot);
}

unsafe fn release<const ROW: usize>(data: *const ()) {
    // SAFETY: as in `clone`. A waker that is dropped is a clone, since what is lent is never
    // dropped: it owns a reference.
    unsafe { parts::<ROW>(data).0.release() }
}
