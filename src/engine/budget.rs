//! What a thread knows while it polls a set: its budget, and whom it is polling.
//!
//! **The budget** says how many members may be polled before the executor gets its turn. A pass of
//! the outermost set on a thread has [`BUDGET`] polls, and the sets inside its members spend from
//! the same ones. A scope makes up to three passes in one poll, and goes on after the first one
//! only if something came or has ended. The budget keeps members that are always ready from holding
//! the thread for ever, and it keeps below the number of operations after which a runtime makes its
//! own leaf futures answer `Pending` (128 in tokio), without knowing any runtime. A poll that leads
//! to another set is not counted besides those that are made there, so a pass gets as far through
//! nested sets as through one: the poll of a member is *lent* to the set inside it, which gives it
//! back if it polls nobody.
//!
//! A wake-up deep inside is a poll of each enclosing set, and that costs time although it is not
//! counted. So where sets are nested deeper than [`BUDGET`], each second level adds a poll to the
//! budget: a pass that went through many levels also gets many done, and a tower of sets starts and
//! ends in time proportional to its height.
//!
//! **The steps** of one poll are bounded, too: what a future takes from a queue or a lock without
//! having to wait for it. A member that has used up its [`STEPS`] is to yield, as
//! [`take_step`] tells what waits. So one that always finds an item does not keep its siblings from
//! their polls. A poll that foster does not make, such as that of a task of a runtime, has as many
//! steps as it likes.
//!
//! **Which block is being worked off** makes it cheap for its members to wake themselves and each
//! other, as a future does that yields, a set within a set at the end of each of its passes, and a
//! sibling that gives way to the next one in line: the wake-up is noted here, without an atomic
//! instruction, and the set sees to it when the poll returns.

use std::cell::Cell;
use std::num::NonZero;

use super::block::Block;

/// Polls in one pass of an outermost set.
pub(super) const BUDGET: u32 = 61;

/// Steps in one poll of a member.
const STEPS: u32 = 128;

/// The steps are not counted.
const UNCOUNTED: u32 = u32::MAX;

struct Thread {
    /// What is left of the budget, while a set is polled.
    left: Cell<u32>,
    /// How many sets are being polled, each by a member of the one before.
    depth: Cell<u32>,
    /// The depth beyond which there are levels that have not added to the budget.
    deepest: Cell<u32>,
    /// The block that the innermost set is working off.
    block: Cell<Option<Block>>,
    /// The slots of that block whose members were woken by this thread, as bits, until the set
    /// takes them.
    woken: Cell<usize>,
    /// Whether the poll of the member that is being polled was taken from the budget, and has not
    /// been lent to a set inside it. It stays until the next poll: a destructor that polls a set in
    /// between borrows it, too, and that is bounded as well.
    paid: Cell<bool>,
    /// The steps that are left in the poll, or `UNCOUNTED`. That stays as it is, since a thread
    /// that polls no set may take any number of steps.
    steps: Cell<u32>,
}

impl Thread {
    const fn new() -> Self {
        Self {
            left: Cell::new(0),
            depth: Cell::new(0),
            deepest: Cell::new(0),
            block: Cell::new(None),
            woken: Cell::new(0),
            paid: Cell::new(false),
            steps: Cell::new(UNCOUNTED),
        }
    }
}

#[cfg(not(foster_loom))]
thread_local! {
    static THREAD: Thread = const { Thread::new() };
}

#[cfg(foster_loom)]
loom::thread_local! {
    static THREAD: Thread = Thread::new();
}

/// Calls `f` with what this thread knows.
#[inline]
fn with<R>(f: impl FnOnce(&Thread) -> R) -> R {
    // `LocalKey::with` is a call, and `try_with` is inlined.
    let Ok(result) = THREAD.try_with(|thread| f(thread)) else { unreachable!("it has no destructor") };
    result
}

/// Takes one step of the poll that is being made, if they are counted. False if none is left, so
/// that the caller is to yield.
///
/// The poll has as many again after that. What yields is done for this time, unless somebody polls
/// it in a loop until it is ready, as code does that blocks the thread on a future. That may be in
/// this very poll, and would go on for ever.
#[inline]
pub(crate) fn take_step() -> bool {
    with(|thread| {
        let left = thread.steps.get();
        if left <= STEPS {
            thread.steps.set(left.checked_sub(1).unwrap_or(STEPS));
        }
        left > 0
    })
}

/// A poll of a single future, whose steps are counted until this is dropped.
pub(crate) struct Counted {
    outermost: bool,
}

impl Counted {
    #[inline]
    pub(crate) fn begin() -> Self {
        with(|thread| {
            let outermost = thread.steps.get() > STEPS;
            if outermost {
                thread.steps.set(STEPS);
            }
            Counted { outermost }
        })
    }
}

impl Drop for Counted {
    #[inline]
    fn drop(&mut self) {
        if self.outermost {
            with(|thread| thread.steps.set(UNCOUNTED));
        }
    }
}

/// Notes a wake-up of a member of the block that this very thread is working off. False if it is
/// another block.
#[inline]
pub(super) fn note(block: Block, slot: usize) -> bool {
    with(|thread| {
        let is_current = thread.block.get() == Some(block);
        if is_current {
            thread.woken.set(thread.woken.get() | 1 << slot);
        }
        is_current
    })
}

/// A stretch of polling. Its end, also by a panic, gives the thread back to the enclosing set.
pub(super) struct Stretch {
    /// How many sets enclose this one.
    depth: u32,
    /// What the enclosing set is working off, and what it has not taken yet.
    outer_block: Option<Block>,
    outer_woken: usize,
    /// The steps that were left in the poll that led here, if no set encloses this one.
    outer_steps: u32,
    /// Whether the poll that led here has been lent, and not been spent here.
    lent: Cell<bool>,
    /// Whether somebody else settles the order of the members.
    #[cfg(feature = "sim")]
    shuffled: bool,
}

