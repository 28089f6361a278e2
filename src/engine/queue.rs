//! The two queues of woken blocks: the stack that wakers push to, and the list that the set works
//! off.

use std::ptr;
use std::task::Waker;

use super::atomics::{AtomicPtr, AtomicWaker, Ordering};
use super::block::{Block, Header};

/// The end of a stack whose poller sleeps: whoever pushes first has to wake it.
const ASLEEP: *mut Header = ptr::null_mut();

/// The end of a stack whose poller is awake: it is polling, or knows that it has to. No block is at
/// this address.
const AWAKE: *mut Header = ptr::without_provenance_mut(1);

/// The blocks woken since the last pass began, newest first, and the waker of the one who polls.
///
/// Wakers push one by one; the set takes the whole at once, so that no push can mistake an old top
/// for the new one. Nothing in it holds a reference: a block outlives its place here, because the
/// set holds one on each of its blocks, and when the set is gone nobody follows these pointers any
/// more.
pub(super) struct Stack {
    top: AtomicPtr<Header>,
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
    ///
    /// With a `lead`, one of the blocks goes before the others: that with the least key from this
    /// one on, or else with the least of all.
    pub(super) fn take(&self, list: &mut List, lead: Option<u32>) {
        // What is pushed between this load and the end of the pass is found there.
        if self.top.load(Ordering::Relaxed) == AWAKE {
            return;
        }
        let mut at = self.top.swap(AWAKE, Ordering::AcqRel);
        let mut woken = List::new();
        let mut leader: Option<Leader> = None;
        while at != ASLEEP && at != AWAKE {
            // SAFETY: the set, alive as it calls this, holds a reference on each of its blocks.
            let block = unsafe { Block::from_ptr(at) };
            at = block.next.load(Ordering::Relaxed);
            if let Some(lead) = lead {
                leader = Some(Leader::elect(leader, block, lead));
            }
            woken.push_front(block);
        }
        if let Some(Leader { block, older: Some(older), .. }) = leader {
            woken.bring_forward(block, older);
        }
        if let Some(oldest) = woken.first() {
            list.append(oldest.as_ptr(), woken.last);
        }
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

/// The one of some blocks that goes before the others.
struct Leader {
    block: Block,
    /// How far its key is from the one that was looked for, upwards and from 0 again.
    distance: u32,
    /// The block that is followed by this one. `None` if this is the oldest.
    older: Option<Block>,
}

impl Leader {
    /// Chooses between the leader of some blocks and the next older `block`.
    #[inline]
    fn elect(leader: Option<Self>, block: Block, lead: u32) -> Self {
        let distance = block.first_key.wrapping_sub(lead);
        match leader {
            Some(mut leader) if leader.distance < distance => {
                leader.older.get_or_insert(block);
                leader
            }
            _ => Leader { block, distance, older: None },
        }
    }
}

/// The blocks that the set has yet to work off, oldest first.
pub(super) struct List {
    first: *mut Header,
    /// Meaningful while there is a first.
    last: *mut Header,
}

impl List {
    pub(super) const fn new() -> Self {
        Self { first: ptr::null_mut(), last: ptr::null_mut() }
    }

    /// Adds a block that, by [queued], is in no queue.
    #[inline]
    pub(super) fn push(&mut self, block: Block) {
        block.next.store(ptr::null_mut(), Ordering::Relaxed);
        self.append(block.as_ptr(), block.as_ptr());
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

    /// Moves a block of the list, which follows `older`, before all others.
    fn bring_forward(&mut self, block: Block, older: Block) {
        let newer = block.next.load(Ordering::Relaxed);
        older.next.store(newer, Ordering::Relaxed);
        if newer.is_null() {
            self.last = older.as_ptr();
        }
        self.push_front(block);
    }

    /// Adds a chain of blocks that ends with a null link.
    #[inline]
    fn append(&mut self, first: *mut Header, last: *mut Header) {
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
        // SAFETY: as in `append`.
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
