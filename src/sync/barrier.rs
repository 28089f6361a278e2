//! A point at which several wait for each other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::const_unless_loom;

/// Lets a number of parties wait for each other, again and again.
///
/// [`wait`](Barrier::wait) completes when as many have come as the barrier has parties. Then the
/// barrier is ready for the next round. The counterpart of asyncio's `Barrier`, and of tokio's and
/// std's.
///
/// A party that is cancelled while it waits has not come: another can come in its place, and until
/// then the others wait. (With tokio's `Barrier` it still counts, and the others go on without it.)
/// If they should rather give up, [`abort`](Barrier::abort) the barrier, for instance in a
/// [`defer`](crate::Scope::defer) of the party that fails.
///
/// # Cost
///
/// A barrier allocates nothing until somebody waits. A waiter takes 32 bytes, and leaves in a
/// constant time. The last of a round wakes the others, in the order in which they came.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{local, sync::Barrier};
/// use std::cell::RefCell;
///
/// let (barrier, log) = (Barrier::new(3), RefCell::new(Vec::new()));
/// local::scope(async |s| {
///     for _ in 0..3 {
///         s.spawn(async {
///             for round in ["load", "compute"] {
///                 log.borrow_mut().push(round);
///                 let result = barrier.wait().await.expect("nobody aborts it");
///                 if result.is_leader() {
///                     log.borrow_mut().push("---");
///                 }
///             }
///         });
///     }
/// }).await;
/// assert_eq!(log.into_inner()[..4], ["load", "load", "load", "---"]);
/// # });
/// ```
pub struct Barrier {
    parties: usize,
    list: WaitList<State>,
}

/// What is under the lock.
///
/// Who has come in this round is who waits. There is no number of them besides, so who leaves has
/// not come. Fewer wait than there are parties: the one who completes the round does not wait.
pub(crate) struct State {
    is_broken: bool,
    waiters: Waiters<(), Result<BarrierWaitResult, BrokenBarrier>>,
}

impl State {
    /// Turns away all who wait.
    fn turn_away(&mut self, wakes: &mut Wakes) {
        self.waiters.answer_where(wakes, |()| Some(Err(BrokenBarrier)));
    }
}

impl Barrier {
    const_unless_loom! {
        /// Creates a barrier at which so many wait for each other.
        ///
        /// With one party, nobody waits.
        ///
        /// # Panics
        ///
        /// Panics if there are no parties.
        pub const fn new(parties: usize) -> Barrier {
            assert!(parties > 0, "a barrier needs a party: pass one or more");
            Barrier { parties, list: WaitList::new(State { is_broken: false, waiters: Waiters::new() }) }
        }
    }

    /// Waits until all parties of this round have come.
    ///
    /// The result has an index, which is different for each of them. The first to come has 0. The
    /// last has the highest. It does not wait, and it is the
    /// [leader](BarrierWaitResult::is_leader).
    ///
    /// # Cancellation
    ///
    /// A future that is dropped withdraws: it has not come, and those behind it have the index of
    /// the one before them. Once the round is complete, dropping the future changes nothing for the
    /// others. In a [cancelled region](crate::cancel#regions) a wait does not begin: the future
    /// stays pending, and has not come.
    ///
    /// # Errors
    ///
    /// Returns an error if the barrier is [reset](Barrier::reset) while this waits, or is
    /// [aborted](Barrier::abort).
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn wait(&self) -> BarrierWait<'_> {
        BarrierWait { wait: Wait::new(self, ()) }
    }

    /// Turns away all who wait, with an error, and makes the barrier as it was when it was new.
    ///
    /// Those whose round is complete go on, also if their tasks have not run since.
    pub fn reset(&self) {
        self.list.change(|state, wakes| {
            state.is_broken = false;
            state.turn_away(wakes);
        });
    }

    /// Breaks the barrier: all who wait, and all who come, get an error, until it is
    /// [reset](Barrier::reset).
    ///
    /// Those whose round is complete go on, also if their tasks have not run since.
    pub fn abort(&self) {
        self.list.change(|state, wakes| {
            state.is_broken = true;
            state.turn_away(wakes);
        });
    }

    /// Returns whether the barrier was aborted, and not reset since.
    pub fn is_broken(&self) -> bool {
        self.list.with(|state| state.is_broken)
    }

    /// Returns how many wait for each other.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// Returns how many have come in this round and wait for the others.
    /// [`in_use`](Statistics::in_use) is always 0.
    pub fn statistics(&self) -> Statistics {
        self.list.with(|state| state.waiters.statistics(0))
    }

    fn result(&self, index: usize) -> BarrierWaitResult {
        BarrierWaitResult { index, is_leader: index + 1 == self.parties }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (is_broken, waiting) = self.list.with(|state| (state.is_broken, state.waiters.len()));
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("waiting", &waiting)
            .field("is_broken", &is_broken)
            .finish()
    }
}

impl Line for Barrier {
    type State = State;
    type Ask = ();
    type Answer = Result<BarrierWaitResult, BrokenBarrier>;

    fn list(&self) -> &WaitList<State> {
        &self.list
    }

    fn waiters<'s>(&self, state: &'s mut State) -> &'s mut Waiters<(), Self::Answer> {
        &mut state.waiters
    }

    fn join(&self, state: &mut State, (): (), wakes: &mut Wakes) -> Result<Self::Answer, ()> {
        if state.is_broken {
            return Ok(Err(BrokenBarrier));
        }
        let index = state.waiters.len();
        if index + 1 < self.parties {
            return Err(());
        }
        let mut indices = 0..;
        state.waiters.answer_where(wakes, |()| indices.next().map(|index| Ok(self.result(index))));
        Ok(Ok(self.result(index)))
    }

    /// Who waits has come, and who leaves has not. That is all. A round that is complete stays so.
    fn leave(&self, _: &mut State, (): (), _: Option<Self::Answer>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        format!("barrier, to which {} of {} have come", self.statistics().waiting(), self.parties)
    }
}

/// The future of [`Barrier::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct BarrierWait<'a> {
    wait: Wait<&'a Barrier>,
}

impl Future for BarrierWait<'_> {
    type Output = Result<BarrierWaitResult, BrokenBarrier>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.wait.poll(cx).map(|(_barrier, result)| result)
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").finish_non_exhaustive()
    }
}

/// Tells a party of a [`Barrier`] which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: usize,
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Returns how many came before it in its round. All parties of a round have different indices.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns whether it is the one of its round that came last. It can do what is to be done once
    /// in a round.
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

/// Tells a party that the [`Barrier`] was reset or aborted before all had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrier;

impl fmt::Display for BrokenBarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier was reset or aborted before all parties had come")
    }
}

impl std::error::Error for BrokenBarrier {}
