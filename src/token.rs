//! Cancellation tokens: a tree of flags with a reason, listeners, and holds.
//!
//! A token has a *level*, which only rises. `Live`; `Asked`, when somebody would like what listens to end by itself;
//! `Cancelled`, when the region that owns the token is being wound down; `Overdue`, when the grace of that wind-down is
//! over. A level reaches the token's whole subtree, and its first cause fixes the reason.
//!
//! A *hold* says that something inside the region needs time to end. A token with holds holds its parent, so that the
//! number that the owner of any region reads is zero exactly when nothing inside needs time any more.
//!
//! Invariants:
//!
//! - A child's level is never below its parent's: attaching a child raises it.
//! - `parent`'s holds count this token once if, and only if, this token's `holds` are above zero.
//! - Under a token's lock those of its ancestors may be taken, upwards, and no others: so what a hold changes above is
//!   changed in the order in which it is changed below. No waker is cloned, woken or dropped under a lock.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::name::Name;
use crate::panic::wake_all;

/// Why something was cancelled: its first cause, which no later one replaces.
///
/// The counterparts of asyncio's `cancel(msg)` and anyio's `cancel_reason`.
///
/// Texts turn into [`Requested`](Reason::Requested). A new variant may come, so a `match` has an arm for the rest:
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{Reason, scope};
///
/// let outcome = scope(async |s| {
///     s.cancel(format!("{} is full", "/tmp"));
///     std::future::pending::<()>().await
/// }).outcome().await;
/// match outcome.unwrap_err().reason() {
///     Reason::Requested(text) => assert_eq!(text, "/tmp is full"),
///     Reason::Deadline => println!("try again with more time"),
///     other => println!("{other}"),
/// }
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody asked for it, in these words.
    Requested(Cow<'static, str>),
    /// A deadline passed.
    Deadline,
    /// The named child failed, and the scope around it ended the others.
    Failed(Name),
    /// What it belonged to had ended before.
    Parent,
    /// The runtime refused it, threw it away, or ended.
    Shutdown,
    /// What owned it was dropped.
    Dropped,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Requested(text) => write!(f, "requested: {text}"),
            Reason::Deadline => f.write_str("its deadline passed"),
            Reason::Failed(task) => write!(f, "`{task}` failed"),
            Reason::Parent => f.write_str("what it belonged to had ended"),
            Reason::Shutdown => f.write_str("its runtime refused it or ended"),
            Reason::Dropped => f.write_str("its owner was dropped"),
        }
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Reason::Requested(text.into())
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Reason::Requested(text.into())
    }
}

/// The error of something that was cancelled before it had a value.
///
/// From [`Task::outcome`](crate::Task::outcome), [`ScopeFuture::outcome`](crate::scope::ScopeFuture::outcome) and
/// [`Token::run_until_cancelled`]. Its text says who was cancelled, and why. The counterpart of asyncio's `CancelledError`, but
/// a value: what is cancelled is not told by it, and need not pass it on.
#[derive(Clone, PartialEq, Eq)]
pub struct Cancelled {
    reason: Arc<Reason>,
    task: Option<Name>,
}

impl Cancelled {
    pub(crate) fn new(reason: Arc<Reason>, task: Option<Name>) -> Self {
        Cancelled { reason, task }
    }

    /// Why it was cancelled.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The child that was cancelled, where it was one.
    pub fn task(&self) -> Option<&Name> {
        self.task.as_ref()
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Cancelled");
        out.field("reason", &self.reason);
        if let Some(task) = &self.task {
            out.field("task", task);
        }
        out.finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "`{task}` was cancelled: {}", self.reason),
            None => write!(f, "cancelled: {}", self.reason),
        }
    }
}

impl std::error::Error for Cancelled {}

/// How far a cancellation has gone. Ordered: a level is only ever raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    Live = 0,
    Asked = 1,
    Cancelled = 2,
    Overdue = 3,
}

impl Level {
    fn of(raw: u8) -> Self {
        match raw {
            0 => Level::Live,
            1 => Level::Asked,
            2 => Level::Cancelled,
            _ => Level::Overdue,
        }
    }
}

/// A flag that says "please end", with a reason, for a whole tree of listeners.
///
/// Clones are the same token, and equal; a [`child`](Token::child) is cancelled with its parent, and may be cancelled alone. The
/// counterpart of tokio-util's `CancellationToken`, of Go's `Context`, and of the flag side of a Trio cancel scope.
///
/// Cancelling a token asks what *listens* to end by itself; it drops nothing.
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
    inner: Arc<Inner>,
}

struct Inner {
    /// A [`Level`]; written under `state`'s lock, read without.
    level: AtomicU8,
    state: Mutex<State>,
}

