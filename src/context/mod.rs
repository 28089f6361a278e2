//! The ambient context: what a future that is being polled can ask about its surroundings.
//!
//! It is a thread-local, set for the length of one poll by swapping values in and out. This needs
//! no lock and no reference count. What the children of a scope share is swapped once per poll of
//! the scope. Only the region's token, which is usually empty, is swapped once per child.
//!
//! Where nobody set a runtime, the one that is [found](crate::runtime::found) on the thread is
//! used.

mod current;
pub(crate) mod deadlines;
mod ending;
pub(crate) mod ends;
mod guards;
pub(crate) mod inherited;
pub(crate) mod list;

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use ending::Ending;
pub(crate) use guards::{Entered, Replaced, Swap};

use self::deadlines::{Deadlines, MovableDeadlines, NO_DEADLINE};
use self::ending::Why;
use self::ends::EndsWith;
use self::guards::Inherited;
use self::list::{List, ListNode};
use crate::cancel::reason::{Cause, Causes, Reason, asked_here};
use crate::cancel::token::{Token, Tokens, add_causes};
use crate::runtime::{Clock, Handle, Instant, Timer, WeakHandle, found};
use crate::scope::control::{Adopted, Control};
use crate::task::mark::{Mark, Marked};

/// The value of a key that children inherit.
#[derive(Clone)]
pub(crate) struct Binding {
    pub(crate) key: usize,
    pub(crate) value: Arc<dyn Any + Send + Sync>,
}

/// What a child that is polled elsewhere inherits: the deadlines of its scope, and the values in
/// force where it was spawned. Most children inherit nothing.
pub(crate) struct Inheritance {
    deadlines: Deadlines,
    values: List<Binding>,
}

thread_local! {
    /// Never dropped, which spares each access the question whether it has been. Whoever puts
    /// something here takes it back, so a thread that ends leaves nothing in it.
    static AMBIENT: ManuallyDrop<Ambient> = const {
        ManuallyDrop::new(Ambient {
            watch: Cell::new(Watch::No),
            inside: Cell::new(false),
            ends_with: Cell::new(EndsWith::NOTHING),
            calm: Cell::new(0),
            child: Cell::new(None),
            token: Cell::new(None),
            scope: Cell::new(None),
            tokens: Cell::new(None),
            runtime: RefCell::new(Place::Nowhere),
            due: Cell::new(None),
            due_after: Cell::new(NO_DEADLINE),
            movable: Cell::new(None),
            values: Cell::new(None),
            ending: Cell::new(None),
        })
    };
}

/// The context of one thread. Each field is described for the future that is being polled.
pub(crate) struct Ambient {
    /// Whether somebody watches which futures are polled; see [`tree`](crate::trace::tree).
    pub(crate) watch: Cell<Watch>,
    /// Whether it lies in a region. Outside of regions there is no token to ask for.
    pub(crate) inside: Cell<bool>,
    /// Whether it ends with the nearest scope, and with the `tokens`. A member of the scope does,
    /// and a shield, a finalizer or an adopted future does not. The token of a region may not be
    /// linked to those of the enclosing ones before the region is first pending.
    pub(crate) ends_with: Cell<EndsWith>,
    /// The value of [`asked_here`] at the last look that found nothing cancelled with which the
    /// nearest scope ends.
    ///
    /// The invariant: as long as the two are equal, that look still holds, and the walk through the
    /// enclosing scopes is spared. Cancellations of other threads are not counted. They arrive by
    /// the tokens, at the next poll.
    pub(crate) calm: Cell<u32>,
    /// The innermost child.
    pub(crate) child: Cell<Option<Marked>>,
    /// The token of the innermost region, once somebody has asked for it.
    pub(crate) token: Cell<Option<Token>>,
    /// The nearest scope or root. What outlives a drop is transferred to it.
    pub(crate) scope: Cell<Option<Arc<Control>>>,
    /// The tokens with which it ends, up to the nearest scope or shield. The scope keeps those that
    /// enclose the scope. They are in force only if it [ends with](Self::ends_with) tokens.
    tokens: Cell<Tokens>,
    /// The runtime in force. It is borrowed only to swap and read it, and never while code runs
    /// that could swap it: `now` and `timer` are the runtime's own.
    runtime: RefCell<Place>,
    /// The earliest of the enclosing fixed deadlines, up to the nearest shield.
    due: Cell<Option<Instant>>,
    /// The shortest of the enclosing timeouts that are in their first poll, in nanoseconds. They
    /// have not read the clock yet, and never do if the future that they guard is ready at once. It
    /// is one word, which is quick to put there and back, and [`NO_DEADLINE`] if there is none.
    due_after: Cell<u64>,
    /// The enclosing movable deadlines, up to the nearest shield.
    pub(crate) movable: Cell<MovableDeadlines>,
    /// The inherited values in force.
    pub(crate) values: Cell<List<Binding>>,
    /// The reason of the cancellation that is dropping things now. The tasks of scopes among them
    /// report it.
    ending: Cell<Option<Why>>,
}

