//! Passes: in which order the members of a set are polled, and when a pass ends.
//!
//! The [module](super) tells what a pass is, and why.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::block::Block;
use super::budget::{BUDGET, Stretch};
use super::{Key, Set, waker};

/// What a member's poll returned that was not pending.
pub(crate) enum Answer<B> {
    /// The member is done, and is dropped.
    Done,
    /// The member is done, and is dropped. The set's poll returns this.
    Last(B),
    /// The set's poll returns this. The member stays, ready for the next pass.
    Item(B),
}

/// How far the current pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// The next poll begins one.
    Over,
    UnderWay,
    /// The pass has left the set empty. Members that come now are polled in it, also if the last
    /// ones were woken meanwhile. They use the same budget, because a caller that fills the set
    /// again and again must stop some time.
    Emptied,
}

impl<F> Set<F> {
    /// Polls ready members until one of them is done, drops that one and returns its result.
    ///
    /// - `Ready(Some(..))`: call again; the pass is not over, and nobody has promised a wake-up.
    /// - `Ready(None)`: there are no members.
    /// - `Pending`: the pass is over, and the parent is woken when there is something to poll, or
    ///   has been already. The next call begins a new pass, also within the same poll of the
    ///   parent.
    ///
    /// See [`poll_until`](Self::poll_until) for what a pass is.
    #[inline]
    pub(crate) fn poll_next<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut each: impl FnMut(Key, Pin<&mut F>, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<Option<(Key, R)>> {
        self.poll_until(cx, |key, member, cx| each(key, member, cx).map(|result| Answer::Last((key, result))))
    }

    /// Polls ready members, drops those that are done, and returns when one of them has something
    /// to return: as [`poll_next`](Self::poll_next), and cheaper where there is no need to return
    /// for each.
    ///
    /// See [`poll_pass`](Self::poll_pass) for what a pass is.
    #[inline]
    pub(crate) fn poll_until<B>(
        &mut self,
        cx: &mut Context<'_>,
        each: impl FnMut(Key, Pin<&mut F>, &mut Context<'_>) -> Poll<Answer<B>>,
    ) -> Poll<Option<B>> {
        let polled = self.poll_pass(each);
        if polled.is_pending() && !self.sleep(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        polled
    }

    /// Polls ready members as [`poll_until`](Self::poll_until) does, and leaves it to the caller to
    /// [sleep](Self::sleep) when the pass is over.
    ///
    /// A pass polls a member once, however often it is woken meanwhile, first those that were
    /// inserted since the last one, and ends after at most [`BUDGET`] polls. Sets inside members
    /// share that budget. One that finds it used up polls a single member a pass, so that deep
    /// nesting still gets on.
    ///
    /// # Panics
    ///
    /// With what `each` or the drop of a finished member panics with. A member whose poll panics
    /// stays, and stays ready: it is polled again if the set is, so that a panic never turns into a
    /// hang. All others, and their wake-ups, are unharmed.
    #[inline]
    pub(crate) fn poll_pass<B>(
        &mut self,
        mut each: impl FnMut(Key, Pin<&mut F>, &mut Context<'_>) -> Poll<Answer<B>>,
    ) -> Poll<Option<B>> {
        if self.len == 0 {
            return Poll::Ready(None);
        }
        let begins = self.pass == Pass::Over;
        match self.pass {
            Pass::Over => self.begin_pass(),
            Pass::Emptied => self.resume_pass(),
            Pass::UnderWay => {}
        }
        let stretch = Stretch::begin(self.budget);
        // A pass polls one member, budget or not.
        let mut gift = begins && stretch.left() == 0;
        while let Some(block) = self.next_block(&stretch) {
            let first_key = block.first_key;
            stretch.work_off(block);
            while let Some((slot, bit)) = stretch.pick(self.current.now()) {
                if !stretch.spend() && !take_gift(&mut gift) {
                    drop(stretch);
                    return self.break_off();
                }
                let key = Key(first_key + slot as u32);
                let waker = waker::lend(block, slot);
                // SAFETY: as in `get`; the bits to be polled are of occupied slots.
                let member = unsafe { Pin::new_unchecked(&mut *block.slot::<F>(slot)) };
                let mut child = Context::from_waker(&waker);
                stretch.count_steps();
                let polled = each(key, member, &mut child);
                self.current.pass_by(bit);
                let value = match polled {
                    Poll::Pending => None,
                    Poll::Ready(Answer::Item(value)) => {
                        self.current.repeat(bit);
                        Some(value)
                    }
                    Poll::Ready(Answer::Last(value)) => {
                        self.drop_member(block, slot, bit);
                        if self.len == 0 {
                            self.pass = Pass::Emptied;
                        }
                        Some(value)
                    }
                    Poll::Ready(Answer::Done) => {
                        self.drop_member(block, slot, bit);
                        None
                    }
                };
                // After the drop, which may have woken somebody, too.
                if let Some(woken) = stretch.take_woken() {
                    self.current.hear(woken & block.occupied());
                }
                if value.is_some() {
                    self.budget = stretch.left();
                    return Poll::Ready(value);
                }
            }
        }
        self.budget = stretch.left();
        drop(stretch);
        self.end_pass()
    }

    /// Lets the set sleep, after a pass, until a member is woken. The waker is woken then.
    ///
    /// Returns false if a member has been woken already, or if the pass used up its budget. Then
    /// nobody is woken.
    #[inline]
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        !self.goes_on() && self.again.first().is_none() && self.root.is_some_and(|root| root.stack.sleep(waker))
    }

    #[inline]
    fn begin_pass(&mut self) {
        // A linear congruence, whose uppermost bits are random enough: three in four passes begin
        // elsewhere than the last one.
        self.dice = self.dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.leads = self.dice >> 30 != 0;
        self.pass = Pass::UnderWay;
        self.budget = BUDGET;
        let Some(root) = self.root else { return };
        // What the last pass has not polled comes first in any case.
        let goes_on = self.goes_on();
        root.stack.take(&mut self.again);
        if goes_on {
            self.list.append(&mut self.again);
            if !self.leads && !self.begins_fresh() {
                self.budget = 1 + (self.dice >> 8) % BUDGET;
            }
        } else {
            self.again.elect(self.began.wrapping_add(u32::from(self.leads)));
            self.list.append(&mut self.again);
            if let Some(first) = self.list.first() {
                self.began = first.first_key;
            }
        }
    }

    /// Returns whether there is something to poll that the last pass has left, or that came after
    /// it.
    #[inline]
    fn goes_on(&self) -> bool {
        !self.current.is_finished() || self.list.first().is_some()
    }

    /// Returns whether this pass goes on with members that have not been polled before.
    fn begins_fresh(&self) -> bool {
        if self.current.is_finished() {
            return self.list.first().is_some_and(|block| block.fresh.get() != 0);
        }
        self.current.is_fresh()
    }

    #[cold]
    fn resume_pass(&mut self) {
        self.pass = Pass::UnderWay;
        if let Some(root) = self.root {
            root.stack.take(&mut self.again);
            self.list.append(&mut self.again);
        }
    }

    /// Ends a pass whose budget is used up. The next one goes on there.
    #[cold]
    fn break_off<B>(&mut self) -> Poll<Option<B>> {
        self.pass = Pass::Over;
        self.requeue();
        Poll::Pending
    }

    /// Ends a pass that has polled all there was.
    #[inline]
    fn end_pass<B>(&mut self) -> Poll<Option<B>> {
        if self.len == 0 {
            self.pass = Pass::Emptied;
            return Poll::Ready(None);
        }
        self.pass = Pass::Over;
        Poll::Pending
    }

    /// The block with the next members of this pass, which are those in `current.now()`.
    #[inline]
    fn next_block(&mut self, stretch: &Stretch) -> Option<Block> {
        self.current.unfinished().or_else(|| self.enter_block(stretch.is_shuffled()))
    }

    /// Goes on with those of the current block that are left, or with the next block.
    #[inline(never)]
    fn enter_block(&mut self, is_shuffled: bool) -> Option<Block> {
        while !self.current.advance() {
            self.leave_block();
            let block = self.list.pop()?;
            let (ready, fresh) = block.take_ready();
            let ahead = block.begin(ready | fresh, mem::take(&mut self.leads));
            // In the order in which they came, those that are fresh; then in turn, unless somebody
            // else settles that.
            let ahead = if is_shuffled { usize::MAX } else { ahead };
            self.current.enter(block, ready, fresh, ahead);
        }
        self.current.unfinished()
    }

    /// Queues the block that has been worked off, where it is to be polled again.
    #[inline]
    fn leave_block(&mut self) {
        self.requeue();
        if let Some((block, joined)) = self.current.leave() {
            self.queue(block, joined | block.fresh.get());
        }
    }

    /// Queues the current block for the next pass, if members of it were woken from within.
    #[inline]
    pub(super) fn requeue(&mut self) {
        if let Some((block, again)) = self.current.take_again() {
            if block.mark(again) {
                self.again.push(block);
            }
        }
    }

    /// Queues a block with those of its members that are to be polled in this pass.
    #[inline]
    fn queue(&mut self, block: Block, bits: usize) {
        if bits != 0 && block.mark(bits) {
            self.list.push(block);
        }
    }

    /// Marks members ready, to be polled in this pass or in the next one.
    #[inline]
    pub(super) fn mark(&mut self, block: Block, bits: usize) {
        if self.current.is(block) && !self.current.is_finished() {
            self.current.join(bits);
            return;
        }
        // In the order in which they came: those that were woken from within, those that joined,
        // and these.
        if self.current.is(block) || self.current.has_joined() {
            self.requeue();
            if let Some((current, joined)) = self.current.take_joined() {
                self.queue(current, joined | current.fresh.get());
            }
        }
        self.queue(block, bits);
    }
}

/// Whether there is a poll left that needs no budget.
#[cold]
#[inline(never)]
fn take_gift(gift: &mut bool) -> bool {
    mem::take(gift)
}
