//! What is running: a drawing of who is stuck, and in which scope; and for a simulation, who was polled.
//!
//! Nobody keeps a list of all tasks, since in a running program nobody needs one. To draw the tree, it is polled once more:
//! while a drawing is made, scopes poll all their members, and whatever has a name, or waits for something that has
//! one, notes it on the way. A poll that nobody asked for is always allowed.

use std::cell::{Cell, RefCell};
use std::fmt;

use crate::context::{self, Ambient, Watch};
use crate::name::Name;

thread_local! {
    static DRAWING: RefCell<Option<Drawing>> = const { RefCell::new(None) };
    /// The in-task children polled since somebody last took them out.
    static POLLED: RefCell<Vec<Polled>> = const { RefCell::new(Vec::new()) };
    /// The child that is being handed to a runtime.
    static SPAWNING: Cell<Option<Name>> = const { Cell::new(None) };
}

/// A child that was polled: its name, and its number in its scope, as names need not differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) name: Name,
    pub(crate) number: u32,
}

#[derive(Default)]
struct Drawing {
    depth: usize,
    lines: Vec<String>,
}

/// Draws what `poll` polls: a line for each name, indented.
#[cfg(feature = "sim")]
pub(crate) fn draw(poll: impl FnOnce()) -> Vec<String> {
    let before = DRAWING.replace(Some(Drawing::default()));
    let mut draw = Watch::Draw;
    context::with(|ambient| {
        let _watch = context::Swap::new(&ambient.watch, &mut draw);
        poll();
    });
    DRAWING.replace(before).unwrap_or_default().lines
}

/// Notes `name` in the drawing, and whatever `poll` meets with below it.
pub(crate) fn named<R>(name: String, poll: impl FnOnce() -> R) -> R {
    note(|drawing| {
        drawing.lines.push(format!("{:indent$}{name}", "", indent = 2 * drawing.depth));
        drawing.depth += 1;
    });
    let result = poll();
    note(|drawing| drawing.depth = drawing.depth.saturating_sub(1));
    result
}

/// Polls an in-task child for whoever watches.
#[cold]
pub(crate) fn child<R>(watch: Watch, name: Name, number: u32, poll: impl FnOnce() -> R) -> R {
    if watch == Watch::Draw {
        return named(quoted("", name), poll);
    }
    POLLED.with_borrow_mut(|polled| polled.push(Polled { name, number }));
    poll()
}

/// Notes in the drawing, if one is being made, what is waited for.
#[inline]
pub(crate) fn waits(ambient: &Ambient, what: impl FnOnce() -> String) {
    if ambient.watch.get() == Watch::Draw {
        named(format!("waits for {}", what()), || ());
    }
}

/// Takes out who was polled since the last time.
#[cfg(feature = "sim")]
pub(crate) fn take_polled(take: impl FnOnce(&mut Vec<Polled>)) {
    POLLED.with_borrow_mut(|polled| {
        take(polled);
        polled.clear();
    });
}

/// Lets the runtime that `spawn` hands a child to know its name, if somebody watches.
pub(crate) fn spawning(name: Option<Name>, spawn: impl FnOnce()) {
    if name.is_none() {
        return spawn();
    }
    SPAWNING.set(name);
    spawn();
    SPAWNING.set(None);
}

/// The name of the child that is being spawned.
#[cfg(feature = "sim")]
pub(crate) fn take_spawning() -> Option<Name> {
    SPAWNING.take()
}

fn note(change: impl FnOnce(&mut Drawing)) {
    DRAWING.with_borrow_mut(|drawing| drawing.as_mut().map(change));
}

/// A name in a drawing.
pub(crate) fn quoted(kind: &str, name: impl fmt::Display) -> String {
    format!("{kind}`{name}`")
}
