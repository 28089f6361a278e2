//! Runs scopes whose children need not be `Send`.
//!
//! These are the same scopes, with the same verbs. Their children may hold an `Rc`, a borrowed
//! `Cell` or a handle that is bound to its thread across an `await`. The scope's future stays on
//! the thread that polls it. The counterpart of tokio's `LocalSet` and `spawn_local`.
//!
//! What is sent elsewhere (`spawn_parallel`, `spawn_on`, `spawn_blocking`) must be `Send` here,
//! too.
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//!
//! # futures::executor::block_on(async {
//! let count = Rc::new(Cell::new(0));
//! foster::local::scope(async |s| {
//!     s.spawn(async { count.set(count.get() + 1) }).await;
//! }).await;
//! assert_eq!(count.get(), 1);
//! # });
//! ```
//!
//! Such a scope does not leave its thread:
//!
//! ```compile_fail,E0277
//! let future = foster::local::scope(async |s| s.spawn(async {}).await);
//! std::thread::spawn(move || futures::executor::block_on(future));
//! ```

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use super::adapters::{Job, Plain};
use super::any::{AnyScope, Label, Sealed, every_scope};
use super::future::{ScopeFuture, TryScopeFuture};
use super::inner::Inner;
use super::kind::OneThread;
use super::spawner::Spawner;
use super::task::Task;
use crate::cancel::reason::Reason;
use crate::cancel::token::Token;
use crate::name::Name;
use crate::resource::managed::{Managed, lend, release_returned};
use crate::runtime::Handle;

/// Runs `body` and its children as [`scope`](fn@super::scope) does, for children that need not be
/// `Send`.
#[track_caller]
pub fn scope<'env, F, Fut>(body: F) -> ScopeFuture<'env, Fut, OneThread>
where
    F: FnOnce(LocalScope<'env>) -> Fut,
    Fut: Future,
{
    let at = Location::caller();
    let (core, body) = Inner::make_body(at, |inner| body(LocalScope { inner }));
    ScopeFuture::new(body, core, at.into())
}

/// Runs `body` and its children as [`try_scope`](super::try_scope) does, for children that need not
/// be `Send`.
///
/// # Errors
///
/// Returns the first error of the body or of a child, when everything else has ended.
#[track_caller]
pub fn try_scope<'env, F, Fut, T, E>(body: F) -> TryScopeFuture<'env, Fut, T, E, OneThread>
where
    F: FnOnce(LocalTryScope<'env, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let at = Location::caller();
    let (core, body) = Inner::make_body(at, |inner| body(LocalTryScope { inner }));
    TryScopeFuture::new(body, core, at.into())
}

/// Spawns children that need not be `Send` into a scope, and cancels it. Otherwise as
/// [`Scope`](super::Scope).
pub struct LocalScope<'env, N = ()> {
    pub(super) inner: Inner<'env, Infallible, OneThread, N>,
}

impl<'env, N: Label> LocalScope<'env, N> {
    /// Starts a child on this task. It need not be `Send`. Otherwise as
    /// [`Scope::spawn`](super::Scope::spawn).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'env,
        F::Output: 'env,
    {
        self.inner.launch(Plain::new(future), Location::caller())
    }

    /// Starts a child on the runtime in force, or on this task if there is none. It must be `Send`.
    ///
    /// Otherwise as [`Scope::spawn_parallel`](super::Scope::spawn_parallel).
    #[track_caller]
    pub fn spawn_parallel<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.launch_parallel(Plain::new(future), Location::caller())
    }

    /// Starts a child on `runtime`, in parallel. It must be `Send`.
    ///
    /// Otherwise as [`Scope::spawn_on`](super::Scope::spawn_on).
    #[track_caller]
    pub fn spawn_on<F>(&self, future: F, runtime: &Handle) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.inner.launch_on(Plain::new(future), runtime, Location::caller())
    }

    /// Runs `job`, which may block its thread, as a child. It must be `Send`.
    ///
    /// Otherwise as [`Scope::spawn_blocking`](super::Scope::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<J, T>(&self, job: J) -> Task<T>
    where
        J: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.inner.launch_blocking(Plain::new(Job::new(job)), Location::caller())
    }

    /// Runs `finalizer` at the end of the scope, however it ends. It need not be `Send`.
    ///
    /// Otherwise as [`Scope::defer`](super::Scope::defer).
    #[track_caller]
    pub fn defer<F>(&self, finalizer: F)
    where
        F: Future<Output = ()> + 'env,
    {
        self.inner.defer(Plain::new(finalizer), Location::caller());
    }

    /// Releases `resource` at the end of the scope, however it ends. Neither need be `Send`.
    ///
    /// Otherwise as [`Scope::manage`](super::Scope::manage).
    #[track_caller]
    pub fn manage<R, G, Fut>(&self, resource: R, release: G) -> Managed<R>
    where
        R: 'env,
        G: FnOnce(R) -> Fut + 'env,
        Fut: Future<Output = ()> + 'env,
    {
        let (managed, returned) = lend(resource);
        self.defer(async move { release_returned(returned, release).await.unwrap_or_default() });
        managed
    }
}

