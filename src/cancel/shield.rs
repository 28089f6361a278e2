//! Keeps futures from being dropped: `shield` by foster's cancellations, `adopt` by other code,
//! too.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::context::{self, Ambient, Watch};
use crate::control::{Adopted, Control};
use crate::name::Name;
use crate::token::{Hold, Level, Listener, Token};
use crate::tree;

/// Runs `future` to its end, although the code that awaits it may be cancelled meanwhile. It may
/// borrow.
///
/// Whoever cancels that code waits for the shield: a [`timeout`](crate::timeout) that expires
/// meanwhile returns when `future` has completed. Use it for a step that must not be cut short,
/// such as a commit. Inside, the enclosing deadlines and cancellations do not count, so cleanup can
/// use timeouts and scopes of its own.
///
/// A shield that is *first polled* after the cancellation does not start, and stays pending until
/// it is dropped. Otherwise `loop { shield(step()).await }` would never end.
///
/// The counterpart of Trio's `CancelScope(shield=True)`. asyncio's `shield` differs: there the
/// caller is cancelled at once, and only the inner task goes on.
///
/// # Cancellation
///
/// A cancellation by foster waits for `future`, within the [grace](crate::time::Timeout::grace) if
/// there is one. Past that, `future` is dropped, and reported by the file and line of this call. If
/// other code drops the shield (`tokio::select!`), `future` is dropped at once: [`adopt`] survives
/// that.
///
/// # Cost
///
/// No allocation outside a region. Inside one, the region's token is allocated if nobody has asked
/// for it before, and each poll takes its lock for a moment.
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{shield, sleep, timeout};
///     use std::time::Duration;
///
///     let mut saved = false;
///     let second = Duration::from_secs(1);
///     let late = timeout(second, async {
///         shield(async { sleep(3 * second).await; saved = true }).await;
///         sleep(second).await;
///     });
///     assert!(late.await.is_err());
///     assert!(saved);
/// });
/// ```
#[track_caller]
pub fn shield<F: Future>(future: F) -> Shield<F> {
    Shield { inside: Some(future), guard: Guard::new() }
}

/// Runs `future` to its end, also when other code drops the wait for it.
///
/// It is like [`shield`], and survives more: a drop by code that is not foster's
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
/// is dropped. A drop with no enclosing scope or root, on a thread of tokio's, leaves it to a task
/// of that runtime, with the feature `tokio`. On other threads `future` is then dropped.
///
/// # Panics
///
/// If `future` panics after it has passed to a scope, that scope resumes the panic.
///
/// # Cost
///
/// One allocation, for `future`, and those of [`shield`].
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{adopt, scope, sleep, yield_now};
///     use std::{pin::pin, time::Duration};
///
///     let (committed, mut commits) = futures::channel::mpsc::unbounded();
///     scope(async |_| {
///         let commit = adopt(async move {
///             sleep(Duration::from_secs(1)).await;
///             committed.unbounded_send("order 7").unwrap();
///         });
///         // A select that is not foster's, and drops the commit after its first poll.
///         futures::future::select(commit, pin!(yield_now())).await;
///     }).await;
///     assert_eq!(commits.try_recv().unwrap(), "order 7", "the scope has finished it");
/// });
/// ```
#[track_caller]
pub fn adopt<F>(future: F) -> Adopt<F>
where
    F: Future + Send + 'static,
{
    Adopt { inside: Some(Box::pin(future)), guard: Guard::new(), adopter: None }
}

/// What shields and adopted futures share: a hold on the enclosing region, and a fresh region
/// inside.
struct Guard {
    /// The token of the fresh region inside. It is never cancelled.
    token: Option<Token>,
    /// The hold on the enclosing region, from the first poll to the last. `None` outside any
    /// region.
    around: Option<(Hold, Listener)>,
    /// Whether the future inside has been polled.
    started: bool,
    /// The file and line of the call that made it.
    name: Name,
}

impl Guard {
    #[track_caller]
    fn new() -> Self {
        Guard { token: None, around: None, started: false, name: Name::caller() }
    }

    /// Takes, or keeps, the hold. Returns whether the future may be polled.
    fn enter(&mut self, ambient: &Ambient, cx: &mut Context<'_>) -> bool {
        if !self.started && ambient.is_tripped() {
            return false;
        }
        self.started = true;
        let Some(token) = ambient.region_token() else {
            self.around = None;
            return true;
        };
        // The future may have moved to another region since its last poll.
        if !self.around.as_ref().is_some_and(|(hold, _)| hold.is_on(&token)) {
            self.around = Some((token.hold(), Listener::new(token.clone())));
        }
        // Before the level is looked at, so that no rise of it is missed.
        if let Some((_, listener)) = &mut self.around {
            listener.listen(cx.waker());
        }
        if token.level() == Level::Overdue {
            token.report_overrun(&self.name);
            return false;
        }
        true
    }

