//! A channel for the latest value only, with any number of senders and receivers.
//!
//! ```
//! # futures::executor::block_on(async {
//! use foster::{scope, sync::watch};
//!
//! let (sender, mut receiver) = watch::channel("starting");
//! scope(async |s| {
//!     s.spawn(async move {
//!         sender.send("ready");
//!         sender.send("stopping");
//!     });
//!     let state = receiver.wait_for(|state| *state == "stopping").await;
//!     assert_eq!(*state.unwrap(), "stopping");
//!     assert!(receiver.changed().await.is_err(), "the sender is gone");
//! }).await;
//! # });
//! ```
//!
//! The counterpart of tokio's `watch`. It has no counterpart in asyncio. A [`Receiver`] gets the
//! value as an [`Arc`], and no guard. So nobody who looks at a value keeps others from sending the
//! next, and there is nothing to deadlock on.
//!
//! # What a slow receiver misses
//!
//! All values but the latest. [`Receiver::changed`] returns the value that is the latest when it is
//! polled, however many were sent since the last time. [`Receiver::wait_for`] misses a value that
//! was replaced before its task ran. Where each value counts, use a queue.
//!
//! # Code of the caller
//!
//! The functions that [`Receiver::with`], [`Receiver::wait_for`] and [`Sender::send_if_modified`]
//! call run without any lock, and so do the destructors of values and the wakers. They may panic,
//! take long, and use the same channel.
//!
//! # Cost
//!
//! Sending allocates one `Arc`. Looking holds a lock for as long as it takes to clone one. A waiter
//! takes 40 bytes, and leaves in a constant time.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::thread::{self, ThreadId};

/// Creates a channel whose latest value is `value`, which its receiver has seen.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let latest = Latest { value: Arc::new(value), version: 0 };
    let (waiters, abandoned) = (Waiters::new(), Waiters::new());
    let state = State { latest, writer: None, senders: 1, receivers: 1, waiters, abandoned };
    let shared = Arc::new(SharedValue { list: WaitList::new(state) });
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

struct SharedValue<T> {
    list: WaitList<State<T>>,
}

/// What is under the lock.
pub(crate) struct State<T> {
    latest: Latest<T>,
    /// Which thread has sent last, and how many values in a row.
    writer: Option<(ThreadId, u64)>,
    senders: usize,
    receivers: usize,
    /// Wait until the version is another one than they have seen.
    waiters: Waiters<Option<u64>>,
    /// Wait until there is no receiver.
    abandoned: Waiters,
}

/// A value, and how many were sent before it.
struct Latest<T> {
    value: Arc<T>,
    version: u64,
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Latest { value: self.value.clone(), version: self.version }
    }
}

impl<T> State<T> {
    fn is_closed(&self) -> bool {
        self.senders == 0
    }

    /// Returns whether there is something to say to who knows a version.
    fn has_news(&self, known: Option<u64>) -> bool {
        self.is_closed() || known != Some(self.latest.version)
    }

    /// Makes `value` the latest. Returns the former one, or `value` if a thread other than `writer`
    /// has sent since the version `after`.
    fn store(&mut self, value: Arc<T>, writer: ThreadId, after: u64, wakes: &mut Wakes) -> Result<Arc<T>, Arc<T>> {
        let own = match self.writer {
            Some((last, run)) if last == writer => run,
            _ => 0,
        };
        if self.latest.version - after > own {
            return Err(value);
        }
        self.writer = Some((writer, own + 1));
        self.latest.version += 1;
        self.waiters.answer_where(wakes, |_| Some(()));
        Ok(mem::replace(&mut self.latest.value, value))
    }
}

impl<T> SharedValue<T> {
    fn latest(&self) -> Latest<T> {
        self.list.with(|state| state.latest.clone())
    }
}

impl<T> Line for SharedValue<T> {
    type State = State<T>;
    /// The version that it knows, if any.
    type Ask = Option<u64>;
    /// There is another version, or the senders are gone.
    type Answer = ();

