//! What a queue says about itself.

/// How much a queue is used, at the moment at which it was asked.
///
/// For a monitor, or for a test that wants to see that all is quiet again. The counterpart of what
/// `statistics()` returns on a channel of Trio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStatistics {
    pub(super) len: usize,
    pub(super) capacity: Option<usize>,
    pub(super) peak: usize,
    pub(super) unfinished: usize,
    pub(super) senders: usize,
    pub(super) receivers: usize,
    pub(super) waiting_senders: usize,
    pub(super) waiting_receivers: usize,
}

impl QueueStatistics {
    /// Returns how many items are in the queue. Those that were received are not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no item is in the queue.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many items have room, or `None` if the queue is unbounded.
    pub fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// Returns the most items that have ever been in the queue at once.
    pub fn peak(&self) -> usize {
        self.peak
    }

    /// Returns how many items were sent and are not done, in the queue or received.
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Returns how many senders there are. Weak ones do not count.
    pub fn senders(&self) -> usize {
        self.senders
    }

    /// Returns how many receivers there are.
    pub fn receivers(&self) -> usize {
        self.receivers
    }

    /// Returns how many futures wait to send or to reserve.
    pub fn waiting_senders(&self) -> usize {
        self.waiting_senders
    }

    /// Returns how many futures wait for an item.
    pub fn waiting_receivers(&self) -> usize {
        self.waiting_receivers
    }
}
