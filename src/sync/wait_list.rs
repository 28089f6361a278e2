//! The wait list, on which everything stands that waits for its turn.
//!
//! Three types, each of which knows one thing:
//!
//! - [`Waiters`] knows the order. It is a plain list without a lock: who waits, what each asks for,
//!   and the answer that it gets.
//! - [`WaitList`] knows the lock. It holds the state of a primitive, in which there are one or more
//!   `Waiters`, and wakes those who were answered after it has released the lock.
//! - [`Wait`] is the part of a future that waits. It joins the line, looks for its answer, and
//!   leaves when it is dropped.
//!
//! What a primitive adds is a [`Line`]: may a newcomer go on at once, and what becomes of a turn
//! that nobody took. A primitive's other operations change the state in [`WaitList::change`], and
//! answer as many as the change lets in.
//!
//! # The protocol
//!
//! *Whoever changes the state answers.* A release, a `set`, a `notify` gives the turn to the first
//! in the line. It does not wake it to try again. So nobody is overtaken, nobody is woken for
//! nothing, and an answered waiter has its turn, whenever it is polled.
//!
//! *Newcomers wait behind those who wait.* A `Line` whose state would do for the newcomer still
//! lets it wait while there are others, unless its primitive says otherwise.
//!
//! *Who leaves changes the state.* A waiter that is dropped is taken out. If it had been answered,
//! the turn goes back. If it had not, it may have kept others from theirs: three permits are free,
//! the first asks for five, the next for two, and the first is dropped. In both cases
//! [`Line::leave`] lets in those behind it, under the same lock.
//!
//! *No foreign code under the lock.* Wakers are cloned before it is taken. They are woken and
//! dropped after it has been released.
//!
//! *In a cancelled region nothing new starts.* A wait that is first polled there, and can neither
//! [pass](Line::pass) nor [take what is free](Line::take_free), stays pending and does not join the
//! line, as a [`sleep`](crate::sleep) does not start. What had begun before goes on: an operation
//! that leaves a line and joins it again, or another one, does so [as part of one
//! wait](Wait::going_on).
//!
//! # How the primitives stand on it
//!
//! This is the model of Trio's `ParkingLot`: the list knows no permits, and the primitive no order.
//!
//! | primitive | state | asks | a waiter is answered when |
//! |---|---|---|---|
//! | `Semaphore` | free permits | how many | it is first and there are enough |
//! | `Mutex` | a semaphore of one | | |
//! | `RwLock` | a semaphore, of which a reader has one permit and a writer all | | |
//! | `Event` | whether it is set | nothing | `set`, which answers all, even if `clear` comes next |
//! | `Condition` | nothing | nothing | `notify(n)` answers the first `n` |
//! | `Barrier` | whether it is broken | nothing | the last one comes, with its index |
//! | a `watch` | the latest value; two lists | the version it knows | another version, no receiver |
//! | a queue | items; two lists | nothing | there is an item, there is room |
//!
//! A `Condition` whose answered waiter leaves answers the next. A queue's answer is the right to
//! take an item, not the item: who leaves gives back the right, and no item is lost.

use std::mem;
use std::ops::Deref;
use std::task::{Context, Poll};

use super::waiters::{Found, Left, WaiterKey, Waiters};
use super::wakes::Wakes;
use crate::context;
use crate::engine::atomics::{ShortLock, const_unless_loom};
use crate::engine::budget;
use crate::panic::discard;
use crate::trace::tree;

/// The state of a primitive, and those who wait for it to change, under one short lock.
pub(crate) struct WaitList<S> {
    state: ShortLock<S>,
}

impl<S> WaitList<S> {
    const_unless_loom! {
        pub(crate) const fn new(state: S) -> Self {
            WaitList { state: ShortLock::new(state) }
        }
    }

    /// Runs `look` under the lock.
    ///
    /// `look` must not run code of the user, which includes the clone, the wake-up and the drop of
    /// a waker or of a value. What must be dropped, it returns.
    #[inline]
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut S) -> R) -> R {
        look(&mut self.state.lock())
    }

    /// Runs `change` under the lock, as [`with`](Self::with). Then, without the lock, wakes those
    /// whom it has answered. If one of their wakers panics, what `change` returned is dropped.
    #[inline]
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut S, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::new();
        let result = self.with(|state| change(state, &mut wakes));
        wakes.wake();
        result
    }
}

/// One line of waiters of a primitive: who goes on, and who waits.
pub(crate) trait Line {
    /// What is under the lock.
    type State;
    /// What a waiter asks for.
    type Ask;
    /// What it is told.
    type Answer;

    /// Whether one that [goes on](Wait::going_on) joins at the head of the line, because it had its
    /// turn already and has lost it again.
    const KEEPS_PLACE: bool = false;

    fn list(&self) -> &WaitList<Self::State>;

