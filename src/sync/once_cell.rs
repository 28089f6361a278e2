//! A cell whose value is computed once, by whoever needs it first.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::statistics::Statistics;
use super::wait_list::{Line, Wait, WaitList};
use super::waiters::Waiters;
use super::wakes::Wakes;
use crate::engine::atomics::const_unless_loom;
use crate::panic::catch;

/// Holds a value that is computed once, by an async initialiser, when it is first needed.
///
/// [`get_or_init`](OnceCell::get_or_init) returns the value. If there is none, it runs its
/// initialiser, and all who come meanwhile wait for the value. The counterpart of tokio's
/// `OnceCell`, and of the lock with a second look inside (*double-checked locking*) that asyncio
/// code has for this.
///
/// An initialiser that fails, panics or is dropped leaves the cell empty. Then all who wait are
/// woken, and the first of them that is polled begins.
///
/// # Who polls the initialiser
///
/// An initialiser is part of the future that [`get_or_init`](OnceCell::get_or_init) returned, and
/// runs only while that future is polled. So this holds:
///
/// - A future that only waits delays no other. When the waiters are woken, whichever is polled
///   first begins. It does not matter if another one is not polled.
/// - A future that has begun delays all others until its initialiser ends, or until it is dropped.
///   If it is neither polled nor dropped, the others wait for ever. This is a *futurelock*. It
///   needs a future that is kept and not polled, such as one that lost a `select` by reference, or
///   one in a buffered stream whose consumer is busy.
///
/// [`race`](crate::race), [`select!`](crate::select), [`timeout`](crate::timeout) and scopes keep
/// no such future: they poll it, or they drop it. Where others may keep one, let the initialiser
/// await a [`Singleflight`](crate::future::Singleflight). That work belongs to a scope, which polls
/// it whoever waits.
///
/// An initialiser that needs the value of its own cell waits for itself, for ever.
///
/// # Cost
///
/// To get a value that is there is one atomic load. Nothing is allocated unless somebody waits. An
/// initialiser that fails wakes all who wait. If *n* futures wait, and the initialiser of each
/// fails in turn, that makes about *n*²/2 wake-ups.
///
/// ```
/// # futures::executor::block_on(async {
/// use foster::{gather, sync::OnceCell, yield_now};
///
/// static ADDRESS: OnceCell<String> = OnceCell::new();
///
/// async fn address() -> &'static str {
///     ADDRESS.get_or_init(async || {
///         yield_now().await; // looks it up, once
///         String::from("[::1]:80")
///     }).await
/// }
///
/// assert_eq!(gather((address(), address())).await, ("[::1]:80", "[::1]:80"));
/// assert_eq!(ADDRESS.get().unwrap(), "[::1]:80");
/// # });
/// ```
pub struct OnceCell<T> {
    /// Set once: by the one who has the turn, or under the lock while nobody has it.
    value: OnceLock<T>,
    list: WaitList<State>,
}

/// What is under the lock.
///
/// While nobody has the turn, nobody is in the line: all who were have been told to look. So it
/// does not matter which of them is polled, nor whether all are.
pub(crate) struct State {
    /// Whether somebody has the turn: its initialiser runs.
    has_begun: bool,
    waiters: Waiters<(), InitAnswer>,
}

/// What one who wants the value is told.
pub(crate) enum InitAnswer {
    /// It has the turn.
    Begin,
    /// Something has changed: there is a value, or nobody has the turn.
    Look,
}

impl<T> OnceCell<T> {
    const_unless_loom! {
        /// Creates an empty cell.
        pub const fn new() -> OnceCell<T> {
            let state = State { has_begun: false, waiters: Waiters::new() };
            OnceCell { value: OnceLock::new(), list: WaitList::new(state) }
        }
    }

    /// Returns the value, if there is one.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Returns the value, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Takes the value out. The cell is empty afterwards, and can be initialised again.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }

    /// Returns the value, if there is one.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Sets the value, if there is none and nobody computes one.
    ///
    /// All who wait get this value.
    ///
    /// # Errors
    ///
    /// Returns an error if there is a value, or if an initialiser runs. The error has `value`.
    ///
    /// ```
    /// # use foster::sync::OnceCell;
    /// let cell = OnceCell::new();
    /// assert!(cell.set(7).is_ok());
    /// assert_eq!(cell.set(8).unwrap_err().into_inner(), 8);
    /// assert_eq!(cell.get(), Some(&7));
    /// ```
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        self.list.change(|state, wakes| {
            if state.has_begun {
                return Err(SetError { value, is_initializing: true });
            }
            self.value.set(value).map_err(|value| SetError { value, is_initializing: false })?;
            state.waiters.answer_where(wakes, |()| Some(InitAnswer::Look));
            Ok(())
        })
    }

    /// Returns the value. If there is none, computes it by `init`, or waits for the one who does.
    ///
    /// `init` is called if it is this future's turn. Its panic is this future's panic, and the
    /// cell stays empty.
    ///
    /// # Cancellation
    ///
    /// Dropping the future drops its initialiser where it is suspended, and another one has its
    /// turn at once. A future that only waits leaves no trace. In a [cancelled
    /// region](crate::cancel#regions) the future takes a value that is there, and begins neither to
    /// initialise nor to wait. One that has been waiting already still has its turn.
    ///
    /// # Panics
    ///
    /// The future panics if it is polled after it has completed.
    pub fn get_or_init<F, Fut>(&self, init: F) -> GetOrInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        GetOrInit { stage: InitStage::new(self, init) }
    }

    /// Returns the value. If there is none, computes it by `init`, which may fail.
    ///
    /// # Cancellation
    ///
    /// As for [`get_or_init`](OnceCell::get_or_init).
    ///
    /// # Errors
    ///
    /// Returns the error of `init`, if that was called. The cell stays empty, and another one has
    /// its turn with its own initialiser. The error is nobody else's.
    ///
    /// # Panics
    ///
    /// As for [`get_or_init`](OnceCell::get_or_init).
    ///
    /// ```
    /// # futures::executor::block_on(async {
    /// use foster::sync::OnceCell;
    ///
    /// let port = OnceCell::new();
    /// assert!(port.get_or_try_init(async || "none".parse::<u16>()).await.is_err());
    /// assert_eq!(port.get_or_try_init(async || "80".parse::<u16>()).await, Ok(&80));
    /// # });
    /// ```
    pub fn get_or_try_init<F, Fut, E>(&self, init: F) -> GetOrTryInit<'_, T, F, Fut>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        GetOrTryInit { stage: InitStage::new(self, init) }
    }

    /// Returns how many futures wait. [`in_use`](Statistics::in_use) is 1 while an initialiser
    /// runs.
    pub fn statistics(&self) -> Statistics {
        self.list.with(|state| state.waiters.statistics(usize::from(state.has_begun)))
    }

    /// Gives the turn to the caller, if nobody has it and there is no value.
    fn begin(&self) -> Option<Initializer<'_, T>> {
        self.list.with(|state| self.begin_locked(state)).then(|| Initializer { cell: self })
    }

    fn begin_locked(&self, state: &mut State) -> bool {
        let begins = !state.has_begun && self.value.get().is_none();
        state.has_begun |= begins;
        begins
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T> From<T> for OnceCell<T> {
    /// Creates a cell that has a value.
    fn from(value: T) -> Self {
        OnceCell { value: OnceLock::from(value), ..OnceCell::new() }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).finish_non_exhaustive()
    }
}

impl<T> Line for OnceCell<T> {
    type State = State;
    type Ask = ();
    type Answer = InitAnswer;

    fn list(&self) -> &WaitList<State> {
        &self.list
    }

    fn waiters<'s>(&self, state: &'s mut State) -> &'s mut Waiters<(), InitAnswer> {
        &mut state.waiters
    }

    fn join(&self, state: &mut State, (): (), _: &mut Wakes) -> Result<InitAnswer, ()> {
        if self.value.get().is_some() {
            return Ok(InitAnswer::Look);
        }
        if self.begin_locked(state) { Ok(InitAnswer::Begin) } else { Err(()) }
    }

    /// Nobody waits for one who waits.
    fn leave(&self, _: &mut State, (): (), _: Option<InitAnswer>, _: &mut Wakes) {}

    fn describe(&self) -> String {
        "once cell, which another future initialises".into()
    }
}

/// The right to initialise, which only one has at a time. It ends when this is dropped: with a
/// value, or for the next one to begin.
struct Initializer<'a, T> {
    cell: &'a OnceCell<T>,
}

impl<'a, T> Initializer<'a, T> {
    /// Sets the value. Those who wait are woken when the turn ends.
    fn set(&self, value: T) -> &'a T {
        // Nobody else sets it while this has the turn.
        self.cell.value.get_or_init(|| value)
    }
}

impl<T> Drop for Initializer<'_, T> {
    fn drop(&mut self) {
        self.cell.list.change(|state, wakes| {
            state.has_begun = false;
            state.waiters.answer_where(wakes, |()| Some(InitAnswer::Look));
        });
    }
}

pin_project! {
    #[project = Projected]
    enum InitStage<'a, T, F, Fut> {
        Waiting { cell: &'a OnceCell<T>, wait: Wait<&'a OnceCell<T>>, init: Option<F> },
        // The initialiser is dropped before the turn ends.
        Running { #[pin] future: Fut, turn: Initializer<'a, T> },
        Completed,
    }
}