    /// Polls the future in its fresh region.
    fn poll<F: Future>(&mut self, ambient: &Ambient, inside: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = || ambient.enter_fresh(&mut self.token, || inside.poll(cx));
        match ambient.watch.get() {
            Watch::Draw => tree::named(tree::quoted("shield ", &self.name), poll),
            Watch::No | Watch::Trace => poll(),
        }
    }
}

pin_project! {
    /// The future that [`shield`] returns.
    #[must_use = "futures do nothing unless polled"]
    pub struct Shield<F> {
        // `None` once it has completed or was dropped.
        #[pin]
        inside: Option<F>,
        guard: Guard,
    }
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        context::with(|ambient| {
            if this.inside.is_none() {
                return Poll::Pending;
            }
            if !this.guard.enter(ambient, cx) {
                if this.guard.started {
                    // The future goes before the hold does, so that whoever waits for the last hold
                    // finds nothing left inside.
                    context::outside(|| this.inside.set(None));
                    this.guard.around = None;
                }
                return Poll::Pending;
            }
            let Some(inside) = this.inside.as_mut().as_pin_mut() else { return Poll::Pending };
            let polled = this.guard.poll(ambient, inside, cx);
            if polled.is_ready() {
                this.inside.set(None);
                this.guard.around = None;
            }
            polled
        })
    }
}

impl<F> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("name", &self.guard.name).finish_non_exhaustive()
    }
}

/// The future that [`adopt`] returns.
#[must_use = "futures do nothing unless polled"]
pub struct Adopt<F>
where
    F: Future + Send + 'static,
{
    /// `None` once it has completed, has passed to the adopter, or is being polled.
    inside: Option<Pin<Box<F>>>,
    guard: Guard,
    /// The scope that enclosed the first poll, or `None` if none did. The drop may come from
    /// anywhere.
    adopter: Option<Arc<Control>>,
}

impl<F: Future + Send + 'static> Adopt<F> {
    /// Passes the future to the adopter, or to the runtime that is found here, if it has begun and
    /// has not completed. Otherwise drops it.
    fn hand_over(&mut self) {
        let Some(inside) = self.inside.take() else { return };
        if self.guard.started {
            let rest: Adopted = Box::pin(Handed { inside, name: self.guard.name.clone(), over: false });
            let refused = match self.adopter.take() {
                Some(adopter) => adopter.adopt(rest),
                None => Err(rest),
            };
            if let Err(rest) = refused.or_else(context::finish) {
                context::outside(|| drop(rest));
            }
        }
        self.guard.around = None;
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
            if !this.guard.enter(ambient, cx) {
                if this.guard.started {
                    this.hand_over();
                }
                return Poll::Pending;
            }
            this.adopter = this.adopter.take().or_else(|| ambient.scope());
            // Taken out during the poll: if the future panics, it has ended, and the drop that
            // follows must not pass it on.
            let Some(mut inside) = this.inside.take() else { return Poll::Pending };
            let polled = this.guard.poll(ambient, inside.as_mut(), cx);
            if polled.is_ready() {
                this.guard.around = None;
            } else {
                this.inside = Some(inside);
            }
            polled
        })
    }
}

impl<F: Future + Send + 'static> Drop for Adopt<F> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// An adopted future that has passed to its adopter.
struct Handed<F> {
    inside: Pin<Box<F>>,
    name: Name,
    /// Whether it has completed.
    over: bool,
}

impl<F: Future> Future for Handed<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = match context::with(|ambient| ambient.watch.get()) {
            Watch::Draw => tree::named(tree::quoted("adopted ", &this.name), || this.inside.as_mut().poll(cx)),
            Watch::No | Watch::Trace => this.inside.as_mut().poll(cx),
        };
        this.over = polled.is_ready();
        polled.map(drop)
    }
}

#[cfg(feature = "sim")]
impl<F> Drop for Handed<F> {
    fn drop(&mut self) {
        if !self.over {
            crate::set::living::adopted_dropped(&self.name);
        }
    }
}

impl<F: Future + Send + 'static> fmt::Debug for Adopt<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopt").field("name", &self.guard.name).finish_non_exhaustive()
    }
}
