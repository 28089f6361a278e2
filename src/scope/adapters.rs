//! Adapts the futures of children to what their nodes hold.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context;
use crate::name::Name;
use crate::scope::control::Parts;
use crate::task::cell::Failed;
use crate::task::hub::ErrorsOf;

pin_project! {
    /// Adapts an infallible future to one that yields `Result<T, E>`.
    pub(crate) struct Plain<F, E> {
        #[pin]
        future: F,
        error: PhantomData<fn() -> E>,
    }
}

impl<F, E> Plain<F, E> {
    pub(crate) fn new(future: F) -> Self {
        Plain { future, error: PhantomData }
    }
}

impl<F: Future, E> Future for Plain<F, E> {
    type Output = Result<F::Output, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(Ok)
    }
}

pin_project! {
    /// Adapts a future that may fail: its error goes to the scope, and the node has [`Failed`].
    pub(crate) struct Fallible<F, E> {
        #[pin]
        future: F,
        name: Name,
        errors: ErrorsOf<Parts, E>,
    }
}

impl<F, E> Fallible<F, E> {
    pub(crate) fn new(future: F, name: Name, errors: ErrorsOf<Parts, E>) -> Self {
        Fallible { future, name, errors }
    }
}

impl<F, T, E> Future for Fallible<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Failed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.future.poll(cx).map(|result| {
            result.map_err(|error| {
                this.errors.push(this.name.clone(), error);
                Failed
            })
        })
    }
}

/// Runs a blocking job as a future that is ready at its first poll.
///
/// The job runs in no region, so that what it waits for works although its scope is being
/// cancelled.
pub(crate) struct Job<J> {
    job: Option<J>,
}

impl<J> Job<J> {
    pub(crate) fn new(job: J) -> Self {
        Job { job: Some(job) }
    }
}

impl<J> Unpin for Job<J> {}

impl<T, J: FnOnce() -> T> Future for Job<J> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        match self.job.take() {
            Some(job) => Poll::Ready(context::outside(job)),
            None => Poll::Pending,
        }
    }
}
