//! Panics as values: catch, carry, resume. And the panics of other people's code, kept inside the
//! task or the job that panicked.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::task::Waker;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// Runs `f`, and returns its panic as a value.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Drops `value`. A panic of its destructor, which a payload may have, is swallowed.
pub(crate) fn discard<T>(value: T) {
    if let Err(payload) = catch(|| drop(value)) {
        // A payload that panics whenever it is dropped would go on for ever.
        std::mem::forget(payload);
    }
}

/// Returns the message of a panic, or `None` if its payload is no text.
pub(crate) fn message<'a>(payload: &'a (dyn Any + Send + 'static)) -> Option<&'a str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Wakes all of `wakers`, in their order.
///
/// A waker that panics does not keep the others from being woken. The first panic is resumed once
/// all are woken.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    let mut wakers = wakers.into_iter();
    take_all(&mut || wakers.next().map(Waker::wake).is_some());
}

/// Takes steps until `step` returns false.
///
/// A panic in one step does not keep the next from being taken. The first panic goes on once all
/// are taken. During another panic all are discarded, because two panics at once would abort the
/// process. As long as nothing panics, this costs nothing beside the steps.
#[inline]
pub(crate) fn take_all(step: &mut impl FnMut() -> bool) {
    /// Takes the steps that are left while a panic unwinds.
    struct Rest<'a, S: FnMut() -> bool>(&'a mut S);
    impl<S: FnMut() -> bool> Drop for Rest<'_, S> {
        #[cold]
        fn drop(&mut self) {
            loop {
                match catch(&mut *self.0) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(payload) => discard(payload),
                }
            }
        }
    }
    let rest = Rest(step);
    if !std::thread::panicking() {
        while (rest.0)() {}
        std::mem::forget(rest);
    }
}

/// Collects the first panic of several steps that must all be taken.
///
/// A panic in one step does not keep the next from running. `resume` goes on with the first panic
/// once all are done.
#[derive(Default)]
pub(crate) struct FirstPanic {
    payload: Option<Payload>,
}

impl FirstPanic {
    pub(crate) fn of(payload: Payload) -> Self {
        FirstPanic { payload: Some(payload) }
    }

    pub(crate) fn into_payload(self) -> Option<Payload> {
        self.payload
    }

    /// Takes one step.
    pub(crate) fn run(&mut self, step: impl FnOnce()) {
        self.run_result(catch(step));
    }

    /// Records the result of a step that has caught its own panic.
    pub(crate) fn run_result(&mut self, step: Result<(), Payload>) {
        if let Err(payload) = step {
            self.add(payload);
        }
    }

    /// Keeps `payload`, unless there is an earlier one.
    pub(crate) fn add(&mut self, payload: Payload) {
        match &self.payload {
            None => self.payload = Some(payload),
            Some(_) => discard(payload),
        }
    }

    /// Whether a step has panicked.
    pub(crate) fn is_some(&self) -> bool {
        self.payload.is_some()
    }

    /// Resumes the first panic, if there was one. During another panic the payload is dropped,
    /// because two panics at once would abort the process.
    #[inline]
    pub(crate) fn resume(self) {
        #[cold]
        fn resume(payload: Payload) {
            if std::thread::panicking() {
                discard(payload);
            } else {
                resume_unwind(payload);
            }
        }
        if let Some(payload) = self.payload {
            resume(payload);
        }
    }
}

/// Runs `work`. A panic ends the work, and nothing else. The payload is dropped, because the panic
/// hook has already reported it.
pub(crate) fn contain(work: impl FnOnce()) {
    discard(catch(work));
}

#[cfg(any(feature = "smol", feature = "async-std", feature = "basic", feature = "sim"))]
pub(crate) use contained::Contained;

#[cfg(any(feature = "smol", feature = "async-std", feature = "basic", feature = "sim"))]
mod contained {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_task::FutureObj;

    use crate::panic::contain;

    /// Wraps a spawned future whose panic ends only that future. It is dropped as soon as it
    /// completes.
    pub(crate) struct Contained {
        future: Option<FutureObj<'static, ()>>,
    }

    impl Contained {
        pub(crate) fn new(future: FutureObj<'static, ()>) -> Self {
            Contained { future: Some(future) }
        }

        /// Drops the future. Its destructor may panic, too.
        fn end(&mut self) {
            if let Some(future) = self.future.take() {
                contain(|| drop(future));
            }
        }
    }

    impl Future for Contained {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let mut poll = Poll::Ready(());
            if let Some(future) = &mut self.future {
                contain(|| poll = Pin::new(future).poll(cx));
            }
            if poll.is_ready() {
                self.end();
            }
            poll
        }
    }

    impl Drop for Contained {
        fn drop(&mut self) {
            self.end();
        }
    }
}
