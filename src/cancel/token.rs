//! Tells a tree of regions that it is cancelled: tokens, with a reason, listeners, and holds.
//!
//! A token has a [`Level`], which only rises, and rises for its whole subtree. The cause of the
//! first rise fixes the [`Reason`]. A [`TokenListener`] is woken whenever the level rises.
//!
//! A [`Hold`] says that something inside the token's region needs time to end. A token with holds
//! holds its parent. So the owner of any region reads a count of zero exactly when nothing inside
//! needs time.
//!
//! The page [`cancel`](crate::cancel) explains what this is for.
//!
//! Invariants:
//!
//! - A child's level is never below its parent's. Attaching a child raises it.
//! - A parent's `holds` count a child once if the child's `holds` are above zero, and not at all
//!   otherwise.
//! - A thread that holds a token's lock may take the locks of its ancestors, upwards, and no other
//!   lock. So a change of the holds reaches the ancestors in the order in which it was made below.
//! - No waker is cloned, woken or dropped under a lock.

mod listener;

use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use self::listener::Listening;
pub(crate) use self::listener::TokenListener;
use super::reason::{Cause, Causes, Moment, Reason};
use crate::context::list::List;
use crate::engine::atomics::{AtomicU8, Ordering, ShortLock};
use crate::name::Name;
use crate::panic::wake_all;

/// How far a cancellation has gone. The order matters: a level is only ever raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    /// Not cancelled.
    Live = 0,
    /// Code that listens is asked to end by itself. Everything goes on.
    Asked = 1,
    /// The region is being wound down. Nothing new starts in it.
    Cancelled = 2,
    /// The grace of the wind-down is over. What still needs time is dropped.
    Overdue = 3,
}

impl Level {
    #[inline]
    fn of(raw: u8) -> Self {
        match raw {
            0 => Level::Live,
            1 => Level::Asked,
            2 => Level::Cancelled,
            _ => Level::Overdue,
        }
    }
}

/// Asks code that listens to it to end, and tells the reason.
///
/// Cancelling a token drops nothing by itself. Code listens by [`cancelled`](Token::cancelled) or
/// [`is_cancelled`](Token::is_cancelled), or is ended by it with
/// [`run_until_cancelled`](Token::run_until_cancelled).
///
/// Clones are the same token, and compare equal. A [`child`](Token::child) is cancelled with its
/// parent, and can be cancelled alone.
///
/// The counterpart of tokio-util's `CancellationToken`, of Go's `Context`, and of the flag of a
/// Trio cancel scope.
///
/// # Cost
///
/// Making a token is one allocation. Cancelling takes time in proportion to the tokens and
/// listeners below it.
///
/// ```
/// # use foster::{Token, Reason};
/// let token = Token::new();
/// let child = token.child();
/// token.cancel("no longer needed");
/// assert!(child.is_cancelled());
/// assert_eq!(child.reason(), Some(Reason::from("no longer needed")));
/// ```
#[derive(Clone)]
pub struct Token {
    inner: Arc<TokenNode>,
}

struct TokenNode {
    /// A [`Level`]. It is written under the lock of `state`, and read without it.
    level: AtomicU8,
    state: ShortLock<State>,
}

struct State {
    /// When the level first rose, and why. It is there if, and only if, the level is above `Live`.
    cause: Option<Cause>,
    /// When the level rose to `Cancelled`, if it did.
    tripped_at: Option<Moment>,
    /// The parent, which this keeps alive, and this token's key in its `children`.
    parent: Option<(Token, usize)>,
    children: Slab<Weak<TokenNode>>,
    /// The waker of whoever polls the region of this token. It is woken as a listener is.
    poller: Option<Waker>,
    listeners: Slab<Listening>,
    /// The holds on this token, and one for each child that has some.
    holds: isize,
    /// The names of what did not end within the grace.
    overrun: Vec<Name>,
    /// Whether something inside has made progress since it was last asked. Noted past the grace.
    progress: bool,
}

impl Token {
    /// Creates a token that has no parent.
    pub fn new() -> Self {
        let state = State {
            cause: None,
            tripped_at: None,
            parent: None,
            children: Slab::new(),
            poller: None,
            listeners: Slab::new(),
            holds: 0,
            overrun: Vec::new(),
            progress: false,
        };
        Token { inner: Arc::new(TokenNode { level: AtomicU8::new(Level::Live as u8), state: ShortLock::new(state) }) }
    }

