//! What a pool says about itself.

/// How much a pool is used, at the moment at which it was asked.
///
/// For a monitor, or for a test that wants to see that all is quiet again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatistics {
    pub(super) size: usize,
    pub(super) idle: usize,
    pub(super) in_use: usize,
    pub(super) connecting: usize,
    pub(super) waiting: usize,
    pub(super) peak: usize,
}

impl PoolStatistics {
    /// Returns how many places are taken: by resources that are idle or in use, and by those that
    /// are being created, checked, reset or closed.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns how many resources are idle.
    pub fn idle(&self) -> usize {
        self.idle
    }

    /// Returns how many resources are given out. One that a waiter was given, and whose future has
    /// not been polled since, is counted here.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Returns how many resources are being created, or checked because somebody wants them.
    pub fn connecting(&self) -> usize {
        self.connecting
    }

    /// Returns how many futures wait for a resource.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the most places that have ever been taken at once.
    pub fn peak(&self) -> usize {
        self.peak
    }
}
