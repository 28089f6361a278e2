//! Runs one blocking job, outside a scope.

use std::fmt::Debug;
use std::future::Future;
use std::panic::Location;

use super::adapters::{Job, Plain};
use super::future::ScopeFuture;
use super::inner::Inner;
use super::kind::AnyThread;

/// Runs `job`, which may block its thread, where that does no harm, and returns its value.
///
/// The job runs in the pool of the context's runtime, or in [foster's
/// own](crate::runtime::blocking_pool) if there is none. It is submitted at the first poll. This is
/// a scope with one child. For several jobs, or for one beside other work, use
/// [`Scope::spawn_blocking`](super::Scope::spawn_blocking). The counterpart of `asyncio.to_thread`,
/// Trio's `to_thread.run_sync` and `tokio::task::spawn_blocking`.
///
/// # Cancellation
///
/// A job that has not begun is dropped unrun. A job that has begun cannot be interrupted. When
/// foster cancels the future, it waits for the job, as Trio does. When other code drops the future,
/// the enclosing scope or root waits for the job. Outside any scope and root the job runs on by
/// itself, and its value is dropped.
///
/// # Panics
///
/// Resumes the job's panic. Panics if the runtime refuses the job, or ends before the job has
/// begun.
///
/// # Cost
///
/// That of a scope with one child, and of the way to another thread and back.
///
/// ```
/// # futures::executor::block_on(async {
/// let path = String::from("Cargo.toml");
/// let text = foster::blocking(move || std::fs::read_to_string(path)).await;
/// assert!(text.is_ok());
/// # });
/// ```
#[track_caller]
#[must_use = "futures do nothing unless polled"]
pub fn blocking<F, T>(job: F) -> impl Future<Output = T> + Debug + Send + 'static
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let at = Location::caller();
    let (core, body) = Inner::<'static, _, AnyThread>::make_body(at, |scope| async move {
        scope.launch_blocking(Plain::new(Job::new(job)), at).await
    });
    ScopeFuture::<_, AnyThread>::new(body, core, at.into())
}
