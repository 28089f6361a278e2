//! The queues of woken blocks: the stack that wakers push to, and the lists of the set, which works
//! one of them off and keeps another one for the next pass.

use std::mem;
use std::ptr;
use std::task::Waker;

use super::atomics::{AtomicPtr, AtomicWaker, Ordering};
use super::block::{Block, BlockHeader};

/// The end of a stack whose poller sleeps: whoever pushes first has to wake it.
const ASLEEP: *mut BlockHeader = ptr::null_mut();

/// The end of a stack whose poller is awake: it is polling, or knows that it has to. No block is at
/// this address.
const AWAKE: *mut BlockHeader = ptr::without_provenance_mut(1);

/// The blocks woken since the last pass began, newest first, and the waker of the one who polls.
///
/// Wakers push one by one; the set takes the whole at once, so that no push can mistake an old top
/// for the new one. Nothing in it holds a reference: a block outlives its place here, because the
/// set holds one on each of its blocks, and when the set is gone nobody follows these pointers any
/// more.
pub(super) struct Stack {
    top: AtomicPtr<BlockHeader>,
    parent: AtomicWaker,
}

impl Stack {
    /// An empty stack. The poller counts as awake, since it has not slept on it yet.
    pub(super) fn new() -> Self {
        Self { top: AtomicPtr::new(AWAKE), parent: AtomicWaker::new() }
    }

    /// Puts a block that just became ready on top, and wakes the poller if it sleeps.
    ///
    /// By [queued] it is in no queue yet, and nobody else is about to push it.
    pub(super) fn push(&self, block: Block) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            block.next.store(top, Ordering::Relaxed);
            // Release publishes `next`; acquire pairs with `sleep`, so that the waker registered
            // there is seen below.
            match self.top.compare_exchange_weak(top, block.as_ptr(), Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => top = now,
            }
        }
        if top == ASLEEP {
            self.parent.wake();
        }
    }

    /// Moves everything to the end of `list`, oldest first. The poller is awake from here on.
    #[inline]
    pub(super) fn take(&self, list: &mut List) {
        // What is pushed between this load and the end of the pass is found there.
        if self.top.load(Ordering::Relaxed) == AWAKE {
            return;
        }
        let mut at = self.top.swap(AWAKE, Ordering::AcqRel);
        let mut woken = List::new();
        while at != ASLEEP && at != AWAKE {
            // SAFETY: the set, alive as it calls this, holds a reference on each of its blocks.
            let block = unsafe { Block::from_ptr(at) };
            at = block.next.load(Ordering::Relaxed);
            woken.push_front(block);
        }
        list.append(&mut woken);
    }

    /// Lets the poller sleep until the next push. False if there has been one already.
    ///
    /// A push that comes before the exchange makes it fail; a push that comes after it finds
    /// `ASLEEP`, and with it the waker that was registered before.
    pub(super) fn sleep(&self, waker: &Waker) -> bool {
        if self.top.load(Ordering::Relaxed) != AWAKE {
            return false;
        }
        self.parent.register(waker);
        self.top.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes the waker of the poller out, so that nobody is woken any more.
    pub(super) fn forget_parent(&self) -> Option<Waker> {
        self.parent.take()
    }
}

/// Blocks that the set has yet to work off, oldest first.
pub(super) struct List {
    first: *mut BlockHeader,
    /// Meaningful while there is a first.
    last: *mut BlockHeader,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { first: ptr::null_mut(), last: ptr::null_mut() }
    }

    /// Adds a block that, by [queued], is in no queue.
    #[inline]
    pub(super) fn push(&mut self, block: Block) {
        block.next.store(ptr::null_mut(), Ordering::Relaxed);
        self.chain(block.as_ptr(), block.as_ptr());
    }

    /// Adds a block that is in no other queue before all others.
    #[inline]
    fn push_front(&mut self, block: Block) {
        if self.first.is_null() {
            self.last = block.as_ptr();
        }
        block.next.store(self.first, Ordering::Relaxed);
        self.first = block.as_ptr();
    }

    /// Moves all blocks of `other` to the end.
    #[inline]
    pub(super) fn append(&mut self, other: &mut List) {
        let first = mem::replace(&mut other.first, ptr::null_mut());
        if !first.is_null() {
            self.chain(first, other.last);
        }
    }

    /// Moves one of the blocks before the others: that with the least key from `lead` on, or else
    /// with the least of all.
    #[inline]
    pub(super) fn elect(&mut self, lead: u32) {
        if self.first != self.last {
            self.elect_of_many(lead);
        }
    }

    fn elect_of_many(&mut self, lead: u32) {
        let Some(first) = self.first() else { return };
        // How far a key is from the one that is looked for, upwards and from 0 again.
        let distance = |block: Block| block.first_key.wrapping_sub(lead);
        let (mut older, mut least, mut leader) = (first, distance(first), None);
        while let Some(block) = following(older) {
            if distance(block) < least {
                least = distance(block);
                leader = Some((older, block));
            }
            older = block;
        }
        if let Some((older, leader)) = leader {
            let newer = leader.next.load(Ordering::Relaxed);
            older.next.store(newer, Ordering::Relaxed);
            if newer.is_null() {
                self.last = older.as_ptr();
            }
            self.push_front(leader);
        }
    }

    /// Adds a chain of blocks that ends with a null link.
    #[inline]
    fn chain(&mut self, first: *mut BlockHeader, last: *mut BlockHeader) {
        if self.first.is_null() {
            self.first = first;
        } else {
            // SAFETY: only blocks of the set are in its list, and the set holds a reference on
            // each.
            unsafe { Block::from_ptr(self.last) }.next.store(first, Ordering::Relaxed);
        }
        self.last = last;
    }

    /// The oldest block.
    #[inline]
    pub(super) fn first(&self) -> Option<Block> {
        // SAFETY: as in `chain`.
        (!self.first.is_null()).then(|| unsafe { Block::from_ptr(self.first) })
    }

    /// Takes the oldest block out. Its `ready` is still to be taken.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Block> {
        let block = self.first()?;
        self.first = block.next.load(Ordering::Relaxed);
        Some(block)
    }
}

/// The block that comes after this one in a list.
fn following(block: Block) -> Option<Block> {
    let next = block.next.load(Ordering::Relaxed);
    // SAFETY: as in `List::chain`.
    (!next.is_null()).then(|| unsafe { Block::from_ptr(next) })
}
