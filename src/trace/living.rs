//! Lists the nodes whose futures are alive, and the adopted futures that were dropped unfinished.
//!
//! A simulation asks at its end, to report what was forgotten. The list is there only on a
//! simulation's thread, and only while the simulation runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::name::Name;

thread_local! {
    /// `None` while no simulation runs.
    static LIVING: RefCell<Option<Living>> = const { RefCell::new(None) };
    /// Whether adopted futures are being dropped because no scope is left to finish them.
    static LOSING: Cell<bool> = const { Cell::new(false) };
}

/// The nodes that are alive, and the adopted futures that were lost.
#[derive(Debug, Default)]
pub(crate) struct Living {
    /// The names of the nodes, by address.
    nodes: BTreeMap<usize, Name>,
    /// The names of the adopted futures that were dropped unfinished.
    lost: Vec<Name>,
}

impl Living {
    /// Returns the names of the children that are alive. They are sorted, because addresses differ
    /// from run to run.
    pub(crate) fn children(self) -> Vec<String> {
        sorted(self.nodes.into_values())
    }

    /// Takes out the names of the adopted futures that were lost.
    pub(crate) fn take_lost(&mut self) -> Vec<String> {
        sorted(std::mem::take(&mut self.lost).into_iter())
    }
}

fn sorted(names: impl Iterator<Item = Name>) -> Vec<String> {
    let mut names: Vec<String> = names.map(|name| name.to_string()).collect();
    names.sort_unstable();
    names
}

/// Begins or ends a list, and returns the previous one.
pub(crate) fn replace(list: Option<Living>) -> Option<Living> {
    LIVING.try_with(|cell| cell.replace(list)).ok().flatten()
}

/// Calls `drop`, which drops adopted futures that no scope is left to finish.
pub(crate) fn losing(drop: impl FnOnce()) {
    /// Ends the loss, also when a destructor panics, unless it lies in another one.
    struct Found(bool);
    impl Drop for Found {
        fn drop(&mut self) {
            LOSING.set(self.0);
        }
    }
    let _found = Found(LOSING.replace(true));
    drop();
}

/// Notes that an adopted future is being dropped unfinished.
pub(crate) fn adopted_dropped(name: &Name) {
    if LOSING.try_with(Cell::get).unwrap_or(false) {
        LIVING.with_borrow_mut(|living| living.as_mut().map(|living| living.lost.push(name.clone())));
    }
}

pub(crate) fn born(node: usize, name: Name) {
    LIVING.with_borrow_mut(|living| living.as_mut().map(|living| living.nodes.insert(node, name)));
}

pub(crate) fn ended(node: usize) {
    let entry = LIVING.try_with(|cell| cell.borrow_mut().as_mut().and_then(|living| living.nodes.remove(&node)));
    drop(entry);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panic::catch;

    #[test]
    fn a_destructor_that_panics_ends_the_loss() {
        assert!(catch(|| losing(|| panic!("a destructor"))).is_err());
        assert!(!LOSING.get(), "what is dropped later would count as lost");
    }
}
