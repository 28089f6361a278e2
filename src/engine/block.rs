//! One chunk of members in one allocation: a header that wakers reach, and the members' slots
//! behind it.
//!
//! The `unsafe` in this folder relies on these invariants:
//!
//! - **[alive]** Whoever uses a [`Block`] holds, or borrows, a reference on it. The set has one on
//!   each of its blocks from when it makes the block until it gives it back, when the block is
//!   idle or the set ends. A waker has one, and a lent waker borrows the set's. A block's memory
//!   goes with its last reference. That of the root outlasts every other block's, because wakers
//!   reach the queue through it.
//! - **[members]** The slots, and the header's `Cell`s, belong to the set. Only the set touches
//!   them, under `&mut`, or under `&` to read. A slot holds a member exactly when its bit in
//!   `occupied` is 1. Members never move. The set drops all of them before it lets go of the block,
//!   so what a late waker frees is plain memory.
//! - **[queued]** A block is queued, in the root's stack or in a list of the set, from the moment
//!   when `ready` becomes nonzero until the set takes `ready` back to 0. Whoever makes it nonzero
//!   queues the block. So a block is in one place at most, and one link, `next`, is enough. The set
//!   reads that link *before* it takes `ready`.

use std::alloc::{Layout, handle_alloc_error};
use std::cell::Cell;
use std::ops::Deref;
use std::process;
use std::ptr::{self, NonNull};

use super::atomics::{AtomicPtr, AtomicUsize, Ordering, alloc, dealloc};
use super::queue::Stack;

/// The most slots of one block: one for each bit of a word.
pub(super) const SLOTS: usize = usize::BITS as usize;

/// What a block's address is a multiple of, so that the low bits of a slot's number fit below it.
pub(super) const ALIGN: usize = 16;

const _: () = assert!(ALIGN <= SLOTS && SLOTS <= size_of::<BlockHeader>());

/// What stands before the members.
#[repr(C)]
pub(super) struct BlockHeader {
    /// A bit for each slot whose member wants to be polled. A stale bit of a vacant slot may be
    /// set, too.
    ready: AtomicUsize,
    /// Wakers, and one for the set.
    refs: AtomicUsize,
    /// The link of whichever queue the block is in.
    pub(super) next: AtomicPtr<BlockHeader>,
    root: NonNull<BlockHeader>,
    layout: Layout,
    /// The key of slot 0.
    pub(super) first_key: u32,
    /// The slot at which the block is begun: the one after that at which a pass began here last.
    begin: Cell<u8>,
    /// A bit for each slot.
    slots: usize,
    /// A bit for each slot with a member.
    occupied: Cell<usize>,
    /// Links the blocks that have vacant slots.
    pub(super) next_free: Cell<Option<Block>>,
    /// The slots whose members have not been polled yet. While there are any, the block is queued,
    /// or is being worked off and will be. So their bits in `ready` are not needed.
    pub(super) fresh: Cell<usize>,
    /// In the root: the blocks, itself among them, that still have references.
    blocks: AtomicUsize,
    /// In the root: the woken blocks, and who is to be told of them.
    pub(super) stack: Stack,
}

/// A pointer to a header and the slots behind it. It owns nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Block(NonNull<BlockHeader>);

impl Deref for Block {
    type Target = BlockHeader;

    #[inline]
    fn deref(&self) -> &BlockHeader {
        // SAFETY: [alive]. What changes in a header is atomic or, by [members], a `Cell` of the set
        // alone.
        unsafe { self.0.as_ref() }
    }
}

impl Block {
    /// Allocates a block of vacant slots with one reference, the set's. Without a `root` it is one.
    pub(super) fn new<F>(capacity: usize, first_key: u32, root: Option<Block>) -> Self {
        debug_assert!((1..=SLOTS).contains(&capacity));
        let layout = layout::<F>(capacity);
        // SAFETY: the layout has the size of a header at least.
        let memory = unsafe { alloc(layout) }.cast::<BlockHeader>();
        let Some(block) = NonNull::new(memory) else { handle_alloc_error(layout) };
        if let Some(root) = root {
            root.blocks.fetch_add(1, Ordering::Relaxed);
        }
        let header = BlockHeader {
            ready: AtomicUsize::new(0),
            refs: AtomicUsize::new(1),
            next: AtomicPtr::new(ptr::null_mut()),
            root: root.map_or(block, |root| root.0),
            layout,
            first_key,
            begin: Cell::new(0),
            slots: usize::MAX >> (SLOTS - capacity),
            occupied: Cell::new(0),
            next_free: Cell::new(None),
            fresh: Cell::new(0),
            blocks: AtomicUsize::new(1),
            stack: Stack::new(),
        };
        // SAFETY: freshly allocated, large and aligned enough for a header.
        unsafe { block.write(header) };
        Self(block)
    }

