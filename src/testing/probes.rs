//! Probes: small values that a test puts into the code under test, and reads afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::name::Name;
use crate::panic::wake_all;
use crate::trace::tree;

/// Counts guards, and how many of them have been dropped.
///
/// Put a [`guard`](Drops::guard) into a future, a message or a connection, and check afterwards
/// that none is left. Clones count together.
///
/// ```
/// use foster::testing::Drops;
///
/// let drops = Drops::new();
/// let (one, two) = (drops.guard(), drops.guard());
/// drop(one);
/// assert_eq!((drops.count(), drops.alive()), (1, 1));
/// drop(two);
/// assert_eq!((drops.count(), drops.alive()), (2, 0));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Drops {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    guards: Mutex<Guards>,
    /// Notified when a guard has been dropped.
    dropped: Condvar,
}

#[derive(Debug, Default)]
struct Guards {
    made: usize,
    dropped: usize,
}

impl Guards {
    fn alive(&self) -> usize {
        self.made - self.dropped
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, Guards> {
        self.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drops {
    /// Creates a counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a value whose drop is counted.
    pub fn guard(&self) -> DropGuard {
        self.counts.lock().made += 1;
        DropGuard { counts: self.counts.clone() }
    }

    /// Returns how many guards have been dropped.
    pub fn count(&self) -> usize {
        self.counts.lock().dropped
    }

    /// Returns how many guards have not been dropped.
    pub fn alive(&self) -> usize {
        self.counts.lock().alive()
    }

    /// Blocks until all guards have been dropped, for at most `patience`. Returns whether they have
    /// been.
    pub(crate) fn await_all(&self, patience: Duration) -> bool {
        let some_alive = |guards: &mut Guards| guards.alive() > 0;
        let waited = self.counts.dropped.wait_timeout_while(self.counts.lock(), patience, some_alive);
        waited.unwrap_or_else(PoisonError::into_inner).0.alive() == 0
    }
}

/// A guard of [`Drops`], which is counted when it is dropped.
#[derive(Debug)]
#[must_use = "it is dropped, and counted, at once"]
pub struct DropGuard {
    counts: Arc<Counts>,
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.counts.lock().dropped += 1;
        self.counts.dropped.notify_all();
    }
}

/// Counts how often futures are polled. Clones count together.
///
/// ```
/// use foster::testing::Polls;
///
/// # futures::executor::block_on(async {
/// let polls = Polls::new();
/// polls.of(async { foster::yield_now().await }).await;
/// assert_eq!(polls.count(), 2);
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Polls {
    count: Arc<AtomicUsize>,
}

impl Polls {
    /// Creates a counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wraps `future`, and counts each of its polls.
    pub fn of<F: Future>(&self, future: F) -> Polled<F> {
        Polled { future, polls: self.clone() }
    }

    /// Returns how many polls there have been.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

pin_project! {
    /// The future of [`Polls::of`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Polled<F> {
        #[pin]
        future: F,
        polls: Polls,
    }
}

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.polls.count.fetch_add(1, Ordering::SeqCst);
        this.future.poll(cx)
    }
}

/// Holds back whoever [waits](Gate::wait) at it, until the test opens it.
///
/// Clones are the same gate. It may be opened from any thread. The reports of the test kit show its
/// name.
///
/// ```
/// use foster::testing::Gate;
///
/// # futures::executor::block_on(async {
/// let gate = Gate::named("the reply");
/// let reply = foster::scope(async |s| {
///     let reply = s.spawn(async { gate.wait().await; "hello" });
///     while gate.waiting() == 0 {
///         foster::yield_now().await;
///     }
///     assert!(!reply.is_finished());
///     gate.open();
///     reply.await
/// });
/// assert_eq!(reply.await, "hello");
/// # });
/// ```
#[derive(Clone)]
pub struct Gate {
    inner: Arc<GateInner>,
}

struct GateInner {
    name: Name,
    /// No waker is cloned, woken or dropped under this lock.
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    open: bool,
    /// The wakers by ticket, which is the order in which they came.
    waiting: BTreeMap<u64, Waker>,
    /// How many tickets there have been.
    tickets: u64,
}