    fn list(&self) -> &WaitList<State<T>> {
        &self.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters<Option<u64>> {
        &mut state.waiters
    }

    /// With the lock, so that in a cancelled region the latest value is returned as well.
    fn pass(&self, known: &Option<u64>) -> Option<()> {
        self.list.with(|state| state.has_news(*known).then_some(()))
    }

    fn join(&self, state: &mut State<T>, known: Option<u64>, _: &mut Wakes) -> Result<(), Option<u64>> {
        if state.has_news(known) { Ok(()) } else { Err(known) }
    }

    /// The latest value is for all, so who leaves takes nothing from the others.
    fn leave(&self, _: &mut State<T>, _: Option<u64>, _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        String::from("a new value of a watch")
    }
}

/// The line of those who wait until there is no receiver.
struct Abandoned<'a, T>(&'a SharedValue<T>);

impl<T> Line for Abandoned<'_, T> {
    type State = State<T>;
    type Ask = ();
    type Answer = ();

    fn list(&self) -> &WaitList<State<T>> {
        &self.0.list
    }

    fn waiters<'s>(&self, state: &'s mut State<T>) -> &'s mut Waiters {
        &mut state.abandoned
    }

    fn pass(&self, (): &()) -> Option<()> {
        self.0.list.with(|state| (state.receivers == 0).then_some(()))
    }

    fn join(&self, state: &mut State<T>, (): (), _: &mut Wakes) -> Result<(), ()> {
        if state.receivers == 0 { Ok(()) } else { Err(()) }
    }

    fn leave(&self, _: &mut State<T>, (): (), _: Option<()>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        String::from("the end of the receivers of a watch")
    }
}

/// Sends values to the receivers of a [`channel`]. Its clones send to the same receivers.
///
/// When the last one is dropped, [`Receiver::changed`] and [`Receiver::wait_for`] return an error
/// once the latest value has been seen.
pub struct Sender<T> {
    shared: Arc<SharedValue<T>>,
}

impl<T> Sender<T> {
    /// Makes `value` the latest value, and wakes those who wait for one. The former value is
    /// dropped, unless a receiver has it.
    ///
    /// This works without receivers as well: who [subscribes](Sender::subscribe) later finds it.
    pub fn send(&self, value: T) {
        let (value, writer) = (Arc::new(value), thread::current().id());
        let _former = self.shared.list.change(|state, wakes| {
            let now = state.latest.version;
            state.store(value, writer, now, wakes)
        });
    }

    /// Returns the number of receivers as [`in_use`](Statistics::in_use), and how many futures wait
    /// for a value.
    pub fn statistics(&self) -> Statistics {
        self.shared.list.with(|state| state.waiters.statistics(state.receivers))
    }

    /// Changes a copy of the latest value, and sends it if `modify` returns true. Returns whether
    /// it did. Otherwise the copy is dropped, and nothing has happened.
    ///
    /// No lock is held while `modify` runs. If another thread sends meanwhile, `modify` is called
    /// again, with a copy of what is the latest then, so that the changes of both count. If
    /// `modify` itself sends, that value is replaced by the copy.
    ///
    /// If `modify` panics, nothing is sent.
    ///
    /// ```
    /// use foster::sync::watch;
    ///
    /// let (sender, receiver) = watch::channel(vec![1, 2]);
    /// let push = |item| {
    ///     sender.send_if_modified(|items| {
    ///         let is_new = !items.contains(&item);
    ///         items.extend(is_new.then_some(item));
    ///         is_new
    ///     })
    /// };
    /// assert!(push(3));
    /// assert!(!push(3));
    /// assert_eq!(*receiver.get(), [1, 2, 3]);
    /// ```
    pub fn send_if_modified(&self, mut modify: impl FnMut(&mut T) -> bool) -> bool
    where
        T: Clone,
    {
        let writer = thread::current().id();
        loop {
            let before = self.shared.latest();
            let mut value = T::clone(&before.value);
            if !modify(&mut value) {
                return false;
            }
            let value = Arc::new(value);
            if self.shared.list.change(|state, wakes| state.store(value, writer, before.version, wakes)).is_ok() {
                return true;
            }
        }
    }

    /// Changes a copy of the latest value, and sends it, as
    /// [`send_if_modified`](Sender::send_if_modified) does.
    pub fn send_modify(&self, mut modify: impl FnMut(&mut T))
    where
        T: Clone,
    {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Returns the latest value.
    pub fn get(&self) -> Arc<T> {
        self.shared.latest().value
    }

    /// Calls `look` with the latest value, and no lock is held meanwhile.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.get())
    }

