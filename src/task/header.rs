//! The state of a [cell](super::cell), and what else both of its ends know without its type.

use std::panic::Location;

use crate::cancel::reason::Moment;
#[cfg(feature = "sim")]
use crate::engine::atomics::AtomicBool;
use crate::engine::atomics::{AtomicU8, AtomicU32, Ordering};

pub(super) const RUNNING: u8 = 0;
pub(super) const UNSETTLED: u8 = 1;
pub(super) const DECIDED: u8 = 2;
pub(super) const SETTLED: u8 = 3;
pub(super) const TAKEN: u8 = 4;
const ABANDONED: u8 = 5;

/// How a future ends by itself that has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum FailureKind {
    Failed = 1,
    Panicked = 2,
}

/// What both ends know of a node. Everything but the state is theirs to use.
pub(crate) struct Header {
    pub(super) state: AtomicU8,
    /// The [`Moment`] at which the reader's side asked for the future's end, or 0.
    cancelled: AtomicU32,
    /// How the future ended by itself without a value, as a [`FailureKind`]; set before the end is
    /// handed over.
    failure: AtomicU8,
    /// Whether somebody keeps a [list](crate::trace::living) in which this is.
    #[cfg(feature = "sim")]
    pub(super) watched: AtomicBool,
    /// Not stopped by a cancellation of the others.
    pub(crate) finalizer: bool,
    /// Where the runner's side has put the future, plus one; zero before that.
    place: AtomicU32,
    /// Tells older from younger; set by the runner's side.
    age: AtomicU32,
    pub(super) at: &'static Location<'static>,
}

impl Header {
    #[inline]
    pub(super) fn new(at: &'static Location<'static>, finalizer: bool) -> Self {
        Header {
            state: AtomicU8::new(RUNNING),
            cancelled: AtomicU32::new(0),
            failure: AtomicU8::new(0),
            #[cfg(feature = "sim")]
            watched: AtomicBool::new(false),
            finalizer,
            place: AtomicU32::new(0),
            age: AtomicU32::new(0),
            at,
        }
    }

    /// Relaxed: the reader looks after an acquire load that saw the end handed over.
    #[cold]
    pub(super) fn fail(&self, failure: FailureKind) {
        self.failure.store(failure as u8, Ordering::Relaxed);
    }

    pub(super) fn failure(&self) -> Option<FailureKind> {
        match self.failure.load(Ordering::Relaxed) {
            1 => Some(FailureKind::Failed),
            2 => Some(FailureKind::Panicked),
            _ => None,
        }
    }

    /// Notes that the reader's side asks for the end. Later calls change nothing.
    pub(super) fn cancel(&self) {
        let _ = self.cancelled.compare_exchange(0, Moment::next().to_raw(), Ordering::SeqCst, Ordering::SeqCst);
    }

    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst) != 0
    }

    /// Returns when the reader's side asked for the future's end, if it did.
    pub(crate) fn cancelled_at(&self) -> Option<Moment> {
        Moment::from_raw(self.cancelled.load(Ordering::SeqCst))
    }

    pub(crate) fn place(&self) -> Option<u32> {
        self.place.load(Ordering::SeqCst).checked_sub(1)
    }

    /// Sets the place. After one or more of these, and before the futures are polled, the runners'
    /// side calls [`publish_places`].
    #[inline]
    pub(crate) fn set_place(&self, place: u32) {
        self.place.store(place.wrapping_add(1), Ordering::Relaxed);
    }

    pub(crate) fn age(&self) -> u32 {
        self.age.load(Ordering::Relaxed)
    }

    /// Returns whether this is the state. Only the runner asks, and it alone leaves the states that
    /// it asks for, so it sees its own store.
    #[inline]
    pub(super) fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Relaxed) == state
    }

    /// Sets a state that is the caller's. Relaxed, because nobody else acts on it.
    #[inline]
    pub(super) fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }

    /// Gives the content to the reader. This is the release store of "hand-over".
    #[inline]
    pub(super) fn hand_over(&self) {
        let state = if self.is(DECIDED) { SETTLED } else { ABANDONED };
        self.state.store(state, Ordering::Release);
    }

    #[inline]
    pub(crate) fn set_age(&self, age: u32) {
        self.age.store(age, Ordering::Relaxed);
    }
}
