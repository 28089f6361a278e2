//! Deals with failures: notes them, cancels the rest, and tells the tasks of what is dropped.

use std::sync::Arc;

use super::Machine;
use crate::cancel::reason::{Cause, Reason};
use crate::context::{self, Ending};
use crate::name::Name;
use crate::panic::{FirstPanic, Payload};
use crate::scope::kind::{ChildRunner, Kind};
use crate::scope::options::Notice;
use crate::task::cell::{Run, Runner};

impl<'env, T, E, K: Kind> Machine<'env, T, E, K> {
    /// Notes the failure of a child, and tells its task.
    pub(super) fn fail_child<R>(&mut self, runner: Runner<R>, payload: Option<Payload>)
    where
        R: Run<Reason = Arc<Reason>> + ?Sized,
    {
        let name = runner.name();
        self.fail(&name, payload);
        self.refuse(runner, Cause::now(Arc::new(Reason::Failed(name))));
    }

    /// Drops a child that its task or the scope has cancelled.
    pub(super) fn refuse_cancelled(&mut self, runner: ChildRunner<'env, K>) {
        let cause = self.control().why_ends(runner.header());
        self.refuse(runner, cause);
    }

    /// Drops a child, or a finalizer, that has not become a member.
    pub(super) fn refuse_before_it_begins(&mut self, runner: ChildRunner<'env, K>) {
        // Its push was counted as that of a child, so its end is, too.
        if !runner.header().finalizer {
            self.control().ended_one();
        }
        self.refuse_cancelled(runner);
    }

    /// Drops a child, and leaves the reason to its task, which hears of it when this returns.
    fn refuse<R>(&mut self, mut runner: Runner<R>, cause: Cause)
    where
        R: Run<Reason = Arc<Reason>> + ?Sized,
    {
        let reason = Arc::clone(&cause.reason);
        // Scopes inside that are dropped with it give this reason to their tasks.
        let _why = Ending::new(cause);
        let mut panics = FirstPanic::default();
        panics.run_result(context::outside(|| runner.refuse(Some(reason))));
        let name = panics.is_some().then(|| runner.name());
        // The waker of the task may panic, too.
        panics.run(|| drop(runner));
        if let Some(payload) = panics.into_payload() {
            self.fail_by_drop(&name.unwrap_or_else(by_drop), payload);
        }
    }

    /// Notes a failure, and cancels the rest unless the scope keeps going.
    pub(super) fn fail(&mut self, name: &Name, payload: Option<Payload>) {
        let panicked = payload.is_some();
        if let Some(payload) = payload {
            self.panics.add(payload);
        }
        if panicked || !self.policy.keep_going {
            self.control().cancel(&Arc::new(Reason::Failed(name.clone())));
        }
    }

    /// Notes a panic of a destructor, or of something that was dropped, which cancels the rest as
    /// any panic does.
    pub(super) fn fail_by_drop(&mut self, name: &Name, payload: Payload) {
        if self.is_running() {
            self.fail(name, Some(payload));
        } else {
            // There is nobody to cancel any more, and the end of a dropped scope wakes nobody.
            self.panics.add(payload);
        }
    }

    /// Reports to the observer errors that the scope will not return.
    ///
    /// A panic of the observer does not keep it from being told of the others.
    pub(super) fn report(&mut self, errors: impl IntoIterator<Item = (Name, E)>) {
        for (task, error) in errors {
            match &mut self.policy.observer {
                Some(observer) => self.panics.run(|| observer(Notice::LateError { task, error })),
                None => self.panics.run(|| drop(error)),
            }
        }
    }
}

/// Names a panic of something that was dropped, where nothing better is known.
pub(super) fn by_drop() -> Name {
    Name::from("a destructor")
}
