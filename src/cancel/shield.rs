//! Futures that no cancellation of ours drops, and futures that no drop ends.

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

/// Keeps `future` from being dropped by any cancellation of foster's until it completes. It may borrow.
///
/// The region around it waits: a timeout that expires meanwhile returns when the shield is over. Inside, the deadlines
/// and cancellations around do not count, so that cleanup may use timeouts of its own.
///
/// A shield that is *first polled* in a region that is being wound down does not start, and stays pending until it is
/// dropped: otherwise `loop { shield(..).await }` would never end.
///
/// The counterparts of Trio's `CancelScope(shield=True)` and of asyncio's `shield`, which, unlike this one, lets its caller go on.
///
/// # Cancellation
///
/// Dropped by code that is not foster's (`tokio::select!`), the future is dropped with it: [`adopt`] survives that. Past
/// the grace of the wind-down around it, it is dropped, and reported by its file and line.
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

/// Runs `future` to its end, whoever drops the wait for it.
///
/// Like [`shield`], and it also survives drops by code that is not foster's, and panics: once started, an unfinished
/// future passes to the enclosing scope, which finishes it before it resolves; without a scope, to
/// [`Handle::run`](crate::Handle::run) or [`enter`](crate::Handle::enter). That is why it must be `'static + Send`.
///
/// # Cancellation
///
/// Where nothing encloses it, a task of the tokio runtime on whose thread it is dropped finishes it, with
/// the feature `tokio`: in the handler of a web framework whose client hung up. Elsewhere it is dropped with
/// the wait for it.
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
///         // A select that is not foster's, and has lost interest in the commit after the first poll.
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

/// What shields and adopted futures share: a hold on the region around, and a fresh region inside.
struct Guard {
    /// The token of the fresh region inside. Nothing ever trips it.
    token: Option<Token>,
    /// There from the first poll to the last, inside a region.
    around: Option<(Hold, Listener)>,
    started: bool,
    name: Name,
}

impl Guard {
    #[track_caller]
    fn new() -> Self {
        Guard { token: None, around: None, started: false, name: Name::caller() }
    }

    /// Takes, or keeps, the hold. False if the future must not run here any more.
    fn enter(&mut self, ambient: &Ambient, cx: &mut Context<'_>) -> bool {
        if !self.started && ambient.is_tripped() {
            return false;
        }
        self.started = true;
        let Some(token) = ambient.region_token() else {
            self.around = None;
            return true;
        };
        if !self.around.as_ref().is_some_and(|(hold, _)| hold.is_on(&token)) {
            self.around = Some((token.hold(), Listener::new(token.clone())));
        }
        if let Some((_, listener)) = &mut self.around {
            listener.listen(cx.waker());
        }
        if token.level() == Level::Overdue {
            token.report_overrun(&self.name);
            return false;
        }
        true
    }

    fn poll<F: Future>(&mut self, ambient: &Ambient, inside: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let poll = || ambient.enter_fresh(&mut self.token, || inside.poll(cx));
        match ambient.watch.get() {
            Watch::Draw => tree::named(tree::quoted("shield ", &self.name), poll),
            Watch::No | Watch::Trace => poll(),
        }
    }
}

pin_project! {
    /// The future of [`shield`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Shield<F> {
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

/// The future of [`adopt`].
#[must_use = "futures do nothing unless polled"]
pub struct Adopt<F>
where
    F: Future + Send + 'static,
{
    inside: Option<Pin<Box<F>>>,
    guard: Guard,
    adopter: Option<Arc<Control>>,
}

impl<F: Future + Send + 'static> Adopt<F> {
    /// Gives the future away, if it was started and is not over.
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
            // Out of reach of the drop that follows if it panics: then it is over.
            let Some(mut inside) = this.inside.take() else { return Poll::Pending };
            let polled = this.guard.poll(ambient, inside.as_mut(), cx);
            match polled.is_ready() {
                true => this.guard.around = None,
                false => this.inside = Some(inside),
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

/// An adopted future, once somebody else has to finish it.
struct Handed<F> {
    inside: Pin<Box<F>>,
    name: Name,
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
