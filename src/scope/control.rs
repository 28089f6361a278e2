//! Holds what a scope shares with handles, parallel children, adopted futures, tasks and spawners.
//!
//! It borrows nothing, so it may outlive the scope. The context carries it as the nearest scope.

use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_task::FutureObj;

use crate::cancel::reason::{Cause, Causes, Moment, Reason};
use crate::cancel::token::{Level, Token, Tokens, add_causes};
use crate::context::deadlines::Deadlines;
use crate::engine::Key;
use crate::engine::atomics::{AtomicBool, AtomicIsize, AtomicU8, AtomicUsize, Ordering, ShortLock};
use crate::mailbox::{Bell, Call, Lane};
use crate::panic::{FirstPanic, Payload, catch};
use crate::runtime::{Handle, WeakHandle};
use crate::task::cell::{Header, Runner, SharedNode};
use crate::task::crew::{Crew, Members};
use crate::task::hub::Hub;
use crate::task::mark::Mark;
use crate::task::remote::{Remote, RemoteChain};

/// A future that the scope which adopts it must finish.
pub(crate) type Adopted = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The runner of a parallel child, whose own type is forgotten.
pub(crate) type ParallelRunner = Runner<SharedNode<'static, Arc<Reason>>>;

/// What reaches a scope from outside its own poll.
pub(crate) enum News {
    /// A future to finish before the scope resolves.
    Adopt(Adopted),
    /// A child for the scope's own task, from a [`Spawner`](crate::scope::Spawner).
    Spawn(FutureObj<'static, ()>, &'static Location<'static>),
    /// The child in this slot may have been cancelled by its task. The mark is in its header.
    CancelChild(Key),
    /// The scope was stopped. It cancels what is left after this time.
    Stop(Arc<Reason>, Duration),
    /// A parallel child failed. Its future has been dropped, and its task does not know yet.
    Failed(ParallelRunner, Option<Payload>),
    /// Something that was dropped has panicked, such as a value of a parallel child, or a scope
    /// inside had a panic in hand when it was dropped.
    Panicked(Payload),
}

/// How many remotes of ended children the roster keeps, beside half as many as there are members.
const KEPT: usize = 32;

/// What a scope shares, its inbox and its errors included. Only the scope's handles and its future
/// reach these two, by a [`Core`](super::state::Core). See the [module](self).
pub(crate) type Control = Hub<Parts>;

/// What a [`Control`] consists of, beside the inbox and the errors.
pub(crate) struct Parts {
    /// Wakes the scope, or the `Orphans` that wait for what is left of it.
    pub(crate) bell: Bell,
    news: Lane<News, 0>,
    /// Made when it is first asked for.
    token: OnceLock<Token>,
    /// Whether the scope only waits for its children, and whether somebody is to be told by
    /// `joining`: a [`Joining`].
    join: AtomicU8,
    /// See [`Control::until_joining`]. Made when it is first asked for.
    joining: OnceLock<Token>,
    /// Parallel children that have not ended.
    members: Members,
    /// How many parallel children have ended, as far as their tasks tell. It is raised before a
    /// task can tell, so that whoever has a child's value finds the child counted.
    finished: AtomicUsize,
    /// How many parallel children were ever started. It is written under the roster's lock.
    started: AtomicUsize,
    roster: ShortLock<Roster>,
    /// How many in-task children have ended, those included that never began. Only who has the
    /// scope's future to itself writes it.
    ended: AtomicUsize,
    /// Corrects the inbox's count of pushes to that of children. A finalizer subtracts one. A child
    /// that a `Spawner` sends as news adds one.
    pub(crate) uncounted: AtomicIsize,
    /// The enclosing scope or root, to which what outlives this scope is transferred. Each poll of
    /// the scope sets it.
    enclosing: ShortLock<EnclosingScope>,
    /// The deadlines in force in the scope, for its parallel children, and whether there are any.
    /// Each poll of the scope sets them.
    deadlines: ShortLock<Deadlines>,
    has_deadline: AtomicBool,
}

/// What encloses a scope.
#[derive(Default)]
struct EnclosingScope {
    scope: Option<Arc<Control>>,
    /// The innermost enclosing child.
    child: Option<Mark>,
    /// Whether this scope ends when they are cancelled. There may be a shield in between.
    ends_with_it: bool,
    /// The tokens with which this scope ends, up to the enclosing scope.
    tokens: Tokens,
    /// Why this scope was dropped before it had completed, if it was.
    dropped: Option<Cause>,
}

/// Whether a scope only waits for its children.
enum Joining {
    No,
    /// Not yet, and who wants to know has a token.
    Awaited,
    Begun,
}

/// What the scope needs of its parallel children, and they of it.
#[derive(Default)]
struct Roster {
    /// The children that have not been told to end. Some may have ended. Of those only the memory
    /// of their nodes is left.
    remotes: RemoteChain,
    /// The runtimes that they run on. They stay here as long as the scope has members, which borrow
    /// them.
    runtimes: Vec<Arc<WeakHandle>>,
}

impl Parts {
    #[inline]
    pub(crate) fn new() -> Self {
        Parts {
            bell: Bell::new(),
            news: Lane::new(Call::News),
            token: OnceLock::new(),
            join: AtomicU8::new(Joining::No as u8),
            joining: OnceLock::new(),
            members: Members::new(),
            finished: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            roster: ShortLock::new(Roster::default()),
            ended: AtomicUsize::new(0),
            uncounted: AtomicIsize::new(0),
            enclosing: ShortLock::new(EnclosingScope::default()),
            deadlines: ShortLock::new(Deadlines::none()),
            has_deadline: AtomicBool::new(false),
        }
    }
}

impl Control {
    /// Makes one without handles.
    #[cfg(test)]
    pub(crate) fn bare() -> Arc<Self> {
        Arc::clone(crate::task::hub::Typed::<Parts, Box<()>, ()>::new(Parts::new()).hub())
    }