/// Where a future is polled.
pub(crate) enum Place {
    Nowhere,
    /// In [`Handle::run`] or [`Handle::enter`]. It is boxed because a place is swapped twice a
    /// poll.
    Root(Box<Handle>),
    /// In a child on a runtime, which the child does not keep alive.
    Child(Arc<WeakHandle>),
}

/// Stands for the [scope](Ambient::scope), the [child](Ambient::child) and the
/// [tokens](Ambient::tokens) in which something is polled, and for whether it ends with them.
#[derive(Default)]
pub(crate) struct Enclosure {
    /// The address, or 0 if there is none. The lowest bits say what it [ends
    /// with](Ambient::ends_with).
    scope: usize,
    child: usize,
    tokens: usize,
}

impl Enclosure {
    #[inline]
    pub(crate) fn has_child_or_tokens(&self) -> bool {
        self.child != 0 || self.tokens != 0
    }
}

/// Who watches what is polled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "sim"), allow(dead_code))]
pub(crate) enum Watch {
    #[default]
    No,
    /// A simulation, which records the order of polls.
    Trace,
    /// The drawing of a stuck program, which polls everything to find out what it waits for.
    Draw,
}

/// Calls `f` with this thread's context.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Ambient) -> R) -> R {
    // `LocalKey::with` is a call, and `try_with` is inlined.
    let Ok(result) = AMBIENT.try_with(|ambient| f(ambient)) else { unreachable!("it is never dropped") };
    result
}

/// Runs `f`, a destructor or a blocking job, in no region. The rest of the context stays in force.
///
/// What `f` uses must be able to start, although the region that `f` belongs to is ending.
pub(crate) fn outside<R>(f: impl FnOnce() -> R) -> R {
    struct Back(bool, EndsWith, Option<Token>);
    impl Drop for Back {
        fn drop(&mut self) {
            with(|ambient| {
                ambient.inside.set(self.0);
                ambient.ends_with.set(self.1);
                ambient.token.set(self.2.take());
            });
        }
    }
    let _back = with(|ambient| {
        Back(ambient.inside.replace(false), ambient.ends_with.replace(EndsWith::NOTHING), ambient.token.take())
    });
    f()
}

/// Whether nobody has set a runtime for the code that runs here.
fn is_nowhere() -> bool {
    with(|ambient| matches!(*ambient.runtime.borrow(), Place::Nowhere))
}

/// Whether [`adopt`] would find a runtime here, to finish what no scope is left to finish.
pub(crate) fn finishes() -> bool {
    is_nowhere() && found::handle().is_some()
}

