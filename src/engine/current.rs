//! The block that a pass is working off, and whose turn it is in it.

use std::mem;

use super::block::Block;

/// The block being worked off. A bit stands for the member in the slot of that number.
pub(super) struct Current {
    block: Option<Block>,
    /// Those to be polled now. After them come those in `next`, then those in `last`.
    now: usize,
    next: usize,
    last: usize,
    /// Those in `now` have not been polled before.
    fresh: bool,
    /// Those that joined meanwhile. They are polled in this pass, after the blocks that are
    /// queued by then.
    joined: usize,
    /// Those that woke themselves, or were woken by others of the block after their turn. They are
    /// polled in the next pass.
    again: usize,
}

impl Current {
    pub(super) const fn none() -> Self {
        Current { block: None, now: 0, next: 0, last: 0, fresh: false, joined: 0, again: 0 }
    }

    /// Begins to work a block off: first its `fresh` members, then those of the `ready` ones that
    /// are `ahead`, then the rest of these.
    #[inline]
    pub(super) fn enter(&mut self, block: Block, ready: usize, fresh: usize, ahead: usize) {
        self.block = Some(block);
        self.now = fresh;
        self.fresh = fresh != 0;
        self.next = ready & !fresh & ahead;
        self.last = ready & !fresh & !ahead;
    }

    /// The block, if there is somebody in [`now`](Self::now).
    #[inline]
    pub(super) fn unfinished(&self) -> Option<Block> {
        if self.now == 0 { None } else { self.block }
    }

    /// Lets the next have their turn if nobody is in [`now`](Self::now). False if there is nobody
    /// left.
    pub(super) fn advance(&mut self) -> bool {
        if self.now == 0 {
            self.now = mem::take(&mut self.next);
            self.fresh = false;
        }
        if self.now == 0 {
            self.now = mem::take(&mut self.last);
        }
        self.now != 0
    }

    /// Those to be polled now.
    #[inline]
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Whether those to be polled now have not been polled before.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh && self.now != 0
    }

    /// Whether nobody is left to be polled.
    #[inline]
    pub(super) fn is_finished(&self) -> bool {
        self.now | self.next | self.last == 0
    }

    #[inline]
    pub(super) fn is(&self, block: Block) -> bool {
        self.block == Some(block)
    }

    /// The member with this bit, one of those in `now`, has had its turn.
    #[inline]
    pub(super) fn pass_by(&mut self, bit: usize) {
        self.now &= !bit;
    }

    /// The member with this bit is to be polled in this pass, though perhaps after it has had its
    /// turn.
    #[inline]
    pub(super) fn join(&mut self, bit: usize) {
        self.joined |= bit;
    }

    /// The member with this bit is to be polled in the next pass.
    #[inline]
    pub(super) fn repeat(&mut self, bit: usize) {
        self.again |= bit;
    }

    /// The members with these bits were woken by the one that was polled last. Those that have yet
    /// to be polled in this pass need no second turn.
    #[inline]
    pub(super) fn hear(&mut self, bits: usize) {
        self.again |= bits & !(self.now | self.next | self.last | self.joined);
    }

    /// Forgets the members that are not among these bits.
    pub(super) fn keep(&mut self, bits: usize) {
        for those in [&mut self.now, &mut self.next, &mut self.last, &mut self.joined, &mut self.again] {
            *those &= bits;
        }
    }

    /// Forgets the members that are gone.
    pub(super) fn keep_occupied(&mut self) {
        self.keep(self.block.map_or(0, |block| block.occupied()));
    }

    /// Takes those that are to be polled in the next pass, with the block.
    #[inline]
    pub(super) fn take_again(&mut self) -> Option<(Block, usize)> {
        let again = mem::take(&mut self.again);
        Some((self.block?, again)).filter(|_| again != 0)
    }

    #[inline]
    pub(super) fn has_joined(&self) -> bool {
        self.joined != 0
    }

    /// Takes those that joined, with the block.
    #[inline]
    pub(super) fn take_joined(&mut self) -> Option<(Block, usize)> {
        let joined = mem::take(&mut self.joined);
        Some((self.block?, joined)).filter(|_| joined != 0)
    }

    /// Leaves the block, and returns it with those that joined.
    #[inline]
    pub(super) fn leave(&mut self) -> Option<(Block, usize)> {
        let block = self.block.take()?;
        Some((block, mem::take(&mut self.joined) & block.occupied()))
    }
}