impl Gate {
    /// Creates a closed gate, named after the file and line of this call.
    #[track_caller]
    pub fn new() -> Self {
        Self::of(Name::caller())
    }

    /// Creates a closed gate with a name.
    pub fn named(name: impl Into<Name>) -> Self {
        Self::of(name.into())
    }

    fn of(name: Name) -> Self {
        Gate { inner: Arc::new(GateInner { name, state: Mutex::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everyone pass who waits, and everyone who comes until the gate is
    /// [closed](Gate::close).
    pub fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        wake_all(waiting.into_values());
    }

    /// Makes everyone wait from now on, and those who were let pass and have not been polled since.
    pub fn close(&self) {
        self.lock().open = false;
    }

    /// Returns whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.lock().open
    }

    /// Returns how many wait: those that have been polled, and neither let pass nor dropped since.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Waits until the gate is open.
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing.
    pub fn wait(&self) -> GateWait {
        GateWait { gate: self.clone(), ticket: None }
    }
}

impl Default for Gate {
    #[track_caller]
    fn default() -> Self {
        Gate::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, waiting) = (self.is_open(), self.waiting());
        f.debug_struct("Gate").field("name", &self.inner.name).field("open", &open).field("waiting", &waiting).finish()
    }
}

/// The future of [`Gate::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct GateWait {
    gate: Gate,
    ticket: Option<u64>,
}

impl GateWait {
    /// Removes the waker, if it is still there.
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let waker = self.gate.lock().waiting.remove(&ticket);
            drop(waker);
        }
    }
}

impl Future for GateWait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let waker = cx.waker().clone();
        let mut state = this.gate.lock();
        // Whoever opened the gate has taken all tickets.
        if state.open {
            return Poll::Ready(());
        }
        let ticket = *this.ticket.get_or_insert_with(|| {
            state.tickets += 1;
            state.tickets
        });
        let replaced = state.waiting.insert(ticket, waker);
        drop(state);
        drop(replaced);
        tree::waiting(|| tree::quoted("gate ", &this.gate.inner.name));
        Poll::Pending
    }
}

impl Drop for GateWait {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Polls `future` once, and returns the result of that poll.
///
/// Pass the future itself, or a pinned `&mut` to one that you poll again. Its waker is that of the
/// task that awaits this.
///
/// ```
/// use foster::testing::{Gate, poll_once};
/// use std::pin::pin;
///
/// # futures::executor::block_on(async {
/// let gate = Gate::new();
/// let mut wait = pin!(gate.wait());
/// assert!(poll_once(&mut wait).await.is_pending());
/// gate.open();
/// assert!(poll_once(&mut wait).await.is_ready());
/// # });
/// ```
pub fn poll_once<F: Future>(future: F) -> PollOnce<F> {
    PollOnce { future }
}

pin_project! {
    /// The future of [`poll_once`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct PollOnce<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for PollOnce<F> {
    type Output = Poll<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.project().future.poll(cx))
    }
}

/// Gives `future` a name, which the reports of the test kit show while it is pending.
///
/// foster's own futures and the children of scopes have names already. This is for futures that
/// come from elsewhere.
///
/// ```
/// use foster::testing::{cancel_at_every_await, waiting_for};
///
/// let ask = || async {
///     let (question, answer) = futures::channel::oneshot::channel();
///     foster::scope(async |s| {
///         s.spawn_parallel(async move { drop(question.send(7)) });
///         assert_eq!(waiting_for("the answer", answer).await, Ok(7));
///     })
///     .named("ask")
///     .await
/// };
/// let report = cancel_at_every_await(ask, || ());
/// assert_eq!(report.suspensions()[0], "scope `ask` > the answer");
/// ```
pub fn waiting_for<F: Future>(what: impl Into<Name>, future: F) -> WaitingFor<F> {
    WaitingFor { future, what: what.into() }
}

pin_project! {
    /// The future of [`waiting_for`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct WaitingFor<F> {
        #[pin]
        future: F,
        what: Name,
    }
}

impl<F: Future> Future for WaitingFor<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.future.poll(cx);
        if polled.is_pending() {
            tree::waiting(|| this.what.to_string());
        }
        polled
    }
}

