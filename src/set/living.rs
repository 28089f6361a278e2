//! The nodes whose futures are alive, for a simulation that wants to know at its end which have been forgotten; and the
//! adopted futures that nobody was left to finish.
//!
//! Kept on a simulation's thread alone, and there as long as one runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::name::Name;

thread_local! {
    /// `None` while nobody wants to know.
    static LIVING: RefCell<Option<Living>> = const { RefCell::new(None) };
    /// Whether adopted futures are being dropped because nobody is left to finish them.
    static LOSING: Cell<bool> = const { Cell::new(false) };
}

/// Who is alive, and who was lost.
#[derive(Debug, Default)]
pub(crate) struct Living {
    /// By the address of the node.
    nodes: BTreeMap<usize, Name>,
    /// Adopted futures that were dropped unfinished.
    lost: Vec<Name>,
}

impl Living {
    /// The names of the children that are alive, sorted, since addresses differ from run to run.
    pub(crate) fn children(self) -> Vec<String> {
        sorted(self.nodes.into_values())
    }

    /// The names of the adopted futures that were lost.
    pub(crate) fn take_lost(&mut self) -> Vec<String> {
        sorted(std::mem::take(&mut self.lost).into_iter())
    }
}

fn sorted(names: impl Iterator<Item = Name>) -> Vec<String> {
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort_unstable();
    names
}

/// Begins or ends a list, and returns the one before.
pub(crate) fn replace(list: Option<Living>) -> Option<Living> {
    LIVING.try_with(|cell| cell.replace(list)).ok().flatten()
}

/// Runs `drop`, which drops adopted futures that nobody is left to finish.
pub(crate) fn losing(drop: impl FnOnce()) {
    LOSING.set(true);
    drop();
    LOSING.set(false);
}

/// An adopted future is dropped unfinished.
pub(crate) fn adopted_dropped(name: &Name) {
    if LOSING.try_with(Cell::get).unwrap_or(false) {
        LIVING.with_borrow_mut(|living| living.as_mut().map(|living| living.lost.push(name.clone())));
    }
}

pub(super) fn born(node: usize, name: Name) {
    LIVING.with_borrow_mut(|living| living.as_mut().map(|living| living.nodes.insert(node, name)));
}

pub(super) fn ended(node: usize) {
    let entry = LIVING.try_with(|cell| cell.borrow_mut().as_mut().and_then(|living| living.nodes.remove(&node)));
    drop(entry);
}
