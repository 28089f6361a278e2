//! The ambient context: what a future that is being polled can ask about its surroundings.
//!
//! A thread-local, set for the length of one poll by swapping values in and out: no lock, no reference count. What a
//! scope's children share is swapped once per poll of the scope; only the region's token (empty as a rule) per child.
//!
//! Where nobody set a runtime, the one is used that is [found](crate::runtime::found) where the code runs.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::control::{Adopted, Control};
use crate::runtime::{Clock, Handle, Instant, Timer, WeakHandle, found};
use crate::token::{Reason, Token};

/// The inherited values in force: a list whose front is the innermost.
pub(crate) type Values = Arc<Binding>;

pub(crate) struct Binding {
    pub(crate) key: usize,
    pub(crate) value: Arc<dyn Any + Send + Sync>,
    pub(crate) next: Option<Values>,
}

/// A deadline that may be moved while what it guards is running.
pub(crate) trait MovableDeadline: Send + Sync {
    /// When it is due; `None` while it is switched off.
    fn due(&self) -> Option<Instant>;
}

/// The movable deadlines in force: a list whose first link is the innermost.
pub(crate) struct Link {
    pub(crate) deadline: Arc<dyn MovableDeadline>,
    pub(crate) next: Option<Arc<Link>>,
}

/// The deadlines in force at some place, for what is polled elsewhere: a parallel child.
#[derive(Default)]
pub(crate) struct Deadlines {
    /// The earliest of those that stay where they are.
    at: Option<Instant>,
    movable: Option<Arc<Link>>,
}

thread_local! {
    static AMBIENT: Ambient = const {
        Ambient {
            watch: Cell::new(Watch::No),
            inside: Cell::new(false),
            member: Cell::new(false),
            child: Cell::new(0),
            token: Cell::new(None),
            scope: Cell::new(None),
            runtime: RefCell::new(Place::Nowhere),
            due: Cell::new(None),
            due_after: Cell::new(None),
            movable: Cell::new(None),
            values: Cell::new(None),
            ending: Cell::new(None),
        }
    };
}

pub(crate) struct Ambient {
    /// Whether somebody wants to know what is polled; see [`tree`](crate::tree).
    pub(crate) watch: Cell<Watch>,
    /// Whether what is being polled lies in a region at all. Without one there is no token to ask for.
    pub(crate) inside: Cell<bool>,
    /// Whether what is being polled ends with the nearest scope: it lies in a member of it, and in no shield, finalizer
    /// or adopted future. The member's token may not be below the scope's before the member is suspended.
    pub(crate) member: Cell<bool>,
    /// The [id](crate::set::node::Runner::id) of the child that is being polled; 0 outside any.
    pub(crate) child: Cell<usize>,
    /// The token of the innermost region, once somebody asked for it.
    pub(crate) token: Cell<Option<Token>>,
    /// The nearest scope, or root: it takes over what outlives a drop.
    pub(crate) scope: Cell<Option<Arc<Control>>>,
    /// Only swapped and read, never lent to code that could swap it: `now` and `timer` are the runtime's own.
    runtime: RefCell<Place>,
    /// The earliest of the deadlines around that stay where they are, up to the nearest shield.
    due: Cell<Option<Instant>>,
    /// The shortest of the timeouts around that are in their first poll: they have not read the clock yet, and will not
    /// if what they guard is ready at once.
    due_after: Cell<Option<Duration>>,
    /// The deadlines around that can be moved, up to the nearest shield.
    pub(crate) movable: Cell<Option<Arc<Link>>>,
    /// The inherited values.
    pub(crate) values: Cell<Option<Values>>,
    /// Why things are being dropped, while a cancellation drops them: for the tasks of the scopes among them.
    ending: Cell<Option<Arc<Reason>>>,
}

/// Where something is polled.
pub(crate) enum Place {
    Nowhere,
    /// Under a root.
    Root(Handle),
    /// On a runtime that it does not keep.
    Child(Arc<WeakHandle>),
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
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Ambient) -> R) -> R {
    AMBIENT.with(f)
}

/// The same where the thread may be ending: then there is no context.
pub(crate) fn try_with<R>(f: impl FnOnce(&Ambient) -> R) -> Option<R> {
    AMBIENT.try_with(f).ok()
}

