//! Whether what encloses a scope was cancelled in the present poll, by a member of the scope.

use crate::cancel::reason::asked_here;
use crate::context::Ambient;

/// What the present poll has seen of the regions and scopes that enclose this scope.
///
/// The scope's token tells of their cancellation in the next poll.
pub(super) struct Enclosing {
    /// How many cancellations this thread had asked for at the last look.
    asked: u32,
    pub(super) is_cancelled: bool,
}

impl Enclosing {
    /// Begins a poll.
    #[inline]
    pub(super) fn new() -> Self {
        Enclosing { asked: asked_here(), is_cancelled: false }
    }

    /// Looks whether something was cancelled, if this thread has asked for a cancellation since the
    /// last look.
    #[inline]
    pub(super) fn look(&mut self, ambient: &Ambient) -> bool {
        if self.asked != asked_here() {
            self.asked = asked_here();
            self.is_cancelled |= ambient.is_doomed();
        }
        self.is_cancelled
    }
}
