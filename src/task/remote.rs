//! What a scope can still do to a child that it has given to a runtime: take it back, or wake it.
//!
//! A child that waits in a runtime's queue may wait there for long: behind other jobs, or on a
//! runtime that nobody drives. So its scope may take it back before the runtime has polled it. Who
//! has the child is one atomic state, a [`RemoteState`]:
//!
//! | state | the child belongs to |
//! |---|---|
//! | `QUEUED` | whoever leaves this state first: the runtime, to poll it, or the scope, to drop it |
//! | `BEGUN` | the runtime |
//! | `SUSPENDED` | the runtime; it has left a waker |
//! | `WAKING` | the runtime; somebody else is waking it |
//! | `ENDED` | nobody: it has ended, or whoever took it back is about to end it |
//!
//! A scope finds its children by a [`RemoteChain`], which takes no memory but a place in each
//! child's node.

use std::cell;
use std::task::Waker;

use super::cell::{Extra, Node};
use super::pair::Memory;
use crate::engine::atomics::{AtomicU8, Ordering, UnsafeCell, fence};
use crate::panic::discard;

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const SUSPENDED: u8 = 2;
const WAKING: u8 = 3;
const ENDED: u8 = 4;

/// See the [module](self).
///
/// The invariant: **one writer** – the waker is written by the runtime alone, in `BEGUN`, where
/// nobody else looks at it. In `SUSPENDED` and `WAKING` it is only read. In `ENDED` it belongs to
/// the runtime, or, if the child has ended in `WAKING`, to whoever was waking it.
pub(crate) struct RemoteState {
    state: AtomicU8,
    /// Wakes the child, from its first suspension to its end. It stays the same while the runtime
    /// polls with the same one, so a suspension costs no atomic operation but the first.
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: "one writer".
unsafe impl Sync for RemoteState {}

/// What became of the attempt to take a child back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It had not begun. From here on it is the caller's.
    Claimed,
    /// The runtime has it.
    Begun,
    Ended,
}

impl RemoteState {
    pub(crate) fn new() -> Self {
        RemoteState { state: AtomicU8::new(QUEUED), waker: UnsafeCell::new(None) }
    }

    /// Returns whether the child is the runtime's to poll. The runtime calls this before it polls
    /// or drops the child.
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        match self.state.load(Ordering::Relaxed) {
            QUEUED => self.leave_queue(BEGUN).is_ok(),
            // Relaxed: only the runtime itself has taken the child out of the queue.
            BEGUN | SUSPENDED | WAKING => true,
            _ => false,
        }
    }

    /// Takes the child from the runtime, if it has not begun. Everybody but the runtime calls this.
    pub(crate) fn claim(&self) -> Claim {
        match self.leave_queue(ENDED) {
            Ok(_) => Claim::Claimed,
            Err(ENDED) => Claim::Ended,
            Err(_) => Claim::Begun,
        }
    }

    /// Relaxed: who may try this has seen the child's start, by the way on which it came to know of
    /// the child.
    fn leave_queue(&self, to: u8) -> Result<u8, u8> {
        self.state.compare_exchange(QUEUED, to, Ordering::Relaxed, Ordering::Relaxed)
    }

    /// Notes that the child has ended, and that nobody is to wake it any more. The runtime calls
    /// this.
    pub(crate) fn end(&self) {
        let before = match self.state.load(Ordering::Relaxed) {
            BEGUN => {
                self.state.store(ENDED, Ordering::Relaxed);
                BEGUN
            }
            // Acquire: whoever has woken the child has read the waker before.
            _ => self.state.swap(ENDED, Ordering::AcqRel),
        };
        if before != WAKING {
            // SAFETY: "one writer": it is ENDED, and nobody was waking it.
            unsafe { self.drop_waker() };
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ENDED
    }

    /// Has `waker` woken by [`wake`](Self::wake). The runtime calls this. Whoever calls `wake` has
    /// said before why, and what it said is seen after this, or in the poll for which it has woken.
    #[inline]
    pub(crate) fn suspend(&self, waker: &Waker) {
        // SAFETY: "one writer": that is the caller, which does not write it now.
        let is_known =
            self.waker.with(|known| unsafe { (*known).as_ref() }.is_some_and(|known| known.will_wake(waker)));
        match self.state.load(Ordering::Relaxed) {
            SUSPENDED | WAKING if is_known => {}
            BEGUN => self.replace(waker),
            // Acquire: whoever has woken the child has read the waker before.
            SUSPENDED
                if self.state.compare_exchange(SUSPENDED, BEGUN, Ordering::Acquire, Ordering::Relaxed).is_ok() =>
            {
                self.replace(waker);
            }
            // Another thread is still using the old waker, so the new one cannot be put there. The
            // child is polled again instead.
            _ => waker.wake_by_ref(),
        }
    }

    /// Stores the waker, and leaves `BEGUN`. The runtime calls this in that state.
    fn replace(&self, waker: &Waker) {
        let waker = waker.clone();
        // SAFETY: "one writer": it is BEGUN, and this is for the runtime.
        let before = self.waker.with_mut(|known| unsafe { (*known).replace(waker) });
        self.state.store(SUSPENDED, Ordering::Release);
        // Pairs with the one in `wake`: that side finds the waker, or this one sees what it said.
        fence(Ordering::SeqCst);
        discard(before);
    }

    /// For everybody else. A call that finds another one waking the child does nothing: what was
    /// said for either ends the child.
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        // Acquire: the waker is there.
        if self.state.compare_exchange(SUSPENDED, WAKING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        let _waking = Waking(self);
        // SAFETY: "one writer": it is WAKING until the guard is dropped.
        self.waker.with(|waker| unsafe { (*waker).as_ref() }.map(Waker::wake_by_ref));
    }

    /// # Safety
    ///
    /// The child has ended, and the waker the caller's.
    unsafe fn drop_waker(&self) {
        // SAFETY: the caller's.
        discard(self.waker.with_mut(|waker| unsafe { (*waker).take() }));
    }
}

