//! Guards that set a part of the context for the length of a poll.
//!
//! Each puts back what was there before when it is dropped, also by a panic.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;

use super::{Ambient, Place};
use crate::cancel::token::Token;
use crate::runtime::Instant;
use crate::scope::control::Control;

/// Guard that swaps a value into a cell of the context until it is dropped, also by a panic.
pub(crate) struct Swap<'a, T: Default> {
    cell: &'a Cell<T>,
    value: &'a mut T,
}

impl<'a, T: Default> Swap<'a, T> {
    #[inline]
    pub(crate) fn new(cell: &'a Cell<T>, value: &'a mut T) -> Self {
        let mut swap = Swap { cell, value };
        swap.swap();
        swap
    }

    /// Unlike `Cell::swap`, this need not find out whether the two places overlap.
    #[inline]
    fn swap(&mut self) {
        let before = self.cell.take();
        // What is replaced is the default, which owns nothing.
        mem::forget(self.cell.replace(mem::replace(self.value, before)));
    }
}

impl<T: Default> Drop for Swap<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.swap();
    }
}

/// Guard that sets the scope, the runtime and the id of a child that another task runs, until it is
/// dropped. What it is given is not dropped.
pub(crate) struct Elsewhere<'a> {
    ambient: &'a Ambient,
    child: usize,
    scope: ManuallyDrop<Option<Arc<Control>>>,
    place: ManuallyDrop<Place>,
}

impl<'a> Elsewhere<'a> {
    #[inline]
    pub(crate) fn new(ambient: &'a Ambient, child: usize, scope: Arc<Control>, place: Place) -> Self {
        let (scope, place) = (ManuallyDrop::new(Some(scope)), ManuallyDrop::new(place));
        let mut elsewhere = Elsewhere { ambient, child, scope, place };
        elsewhere.swap();
        elsewhere
    }

    #[inline]
    fn swap(&mut self) {
        self.child = self.ambient.child.replace(self.child);
        self.ambient.scope.swap(Cell::from_mut(&mut *self.scope));
        mem::swap(&mut *self.ambient.runtime.borrow_mut(), &mut *self.place);
    }
}

impl Drop for Elsewhere<'_> {
    #[inline]
    fn drop(&mut self) {
        self.swap();
    }
}

/// Guard that sets a value in a cell of the context until it is dropped.
pub(crate) struct Replaced<'a, T: Copy> {
    cell: &'a Cell<T>,
    before: T,
}

impl<'a, T: Copy> Replaced<'a, T> {
    #[inline]
    pub(super) fn new(cell: &'a Cell<T>, value: T) -> Self {
        Replaced { cell, before: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Replaced<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// Guard that lowers the deadline until it is dropped.
pub(crate) struct Due<'a> {
    pub(super) ambient: &'a Ambient,
    /// The deadlines before: the fixed one, and the one of first polls.
    pub(super) at: Option<Instant>,
    pub(super) after: u64,
}

impl Drop for Due<'_> {
    #[inline]
    fn drop(&mut self) {
        self.ambient.due.set(self.at);
        self.ambient.due_after.set(self.after);
    }
}

/// Guard that enters several regions in turn, and holds the context that encloses them.
pub(crate) struct Entered<'a> {
    pub(super) ambient: &'a Ambient,
    pub(super) inside: bool,
    pub(super) token: Option<Token>,
}

impl<'a> Entered<'a> {
    /// Swaps the inner context with the enclosing one.
    #[inline]
    pub(super) fn swap(&mut self) {
        self.inside = self.ambient.inside.replace(self.inside);
        self.token = self.ambient.token.replace(self.token.take());
    }

    /// Runs `f` in the context that encloses the regions.
    pub(crate) fn outside<R>(&mut self, f: impl FnOnce(&'a Ambient) -> R) -> R {
        struct Back<'a, 'b>(&'b mut Entered<'a>);
        impl Drop for Back<'_, '_> {
            fn drop(&mut self) {
                self.0.swap();
            }
        }
        self.swap();
        let back = Back(self);
        f(back.0.ambient)
    }

    /// Whether the enclosing region is being wound down.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        self.ambient.trips(self.token.as_ref())
    }

    /// Polls a region that has no token yet. A token that is asked for meanwhile goes to `token`.
    #[inline]
    pub(crate) fn poll<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        struct Keep<'a>(&'a Cell<Option<Token>>, &'a mut Option<Token>);
        impl Drop for Keep<'_> {
            #[inline]
            fn drop(&mut self) {
                if let Some(made) = self.0.take() {
                    *self.1 = Some(made);
                }
            }
        }
        let _keep = Keep(&self.ambient.token, token);
        inside()
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.swap();
    }
}
