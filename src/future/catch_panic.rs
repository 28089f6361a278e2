//! A future whose panic is a value.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::panic::{Payload, catch};

/// Runs `future`, and returns its panic as a value.
///
/// A panic of a child is a failure of its scope. Wrap the child in this where its failure belongs to
/// whoever reads its task, and the siblings go on: `s.spawn(catch_panic(fetch()))` is what a join handle
/// gives in other systems. In a scope that may fail, `s.spawn(async { Ok(catch_panic(fetch()).await) })`
/// keeps the child's error for its task, too.
///
/// It asks for no `UnwindSafe`. What a caught panic leaves behind in shared state is the caller's to
/// know. The counterpart of tokio's `JoinError::into_panic` and of `futures`' `catch_unwind`.
///
/// # Errors
///
/// [`Panicked`], with the payload.
///
/// # Cancellation
///
/// Dropping this drops `future`.
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
        // Caught like the poll: a destructor is a part of what the future does.
        Poll::Ready(catch(|| future.set(None)).map_err(Panicked::new).and(polled))
    }
}

impl<F> fmt::Debug for CatchPanic<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchPanic").finish_non_exhaustive()
    }
}

/// A future panicked; from [`catch_panic`].
pub struct Panicked {
    /// Behind a lock for `Sync`, which errors are; nobody ever waits for it.
    payload: Mutex<Payload>,
}

impl Panicked {
    fn new(payload: Payload) -> Self {
        Panicked { payload: Mutex::new(payload) }
    }

    /// Returns what the panic carried.
    pub fn into_payload(self) -> Box<dyn Any + Send + 'static> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with the panic.
    ///
    /// # Panics
    ///
    /// Always.
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }

    fn with_message<R>(&self, look: impl FnOnce(Option<&str>) -> R) -> R {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        look(payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str)))
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