/// Makes wakers, and counts how often they are woken and how many of them are still held.
///
/// ```
/// use foster::testing::{CountingWaker, Gate};
/// use std::pin::pin;
///
/// let (gate, waker) = (Gate::new(), CountingWaker::new());
/// let mut wait = pin!(gate.wait());
/// assert!(waker.poll(wait.as_mut()).is_pending());
/// assert_eq!((waker.count(), waker.held()), (0, 1));
/// gate.open();
/// assert_eq!((waker.count(), waker.held()), (1, 0));
/// assert!(waker.poll(wait.as_mut()).is_ready());
/// ```
#[derive(Clone, Debug, Default)]
pub struct CountingWaker {
    wakes: Arc<WakeCount>,
    // `wakes` is shared by the wakers and by the clones of this. `clones` is shared by the clones
    // alone, so that the difference is the number of wakers.
    clones: Arc<()>,
}

#[derive(Debug, Default)]
struct WakeCount {
    count: AtomicUsize,
}

impl Wake for WakeCount {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

impl CountingWaker {
    /// Creates a counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a waker that is counted here.
    pub fn waker(&self) -> Waker {
        self.wakes.clone().into()
    }

    /// Polls `future` with a counted waker.
    pub fn poll<F: Future + ?Sized>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker()))
    }

    /// Returns how often the wakers were woken, all together.
    pub fn count(&self) -> usize {
        self.wakes.count.load(Ordering::SeqCst)
    }

    /// Returns how many of the wakers have not been dropped.
    ///
    /// A waker that is kept after its future is gone is a leak.
    pub fn held(&self) -> usize {
        Arc::strong_count(&self.wakes) - Arc::strong_count(&self.clones)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;
    use crate::panic::catch;

    #[test]
    fn a_gate_forgets_who_no_longer_waits() {
        let (gate, waker) = (Gate::new(), CountingWaker::new());
        let mut stays = pin!(gate.wait());
        {
            let mut leaves = pin!(gate.wait());
            assert!(waker.poll(stays.as_mut()).is_pending() && waker.poll(leaves.as_mut()).is_pending());
            assert_eq!((gate.waiting(), waker.held()), (2, 2));
        }
        assert_eq!((gate.waiting(), waker.held()), (1, 1));
        gate.open();
        assert_eq!((gate.waiting(), waker.count(), waker.held()), (0, 1, 0));
    }

    #[test]
    fn a_gate_that_is_closed_again_holds_back_who_has_not_run_since() {
        let (gate, waker) = (Gate::new(), CountingWaker::new());
        let mut wait = pin!(gate.wait());
        assert!(waker.poll(wait.as_mut()).is_pending());
        gate.open();
        gate.close();
        assert!(waker.poll(wait.as_mut()).is_pending());
        assert_eq!((gate.waiting(), gate.is_open()), (1, false));
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_at_an_open_gate() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker that panics");
            }
        }
        let (gate, waker) = (Gate::new(), CountingWaker::new());
        let (mut first, mut second) = (pin!(gate.wait()), pin!(gate.wait()));
        assert!(first.as_mut().poll(&mut Context::from_waker(&Arc::new(Panics).into())).is_pending());
        assert!(waker.poll(second.as_mut()).is_pending());
        assert!(catch(|| gate.open()).is_err());
        assert_eq!(waker.count(), 1);
    }

    #[test]
    fn drops_are_awaited_until_the_last_one_or_no_longer_than_that() {
        let (drops, patience) = (Drops::new(), Duration::from_secs(60));
        assert!(drops.await_all(patience));
        let guard = drops.guard();
        assert!(!drops.await_all(Duration::ZERO));
        let begun = std::time::Instant::now();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // Most likely it is awaited by then, and so has to be told.
                std::thread::sleep(Duration::from_millis(10));
                drop(guard);
            });
            assert!(drops.await_all(patience));
        });
        assert!(begun.elapsed() < patience);
    }

    #[test]
    fn clones_of_a_counting_waker_are_no_wakers() {
        let waker = CountingWaker::new();
        let clone = waker.clone();
        assert_eq!(waker.held(), 0);
        let (one, two) = (waker.waker(), clone.waker());
        one.wake_by_ref();
        two.wake();
        assert_eq!((waker.count(), clone.held()), (2, 1));
    }
}