    /// Creates a token that is cancelled when this one is, with the same reason.
    ///
    /// Cancelling the child does not cancel this token.
    ///
    /// ```
    /// # use foster::Token;
    /// let server = Token::new();
    /// let request = server.child();
    /// request.cancel("the client went away");
    /// assert!(request.is_cancelled() && !server.is_cancelled());
    ///
    /// let request = server.child();
    /// server.cancel("shutting down");
    /// assert_eq!(request.reason(), server.reason());
    /// ```
    #[must_use]
    pub fn child(&self) -> Token {
        let child = Token::new();
        child.attach(self);
        child
    }

    /// Asks the code that listens to this token, or to a child of it, to end.
    ///
    /// This can be called from any thread. It wakes those who wait, and does not wait for them.
    /// Calls after the first change nothing, and the first reason stays.
    ///
    /// On the token of a scope or another region, this asks as [`Scope::stop`](crate::Scope::stop)
    /// does. To cancel a scope, there is [`Scope::cancel`](crate::Scope::cancel).
    pub fn cancel(&self, reason: impl Into<Reason>) {
        self.raise(Level::Asked, &Arc::new(reason.into()));
    }

    /// Returns whether it was cancelled. The cost is one atomic load.
    ///
    /// For the token of a scope or another region, this is true as soon as it is
    /// [stopped](crate::Scope::stop).
    pub fn is_cancelled(&self) -> bool {
        self.level() > Level::Live
    }

    /// Returns why it was cancelled, or `None` if it was not.
    pub fn reason(&self) -> Option<Reason> {
        self.shared_reason().map(|reason| Reason::clone(&reason))
    }

    /// Returns the reason without a copy of its text.
    pub(crate) fn shared_reason(&self) -> Option<Arc<Reason>> {
        self.cause().map(|cause| cause.reason)
    }

    /// Returns when it was cancelled, and why.
    pub(crate) fn cause(&self) -> Option<Cause> {
        // Whoever knows that it was cancelled sees the level, and behind the lock the cause.
        if self.is_cancelled() { self.inner.state.lock().cause.clone() } else { None }
    }

    /// Waits until the token is cancelled, and returns the reason.
    ///
    /// To end a future when that happens, use [`run_until_cancelled`](Token::run_until_cancelled):
    /// it is shorter, and winds the future down.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// let token = foster::Token::new();
    /// let ask = async { token.cancel("enough") };
    /// let (reason, ()) = foster::gather((token.cancelled(), ask)).await;
    /// assert_eq!(reason.to_string(), "requested: enough");
    /// # });
    /// ```
    pub fn cancelled(&self) -> WaitCancelled {
        WaitCancelled { listener: TokenListener::new(self.clone()) }
    }

    /// Returns how far the cancellation has gone.
    #[inline]
    pub(crate) fn level(&self) -> Level {
        Level::of(self.inner.level.load(Ordering::Acquire))
    }

    /// Returns whether the region of this token is being wound down.
    #[inline]
    pub(crate) fn is_tripped(&self) -> bool {
        self.level() >= Level::Cancelled
    }

    /// Returns why and when the region of this token began to be wound down, if it did.
    pub(crate) fn tripped(&self) -> Option<Cause> {
        let state = self.inner.state.lock();
        Some(Cause { at: state.tripped_at?, ..state.cause.clone()? })
    }

    /// Returns whether something inside the region of this token needs time to end.
    pub(crate) fn is_held(&self) -> bool {
        self.inner.state.lock().holds > 0
    }

    /// Returns whether both are the same token.
    pub(crate) fn is(&self, other: &Token) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Raises this token and all tokens below it to `level`, and wakes their listeners. Cancels the
    /// regions that end with one of them.
    ///
    /// The wakers are called last, when all levels are raised and no lock is held: a waker may run
    /// code that looks at any of these tokens.
    pub(crate) fn raise(&self, level: Level, reason: &Arc<Reason>) {
        self.raise_for(level, &Cause { at: Moment::next(), reason: Arc::clone(reason) });
    }

    /// Raises it as [`raise`](Self::raise) does, for a cause that may be older than its own.
    pub(crate) fn raise_for(&self, level: Level, cause: &Cause) {
        let mut wakers = Vec::new();
        let mut queue = vec![(self.clone(), level)];
        while let Some((token, level)) = queue.pop() {
            let mut state = token.inner.state.lock();
            let rises = token.level() < level;
            // A token that is linked late hears of the first cause after the second one.
            let is_first = state.cause.as_ref().is_none_or(|known| cause.at.is_before(known.at));
            if !rises && !is_first {
                // What is below it has this level, too: the first invariant.
                continue;
            }
            if is_first {
                state.cause = Some(cause.clone());
            }
            if level >= Level::Cancelled && state.tripped_at.is_none_or(|at| cause.at.is_before(at)) {
                state.tripped_at = Some(cause.at);
            }
            if rises {
                token.inner.level.store(level as u8, Ordering::Release);
                state.take_wakers(&mut wakers);
            }
            let children = state.children.iter().map(|(_, child)| (child, level));
            let regions = state.listeners.iter().map(|(_, listening)| (&listening.region, Level::Cancelled));
            let below = children.chain(regions);
            queue.extend(below.filter_map(|(token, level)| Some((Token { inner: token.upgrade()? }, level))));
        }
        wake_all(wakers);
    }

