//! Draws the tree of what is running, and notes who was polled, for a simulation.
//!
//! No list of all tasks is kept, because a running program needs none. To draw the tree, it is
//! polled once more. During that poll scopes poll all their members, and everything that has a name
//! notes it. This is allowed, because a future may be polled at any time.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::Poll;

use crate::context::{self, Watch};
use crate::name::Name;
use crate::task::polled::polling;
#[cfg(feature = "sim")]
use crate::trace::shuffle::shuffled;

thread_local! {
    static DRAWING: RefCell<Option<Drawing>> = const { RefCell::new(None) };
    /// The in-task children that were polled since `take_polled` was last called.
    static POLLED: RefCell<Vec<PolledChild>> = const { RefCell::new(Vec::new()) };
    /// The name of the child that is being spawned on a runtime.
    static SPAWNING: Cell<Option<Name>> = const { Cell::new(None) };
}

/// A child that was polled. It has a number in its scope, because names need not differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolledChild {
    pub(crate) name: Name,
    pub(crate) number: u32,
}

#[derive(Default)]
struct Drawing {
    depth: usize,
    lines: Vec<DrawnLine>,
    /// The addresses of the futures that are being polled, the innermost last.
    polled: Vec<usize>,
    /// The names of those that have come to their end meanwhile.
    ended: Vec<String>,
}

#[cfg_attr(not(feature = "sim"), allow(dead_code))]
struct DrawnLine {
    text: String,
    /// The futures that were being polled when the line was noted.
    polled: Vec<usize>,
}

impl Drawing {
    fn push(&mut self, name: &str) {
        let text = format!("{:indent$}{name}", "", indent = 2 * self.depth);
        self.lines.push(DrawnLine { text, polled: self.polled.clone() });
    }

    fn forget(&mut self, address: usize) {
        self.lines.retain(|line| !line.polled.contains(&address));
    }
}

/// What has been drawn.
#[cfg(feature = "sim")]
pub(crate) struct Drawn {
    /// A line for each name, indented by depth.
    pub(crate) lines: Vec<String>,
    /// The names of those that have come to their end, because they were polled once more.
    pub(crate) ended: Vec<String>,
}

/// Draws what `poll` polls.
#[cfg(feature = "sim")]
pub(crate) fn draw(poll: impl FnOnce()) -> Drawn {
    let enclosing = DRAWING.replace(Some(Drawing::default()));
    // The drawing is in the order of spawning, whatever order the simulation uses.
    let _in_order = shuffled(None);
    context::with(|ambient| {
        let _watch = context::Replaced::new(&ambient.watch, Watch::Draw);
        poll();
    });
    let Drawing { lines, ended, .. } = DRAWING.replace(enclosing).unwrap_or_default();
    Drawn { lines: lines.into_iter().map(|line| line.text).collect(), ended }
}

/// Guard of one level of the drawing. It returns to the enclosing level, also if a poll panics.
struct Level {
    depth: usize,
    polled: usize,
}

impl Level {
    /// Begins the level that `enter` adds, if a drawing is being made.
    fn new(enter: impl FnOnce(&mut Drawing)) -> Option<Self> {
        note(|drawing| {
            let level = Level { depth: drawing.depth, polled: drawing.polled.len() };
            enter(drawing);
            level
        })
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        note(|drawing| {
            drawing.depth = self.depth;
            drawing.polled.truncate(self.polled);
        });
    }
}

/// Notes `name` in the drawing, and what `poll` finds below it.
pub(crate) fn named<R>(name: String, poll: impl FnOnce() -> R) -> R {
    let _level = Level::new(|drawing| {
        drawing.push(&name);
        drawing.depth += 1;
    });
    poll()
}

/// Notes that `name` has come to its end, if a drawing is being made.
pub(crate) fn ended(name: String) {
    note(|drawing| drawing.ended.push(name));
}

/// Polls a future that may be polled several times in one drawing.
///
/// The last poll counts, so the lines of earlier ones are dropped. A future that is ready is left
/// out, and `name` is noted among those that have come to their end.
pub(crate) fn afresh<R>(address: usize, name: String, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
    let _level = Level::new(|drawing| {
        drawing.forget(address);
        drawing.polled.push(address);
    });
    let result = poll();
    if result.is_ready() {
        note(|drawing| drawing.forget(address));
        ended(name);
    }
    result
}

/// Notes what a future that has just returned pending waits for, if a drawing is being made.
pub(crate) fn waiting(what: impl FnOnce() -> String) {
    if cfg!(feature = "sim") && context::with(|ambient| ambient.is_drawing()) {
        let what = what();
        note(|drawing| drawing.push(&what));
    }
}

/// Polls an in-task child while a drawing is being made, or while a simulation notes who is polled.
#[cold]
pub(crate) fn child<R>(watch: Watch, name: Name, number: u32, poll: impl FnOnce() -> R) -> R {
    if watch == Watch::Draw {
        return named(quoted("", &name), || polling(&name, poll));
    }
    POLLED.with_borrow_mut(|polled| polled.push(PolledChild { name: name.clone(), number }));
    polling(&name, poll)
}

/// Calls `take` with the children that were polled since the last call, and forgets them.
#[cfg(feature = "sim")]
pub(crate) fn take_polled(take: impl FnOnce(&mut Vec<PolledChild>)) {
    POLLED.with_borrow_mut(|polled| {
        take(polled);
        polled.clear();
    });
}

/// Puts `polled` in the place of the children that were polled since `take_polled` was last called,
/// and returns these.
#[cfg(feature = "sim")]
pub(crate) fn replace_polled(polled: Vec<PolledChild>) -> Vec<PolledChild> {
    POLLED.replace(polled)
}

/// Calls `spawn`, which spawns a child on a runtime, and lets that runtime know the child's name.
#[inline]
pub(crate) fn spawning(name: Option<Name>, spawn: impl FnOnce()) {
    if name.is_none() {
        return spawn();
    }
    SPAWNING.set(name);
    spawn();
    SPAWNING.set(None);
}

/// Returns the name of the child that is being spawned, once.
#[cfg(feature = "sim")]
pub(crate) fn take_spawning() -> Option<Name> {
    SPAWNING.take()
}

fn note<R>(change: impl FnOnce(&mut Drawing) -> R) -> Option<R> {
    DRAWING.with_borrow_mut(|drawing| drawing.as_mut().map(change))
}

/// Formats a name for a drawing.
pub(crate) fn quoted(kind: &str, name: impl fmt::Display) -> String {
    format!("{kind}`{name}`")
}