/// Makes `scope` finish `future`, or the nearest enclosing scope that has not completed.
///
/// If no scope is left, the runtime that is found here finishes it. In the context of a runtime,
/// which has its own root, and where none is found, `future` is dropped, in no region.
pub(crate) fn adopt(scope: Option<&Arc<Control>>, future: Adopted) {
    let refused = match scope {
        Some(scope) => scope.adopt(future),
        None => Err(future),
    };
    let refused = refused.or_else(|future| if is_nowhere() { found::finish(future) } else { Err(future) });
    if let Err(refused) = refused {
        outside(|| drop(refused));
    }
}

impl Ambient {
    /// Looks at the value of a cell without cloning it.
    ///
    /// `look` must not panic. It would drop the value, which may be a reference to a scope that was
    /// only lent to the context ([`elsewhere`](Self::elsewhere)).
    #[inline(always)]
    fn peek<T, R>(cell: &Cell<Option<T>>, look: impl FnOnce(Option<&T>) -> R) -> R {
        let Some(value) = cell.take() else { return look(None) };
        let result = look(Some(&value));
        // `look` put nothing there, so the replaced value is `None` and needs no drop.
        mem::forget(cell.replace(Some(value)));
        result
    }

    /// Returns the token of the innermost region, or `None` outside of regions. The token is made
    /// if nobody has asked for it before.
    pub(crate) fn region_token(&self) -> Option<Token> {
        if !self.inside.get() {
            return None;
        }
        // The owner of the region links a new token when this poll returns. Until then `is_tripped`
        // looks at the scopes as well.
        let token = self.token.take().unwrap_or_default();
        self.token.set(Some(token.clone()));
        Some(token)
    }