/// Runs `f`, a destructor or a blocking job, in no region, with everything else as it is around.
///
/// What it uses is to start there, although what it belongs to is ending.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    struct Back(Option<(bool, bool, Option<Token>)>);
    impl Drop for Back {
        fn drop(&mut self) {
            if let Some((inside, member, token)) = self.0.take() {
                with(|ambient| {
                    ambient.inside.set(inside);
                    ambient.member.set(member);
                    ambient.token.set(token);
                });
            }
        }
    }
    let around =
        try_with(|ambient| (ambient.inside.replace(false), ambient.member.replace(false), ambient.token.take()));
    let _back = Back(around);
    f()
}

/// Whether nobody has set a runtime for what is polled, or dropped, here.
fn is_nowhere() -> bool {
    try_with(|ambient| matches!(*ambient.runtime.borrow(), Place::Nowhere)) == Some(true)
}

/// Whether there is a runtime here that [`finish`]es what no scope is left to finish.
pub(crate) fn finishes() -> bool {
    is_nowhere() && found::handle().is_some()
}

/// Has the runtime that is found here finish `future`, which no scope is left to finish.
///
/// # Errors
///
/// Gives it back where none is found, and in the context of a runtime, which has a root of its own.
pub(crate) fn finish(future: Adopted) -> Result<(), Adopted> {
    if is_nowhere() { found::finish(future) } else { Err(future) }
}

/// Says why things are being dropped, until this is dropped itself: something was cancelled.
pub(crate) struct Ending {
    before: Option<Arc<Reason>>,
}

impl Ending {
    pub(crate) fn new(reason: &Arc<Reason>) -> Self {
        Ending { before: try_with(|ambient| ambient.ending.replace(Some(Arc::clone(reason)))).flatten() }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let before = self.before.take();
        drop(try_with(|ambient| ambient.ending.replace(before)));
    }
}

/// A value swapped into a cell of the context, and back out when this is dropped, also by a panic.
pub(crate) struct Swap<'a, T> {
    cell: &'a Cell<T>,
    value: &'a mut T,
}

impl<'a, T> Swap<'a, T> {
    #[inline]
    pub(crate) fn new(cell: &'a Cell<T>, value: &'a mut T) -> Self {
        let swap = Swap { cell, value };
        swap.cell.swap(Cell::from_mut(swap.value));
        swap
    }
}

impl<T> Drop for Swap<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.swap(Cell::from_mut(self.value));
    }
}

/// Of a cell of the context: the earlier one of what it holds and something else, until this is dropped.
pub(crate) struct Earlier<'a, T: Copy> {
    cell: &'a Cell<Option<T>>,
    before: Option<T>,
}

impl<'a, T: Copy + Ord> Earlier<'a, T> {
    #[inline]
    fn new(cell: &'a Cell<Option<T>>, value: T) -> Self {
        let before = cell.get();
        cell.set(earlier(before, Some(value)));
        Earlier { cell, before }
    }
}

impl<T: Copy> Drop for Earlier<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// The context inside of several regions, and what of their surroundings it stands in for.
pub(crate) struct Entered<'a> {
    ambient: &'a Ambient,
    inside: bool,
    token: Option<Token>,
}

impl<'a> Entered<'a> {
    #[inline]
    fn swap(&mut self) {
        self.inside = self.ambient.inside.replace(self.inside);
        self.token = self.ambient.token.replace(self.token.take());
    }

    /// Runs `f` in the surroundings of the regions.
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