    /// Moves this token below `parent`.
    pub(crate) fn attach(&self, parent: &Token) {
        if self.inner.state.lock().parent.as_ref().is_some_and(|(current, _)| current.is(parent)) {
            return;
        }
        self.detach();
        let key = parent.inner.state.lock().children.insert(Arc::downgrade(&self.inner));
        {
            let mut state = self.inner.state.lock();
            state.parent = Some((parent.clone(), key));
            if state.holds > 0 {
                // A hold that begins wakes nobody, so there is nothing to collect.
                parent.count(1, &mut Vec::new());
            }
        }
        // After the insertion: a parent that is raised before it is seen here, and one that is
        // raised after it finds this token among its children.
        //
        // The level is read first, so that what was seen as cancelled has the moment of that.
        let level = parent.level();
        if let Some(cause) = parent.cause().filter(|_| level > Level::Live) {
            let tripped = parent.tripped().filter(|_| level >= Level::Cancelled);
            self.raise_for(level, &tripped.unwrap_or(cause));
        }
    }

    /// Takes this token out of its parent's tree.
    pub(crate) fn detach(&self) {
        let mut wakers = Vec::new();
        let parent = {
            let mut state = self.inner.state.lock();
            let parent = state.parent.take();
            if let (Some((parent, _)), true) = (&parent, state.holds > 0) {
                parent.count(-1, &mut wakers);
            }
            parent
        };
        if let Some((parent, key)) = parent {
            drop(parent.inner.state.lock().children.try_remove(key));
        }
        wake_all(wakers);
    }

    /// Keeps the region of this token from being dropped until the returned guard is.
    pub(crate) fn hold(&self) -> Hold {
        self.add_holds(1);
        Hold { token: self.clone() }
    }

    fn add_holds(&self, change: isize) {
        let mut wakers = Vec::new();
        self.count(change, &mut wakers);
        wake_all(wakers);
    }

    /// Adds `change` to the holds, and passes it to the parent if this token has gained its first
    /// hold or lost its last one. Collects the wakers of those who wait for the last hold to end.
    ///
    /// The recursion goes up with this token's lock held, so that two changes reach the parent in
    /// the order in which they were made here. It ends at the first ancestor that has other holds.
    fn count(&self, change: isize, wakers: &mut Vec<Waker>) {
        let mut state = self.inner.state.lock();
        let before = state.holds > 0;
        state.holds += change;
        let after = state.holds > 0;
        if before && !after && self.is_tripped() {
            state.take_wakers(wakers);
        }
        if let (Some((parent, _)), true) = (&state.parent, before != after) {
            parent.count(change, wakers);
        }
    }

    /// Wakes `waker`, of the region's poller, as [`TokenListener::listen`] does.
    pub(crate) fn listen(&self, waker: &Waker) {
        if self.inner.state.lock().poller.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        let waker = waker.clone();
        let before = self.inner.state.lock().poller.replace(waker);
        drop(before);
    }

    /// Forgets the waker that was given to [`listen`](Token::listen).
    pub(crate) fn forget_poller(&self) {
        let waker = self.inner.state.lock().poller.take();
        drop(waker);
    }

    /// Notes that something inside has ended, or had its last turn. Does nothing if this token is
    /// not overdue.
    ///
    /// It is noted with this token and outwards, as far as tokens are overdue, and with the first
    /// one that is not. The owner of each goes on polling then. That first one may be the token of
    /// a scope whose own grace has passed. It has raised the tokens of its members, and looks at
    /// its own one for progress.
    pub(crate) fn note_progress(&self) {
        let mut next = (self.level() == Level::Overdue).then(|| self.clone());
        while let Some(token) = next {
            let mut state = token.inner.state.lock();
            state.progress = true;
            let is_overdue = token.level() == Level::Overdue;
            next = state.parent.as_ref().filter(|_| is_overdue).map(|(parent, _)| parent.clone());
        }
    }

    /// Returns whether [progress](Token::note_progress) was noted since the last call.
    pub(crate) fn take_progress(&self) -> bool {
        mem::take(&mut self.inner.state.lock().progress)
    }

