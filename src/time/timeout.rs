//! Ends a future that takes too long.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::deadline::{Deadline, When};
use crate::cancel::reason::Reason;
use crate::cancel::token::Level;
use crate::cancel::{Idle, Region};
use crate::context::deadlines::{MovableDeadlines, NO_DEADLINE};
use crate::context::{self, Ambient, Swap};
use crate::name::Name;
use crate::runtime::{Instant, Timer};

/// Runs `future` for at most `duration`, counted from the first poll.
///
/// When the time is up, the future is wound down before this returns:
///
/// - What needs time to end (async finalizers, shields, parallel children) ends first. This works
///   across combinators that are not foster's, too.
/// - Everything else is dropped at once.
///
/// A wind-down lasts as long as the cleanup does, unless [`grace`](Timeout::grace) bounds it. If
/// the future still produces a value while it is wound down, that value is returned.
///
/// The future is polled before the clock is read. So its result wins a tie, even against a timeout
/// of zero, and what the first poll computes before it is first pending does not count.
///
/// [`Duration::MAX`] and `None`, which [`remaining`](crate::remaining) may return, never expire.
///
/// The counterpart of `asyncio.wait_for` and `asyncio.timeout`, of Trio's `fail_after`, and of
/// `tokio::time::timeout`. tokio drops the future instead of winding it down.
///
/// # Errors
///
/// Returns [`Elapsed`] if the time is up first. If two nested timeouts expire at the same instant,
/// the outer one returns it. One in a parallel child may return it before that.
///
/// # Cancellation
///
/// Dropping the returned future drops `future`.
///
/// # Cost
///
/// A future that is ready at its first poll costs no timer and, if it is no scope, no look at the
/// clock. Otherwise the runtime's timer may allocate: tokio's does not, while those of smol,
/// async-std and `futures-timer` do. The timeout itself allocates only if something inside asks for
/// its token, or when it expires.
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
    Timeout::new(TimeoutDeadline::Fixed(duration.into().map_or(When::Never, When::after)), future)
}

/// Runs `future` until `at` at the latest.
///
/// Use it to share one deadline between several steps. `None` never expires. Otherwise this is like
/// [`timeout`]. The counterpart of `asyncio.timeout_at`, Trio's `fail_at` and
/// `tokio::time::timeout_at`.
///
/// # Errors
///
/// Returns [`Elapsed`] if the deadline passes first.
///
/// # Cancellation
///
/// As for [`timeout`].
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
    Timeout::new(TimeoutDeadline::Fixed(at.into().map_or(When::Never, When::At)), future)
}

/// Where the deadline of a timeout is kept.
enum TimeoutDeadline {
    Fixed(When),
    Movable(Movable),
}

/// A deadline that can be moved. It ends when the timeout does.
struct Movable {
    deadline: Deadline,
    /// Its node in the list of movable deadlines. The context holds it during a poll.
    link: MovableDeadlines,
}

impl Drop for Movable {
    fn drop(&mut self) {
        self.deadline.end();
    }
}

impl TimeoutDeadline {
    /// Fixes the instant of a deadline that counts from the first poll, which is at `now`.
    #[inline]
    fn start(&mut self, now: Instant) {
        match self {
            TimeoutDeadline::Fixed(when) => when.start(now),
            TimeoutDeadline::Movable(movable) => movable.deadline.start(now),
        }
    }

    /// Returns the instant at which the deadline is due, and listens for moves of it.
    #[inline]
    fn listen(&self, cx: &Context<'_>) -> Option<Instant> {
        match self {
            TimeoutDeadline::Fixed(when) => when.at(),
            TimeoutDeadline::Movable(movable) => movable.deadline.listen(cx.waker()).at(),
        }
    }

    /// Ends the deadline. Returns false if it has been moved away from `at`: the caller listens
    /// anew.
    fn expire(&self, at: Instant) -> bool {
        match self {
            TimeoutDeadline::Fixed(_) => true,
            TimeoutDeadline::Movable(movable) => movable.deadline.expire(at),
        }
    }

    /// Ends the deadline of a future that has completed in time.
    #[inline]
    fn end(&self) {
        if let TimeoutDeadline::Movable(movable) = self {
            movable.deadline.end();
        }
    }
}

/// How many polls an expired timeout waits for an enclosing one to report first. What lies between
/// the two may poll more than once before it returns: `FuturesUnordered` twice, a scope three
/// times.
const PATIENCE: u8 = 8;