    /// Whether the innermost region is cancelled, so that nothing new starts in it.
    ///
    /// That is also so if code inside has cancelled, in the present poll, something that encloses
    /// it. The tokens in between may not tell before the poll ends.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        Self::peek(&self.token, |token| token.is_some_and(Token::is_tripped)) || self.ends_with_what_encloses_it()
    }

    /// Whether it ends with the nearest scope, and that is cancelled, or with what encloses that
    /// and was cancelled in the present poll.
    #[inline]
    fn ends_with_what_encloses_it(&self) -> bool {
        let ends_with = self.ends_with.get();
        let is_cancelled = || Self::peek(&self.scope, |scope| scope.is_some_and(|scope| scope.is_cancelled()));
        ends_with.contains(EndsWith::SCOPE) && is_cancelled()
            || ends_with != EndsWith::NOTHING && !self.is_calm() && self.is_doomed_further_out()
    }

    /// Whether this thread has asked for no cancellation since nothing was cancelled here.
    #[inline]
    pub(crate) fn is_calm(&self) -> bool {
        self.calm.get() == asked_here()
    }

    /// Notes whether nothing is cancelled here, until the guard is dropped.
    #[inline]
    pub(crate) fn note_calm(&self, is_calm: bool) -> Replaced<'_, u32> {
        // Any other number than the present one is not calm.
        Replaced::new(&self.calm, if is_calm { asked_here() } else { asked_here().wrapping_sub(1) })
    }

    /// Links `token`, of a region that is being polled here, below that of the enclosing region.
    pub(crate) fn link(&self, token: &Token) {
        match self.region_token() {
            Some(enclosing) => token.attach(&enclosing),
            None => token.detach(),
        }
    }

    /// Polls a region, whose token is `token`. It ends when an enclosing region does.
    #[inline]
    pub(crate) fn enter<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        let _inside = Replaced::new(&self.inside, true);
        let _token = Swap::new(&self.token, token);
        inside()
    }

    /// Polls a region that no enclosing cancellation and no enclosing deadline reaches.
    pub(crate) fn enter_fresh<R>(&self, token: &mut Option<Token>, inside: impl FnOnce() -> R) -> R {
        let _ends_with = Replaced::new(&self.ends_with, EndsWith::NOTHING);
        self.without_deadline(|| self.enter(token, inside))
    }

    /// Enters regions that are polled one after the other, until the guard is dropped.
    #[inline]
    pub(crate) fn enter_all(&self) -> Entered<'_> {
        Entered::new(self)
    }

    /// Returns the address of the [`scope`](Self::scope), or 0 if there is none.
    #[inline]
    pub(crate) fn scope_address(&self) -> usize {
        Self::peek(&self.scope, |scope| scope.map_or(0, |scope| Arc::as_ptr(scope).addr()))
    }

    #[inline]
    pub(crate) fn enclosure(&self) -> Enclosure {
        // The lowest bits of the address are free.
        let scope = self.scope_address() | self.ends_with.get().bits();
        Enclosure { scope, child: self.child_id(), tokens: self.tokens_address() }
    }

    /// Whether `enclosure` stands for this place.
    #[inline]
    pub(crate) fn is_in(&self, enclosure: &Enclosure) -> bool {
        enclosure.scope == self.scope_address() | self.ends_with.get().bits()
            && enclosure.child == self.child_id()
            && (!self.ends_with.get().contains(EndsWith::TOKENS) || enclosure.tokens == self.tokens_address())
    }

    /// Returns the [id](crate::task::cell::Reader::id) of the innermost child, or 0 outside of
    /// children.
    #[inline]
    pub(crate) fn child_id(&self) -> usize {
        Self::peek(&self.child, |child| child.map_or(0, Marked::id))
    }

    /// Returns the mark of the innermost child.
    pub(crate) fn mark(&self) -> Option<Mark> {
        Self::peek(&self.child, |child| child.map(Marked::mark))
    }

    /// Whether something has been cancelled with which the future that is polled here ends: its
    /// region, or a scope, child or token that encloses it, whoever has cancelled that, and in
    /// whichever poll. The tokens of the regions in between may not tell yet.
    pub(crate) fn is_doomed(&self) -> bool {
        Self::peek(&self.token, |token| token.is_some_and(Token::is_tripped)) || self.is_doomed_further_out()
    }

    /// Whether there is something that [`why_doomed`](Self::why_doomed) returns. If there is not,
    /// the next looks need not walk outwards.
    #[cold]
    #[inline(never)]
    fn is_doomed_further_out(&self) -> bool {
        let is_doomed = self.why_doomed().is_some();
        // In a shield the walk ends before the nearest scope.
        if !is_doomed && self.ends_with.get().contains(EndsWith::SCOPE) {
            self.calm.set(asked_here());
        }
        is_doomed
    }

    /// Returns why a token, the innermost child or the nearest scope is cancelled, or another one
    /// with which they end. That is the first cause, if there are several.
    fn why_doomed(&self) -> Option<Cause> {
        let mut causes = Causes::default();
        add_causes(&self.tokens(), &mut causes);
        if self.ends_with.get().contains(EndsWith::SCOPE) {
            if let Some(scope) = self.scope() {
                scope.add_causes(self.mark(), &mut causes);
            }
        }
        causes.into_first()
    }

    /// Returns the nearest scope or root.
    pub(crate) fn scope(&self) -> Option<Arc<Control>> {
        Self::peek(&self.scope, |scope| scope.cloned())
    }

    /// Returns the cause of the cancellation that is dropping things now, if there is one.
    pub(crate) fn why_ending(&self) -> Option<Cause> {
        Self::peek(&self.ending, |why| why.map(Why::cause))
    }

    /// Returns why the innermost region is cancelled, which it is. Its token may not tell yet.
    pub(crate) fn why_tripped(&self) -> Option<Cause> {
        Self::peek(&self.token, |token| token?.tripped()).or_else(|| self.why_doomed())
    }

    /// Returns why `scope` refuses what is spawned here, if it does.
    ///
    /// In the scope's own poll, that is so also if something that encloses the scope was cancelled
    /// in it. What runs on another task would begin before the scope's token tells.
    pub(crate) fn refusal(&self, scope: &Control) -> Option<Arc<Reason>> {
        if scope.is_cancelled() || scope.refuses_parallel() {
            return Some(scope.refusal());
        }
        // What encloses the scope is up to date in its own poll. In a parallel child it is what
        // enclosed the scope's last poll.
        let is_nearest = self.scope_address() == ptr::from_ref(scope).addr();
        if is_nearest && !self.is_calm() { scope.why_doomed().map(|cause| cause.reason) } else { None }
    }

    /// Returns the inherited values in force.
    #[inline]
    pub(crate) fn values(&self) -> List<Binding> {
        Self::peek(&self.values, |values| values.cloned())
    }

    /// Returns the runtime of the context, or the one that is [found] where the context has none or
    /// where its runtime has ended.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.look_at_runtime(|runtime| runtime.cloned()).or_else(found::handle)
    }

    /// Calls `look` with the runtime of the context, if there is one that has not ended.
    fn look_at_runtime<R>(&self, look: impl FnOnce(Option<&Handle>) -> R) -> R {
        let upgraded = match &*self.runtime.borrow() {
            Place::Nowhere => None,
            Place::Root(runtime) => return look(Some(runtime)),
            Place::Child(runtime) => match runtime.upgrade() {
                Some(Cow::Borrowed(runtime)) => return look(Some(runtime)),
                upgraded => upgraded.map(Cow::into_owned),
            },
        };
        // The upgraded handle may have become the last one. Nothing is borrowed when it is dropped.
        look(upgraded.as_ref())
    }

    /// Returns the present instant on the clock of the runtime in force.
    pub(crate) fn now(&self) -> Instant {
        self.look_at_runtime(|runtime| runtime.map_or_else(found::now, Handle::now))
    }

    /// Creates a timer of the runtime in force, or on the thread of `futures-timer` where there is
    /// none.
    pub(crate) fn timer(&self, at: Instant) -> Timer {
        self.look_at_runtime(|runtime| match runtime {
            Some(runtime) => runtime.timer(at),
            None => found::timer(at),
        })
    }

    /// Moves `timer`, which this context or another one made, to `at`.
    pub(crate) fn reset(&self, timer: Pin<&mut Timer>, at: Instant) {
        self.look_at_runtime(|runtime| match runtime {
            Some(runtime) => runtime.reset(timer, at),
            None => found::reset(timer, at),
        });
    }

    /// Whether the [tree](crate::trace::tree) of what is running is being drawn.
    #[inline]
    pub(crate) fn is_drawing(&self) -> bool {
        self.watch.get() == Watch::Draw
    }

    /// Returns the effective deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Self::peek(&self.movable, |movable| {
            let mut due = self.fixed_deadline();
            let mut next = movable;
            while let Some(here) = next {
                due = earlier(due, here.item.due());
                next = here.next.as_ref();
            }
            due
        })
    }

    /// Whether the effective deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= self.now())
    }

    /// Returns the earliest of the fixed deadlines.
    fn fixed_deadline(&self) -> Option<Instant> {
        let after = match self.due_after.get() {
            NO_DEADLINE => None,
            after => self.now().checked_add(Duration::from_nanos(after)),
        };
        earlier(self.due.get(), after)
    }

    /// Makes `node` one with `item`, in front of the `enclosing` list. A node that is right already
    /// is kept, which is so unless the future that has it was moved.
    pub(crate) fn renew<T>(node: &mut List<T>, enclosing: &Cell<List<T>>, item: impl FnOnce() -> T) {
        let place = |list: Option<&Arc<ListNode<T>>>| list.map(Arc::as_ptr);
        let renewed = Self::peek(enclosing, |enclosing| {
            let stale = node.as_ref().is_none_or(|node| place(node.next.as_ref()) != place(enclosing));
            stale.then(|| Arc::new(ListNode { item: item(), next: enclosing.cloned() }))
        });
        if renewed.is_some() {
            *node = renewed;
        }
    }

    /// Returns the deadlines in force here. In the first poll of a timeout this reads the clock.
    pub(crate) fn deadlines(&self) -> Deadlines {
        let movable = Self::peek(&self.movable, |movable| movable.cloned());
        Deadlines { due: self.fixed_deadline(), movable }
    }

    /// Whether a deadline is in force here.
    #[inline]
    pub(crate) fn has_deadline(&self) -> bool {
        self.due.get().is_some()
            || self.due_after.get() != NO_DEADLINE
            || Self::peek(&self.movable, |movable| movable.is_some())
    }

    /// Returns what a child inherits that is spawned here, in a scope with `deadlines`.
    pub(crate) fn inheritance(&self, deadlines: Deadlines) -> Option<Inheritance> {
        let values = self.values();
        if deadlines.is_none() && values.is_none() {
            return None;
        }
        Some(Inheritance { deadlines, values })
    }

    /// Runs `f` with the deadlines and values of `inheritance` in force, instead of those that are.
    #[inline]
    pub(crate) fn inheriting<R>(&self, inheritance: Option<&mut Inheritance>, f: impl FnOnce() -> R) -> R {
        let mut nothing = None;
        let inheritance = match inheritance {
            None if self.has_deadline() || Self::peek(&self.values, |values| values.is_some()) => {
                Some(nothing.insert(Inheritance { deadlines: Deadlines::none(), values: None }))
            }
            inheritance => inheritance,
        };
        let _inherited = Inherited::new(self, inheritance);
        f()
    }

    /// Lowers the fixed deadline to `at` until the guard is dropped.
    #[inline]
    pub(crate) fn due_at(&self, at: Instant) -> Replaced<'_, Option<Instant>> {
        Replaced::new(&self.due, earlier(self.due.get(), Some(at)))
    }

    /// Lowers the fixed deadline to `nanos` from now, or not if that is [`NO_DEADLINE`], until the
    /// guard is dropped. This does not read the clock.
    #[inline]
    pub(crate) fn due_after(&self, nanos: u64) -> Replaced<'_, u64> {
        Replaced::new(&self.due_after, nanos.min(self.due_after.get()))
    }

    /// Runs `f` without a deadline.
    #[inline]
    pub(crate) fn without_deadline<R>(&self, f: impl FnOnce() -> R) -> R {
        let mut movable = None;
        let _fixed = (Replaced::new(&self.due, None), Replaced::new(&self.due_after, NO_DEADLINE));
        let _movable = Swap::new(&self.movable, &mut movable);
        f()
    }

    /// Runs `f` in a context of its own. For a thread that blocks on a root in the middle of a poll
    /// or a drop.
    ///
    /// The innermost child stays: a root that is run in its poll must not await its task.
    pub(crate) fn apart<R>(&self, f: impl FnOnce() -> R) -> R {
        let (mut scope, mut values, mut ending) = (None, None, None);
        let _watch = Replaced::new(&self.watch, Watch::No);
        let _scope = Swap::new(&self.scope, &mut scope);
        let _values = Swap::new(&self.values, &mut values);
        let _ending = Swap::new(&self.ending, &mut ending);
        self.at(&mut Place::Nowhere, || outside(|| self.without_deadline(f)))
    }

    /// Runs `f` with another place swapped in.
    #[inline]
    pub(crate) fn at<R>(&self, place: &mut Place, f: impl FnOnce() -> R) -> R {
        struct Back<'a>(&'a RefCell<Place>, &'a mut Place);
        impl Drop for Back<'_> {
            #[inline]
            fn drop(&mut self) {
                mem::swap(&mut *self.0.borrow_mut(), self.1);
            }
        }
        mem::swap(&mut *self.runtime.borrow_mut(), place);
        let _back = Back(&self.runtime, place);
        f()
    }
}

/// Returns the smaller value, or the only one.
#[inline]
fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