    /// Changes the state, and does what is to be done without the lock then.
    #[inline]
    fn update<R>(&self, change: impl FnOnce(&mut Self::State, &mut Wakes) -> R) -> R {
        self.list().change(change)
    }

    /// Returns the waiters of this line.
    fn waiters<'s>(&self, state: &'s mut Self::State) -> &'s mut Waiters<Self::Ask, Self::Answer>;

    /// Tries to go on at once without the lock.
    fn pass(&self, _ask: &Self::Ask) -> Option<Self::Answer> {
        None
    }

    /// Tries to go on at once in a cancelled region, where it must not begin to wait. For a line in
    /// which nobody goes on without the lock, so that `pass` says nothing.
    fn take_free(&self, _ask: &Self::Ask) -> Option<Self::Answer> {
        None
    }

    /// Tries to go on at once, and lets in those who can go on with it. Returns what it asks for if
    /// it must wait. Then it has let in nobody, and joins the line before the lock is released.
    fn join(&self, state: &mut Self::State, ask: Self::Ask, wakes: &mut Wakes) -> Result<Self::Answer, Self::Ask>;

    /// Lets in those who can go on now that one has left, and takes back its answer, if it had got
    /// one. It is no longer among the waiters.
    fn leave(&self, state: &mut Self::State, ask: Self::Ask, answer: Option<Self::Answer>, wakes: &mut Wakes);

    /// Says what is waited for, for the report on a stuck simulation.
    fn describe(&self) -> String;
}

/// A future has its primitive as a reference or, in the owned form, as an `Arc`.
impl<P: Deref<Target: Line>> Line for P {
    type State = <P::Target as Line>::State;
    type Ask = <P::Target as Line>::Ask;
    type Answer = <P::Target as Line>::Answer;

    const KEEPS_PLACE: bool = P::Target::KEEPS_PLACE;

    fn list(&self) -> &WaitList<Self::State> {
        (**self).list()
    }

    #[inline]
    fn update<R>(&self, change: impl FnOnce(&mut Self::State, &mut Wakes) -> R) -> R {
        (**self).update(change)
    }