struct State {
    /// There is one if, and only if, the level is above `Live`.
    reason: Option<Arc<Reason>>,
    /// Keeps the chain of parents alive; the number is this token's place among its siblings.
    parent: Option<(Token, usize)>,
    children: Slab<Weak<Inner>>,
    /// `None` stands for a listener that was woken and has not been polled since.
    listeners: Slab<Option<Waker>>,
    holds: isize,
    /// What did not end within a grace, by name.
    overrun: Vec<Name>,
}

impl Token {
    /// A token of its own, with no parent.
    pub fn new() -> Self {
        let state = State {
            reason: None,
            parent: None,
            children: Slab::new(),
            listeners: Slab::new(),
            holds: 0,
            overrun: Vec::new(),
        };
        Token { inner: Arc::new(Inner { level: AtomicU8::new(Level::Live as u8), state: Mutex::new(state) }) }
    }

    /// A token that is cancelled when this one is, with the same reason, and that may be cancelled alone.
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

    /// Asks everything that listens to this token, or to one below it, to end.
    ///
    /// From any thread. Calls after the first change nothing: the first reason stays. Who listens is what was given to
    /// [`run_until_cancelled`](Token::run_until_cancelled) or waits for [`cancelled`](Token::cancelled), and code that looks
    /// at [`is_cancelled`](Token::is_cancelled).
    pub fn cancel(&self, reason: impl Into<Reason>) {
        self.raise(Level::Asked, &Arc::new(reason.into()));
    }

    /// Whether it was cancelled. One atomic load.
    pub fn is_cancelled(&self) -> bool {
        self.level() > Level::Live
    }

    /// Why it was cancelled; `None` if it was not.
    pub fn reason(&self) -> Option<Reason> {
        self.shared_reason().map(|reason| Reason::clone(&reason))
    }

    pub(crate) fn shared_reason(&self) -> Option<Arc<Reason>> {
        self.inner.lock().reason.clone()
    }

    /// Waits until the token is cancelled, and says why.
    ///
    /// To end a future by it, [`run_until_cancelled`](Token::run_until_cancelled) is shorter, and winds down.
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
        WaitCancelled { listener: Listener::new(self.clone()) }
    }

    pub(crate) fn level(&self) -> Level {
        Level::of(self.inner.level.load(Ordering::Acquire))
    }

    /// Whether the region of this token is being wound down.
    pub(crate) fn is_tripped(&self) -> bool {
        self.level() >= Level::Cancelled
    }

    /// Whether something inside the region of this token needs time to end.
    pub(crate) fn is_held(&self) -> bool {
        self.inner.lock().holds > 0
    }

    pub(crate) fn is(&self, other: &Token) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Raises this token and all below it to `level`, and wakes their listeners.
    pub(crate) fn raise(&self, level: Level, reason: &Arc<Reason>) {
        let mut wakers = Vec::new();
        let mut queue = vec![self.clone()];
        while let Some(token) = queue.pop() {
            let mut state = token.inner.lock();
            if token.level() >= level {
                continue;
            }
            if state.reason.is_none() {
                state.reason = Some(reason.clone());
            }
            token.inner.level.store(level as u8, Ordering::Release);
            wakers.extend(state.listeners.iter_mut().filter_map(|(_, waker)| waker.take()));
            queue.extend(state.children.iter().filter_map(|(_, child)| Some(Token { inner: child.upgrade()? })));
        }
        wake_all(wakers);
    }

    /// Puts this token below `parent`, and no longer below another.
    pub(crate) fn attach(&self, parent: &Token) {
        if self.inner.lock().parent.as_ref().is_some_and(|(current, _)| current.is(parent)) {
            return;
        }
        self.detach();
        let key = parent.inner.lock().children.insert(Arc::downgrade(&self.inner));
        {
            let mut state = self.inner.lock();
            state.parent = Some((parent.clone(), key));
            if state.holds > 0 {
                // It wakes nobody, as only the end of the last hold does.
                parent.count(1, &mut Vec::new());
            }
        }
        // After the insertion, so that a parent that is raised meanwhile reaches this token one way or the other.
        let level = parent.level();
        if level > Level::Live {
            let reason = parent.shared_reason().unwrap_or_else(|| Arc::new(Reason::Parent));
            self.raise(level, &reason);
        }
    }

    /// Takes this token out of its parent's tree.
    pub(crate) fn detach(&self) {
        let mut wakers = Vec::new();
        let parent = {
            let mut state = self.inner.lock();
            let parent = state.parent.take();
            if let (Some((parent, _)), true) = (&parent, state.holds > 0) {
                parent.count(-1, &mut wakers);
            }
            parent
        };
        if let Some((parent, key)) = parent {
            drop(parent.inner.lock().children.try_remove(key));
        }
        wake_all(wakers);
    }

    /// Says that something inside the region of this token needs time to end, until the guard is dropped.
    pub(crate) fn hold(&self) -> Hold {
        self.add_holds(1);
        Hold { token: self.clone() }
    }

    fn add_holds(&self, change: isize) {
        let mut wakers = Vec::new();
        self.count(change, &mut wakers);
        wake_all(wakers);
    }

    /// Counts a hold that begins or ends, here and, where that makes a difference, above; collects who waits for the last
    /// one to end.
    ///
    /// It goes up by recursion, which is as deep as regions without a hold are nested in one poll, and less.
    fn count(&self, change: isize, wakers: &mut Vec<Waker>) {
        let mut state = self.inner.lock();
        let before = state.holds > 0;
        state.holds += change;
        let after = state.holds > 0;
        if before && !after && self.is_tripped() {
            wakers.extend(state.listeners.iter_mut().filter_map(|(_, waker)| waker.take()));
        }
        if let (Some((parent, _)), true) = (&state.parent, before != after) {
            parent.count(change, wakers);
        }
    }

    /// Notes what did not end in time with the outermost region whose grace is over.
    pub(crate) fn report_overrun(&self, name: &Name) {
        let mut token = self.clone();
        loop {
            let parent = token.inner.lock().parent.as_ref().map(|(parent, _)| parent.clone());
            match parent {
                Some(parent) if parent.level() == Level::Overdue => token = parent,
                _ => break,
            }
        }
        token.inner.lock().overrun.push(name.clone());
    }

    pub(crate) fn take_overrun(&self) -> Vec<Name> {
        std::mem::take(&mut self.inner.lock().overrun)
    }
}