/// Lets the runtime change the waker again, also after a panic of the waker.
struct Waking<'a>(&'a RemoteState);

impl Drop for Waking<'_> {
    fn drop(&mut self) {
        let remote = self.0;
        // Release: the waker has been read before. Acquire: the runtime has left it to this.
        let back = remote.state.compare_exchange(WAKING, SUSPENDED, Ordering::Release, Ordering::Acquire);
        if back.is_err() {
            // SAFETY: "one writer": the child has ended in WAKING, which this began.
            unsafe { remote.drop_waker() };
        }
    }
}

/// What a node carries besides, and what can be used as long as the node's memory is there.
///
/// # Safety
///
/// `tell`, `has_ended` and `next` may be called after a drop of this value, when nothing but its
/// memory is left. That drop does not touch what `next` returns.
pub(crate) unsafe trait Lasting: Extra {
    fn has_ended(&self) -> bool;

    fn next(&self) -> &NextRemote;
}

/// In a child's node: the one behind it in its scope's [`RemoteChain`], which alone reaches it.
pub(crate) struct NextRemote(cell::UnsafeCell<Option<Remote>>);

// SAFETY: "one chain": whoever has that has this by itself, and what is in here may be on any
// thread.
unsafe impl Sync for NextRemote {}

impl NextRemote {
    pub(crate) fn new() -> Self {
        NextRemote(cell::UnsafeCell::new(None))
    }
}

/// A node, whatever its type, that carries something [`Lasting`].
///
/// # Safety
///
/// As for that.
pub(super) unsafe trait Reach {
    fn tell(&self);
    fn has_ended(&self) -> bool;
    fn next(&self) -> &NextRemote;
}

/// A child that a runtime has, for its scope. It keeps the memory of the child's node, and nothing
/// in it.
pub(crate) struct Remote {
    node: Memory<dyn Reach + Send + Sync>,
}

impl Remote {
    pub(crate) fn new<F, T, C, X>(memory: Memory<Node<F, T, C, X>>) -> Self
    where
        F: Send + 'static,
        T: Send + 'static,
        C: Send + 'static,
        X: Lasting + Send + Sync + 'static,
    {
        Remote { node: memory.forget_type(|node| node) }
    }

    /// Ends the child here, if it has not begun, or else wakes it. Why it is to end has been said
    /// before.
    pub(crate) fn tell(&self) {
        self.reach().tell();
    }

    fn has_ended(&self) -> bool {
        self.reach().has_ended()
    }

    fn next(&self) -> *mut Option<Remote> {
        self.reach().next().0.get()
    }

    fn reach(&self) -> &(dyn Reach + Send + Sync) {
        // SAFETY: `Reach` says that what it does needs the memory alone, which this keeps.
        unsafe { &*self.node.value() }
    }
}

/// Children that a runtime has, the latest first. The node of each holds the remote of the next.
///
/// The invariant: **one chain** – there is one [`Remote`] for each node. So a node is in one chain
/// at most, and its `NextRemote` is reached by whoever has that chain, by `&mut` or by value.
#[derive(Default)]
pub(crate) struct RemoteChain {
    first: Option<Remote>,
    len: usize,
}

impl RemoteChain {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, remote: Remote) {
        // SAFETY: "one chain": the remote came by value, and so is in none.
        unsafe { *remote.next() = self.first.take() };
        self.first = Some(remote);
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<Remote> {
        let first = self.first.take()?;
        // SAFETY: "one chain": it was in this one.
        self.first = unsafe { &mut *first.next() }.take();
        self.len -= 1;
        Some(first)
    }

    /// Takes out those that have ended.
    pub(crate) fn tidy(&mut self) {
        let mut place = &raw mut self.first;
        // SAFETY: "one chain": the place is in this chain, or in a node that stays in it and so is
        // kept by its remote. No place in a node that has been taken out is looked at.
        while let Some(remote) = unsafe { &mut *place } {
            let next = remote.next();
            if remote.has_ended() {
                // SAFETY: likewise.
                unsafe { *place = (*next).take() };
                self.len -= 1;
            } else {
                place = next;
            }
        }
    }
}

impl Drop for RemoteChain {
    /// Not left to the remotes: a node's memory does not drop what it holds.
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
