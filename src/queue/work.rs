//! The work on items that were received, of which nobody keeps count.

use std::sync::Arc;

use super::shared::Shared;

/// The work on some items. Each of their guards has a share of it, and so its end is the end of the
/// last guard.
///
/// The queue has a share as well, for those that are received next. Who waits for the end of all
/// work makes the queue give up its share. So to receive an item and to be done with it is one
/// atomic operation each, and takes no lock of its own.
pub(super) struct Work<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Work<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Work { shared }
    }

    pub(super) fn shared(&self) -> &Shared<T> {
        &self.shared
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.end_work());
    }
}
