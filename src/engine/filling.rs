//! Fills a block as a whole, which costs less than one member after the other.

use super::Set;
use super::block::{Block, SLOTS};

/// Fills a new block with members. They belong to the set from its drop on, also if the source of
/// members panics.
pub(super) struct Filling<'a, F> {
    set: &'a mut Set<F>,
    block: Block,
    capacity: usize,
    filled: usize,
}

impl<'a, F> Filling<'a, F> {
    /// Fills a block of a set whose other blocks are full.
    pub(super) fn new(set: &'a mut Set<F>) -> Self {
        let block = set.grow();
        Filling { set, block, capacity: block.capacity(), filled: 0 }
    }

    /// How many members the block still has room for.
    pub(super) fn room(&self) -> usize {
        self.capacity - self.filled
    }

    #[inline]
    pub(super) fn put(&mut self, member: F) {
        assert!(self.filled < self.capacity, "a chunk of members is full");
        // SAFETY: the block was made for `F`, and has this slot, which is vacant as all from
        // `filled` on.
        unsafe { self.block.slot::<F>(self.filled).write(member) };
        self.filled += 1;
    }
}

impl<F> Drop for Filling<'_, F> {
    fn drop(&mut self) {
        let Some(left) = SLOTS.checked_sub(self.filled).filter(|left| *left < SLOTS) else { return };
        let bits = usize::MAX >> left;
        self.block.occupy(bits);
        if self.block.is_full() {
            self.set.free = None;
        }
        self.set.len += self.filled;
        self.set.mark(self.block, bits);
    }
}
