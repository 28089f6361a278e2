//! Whether a scope's children may move between threads.
//!
//! One implementation serves both kinds: what differs is the type in which a child's own type is forgotten, and the
//! compiler derives from it whether the scope is `Send`.

use std::panic::Location;
use std::sync::Arc;

use futures_task::FutureObj;

use super::child::Plain;
use crate::set::node::{Local, Run, Runner, Shared};
use crate::token::{Listener, Reason, Token};

/// The kind of a [`Scope`](crate::Scope): [`AnyThread`] or [`OneThread`].
#[allow(private_bounds)]
pub trait Kind: Sealed {}

/// Children are `Send`, and so is the scope.
#[derive(Debug, Clone, Copy)]
pub struct AnyThread;

/// Children need not be `Send`; the scope stays on its thread. See [`local`](crate::local).
#[derive(Debug, Clone, Copy)]
pub struct OneThread;

impl Kind for AnyThread {}
impl Kind for OneThread {}

pub(crate) trait Sealed: 'static {
    type Node<'env>: ?Sized + Run<Reason = Arc<Reason>> + 'env;

    /// Makes a child that anybody could run one of this kind.
    fn child<'env>(future: FutureObj<'static, ()>, at: &'static Location<'static>) -> Runner<Self::Node<'env>>;
}

impl Sealed for AnyThread {
    type Node<'env> = Shared<'env, Arc<Reason>>;

    fn child<'env>(future: FutureObj<'static, ()>, at: &'static Location<'static>) -> Runner<Self::Node<'env>> {
        Runner::new(Plain::new(future), at, ()).0.shared()
    }
}

impl Sealed for OneThread {
    type Node<'env> = Local<'env, Arc<Reason>>;

    fn child<'env>(future: FutureObj<'static, ()>, at: &'static Location<'static>) -> Runner<Self::Node<'env>> {
        Runner::new(Plain::new(future), at, ()).0.local()
    }
}

/// The end of a child that its scope has.
pub(crate) type ChildRunner<'env, K> = Runner<<K as Sealed>::Node<'env>>;

/// What a scope's set holds: the body, a child, or the finalizer whose turn it is.
pub(crate) struct Member<'env, K: Kind> {
    /// `None` stands for the body, which lies in the scope's future.
    pub(super) runner: Option<ChildRunner<'env, K>>,
    /// The token of the member's region; out in the context while the member is polled.
    pub(super) token: Option<Token>,
    /// There while the member is being wound down and has holds.
    pub(super) listener: Option<Box<Listener>>,
}

impl<'env, K: Kind> Member<'env, K> {
    pub(super) fn body() -> Self {
        Member { runner: None, token: None, listener: None }
    }

    pub(super) fn new(runner: ChildRunner<'env, K>) -> Self {
        Member { runner: Some(runner), token: None, listener: None }
    }

    pub(super) fn is_finalizer(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.header().finalizer)
    }

    /// Whether its task has cancelled it.
    pub(super) fn is_cancelled(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.header().is_cancelled())
    }

    /// Whether it needs time to end.
    pub(super) fn is_held(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_held)
    }

    pub(super) fn age(&self) -> u32 {
        self.runner.as_ref().map_or(0, |runner| runner.header().age())
    }
}