    /// Creates a receiver, which has seen the value that is the latest now.
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.list.with(|state| {
            state.receivers += 1;
            state.latest.version
        });
        Receiver { shared: self.shared.clone(), seen }
    }

    /// Returns whether there are no receivers.
    ///
    /// There can be one again after [`subscribe`](Sender::subscribe).
    pub fn is_closed(&self) -> bool {
        self.shared.list.with(|state| state.receivers == 0)
    }

    /// Waits until there are no receivers. So who makes values for them can stop when nobody wants
    /// them any more.
    ///
    /// There may be one again when this returns, after [`subscribe`](Sender::subscribe).
    ///
    /// # Cancellation
    ///
    /// Dropping the future loses nothing. In a [cancelled region](crate::cancel#regions) a wait
    /// does not begin: the future completes if there are no receivers, or else stays pending.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    ///
    /// ```
    /// # #[cfg(feature = "sim")]
    /// foster::runtimes::Sim::default().run(async {
    ///     use foster::{gather, race, sleep, sync::watch};
    ///     use std::time::Duration;
    ///
    ///     let (temperature, receiver) = watch::channel(20);
    ///     let measures = async {
    ///         loop {
    ///             sleep(Duration::from_secs(1)).await;
    ///             temperature.send_modify(|degrees| *degrees += 1);
    ///         }
    ///     };
    ///     let looks = async move {
    ///         sleep(Duration::from_millis(2_500)).await;
    ///         *receiver.get()
    ///     };
    ///     let (degrees, ()) = gather((looks, race((measures, temperature.closed())))).await;
    ///     assert_eq!(degrees, 22);
    /// });
    /// ```
    pub fn closed(&self) -> Closed<'_, T> {
        Closed { wait: Wait::new(Abandoned(&self.shared), ()) }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.list.with(|state| state.senders += 1);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.list.change(|state, wakes| {
            state.senders -= 1;
            if state.is_closed() {
                state.waiters.answer_where(wakes, |_| Some(()));
            }
        });
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &self.get()).finish_non_exhaustive()
    }
}

/// Receives the latest value of a [`channel`], and waits for the next. Its clones have seen what it
/// has seen.
pub struct Receiver<T> {
    shared: Arc<SharedValue<T>>,
    /// The version that [`see`](Receiver::see), [`changed`](Receiver::changed) or
    /// [`wait_for`](Receiver::wait_for) has returned last.
    seen: u64,
}

impl<T> Receiver<T> {
    /// Returns the latest value. It does not count as seen.
    pub fn get(&self) -> Arc<T> {
        self.shared.latest().value
    }

    /// Returns the latest value, which counts as seen from now on. So
    /// [`changed`](Receiver::changed) waits for the next one. The counterpart of tokio's
    /// `borrow_and_update`.
    ///
    /// ```
    /// use foster::sync::watch;
    ///
    /// let (sender, mut receiver) = watch::channel(1);
    /// sender.send(2);
    /// assert!(receiver.has_changed());
    /// assert_eq!(*receiver.see(), 2);
    /// assert!(!receiver.has_changed());
    /// ```
    pub fn see(&mut self) -> Arc<T> {
        let latest = self.shared.latest();
        self.seen = latest.version;
        latest.value
    }

