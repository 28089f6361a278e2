//! Inherited values: what a future passes to everything that it runs, on its own task or another.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::list::List;
use super::{Ambient, Binding, Swap};
use crate::context;

/// Holds a value that children inherit, such as a request's id, a user or a span.
///
/// A child or finalizer sees the value that was in force where it was *spawned* or deferred. What a
/// child provides itself is seen only by what that child runs. Tasks that foster does not start,
/// such as those of `tokio::spawn`, inherit nothing. The counterpart of Python's
/// `contextvars.ContextVar` and of tokio's `task_local!`.
///
/// ```
/// use foster::Inherited;
///
/// static REQUEST: Inherited<u32> = Inherited::new();
///
/// # futures::executor::block_on(async {
/// let seen = REQUEST.provide(7, foster::scope(async |s| {
///     s.spawn(async { *REQUEST.get().unwrap() }).await
/// }));
/// assert_eq!(seen.await, 7);
/// assert!(REQUEST.get().is_none());
/// # });
/// ```
pub struct Inherited<T> {
    /// Gives each key an address of its own.
    _place: u8,
    _value: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static> Inherited<T> {
    /// Creates a key. Keys compare by address, so declare them as `static`.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Inherited { _place: 0, _value: PhantomData }
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Runs `future` with `value` in force.
    ///
    /// An inner `provide` replaces the value for the future that it runs. It does not matter where
    /// the returned future is made: each of its polls finds what encloses it there.
    ///
    /// # Cost
    ///
    /// Two allocations: one for the value, and one for its place in the list of values.
    ///
    /// ```
    /// # use foster::Inherited;
    /// static USER: Inherited<&str> = Inherited::new();
    ///
    /// # futures::executor::block_on(async {
    /// let seen = USER.provide("ada", async {
    ///     let inner = USER.provide("grace", async { *USER.get().unwrap() }).await;
    ///     (inner, *USER.get().unwrap())
    /// });
    /// assert_eq!(seen.await, ("grace", "ada"));
    /// # });
    /// ```
    pub fn provide<F: Future>(&'static self, value: T, future: F) -> Provide<F> {
        Provide { future, binding: Binding { key: self.key(), value: Arc::new(value) }, values: None }
    }

    /// Returns the value that is in force here, if there is one.
    ///
    /// # Cost
    ///
    /// The time grows with the number of values that enclosing futures provide.
    pub fn get(&'static self) -> Option<Arc<T>> {
        let values = context::with(|ambient| ambient.values());
        let mut next = values.as_ref();
        while let Some(here) = next {
            if here.item.key == self.key() {
                return Arc::clone(&here.item.value).downcast().ok();
            }
            next = here.next.as_ref();
        }
        None
    }
}

impl<T> fmt::Debug for Inherited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited").finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`Inherited::provide`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Provide<F> {
        #[pin]
        future: F,
        binding: Binding,
        // Begins with the binding. The values that enclose the last poll come after it.
        values: List<Binding>,
    }
}

impl<F: Future> Future for Provide<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(|ambient| {
            Ambient::renew(this.values, &ambient.values, || this.binding.clone());
            let _values = Swap::new(&ambient.values, this.values);
            this.future.poll(cx)
        })
    }
}

pin_project! {
    /// Runs a future with the values that were in force where this was made.
    pub(crate) struct Inheriting<F> {
        #[pin]
        future: F,
        values: List<Binding>,
    }
}

impl<F> Inheriting<F> {
    pub(crate) fn new(values: List<Binding>, future: F) -> Self {
        Inheriting { future, values }
    }
}

impl<F: Future> Future for Inheriting<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        context::with(|ambient| {
            let _values = Swap::new(&ambient.values, this.values);
            this.future.poll(cx)
        })
    }
}

impl<F> fmt::Debug for Provide<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provide").finish_non_exhaustive()
    }
}
