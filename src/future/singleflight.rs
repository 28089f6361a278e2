//! One piece of work for all who ask for the same thing at the same time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::mem;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use futures_task::Spawn;

use super::catch_panic::{Panicked, catch_panic};
use crate::cancel::{Reason, Token};
use crate::context;
use crate::engine::atomics::{AtomicUsize, Ordering, ShortLock};
use crate::scope::Spawner;
use crate::sync::Statistics;
use crate::sync::wait_list::{Line, Wait, WaitList};
use crate::sync::waiters::Waiters;
use crate::sync::wakes::Wakes;

/// Shares one piece of work among all who ask for the same thing while it runs.
///
/// The first caller for a key [starts](Singleflight::run) the work. Those who ask for this key
/// meanwhile wait for its value, and drop their own work unpolled. When the work has ended, the key
/// is forgotten, and the next caller starts anew: this is no cache. It keeps a hundred requests for
/// one cold entry from asking the database a hundred times. The counterpart of Go's
/// `x/sync/singleflight`.
///
/// # The work belongs to a scope
///
/// It does not belong to the caller that started it. The work is a child of the scope that the
/// [`Spawner`] spawns into. So:
///
/// - a caller that is dropped, or whose time is up, stops nothing, and the others get the value;
/// - the work goes on whether or not its callers are polled;
/// - it sees neither the deadline nor the [inherited values](crate::Inherited) of any caller;
/// - when the scope ends, it has ended.
///
/// Work that nobody waits for any more goes on to its end, too, unless this is asked to
/// [cancel it](Singleflight::cancel_abandoned).
///
/// Use a scope that lives as long as the callers do: that of the service, not of one request.
///
/// # Values and errors
///
/// Each caller gets a clone of the value. Where that is expensive, let it be an [`Arc`]. An error
/// is a value like any other: `Result<T, Arc<E>>`. If the work panics, all callers panic, or get a
/// [`FlightError`] from [`outcome`](Flight::outcome). The scope does not fail.
///
/// Work that asks for its own key waits for itself, for ever.
///
/// # Cost
///
/// The first caller for a key allocates the work, as a child of the scope. The others allocate
/// nothing but their place in the line. `K`'s `Hash` and `Eq` run under a lock, and must not use
/// this value.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{future::Singleflight, gather, scope, yield_now};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
///
/// static ASKED: AtomicU32 = AtomicU32::new(0);
///
/// async fn ask_the_database(id: u32) -> String {
///     ASKED.fetch_add(1, Relaxed);
///     yield_now().await;
///     format!("user {id}")
/// }
///
/// let users = scope(async |s| {
///     let flights = Singleflight::new(s.spawner());
///     let user = |id| flights.run(id, ask_the_database(id));
///     gather((user(7), user(7), user(8), user(7))).await
/// }).await;
/// assert_eq!(users.0, "user 7");
/// assert_eq!((&users.1, &users.2, &users.3), (&users.0, &"user 8".into(), &users.0));
/// assert_eq!(ASKED.load(Relaxed), 2);
/// # });
/// ```
pub struct Singleflight<K, V> {
    spawner: Spawner,
    cancels_abandoned: bool,
    board: Arc<Flights<K, V>>,
}

/// The work that runs, by its key.
struct Flights<K, V> {
    work: ShortLock<HashMap<K, Arc<SharedWork<V>>>>,
    waiting: Arc<CallerCount>,
}

/// How many callers wait for any work, and the most that have done so at once.
#[derive(Default)]
struct CallerCount {
    now: AtomicUsize,
    peak: AtomicUsize,
}

/// One piece of work, as its callers see it.
struct SharedWork<V> {
    /// Set once, when the work has been dropped and its key is forgotten.
    outcome: OnceLock<Result<V, FlightError>>,
    list: WaitList<Callers>,
    /// Cancels the work.
    token: Token,
    cancels_abandoned: bool,
    waiting: Arc<CallerCount>,
}

