//! Polls one member of a scope, once.

use std::future::Future;
use std::task::{Context, Poll};

use super::Body;
use crate::context::ends::EndsWith;
use crate::context::{Ambient, Replaced, Swap, Watch};
use crate::panic::{Payload, catch};
use crate::scope::control::Control;
use crate::scope::kind::{ChildRunner, Kind, Member};
use crate::task::cell::{Ended, Run, Runner};
use crate::trace::tree;

/// How a member ended that leaves something to do.
pub(super) enum Exit<'env, K: Kind, T, E> {
    Failed(ChildRunner<'env, K>, Option<Payload>),
    /// Its value panicked when it was dropped, which nobody awaited, or the waker of whoever did.
    Panicked(Payload),
    /// It is to be dropped: it is cancelled, and needs no more time.
    Stopped(ChildRunner<'env, K>),
    /// The body has completed, with this result or panic. Without one it is to be dropped because
    /// the scope is cancelled.
    Body(Option<Result<Result<T, E>, Payload>>),
}

/// Polls members, one at a time.
pub(super) struct Visit<'a, 'b, 'env, K: Kind, T, E, B> {
    pub(super) control: &'a Control,
    /// Whether the scope is cancelled, so that a member is dropped once it is suspended and needs
    /// no more time.
    pub(super) winding_down: bool,
    pub(super) body: &'a mut Body<'b, B>,
    /// How the member that was polled last has ended, if that leaves something to do.
    pub(super) exit: Option<Exit<'env, K, T, E>>,
    pub(super) ambient: &'a Ambient,
}

impl<'env, K: Kind, T, E, B> Visit<'_, '_, 'env, K, T, E, B>
where
    B: Future<Output = Result<T, E>>,
{
    /// Polls one member. Ready means that it has ended, or that it is to be dropped where it is
    /// suspended, cancelled and needs no more time.
    #[inline]
    pub(super) fn poll(&mut self, member: &mut Member<'env, K>, cx: &mut Context<'_>) -> Poll<()> {
        let polled = if self.ambient.is_drawing() {
            // What is drawn is the state that the member is left in.
            let name = |runner: &ChildRunner<'_, K>| tree::quoted("", runner.name());
            let name = member.runner.as_ref().map_or_else(|| String::from("the body of a scope"), name);
            tree::afresh((&raw const *member).addr(), name, || self.poll_inside(member, cx))
        } else {
            self.poll_inside(member, cx)
        };
        if polled.is_pending() && member.token.is_some() {
            return self.suspended(member, cx);
        }
        polled
    }

    /// Polls one member with its token in the context.
    fn poll_inside(&mut self, member: &mut Member<'env, K>, cx: &mut Context<'_>) -> Poll<()> {
        let ambient = self.ambient;
        if member.is_cancelled() {
            // By its task. The news of that is still to come, or there is none, because the task
            // did not know the place of a child that had not been taken in.
            if !member.is_held() {
                return self.ended(take_out(&mut member.runner, self.control).map(Exit::Stopped));
            }
            member.trip();
        }
        let _token = Swap::new(&ambient.token, &mut member.token);
        let Some(runner) = &mut member.runner else {
            let Some(body) = self.body.as_mut().as_pin_mut() else { return self.ended(Some(Exit::Body(None))) };
            let result = match catch(|| body.poll(cx)) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(output)) => Ok(output),
                Err(payload) => Err(payload),
            };
            return self.ended(Some(Exit::Body(Some(result))));
        };
        let polled = match ambient.watch.get() {
            Watch::No => poll_runner(runner, ambient, cx),
            watch => tree::child(watch, runner.name(), runner.header().age(), || poll_runner(runner, ambient, cx)),
        };
        let failed = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ended::Value) => {
                let runner = take_out(&mut member.runner, self.control);
                // The drop hands the value to the task and wakes it, or drops a value that nobody
                // awaits. Both run code of the user.
                return self.ended(catch(|| drop(runner)).err().map(Exit::Panicked));
            }
            Poll::Ready(Ended::Failed) => None,
            Poll::Ready(Ended::Panicked(payload)) => Some(payload),
        };
        self.ended(take_out(&mut member.runner, self.control).map(|runner| Exit::Failed(runner, failed)))
    }

    /// A member that has a token was suspended: puts the token in its place, and sees whether it is
    /// time to drop the member.
    fn suspended(&mut self, member: &mut Member<'env, K>, cx: &Context<'_>) -> Poll<()> {
        if member.is_finalizer() {
            // Its token is linked to nothing, and so its region is a fresh one.
            return Poll::Pending;
        }
        let Some(token) = &member.token else { return Poll::Pending };
        token.attach(self.control.token());
        if !(self.winding_down || member.is_cancelled()) {
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
        self.ended(Some(take_out(&mut member.runner, self.control).map_or(Exit::Body(None), Exit::Stopped)))
    }

    #[inline]
    fn ended(&mut self, exit: Option<Exit<'env, K, T, E>>) -> Poll<()> {
        self.exit = exit;
        Poll::Ready(())
    }
}

/// Takes a child or a finalizer out of its member, and counts the end of a child. Whoever hears of
/// the end by the task finds the child counted.
#[inline]
pub(super) fn take_out<R: ?Sized + Run>(runner: &mut Option<Runner<R>>, control: &Control) -> Option<Runner<R>> {
    let runner = runner.take()?;
    if !runner.header().finalizer {
        control.ended_one();
    }
    Some(runner)
}

/// Polls a child, or a finalizer in a region of its own.
#[inline]
fn poll_runner<R: ?Sized + Run>(runner: &mut Runner<R>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Ended> {
    if !runner.header().finalizer {
        return runner.poll(&ambient.child, cx);
    }
    let _ends_with = Replaced::new(&ambient.ends_with, EndsWith::NOTHING);
    ambient.without_deadline(|| runner.poll(&ambient.child, cx))
}
