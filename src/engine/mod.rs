//! Polls the members of a set that were woken. Combinators of a dozen futures or fewer poll theirs
//! by a loop of their own, in [`inline`].
//!
//! # Memory
//!
//! Members lie inline in blocks of at most 64 slots, or as many as a word has bits. A block is one
//! allocation, with one header ([`block`]). A member never moves. It is dropped in place as soon as
//! it is done or removed.
//!
//! A block stays until both the set and the last waker into it have let go. The set counts how
//! often a block has become empty. When that exceeds half the number of its blocks, it gives the
//! empty ones back. So it returns memory after a rush, and each member pays for a constant part of
//! that.
//!
//! # A wake-up
//!
//! The waker of slot `i` is the address of its block, with `i` put into it ([`waker`]). Making one
//! allocates nothing. For the length of a poll it counts nothing, either. A wake-up sets bit `i` of
//! the block's `ready` word. Whoever turns that word from 0 also pushes the block on the stack in
//! the root, which is the set's first block ([`queue`]). Whoever finds that stack asleep also wakes
//! the parent. This is O(1) whatever the size of the set, and takes no lock.
//!
//! Most wake-ups within a set need no atomic instruction. While a block is worked off, its members
//! leave a note to the set when they wake themselves or each other ([`budget`]). And the set has a
//! block for itself as long as no waker into it has been cloned, which the block's reference count
//! tells. Then it marks and takes ready bits without atomic instructions.
//!
//! # A pass
//!
//! The set is polled in passes. A pass takes the whole stack, oldest block first but for the one
//! whose turn it is, and polls the members whose bits it finds. What is woken meanwhile goes to the
//! stack again and waits for the next pass. Members of the block being worked off that are woken
//! from within, or that join it, are noted beside it ([`current`]). The queues hear of them once:
//! when the pass leaves the block, is cut short, or takes in a member of another block. A block
//! whose members were woken from within waits for the next pass in a list of the set's own, which
//! takes no atomic instruction. So a member that wakes itself is polled once a pass. One that is
//! woken by a sibling before its turn is not polled once more for that.
//!
//! At its end the set goes to sleep on the stack: it registers the parent's waker, then marks the
//! stack asleep, and if something was pushed before that, wakes the parent at once. While a pass is
//! under way the stack is marked awake and no push wakes anybody. So wake-ups that come out of the
//! members' own polls reach the parent as one, and a set whose members only ever wake themselves
//! registers no waker at all.
//!
//! A pass ends early when its budget is used up ([`budget`]). What it has not polled comes first
//! in the next one.
//!
//! Passes begin in turn at different members. Of the blocks that were woken, the one whose key
//! follows on that of the last pass's first block goes before the others. It is worked off from the
//! slot after the one at which a pass began there last. So a member that uses up what all members
//! share, as tokio's budget for a task, leaves it to others in other passes, whatever the order in
//! which they are woken. The turn within a block moves only in a pass that enters it first: if it
//! moved in all passes, it could keep step with the turns of the blocks, and leave out the same
//! members each time.
//!
//! Now and then, irregularly, the beginning stays where it is, so that it does not keep step with
//! whatever polls the set several times in one go. A pass that goes on with what the last one has
//! left ends early then, so that passes do not always end at the same members, and begin at the
//! same others.
//!
//! # Foreign code
//!
//! Members' polls and drops, and the parent's waker, may do anything. They may wake, clone and drop
//! any of these wakers, or panic. So no lock is held while they run, and the set's state is
//! consistent whenever they are called.

#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;

use block::{Block, SLOTS};
use budget::BUDGET;
use current::Current;
use filling::Filling;
pub(crate) use pass::Answer;
use pass::Pass;
use queue::List;

pub(crate) use inline::{Inline, Slot};
pub use room::{Few, Many};
pub(crate) use room::{Length, Room, Slots, Store};

use crate::panic::{FirstPanic, catch};

pub(crate) mod atomics;
mod block;
pub(crate) mod budget;
pub(crate) mod cell;
mod current;
mod filling;
mod inline;
mod pass;
mod queue;
mod room;
mod waker;

#[cfg(all(test, not(foster_loom)))]
mod tests;

/// How many slots the first block has in a set that was not told its size.
const FIRST: usize = 4;

