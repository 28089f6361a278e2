//! Returns the panic of a future as a value.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::panic::{Payload, catch, message};

/// Runs `future`, and returns its panic as a value.
///
/// The panic of a child fails its scope. If it should go to whoever awaits the child's task
/// instead, while the siblings go on, wrap the child: `s.spawn(catch_panic(fetch()))`. This is what
/// a join handle gives in other systems. In a scope that may fail, `s.spawn(async {
/// Ok(catch_panic(fetch()).await) })` does the same for the error of the child.
///
/// It does not ask for `UnwindSafe`. It is for the caller to know what a panic leaves behind in
/// shared state. This is the counterpart of `JoinError::into_panic` in tokio and of `catch_unwind`
/// in `futures`.
///
/// # Errors
///
/// Returns [`Panicked`] with the payload if `future` panics, while it is polled or while it is
/// dropped after its last poll.
///
/// # Cancellation
///
/// Dropping this drops `future`. A panic of that drop is not caught.
///
/// # Cost
///
/// No allocation.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::future::catch_panic;
///
/// let told = foster::scope(async |s| {
///     let fragile = s.spawn(catch_panic(async { if true { panic!("out of luck") } }));
///     let sturdy = s.spawn(async { 7 });
///     (fragile.await.unwrap_err().to_string(), sturdy.await)
/// }).await;
/// assert_eq!(told, ("panicked: out of luck".to_string(), 7));
/// # });
/// ```
pub fn catch_panic<F: Future>(future: F) -> CatchPanic<F> {
    CatchPanic { future: Some(future) }
}

pin_project! {
    /// The future of [`catch_panic`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CatchPanic<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = self.project().future;
        let Some(running) = future.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = match catch(|| running.poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(Panicked::new(payload)),
        };
        // The destructor is caught like the poll, since it is part of what the future does.
        let dropped = catch(|| future.set(None)).map_err(Panicked::new);
        // The poll's panic is the cause, also where the destructor panics, too.
        Poll::Ready(polled.and_then(|value| dropped.map(|()| value)))
    }
}

impl<F> fmt::Debug for CatchPanic<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchPanic").finish_non_exhaustive()
    }
}

/// The error of [`catch_panic`]: the future panicked.
pub struct Panicked {
    /// Behind a lock, which makes this `Sync`, as errors should be. Nobody ever waits for it.
    payload: Mutex<Payload>,
}

impl Panicked {
    fn new(payload: Payload) -> Self {
        Panicked { payload: Mutex::new(payload) }
    }

    /// Returns the payload of the panic.
    pub fn into_payload(self) -> Box<dyn Any + Send + 'static> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues the panic.
    ///
    /// # Panics
    ///
    /// Always panics, with the same payload. The panic hook is not called again.
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }

    /// Calls `look` with the message, if the payload is a string.
    fn with_message<R>(&self, look: impl FnOnce(Option<&str>) -> R) -> R {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        look(message(&**payload))
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_message(|message| f.debug_tuple("Panicked").field(&message).finish())
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_message(|message| match message {
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked"),
        })
    }
}

impl std::error::Error for Panicked {}