    /// Notes the name of what did not end in time, with the outermost token that is overdue.
    ///
    /// That token belongs to the timeout whose grace is over, which reports the name, or to a
    /// member of a scope whose own grace is over. That scope has reported the name of the member.
    pub(crate) fn report_overrun(&self, name: &Name) {
        let mut token = self.clone();
        loop {
            let parent = token.inner.state.lock().parent.as_ref().map(|(parent, _)| parent.clone());
            match parent {
                Some(parent) if parent.level() == Level::Overdue => token = parent,
                _ => break,
            }
        }
        token.inner.state.lock().overrun.push(name.clone());
    }

    /// Takes the names that were noted with this token.
    pub(crate) fn take_overrun(&self) -> Vec<Name> {
        mem::take(&mut self.inner.state.lock().overrun)
    }
}

/// The tokens with which what is polled at one place ends, up to the nearest scope or shield.
pub(crate) type Tokens = List<Token>;

/// Adds those of `tokens` that are cancelled.
pub(crate) fn add_causes(tokens: &Tokens, causes: &mut Causes) {
    let mut next = tokens.as_ref();
    while let Some(here) = next {
        causes.add(here.item.cause());
        next = here.next.as_ref();
    }
}

impl Default for Token {
    fn default() -> Self {
        Token::new()
    }
}

/// Compares by identity: two tokens are equal if one is a clone of the other.
impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self.is(other)
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.inner).hash(state);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("reason", &self.reason()).finish_non_exhaustive()
    }
}

impl State {
    /// Takes the wakers of all who listen.
    fn take_wakers(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.poller.take());
        wakers.extend(self.listeners.iter_mut().filter_map(|(_, listening)| listening.waker.take()));
    }
}

impl Drop for TokenNode {
    fn drop(&mut self) {
        // This is a loop and not a recursion, because a chain of parents may be thousands long.
        // There are no holds left to take off the parent's count, because a hold keeps its token
        // alive.
        let state = self.state.get_mut();
        let mut next = state.parent.take();
        while let Some((parent, key)) = next.take() {
            drop(parent.inner.state.lock().children.try_remove(key));
            if let Some(mut inner) = Arc::into_inner(parent.inner) {
                next = inner.state.get_mut().parent.take();
            }
        }
    }
}

/// Keeps a region from being dropped while it is wound down, until this is dropped.
pub(crate) struct Hold {
    token: Token,
}

impl Hold {
    /// Returns whether this is a hold on `token`.
    pub(crate) fn is_on(&self, token: &Token) -> bool {
        self.token.is(token)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.token.add_holds(-1);
        self.token.note_progress();
    }
}

/// The future that [`Token::cancelled`] returns.
#[must_use = "futures do nothing unless polled"]
pub struct WaitCancelled {
    listener: TokenListener,
}

impl Future for WaitCancelled {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        if !self.listener.token().is_cancelled() {
            self.listener.listen(cx.waker());
        }
        if self.listener.token().is_cancelled() {
            return Poll::Ready(self.listener.token().reason().unwrap_or(Reason::Parent));
        }
        Poll::Pending
    }
}

impl fmt::Debug for WaitCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitCancelled").field("token", self.listener.token()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_hold_counts_while_others_come_and_go_below() {
        let (enclosing, inside) = (Token::new(), Token::new());
        let _hold = enclosing.hold();
        let over = AtomicBool::new(false);
        let until_over = |round: &dyn Fn()| {
            while !over.load(Ordering::Relaxed) {
                round();
            }
        };
        thread::scope(|threads| {
            threads.spawn(|| until_over(&|| drop(inside.hold())));
            threads.spawn(|| {
                until_over(&|| {
                    inside.attach(&enclosing);
                    inside.detach();
                })
            });
            let held = (0..8_000_000).all(|_| enclosing.is_held());
            over.store(true, Ordering::Relaxed);
            assert!(held, "it was not counted for a moment");
        });
        assert_eq!(inside.inner.state.lock().holds, 0);
        assert_eq!(enclosing.inner.state.lock().holds, 1);
    }

    #[test]
    fn who_has_left_is_not_kept() {
        let token = Token::new();
        for _ in 0..3 {
            let (mut listener, child) = (TokenListener::new(token.clone()), token.child());
            listener.listen(Waker::noop());
            token.listen(Waker::noop());
            let state = token.inner.state.lock();
            assert_eq!((state.listeners.len(), state.children.len(), state.poller.is_some()), (1, 1, true));
            drop(state);
            drop((listener, child.child(), child));
            token.forget_poller();
            let state = token.inner.state.lock();
            assert_eq!((state.listeners.len(), state.children.len(), state.poller.is_some()), (0, 0, false));
        }
    }
}