/// Who waits for one piece of work.
struct Callers {
    /// How many have come and have not left.
    count: usize,
    /// Whether the last one has left, and the work is being cancelled. Then nobody joins.
    is_abandoned: bool,
    waiters: Waiters<(), ()>,
}

impl<K, V> Singleflight<K, V> {
    /// Creates one whose work is spawned by `spawner`.
    ///
    /// The work runs where [`Spawner`]'s children do: in parallel on the runtime that was in force
    /// when the spawner was made, or else on the scope's own task.
    pub fn new(spawner: Spawner) -> Self {
        let board = Arc::new(Flights { work: ShortLock::new(HashMap::new()), waiting: Arc::default() });
        Singleflight { spawner, cancels_abandoned: false, board }
    }

    /// Cancels work when the last caller that waits for it has been dropped.
    ///
    /// The work is wound down, as by [`Token::run_until_cancelled`]. A caller that comes later
    /// starts anew, even if what is left of the former work has not ended.
    pub fn cancel_abandoned(self) -> Self {
        Singleflight { cancels_abandoned: true, ..self }
    }

    /// Returns for how many keys work runs.
    pub fn len(&self) -> usize {
        self.board.work.lock().len()
    }

    /// Returns whether no work runs for any key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns for how many keys work runs, as [`in_use`](Statistics::in_use), and how many callers
    /// wait.
    pub fn statistics(&self) -> Statistics {
        let CallerCount { now, peak } = &*self.board.waiting;
        let (waiting, peak_waiting) = (now.load(Ordering::Relaxed), peak.load(Ordering::Relaxed));
        Statistics { in_use: self.len(), waiting, peak_waiting }
    }
}

impl<K, V> Singleflight<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the value of the work that runs for `key`. If there is none, starts `work`.
    ///
    /// Nothing happens before the future is polled. `work` is dropped unpolled if other work runs
    /// for `key`.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does not stop the work, unless it was the last one and
    /// [this was asked for](Singleflight::cancel_abandoned). In a
    /// [cancelled region](crate::cancel#regions) the future begins neither to work nor to wait.
    ///
    /// # Panics
    ///
    /// The future panics if the work panicked, or was cancelled, also because its scope was
    /// cancelled or had completed. [`outcome`](Flight::outcome) returns an error instead. If what
    /// the caller belongs to is being cancelled as well, there is no panic, and the future stays
    /// pending until it is dropped.
    ///
    /// It panics if it is polled after it has completed.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{future::Singleflight, gather, scope, sleep, timeout};
    ///     use std::time::Duration;
    ///
    ///     let second = Duration::from_secs(1);
    ///     let flights = Singleflight::new(foster::scope::Spawner::current());
    ///     let work = || async move { sleep(3 * second).await; 7 };
    ///     let hasty = timeout(second, flights.run("seven", work()));
    ///     let patient = flights.run("seven", work());
    ///     let (hasty, patient) = gather((hasty, patient)).await;
    ///     assert!(hasty.is_err());
    ///     assert_eq!(patient, 7);
    /// });
    /// ```
    pub fn run<F>(&self, key: K, work: F) -> Flight<'_, K, V, F>
    where
        F: Future<Output = V> + Send + 'static,
    {
        Flight { stage: FlightStage::Fresh { flights: self, key, work } }
    }

    /// Lets the next caller for `key` start anew, although work for it runs.
    ///
    /// Those who wait for the work that runs get its value. For a key whose thing has just changed.
    /// The counterpart of `Forget` in Go.
    pub fn forget(&self, key: &K) {
        // What is taken out is dropped when the lock has been released.
        let _forgotten = { self.board.work.lock().remove_entry(key) };
    }

    /// Joins the work that runs for `key`, or starts `work`.
    fn join_or_start<F>(&self, key: K, work: F) -> Caller<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        if let Some(caller) = self.board.join(&key) {
            return caller;
        }
        let (own, new) = (key.clone(), Arc::new(SharedWork::new(self.cancels_abandoned, self.board.waiting.clone())));
        let caller = self.board.join_or_put(key, &new);
        if Arc::ptr_eq(&caller.work, &new) {
            let landing =
                FlightLanding { spawner: self.spawner.clone(), board: self.board.clone(), key: own, work: new };
            let child = Box::pin(fly(work, landing));
            // It inherits nothing from this caller. Where it is refused, it is dropped, and lands.
            _ = context::with(|ambient| ambient.inheriting(None, || self.spawner.spawn_obj(child.into())));
        }
        caller
    }
}

