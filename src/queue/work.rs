//! The work on items that were received, of which nobody keeps count.

use std::sync::Arc;

use super::shared::SharedQueue;

/// The work on some items. Each of their guards has a share of it, and so its end is the end of the
/// last guard.
///
/// The queue has a share as well, for those that are received next. Who waits for the end of all
/// work makes the queue give up its share. So to receive an item and to be done with it is one
/// atomic operation each, and takes no lock of its own.
pub(super) struct Work<T> {
    shared: Arc<SharedQueue<T>>,
}

impl<T> Work<T> {
    pub(super) fn new(shared: Arc<SharedQueue<T>>) -> Self {
        Work { shared }
    }

    pub(super) fn shared(&self) -> &SharedQueue<T> {
        &self.shared
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.end_work());
    }
}