/// How often blocks may become empty, beyond half their number, before empty ones are given back.
const FEW: usize = 8;

/// Names a slot, and its member as long as there is one.
///
/// In a set made by `with_capacity(n)` the first `n` inserts have the keys 0 to `n - 1` in order,
/// if nothing is removed between them. Beyond that, keys have gaps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key(u32);

impl Key {
    /// The key of a slot's number.
    pub(crate) const fn new(slot: u32) -> Self {
        Key(slot)
    }

    /// Returns the number of the slot.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    fn chunk(self) -> usize {
        self.index() / SLOTS
    }

    fn slot(self) -> usize {
        self.index() % SLOTS
    }
}

/// Polls its members when they were woken. See the [module](self).
pub struct Set<F> {
    /// The first block, which holds what the blocks share.
    root: Option<Block>,
    /// The other blocks. `rest[i]` has the keys from `SLOTS * (i + 1)`, or is `None` if that block
    /// was given back.
    rest: Vec<Option<Block>>,
    /// How many blocks there are.
    blocks: usize,
    /// There is no gap in `rest` before this one.
    gap: usize,
    /// How often a block has become empty since blocks were last given back.
    emptied: usize,
    /// The size that was announced. Blocks below it are made to measure.
    planned: usize,
    len: usize,
    /// The first of the blocks that have a vacant slot.
    free: Option<Block>,
    /// What is left of this pass beyond the current block.
    list: List,
    /// The blocks that have been worked off, and have members that were woken from within. The next
    /// pass takes them before those that others have woken.
    again: List,
    /// The block being worked off.
    current: Current,
    /// Says which passes may begin where the last one did.
    dice: u32,
    /// The first key of the block at which the last pass began that did not go on with what the one
    /// before had left. The block may have been given back since.
    began: u32,
    /// Whether the next block is the first that this pass enters, and its turn moves on.
    leads: bool,
    pass: Pass,
    /// Polls left in this pass while no other set encloses this one.
    budget: u32,
    members: PhantomData<Box<F>>,
}

// SAFETY: by [members] the set alone reaches its members and the `Cell`s of its blocks, so they
// move to another thread with it. What wakers on other threads share with it is atomic.
unsafe impl<F: Send> Send for Set<F> {}
// SAFETY: `&Set` gives no access to members, and reads `Cell`s that only `&mut Set` writes.
unsafe impl<F: Sync> Sync for Set<F> {}

impl<F> Set<F> {
    /// Makes an empty set, which allocates with the first insert.
    pub(crate) const fn new() -> Self {
        Self::planned(0, Vec::new())
    }

