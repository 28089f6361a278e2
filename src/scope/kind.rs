//! Defines the two kinds of scopes, whose children may or may not move between threads.
//!
//! One implementation serves both. They differ in the type that stands for all children, and from
//! that the compiler derives whether the scope is `Send`.

use std::panic::Location;
use std::sync::Arc;

use futures_task::FutureObj;

use super::adapters::Plain;
use crate::cancel::reason::Reason;
use crate::cancel::token::{Level, Token};
use crate::task::cell::{LocalNode, Run, Runner, SharedNode};

/// Tells whether a scope's children are `Send`: [`AnyThread`] or [`OneThread`].
#[allow(private_bounds)]
pub trait Kind: Sealed {}

/// Marks a scope whose children are `Send`, and which is `Send` itself.
#[derive(Debug, Clone, Copy)]
pub struct AnyThread;

/// Marks a scope whose children need not be `Send`, and which stays on its thread. See
/// [`local`](crate::local).
#[derive(Debug, Clone, Copy)]
pub struct OneThread;

impl Kind for AnyThread {}
impl Kind for OneThread {}

pub(crate) trait Sealed: 'static {
    type Node<'env>: ?Sized + Run<Reason = Arc<Reason>> + 'env;

    /// Makes a child of this kind of a future that a [`Spawner`](super::Spawner) was given.
    fn child<'env>(future: FutureObj<'static, ()>, at: &'static Location<'static>) -> Runner<Self::Node<'env>>;
}

impl Sealed for AnyThread {
    type Node<'env> = SharedNode<'env, Arc<Reason>>;

    fn child<'env>(future: FutureObj<'static, ()>, at: &'static Location<'static>) -> Runner<Self::Node<'env>> {
        Runner::new(Plain::new(future), at, ()).0.shared()
    }
}

impl Sealed for OneThread {
    type Node<'env> = LocalNode<'env, Arc<Reason>>;

    fn child<'env>(future: FutureObj<'static, ()>, at: &'static Location<'static>) -> Runner<Self::Node<'env>> {
        Runner::new(Plain::new(future), at, ()).0.local()
    }
}

/// The runner of a child, whose own type is forgotten.
pub(crate) type ChildRunner<'env, K> = Runner<<K as Sealed>::Node<'env>>;

/// A member of a scope's set: the body, a child, or the finalizer that is running.
pub(crate) struct Member<'env, K: Kind> {
    /// `None` for the body, which lies in the scope's future.
    pub(super) runner: Option<ChildRunner<'env, K>>,
    /// The token of the member's region, once something inside has asked for one. The context holds
    /// it while the member is polled.
    ///
    /// It wakes the member when its last hold ends, once the member is wound down.
    pub(super) token: Option<Token>,
}

impl<'env, K: Kind> Member<'env, K> {
    pub(super) fn body() -> Self {
        Member { runner: None, token: None }
    }

    pub(super) fn new(runner: ChildRunner<'env, K>) -> Self {
        Member { runner: Some(runner), token: None }
    }

    pub(super) fn is_finalizer(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.header().finalizer)
    }

    /// Returns whether [`Task::cancel`](super::Task::cancel) was called for it.
    pub(super) fn is_cancelled(&self) -> bool {
        self.runner.as_ref().is_some_and(|runner| runner.header().is_cancelled())
    }

    /// Winds down the region of a child that its task has cancelled.
    pub(super) fn trip(&self) {
        if let Some(token) = &self.token {
            token.raise(Level::Cancelled, &Reason::by_task());
        }
    }

    /// Returns whether something in it needs time to end.
    pub(super) fn is_held(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_held)
    }

    /// Returns the child's number in the order of arrival. The body has 0.
    pub(super) fn age(&self) -> u32 {
        self.runner.as_ref().map_or(0, |runner| runner.header().age())
    }
}

impl<K: Kind> Drop for Member<'_, K> {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.forget_poller();
        }
    }
}
