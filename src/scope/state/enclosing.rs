//! Whether what encloses a scope was cancelled in the present poll, by a member of the scope.

use crate::cancel::reason::asked_here;
use crate::context::Ambient;

/// What the present poll has seen of the regions and scopes that enclose this scope.
///
/// The scope's token tells of their cancellation in the next poll.
#[derive(Default)]
pub(super) struct Enclosing {
    pub(super) is_cancelled: bool,
}

impl Enclosing {
    /// Looks whether something was cancelled, if this thread has asked for a cancellation since the
    /// last look.
    #[inline]
    pub(super) fn look(&mut self, ambient: &Ambient) -> bool {
        if !self.is_cancelled && !ambient.is_calm() {
            if ambient.is_doomed() {
                self.is_cancelled = true;
            } else {
                ambient.calm.set(asked_here());
            }
        }
        self.is_cancelled
    }
}
