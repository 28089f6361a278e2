//! What a scope shares with what it has sent away: parallel children, adopted futures, handles to its tasks.
//!
//! It borrows nothing, so it may outlive the scope; it is also what the context carries as "the nearest scope".

use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_task::FutureObj;

use crate::lane::{Bell, Lane};
use crate::panic::{FirstPanic, Payload, catch};
use crate::runtime::{Handle, WeakHandle};
use crate::set::Key;
use crate::set::crew::{Crew, Members};
use crate::set::link::Remote;
use crate::set::node::{Runner, Shared};
use crate::token::{Level, Reason, Token};

/// A future that whoever adopts it must finish.
pub(crate) type Adopted = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// The runner's end of a child that another task runs.
pub(crate) type ParallelRunner = Runner<Shared<'static, Arc<Reason>>>;

/// What reaches a scope from outside its own poll.
pub(crate) enum News {
    /// A future to finish before the scope resolves.
    Adopt(Adopted),
    /// A child for the scope's own task, from a [`Spawner`](crate::scope::Spawner).
    Spawn(FutureObj<'static, ()>, &'static Location<'static>),
    /// The child in this slot may have been cancelled by its task: the mark is in its header.
    CancelChild(Key),
    /// Cancel what is left when this time is over.
    Stop(Arc<Reason>, Duration),
    /// A parallel child failed; its future is gone, and its task has not heard yet.
    Failed(ParallelRunner, Option<Payload>),
    /// What a parallel child left behind panicked when it was dropped.
    Panicked(Payload),
}

/// How many parallel children that have ended may be left on the roster, beside half as many as have not.
const KEPT: usize = 32;

/// See the [module](self).
pub(crate) struct Control {
    /// Calls the scope, or whoever waits for what is left of it.
    pub(crate) bell: Bell,
    news: Lane<News, 0>,
    /// Made when somebody asks for it.
    token: OnceLock<Token>,
    /// Parallel children that have not ended.
    members: Members,
    /// Parallel children that have ended as far as their tasks tell. Counted before a task can tell, so that whoever has
    /// read a value finds the child counted.
    finished: AtomicUsize,
    /// Parallel children that were ever started. Written under the roster's lock.
    started: AtomicUsize,
    roster: Mutex<Roster>,
    /// In-task children that have ended. Written by the scope's poll alone.
    pub(crate) ended: AtomicUsize,
    /// In-task children, beyond those that went through the scope's inbox; and, below zero, what did that is no child.
    pub(crate) uncounted: AtomicIsize,
    /// The enclosing scope, or root: where what outlives this scope goes. Set by the polls.
    around: Mutex<Option<Arc<Control>>>,
}

/// What parallel children need of their scope, and the scope of them.
#[derive(Default)]
struct Roster {
    /// Those that have not been told to end. Some of them may be over: what is left of those is the memory of their
    /// nodes.
    remotes: Vec<Remote>,
    /// The runtimes that they run on. One that is here stays as long as there are members.
    runtimes: Vec<Arc<WeakHandle>>,
}

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Control {
            bell: Bell::new(),
            news: Lane::new(),
            token: OnceLock::new(),
            members: Members::new(),
            finished: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            roster: Mutex::default(),
            ended: AtomicUsize::new(0),
            uncounted: AtomicIsize::new(0),
            around: Mutex::new(None),
        })
    }

    /// The scope's token, made now if nobody asked for it before.
    pub(crate) fn token(&self) -> &Token {
        self.token.get_or_init(Token::new)
    }

    pub(crate) fn known_token(&self) -> Option<&Token> {
        self.token.get()
    }

    /// Whether the scope is being wound down.
    #[inline]
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.get().is_some_and(Token::is_tripped)
    }

    pub(crate) fn cancel(&self, reason: &Arc<Reason>) {
        self.token().raise(Level::Cancelled, reason);
        self.bell.ring();
    }

    /// Tells the scope, or whoever waits for what is left of it.
    ///
    /// # Errors
    ///
    /// Gives `news` back when nobody listens any more.
    pub(crate) fn send(&self, news: News) -> Result<(), News> {
        self.news.push(news, &self.bell)
    }

    /// What was sent and not taken in. The bell's poller rouses itself before it calls this.
    pub(crate) fn news(&self) -> &Lane<News, 0> {
        &self.news
    }

    /// Why the scope takes no more children.
    pub(crate) fn refusal(&self) -> Arc<Reason> {
        self.token.get().and_then(Token::shared_reason).unwrap_or_else(|| Arc::new(Reason::Parent))
    }

    fn take_around(&mut self) -> Option<Arc<Control>> {
        self.around.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn around(&self) -> Option<Arc<Control>> {
        self.around.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_around(&self, around: Option<Arc<Control>>) {
        let before = mem::replace(&mut *self.around.lock().unwrap_or_else(PoisonError::into_inner), around);
        drop(before);
    }

    /// Gives `news` to this scope, or to the nearest enclosing one that has not completed.
    ///
    /// # Errors
    ///
    /// Gives it back where none is left.
    pub(crate) fn pass_up(self: &Arc<Self>, news: News) -> Result<(), News> {
        let mut news = news;
        let mut next = Some(Arc::clone(self));
        while let Some(control) = next {
            match control.send(news) {
                Ok(()) => return Ok(()),
                Err(refused) => news = refused,
            }
            next = control.around();
        }
        Err(news)
    }

    /// Takes `future` over, or gives it to the nearest enclosing scope that has not completed.
    ///
    /// # Errors
    ///
    /// Gives it back where none is left.
    pub(crate) fn adopt(self: &Arc<Self>, future: Adopted) -> Result<(), Adopted> {
        match self.pass_up(News::Adopt(future)) {
            Err(News::Adopt(refused)) => Err(refused),
            _ => Ok(()),
        }
    }

    /// Counts one in-task child that has ended. For the scope's poll alone, so load and store need not be one operation.
    #[inline]
    pub(crate) fn ended_one(&self) {
        self.ended.store(self.ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Parallel children that have not ended. Who sees zero sees all that they did.
    #[inline]
    pub(crate) fn parallel(&self) -> usize {
        self.members.count()
    }

    /// Parallel children that have not ended, as far as their tasks tell.
    pub(crate) fn parallel_unfinished(&self) -> usize {
        // In this order: no child has finished that has not started.
        let finished = self.finished.load(Ordering::Acquire);
        self.started.load(Ordering::Relaxed).wrapping_sub(finished)
    }

    /// Counts a parallel child as one that has ended, before its task can tell.
    pub(crate) fn finished_one(&self) {
        self.finished.fetch_add(1, Ordering::Release);
    }

    /// Takes no more parallel children. Those that there are go on.
    pub(crate) fn refuse_parallel(&self) {
        self.members.close();
    }

    /// Whether it takes no more parallel children, since the scope is over or is being dropped.
    pub(crate) fn refuses_parallel(&self) -> bool {
        self.members.is_closed()
    }

    /// Takes no more parallel children, unless there are some. Returns whether there are none, and will be none.
    pub(crate) fn close_parallel(&self) -> bool {
        self.members.close_if_empty()
    }

    /// Puts a new parallel child, which is counted, on the roster. Before it can be found there, `start` is given the
    /// runtime that it is for: what the roster keeps as long as there are parallel children.
    pub(crate) fn enroll(
        &self,
        remote: Remote,
        runtime: Option<&Handle>,
        start: impl FnOnce(Option<&Arc<WeakHandle>>),
    ) {
        let mut roster = self.roster();
        start(runtime.map(|runtime| roster.known(runtime)));
        let alive = self.parallel();
        if roster.remotes.len() > alive + alive / 2 + KEPT {
            // A third of them are over, so that this costs a constant each.
            roster.remotes.retain(|remote| !remote.is_over());
        }
        roster.remotes.push(remote);
        let started = self.started.load(Ordering::Relaxed);
        self.started.store(started.wrapping_add(1), Ordering::Relaxed);
    }

    /// Tells all parallel children to end. The scope has been cancelled before this. One that is put on the roster
    /// later finds the scope cancelled.
    pub(crate) fn tell_parallel(&self, panics: &mut FirstPanic) {
        let remotes = mem::take(&mut self.roster().remotes);
        for remote in remotes.iter().rev() {
            panics.run_result(catch(|| remote.tell()));
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crew for Control {
    fn members(&self) -> &Members {
        &self.members
    }

    fn left(&self) {
        let mut roster = self.roster();
        let mut over = Vec::new();
        // Whoever has come since is counted before it is put on the roster.
        if self.parallel() == 0 {
            roster.runtimes.truncate(1);
            over = mem::take(&mut roster.remotes);
        }
        drop(roster);
        drop(over);
        self.bell.ring();
    }
}

impl Roster {
    /// The runtime as it is on the roster. A scope has few of them.
    fn known(&mut self, runtime: &Handle) -> &Arc<WeakHandle> {
        let known = self.runtimes.iter().position(|known| known.is(runtime));
        let place = known.unwrap_or_else(|| {
            self.runtimes.push(Arc::new(runtime.downgrade()));
            self.runtimes.len() - 1
        });
        &self.runtimes[place]
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // A loop and not a recursion: scopes may be nested by the hundred thousand.
        let mut next = self.take_around();
        while let Some(around) = next {
            next = Arc::into_inner(around).and_then(|mut control| control.take_around());
        }
    }
}