impl<K, V> Clone for Singleflight<K, V> {
    /// Returns another handle to the same work.
    fn clone(&self) -> Self {
        Singleflight { spawner: self.spawner.clone(), board: self.board.clone(), ..*self }
    }
}

impl<K, V> fmt::Debug for Singleflight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Singleflight").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What the scope's child does. Where it is refused, the work is dropped before the landing, in the
/// order of these parameters.
async fn fly<K, V, F>(work: F, landing: FlightLanding<K, V>)
where
    K: Hash + Eq,
    F: Future<Output = V>,
{
    // What is caught is also a panic of the destructors of work that nobody waits for any more.
    let outcome = match catch_panic(landing.work.token.run_until_cancelled(work)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(cancelled)) => Err(FlightError { cause: FlightCause::Cancelled(Arc::new(cancelled.reason().clone())) }),
        Err(panicked) => Err(FlightError { cause: FlightCause::Panicked(Arc::new(panicked)) }),
    };
    landing.land(outcome);
}

/// The duty to end one piece of work: to forget its key, and to tell its callers the outcome.
///
/// It lies in the scope's child beside the work, and outlives it. If it is dropped before the work
/// has ended, the child was cancelled or refused.
struct FlightLanding<K: Hash + Eq, V> {
    spawner: Spawner,
    board: Arc<Flights<K, V>>,
    key: K,
    work: Arc<SharedWork<V>>,
}

impl<K: Hash + Eq, V> FlightLanding<K, V> {
    fn land(&self, outcome: Result<V, FlightError>) {
        // In this order: who comes when there is an outcome starts anew.
        self.board.remove(&self.key, &self.work);
        self.work.end(outcome);
    }
}

impl<K: Hash + Eq, V> Drop for FlightLanding<K, V> {
    fn drop(&mut self) {
        if self.work.outcome.get().is_none() {
            self.land(Err(FlightError { cause: FlightCause::Cancelled(self.spawner.refusal()) }));
        }
    }
}

impl<K: Hash + Eq, V> Flights<K, V> {
    /// Joins the work that runs for `key`, if there is any.
    fn join(&self, key: &K) -> Option<Caller<V>> {
        SharedWork::join(self.work.lock().get(key)?)
    }

    /// Joins the work that runs for `key`, or makes `new` that work and joins it.
    fn join_or_put(&self, key: K, new: &Arc<SharedWork<V>>) -> Caller<V> {
        let mut work = self.work.lock();
        if let Some(caller) = work.get(&key).and_then(SharedWork::join) {
            return caller;
        }
        let caller = SharedWork::join(new).expect("nobody has left it yet");
        // An insertion would drop the key, or the former work, under the lock.
        let abandoned = work.remove_entry(&key);
        work.insert(key, new.clone());
        drop(work);
        drop(abandoned);
        caller
    }

    /// Forgets `key`, if `ended` is its work.
    fn remove(&self, key: &K, ended: &Arc<SharedWork<V>>) {
        let mut work = self.work.lock();
        let is_its = work.get(key).is_some_and(|work| Arc::ptr_eq(work, ended));
        let removed = if is_its { work.remove_entry(key) } else { None };
        drop(work);
        drop(removed);
    }
}

