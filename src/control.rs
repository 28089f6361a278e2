//! What a scope shares with what it has sent away: parallel children, adopted futures, handles to its tasks.
//!
//! It borrows nothing, so it may outlive the scope; it is also what the context carries as "the nearest scope".

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_task::FutureObj;

use crate::lane::{Bell, Lane};
use crate::panic::Payload;
use crate::set::Key;
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
    /// A child for the scope's own task, from a [`Spawner`](crate::Spawner).
    Spawn(FutureObj<'static, ()>, &'static Location<'static>),
    /// The child in this slot may have been cancelled by its task: the mark is in its header. Without a slot, it was
    /// cancelled about when it arrived, and may be any.
    CancelChild(Option<Key>),
    /// Cancel what is left when this time is over.
    Stop(Arc<Reason>, Duration),
    /// A parallel child failed; its future is gone, and its task has not heard yet.
    Failed(ParallelRunner, Option<Payload>),
    /// What a parallel child left behind panicked when it was dropped.
    Panicked(Payload),
}

/// See the [module](self).
pub(crate) struct Control {
    /// Calls the scope, or whoever waits for what is left of it.
    pub(crate) bell: Bell,
    news: Lane<News>,
    /// Made when somebody asks for it.
    token: OnceLock<Token>,
    /// Parallel children that have not ended; or `CLOSED`, and then there will be no more.
    parallel: AtomicUsize,
    /// In-task children that have ended. Written by the scope's poll alone.
    pub(crate) ended: AtomicUsize,
    /// In-task children, beyond those that went through the scope's inbox; and, below zero, what did that is no child.
    pub(crate) uncounted: AtomicIsize,
    /// The scope, or root, around: where what outlives this scope goes. Set by the first poll.
    pub(crate) around: OnceLock<Arc<Control>>,
}

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Control {
            bell: Bell::new(),
            news: Lane::new(),
            token: OnceLock::new(),
            parallel: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            uncounted: AtomicIsize::new(0),
            around: OnceLock::new(),
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
    pub(crate) fn news(&self) -> &Lane<News> {
        &self.news
    }

    /// Why the scope takes no more children.
    pub(crate) fn refusal(&self) -> Arc<Reason> {
        self.token.get().and_then(Token::shared_reason).unwrap_or_else(|| Arc::new(Reason::Parent))
    }

    /// Takes `future` over, or hands it to the nearest scope around that is not over.
    ///
    /// # Errors
    ///
    /// Gives it back where none is left.
    pub(crate) fn adopt(self: &Arc<Self>, future: Adopted) -> Result<(), Adopted> {
        let mut future = future;
        let mut next = Some(self);
        while let Some(control) = next {
            match control.send(News::Adopt(future)) {
                Ok(()) => return Ok(()),
                Err(News::Adopt(refused)) => future = refused,
                Err(_) => return Ok(()),
            }
            next = control.around.get();
        }
        Err(future)
    }

    /// Counts one in-task child that has ended. For the scope's poll alone, so load and store need not be one operation.
    #[inline]
    pub(crate) fn ended_one(&self) {
        self.ended.store(self.ended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Parallel children that have not ended.
    pub(crate) fn parallel(&self) -> usize {
        let count = self.parallel.load(Ordering::Acquire);
        // What is refused is counted for a moment.
        if count & CLOSED == 0 { count } else { 0 }
    }

    /// Counts one more parallel child. False if the scope is over.
    pub(crate) fn parallel_started(&self) -> bool {
        let open = self.parallel.fetch_add(1, Ordering::Relaxed) & CLOSED == 0;
        if !open {
            self.parallel.fetch_sub(1, Ordering::Relaxed);
        }
        open
    }

    /// To be called after everything else that a parallel child does, so that the scope which sees zero sees all of it.
    pub(crate) fn parallel_ended(&self) {
        if self.parallel.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.bell.ring();
        }
    }

    /// Takes no more parallel children. False if there are some.
    pub(crate) fn close_parallel(&self) -> bool {
        let closed = self.parallel.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire);
        closed.map_or_else(|count| count & CLOSED != 0, |_| true)
    }
}

const CLOSED: usize = 1 << (usize::BITS - 1);