    /// Makes an empty set whose blocks will have `n` slots together. Up to one word's bits, that is
    /// a single allocation.
    #[inline]
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self::planned(n, Vec::with_capacity(n.saturating_sub(1) / SLOTS))
    }

    const fn planned(planned: usize, rest: Vec<Option<Block>>) -> Self {
        Self {
            root: None,
            rest,
            blocks: 0,
            gap: 0,
            emptied: 0,
            planned,
            len: 0,
            free: None,
            list: List::new(),
            again: List::new(),
            current: Current::none(),
            dice: 0,
            began: 0,
            leads: false,
            pass: Pass::Over,
            budget: BUDGET,
            members: PhantomData,
        }
    }

    /// Makes a set of `members`.
    ///
    /// If their size hint is exact, the set has the fewest allocations, and their keys count from
    /// 0.
    pub(crate) fn collect(members: impl Iterator<Item = F>) -> Self {
        let (least, most) = members.size_hint();
        if most != Some(least) {
            return Self::collect(members.collect::<Vec<F>>().into_iter());
        }
        let mut set = Self::with_capacity(least);
        let mut members = members.fuse();
        while let Some(first) = members.next() {
            let mut filling = Filling::new(&mut set);
            filling.put(first);
            members.by_ref().take(filling.room()).for_each(|member| filling.put(member));
        }
        set
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a member, ready to be polled, and moves no other.
    ///
    /// While a pass is under way (the last `poll_next` gave a result), the member is polled in that
    /// pass, or in the next one if its block has been woken meanwhile: then the parent is woken
    /// when this pass ends. Between passes the parent is *not* woken: whoever inserts polls the
    /// set, or wakes itself.
    ///
    /// # Panics
    ///
    /// When the keys, 2³² of them, or the address space are used up.
    #[inline]
    pub(crate) fn insert(&mut self, member: F) -> Key {
        self.insert_with(|_| member)
    }

    /// Adds a member that is made when its key is known. Otherwise as [`insert`](Self::insert).
    #[inline]
    pub(crate) fn insert_with(&mut self, member: impl FnOnce(Key) -> F) -> Key {
        let block = match self.free {
            Some(block) => block,
            None => self.grow(),
        };
        let slot = block.first_vacant();
        let key = Key(block.first_key + slot as u32);
        // SAFETY: the block is one of this set's, made for `F`, and this slot of it is vacant.
        unsafe { block.slot::<F>(slot).write(member(key)) };
        let first = block.occupy(1 << slot);
        if block.is_full() {
            self.free = block.next_free.take();
        }
        self.len += 1;
        if first {
            self.mark(block, 1 << slot);
        }
        key
    }

    /// Drops a member in place. Returns false if there is none of that key.
    pub(crate) fn remove(&mut self, key: Key) -> bool {
        let Some((block, slot)) = self.find(key) else {
            return false;
        };
        if self.current.is(block) {
            self.current.keep(!(1 << slot));
        }
        self.drop_member(block, slot, 1 << slot);
        true
    }

    pub(crate) fn get(&mut self, key: Key) -> Option<Pin<&mut F>> {
        let (block, slot) = self.find(key)?;
        // SAFETY: `find` gives occupied slots only; by [members] nobody else reaches the member,
        // and it never moves.
        Some(unsafe { Pin::new_unchecked(&mut *block.slot::<F>(slot)) })
    }

    /// Marks a member ready, as if it were freshly inserted. The parent is not woken. Does nothing
    /// if there is no such member.
    pub(crate) fn wake(&mut self, key: Key) {
        if let Some((block, slot)) = self.find(key) {
            self.mark(block, 1 << slot);
        }
    }

    /// Returns the keys of all members, in slot order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.blocks().flat_map(|block| {
            let mut left = block.occupied();
            std::iter::from_fn(move || {
                let slot = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(Key(block.first_key + slot))
            })
        })
    }

    /// Drops all members, the newest slot first. Panics as [`retain`](Self::retain) does.
    pub(crate) fn clear(&mut self) {
        self.retain(|_| false);
    }

    /// Drops the members that `keep` does not want, the newest slot first.
    ///
    /// # Panics
    ///
    /// With the first panic of a member's drop, after all have been dropped; never while the thread
    /// is panicking. A member for which `keep` panics stays.
    pub(crate) fn retain(&mut self, keep: impl FnMut(Pin<&mut F>) -> bool) {
        let panics = self.drop_members(keep);
        self.current.keep_occupied();
        self.link_free();
        panics.resume();
    }

    /// Links the blocks that have vacant slots, the first one first.
    fn link_free(&mut self) {
        self.free = None;
        for i in (0..self.chunks()).rev() {
            if let Some(block) = self.chunk(i).filter(|block| !block.is_full()) {
                block.next_free.set(self.free.replace(block));
            }
        }
    }

    /// Drops the member of an occupied slot, whose bit is not among those to be polled.
    #[inline]
    fn drop_member(&mut self, block: Block, slot: usize, bit: usize) {
        if block.is_full() {
            block.next_free.set(self.free.replace(block));
        }
        // SAFETY: the slot was occupied, and counts as vacant from here on, whether the drop panics
        // or not.
        unsafe { self.vacate(block, slot, bit).drop_in_place() };
        if block.occupied() == 0 {
            self.emptied += 1;
            if self.emptied > FEW + self.blocks / 2 {
                self.give_back();
            }
        }
    }

    /// Gives the memory of idle blocks back.
    #[cold]
    fn give_back(&mut self) {
        self.emptied = 0;
        self.gap = 0;
        for place in &mut self.rest {
            if let Some(block) = place.take_if(|block| block.is_idle() && !self.current.is(*block)) {
                // SAFETY: the set owns a reference on each of its blocks. It does not use this one
                // after this: it is idle, so in no queue; it is not the current one; and the free
                // list is made anew.
                unsafe { block.release() };
                self.blocks -= 1;
            }
        }
        while self.rest.last().is_some_and(Option::is_none) {
            self.rest.pop();
        }
        self.rest.shrink_to(2 * self.rest.len());
        self.link_free();
    }

    /// Declares a slot vacant, and returns a pointer to its member, which the caller drops.
    #[inline]
    fn vacate(&mut self, block: Block, slot: usize, bit: usize) -> *mut F {
        block.vacate(bit);
        self.len -= 1;
        // SAFETY: the block is one of this set's, made for `F`, and has this slot.
        unsafe { block.slot(slot) }
    }

    /// Drops the members that `keep` does not want, come what may, and returns the first panic. The
    /// free list is out of order then.
    fn drop_members(&mut self, mut keep: impl FnMut(Pin<&mut F>) -> bool) -> FirstPanic {
        let mut panics = FirstPanic::default();
        if self.len == 0 {
            return panics;
        }
        let mut chunks = self.chunks();
        // Of the chunk that is being worked off: the slots that have not had their turn.
        let mut left = usize::MAX;
        let mut drop_newest_first = || {
            while let Some(last) = chunks.checked_sub(1) {
                if let Some(block) = self.chunk(last) {
                    while let Some(slot) = (block.occupied() & left).checked_ilog2() {
                        let (slot, bit) = (slot as usize, 1 << slot);
                        left = bit - 1;
                        // SAFETY: as in `get`.
                        let member = unsafe { Pin::new_unchecked(&mut *block.slot::<F>(slot)) };
                        if !keep(member) {
                            // SAFETY: as in `drop_member`.
                            unsafe { self.vacate(block, slot, bit).drop_in_place() };
                        }
                    }
                }
                chunks = last;
                left = usize::MAX;
            }
        };
        while let Err(payload) = catch(&mut drop_newest_first) {
            panics.add(payload);
        }
        panics
    }

    /// Adds a block, and makes it the one with vacant slots.
    #[cold]
    fn grow(&mut self) -> Block {
        while self.rest.get(self.gap).is_some_and(Option::is_some) {
            self.gap += 1;
        }
        let first_key = if self.root.is_none() { 0 } else { (self.gap + 1) * SLOTS };
        let last = self.rest.last().copied().flatten().or(self.root);
        let capacity = match self.planned.saturating_sub(first_key) {
            0 => last.map_or(FIRST, |last| last.capacity() * 4),
            planned => planned,
        };
        let first_key = u32::try_from(first_key).expect("there are more members than keys");
        let block = Block::new::<F>(capacity.min(SLOTS), first_key, self.root);
        match self.root {
            None => self.root = Some(block),
            Some(_) => match self.rest.get_mut(self.gap) {
                Some(gap) => *gap = Some(block),
                None => self.rest.push(Some(block)),
            },
        }
        self.free = Some(block);
        self.blocks += 1;
        block
    }

    /// Finds the member of a key, if there is one.
    #[inline]
    fn find(&self, key: Key) -> Option<(Block, usize)> {
        let block = self.chunk(key.chunk())?;
        let slot = key.slot();
        (block.occupied() & 1 << slot != 0).then_some((block, slot))
    }

    /// Returns how many blocks there are, with the gaps.
    fn chunks(&self) -> usize {
        usize::from(self.root.is_some()) + self.rest.len()
    }

    #[inline]
    fn chunk(&self, i: usize) -> Option<Block> {
        match i.checked_sub(1) {
            None => self.root,
            Some(i) => self.rest.get(i).copied().flatten(),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = Block> {
        self.root.into_iter().chain(self.rest.iter().copied().flatten())
    }
}

impl<F> Drop for Set<F> {
    fn drop(&mut self) {
        let panics = self.drop_members(|_| false);
        for block in mem::take(&mut self.rest).into_iter().flatten() {
            // SAFETY: the set owns one reference on each of its blocks, and does not use the block
            // after this.
            unsafe { block.release() };
        }
        if let Some(root) = self.root.take() {
            // Wakers that stay behind must neither keep nor wake the parent. If none stays behind,
            // the parent's waker is dropped with the block.
            let parent = if root.is_sole() { None } else { root.stack.forget_parent() };
            // SAFETY: as above.
            unsafe { root.release() };
            drop(parent);
        }
        panics.resume();
    }
}

impl<F> fmt::Debug for Set<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("len", &self.len).finish()
    }
}