impl Default for Token {
    fn default() -> Self {
        Token::new()
    }
}

/// Two tokens are equal if they are the same token: clones of each other.
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

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A loop and not a recursion: a chain of parents may be thousands long.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut next = state.parent.take();
        while let Some((parent, key)) = next.take() {
            drop(parent.inner.lock().children.try_remove(key));
            if let Some(mut inner) = Arc::into_inner(parent.inner) {
                next = inner.state.get_mut().unwrap_or_else(PoisonError::into_inner).parent.take();
            }
        }
    }
}

/// Keeps a region from being dropped while it is wound down.
pub(crate) struct Hold {
    token: Token,
}

impl Hold {
    pub(crate) fn is_on(&self, token: &Token) -> bool {
        self.token.is(token)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.token.add_holds(-1);
    }
}

/// A place among a token's listeners.
pub(crate) struct Listener {
    token: Token,
    key: Option<usize>,
}

impl Listener {
    pub(crate) fn new(token: Token) -> Self {
        Listener { token, key: None }
    }

    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    /// Has `waker` woken when the token's level rises, or when its last hold goes while it is wound down.
    ///
    /// To be called before the state is looked at, or else a change in between goes unseen.
    pub(crate) fn listen(&mut self, waker: &Waker) {
        if let Some(key) = self.key {
            let state = self.token.inner.lock();
            if state.listeners[key].as_ref().is_some_and(|known| known.will_wake(waker)) {
                return;
            }
        }
        let waker = waker.clone();
        let mut state = self.token.inner.lock();
        let (key, before) = match self.key {
            Some(key) => (key, state.listeners[key].replace(waker)),
            None => (state.listeners.insert(Some(waker)), None),
        };
        drop(state);
        drop(before);
        self.key = Some(key);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.token.inner.lock().listeners.remove(key);
            drop(waker);
        }
    }
}

/// The future of [`Token::cancelled`].
#[must_use = "futures do nothing unless polled"]
pub struct WaitCancelled {
    listener: Listener,
}

impl Future for WaitCancelled {
    type Output = Reason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reason> {
        if !self.listener.token.is_cancelled() {
            self.listener.listen(cx.waker());
        }
        if self.listener.token.is_cancelled() {
            return Poll::Ready(self.listener.token.reason().unwrap_or(Reason::Parent));
        }
        Poll::Pending
    }
}

impl fmt::Debug for WaitCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitCancelled").field("token", &self.listener.token).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_hold_counts_while_others_come_and_go_below() {
        let (around, inside) = (Token::new(), Token::new());
        let _hold = around.hold();
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
                    inside.attach(&around);
                    inside.detach();
                })
            });
            let held = (0..8_000_000).all(|_| around.is_held());
            over.store(true, Ordering::Relaxed);
            assert!(held, "it was not counted for a moment");
        });
        assert_eq!(inside.inner.lock().holds, 0);
        assert_eq!(around.inner.lock().holds, 1);
    }
}