/// Spawns children that may fail, and need not be `Send`, into a scope, and cancels it. Otherwise
/// as [`TryScope`](super::TryScope).
pub struct LocalTryScope<'env, E, N = ()> {
    pub(super) inner: Inner<'env, E, OneThread, N>,
}

impl<'env, E, N: Label> LocalTryScope<'env, E, N> {
    /// Starts a child on this task. Its `Err` fails the scope. It need not be `Send`.
    ///
    /// Otherwise as [`TryScope::spawn`](super::TryScope::spawn).
    #[track_caller]
    pub fn spawn<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + 'env,
        T: 'env,
        E: 'env,
    {
        let at = Location::caller();
        self.inner.launch(self.inner.fallible(future, at), at)
    }

    /// Starts a child on the runtime in force, or on this task if there is none.
    ///
    /// Its `Err` fails the scope. It must be `Send`. Otherwise as
    /// [`TryScope::spawn_parallel`](super::TryScope::spawn_parallel).
    #[track_caller]
    pub fn spawn_parallel<F, T>(&self, future: F) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        self.inner.launch_parallel(self.inner.fallible(future, at), at)
    }

    /// Starts a child on `runtime`, in parallel. Its `Err` fails the scope. It must be `Send`.
    ///
    /// Otherwise as [`TryScope::spawn_on`](super::TryScope::spawn_on).
    #[track_caller]
    pub fn spawn_on<F, T>(&self, future: F, runtime: &Handle) -> Task<T>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        self.inner.launch_on(self.inner.fallible(future, at), runtime, at)
    }

    /// Runs `job`, which may block its thread, as a child. Its `Err` fails the scope. It must be
    /// `Send`.
    ///
    /// Otherwise as [`TryScope::spawn_blocking`](super::TryScope::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<J, T>(&self, job: J) -> Task<T>
    where
        J: FnOnce() -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let at = Location::caller();
        self.inner.launch_blocking(self.inner.fallible(Job::new(job), at), at)
    }

    /// Runs `finalizer` at the end of the scope, however it ends. Its `Err` fails the scope. It
    /// need not be `Send`.
    ///
    /// Otherwise as [`TryScope::defer`](super::TryScope::defer).
    #[track_caller]
    pub fn defer<F>(&self, finalizer: F)
    where
        F: Future<Output = Result<(), E>> + 'env,
        E: 'env,
    {
        let at = Location::caller();
        self.inner.defer(self.inner.fallible(finalizer, at), at);
    }

    /// Releases `resource` at the end of the scope, however it ends. An `Err` of `release` fails
    /// the scope. Neither need be `Send`.
    ///
    /// Otherwise as [`TryScope::manage`](super::TryScope::manage).
    #[track_caller]
    pub fn manage<R, G, Fut>(&self, resource: R, release: G) -> Managed<R>
    where
        R: 'env,
        G: FnOnce(R) -> Fut + 'env,
        Fut: Future<Output = Result<(), E>> + 'env,
        E: 'env,
    {
        let (managed, returned) = lend(resource);
        self.defer(async move { release_returned(returned, release).await.unwrap_or(Ok(())) });
        managed
    }
}

every_scope!(LocalScope<'env>);
every_scope!(LocalTryScope<'env, E>);
