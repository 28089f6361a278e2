//! Checks whether a history is linearizable.
//!
//! It is, if each operation can be said to have happened at one instant between its call and its
//! answer, such that each answer is that of a single map. This is the search of Wing and Gong
//! (1993), with the memory of Lowe (2017) for what was tried before. Keys do not influence each
//! other, so each is checked by itself (Herlihy and Wing, 1990).

use std::collections::{BTreeMap, HashSet};

use super::history::{Action, Operation};

/// Returns an explanation if the operations are not linearizable.
pub(crate) fn check(operations: &[Operation]) -> Result<(), String> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(operation.key).or_default().push(operation);
    }
    for (key, operations) in keys {
        if !is_linearizable(&operations) {
            let lines: Vec<String> = operations.iter().map(|operation| format!("  {operation}")).collect();
            return Err(format!("no order of these explains their answers, of the key {key}:\n{}", lines.join("\n")));
        }
    }
    Ok(())
}

/// Which operations have happened, and the value that they have left.
type State<'a> = (Vec<bool>, Option<&'a str>);

fn is_linearizable(operations: &[&Operation]) -> bool {
    let mut known: HashSet<State<'_>> = HashSet::new();
    let mut open: Vec<State<'_>> = vec![(vec![false; operations.len()], None)];
    while let Some((happened, value)) = open.pop() {
        let missing = || (0..operations.len()).filter(|index| !happened[*index]);
        let first_answer = missing().filter_map(|index| operations[index].returned.as_ref()).map(|(at, _)| *at).min();
        // What was not answered need not have happened.
        let Some(first_answer) = first_answer else { return true };
        // One of those that were called before the first answer happened first.
        for index in missing().filter(|index| operations[*index].called < first_answer) {
            if let Some(value) = apply(operations[index], value) {
                let mut happened = happened.clone();
                happened[index] = true;
                if known.insert((happened.clone(), value)) {
                    open.push((happened, value));
                }
            }
        }
    }
    false
}

/// Returns the value after an operation, or `None` if its answer was another one.
fn apply<'a>(operation: &'a Operation, value: Option<&'a str>) -> Option<Option<&'a str>> {
    if operation.returned.as_ref().is_some_and(|(_, answer)| answer.as_deref() != value) {
        return None;
    }
    Some(match &operation.action {
        Action::Get => value,
        Action::Put(new) => Some(new),
    })
}
