//! Items in the order of their priority.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::mem;

use crate::panic::{Payload, catch};

/// Items, the smallest first, in the order in which they came among equals.
///
/// Comparisons are code of the user, and run under the lock of the queue. Only putting an item in
/// compares. After a comparison that panics the item is put where its number puts it, so that the
/// set stays whole and no item is dropped under the lock. The panic is returned.
pub(super) struct Sorted<T> {
    entries: BTreeSet<SortedEntry<T>>,
    compare: fn(&T, &T) -> Ordering,
    /// The number of the next item that is put in.
    next: i64,
    /// The number of the last item that was put back.
    first: i64,
}

pub(super) struct SortedEntry<T> {
    item: T,
    /// Where it stands among its equals.
    number: i64,
    /// In each entry, because a set can hand nothing to the comparison of its entries.
    compare: fn(&T, &T) -> Ordering,
}

thread_local! {
    /// The panic of a comparison, on its way out of the set that compares.
    static PANIC: RefCell<Option<Payload>> = const { RefCell::new(None) };
}

impl<T> Sorted<T> {
    pub(super) fn new(compare: fn(&T, &T) -> Ordering) -> Self {
        Sorted { entries: BTreeSet::new(), compare, next: 0, first: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn push(&mut self, item: T) -> Result<(), Payload> {
        let number = self.next;
        self.next += 1;
        self.insert(item, number)
    }

    pub(super) fn push_before_equals(&mut self, item: T) -> Result<(), Payload> {
        self.first -= 1;
        self.insert(item, self.first)
    }

    fn insert(&mut self, item: T, number: i64) -> Result<(), Payload> {
        self.entries.insert(SortedEntry { item, number, compare: self.compare });
        PANIC.take().map_or(Ok(()), Err)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        self.entries.pop_first().map(SortedEntry::into_item)
    }

    pub(super) fn take(&mut self) -> BTreeSet<SortedEntry<T>> {
        mem::take(&mut self.entries)
    }
}

impl<T> SortedEntry<T> {
    pub(super) fn into_item(self) -> T {
        self.item
    }
}

impl<T> Ord for SortedEntry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // After a panic nothing is compared any more.
        let order = if PANIC.with_borrow(Option::is_some) {
            Ordering::Equal
        } else {
            catch(|| (self.compare)(&self.item, &other.item)).unwrap_or_else(|payload| {
                PANIC.set(Some(payload));
                Ordering::Equal
            })
        };
        order.then(self.number.cmp(&other.number))
    }
}

impl<T> PartialOrd for SortedEntry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for SortedEntry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for SortedEntry<T> {}