    /// Whether the region around them is being wound down.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        self.ambient.trips(self.token.as_ref())
    }

    /// Polls the inside of one that has no token yet; one that is asked for meanwhile is put into `token`.
    #[inline]
    pub(crate) fn poll<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        struct Keep<'a>(&'a Cell<Option<Token>>, &'a mut Option<Token>);
        impl Drop for Keep<'_> {
            #[inline]
            fn drop(&mut self) {
                *self.1 = self.0.take();
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

impl Ambient {
    #[inline]
    fn peek<T, R>(cell: &Cell<Option<T>>, look: impl FnOnce(Option<&T>) -> R) -> R {
        let value = cell.take();
        let result = look(value.as_ref());
        // Nothing was put there meanwhile; so there is nothing to drop.
        mem::forget(cell.replace(value));
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
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        Self::peek(&self.token, |token| self.trips(token))
    }

    #[inline]
    fn trips(&self, token: Option<&Token>) -> bool {
        token.is_some_and(Token::is_tripped)
            || self.member.get() && Self::peek(&self.scope, |scope| scope.is_some_and(|scope| scope.is_cancelled()))
    }

    /// Puts `token`, of a region that is being polled here, below the token of the region around.
    pub(crate) fn link(&self, token: &Token) {
        match self.region_token() {
            Some(around) => token.attach(&around),
            None => token.detach(),
        }
    }

    /// Polls the inside of a region, whose token is `token`. It ends with the regions around it.
    #[inline]
    pub(crate) fn enter<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        let mut yes = true;
        let _inside = Swap::new(&self.inside, &mut yes);
        let _token = Swap::new(&self.token, token);
        inside()
    }

    /// Polls the inside of a region that no cancellation and no deadline around reaches.
    pub(crate) fn enter_fresh<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        let mut no = false;
        let _member = Swap::new(&self.member, &mut no);
        self.without_deadline(|| self.enter(token, inside))
    }

    /// Enters regions whose insides are polled one after the other, until what this returns is dropped.
    #[inline]
    pub(crate) fn enter_all(&self) -> Entered<'_> {
        let mut entered = Entered { ambient: self, inside: true, token: None };
        entered.swap();
        entered
    }

    /// The address of what [`scope`](Self::scope) returns; 0 where that is nothing.
    #[inline]
    pub(crate) fn scope_address(&self) -> usize {
        Self::peek(&self.scope, |scope| scope.map_or(0, |scope| Arc::as_ptr(scope).addr()))
    }

    pub(crate) fn scope(&self) -> Option<Arc<Control>> {
        Self::peek(&self.scope, |scope| scope.cloned())
    }

    /// Why what is being dropped is dropped, if a cancellation does that.
    pub(crate) fn why_ending(&self) -> Option<Arc<Reason>> {
        Self::peek(&self.ending, |reason| reason.cloned())
    }

    /// Why the innermost region is being wound down, if it is.
    pub(crate) fn why_tripped(&self) -> Option<Arc<Reason>> {
        let by_region = Self::peek(&self.token, |token| token.filter(|token| token.is_tripped())?.shared_reason());
        by_region.or_else(|| Self::peek(&self.scope, |scope| scope.map(|scope| scope.refusal())))
    }

    #[inline]
    pub(crate) fn values(&self) -> Option<Values> {
        Self::peek(&self.values, |values| values.cloned())
    }

    /// The runtime of the context, or the one that is [found] where there is none, or where it has ended.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.look_at_runtime(|runtime| runtime.cloned()).or_else(found::handle)
    }

    fn look_at_runtime<R>(&self, look: impl FnOnce(Option<&Handle>) -> R) -> R {
        let upgraded = match &*self.runtime.borrow() {
            Place::Nowhere => None,
            Place::Root(runtime) => return look(Some(runtime)),
            Place::Child(runtime) => runtime.upgrade(),
        };
        // It may have become the last handle, so nothing is borrowed when it is dropped.
        look(upgraded.as_ref())
    }

    /// The present instant, on the clock of the runtime in force.
    pub(crate) fn now(&self) -> Instant {
        self.look_at_runtime(|runtime| runtime.map_or_else(found::now, Handle::now))
    }

    /// A timer of the runtime in force, or of `futures-timer`'s thread where there is none.
    pub(crate) fn timer(&self, at: Instant) -> Timer {
        self.look_at_runtime(|runtime| match runtime {
            Some(runtime) => runtime.timer(at),
            None => found::timer(at),
        })
    }

    /// Moves `timer`, which this or another context made, to `at`.
    pub(crate) fn reset(&self, timer: Pin<&mut Timer>, at: Instant) {
        self.look_at_runtime(|runtime| match runtime {
            Some(runtime) => runtime.reset(timer, at),
            None => found::reset(timer, at),
        });
    }

    /// Whether the [tree](crate::tree) of what is running is being drawn.
    pub(crate) fn is_drawing(&self) -> bool {
        self.watch.get() == Watch::Draw
    }

    /// The effective deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Self::peek(&self.movable, |movable| {
            let mut due = self.fixed_deadline();
            let mut next = movable;
            while let Some(here) = next {
                due = earlier(due, here.deadline.due());
                next = here.next.as_ref();
            }
            due
        })
    }

    /// The earliest of the deadlines that stay where they are.
    fn fixed_deadline(&self) -> Option<Instant> {
        earlier(self.due.get(), self.due_after.get().and_then(|after| self.now().checked_add(after)))
    }

    /// Makes `link` the one of a deadline that is polled here: in front of the movable deadlines around.
    pub(crate) fn renew_link(&self, link: &mut Option<Arc<Link>>, deadline: impl FnOnce() -> Arc<dyn MovableDeadline>) {
        let place = |link: Option<&Arc<Link>>| link.map(Arc::as_ptr);
        let renewed = Self::peek(&self.movable, |around| {
            let stale = link.as_ref().is_none_or(|link| place(link.next.as_ref()) != place(around));
            stale.then(|| Arc::new(Link { deadline: deadline(), next: around.cloned() }))
        });
        if renewed.is_some() {
            *link = renewed;
        }
    }

    /// The deadlines in force here, to be in force elsewhere. One that is moved is moved there, too.
    pub(crate) fn deadlines(&self) -> Deadlines {
        Deadlines { at: self.fixed_deadline(), movable: Self::peek(&self.movable, |movable| movable.cloned()) }
    }

    /// Until what this returns is dropped, it is due at `at` at the latest.
    #[inline]
    pub(crate) fn due_at(&self, at: Instant) -> Earlier<'_, Instant> {
        Earlier::new(&self.due, at)
    }

    /// Until what this returns is dropped, it is due so long from now at the latest.
    #[inline]
    pub(crate) fn due_after(&self, after: Duration) -> Earlier<'_, Duration> {
        Earlier::new(&self.due_after, after)
    }

    /// Runs `f` with other deadlines than those of the surroundings.
    #[inline]
    pub(crate) fn with_deadlines<R>(&self, deadlines: &mut Deadlines, f: impl FnOnce() -> R) -> R {
        let mut after = None;
        let _fixed = (Swap::new(&self.due, &mut deadlines.at), Swap::new(&self.due_after, &mut after));
        let _movable = Swap::new(&self.movable, &mut deadlines.movable);
        f()
    }

    /// Runs `f` without a deadline.
    #[inline]
    pub(crate) fn without_deadline<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with_deadlines(&mut Deadlines::default(), f)
    }

    /// Runs `f` in surroundings of its own: for a thread that blocks in the middle of a poll, or a drop, on a root.
    pub(crate) fn apart<R>(&self, f: impl FnOnce() -> R) -> R {
        let (mut watch, mut scope) = (Watch::No, None);
        let _watch = Swap::new(&self.watch, &mut watch);
        let _scope = Swap::new(&self.scope, &mut scope);
        outside(|| self.without_deadline(f))
    }

    /// Runs `f` with another place swapped in.
    pub(crate) fn at<R>(&self, place: &mut Place, f: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a RefCell<Place>, &'a mut Place);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                mem::swap(&mut *self.0.borrow_mut(), self.1);
            }
        }
        mem::swap(&mut *self.runtime.borrow_mut(), place);
        let _back = Back(&self.runtime, place);
        f()
    }
}