    fn waiters<'s>(&self, state: &'s mut Self::State) -> &'s mut Waiters<Self::Ask, Self::Answer> {
        (**self).waiters(state)
    }

    #[inline]
    fn pass(&self, ask: &Self::Ask) -> Option<Self::Answer> {
        (**self).pass(ask)
    }

    fn take_free(&self, ask: &Self::Ask) -> Option<Self::Answer> {
        (**self).take_free(ask)
    }

    fn join(&self, state: &mut Self::State, ask: Self::Ask, wakes: &mut Wakes) -> Result<Self::Answer, Self::Ask> {
        (**self).join(state, ask, wakes)
    }

    fn leave(&self, state: &mut Self::State, ask: Self::Ask, answer: Option<Self::Answer>, wakes: &mut Wakes) {
        (**self).leave(state, ask, answer, wakes);
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// The part of a future that waits in a [`Line`].
pub(crate) struct Wait<L: Line> {
    stage: WaitStage<L, L::Ask>,
}

enum WaitStage<L, Q> {
    /// Not in the line. Whether it has begun says if it may join in a cancelled region.
    Outside { line: L, ask: Q, has_begun: bool },
    /// In the line, or answered.
    Inside { line: L, key: WaiterKey },
    /// It has its answer.
    Completed,
}

impl<L: Line> Wait<L> {
    pub(crate) fn new(line: L, ask: L::Ask) -> Self {
        Wait { stage: WaitStage::Outside { line, ask, has_begun: false } }
    }

    /// Goes on with a wait that had begun, in this line or in another one. So it joins the line in
    /// a cancelled region, too: nobody else would do what it was told to do, such as to lock a
    /// mutex, or to look at a value.
    pub(crate) fn going_on(line: L, ask: L::Ask) -> Self {
        Wait { stage: WaitStage::Outside { line, ask, has_begun: true } }
    }

    /// Whether it has not joined the line. In a cancelled region a new one does not join by being
    /// polled.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.stage, WaitStage::Outside { .. })
    }

    /// Returns the line, and what is asked for in it, unless this has joined it.
    #[inline]
    pub(crate) fn outside(&mut self) -> Option<(&mut L, &mut L::Ask)> {
        match &mut self.stage {
            WaitStage::Outside { line, ask, .. } => Some((line, ask)),
            WaitStage::Inside { .. } | WaitStage::Completed => None,
        }
    }

    /// Waits for the answer. Gives the line back with it.
    ///
    /// # Panics
    ///
    /// Panics if it was ready before.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(L, L::Answer)> {
        if let WaitStage::Outside { line, ask, .. } = &self.stage {
            // Not a step, which would make a lock that is free dearer by a tenth.
            if let Some(answer) = line.pass(ask) {
                return self.end(answer);
            }
        }
        self.poll_slowly(cx)
    }

    fn poll_slowly(&mut self, cx: &mut Context<'_>) -> Poll<(L, L::Answer)> {
        let polled = match &self.stage {
            // It is part of a wait that has begun, whose place must not be left to others.
            WaitStage::Outside { has_begun: true, .. } => self.join(cx),
            WaitStage::Outside { line, ask, .. } if context::with(|ambient| ambient.is_tripped()) => {
                match line.take_free(ask) {
                    Some(answer) => self.end(answer),
                    None => Poll::Pending,
                }
            }
            WaitStage::Outside { .. } if !budget::take_step() && yields(cx) => return Poll::Pending,
            WaitStage::Outside { .. } => self.join(cx),
            WaitStage::Inside { line, key } => match look(line, *key, cx) {
                Some(answer) => self.end(answer),
                None => Poll::Pending,
            },
            WaitStage::Completed => panic!("a future was polled after it had completed"),
        };
        if let (Poll::Pending, WaitStage::Outside { line, .. } | WaitStage::Inside { line, .. }) =
            (&polled, &self.stage)
        {
            tree::waiting(|| line.describe());
        }
        polled
    }

    /// Joins a line in which everybody waits, with this very call. A poll may yield before.
    ///
    /// In a cancelled region a new one does nothing.
    pub(crate) fn begin(&mut self, cx: &Context<'_>) {
        let goes_on = matches!(self.stage, WaitStage::Outside { has_begun: true, .. });
        if goes_on || !context::with(|ambient| ambient.is_tripped()) {
            let joined = self.join(cx);
            debug_assert!(joined.is_pending(), "a wait is answered by those who come later");
        }
        if let WaitStage::Outside { line, .. } | WaitStage::Inside { line, .. } = &self.stage {
            tree::waiting(|| line.describe());
        }
    }

    /// Joins the line, unless there is an answer at once.
    fn join(&mut self, cx: &Context<'_>) -> Poll<(L, L::Answer)> {
        // Before anything is moved, because it may panic.
        let waker = cx.waker().clone();
        let WaitStage::Outside { line, ask, has_begun } = mem::replace(&mut self.stage, WaitStage::Completed) else {
            unreachable!("it has not joined");
        };
        let joined = line.update(|state, wakes| match line.join(state, ask, wakes) {
            // With the waker, which is not to be dropped under the lock.
            Ok(answer) => Err((answer, waker)),
            Err(ask) if has_begun && L::KEEPS_PLACE => Ok(line.waiters(state).push_first(ask, waker)),
            Err(ask) => Ok(line.waiters(state).push(ask, waker)),
        });
        match joined {
            Err((answer, waker)) => {
                // A panic would lose the answer, which may be a right.
                discard(waker);
                Poll::Ready((line, answer))
            }
            Ok(key) => {
                self.stage = WaitStage::Inside { line, key };
                Poll::Pending
            }
        }
    }

    #[inline]
    fn end(&mut self, answer: L::Answer) -> Poll<(L, L::Answer)> {
        match mem::replace(&mut self.stage, WaitStage::Completed) {
            WaitStage::Outside { line, .. } | WaitStage::Inside { line, .. } => Poll::Ready((line, answer)),
            WaitStage::Completed => unreachable!("it ends once"),
        }
    }
}

/// Yields, for one who has gone on so often in this poll that others are to be polled first.
///
/// In a cancelled region this does nothing and returns false, because whoever is pending there is
/// dropped.
#[cold]
pub(crate) fn yields(cx: &Context<'_>) -> bool {
    if context::with(|ambient| ambient.is_tripped()) {
        return false;
    }
    tree::waiting(|| "yield".into());
    cx.waker().wake_by_ref();
    true
}

/// Looks for the answer of a waiter in the line.
fn look<L: Line>(line: &L, key: WaiterKey, cx: &Context<'_>) -> Option<L::Answer> {
    match line.list().with(|state| line.waiters(state).look(key, cx.waker())) {
        Found::Answer(answer) => return Some(answer),
        Found::Nothing => return None,
        Found::OtherWaker => {}
    }
    // The lock was released for this, so the answer may come in between.
    let waker = cx.waker().clone();
    let (found, not_needed) = line.list().with(|state| {
        let waiters = line.waiters(state);
        let former = waiters.replace_waker(key, waker);
        (waiters.look(key, cx.waker()), former)
    });
    // A panic would lose the answer, whose entry is gone.
    discard(not_needed);
    match found {
        Found::Answer(answer) => Some(answer),
        Found::Nothing | Found::OtherWaker => None,
    }
}

impl<L: Line> Drop for Wait<L> {
    fn drop(&mut self) {
        if let WaitStage::Inside { line, key } = &self.stage {
            let _waker = line.update(|state, wakes| {
                let Left { ask, answer, waker } = line.waiters(state).remove(*key);
                line.leave(state, ask, answer, wakes);
                waker
            });
        }
    }
}
