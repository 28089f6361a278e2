//! What the committed entries make of an empty map.

use std::collections::BTreeMap;

use crate::node::Retries;
use crate::protocol::{Refused, Write};

/// The values, and the last write of each client with its answer.
#[derive(Debug, Default)]
pub(crate) struct Store {
    values: BTreeMap<String, String>,
    last: BTreeMap<u64, (u64, Option<String>)>,
}

impl Store {
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.values.get(key).cloned()
    }

    /// Does a write, unless it was done before.
    pub(crate) fn apply(&mut self, write: &Write, retries: Retries) {
        let last = self.last.get(&write.client).map_or(0, |(number, _)| *number);
        if retries == Retries::Once && write.number <= last {
            return;
        }
        let replaced = self.values.insert(write.key.clone(), write.value.clone());
        self.last.insert(write.client, (write.number, replaced));
    }

    /// Returns the answer to a write that was done: the value that it has replaced.
    pub(crate) fn answer(&self, write: &Write) -> Result<Option<String>, Refused> {
        match self.last.get(&write.client) {
            Some((number, replaced)) if *number == write.number => Ok(replaced.clone()),
            _ => Err(Refused::Superseded),
        }
    }
}