    /// Calls `look` with the latest value, and no lock is held meanwhile. The value does not count
    /// as seen.
    ///
    /// ```
    /// use foster::sync::watch;
    ///
    /// let (sender, receiver) = watch::channel(String::from("one"));
    /// let length = receiver.with(|word| {
    ///     sender.send(String::from("three"));
    ///     word.len()
    /// });
    /// assert_eq!((length, receiver.with(String::len)), (3, 5));
    /// ```
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.get())
    }

    /// Returns whether there is a value that this receiver has not seen.
    pub fn has_changed(&self) -> bool {
        self.shared.list.with(|state| state.latest.version != self.seen)
    }

    /// Returns whether there are no senders any more. The latest value stays.
    pub fn is_closed(&self) -> bool {
        self.shared.list.with(|state| state.is_closed())
    }

    /// Waits for a value that this receiver has not seen, and returns the latest.
    ///
    /// # Cancellation
    ///
    /// A value counts as seen with the poll that returns it. So dropping the future loses nothing.
    /// In a [cancelled region](crate::cancel#regions) a wait does not begin: the future returns a
    /// value that is there, or stays pending.
    ///
    /// # Errors
    ///
    /// Returns an error if the senders are gone, and the last value has been seen.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn changed(&mut self) -> Changed<'_, T> {
        let known = Some(self.seen);
        Changed { follow: Follow::new(self, known) }
    }

    /// Waits until the latest value is one that `predicate` accepts, and returns it. It has been
    /// seen then. If it is the latest already, this completes at once.
    ///
    /// It can miss a value that is replaced soon. The predicate runs during the poll, and no lock
    /// is held meanwhile. If it sends to this channel, it is asked about that value next.
    ///
    /// # Cancellation
    ///
    /// As for [`changed`](Receiver::changed). The values that were refused do not count as seen.
    ///
    /// # Errors
    ///
    /// Returns an error if the senders are gone, and the last value was refused.
    ///
    /// # Panics
    ///
    /// The future panics if `predicate` does, and if it is polled after it has completed.
    pub fn wait_for<F: FnMut(&T) -> bool>(&mut self, predicate: F) -> WaitFor<'_, T, F> {
        WaitFor { follow: Follow::new(self, None), predicate }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.list.with(|state| state.receivers += 1);
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.list.change(|state, wakes| {
            state.receivers -= 1;
            if state.receivers == 0 {
                state.abandoned.answer_where(wakes, |()| Some(()));
            }
        });
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("value", &self.get()).finish_non_exhaustive()
    }
}

/// Goes from version to version.
struct Follow<'a, T> {
    wait: Wait<&'a SharedValue<T>>,
    /// The version that it has seen or refused.
    known: Option<u64>,
    /// That of the receiver, which is set at the end only.
    seen: &'a mut u64,
}

impl<'a, T> Follow<'a, T> {
    fn new(receiver: &'a mut Receiver<T>, known: Option<u64>) -> Self {
        let Receiver { shared, seen } = receiver;
        Follow { wait: Wait::new(&**shared, known), known, seen }
    }

    fn poll(&mut self, cx: &mut Context<'_>, mut accept: impl FnMut(&T) -> bool) -> Poll<Result<Arc<T>, RecvError>> {
        loop {
            let (shared, ()) = ready!(self.wait.poll(cx));
            let (latest, is_closed) = shared.list.with(|state| (state.latest.clone(), state.is_closed()));
            let version = Some(latest.version);
            if version != self.known && accept(&latest.value) {
                *self.seen = latest.version;
                return Poll::Ready(Ok(latest.value));
            }
            if is_closed {
                return Poll::Ready(Err(RecvError));
            }
            self.known = version;
            self.wait = Wait::going_on(shared, version);
        }
    }
}

/// The future of [`Sender::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct Closed<'a, T> {
    wait: Wait<Abandoned<'a, T>>,
}

impl<T> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.poll(cx).map(drop)
    }
}

impl<T> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

/// The future of [`Receiver::changed`].
#[must_use = "futures do nothing unless polled"]
pub struct Changed<'a, T> {
    follow: Follow<'a, T>,
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.follow.poll(cx, |_| true)
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").finish_non_exhaustive()
    }
}

/// The future of [`Receiver::wait_for`].
#[must_use = "futures do nothing unless polled"]
pub struct WaitFor<'a, T, F> {
    follow: Follow<'a, T>,
    predicate: F,
}

// The predicate is not pinned.
impl<T, F> Unpin for WaitFor<'_, T, F> {}

impl<T, F: FnMut(&T) -> bool> Future for WaitFor<'_, T, F> {
    type Output = Result<Arc<T>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let WaitFor { follow, predicate } = &mut *self;
        follow.poll(cx, predicate)
    }
}

impl<T, F> fmt::Debug for WaitFor<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitFor").finish_non_exhaustive()
    }
}

/// Tells a [`Receiver`] that there are no senders any more, so that there will be no other value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all senders of a watch were dropped, so its value does not change any more")
    }
}

impl std::error::Error for RecvError {}