impl Stretch {
    /// Begins a stretch with `left` polls, or with what the enclosing set has left.
    #[inline]
    pub(super) fn begin(left: u32) -> Self {
        with(|thread| {
            let depth = thread.depth.get();
            thread.depth.set(depth + 1);
            let lent = depth > 0 && thread.paid.replace(false);
            if depth == 0 {
                thread.left.set(left);
                thread.deepest.set(BUDGET);
            } else if lent {
                thread.left.set(thread.left.get() + 1);
            }
            if depth > thread.deepest.get() {
                thread.deepest.set(depth + 1);
                thread.left.set(thread.left.get() + 1);
            }
            Self {
                depth,
                outer_block: thread.block.take(),
                outer_woken: thread.woken.take(),
                outer_steps: thread.steps.get(),
                lent: Cell::new(lent),
                #[cfg(feature = "sim")]
                shuffled: crate::trace::shuffle::is_on(),
            }
        })
    }

    /// Whether somebody else settles the order of the members.
    #[inline]
    pub(super) fn is_shuffled(&self) -> bool {
        #[cfg(feature = "sim")]
        return self.shuffled;
        #[cfg(not(feature = "sim"))]
        false
    }

    /// The slot and the bit of the next of the members with these bits: the first, unless somebody
    /// else settles that.
    #[inline]
    pub(super) fn pick(&self, bits: usize) -> Option<(usize, usize)> {
        let some = NonZero::new(bits)?;
        #[cfg(feature = "sim")]
        if let Some(slot) = self.shuffled.then(|| crate::trace::shuffle::pick(some)).flatten() {
            return Some((slot, 1 << slot));
        }
        Some((some.trailing_zeros() as usize, bits & bits.wrapping_neg()))
    }

    /// Goes on with members of this block. So the poll that led here has not been lent in vain.
    #[inline]
    pub(super) fn work_off(&self, block: Block) {
        self.lent.set(false);
        with(|thread| thread.block.set(Some(block)));
    }

    /// Polls left.
    #[inline]
    pub(super) fn left(&self) -> u32 {
        with(|thread| thread.left.get())
    }

    /// Takes one poll from the budget. False if there is none to take.
    #[inline]
    pub(super) fn spend(&self) -> bool {
        with(|thread| {
            let left = thread.left.get();
            if left > 0 {
                thread.left.set(left - 1);
            }
            thread.paid.set(left > 0);
            left > 0
        })
    }

    /// Begins the poll of a member.
    #[inline]
    pub(super) fn count_steps(&self) {
        with(|thread| thread.steps.set(STEPS));
    }

    /// Takes the slots of the block whose members were woken since the last call, as bits, if there
    /// are any.
    #[inline]
    pub(super) fn take_woken(&self) -> Option<usize> {
        Some(with(|thread| thread.woken.take())).filter(|&woken| woken != 0)
    }
}

impl Drop for Stretch {
    #[inline]
    fn drop(&mut self) {
        let (block, woken) = with(|thread| {
            thread.paid.set(self.lent.get());
            thread.depth.set(self.depth);
            if self.depth == 0 {
                thread.steps.set(self.outer_steps);
            } else if self.lent.get() {
                thread.left.set(thread.left.get() - 1);
            }
            (thread.block.replace(self.outer_block), thread.woken.replace(self.outer_woken))
        });
        // A panic has kept the set from taking them.
        if let Some(block) = block.filter(|_| woken != 0) {
            block.wake(woken);
        }
    }
}

#[cfg(all(test, not(foster_loom)))]
mod tests {
    use super::*;

    fn steps() -> u32 {
        with(|thread| thread.steps.get())
    }

    /// A root and a parallel child that polled a set now and then took any number of steps.
    #[test]
    fn a_set_leaves_those_of_the_poll_around_it_counted() {
        let _counted = Counted::begin();
        assert!(take_step());
        let stretch = Stretch::begin(BUDGET);
        stretch.count_steps();
        assert!(take_step() && take_step());
        drop(stretch);
        assert_eq!(steps(), STEPS - 1);
    }

    #[test]
    fn a_counted_poll_within_another_takes_its_steps() {
        let counted = Counted::begin();
        assert!(take_step());
        let inner = Counted::begin();
        assert!(take_step());
        drop(inner);
        assert_eq!(steps(), STEPS - 2);
        drop(counted);
        assert_eq!(steps(), UNCOUNTED);
    }

    /// A set that deep, which polls itself again and again, would never give the thread back.
    #[test]
    fn a_level_that_is_polled_again_adds_nothing_more_to_the_budget() {
        let mut stretches: Vec<_> = (0..=BUDGET + 1).map(|_| Stretch::begin(BUDGET)).collect();
        assert_eq!(stretches[0].left(), BUDGET + 1);
        for _ in 0..3 {
            stretches.pop();
            stretches.push(Stretch::begin(BUDGET));
        }
        assert_eq!(stretches[0].left(), BUDGET + 1);
        while stretches.pop().is_some() {}
    }

    /// They were counted down from the largest number, and whoever took that many waited for ever.
    #[test]
    fn steps_outside_of_a_set_use_nothing_up() {
        assert!(take_step() && take_step());
        assert_eq!(steps(), UNCOUNTED);
    }

    #[test]
    fn the_steps_of_a_poll_are_used_up_and_there_are_as_many_again() {
        let counted = Counted::begin();
        for _ in 0..3 {
            assert!((0..STEPS).all(|_| take_step()));
            assert!(!take_step());
        }
        drop(counted);
        assert_eq!(steps(), UNCOUNTED);
    }
}
