//! Guards that set a part of the context for the length of a poll.
//!
//! Each puts back what was there before when it is dropped, also by a panic.

use std::cell::Cell;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;

use super::deadlines::NO_DEADLINE;
use super::{Ambient, Inheritance, Place};
use crate::cancel::token::Token;
use crate::scope::control::Control;
use crate::task::mark::Marked;

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

/// Guard that sets the scope and the runtime of a child that another task runs, until it is
/// dropped. What it is given is not dropped.
struct Elsewhere<'a> {
    ambient: &'a Ambient,
    /// No child of this thread's task encloses what runs there.
    child: Option<Marked>,
    scope: ManuallyDrop<Option<Arc<Control>>>,
    place: ManuallyDrop<Place>,
}

impl Ambient {
    /// Runs `f` in the scope and on the runtime that are given, which are not dropped then.
    #[inline]
    pub(crate) fn elsewhere<R>(&self, scope: Arc<Control>, place: Place, f: impl FnOnce() -> R) -> R {
        let (scope, place) = (ManuallyDrop::new(Some(scope)), ManuallyDrop::new(place));
        // It is made here and not by a constructor, which would copy it as a whole to return it.
        let mut elsewhere = Elsewhere { ambient: self, child: None, scope, place };
        elsewhere.swap();
        f()
    }
}

impl Elsewhere<'_> {
    #[inline]
    fn swap(&mut self) {
        self.child = self.ambient.child.replace(self.child.take());
        *self.scope = self.ambient.scope.replace(self.scope.take());
        mem::swap(&mut *self.ambient.runtime.borrow_mut(), &mut *self.place);
    }
}

impl Drop for Elsewhere<'_> {
    #[inline]
    fn drop(&mut self) {
        self.swap();
    }
}

/// Guard that puts deadlines and values in force, if there are some, until it is dropped.
pub(super) struct Inherited<'a> {
    ambient: &'a Ambient,
    inheritance: Option<&'a mut Inheritance>,
    due_after: u64,
}

impl<'a> Inherited<'a> {
    #[inline]
    pub(super) fn new(ambient: &'a Ambient, inheritance: Option<&'a mut Inheritance>) -> Self {
        let mut inherited = Inherited { ambient, inheritance, due_after: NO_DEADLINE };
        inherited.swap();
        inherited
    }

    #[inline]
    fn swap(&mut self) {
        if let Some(Inheritance { deadlines, values }) = &mut self.inheritance {
            *values = self.ambient.values.replace(values.take());
            deadlines.due = self.ambient.due.replace(deadlines.due);
            deadlines.movable = self.ambient.movable.replace(deadlines.movable.take());
            self.due_after = self.ambient.due_after.replace(self.due_after);
        }
    }
}

impl Drop for Inherited<'_> {
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
    pub(crate) fn new(cell: &'a Cell<T>, value: T) -> Self {
        Replaced { cell, before: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Replaced<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// Guard that enters a region, or several in turn, and holds the context that encloses them.
///
/// The context has a token only while a region is polled.
pub(crate) struct Entered<'a> {
    ambient: &'a Ambient,
    inside: bool,
    token: Option<Token>,
}

impl<'a> Entered<'a> {
    #[inline]
    pub(super) fn new(ambient: &'a Ambient) -> Self {
        Entered { ambient, inside: ambient.inside.replace(true), token: ambient.token.take() }
    }

    /// Puts the enclosing context back.
    #[inline]
    fn leave(&mut self) {
        self.ambient.inside.set(self.inside);
        // What is replaced is no token, and needs no drop.
        mem::forget(self.ambient.token.replace(self.token.take()));
    }

    /// Runs `f` in the context that encloses the regions.
    pub(crate) fn outside<R>(&mut self, f: impl FnOnce(&'a Ambient) -> R) -> R {
        struct Again<'a, 'b>(&'b mut Entered<'a>);
        impl Drop for Again<'_, '_> {
            fn drop(&mut self) {
                self.0.token = self.0.ambient.token.take();
                self.0.ambient.inside.set(true);
            }
        }
        self.leave();
        let again = Again(self);
        f(again.0.ambient)
    }

    /// Whether the enclosing region is being wound down.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_tripped) || self.ambient.ends_with_what_encloses_it()
    }

    /// Enters a region that has a token, until it has been [polled](Entered::poll).
    pub(crate) fn put(&self, token: &mut Option<Token>) {
        mem::forget(self.ambient.token.replace(token.take()));
    }

    /// Polls a region whose token, if it has one, is in the context. It goes to `token`, as does
    /// one that is asked for meanwhile.
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
        self.leave();
    }
}
