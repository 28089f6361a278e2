//! Implements the verbs once, for all handles.

use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::adapters::Fallible;
use super::any::Label;
use super::kind::{AnyThread, ChildRunner, Kind, OneThread};
use super::remote_child;
use super::spawner::Spawner;
use super::state::{Core, Machine};
use super::task::Task;
use crate::cancel::reason::Reason;
use crate::cancel::token::{Level, Token};
use crate::context;
use crate::context::inherited::Inheriting;
use crate::name::Name;
use crate::panic::catch;
use crate::runtime::Handle;
use crate::scope::control::{Control, News, Parts};
use crate::task::cell::{Failed, Reader, Runner};

/// What all handles are made of: a typed reference to what the scope shares, and options for what
/// is spawned.
pub(crate) struct Inner<'env, E, K: Kind, N = ()> {
    pub(super) core: Core<'env, E, K>,
    /// The name of what this handle spawns.
    label: N,
    /// The runtime for what does not run on the scope's task. `None` stands for the context's.
    runtime: Option<Handle>,
}

impl<E, K: Kind, N: Clone> Clone for Inner<'_, E, K, N> {
    fn clone(&self) -> Self {
        Inner { core: self.core.clone(), label: self.label.clone(), runtime: self.runtime.clone() }
    }
}

/// Starts children on the scope's own task.
///
/// The body is the same for both kinds. They differ in the bounds, and in how a child's type is
/// forgotten.
macro_rules! on_its_task {
    ($Kind:ty, $forget:ident $(, $Send:ident $Sync:ident)?) => {
        impl<'env, E, N: Label> Inner<'env, E, $Kind, N> {
            pub(super) fn launch<F, T>(&self, future: F, at: &'static Location<'static>) -> Task<T>
            where
                F: Future<Output = Result<T, Failed>> $(+ $Send)? + 'env,
                T: $($Send +)? 'env,
            {
                match context::with(|ambient| ambient.values()) {
                    None => {
                        let (runner, reader) = Runner::new(future, at, self.label.clone());
                        self.add(runner.$forget(), reader)
                    }
                    Some(values) => {
                        let future = Inheriting::new(Some(values), future);
                        let (runner, reader) = Runner::new(future, at, self.label.clone());
                        self.add(runner.$forget(), reader)
                    }
                }
            }

            /// Starts a child on this handle's runtime, or the context's, or on this task if there
            /// is none.
            pub(super) fn launch_parallel<F, T>(&self, future: F, at: &'static Location<'static>) -> Task<T>
            where
                F: Future<Output = Result<T, Failed>> + Send + 'static,
                T: Send + 'static,
            {
                match self.elsewhere() {
                    Some(runtime) => self.launch_on(future, &runtime, at),
                    None => self.launch(future, at),
                }
            }

            pub(super) fn defer<F>(&self, finalizer: F, at: &'static Location<'static>)
            where
                F: Future<Output = Result<(), Failed>> $(+ $Send)? + 'env,
            {
                let label = self.label.clone();
                self.finalize(match context::with(|ambient| ambient.values()) {
                    None => Runner::<_>::finalizer(finalizer, at, label).$forget(),
                    Some(values) => {
                        Runner::<_>::finalizer(Inheriting::new(Some(values), finalizer), at, label).$forget()
                    }
                });
            }
        }
    };
}

on_its_task!(AnyThread, shared, Send Sync);
on_its_task!(OneThread, local);

impl<'env, E, K: Kind> Inner<'env, E, K> {
    /// Makes what a scope shares, and calls the closure that makes the body of it. If that panics,
    /// what it has spawned is dropped.
    #[inline]
    pub(super) fn make_body<B>(at: &'static Location<'static>, make: impl FnOnce(Self) -> B) -> (Core<'env, E, K>, B) {
        let core = Core::<'env, E, K>::new(Parts::new());
        let inner = Inner { core: core.clone(), label: (), runtime: None };
        match catch(|| make(inner)) {
            Ok(body) => (core, body),
            Err(payload) => {
                Machine::<(), E, K>::new(core, Name::from(at)).abandon(&mut pin!(None::<B>));
                resume_unwind(payload)
            }
        }
    }
}

impl<'env, E, K: Kind, N: Label> Inner<'env, E, K, N> {
    pub(super) fn named(&self, name: Name) -> Inner<'env, E, K, Name> {
        Inner { core: self.core.clone(), label: name, runtime: self.runtime.clone() }
    }

    pub(super) fn on(&self, runtime: &Handle) -> Self {
        Inner { core: self.core.clone(), label: self.label.clone(), runtime: Some(runtime.clone()) }
    }

    #[inline]
    fn control(&self) -> &Arc<Control> {
        self.core.hub()
    }

    fn elsewhere(&self) -> Option<Handle> {
        self.runtime.clone().or_else(|| context::with(|ambient| ambient.runtime()))
    }

    /// Makes the future's error the scope's.
    pub(super) fn fallible<F>(&self, future: F, at: &'static Location<'static>) -> Fallible<F, E> {
        let name = Name::given_or_at(self.label.name(), at);
        Fallible::new(future, name, self.core.errors())
    }

    pub(super) fn launch_on<F, T>(&self, future: F, runtime: &Handle, at: &'static Location<'static>) -> Task<T>
    where
        F: Future<Output = Result<T, Failed>> + Send + 'static,
        T: Send + 'static,
    {
        remote_child::spawn(self.control(), runtime, self.label.name().cloned(), at, future)
    }

    pub(super) fn launch_blocking<F, T>(&self, job: F, at: &'static Location<'static>) -> Task<T>
    where
        F: Future<Output = Result<T, Failed>> + Send + 'static,
        T: Send + 'static,
    {
        remote_child::spawn_blocking(self.control(), self.elsewhere(), self.label.name().cloned(), at, job)
    }

    pub(super) fn cancel(&self, reason: Reason) {
        self.control().cancel(&Arc::new(reason));
    }

    pub(super) fn stop(&self, reason: Reason, grace: Duration) {
        let reason = Arc::new(reason);
        self.control().token().raise(Level::Asked, &reason);
        drop(self.control().send(News::Stop(reason, grace)));
    }

    pub(super) fn token(&self) -> Token {
        let known = self.control().known_token().is_some();
        let token = self.control().token().clone();
        if !known {
            // The scope's next poll links the new token below that of the enclosing region.
            self.control().bell.ring();
        }
        token
    }

    pub(super) fn len(&self) -> usize {
        let control = self.control();
        let started = self.core.pushed().saturating_add_signed(control.uncounted.load(Ordering::Relaxed));
        started.saturating_sub(control.ended()) + control.parallel_unfinished()
    }

    fn add<T>(&self, mut runner: ChildRunner<'env, K>, reader: Reader<T, Arc<Reason>>) -> Task<T> {
        let control = self.control();
        let task = Task::new(reader, Some(Arc::clone(control)));
        let refused = if control.is_cancelled() { Err(runner) } else { self.core.push(runner, &control.bell) };
        if let Err(refused) = refused {
            runner = refused;
            // The scope does not have this child, so whoever has called this hears of its panic.
            if let Err(payload) = runner.refuse(Some(control.refusal())) {
                resume_unwind(payload);
            }
        }
        task
    }

    fn finalize(&self, runner: ChildRunner<'env, K>) {
        if self.core.push(runner, &self.control().bell).is_ok() {
            self.control().uncounted.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn spawner(&self, at: &'static Location<'static>) -> Spawner {
        Spawner::new(Arc::clone(self.control()), self.elsewhere().as_ref(), at)
    }
}
