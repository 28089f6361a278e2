//! A drawing of what is running: who is stuck, and in which scope.
//!
//! Nobody keeps a list of all tasks, since in a running program nobody needs one. To draw the tree, it is polled once more:
//! while a drawing is made, scopes poll all their members, and whatever has a name notes it on the way. A poll
//! that nobody asked for is always allowed.

use std::cell::RefCell;
use std::fmt;

#[cfg(feature = "sim")]
use crate::context;

thread_local! {
    static DRAWING: RefCell<Option<Drawing>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Drawing {
    depth: usize,
    lines: Vec<String>,
}

/// Draws what `poll` polls: a line for each name, indented.
#[cfg(feature = "sim")]
pub(crate) fn draw(poll: impl FnOnce()) -> Vec<String> {
    DRAWING.set(Some(Drawing::default()));
    let mut yes = true;
    context::with(|ambient| {
        let _drawing = context::Swap::new(&ambient.drawing, &mut yes);
        poll();
    });
    DRAWING.take().unwrap_or_default().lines
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

fn note(change: impl FnOnce(&mut Drawing)) {
    DRAWING.with_borrow_mut(|drawing| drawing.as_mut().map(change));
}

/// A name in a drawing.
pub(crate) fn quoted(kind: &str, name: impl fmt::Display) -> String {
    format!("{kind}`{name}`")
}
