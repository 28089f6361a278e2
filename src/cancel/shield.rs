//! Keeps a future from being dropped by foster's cancellations.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::token::{Hold, Level, Token, TokenListener};
use crate::context::{self, Ambient, Watch};
use crate::name::Name;
use crate::trace::tree;

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
/// other code drops the shield (`tokio::select!`), `future` is dropped at once:
/// [`adopt`](crate::adopt) survives that.
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
    Shield { inside: Some(future), region: FreshRegion::new() }
}

/// What shields and adopted futures share: a hold on the enclosing region, and a fresh region
/// inside.
pub(super) struct FreshRegion {
    /// The token of the fresh region inside. It is never cancelled.
    token: Option<Token>,
    /// The hold on the enclosing region, from the first poll to the last. `None` outside any
    /// region.
    pub(super) hold: Option<(Hold, TokenListener)>,
    /// Whether the future inside has been polled.
    pub(super) started: bool,
    /// The file and line of the call that made it.
    pub(super) name: Name,
}

impl FreshRegion {
    #[track_caller]
    pub(super) fn new() -> Self {
        FreshRegion { token: None, hold: None, started: false, name: Name::caller() }
    }

    /// Takes, or keeps, the hold. Returns whether the future may be polled.
    pub(super) fn enter(&mut self, ambient: &Ambient, cx: &mut Context<'_>) -> bool {
        if !self.started && ambient.is_tripped() {
            return false;
        }
        self.started = true;
        let Some(token) = ambient.region_token() else {
            self.hold = None;
            return true;
        };
        // The future may have moved to another region since its last poll.
        if !self.hold.as_ref().is_some_and(|(hold, _)| hold.is_on(&token)) {
            self.hold = Some((token.hold(), TokenListener::new(token.clone())));
        }
        // Before the level is looked at, so that no rise of it is missed.
        if let Some((_, listener)) = &mut self.hold {
            listener.listen(cx.waker());
        }
        if token.level() == Level::Overdue {
            token.report_overrun(&self.name);
            return false;
        }
        true
    }

    /// Polls the future in its fresh region.
    pub(super) fn poll<F: Future>(
        &mut self,
        ambient: &Ambient,
        inside: Pin<&mut F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
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
        // After the future, which is dropped before the hold is released.
        region: FreshRegion,
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
            if !this.region.enter(ambient, cx) {
                if this.region.started {
                    // The future goes before the hold does, so that whoever waits for the last hold
                    // finds nothing left inside.
                    context::outside(|| this.inside.set(None));
                    this.region.hold = None;
                }
                return Poll::Pending;
            }
            let Some(inside) = this.inside.as_mut().as_pin_mut() else { return Poll::Pending };
            let polled = this.region.poll(ambient, inside, cx);
            if polled.is_ready() {
                this.inside.set(None);
                this.region.hold = None;
            }
            polled
        })
    }
}

impl<F> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("name", &self.region.name).finish_non_exhaustive()
    }
}
