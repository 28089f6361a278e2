//! Says why something was cancelled, as a value and as an error.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use crate::name::Name;

/// Tells why something was cancelled.
///
/// This is the first cause, and no later one replaces it. A `&'static str` or a `String` converts
/// into [`Requested`](Reason::Requested). The counterpart of asyncio's `cancel(msg)` and of anyio's
/// `cancel_reason`.
///
/// Variants may be added, so a `match` needs an arm for the rest:
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
    /// Code asked for it, and gave this text.
    Requested(Cow<'static, str>),
    /// A deadline passed.
    Deadline,
    /// The named child failed, with an error or a panic, and its scope cancelled the others.
    Failed(Name),
    /// The scope that it was spawned into had completed before.
    Parent,
    /// The runtime refused it, dropped it, or ended.
    Shutdown,
    /// Other code dropped the future of its scope.
    Dropped,
    /// It lost a [`race`](crate::race), or another combinator that needs some of its futures only:
    /// the others were ready first.
    Lost,
}

/// What the members of a combinator have done that cancels the rest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Siblings {
    /// They were ready, and no more are needed.
    Won,
    /// One has failed, so that there is no result.
    Failed,
}

impl Siblings {
    /// Returns the reason of what is cancelled.
    pub(crate) fn reason(self) -> &'static Arc<Reason> {
        static LOST: LazyLock<Arc<Reason>> = LazyLock::new(|| Arc::new(Reason::Lost));
        static FAILED: LazyLock<Arc<Reason>> = LazyLock::new(|| Arc::new(Reason::Failed(Name::from("a sibling"))));
        match self {
            Siblings::Won => &LOST,
            Siblings::Failed => &FAILED,
        }
    }
}

/// A cancellation's place in the order of all, which tells a first cause where two are noticed at
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u32);

/// The latest moment. The count starts anew when it is used up.
static LATEST: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static ASKED_HERE: Cell<u32> = const { Cell::new(0) };
}

/// Returns how many cancellations this thread has asked for. Another number than before says that
/// there was one in between.
#[inline]
pub(crate) fn asked_here() -> u32 {
    // `LocalKey::with` is a call, and `try_with` is inlined. It never fails: nothing is dropped.
    ASKED_HERE.try_with(Cell::get).unwrap_or_default()
}

impl Moment {
    /// Returns the moment of a new cancellation, which comes after all before it.
    ///
    /// Relaxed: where one cancellation happens before another, each sees the counter in that order.
    pub(crate) fn next() -> Self {
        ASKED_HERE.with(|asked| asked.set(asked.get().wrapping_add(1)));
        Moment(LATEST.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    /// Returns the moment after all cancellations so far, and not after the next one.
    pub(crate) fn now() -> Self {
        Moment(LATEST.load(Ordering::Relaxed).wrapping_add(1))
    }

    pub(crate) fn is_before(self, other: Moment) -> bool {
        // Two moments that are compared are fewer than 2³¹ cancellations apart.
        self.0.wrapping_sub(other.0) > u32::MAX / 2
    }

    /// Returns the moment as a number that is not 0, for a field that is 0 before.
    pub(crate) fn to_raw(self) -> u32 {
        self.0.max(1)
    }

    pub(crate) fn from_raw(raw: u32) -> Option<Self> {
        (raw != 0).then_some(Moment(raw))
    }
}

/// Why something ends, and when that came about. Of several causes, the first counts.
#[derive(Clone)]
pub(crate) struct Cause {
    pub(crate) at: Moment,
    pub(crate) reason: Arc<Reason>,
}

impl Cause {
    /// Makes the cause of what ends because of something that happens now.
    pub(crate) fn now(reason: Arc<Reason>) -> Self {
        Cause { at: Moment::now(), reason }
    }

    /// Makes the cause of a child that [`Task::cancel`](crate::Task::cancel) ends.
    pub(crate) fn by_task(at: Moment) -> Self {
        Cause { at, reason: Reason::by_task() }
    }
}

/// The first of several causes.
#[derive(Default)]
pub(crate) struct Causes {
    first: Option<Cause>,
}

impl Causes {
    pub(crate) fn add(&mut self, cause: Option<Cause>) {
        let Some(cause) = cause else { return };
        if self.first.as_ref().is_none_or(|first| cause.at.is_before(first.at)) {
            self.first = Some(cause);
        }
    }

    pub(crate) fn into_first(self) -> Option<Cause> {
        self.first
    }
}

impl Reason {
    /// Returns the reason of a child that [`Task::cancel`](crate::Task::cancel) ended.
    pub(crate) fn by_task() -> Arc<Reason> {
        Arc::new(Reason::Requested("its task was cancelled".into()))
    }
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
            Reason::Lost => f.write_str("others were ready first"),
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

/// Reports that something was cancelled before it had a value.
///
/// It is the error of [`ScopeFuture::outcome`](crate::scope::ScopeFuture::outcome) and
/// [`Token::run_until_cancelled`](crate::Token::run_until_cancelled). That of a task is
/// [`TaskError`](crate::TaskError).
///
/// The counterpart of asyncio's `CancelledError`. Unlike that, it goes to the caller alone: the
/// cancelled future never sees it, and so cannot swallow it by mistake.
#[derive(Clone, PartialEq, Eq)]
pub struct Cancelled {
    reason: Arc<Reason>,
}

impl Cancelled {
    pub(crate) fn new(reason: Arc<Reason>) -> Self {
        Cancelled { reason }
    }

    /// Returns why it was cancelled.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").field("reason", &self.reason).finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled: {}", self.reason)
    }
}

impl std::error::Error for Cancelled {}
