//! Scopes whose children need not be `Send`.
//!
//! The same scopes, with the same names: `Rc`, thread-bound handles and borrowed `Cell`s may cross their `await`s. Their
//! futures stay on the thread that polls them. Children for a runtime must be `Send` here, too.
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//!
//! # futures::executor::block_on(async {
//! let count = Rc::new(Cell::new(0));
//! foster::local::scope(|s| {
//!     let count = Rc::clone(&count);
//!     async move {
//!         s.spawn(async move { count.set(count.get() + 1) }).await;
//!     }
//! }).await;
//! assert_eq!(count.get(), 1);
//! # });
//! ```
//!
//! Such a scope does not leave its thread:
//!
//! ```compile_fail,E0277
//! let future = foster::local::scope(|s| async move { s.spawn(async {}).await });
//! std::thread::spawn(move || futures::executor::block_on(future));
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::child::{Fallible, Label, Plain};
use super::futures::{ScopeFuture, TryScopeFuture};
use super::kind::OneThread;
use super::task::Task;
use crate::context;
use crate::set::node::{Extra, Failed, Runner};
use crate::values::Provide;

/// The handle to a scope on one thread. See [`Scope`](super::Scope).
pub type Scope<'env, E = Infallible> = super::Scope<'env, E, OneThread>;

/// Like [`scope`](fn@super::scope), for children that need not be `Send`.
#[track_caller]
pub fn scope<'env, F, Fut>(body: F) -> ScopeFuture<'env, Fut, OneThread>
where
    F: FnOnce(Scope<'env>) -> Fut,
    Fut: Future,
{
    let (scope, machine) = Scope::new(Location::caller());
    ScopeFuture::new(body(scope), machine)
}

/// Like [`try_scope`](super::try_scope), for children that need not be `Send`.
///
/// # Errors
///
/// The first error of the body or of a child.
#[track_caller]
pub fn try_scope<'env, F, Fut, T, E>(body: F) -> TryScopeFuture<'env, Fut, T, E, OneThread>
where
    F: FnOnce(Scope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let (scope, machine) = Scope::new(Location::caller());
    TryScopeFuture::new(body(scope), machine)
}

/// A scope as [`local::scope`](scope) and [`local::try_scope`](try_scope) make it: children need not be `Send`. What the methods
/// do is said at those of the [other scopes](super::Scope).
impl<'env, E> Scope<'env, E> {
    /// Starts a child on this task; it need not be `Send`. Otherwise as [`Scope::spawn`](super::Scope#method.spawn).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.launch_local(Plain::new(future), Location::caller(), ())
    }

    /// Starts a child on this task whose `Err` fails the scope; it need not be `Send`.
    ///
    /// Otherwise as [`Scope::try_spawn`](super::Scope#method.try_spawn).
    #[track_caller]
    pub fn try_spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + 'env,
        T: 'env,
        E: 'env,
    {
        let at = Location::caller();
        self.launch_local(Fallible::new(future, Label::At(at), Arc::clone(self.core.errors())), at, ())
    }

    /// Starts a child on the runtime of the context, or on this task where there is none. It must be `Send`.
    ///
    /// As [`Scope::spawn_parallel`](super::Scope#method.spawn_parallel).
    #[track_caller]
    pub fn spawn_parallel<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match context::with(|ambient| ambient.runtime()) {
            Some(runtime) => self.spawn_on(&runtime, future),
            None => self.spawn(future),
        }
    }

    /// Has `finalizer` run at the end of the scope; it need not be `Send`. See [`defer`](super::Scope#method.defer).
    #[track_caller]
    pub fn defer<F>(&self, finalizer: F)
    where
        F: Future<Output = ()> + 'env,
    {
        self.finalize(Runner::<_>::finalizer(Plain::new(finalizer), Location::caller(), ()).local());
    }

    /// Has `finalizer` run at the end of the scope, whose `Err` fails it; it need not be `Send`.
    ///
    /// See [`try_defer`](super::Scope#method.try_defer).
    #[track_caller]
    pub fn try_defer<F>(&self, finalizer: F)
    where
        F: Future<Output = Result<(), E>> + 'env,
        E: 'env,
    {
        let at = Location::caller();
        let finalizer = Fallible::new(finalizer, Label::At(at), Arc::clone(self.core.errors()));
        self.finalize(Runner::<_>::finalizer(finalizer, at, ()).local());
    }

    fn launch_local<F, T, X>(&self, future: F, at: &'static Location<'static>, extra: X) -> Task<T>
    where
        F: Future<Output = Result<T, Failed>> + 'env,
        T: 'env,
        X: Extra + 'env,
    {
        match context::with(|ambient| ambient.values()) {
            None => {
                let (runner, reader) = Runner::new(future, at, extra);
                self.add(runner.local(), reader)
            }
            Some(values) => {
                let (runner, reader) = Runner::new(Provide::with(Some(values), future), at, extra);
                self.add(runner.local(), reader)
            }
        }
    }
}

impl<'env, E> super::Named<'_, 'env, E, OneThread> {
    /// As [`Scope::spawn`].
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.scope.launch_local(Plain::new(future), Location::caller(), self.name)
    }

    /// As [`Scope::try_spawn`].
    #[track_caller]
    pub fn try_spawn<F, T>(self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + 'env,
        T: 'env,
        E: 'env,
    {
        self.scope.launch_local(self.fallible(future), Location::caller(), self.name)
    }
}
