//! Keeps a future from being dropped by any code, its own runtime's apart.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shield::FreshRegion;
use crate::context::{self, Watch};
use crate::name::Name;
use crate::scope::control::{Adopted, Control};
use crate::trace::tree;

/// Runs `future` to its end, also when other code drops the wait for it.
///
/// It is like [`shield`](crate::shield), and survives more: a drop by code that is not foster's
/// (`tokio::select!`), and a panic of the code that awaits it. Then the unfinished `future` passes
/// to the enclosing scope, which finishes it before it completes. Without a scope it passes to
/// [`Handle::run`](crate::Handle::run) or [`enter`](crate::Handle::enter). That is why it must be
/// `'static + Send`.
///
/// Use it for what must be finished once begun, in code that others may drop: a release, a commit
/// in the handler of a web framework.
///
/// # Cancellation
///
/// A cancellation by foster waits for `future`, as for a shield. A `future` that was never polled
/// is dropped. One that was moved passes to the scope that enclosed its last poll. A drop with no
/// enclosing scope or root, on a thread of tokio's, leaves it to a task of that runtime, with the
/// feature `tokio`. On other threads `future` is then dropped.
///
/// # Panics
///
/// If `future` panics after it has passed to a scope, that scope resumes the panic.
///
/// # Cost
///
/// One allocation, for `future`, and those of [`shield`](crate::shield).
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{adopt, scope, sleep, yield_now};
///     use std::{pin::pin, time::Duration};
///
///     let (committed, commits) = foster::queue::unbounded();
///     scope(async |_| {
///         let commit = adopt(async move {
///             sleep(Duration::from_secs(1)).await;
///             committed.try_send("order 7").unwrap();
///         });
///         // A select that is not foster's, and drops the commit after its first poll.
///         futures::future::select(commit, pin!(yield_now())).await;
///     }).await;
///     assert_eq!(*commits.try_recv().unwrap(), "order 7", "the scope has finished it");
/// });
/// ```
#[track_caller]
pub fn adopt<F>(future: F) -> Adopt<F>
where
    F: Future + Send + 'static,
{
    Adopt { inside: Some(Box::pin(future)), region: FreshRegion::new(), adopter: None }
}

/// The future that [`adopt`] returns.
#[must_use = "futures do nothing unless polled"]
pub struct Adopt<F>
where
    F: Future + Send + 'static,
{
    /// `None` once it has completed, has passed to the adopter, or is being polled.
    inside: Option<Pin<Box<F>>>,
    region: FreshRegion,
    /// The scope that enclosed the last poll, or `None` if none has enclosed any. The drop may come
    /// from anywhere, and the future may have moved since its first poll.
    adopter: Option<Arc<Control>>,
}

impl<F: Future + Send + 'static> Adopt<F> {
    /// Sets the name that reports give it.
    pub(crate) fn set_name(&mut self, name: Name) {
        self.region.name = name;
    }

    /// Passes the future to the adopter, or to the runtime that is found here, if it has begun and
    /// has not completed. Otherwise drops it.
    fn transfer(&mut self) {
        let Some(inside) = self.inside.take() else { return };
        if self.region.started {
            let rest: Adopted = Box::pin(Transferred { inside, name: self.region.name.clone(), completed: false });
            context::adopt(self.adopter.take().as_ref(), rest);
        }
        // Last, so that the adopting scope is waited for until it has the future.
        self.region.hold = None;
    }
}

impl<F: Future + Send + 'static> Future for Adopt<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        context::with(|ambient| {
            if this.inside.is_none() {
                return Poll::Pending;
            }
            if !this.region.enter(ambient, cx) {
                if this.region.started {
                    this.transfer();
                }
                return Poll::Pending;
            }
            let scope = ambient.scope_address();
            if scope != 0 && this.adopter.as_ref().is_none_or(|adopter| Arc::as_ptr(adopter).addr() != scope) {
                this.adopter = ambient.scope();
            }
            // Taken out during the poll: if the future panics, it has ended, and the drop that
            // follows must not pass it on.
            let Some(mut inside) = this.inside.take() else { return Poll::Pending };
            let polled = this.region.poll(ambient, inside.as_mut(), cx);
            if polled.is_ready() {
                this.region.hold = None;
            } else {
                this.inside = Some(inside);
            }
            polled
        })
    }
}

impl<F: Future + Send + 'static> Drop for Adopt<F> {
    fn drop(&mut self) {
        self.transfer();
    }
}

/// An adopted future that has passed to its adopter.
struct Transferred<F> {
    inside: Pin<Box<F>>,
    name: Name,
    /// Whether it has completed.
    completed: bool,
}

impl<F: Future> Future for Transferred<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = match context::with(|ambient| ambient.watch.get()) {
            Watch::Draw => tree::named(tree::quoted("adopted ", &this.name), || this.inside.as_mut().poll(cx)),
            Watch::No | Watch::Trace => this.inside.as_mut().poll(cx),
        };
        this.completed = polled.is_ready();
        polled.map(drop)
    }
}

#[cfg(feature = "sim")]
impl<F> Drop for Transferred<F> {
    fn drop(&mut self) {
        if !self.completed {
            crate::trace::living::adopted_dropped(&self.name);
        }
    }
}

impl<F: Future + Send + 'static> fmt::Debug for Adopt<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopt").field("name", &self.region.name).finish_non_exhaustive()
    }
}
