//! Says why something was cancelled, as a value and as an error.

use std::borrow::Cow;
use std::fmt;
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
}

impl Reason {
    /// Returns the reason of what a combinator cancels because another one has won or failed.
    pub(crate) fn of_sibling() -> &'static Arc<Reason> {
        static REASON: LazyLock<Arc<Reason>> = LazyLock::new(|| Arc::new(Reason::Failed(Name::from("a sibling"))));
        &REASON
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
/// [`Token::run_until_cancelled`](crate::Token::run_until_cancelled). That of a task is [`TaskError`](crate::TaskError).
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
