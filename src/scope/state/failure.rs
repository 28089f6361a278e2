//! Deals with failures: notes them, cancels the rest, and tells the tasks of what is dropped.

use std::sync::Arc;

use super::Machine;
use crate::cancel::reason::Reason;
use crate::context::{self, Ending};
use crate::name::Name;
use crate::panic::Payload;
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
        self.refuse(runner, Arc::new(Reason::Failed(name)));
    }

    /// Drops a child, and leaves `reason` to its task, which hears of it when this returns.
    pub(super) fn refuse<R>(&mut self, mut runner: Runner<R>, reason: Arc<Reason>)
    where
        R: Run<Reason = Arc<Reason>> + ?Sized,
    {
        // For the scopes inside.
        let _why = Ending::new(&reason);
        self.panics.run_result(context::outside(|| runner.refuse(Some(reason))));
    }

    /// Drops a child that its task, or else the scope, has cancelled.
    pub(super) fn refuse_cancelled(&mut self, runner: ChildRunner<'env, K>) {
        let reason = if runner.header().is_cancelled() { Reason::by_task() } else { self.control().refusal() };
        self.refuse(runner, reason);
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

/// Names the failure of a value that nobody awaited, and that panicked when it was dropped.
pub(super) fn by_drop() -> Name {
    Name::from("the destructor of a value")
}
