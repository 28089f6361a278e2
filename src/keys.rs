//! Values by key, of which those are forgotten that are as good as new ones.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::DerefMut;

use crate::engine::atomics::ShortLock;

/// So many keys are kept before the first search for those that can go.
const FEW: usize = 64;

/// The values of keys, under a short lock.
///
/// A key is hashed before the lock is taken, and what is in the table is never hashed again. So a
/// `Hash` that panics loses no entry. A key's `Eq` runs under the lock, while nothing is changed.
pub(crate) struct Keys<K, V> {
    hasher: RandomState,
    table: ShortLock<Table<K, V>>,
}

/// What is under the lock.
pub(crate) struct Table<K, V> {
    /// The entries of each hash. There is rarely more than one.
    entries: BTreeMap<u64, Vec<(K, V)>>,
    len: usize,
    /// When there are so many, the next new key searches for those that can go.
    search_at: usize,
}

impl<K, V> Keys<K, V> {
    pub(crate) fn new() -> Self {
        let table = Table { entries: BTreeMap::new(), len: 0, search_at: FEW };
        Keys { hasher: RandomState::new(), table: ShortLock::new(table) }
    }

    /// Takes the lock. No key and no value is to be dropped while somebody has it.
    pub(crate) fn lock(&self) -> impl DerefMut<Target = Table<K, V>> {
        self.table.lock()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len
    }
}

impl<K: Hash, V> Keys<K, V> {
    /// Returns the hash by which the [table](Table) knows a key.
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }
}

impl<K, V> Table<K, V> {
    /// Returns the value of a key.
    pub(crate) fn get(&self, hash: u64, key: &K) -> Option<&V>
    where
        K: Eq,
    {
        self.entries.get(&hash)?.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Puts in the value of a key that has none.
    pub(crate) fn insert(&mut self, hash: u64, key: K, value: V) {
        self.entries.entry(hash).or_default().push((key, value));
        self.len += 1;
    }

    /// Whether there are so many that a new key is to search for those that can go. Then the cost
    /// of the searches is constant for each new key, on average.
    pub(crate) fn is_crowded(&self) -> bool {
        self.len >= self.search_at
    }

    /// Takes out the entries whose values are as good as new ones. They are to be dropped without
    /// the lock.
    pub(crate) fn forget(&mut self, mut is_fresh: impl FnMut(&V) -> bool) -> Vec<(K, V)> {
        let mut forgotten = Vec::new();
        self.entries.retain(|_, entries| {
            for place in (0..entries.len()).rev() {
                if is_fresh(&entries[place].1) {
                    forgotten.push(entries.swap_remove(place));
                }
            }
            !entries.is_empty()
        });
        self.len -= forgotten.len();
        self.search_at = FEW.max(2 * self.len);
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_hash_are_told_apart_and_forgotten_one_by_one() {
        let keys = Keys::new();
        let mut table = keys.lock();
        for key in 0..4 {
            table.insert(7, key, key % 2);
        }
        assert_eq!((table.len, table.get(7, &3), table.get(8, &3)), (4, Some(&1), None));
        let mut forgotten = table.forget(|value| *value == 0);
        forgotten.sort_unstable();
        assert_eq!((table.len, forgotten), (2, vec![(0, 0), (2, 0)]));
        assert_eq!([0, 1, 2, 3].map(|key| table.get(7, &key).copied()), [None, Some(1), None, Some(1)]);
        assert_eq!((table.forget(|_| true).len(), table.len), (2, 0));
    }

    #[test]
    fn a_search_is_due_when_there_are_twice_as_many_keys_as_the_last_one_has_left() {
        let (keys, mut searches) = (Keys::new(), 0);
        for key in 0..10_000_u32 {
            let mut table = keys.lock();
            if table.is_crowded() {
                searches += 1;
                table.forget(|_| false);
            }
            let hash = keys.hash(&key);
            table.insert(hash, key, ());
        }
        assert_eq!(searches, 8, "at 64, 128, and so on");
    }
}
