//! What is running: a drawing of who is stuck, and in which scope; and for a simulation, who was polled.
//!
//! Nobody keeps a list of all tasks, since in a running program nobody needs one. To draw the tree, it is polled once more:
//! while a drawing is made, scopes poll all their members, and whatever has a name notes it on the way. A poll
//! that nobody asked for is always allowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::Poll;

use crate::context::{self, Watch};
use crate::name::Name;
#[cfg(feature = "sim")]
use crate::set::shuffle::shuffled;

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
    lines: Vec<Line>,
    /// Those that are being polled, by an address each: the innermost last.
    polled: Vec<usize>,
}

#[cfg_attr(not(feature = "sim"), allow(dead_code))]
struct Line {
    text: String,
    /// What was being polled when it was noted.
    polled: Vec<usize>,
}

impl Drawing {
    fn push(&mut self, name: &str) {
        let text = format!("{:indent$}{name}", "", indent = 2 * self.depth);
        self.lines.push(Line { text, polled: self.polled.clone() });
    }

    fn forget(&mut self, address: usize) {
        self.lines.retain(|line| !line.polled.contains(&address));
    }
}

/// Draws what `poll` polls: a line for each name, indented.
#[cfg(feature = "sim")]
pub(crate) fn draw(poll: impl FnOnce()) -> Vec<String> {
    DRAWING.set(Some(Drawing::default()));
    // In the order of spawning, whatever order the simulation is in.
    let _in_order = shuffled(None);
    let mut draw = Watch::Draw;
    context::with(|ambient| {
        let _watch = context::Swap::new(&ambient.watch, &mut draw);
        poll();
    });
    DRAWING.take().unwrap_or_default().lines.into_iter().map(|line| line.text).collect()
}

/// Notes `name` in the drawing, and whatever `poll` meets with below it.
pub(crate) fn named<R>(name: String, poll: impl FnOnce() -> R) -> R {
    note(|drawing| {
        drawing.push(&name);
        drawing.depth += 1;
    });
    let result = poll();
    note(|drawing| drawing.depth = drawing.depth.saturating_sub(1));
    result
}

/// Polls something that may be polled more than once in one drawing: the last time counts, and what is ready is left out.
pub(crate) fn afresh<R>(address: usize, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
    note(|drawing| {
        drawing.forget(address);
        drawing.polled.push(address);
    });
    let result = poll();
    note(|drawing| {
        drawing.polled.pop();
        if result.is_ready() {
            drawing.forget(address);
        }
    });
    result
}

/// Notes what a future that has just been pending waits for, if a drawing is being made.
pub(crate) fn waiting(what: impl FnOnce() -> String) {
    if cfg!(feature = "sim") && context::with(|ambient| ambient.is_drawing()) {
        let what = what();
        note(|drawing| drawing.push(&what));
    }
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
