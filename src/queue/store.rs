//! The items of a queue, in the order in which they leave it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};

use super::sorted::{Sorted, SortedEntry};
use crate::panic::Payload;

/// Places that are kept when a queue has become almost empty.
const KEPT: usize = 256;

/// The items, and the discipline by which they leave. The next one to leave is the *head*.
pub(super) enum ItemStore<T> {
    /// First in, first out.
    Fifo(VecDeque<T>),
    /// Last in, first out.
    Lifo(VecDeque<T>),
    /// The smallest first, and first in, first out among equals.
    Priority(Sorted<T>),
}

impl<T> ItemStore<T> {
    pub(super) fn fifo() -> Self {
        ItemStore::Fifo(VecDeque::new())
    }

    pub(super) fn lifo() -> Self {
        ItemStore::Lifo(VecDeque::new())
    }

    pub(super) fn priority(compare: fn(&T, &T) -> Ordering) -> Self {
        ItemStore::Priority(Sorted::new(compare))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            ItemStore::Fifo(items) | ItemStore::Lifo(items) => items.len(),
            ItemStore::Priority(sorted) => sorted.len(),
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an item in. Returns the panic of a comparison. The item is in nevertheless.
    #[inline]
    pub(super) fn push(&mut self, item: T) -> Result<(), Payload> {
        match self {
            ItemStore::Fifo(items) => items.push_back(item),
            ItemStore::Lifo(items) => items.push_front(item),
            ItemStore::Priority(sorted) => return sorted.push(item),
        }
        Ok(())
    }

    /// Puts an item back to the head, or before its equals. Otherwise as [`push`](Self::push).
    pub(super) fn push_back_to_head(&mut self, item: T) -> Result<(), Payload> {
        match self {
            ItemStore::Fifo(items) | ItemStore::Lifo(items) => items.push_front(item),
            ItemStore::Priority(sorted) => return sorted.push_before_equals(item),
        }
        Ok(())
    }

    /// Takes the head. Gives memory back as the store empties.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        match self {
            ItemStore::Fifo(items) | ItemStore::Lifo(items) => {
                let item = items.pop_front();
                // At an eighth, so that a queue whose length goes up and down does not reallocate
                // all the time.
                if items.capacity() > KEPT && items.len() <= items.capacity() / 8 {
                    items.shrink_to(items.capacity() / 2);
                }
                item
            }
            ItemStore::Priority(sorted) => sorted.pop(),
        }
    }

    /// Takes all items out. They are in the order in which they would have left.
    pub(super) fn take(&mut self) -> Unread<T> {
        match self {
            ItemStore::Fifo(items) | ItemStore::Lifo(items) => Unread::Deque(std::mem::take(items)),
            ItemStore::Priority(sorted) => Unread::Sorted(sorted.take()),
        }
    }
}

/// The items that were left in a queue.
///
/// They are in the container that they were in, so that to take them out takes no time.
pub(super) enum Unread<T> {
    Deque(VecDeque<T>),
    Sorted(BTreeSet<SortedEntry<T>>),
}

impl<T> Unread<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Unread::Deque(items) => items.into(),
            Unread::Sorted(entries) => entries.into_iter().map(SortedEntry::into_item).collect(),
        }
    }
}