    /// Returns the scope's token, and makes it if nobody has asked for it before.
    pub(crate) fn token(&self) -> &Token {
        self.token.get_or_init(Token::new)
    }

    #[inline]
    pub(crate) fn known_token(&self) -> Option<&Token> {
        self.token.get()
    }

    /// Returns a token that is cancelled when the scope's body has completed, or with the scope's
    /// token.
    pub(crate) fn until_joining(&self) -> Token {
        let token = self.joining.get_or_init(|| self.token().child());
        let (no, awaited) = (Joining::No as u8, Joining::Awaited as u8);
        // After the token is there: whoever begins to join sees either nobody or the token.
        let before = self.join.compare_exchange(no, awaited, Ordering::AcqRel, Ordering::Acquire);
        if before == Err(Joining::Begun as u8) {
            token.cancel("the body of the scope has completed");
        }
        token.clone()
    }

    /// Notes that the scope's body has completed.
    #[inline]
    pub(crate) fn begin_to_join(&self) {
        if self.join.swap(Joining::Begun as u8, Ordering::AcqRel) == Joining::Awaited as u8 {
            if let Some(token) = self.joining.get() {
                token.cancel("the body of the scope has completed");
            }
        }
    }

    /// Returns whether the scope is cancelled, and so is being wound down.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.get().is_some_and(Token::is_tripped)
    }

    pub(crate) fn cancel(&self, reason: &Arc<Reason>) {
        // The level first, because another thread may poll the scope as soon as the bell rings.
        self.token().raise(Level::Cancelled, reason);
        self.bell.ring();
    }

    /// Sends news to the scope, or to those that wait for what is left of it.
    ///
    /// # Errors
    ///
    /// Returns `news` if nobody listens any more.
    pub(crate) fn send(&self, news: News) -> Result<(), News> {
        self.news.push(news, &self.bell)
    }

    /// Returns the lane of the news. The bell's poller rouses itself before it takes from it.
    pub(crate) fn news(&self) -> &Lane<News, 0> {
        &self.news
    }

    /// Returns the reason for which the scope refuses children.
    pub(crate) fn refusal(&self) -> Arc<Reason> {
        let by_drop = self.enclosing.lock().dropped.as_ref().map(|cause| Arc::clone(&cause.reason));
        let first = by_drop.or_else(|| self.known_token().and_then(Token::shared_reason));
        first.unwrap_or_else(|| Arc::new(Reason::Parent))
    }