    /// # Safety
    ///
    /// `ptr` is from [`as_ptr`](Self::as_ptr), of a block that is alive.
    #[inline]
    pub(super) unsafe fn from_ptr(ptr: *mut BlockHeader) -> Self {
        // SAFETY: a block's pointer is not null.
        Self(unsafe { NonNull::new_unchecked(ptr) })
    }

    #[inline]
    pub(super) fn as_ptr(self) -> *mut BlockHeader {
        self.0.as_ptr()
    }

    /// The block whose stack and reference count serve all of the set.
    #[inline]
    pub(super) fn root(self) -> Block {
        Block(self.root)
    }

    /// Where the member of a slot is, or would be.
    ///
    /// # Safety
    ///
    /// The block was made for members of type `F`, and has that slot.
    #[inline]
    pub(super) unsafe fn slot<F>(self, slot: usize) -> *mut F {
        // SAFETY: `layout::<F>` laid the slots out from this offset on, and the block's pointer
        // spans them all.
        unsafe { self.as_ptr().byte_add(const { slots_offset::<F>() }).cast::<F>().add(slot) }
    }

    /// Marks the members with these bits ready on behalf of wakers, and sees to it that the set
    /// hears of it.
    #[inline]
    pub(super) fn wake(self, bits: usize) {
        // Release: what the caller did before is seen by the poll that follows. Acquire: what the
        // set did with `next` before it took `ready` to 0 is over. Both orderings are needed even
        // if the bit was set before.
        if self.ready.fetch_or(bits, Ordering::AcqRel) == 0 {
            self.root().stack.push(self);
        }
    }

    /// Adds a reference.
    pub(super) fn retain(self) {
        // As in `Arc`: leaked wakers must not wrap the count around.
        if self.refs.fetch_add(1, Ordering::Relaxed) > isize::MAX as usize {
            process::abort();
        }
    }

    /// Gives a reference back, and with the last one the memory.
    ///
    /// # Safety
    ///
    /// The caller owns a reference, and does not use it, or the block, any more.
    #[inline]
    pub(super) unsafe fn release(self) {
        if let Last::Yes = let_go(&self.refs) {
            // SAFETY: nobody has a reference on this block any more.
            unsafe { self.free() }
        }
    }

    /// Apart from [`release`](Self::release), which is called often and seldom comes to this.
    ///
    /// # Safety
    ///
    /// There are no references any more; nobody calls this twice.
    #[cold]
    #[inline(never)]
    unsafe fn free(self) {
        let root = self.root();
        if self != root {
            // SAFETY: allocated with this layout. By [members] there is no member in it, and of the
            // header only the root's `stack` owns something.
            unsafe { dealloc(self.as_ptr().cast(), self.layout) };
        }
        if let Last::Yes = let_go(&root.blocks) {
            let layout = root.layout;
            // SAFETY: as above; and no other block is left that would lead to the root.
            unsafe {
                let _memory = FreeOnDrop(root.as_ptr().cast(), layout);
                ptr::drop_in_place(root.as_ptr());
            }
        }
    }
}

/// Frees its memory also when the drop of what is in it panics.
struct FreeOnDrop(*mut u8, Layout);

impl Drop for FreeOnDrop {
    fn drop(&mut self) {
        // SAFETY: made in `Block::free` alone, of memory that was allocated with this layout and is
        // used no more.
        unsafe { dealloc(self.0, self.1) }
    }
}