impl<V> SharedWork<V> {
    fn new(cancels_abandoned: bool, waiting: Arc<CallerCount>) -> Self {
        let callers = Callers { count: 0, is_abandoned: false, waiters: Waiters::new() };
        let (outcome, list, token) = (OnceLock::new(), WaitList::new(callers), Token::new());
        SharedWork { outcome, list, token, cancels_abandoned, waiting }
    }

    /// Adds a caller, unless the last one has left, and the work is being cancelled.
    fn join(self: &Arc<Self>) -> Option<Caller<V>> {
        let joins = self.list.with(|callers| {
            callers.count += usize::from(!callers.is_abandoned);
            !callers.is_abandoned
        });
        joins.then(|| {
            let now = self.waiting.now.fetch_add(1, Ordering::Relaxed) + 1;
            self.waiting.peak.fetch_max(now, Ordering::Relaxed);
            Caller { work: self.clone() }
        })
    }

    fn end(&self, outcome: Result<V, FlightError>) {
        // It ends once, so nothing is dropped here.
        _ = self.outcome.set(outcome);
        self.list.change(|callers, wakes| callers.waiters.answer_where(wakes, |()| Some(())));
    }
}

impl<V> Line for SharedWork<V> {
    type State = Callers;
    type Ask = ();
    type Answer = ();

    fn list(&self) -> &WaitList<Callers> {
        &self.list
    }

    fn waiters<'s>(&self, callers: &'s mut Callers) -> &'s mut Waiters<(), ()> {
        &mut callers.waiters
    }

    fn join(&self, _: &mut Callers, (): (), _: &mut Wakes) -> Result<(), ()> {
        if self.outcome.get().is_some() { Ok(()) } else { Err(()) }
    }

    fn leave(&self, _: &mut Callers, (): (), _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        "shared work".into()
    }
}

/// One who waits for work, and counts as long as this lives.
struct Caller<V> {
    work: Arc<SharedWork<V>>,
}

impl<V> Deref for Caller<V> {
    type Target = SharedWork<V>;

    fn deref(&self) -> &SharedWork<V> {
        &self.work
    }
}

impl<V> Drop for Caller<V> {
    fn drop(&mut self) {
        self.work.waiting.now.fetch_sub(1, Ordering::Relaxed);
        let abandons = self.work.list.with(|callers| {
            callers.count -= 1;
            callers.is_abandoned = callers.count == 0 && self.work.cancels_abandoned;
            callers.is_abandoned
        });
        if abandons {
            self.work.token.cancel("nobody waits for it any more");
        }
    }
}

/// The future of [`Singleflight::run`].
#[must_use = "futures do nothing unless polled"]
pub struct Flight<'a, K, V, F> {
    stage: FlightStage<'a, K, V, F>,
}

enum FlightStage<'a, K, V, F> {
    /// Not polled yet.
    Fresh {
        flights: &'a Singleflight<K, V>,
        key: K,
        work: F,
    },
    Waiting {
        wait: Wait<Caller<V>>,
    },
    /// The outcome was returned.
    Completed,
    /// There is no value, and the waiting code is about to be dropped.
    Doomed,
}

/// `work` is moved to the scope before anything is pinned.
impl<K, V, F> Unpin for Flight<'_, K, V, F> {}

