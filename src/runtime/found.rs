//! Finds a runtime where nobody set a context: tokio, if its feature is on and it runs the thread.
//!
//! Most programs start there: under `#[tokio::main]`, in a handler of a web framework, or in
//! somebody's `tokio::spawn`. The feature does not choose: where tokio does not run, nothing is
//! found. Executors that cannot be asked, such as smol, are never found.

use std::future::Future;
use std::pin::Pin;

use futures_task::{FutureObj, Spawn};

use super::{Handle, Instant, Timer};
#[cfg(feature = "tokio")]
use crate::panic::contain;

type Unfinished = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// Returns the runtime that the calling thread belongs to.
#[cfg(feature = "tokio")]
pub(crate) fn handle() -> Option<Handle> {
    let handle = tokio::runtime::Handle::try_current().ok()?;
    Some(super::tokio::TokioAdapter::guest(handle))
}

/// Returns the present instant. tokio's clock may be paused on its threads; elsewhere it is the
/// system's.
#[cfg(feature = "tokio")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Creates a timer of the runtime that is found, or else on the thread of `futures-timer`.
#[cfg(feature = "tokio")]
pub(crate) fn timer(at: Instant) -> Timer {
    tokio_timer(at).unwrap_or_else(|| thread_timer(at))
}

/// Creates a timer of tokio's, if tokio runs this thread and has its timers enabled.
#[cfg(feature = "tokio")]
fn tokio_timer(at: Instant) -> Option<Timer> {
    let handle = tokio::runtime::Handle::try_current().ok()?;
    // A runtime that was built without `enable_time` panics here, and cannot be asked before. The
    // caller did not choose it, so this is no reason to fail.
    let mut timer = None;
    // The value goes where it is returned from, since a timer is large.
    contain(|| timer = Some(Timer::tokio(at, &handle)));
    timer
}

/// Moves `timer` to `at`.
#[cfg(feature = "tokio")]
pub(crate) fn reset(mut timer: Pin<&mut Timer>, at: Instant) {
    match tokio::runtime::Handle::try_current() {
        Err(_) => reset_thread(timer, at),
        Ok(handle) => {
            if !timer.as_mut().reset_tokio(at, &handle) {
                timer.set(self::timer(at));
            }
        }
    }
}

/// Makes the runtime that is found finish `future`.
///
/// # Errors
///
/// Returns the future if no runtime is found. A runtime that is ending drops it.
pub(crate) fn finish(future: Unfinished) -> Result<(), Unfinished> {
    let Some(handle) = handle() else { return Err(future) };
    drop(handle.spawn_obj(FutureObj::from(future)));
    Ok(())
}

#[cfg(not(feature = "tokio"))]
pub(crate) fn handle() -> Option<Handle> {
    None
}

#[cfg(not(feature = "tokio"))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(not(feature = "tokio"))]
pub(crate) use self::{reset_thread as reset, thread_timer as timer};

pub(crate) fn thread_timer(at: Instant) -> Timer {
    Timer::thread(at.saturating_duration_since(Instant::now()))
}

pub(crate) fn reset_thread(timer: Pin<&mut Timer>, at: Instant) {
    timer.reset_thread(at.saturating_duration_since(Instant::now()));
}