#[inline]
fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Handle {
    /// The runtime that is in force here: what [`sleep`](crate::sleep), [`timeout`](crate::timeout),
    /// [`spawn_parallel`](crate::Scope::spawn_parallel) and
    /// [`spawn_blocking`](crate::Scope::spawn_blocking) use.
    ///
    /// It is that of the nearest [`run`](Handle::run), [`enter`](Handle::enter) or child of a runtime.
    /// Outside of them, with the feature `tokio`, it is the tokio runtime that the thread belongs to.
    /// `None` where there is neither.
    ///
    /// ```
    /// # #[cfg(feature = "sim")] {
    /// use foster::Handle;
    ///
    /// assert!(Handle::try_current().is_none());
    /// let name = foster::runtimes::Sim::default().run(async { Handle::current().name() });
    /// assert_eq!(name, "sim");
    /// # }
    /// ```
    pub fn try_current() -> Option<Self> {
        with(|ambient| ambient.runtime())
    }

    /// The runtime that is in force here, as [`try_current`](Handle::try_current) tells.
    ///
    /// # Panics
    ///
    /// Where no runtime is in force.
    #[track_caller]
    pub fn current() -> Self {
        let Some(current) = Self::try_current() else {
            panic!(
                "no runtime is in force here: await this inside `Handle::run` or `Handle::enter`, \
                 or on a thread of tokio's with foster's feature `tokio`"
            )
        };
        current
    }
}