/// How far a timeout has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeoutPhase {
    /// Not polled yet.
    Fresh,
    /// Polled, and the deadline has not passed.
    Running,
    /// The deadline has passed, and the future is being wound down.
    WindingDown,
    /// The grace after the deadline has passed, too.
    Overdue { idle: Idle },
}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`] and [`Deadline::timeout`].
    ///
    /// Polled again after it was ready, it stays pending, or returns [`Elapsed`] again.
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        region: Region<F>,
        phase: TimeoutPhase,
        limit: TimeoutDeadline,
        // `None` waits for as long as the cleanup takes.
        grace: Option<Duration>,
        // Set to `timer_at`, which is the deadline, and later the end of the grace. Made once the
        // future has been pending.
        #[pin]
        timer: Option<Timer>,
        timer_at: Option<Instant>,
        // How many polls this has been expired and has left the report to an enclosing timeout.
        deferred: u8,
    }
}

impl<F: Future> Timeout<F> {
    fn new(limit: TimeoutDeadline, future: F) -> Self {
        Timeout {
            region: Region::new(future),
            phase: TimeoutPhase::Fresh,
            limit,
            grace: None,
            timer: None,
            timer_at: None,
            deferred: 0,
        }
    }

    pub(super) fn movable(deadline: Deadline, future: F) -> Self {
        Self::new(TimeoutDeadline::Movable(Movable { deadline, link: None }), future)
    }

    /// Bounds the wind-down by `grace`, counted from its beginning.
    ///
    /// What has not ended by then is dropped, and [`Elapsed::overrun`] names it. Finalizers that
    /// had no turn by then are polled once. [`Duration::MAX`] is no bound, and is the default.
    ///
    /// [`Duration::ZERO`] waits for nothing. A blocking job that is running cannot be interrupted.
    /// It is transferred to the scope that encloses the timeout, which waits for it before it
    /// resolves.
    ///
    /// A shield or a scope that has begun and that nobody polls any more is dropped, too. It is not
    /// named, and its finalizers have no turn.
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

    /// Polls the future with the deadline in force.
    #[inline]
    fn poll_inside(self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let TimeoutDeadline::Fixed(when) = self.limit else { return self.poll_movable(ambient, cx) };
        let (at, after) = match when {
            When::Never => (None, NO_DEADLINE),
            When::After(nanos) => (None, nanos),
            When::At(at) => (Some(at), NO_DEADLINE),
        };
        let _after = ambient.due_after(after);
        let _at = at.map(|at| ambient.due_at(at));
        self.project().region.poll_in(ambient, cx)
    }

    /// Polls the future with a deadline in force that can be moved.
    #[inline(never)]
    fn poll_movable(self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = self.project();
        let TimeoutDeadline::Movable(Movable { deadline, link }) = this.limit else { return Poll::Pending };
        // The clock is read before the first poll here, because `Deadline::when` may be asked.
        if *this.phase == TimeoutPhase::Fresh {
            deadline.start(ambient.now());
        }
        Ambient::renew(link, &ambient.movable, || deadline.movable());
        let _movable = Swap::new(&ambient.movable, link);
        this.region.poll_in(ambient, cx)
    }

    /// Returns whether the timer for `at` has fired, and makes the timer if there is none yet.
    /// `now` spares a look at the clock.
    #[inline]
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
            // An expired timeout may come back here. Then it reads the clock, because a timer that
            // has fired is not polled again.
            this.timer.set(None);
            *this.timer_at = None;
        }
        fired
    }

    /// Moves to the next phase if it is time. Returns true if the future must be polled again.
    fn advance(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> bool {
        let mut now = None;
        if self.phase == TimeoutPhase::Fresh {
            let this = self.as_mut().project();
            *this.phase = TimeoutPhase::Running;
            this.limit.start(*now.insert(ambient.now()));
        }
        match self.phase {
            TimeoutPhase::Running => {
                let Some(at) = self.limit.listen(cx) else { return false };
                self.as_mut().poll_timer(at, now, ambient, cx) && self.expire(at, ambient, cx)
            }
            TimeoutPhase::WindingDown => {
                let Some(at) = self.timer_at else { return false };
                if !self.as_mut().poll_timer(at, now, ambient, cx) {
                    return false;
                }
                self.overdue();
                true
            }
            TimeoutPhase::Fresh | TimeoutPhase::Overdue { .. } => false,
        }
    }

    /// Begins the wind-down at the deadline `at`, unless somebody else came first. Returns true if
    /// the future must be polled again.
    #[cold]
    fn expire(self: Pin<&mut Self>, at: Instant, ambient: &Ambient, cx: &Context<'_>) -> bool {
        let mut this = self.project();
        if ambient.is_doomed() {
            // The enclosing region was cancelled first. Its owner drops this timeout, which reports
            // nothing.
            return false;
        }
        if !this.limit.expire(at) {
            return true;
        }
        // The enclosing timeout expires at this instant, too, and reports it. In a destructor or in
        // a blocking job nobody does so, which shows when the next polls still find this timeout
        // here.
        let is_second = ambient.deadline().is_some_and(|enclosing| enclosing <= at);
        if is_second && *this.deferred < PATIENCE {
            *this.deferred += 1;
            cx.waker().wake_by_ref();
            return false;
        }
        *this.phase = TimeoutPhase::WindingDown;
        let end = this.grace.and_then(|grace| ambient.now().checked_add(grace));
        this.timer.set(end.map(|end| ambient.timer(end)));
        *this.timer_at = end;
        this.region.trip(Level::Cancelled, &Arc::new(Reason::Deadline));
        true
    }

    /// Tells everything inside that the grace has passed.
    #[cold]
    fn overdue(self: Pin<&mut Self>) {
        let this = self.project();
        *this.phase = TimeoutPhase::Overdue { idle: Idle::default() };
        this.region.trip(Level::Overdue, &Arc::new(Reason::Deadline));
    }

    // A function of its own, so that `poll` stays short enough to be inlined.
    #[inline(never)]
    fn poll_in(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Result<F::Output, Elapsed>> {
        loop {
            // The future goes before the clock: its result wins a tie.
            match self.as_mut().poll_inside(ambient, cx) {
                Poll::Ready(Some(value)) => {
                    self.limit.end();
                    return Poll::Ready(Ok(value));
                }
                Poll::Ready(None) => return self.dropped().map(Err),
                Poll::Pending => match self.as_mut().suspend(ambient, cx) {
                    Poll::Ready(Some(elapsed)) => return Poll::Ready(Err(elapsed)),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    /// Ends a poll in which the future was found to be cancelled, and dropped.
    #[cold]
    fn dropped(&self) -> Poll<Elapsed> {
        match self.phase {
            TimeoutPhase::WindingDown | TimeoutPhase::Overdue { .. } => Poll::Ready(self.elapsed()),
            // Cancelled from outside. Whoever did that drops this timeout.
            TimeoutPhase::Fresh | TimeoutPhase::Running => Poll::Pending,
        }
    }

    /// Looks at the clock after a poll that was pending. Returns `Ready(None)` if the future must
    /// be polled again.
    #[inline(never)]
    fn suspend(mut self: Pin<&mut Self>, ambient: &Ambient, cx: &mut Context<'_>) -> Poll<Option<Elapsed>> {
        if self.as_mut().is_stuck(cx) {
            self.as_mut().project().region.give_up();
            return Poll::Ready(Some(self.elapsed()));
        }
        if self.advance(ambient, cx) { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Returns whether the grace has passed, and what still has holds is not polled any more.
    #[inline]
    fn is_stuck(self: Pin<&mut Self>, cx: &Context<'_>) -> bool {
        let this = self.project();
        let TimeoutPhase::Overdue { idle } = this.phase else { return false };
        idle.is_stuck(this.region.as_ref().get_ref().token(), cx)
    }

    /// Returns whether the time is up, and the future has not been let go of.
    pub(super) fn has_expired(&self) -> bool {
        matches!(self.phase, TimeoutPhase::WindingDown | TimeoutPhase::Overdue { .. })
    }

    /// Returns the error, once nothing is left inside.
    fn elapsed(&self) -> Elapsed {
        let overrun = match self.region.token() {
            Some(token) if matches!(self.phase, TimeoutPhase::Overdue { .. }) => token.take_overrun(),
            _ => Vec::new(),
        };
        Elapsed { overrun: (!overrun.is_empty()).then(|| Arc::new(overrun)) }
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

/// The error of a timeout: the deadline passed before the future completed.
///
/// It is an ordinary error. The future has been wound down, and nothing outside the timeout is
/// cancelled. It converts into an [`io::Error`] of the kind `TimedOut`. The counterpart of Python's
/// `TimeoutError` and of tokio's `Elapsed`.
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
    /// It takes one word, so that a result with this error is returned in registers. It is an
    /// `Arc`, because the code that drops one is shorter than that for a `Box`.
    overrun: Option<Arc<Vec<Name>>>,
}

impl Elapsed {
    pub(crate) fn new() -> Self {
        Elapsed { overrun: None }
    }

    /// Returns the names of what had not ended within the [grace](Timeout::grace), and was dropped.
    ///
    /// The slice is empty if there was no grace. A finalizer is named by the file and line of its
    /// `defer`, and a shield by those of its call. Log them: this cleanup did not complete.
    pub fn overrun(&self) -> &[Name] {
        self.overrun.as_ref().map_or(&[], |overrun| overrun)
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed before the work was done")?;
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