    /// Returns why the scope ends, if it is dropped, cancelled, or has a token with which it ends.
    /// If it is dropped, that cause is among those that were looked at then.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let enclosing = self.enclosing.lock();
        let (dropped, tokens) = (enclosing.dropped.clone(), enclosing.tokens.clone());
        drop(enclosing);
        if dropped.is_some() {
            return dropped;
        }
        let mut causes = Causes::default();
        causes.add(self.known_token().and_then(Token::tripped));
        add_causes(&tokens, &mut causes);
        causes.into_first()
    }

    /// Returns why the scope ends, or why what encloses it ends, if that was first.
    pub(crate) fn why_doomed(&self) -> Option<Cause> {
        let mut causes = Causes::default();
        self.add_causes(None, &mut causes);
        causes.into_first()
    }

    /// Returns why `child`, of this scope, is ended: because of its task, of the scope, or of what
    /// encloses the scope, whichever was first.
    pub(crate) fn why_ends(&self, child: &Header) -> Cause {
        let mut causes = Causes::default();
        causes.add(self.cause().or_else(|| self.why_doomed()));
        causes.add(child.cancelled_at().map(Cause::by_task));
        causes.into_first().unwrap_or_else(|| Cause::now(self.refusal()))
    }

    /// Sets why the scope is being dropped before it has completed. Nobody is woken by that.
    pub(crate) fn set_dropped(&self, cause: Cause) {
        self.enclosing.lock().dropped = Some(cause);
    }

    /// Lets go of the enclosing child and tokens, when the scope has ended.
    pub(crate) fn forget_child(&self) {
        let mut enclosing = self.enclosing.lock();
        let before = (enclosing.child.take(), enclosing.tokens.take());
        drop(enclosing);
        drop(before);
    }

    pub(crate) fn enclosing(&self) -> Option<Arc<Control>> {
        self.enclosing.lock().scope.clone()
    }

    /// Sets the enclosing scope and the innermost enclosing child, whether this scope ends when
    /// they are cancelled, and the tokens with which it ends.
    pub(crate) fn set_enclosing(
        &self,
        scope: Option<Arc<Control>>,
        child: Option<Mark>,
        ends_with_it: bool,
        tokens: Tokens,
    ) {
        let enclosing = EnclosingScope { scope, child, ends_with_it, tokens, dropped: None };
        let before = mem::replace(&mut *self.enclosing.lock(), enclosing);
        drop(before);
    }

    /// Sets the deadlines that are in force in the scope.
    pub(crate) fn set_deadlines(&self, deadlines: Deadlines) {
        self.has_deadline.store(!deadlines.is_none(), Ordering::Release);
        let before = mem::replace(&mut *self.deadlines.lock(), deadlines);
        drop(before);
    }

    /// Returns the deadlines that are in force in the scope, as far as they were when it was polled
    /// last.
    pub(crate) fn deadlines(&self) -> Deadlines {
        if self.has_deadline.load(Ordering::Acquire) { self.deadlines.lock().clone() } else { Deadlines::none() }
    }

    /// Adds the causes for which what is polled in `child` of this scope is cancelled: with the
    /// child, with this scope, or with an enclosing child, scope or token. `child` is the innermost
    /// one, and may enclose this scope.
    ///
    /// A scope's token is linked after a poll of the scope. What is polled before that finds here
    /// what encloses it cancelled, and not by the token.
    pub(crate) fn add_causes(&self, child: Option<Mark>, causes: &mut Causes) {
        let look = |child: Option<&Mark>| child.map(|child| (child.id(), child.cancelled_at()));
        let mut ask = |scope: &Control, child: Option<(usize, Option<Moment>)>| {
            let enclosing = scope.enclosing.lock();
            let outer_child = look(enclosing.child.as_ref());
            let outer = enclosing.scope.clone().filter(|_| enclosing.ends_with_it);
            drop(enclosing);
            // A child that encloses this scope as well counts with the scope whose child it is.
            // That one is not asked if a shield lies in between, and then the child does not count.
            if child.map(|(id, _)| id) != outer_child.map(|(id, _)| id) {
                causes.add(child.and_then(|(_, at)| at).map(Cause::by_task));
            }
            causes.add(scope.cause());
            (outer, outer_child)
        };
        let (mut next, mut child) = ask(self, look(child.as_ref()));
        while let Some(scope) = next {
            (next, child) = ask(&scope, child);
        }
    }

    /// Sends `news` to this scope, or to the nearest enclosing one that has not completed.
    ///
    /// # Errors
    ///
    /// Returns `news` if none is left.
    pub(crate) fn pass_up(self: &Arc<Self>, news: News) -> Result<(), News> {
        let mut news = news;
        let mut next = Some(Arc::clone(self));
        while let Some(control) = next {
            match control.send(news) {
                Ok(()) => return Ok(()),
                Err(refused) => news = refused,
            }
            next = control.enclosing();
        }
        Err(news)
    }

    /// Makes this scope finish `future`, or the nearest enclosing one that has not completed.
    ///
    /// # Errors
    ///
    /// Returns the future if none is left.
    pub(crate) fn adopt(self: &Arc<Self>, future: Adopted) -> Result<(), Adopted> {
        match self.pass_up(News::Adopt(future)) {
            Err(News::Adopt(refused)) => Err(refused),
            _ => Ok(()),
        }
    }

    /// Counts one in-task child that has ended.
    ///
    /// Only who has the scope's future to itself calls this, so the load and the store need not be
    /// one operation.
    #[inline]
    pub(crate) fn ended_one(&self) {
        self.ended.store(self.ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Returns how many in-task children have ended.
    #[inline]
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns how many parallel children have not ended. A caller that sees zero sees all that
    /// they did.
    #[inline]
    pub(crate) fn parallel(&self) -> usize {
        self.members.count()
    }

    /// Returns how many parallel children have not ended, as far as their tasks tell.
    pub(crate) fn parallel_unfinished(&self) -> usize {
        // `finished` is loaded first: a child that has finished is counted as started by then.
        let finished = self.finished.load(Ordering::Acquire);
        self.started.load(Ordering::Relaxed).wrapping_sub(finished)
    }

    /// Counts a parallel child as one that has ended, before its task can tell.
    pub(crate) fn finished_one(&self) {
        self.finished.fetch_add(1, Ordering::Release);
    }

    /// Refuses parallel children from here on. Those that are there go on.
    pub(crate) fn refuse_parallel(&self) {
        self.members.close();
    }

    /// Returns whether the scope refuses parallel children, because it has completed or is being
    /// dropped.
    pub(crate) fn refuses_parallel(&self) -> bool {
        self.members.is_closed()
    }

    /// Refuses parallel children from here on if there are none. Returns whether there are none,
    /// and will be none.
    pub(crate) fn close_parallel(&self) -> bool {
        self.members.close_if_empty()
    }

    /// Puts a new parallel child, which is counted as a member, on the roster.
    ///
    /// Calls `start` before the child can be found there. `start` gets the runtime of the child,
    /// which the roster keeps as long as the scope has members.
    pub(crate) fn enroll(
        &self,
        remote: Remote,
        runtime: Option<&Handle>,
        start: impl FnOnce(Option<&Arc<WeakHandle>>),
    ) {
        let mut roster = self.roster.lock();
        start(runtime.map(|runtime| roster.known(runtime)));
        let alive = self.parallel();
        if roster.remotes.len() > alive + alive / 2 + KEPT {
            // A third of them have ended, so that this costs a constant each.
            roster.remotes.tidy();
        }
        roster.remotes.push(remote);
        let started = self.started.load(Ordering::Relaxed);
        self.started.store(started.wrapping_add(1), Ordering::Relaxed);
    }

    /// Tells all parallel children to end.
    ///
    /// The scope is cancelled before this. So a child that is put on the roster later finds it
    /// cancelled, and ends, too.
    pub(crate) fn tell_parallel(&self, panics: &mut FirstPanic) {
        let mut remotes = mem::take(&mut self.roster.lock().remotes);
        while let Some(remote) = remotes.pop() {
            panics.run_result(catch(|| remote.tell()));
        }
    }
}

impl Crew for Control {
    fn members(&self) -> &Members {
        &self.members
    }

    fn left(&self) {
        let mut roster = self.roster.lock();
        let mut ended = RemoteChain::default();
        // A child that comes now is counted as a member first, and put on the roster after that. So
        // no such child is lost here.
        if self.parallel() == 0 {
            // One stays, because most scopes use one runtime only, and may come back to it.
            roster.runtimes.truncate(1);
            ended = mem::take(&mut roster.remotes);
        }
        drop(roster);
        drop(ended);
        self.bell.ring();
    }
}

impl Roster {
    /// Returns the roster's handle to `runtime`. A scope has few runtimes, so it looks at each.
    fn known(&mut self, runtime: &Handle) -> &Arc<WeakHandle> {
        let known = self.runtimes.iter().position(|known| known.is(runtime));
        let place = known.unwrap_or_else(|| {
            self.runtimes.push(Arc::new(runtime.downgrade()));
            self.runtimes.len() - 1
        });
        &self.runtimes[place]
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // This is a loop and not a recursion, because scopes may be nested by the hundred thousand.
        let mut next = self.enclosing.get_mut().scope.take();
        while let Some(enclosing) = next {
            next = Arc::into_inner(enclosing).and_then(|mut control| control.enclosing.get_mut().scope.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_that_the_scope_is_joining_whenever_it_is_asked_for() {
        let (before, after) = (Control::bare(), Control::bare());
        let token = before.until_joining();
        assert!(!token.is_cancelled());
        before.begin_to_join();
        after.begin_to_join();
        assert!(token.is_cancelled() && after.until_joining().is_cancelled());
        let cancelled = Control::bare();
        cancelled.cancel(&Arc::new(Reason::Dropped));
        assert!(cancelled.until_joining().is_cancelled());
    }
}
