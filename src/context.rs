//! The ambient context: what a future that is being polled can ask about its surroundings.
//!
//! A thread-local, set for the length of one poll by swapping values in and out: no lock, no reference count. What a
//! scope's children share is swapped once per poll of the scope; only the region's token (empty as a rule) per child.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::control::Control;
use crate::runtime::{Clock, Handle, Timer};
use crate::token::Token;
use crate::values::Values;

thread_local! {
    static AMBIENT: Ambient = const {
        Ambient {
            watch: Cell::new(Watch::No),
            inside: Cell::new(false),
            token: Cell::new(None),
            scope: Cell::new(None),
            runtime: RefCell::new(None),
            due: Cell::new(Due::NEVER),
            values: Cell::new(None),
        }
    };
}

pub(crate) struct Ambient {
    /// Whether somebody wants to know what is polled; see [`tree`](crate::tree).
    pub(crate) watch: Cell<Watch>,
    /// Whether what is being polled lies in a region at all. Without one there is no token to ask for.
    pub(crate) inside: Cell<bool>,
    /// The token of the innermost region, once somebody asked for it.
    pub(crate) token: Cell<Option<Token>>,
    /// The nearest scope, or root: it takes over what outlives a drop.
    pub(crate) scope: Cell<Option<Arc<Control>>>,
    /// Only swapped and read, never lent to code that could swap it: `now` and `timer` are the runtime's own.
    pub(crate) runtime: RefCell<Option<Handle>>,
    /// The earliest of the deadlines around, up to the nearest shield.
    pub(crate) due: Cell<Due>,
    /// The inherited values.
    pub(crate) values: Cell<Option<Values>>,
}

/// Who wants to know what is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "sim"), allow(dead_code))]
pub(crate) enum Watch {
    No,
    /// A simulation, which notes the order.
    Trace,
    /// Whoever draws what is stuck, and polls everything for that.
    Draw,
}

/// Calls `f` with this thread's context.
pub(crate) fn with<R>(f: impl FnOnce(&Ambient) -> R) -> R {
    AMBIENT.with(f)
}

/// The same where the thread may be ending: then there is no context.
pub(crate) fn try_with<R>(f: impl FnOnce(&Ambient) -> R) -> Option<R> {
    AMBIENT.try_with(f).ok()
}

/// A value swapped into a cell of the context, and back out when this is dropped, also by a panic.
pub(crate) struct Swap<'a, T> {
    cell: &'a Cell<T>,
    value: &'a mut T,
}

impl<'a, T> Swap<'a, T> {
    pub(crate) fn new(cell: &'a Cell<T>, value: &'a mut T) -> Self {
        let swap = Swap { cell, value };
        swap.cell.swap(Cell::from_mut(swap.value));
        swap
    }
}

impl<T> Drop for Swap<'_, T> {
    fn drop(&mut self) {
        self.cell.swap(Cell::from_mut(self.value));
    }
}

impl Ambient {
    fn peek<T, R>(cell: &Cell<Option<T>>, look: impl FnOnce(Option<&T>) -> R) -> R {
        let value = cell.take();
        let result = look(value.as_ref());
        cell.set(value);
        result
    }

    /// The token of the innermost region, made now if nobody asked for it before; `None` outside any region.
    pub(crate) fn region_token(&self) -> Option<Token> {
        if !self.inside.get() {
            return None;
        }
        let token = self.token.take().unwrap_or_default();
        self.token.set(Some(token.clone()));
        Some(token)
    }

    /// Whether the innermost region is being wound down, so that nothing new starts in it.
    pub(crate) fn is_tripped(&self) -> bool {
        Self::peek(&self.token, |token| token.is_some_and(Token::is_tripped))
    }

    /// Puts `token`, of a region that is being polled here, below the token of the region around.
    pub(crate) fn link(&self, token: &Token) {
        match self.region_token() {
            Some(around) => token.attach(&around),
            None => token.detach(),
        }
    }

    /// Polls the inside of a region, whose token is `token`.
    pub(crate) fn enter<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        let mut yes = true;
        let _inside = Swap::new(&self.inside, &mut yes);
        let _token = Swap::new(&self.token, token);
        inside()
    }

    pub(crate) fn scope(&self) -> Option<Arc<Control>> {
        Self::peek(&self.scope, |scope| scope.cloned())
    }

    pub(crate) fn values(&self) -> Option<Values> {
        Self::peek(&self.values, |values| values.cloned())
    }

    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.borrow().clone()
    }

    /// The present instant, on the clock of the runtime around.
    pub(crate) fn now(&self) -> Instant {
        self.runtime.borrow().as_ref().map_or_else(Instant::now, |runtime| runtime.now())
    }

    /// A timer of the runtime around, or of `futures-timer`'s thread where there is none.
    pub(crate) fn timer(&self, at: Instant) -> Timer {
        match &*self.runtime.borrow() {
            Some(runtime) => runtime.timer(at),
            None => Timer::thread(at.saturating_duration_since(Instant::now())),
        }
    }

    /// The effective deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let due = self.due.get().resolved(|| self.now());
        self.due.set(due);
        due.at
    }

    /// Runs `f` with the runtime swapped in.
    pub(crate) fn with_runtime<R>(&self, runtime: &mut Option<Handle>, f: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a RefCell<Option<Handle>>, &'a mut Option<Handle>);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                std::mem::swap(&mut *self.0.borrow_mut(), self.1);
            }
        }
        std::mem::swap(&mut *self.runtime.borrow_mut(), runtime);
        let _back = Back(&self.runtime, runtime);
        f()
    }
}

/// When something is due.
///
/// A timeout in its first poll has not read the clock yet, and will not if what it guards is ready at once. Until
/// then its deadline is `fresh`: so far from now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) at: Option<Instant>,
    pub(crate) fresh: Option<Duration>,
}

impl Due {
    pub(crate) const NEVER: Due = Due { at: None, fresh: None };

    /// The earlier of this and an instant.
    pub(crate) fn or_at(self, at: Option<Instant>) -> Self {
        Due { at: earlier(self.at, at), ..self }
    }

    /// The earlier of this and so far from now.
    pub(crate) fn or_after(self, after: Duration) -> Self {
        Due { fresh: earlier(self.fresh, Some(after)), ..self }
    }

    fn resolved(self, now: impl FnOnce() -> Instant) -> Self {
        match self.fresh {
            None => self,
            Some(after) => Due { at: earlier(self.at, now().checked_add(after)), fresh: None },
        }
    }
}

fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
