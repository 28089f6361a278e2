//! What a primitive says about itself.

/// How much a lock, a limit or a signal is used, at the moment at which it was asked.
///
/// For a monitor, or for a test that wants to see that all is quiet again. The counterpart of what
/// `statistics()` returns in Trio and anyio.
///
/// ```
/// # use foster::sync::Semaphore;
/// let slots = Semaphore::new(3);
/// let permit = slots.try_acquire(2).unwrap();
/// assert_eq!((slots.statistics().in_use(), slots.statistics().waiting()), (2, 0));
/// drop(permit);
/// assert_eq!(slots.statistics().in_use(), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    pub(crate) peak_waiting: usize,
}

impl Statistics {
    /// Returns how many permits or guards are given out. A waiter that was given its own, and has
    /// not been polled since, is counted here. Signals give out nothing: this is 0.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Returns how many futures wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the most futures that have ever waited at once.
    pub fn peak_waiting(&self) -> usize {
        self.peak_waiting
    }
}