/// The set's side. By [members], only the set calls these, and no waker does.
impl BlockHeader {
    /// Whether the set's reference is the only one, so that no waker can touch `ready`.
    ///
    /// Acquire pairs with the release of the last waker: all that it did is over.
    #[inline]
    pub(super) fn is_exclusive(&self) -> bool {
        self.refs.load(Ordering::Acquire) == 1
    }

    /// For the root: whether nobody but the set can reach it.
    pub(super) fn is_sole(&self) -> bool {
        self.is_exclusive() && self.blocks.load(Ordering::Acquire) == 1
    }

    /// Marks the members with these bits ready, of which there is one at least. True if it is now
    /// on the caller to queue the block ([queued]).
    #[inline]
    pub(super) fn mark(&self, bits: usize) -> bool {
        debug_assert!(bits != 0);
        if self.is_exclusive() {
            let before = self.ready.load(Ordering::Relaxed);
            self.ready.store(before | bits, Ordering::Relaxed);
            before == 0
        } else {
            self.ready.fetch_or(bits, Ordering::AcqRel) == 0
        }
    }

    /// Takes the ready bits of those slots that have a member, and the bits of those whose members
    /// have not been polled yet. From here on the block may be queued anew.
    #[inline]
    pub(super) fn take_ready(&self) -> (usize, usize) {
        let ready = if self.is_exclusive() {
            let ready = self.ready.load(Ordering::Relaxed);
            self.ready.store(0, Ordering::Relaxed);
            ready
        } else {
            self.ready.swap(0, Ordering::AcqRel)
        };
        (ready & self.occupied.get(), self.fresh.take())
    }

    /// The slots that have a member, as bits.
    #[inline]
    pub(super) fn occupied(&self) -> usize {
        self.occupied.get()
    }

    /// Whether nobody needs the block: no member, no waker, and no place in a queue, which by
    /// [queued] has none that is not ready.
    pub(super) fn is_idle(&self) -> bool {
        self.occupied() == 0 && self.is_exclusive() && self.ready.load(Ordering::Relaxed) == 0
    }

    /// The slots with which a pass through `ready` begins, as bits: from the one whose turn it is.
    /// If it `moves_on`, the next pass will begin after the first of them.
    #[inline]
    pub(super) fn begin(&self, ready: usize, moves_on: bool) -> usize {
        let ahead = usize::MAX << self.begin.get();
        if moves_on {
            let first = if ready & ahead == 0 { ready } else { ready & ahead };
            self.begin.set((first.trailing_zeros() as usize + 1) as u8 % SLOTS as u8);
        }
        ahead
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.occupied.get() == self.slots
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.slots.count_ones() as usize
    }

    /// The lowest slot without a member.
    #[inline]
    pub(super) fn first_vacant(&self) -> usize {
        self.occupied.get().trailing_ones() as usize
    }

    /// Notes that the slots with these bits have a member now, which has not been polled. True if
    /// it is now on the caller to mark them, because there have been none like them.
    #[inline]
    pub(super) fn occupy(&self, bits: usize) -> bool {
        self.occupied.set(self.occupied.get() | bits);
        let fresh = self.fresh.replace(self.fresh.get() | bits);
        fresh == 0
    }

    /// Notes that the slot with this bit has no member any more.
    #[inline]
    pub(super) fn vacate(&self, bit: usize) {
        self.occupied.set(self.occupied.get() & !bit);
        self.fresh.set(self.fresh.get() & !bit);
    }
}

enum Last {
    Yes,
    No,
}

/// Counts down. The last one is spared the locked instruction: nobody is left to race with.
#[inline]
fn let_go(count: &AtomicUsize) -> Last {
    if count.load(Ordering::Acquire) == 1 || count.fetch_sub(1, Ordering::AcqRel) == 1 { Last::Yes } else { Last::No }
}

const fn slots_offset<F>() -> usize {
    size_of::<BlockHeader>().next_multiple_of(align_of::<F>())
}

fn layout<F>(capacity: usize) -> Layout {
    let align = align_of::<F>().max(ALIGN).max(align_of::<BlockHeader>());
    size_of::<F>()
        .checked_mul(capacity)
        .and_then(|slots| slots.checked_add(slots_offset::<F>()))
        .and_then(|size| Layout::from_size_align(size, align).ok())
        .expect("a chunk of members exceeds the address space")
}
