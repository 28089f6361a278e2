//! Ending a future that takes too long.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::deadline::{Deadline, When};
use crate::cancel::Region;
use crate::context::{self, Ambient, Link, Swap};
use crate::control::Adopted;
use crate::name::Name;
use crate::runtime::{Instant, Timer};
use crate::token::{Level, Reason};

/// Runs `future` for `duration` at most, counted from the first poll. With `None`, which
/// [`remaining`](crate::remaining) may return, it never expires.
///
/// The future is polled before the clock is read: a result wins a tie, also against a timeout of zero, and for a future
/// that is ready at once no timer is made, nor the clock looked at. So what the first poll computes before it is first
/// suspended is not counted. [`Duration::MAX`] never expires.
///
/// When the time is over, `future` is wound down: what inside needs time to end (async finalizers, shields, parallel
/// children) has ended when this returns, also when combinators that are not foster's lie in between. What needs none is
/// dropped at once. A wind-down lasts as long as the cleanup does; [`grace`](Timeout::grace) bounds it. A value
/// that the future still produces while it is wound down is delivered.
///
/// The counterpart of `asyncio.wait_for` and `asyncio.timeout`, Trio's `fail_after`, and `tokio::time::timeout`.
///
/// # Errors
///
/// [`Elapsed`]. Where two nested timeouts expire at one instant, the outer one reports it.
///
/// # Cancellation
///
/// Dropping it drops `future`.
///
/// # Cost
///
/// No allocation besides those of `future`, and of the runtime's timer once there is one: tokio's needs none, those of smol,
/// async-std and `futures-timer` do.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{sleep, timeout};
/// use std::time::Duration;
///
/// assert_eq!(timeout(Duration::ZERO, async { 7 }).await, Ok(7));
/// let late = timeout(Duration::from_millis(1), sleep(Duration::from_secs(60)));
/// assert!(late.await.is_err());
/// # });
/// ```
pub fn timeout<F: Future>(duration: impl Into<Option<Duration>>, future: F) -> Timeout<F> {
    Timeout::new(Limit::Fixed(duration.into().map_or(When::Never, When::After)), future)
}

/// Runs `future` until `at` at the latest, or for ever with `None`. Otherwise like [`timeout`].
///
/// The counterpart of `asyncio.timeout_at`, Trio's `fail_at` and `tokio::time::timeout_at`.
///
/// # Errors
///
/// [`Elapsed`].
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{now, sleep, timeout_at};
///     use std::time::Duration;
///
///     let second = Duration::from_secs(1);
///     let end = now() + 5 * second;
///     // Three steps that share five seconds.
///     let mut steps = 0;
///     while timeout_at(end, sleep(2 * second)).await.is_ok() {
///         steps += 1;
///     }
///     assert_eq!((steps, now()), (2, end));
/// });
/// ```
pub fn timeout_at<F: Future>(at: impl Into<Option<Instant>>, future: F) -> Timeout<F> {
    Timeout::new(Limit::Fixed(at.into().map_or(When::Never, When::At)), future)
}

/// Like [`timeout`], but does not wait for the wind-down: the enclosing scope does.
///
/// What inside still needs time to end when the time is over is adopted by the enclosing scope, or by
/// [`Handle::run`](crate::Handle::run), which is why `future` must be `'static + Send`. Without either a task of the tokio
/// runtime finishes it that polls this, with the feature `tokio`; elsewhere it is dropped.
///
/// # Errors
///
/// [`Elapsed`], at once.
///
/// # Cancellation
///
/// As for [`timeout`].
///
/// ```
/// # #[cfg(feature = "sim")]
/// foster::runtimes::Sim::default().run(async {
///     use foster::{now, scope, shield, sleep, timeout_detach};
///     use std::time::Duration;
///
///     let (start, second) = (now(), Duration::from_secs(1));
///     scope(async |_| {
///         let save = timeout_detach(second, async move { shield(sleep(5 * second)).await });
///         assert!(save.await.is_err());
///         assert_eq!(now() - start, second, "the caller goes on at once");
///     }).await;
///     assert_eq!(now() - start, 5 * second, "the scope waits for what is shielded");
/// });
/// ```
pub fn timeout_detach<F>(duration: impl Into<Option<Duration>>, future: F) -> TimeoutDetach<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    TimeoutDetach { timeout: Some(Box::pin(timeout(duration, future))) }
}

/// Where a timeout's deadline is kept.
enum Limit {
    Fixed(When),
    Movable(Movable),
}

/// The deadline of a timeout that can be moved. It ends with the timeout.
struct Movable {
    deadline: Deadline,
    /// Its place among the movable deadlines in the context; there during a poll.
    link: Option<Arc<Link>>,
}

impl Drop for Movable {
    fn drop(&mut self) {
        self.deadline.end();
    }
}

impl Limit {
    #[inline]
    fn start(&mut self, now: Instant) {
        match self {
            Limit::Fixed(when) => {
                if let When::After(duration) = *when {
                    *when = now.checked_add(duration).map_or(When::Never, When::At);
                }
            }
            Limit::Movable(movable) => movable.deadline.start(now),
        }
    }

