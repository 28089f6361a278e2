//! Spawning with a name.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::Scope;
use super::child::{Fallible, Label, Plain};
use super::kind::{AnyThread, Kind};
use super::parallel;
use super::task::Task;
use crate::name::Name;
use crate::runtime::Handle;

/// Spawns one child with a name; from [`Scope::named`].
///
/// ```
/// # futures::executor::block_on(async {
/// foster::scope(|s| async move {
///     let task = s.named("fetch").spawn(async {});
///     assert_eq!(task.name(), "fetch");
/// }).await;
/// # });
/// ```
#[must_use = "nothing is spawned yet"]
pub struct Named<'s, 'env, E, K: Kind = AnyThread> {
    pub(super) scope: &'s Scope<'env, E, K>,
    pub(super) name: Name,
}

impl<'s, 'env, E, K: Kind> Named<'s, 'env, E, K> {
    pub(super) fn new(scope: &'s Scope<'env, E, K>, name: Name) -> Self {
        Named { scope, name }
    }

    pub(super) fn fallible<F>(&self, future: F) -> Fallible<F, E> {
        Fallible::new(future, Label::Given(self.name.clone()), Arc::clone(self.scope.core.errors()))
    }

    /// As [`Scope::spawn_on`].
    #[track_caller]
    pub fn spawn_on<F>(self, runtime: &Handle, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let control = &self.scope.core.control;
        parallel::spawn(control, runtime, Some(self.name), Location::caller(), Plain::new(future))
    }

    /// As [`Scope::try_spawn_on`].
    #[track_caller]
    pub fn try_spawn_on<F, T>(self, runtime: &Handle, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let future = self.fallible(future);
        parallel::spawn(&self.scope.core.control, runtime, Some(self.name), Location::caller(), future)
    }
}

impl<'env, E> Named<'_, 'env, E> {
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'env,
        F::Output: Send + 'env,
    {
        self.scope.launch(Plain::new(future), Location::caller(), self.name)
    }

    /// As [`Scope::try_spawn`].
    #[track_caller]
    pub fn try_spawn<F, T>(self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'env,
        T: Send + 'env,
        E: Send + 'env,
    {
        self.scope.launch(self.fallible(future), Location::caller(), self.name)
    }
}

impl<E, K: Kind> fmt::Debug for Named<'_, '_, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).finish_non_exhaustive()
    }
}