impl<'a, K, V, F> Flight<'a, K, V, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    F: Future<Output = V> + Send + 'static,
{
    /// Waits for the value, and returns an error instead of panicking if there is none.
    ///
    /// # Cancellation
    ///
    /// As for [`run`](Singleflight::run).
    ///
    /// # Errors
    ///
    /// Returns an error if the work panicked, or was cancelled, also because its scope was
    /// cancelled or had completed.
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::future::Singleflight;
    ///
    /// let error = foster::scope(async |s| {
    ///     let flights = Singleflight::<_, u32>::new(s.spawner());
    ///     flights.run("key", async { panic!("out of luck") }).outcome().await.unwrap_err()
    /// }).await;
    /// assert!(error.is_panicked());
    /// assert_eq!(error.to_string(), "the shared work panicked: out of luck");
    /// # });
    /// ```
    pub fn outcome(self) -> FlightOutcome<'a, K, V, F> {
        FlightOutcome { flight: self }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<V, FlightError>> {
        if let FlightStage::Fresh { .. } = self.stage {
            if context::with(|ambient| ambient.is_tripped()) {
                return Poll::Pending;
            }
            let FlightStage::Fresh { flights, key, work } = mem::replace(&mut self.stage, FlightStage::Completed)
            else {
                unreachable!("it was fresh");
            };
            let caller = flights.join_or_start(key, work);
            self.stage = FlightStage::Waiting { wait: Wait::new(caller, ()) };
        }
        let FlightStage::Waiting { wait } = &mut self.stage else {
            panic!("a future was polled after it had completed");
        };
        let (caller, ()) = ready!(wait.poll(cx));
        self.stage = FlightStage::Completed;
        Poll::Ready(caller.outcome.get().expect("it has ended").clone())
    }
}

impl<K, V, F> Future for Flight<'_, K, V, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    F: Future<Output = V> + Send + 'static,
{
    type Output = V;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<V> {
        if let FlightStage::Doomed = self.stage {
            return Poll::Pending;
        }
        match ready!(self.poll_outcome(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(_) if context::with(|ambient| ambient.is_tripped()) => {
                self.stage = FlightStage::Doomed;
                Poll::Pending
            }
            Err(error) => panic!("{error}; `outcome()` says so without a panic"),
        }
    }
}

impl<K, V, F> fmt::Debug for Flight<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            FlightStage::Fresh { .. } => "fresh",
            FlightStage::Waiting { .. } => "waiting",
            FlightStage::Completed | FlightStage::Doomed => "completed",
        };
        f.debug_struct("Flight").field("stage", &stage).finish_non_exhaustive()
    }
}

/// Waits for the value of shared work or its [`FlightError`]. [`Flight::outcome`] returns this
/// future.
#[must_use = "futures do nothing unless polled"]
pub struct FlightOutcome<'a, K, V, F> {
    flight: Flight<'a, K, V, F>,
}

impl<K, V, F> Future for FlightOutcome<'_, K, V, F>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
    F: Future<Output = V> + Send + 'static,
{
    type Output = Result<V, FlightError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.flight.poll_outcome(cx)
    }
}

impl<K, V, F> fmt::Debug for FlightOutcome<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FlightOutcome").field(&self.flight).finish()
    }
}

/// Tells why shared work has no value. [`Flight::outcome`] returns it.
#[derive(Clone)]
pub struct FlightError {
    cause: FlightCause,
}

#[derive(Clone)]
enum FlightCause {
    Cancelled(Arc<Reason>),
    Panicked(Arc<Panicked>),
}

impl FlightError {
    /// Returns whether the work was cancelled, or its scope refused it.
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// Returns whether the work panicked.
    pub fn is_panicked(&self) -> bool {
        matches!(self.cause, FlightCause::Panicked(_))
    }

    /// Returns why the work was cancelled, if it was.
    pub fn reason(&self) -> Option<&Reason> {
        match &self.cause {
            FlightCause::Cancelled(reason) => Some(reason),
            FlightCause::Panicked(_) => None,
        }
    }
}

impl fmt::Debug for FlightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause: &dyn fmt::Debug = match &self.cause {
            FlightCause::Cancelled(reason) => reason,
            FlightCause::Panicked(panicked) => panicked,
        };
        f.debug_tuple("FlightError").field(cause).finish()
    }
}

impl fmt::Display for FlightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            FlightCause::Cancelled(reason) => write!(f, "the shared work was cancelled: {reason}"),
            FlightCause::Panicked(panicked) => write!(f, "the shared work {panicked}"),
        }
    }
}

impl std::error::Error for FlightError {}