    #[inline]
    fn listen(&self, cx: &Context<'_>) -> Option<Instant> {
        match self {
            Limit::Fixed(when) => when.at(),
            Limit::Movable(movable) => movable.deadline.listen(cx.waker()).at(),
        }
    }

    /// Ends it, unless it has been moved away from `at`, and then it is to be listened to anew.
    fn expire(&self, at: Instant) -> bool {
        match self {
            Limit::Fixed(_) => true,
            Limit::Movable(movable) => movable.deadline.expire(at),
        }
    }

    #[inline]
    fn end(&self) {
        if let Limit::Movable(movable) = self {
            movable.deadline.end();
        }
    }
}

/// In how many polls a timeout that has expired leaves it to the one around to say so. What lies between the two may
/// poll more than once before it returns: `FuturesUnordered` twice, a scope three times.
const PATIENCE: u8 = 8;

/// How far a timeout has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not polled yet.
    Fresh,
    /// Polled, and the deadline is ahead.
    Running,
    /// Expired; what is inside is ending.
    WindingDown,
    /// Expired, and so has the grace.
    Overdue,
}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`] and [`Deadline::timeout`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        region: Region<F>,
        phase: Phase,
        limit: Limit,
        // `None`: as long as it takes.
        grace: Option<Duration>,
        // For the instant beside it: the deadline, then the end of the grace. Made once the inside has been pending.
        #[pin]
        timer: Option<Timer>,
        timer_at: Option<Instant>,
        // In how many polls this has been expired, and left it to the timeout around to say so.
        deferred: u8,
    }
}

impl<F: Future> Timeout<F> {
    fn new(limit: Limit, future: F) -> Self {
        Timeout {
            region: Region::new(future),
            phase: Phase::Fresh,
            limit,
            grace: None,
            timer: None,
            timer_at: None,
            deferred: 0,
        }
    }

    pub(super) fn movable(deadline: Deadline, future: F) -> Self {
        Self::new(Limit::Movable(Movable { deadline, link: None }), future)
    }

    /// Bounds the wind-down: what has not ended by `grace` after the deadline is dropped, and named in the error.
    ///
    /// Finalizers that had no turn by then are polled once. [`Duration::MAX`] is no bound, as is the default.
    ///
    /// With [`Duration::ZERO`] nothing is waited for. A blocking job that is running cannot be interrupted: it passes to the
    /// scope that encloses the timeout, which waits for it before it resolves.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{now, scope, sleep, timeout};
    ///     use std::time::Duration;
    ///
    ///     let (start, second) = (now(), Duration::from_secs(1));
    ///     let late = timeout(10 * second, scope(async |s| {
    ///         s.defer(sleep(3600 * second));
    ///         std::future::pending::<()>().await
    ///     }));
    ///     let elapsed = late.grace(2 * second).await.unwrap_err();
    ///     assert_eq!(now() - start, 12 * second);
    ///     assert_eq!(elapsed.overrun().len(), 1);
    /// });
    /// ```
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Polls the inside with the deadline in force.
    #[inline]
    fn poll_inside(self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        match this.limit {
            Limit::Fixed(When::After(duration)) => {
                let _due = ambient.due_after(*duration);
                this.region.poll_in(ambient, cx)
            }
            Limit::Fixed(When::At(at)) => {
                let _due = ambient.due_at(*at);
                this.region.poll_in(ambient, cx)
            }
            Limit::Fixed(When::Never) => this.region.poll_in(ambient, cx),
            Limit::Movable(Movable { deadline, link }) => {
                // Here the clock is read before the first poll: the deadline can be asked when it is due.
                if *this.phase == Phase::Fresh {
                    deadline.start(ambient.now());
                }
                ambient.renew_link(link, || deadline.movable());
                let _movable = Swap::new(&ambient.movable, link);
                this.region.poll_in(ambient, cx)
            }
        }
    }

    /// Whether the timer for `at` has fired; makes it if there is none yet. `now` spares a look at the clock.
    fn poll_timer(
        self: Pin<&mut Self>,
        at: Instant,
        now: Option<Instant>,
        ambient: &Ambient,
        cx: &mut Context<'_>,
    ) -> bool {
        let mut this = self.project();
        if *this.timer_at != Some(at) {
            if at <= now.unwrap_or_else(|| ambient.now()) {
                return true;
            }
            this.timer.set(Some(ambient.timer(at)));
            *this.timer_at = Some(at);
        }
        let fired = this.timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(cx).is_ready());
        if fired {
            this.timer.set(None);
            *this.timer_at = None;
        }
        fired
    }

    /// Goes on to the next phase if it is time. True if the inside wants another poll.
    fn advance(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> bool {
        let mut now = None;
        if self.phase == Phase::Fresh {
            let this = self.as_mut().project();
            *this.phase = Phase::Running;
            this.limit.start(*now.insert(ambient.now()));
        }
        match self.phase {
            Phase::Running => {
                let Some(at) = self.limit.listen(cx) else { return false };
                self.as_mut().poll_timer(at, now, ambient, cx) && self.expire(at, ambient, cx)
            }
            Phase::WindingDown => {
                let Some(at) = self.timer_at else { return false };
                if !self.as_mut().poll_timer(at, now, ambient, cx) {
                    return false;
                }
                self.overdue();
                true
            }
            Phase::Fresh | Phase::Overdue => false,
        }
    }

    fn expire(self: Pin<&mut Self>, at: Instant, ambient: &Ambient, cx: &Context<'_>) -> bool {
        let mut this = self.project();
        if ambient.is_tripped() {
            // Whoever cancelled the region around came first: this says nothing, and is dropped.
            return false;
        }
        if !this.limit.expire(at) {
            return true;
        }
        if ambient.deadline().is_some_and(|around| around <= at) {
            // The timeout around expires at this instant too, and is the one to report it. In a destructor or
            // a blocking job there is nobody who does, which the next polls tell.
            if *this.deferred < PATIENCE {
                *this.deferred += 1;
                cx.waker().wake_by_ref();
                return false;
            }
        }
        *this.phase = Phase::WindingDown;
        let end = this.grace.and_then(|grace| ambient.now().checked_add(grace));
        this.timer.set(end.map(|end| ambient.timer(end)));
        *this.timer_at = end;
        this.region.trip(Level::Cancelled, &Arc::new(Reason::Deadline));
        true
    }

    fn overdue(self: Pin<&mut Self>) {
        let this = self.project();
        *this.phase = Phase::Overdue;
        this.region.trip(Level::Overdue, &Arc::new(Reason::Deadline));
    }

    // A function of its own, so that the way to the context is short enough to be inlined.
    #[inline(never)]
    fn poll_in(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Result<F::Output, Elapsed>> {
        loop {
            match self.as_mut().poll_inside(ambient, cx) {
                Poll::Ready(Some(value)) => {
                    self.limit.end();
                    return Poll::Ready(Ok(value));
                }
                Poll::Ready(None) => {
                    return match self.phase {
                        Phase::WindingDown | Phase::Overdue => Poll::Ready(Err(self.elapsed())),
                        // Cancelled from around: whoever did that drops this.
                        Phase::Fresh | Phase::Running => Poll::Pending,
                    };
                }
                Poll::Pending => {
                    if !self.as_mut().advance(ambient, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// The error, once nothing is left inside.
    fn elapsed(&self) -> Elapsed {
        let overrun = match self.region.token() {
            Some(token) if self.phase == Phase::Overdue => token.take_overrun(),
            _ => Vec::new(),
        };
        Elapsed { overrun: (!overrun.is_empty()).then(|| overrun.into()) }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|ambient| self.poll_in(ambient, cx))
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("phase", &self.phase).finish_non_exhaustive()
    }
}

/// The future of [`timeout_detach`].
#[must_use = "futures do nothing unless polled"]
pub struct TimeoutDetach<F> {
    /// `None` once it is over.
    timeout: Option<Pin<Box<Timeout<F>>>>,
}

impl<F> Future for TimeoutDetach<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(timeout) = &mut self.timeout else { return Poll::Pending };
        let polled = timeout.as_mut().poll(cx);
        let expired = matches!(timeout.phase, Phase::WindingDown | Phase::Overdue);
        if polled.is_pending() && !expired {
            return Poll::Pending;
        }
        let rest = self.timeout.take();
        if polled.is_pending() {
            if let Some(rest) = rest {
                let rest: Adopted = Box::pin(async move { drop(rest.await) });
                let refused = match context::with(|ambient| ambient.scope()) {
                    Some(adopter) => adopter.adopt(rest),
                    None => Err(rest),
                };
                drop(refused.or_else(context::finish));
            }
            return Poll::Ready(Err(Elapsed { overrun: None }));
        }
        polled
    }
}

impl<F> fmt::Debug for TimeoutDetach<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutDetach").finish_non_exhaustive()
    }
}

/// The time was over before the future was.
///
/// An ordinary error: what was guarded has been wound down, and nothing around it is cancelled.
///
/// Turns into an [`io::Error`] of the kind `TimedOut`. The counterpart of Python's `TimeoutError` and tokio's `Elapsed`.
///
/// ```
/// # futures::executor::block_on(async {
/// async fn read() -> std::io::Result<u8> {
///     let never = std::future::pending::<std::io::Result<u8>>();
///     foster::timeout(std::time::Duration::ZERO, never).await?
/// }
/// assert_eq!(read().await.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
/// # });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elapsed {
    overrun: Option<Box<[Name]>>,
}

impl Elapsed {
    pub(crate) fn new() -> Self {
        Elapsed { overrun: None }
    }

    /// What had not ended within the [grace](Timeout::grace), and was dropped. Empty without a grace.
    ///
    /// A finalizer's name is the file and line of its `defer`, as a shield's is that of its call. Worth a line in the log: this
    /// cleanup did not run to its end.
    pub fn overrun(&self) -> &[Name] {
        self.overrun.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before the work was")?;
        for (i, name) in self.overrun().iter().enumerate() {
            write!(f, "{} `{name}`", if i == 0 { "; cleanup that overran its grace:" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}
