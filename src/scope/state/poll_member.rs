//! Polls one member of a scope, once.

use std::future::Future;
use std::task::{Context, Poll};

use super::Body;
use crate::context::{Ambient, Swap, Watch};
use crate::panic::{Payload, catch};
use crate::scope::control::Control;
use crate::scope::kind::{ChildRunner, Kind, Member};
use crate::task::cell::{Ended, Run, Runner};
use crate::trace::tree;

/// What became of a member.
pub(super) enum Exit<'env, K: Kind> {
    Ended,
    Failed(ChildRunner<'env, K>, Option<Payload>),
    /// It ended, and its value, which nobody awaits, panicked when it was dropped.
    Panicked(Payload),
    /// It is to be dropped: it is cancelled, and needs no more time.
    Stopped(ChildRunner<'env, K>),
    /// The body has completed, or is to be dropped because the scope is cancelled.
    Body,
}

/// Polls members, one at a time.
pub(super) struct Visit<'a, 'b, T, E, B> {
    pub(super) control: &'a Control,
    /// Whether the scope is cancelled, so that a member is dropped once it is suspended and needs
    /// no more time.
    pub(super) winding_down: bool,
    pub(super) body: &'a mut Body<'b, B>,
    /// What the body has returned, or its panic, once it has completed.
    pub(super) result: Option<Result<Result<T, E>, Payload>>,
    pub(super) ambient: &'a Ambient,
}

impl<T, E, B> Visit<'_, '_, T, E, B>
where
    B: Future<Output = Result<T, E>>,
{
    /// Polls one member, and says that it is to be dropped where it is suspended, cancelled and
    /// needs no more time.
    #[inline]
    pub(super) fn poll<'env, K: Kind>(
        &mut self,
        member: &mut Member<'env, K>,
        cx: &mut Context<'_>,
    ) -> Poll<Exit<'env, K>> {
        let polled = if self.ambient.is_drawing() {
            // What is drawn is the state that the member is left in.
            tree::afresh((&raw const *member).addr(), || self.poll_inside(member, cx))
        } else {
            self.poll_inside(member, cx)
        };
        match polled {
            Poll::Pending if member.token.is_some() => suspended(member, self.control, self.winding_down, cx),
            polled => polled,
        }
    }

    /// Polls one member with its token in the context.
    fn poll_inside<'env, K: Kind>(
        &mut self,
        member: &mut Member<'env, K>,
        cx: &mut Context<'_>,
    ) -> Poll<Exit<'env, K>> {
        let ambient = self.ambient;
        if member.is_cancelled() && !member.is_held() {
            // Its task has cancelled it before it began. The task does not know the slot of a child
            // that has not been polled, so it could only mark it.
            return Poll::Ready(member.runner.take().map_or(Exit::Ended, Exit::Stopped));
        }
        let _token = Swap::new(&ambient.token, &mut member.token);
        let Some(runner) = &mut member.runner else {
            let Some(body) = self.body.as_mut().as_pin_mut() else { return Poll::Ready(Exit::Body) };
            self.result = match catch(|| body.poll(cx)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => Some(Ok(output)),
                Err(payload) => Some(Err(payload)),
            };
            return Poll::Ready(Exit::Body);
        };
        let outer = ambient.child.replace(runner.id());
        let polled = match ambient.watch.get() {
            Watch::No => poll_runner(runner, ambient, cx),
            watch => tree::child(watch, runner.name(), runner.header().age(), || poll_runner(runner, ambient, cx)),
        };
        ambient.child.set(outer);
        let failed = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ended::Value) => {
                let runner = member.runner.take();
                return Poll::Ready(catch(|| drop(runner)).map_or_else(Exit::Panicked, |()| Exit::Ended));
            }
            Poll::Ready(Ended::Failed) => None,
            Poll::Ready(Ended::Panicked(payload)) => Some(payload),
        };
        Poll::Ready(match member.runner.take() {
            Some(runner) => Exit::Failed(runner, failed),
            None => Exit::Ended,
        })
    }
}

/// Polls a child, or a finalizer in a region of its own.
#[inline]
fn poll_runner<R: ?Sized + Run>(runner: &mut Runner<R>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Ended> {
    if !runner.header().finalizer {
        return runner.poll(cx);
    }
    let mut no = false;
    let _member = Swap::new(&ambient.member, &mut no);
    ambient.without_deadline(|| runner.poll(cx))
}

/// A member that has a token was suspended: puts the token in its place, and sees whether it is
/// time to drop the member.
fn suspended<'env, K: Kind>(
    member: &mut Member<'env, K>,
    control: &Control,
    winding_down: bool,
    cx: &Context<'_>,
) -> Poll<Exit<'env, K>> {
    if member.is_finalizer() {
        return Poll::Pending;
    }
    let Some(token) = &member.token else { return Poll::Pending };
    token.attach(control.token());
    if !(winding_down || member.is_cancelled()) {
        return Poll::Pending;
    }
    if token.is_held() {
        // The last hold may be dropped elsewhere: on another thread, for instance, by a sibling
        // that the future inside was moved to.
        token.listen(cx.waker());
        if token.is_held() {
            return Poll::Pending;
        }
    }
    Poll::Ready(member.runner.take().map_or(Exit::Body, Exit::Stopped))
}