impl<'a, T, F, Fut> InitStage<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future,
{
    fn new(cell: &'a OnceCell<T>, init: F) -> Self {
        InitStage::Waiting { cell, wait: Wait::new(cell, ()), init: Some(init) }
    }

    /// Waits for a value of the cell. `result` tells what the initialiser has yielded.
    fn poll_with<E>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        result: impl FnOnce(Fut::Output) -> Result<T, E>,
    ) -> Poll<Result<&'a T, E>> {
        if let Projected::Waiting { cell, wait, init } = self.as_mut().project() {
            match ready!(poll_turn(cell, wait, cx)) {
                Ok(value) => {
                    self.set(InitStage::Completed);
                    return Poll::Ready(Ok(value));
                }
                Err(turn) => {
                    let init = init.take().expect("it begins once");
                    // If this panics, the turn ends.
                    let future = init();
                    self.set(InitStage::Running { future, turn });
                }
            }
        }
        let Projected::Running { future, turn } = self.as_mut().project() else {
            panic!("a future was polled after it had completed");
        };
        let polled = match catch(|| future.poll(cx)) {
            Ok(polled) => polled,
            Err(payload) => {
                // The turn ends now. This future may be kept for long.
                self.set(InitStage::Completed);
                resume_unwind(payload)
            }
        };
        let result = result(ready!(polled)).map(|value| turn.set(value));
        self.set(InitStage::Completed);
        Poll::Ready(result)
    }
}

/// Waits for a value, or for the turn to compute it.
fn poll_turn<'a, T>(
    cell: &'a OnceCell<T>,
    wait: &mut Wait<&'a OnceCell<T>>,
    cx: &mut Context<'_>,
) -> Poll<Result<&'a T, Initializer<'a, T>>> {
    loop {
        if let Some(value) = cell.get() {
            return Poll::Ready(Ok(value));
        }
        let turn = match wait.poll(cx) {
            Poll::Ready((_, InitAnswer::Begin)) => Some(Initializer { cell }),
            // Also in a cancelled region, or the turn would be nobody's.
            Poll::Ready((_, InitAnswer::Look)) => {
                *wait = Wait::going_on(cell, ());
                cell.begin()
            }
            Poll::Pending => return Poll::Pending,
        };
        if let Some(turn) = turn {
            return Poll::Ready(Err(turn));
        }
    }
}

pin_project! {
    /// The future of [`OnceCell::get_or_init`].
    #[must_use = "futures do nothing unless polled"]
    pub struct GetOrInit<'a, T, F, Fut> {
        #[pin]
        stage: InitStage<'a, T, F, Fut>,
    }
}

impl<'a, T, F, Fut> Future for GetOrInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    type Output = &'a T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<&'a T> {
        self.project().stage.poll_with(cx, Ok::<T, Infallible>).map(|Ok(value)| value)
    }
}

pin_project! {
    /// The future of [`OnceCell::get_or_try_init`].
    #[must_use = "futures do nothing unless polled"]
    pub struct GetOrTryInit<'a, T, F, Fut> {
        #[pin]
        stage: InitStage<'a, T, F, Fut>,
    }
}

impl<'a, T, F, Fut, E> Future for GetOrTryInit<'a, T, F, Fut>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Output = Result<&'a T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().stage.poll_with(cx, |result| result)
    }
}

impl<T, F, Fut> InitStage<'_, T, F, Fut> {
    fn name(&self) -> &'static str {
        match self {
            InitStage::Waiting { .. } => "waiting",
            InitStage::Running { .. } => "initializing",
            InitStage::Completed => "completed",
        }
    }
}

impl<T, F, Fut> fmt::Debug for GetOrInit<'_, T, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrInit").field("stage", &self.stage.name()).finish_non_exhaustive()
    }
}

impl<T, F, Fut> fmt::Debug for GetOrTryInit<'_, T, F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrTryInit").field("stage", &self.stage.name()).finish_non_exhaustive()
    }
}

/// Tells that a [`OnceCell`] was not [set](OnceCell::set), and has the value that it did not take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SetError<T> {
    value: T,
    is_initializing: bool,
}

impl<T> SetError<T> {
    /// Returns the value that the cell did not take.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// Returns whether the cell has a value.
    pub fn is_initialized(&self) -> bool {
        !self.is_initializing
    }

    /// Returns whether an initialiser was running, which may fail.
    pub fn is_initializing(&self) -> bool {
        self.is_initializing
    }
}

impl<T> fmt::Debug for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetError").field("is_initializing", &self.is_initializing).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_initializing {
            "the cell is being initialized; wait for its value by `get_or_init`"
        } else {
            "the cell has a value"
        })
    }
}

impl<T> std::error::Error for SetError<T> {}
